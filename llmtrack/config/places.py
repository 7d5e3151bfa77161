"""Where settings stand: llmtrack.toml, and the environment above it."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from llmtrack.errors import UsageError

PREFIX: Final = "LLMTRACK_"
OTHERS: Final = {name: name.lower() for name in ("MONGODB_URI", "OPENAI_API_KEY", "OPENAI_BASE_URL")}  # as elsewhere


def of_file() -> dict[str, Any]:
    """What llmtrack.toml says: in the current folder, or where LLMTRACK_CONFIG points. Raises UsageError."""
    named = os.environ.get("LLMTRACK_CONFIG")
    path = Path(named or "llmtrack.toml")
    if not path.is_file():
        if named:
            raise UsageError(f"LLMTRACK_CONFIG names {named!r}, which is not a file.", "Correct it or unset it.")
        return {}
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error.strerror}.", "Check its permissions.") from None
    except ValueError as error:
        raise UsageError(f"llmtrack.toml cannot be read: {error}.", "Correct the line it names.") from None


def of_environment(scalars: Collection[str], sections: Collection[str]) -> dict[str, Any]:
    """What the environment says of these settings; LLMTRACK_LIMITS__QUERIES_PER_USER is limits.queries_per_user.

    A list or a section may be given as JSON. What is empty is not set. Raises UsageError for JSON that does not parse.
    """
    found: dict[str, Any] = {}
    for variable, value in sorted(os.environ.items()):  # sorted: a section comes before its members
        name = OTHERS.get(variable) or variable.removeprefix(PREFIX).lower()
        first, *more = name.split("__")
        known = variable in OTHERS or (variable.startswith(PREFIX) and name not in OTHERS.values())
        if not value or not known:
            continue
        if name in scalars:
            found[name] = value
        elif first in sections:
            within = found
            for part in (first, *more)[:-1]:
                within = within.setdefault(part, {})
                if not isinstance(within, dict):
                    raise UsageError(f"{variable} is set beside {PREFIX}{first.upper()}, which is a list.")
            last = (first, *more)[-1]
            within[last] = _parsed(variable, value) if value[0] in "[{" else value
    return found


def _parsed(variable: str, value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        raise UsageError(f"{variable} begins like JSON, but is none.", "Correct or unset it.") from None


def over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, member by member; where both say something, `above` holds."""
    found = dict(below)
    for key, value in above.items():
        under = found.get(key)
        found[key] = over(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return found
