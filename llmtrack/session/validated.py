"""Types that are checked at the door: ids and names as a collector and the configuration take them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from llmtrack.session.schema import _CONTROL, _SESSION_ID, is_session_id, well_formed


def _session_id(value: str) -> str:
    if not is_session_id(value):
        raise ValueError("must be 1 to 256 letters, digits or . _ @ + : ~ = -")
    return value


def _name(value: str) -> str:
    value = well_formed(value).strip()
    if not value or len(value) > 256 or _CONTROL.search(value):
        raise ValueError("must be 1 to 256 characters without control characters")
    return value


SessionId = Annotated[
    str,
    AfterValidator(_session_id),
    WithJsonSchema({"type": "string", "pattern": f"^{_SESSION_ID.pattern}$"}),
]
Name = Annotated[
    str, AfterValidator(_name), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 256, "pattern": r"\S"})
]
