"""Tables of pandas, made of clean columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import pandas as pd

from llmtrack.session.cleaning.batch import ENVIRONMENT, NAMES
from llmtrack.session.cleaning.clean import Cleaned

_TEXTS: Final = frozenset({"session_id", *NAMES, *ENVIRONMENT, "exit_reason", "next"})  # these are never missing


class Frames(NamedTuple):
    """Clean sessions as tables; llmtrack.session.cleaning.clean.Cleaned says what they hold.

    `sessions`: a row a session, index 0…. `events`: a row an event: session (row of `sessions`), pos, t, type
    (categorical), and the data fields asked for. `excluded` and `repaired`: reason → how many.
    """

    sessions: pd.DataFrame
    events: pd.DataFrame
    excluded: dict[str, int]
    repaired: dict[str, int]


def frames(cleaned: Cleaned) -> Frames:
    """The same sessions as tables."""
    kinds = pd.Categorical.from_codes(cleaned.type_codes, categories=pd.Index(cleaned.types, dtype="str"))
    fields = {key: pd.Series(values, dtype=values.dtype) for key, values in cleaned.data.items()}
    places = {"session": cleaned.session, "pos": cleaned.pos, "t": cleaned.t, "type": kinds}
    events = pd.DataFrame({**places, **fields}, copy=False)
    return Frames(table(cleaned.sessions), events, dict(cleaned.excluded), dict(cleaned.repaired))


def table(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Columns as a table; objects stay objects, but for names that are text in every row."""
    return pd.DataFrame({key: _column(key, values) for key, values in columns.items()}, copy=False)


def _column(key: str, values: Any) -> Any:
    if key in _TEXTS:
        return pd.array(values, dtype="str")
    return pd.Series(values, dtype=values.dtype)
