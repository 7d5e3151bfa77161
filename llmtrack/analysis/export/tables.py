"""The tables that leave llmtrack: a row a session, an event, or a turn, with the same columns each time.

The columns stand in columns.py, in the order in which they are written; docs/export.md is made from them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from llmtrack.analysis.export.columns import TABLES, TEXT_BASED, Column
from llmtrack.analysis.interaction import Interaction, summary, turns
from llmtrack.analysis.parts import Part, merge
from llmtrack.analysis.recorded import Kinds, looked_for, without_untold
from llmtrack.analysis.result import Result
from llmtrack.errors import UsageError
from llmtrack.session.cleaning.batch import DATA, NUMBERS, TEXTS
from llmtrack.session.cleaning.clean import Cleaned
from llmtrack.session.jsonable import jsonable
from llmtrack.session.schema import CHAT, well_formed
from llmtrack.session.tally import Tally
from llmtrack.session.values import Floats, Objects, numbers, texts

if TYPE_CHECKING:
    from llmtrack.analysis.report import ReportSettings

_SESSION = ("session_id", "user_id", "model_group", "experiment_id")
_OWN = (*_SESSION, "number", "t", "time", "at_s", "type", DATA)  # columns of events that are no data fields


def choose(table: str, names: Sequence[str] | None = None) -> tuple[Column, ...]:
    """The columns of `table` ("sessions", "events" or "turns") with these names, in their order; None: all.

    Raises UsageError for a table or a column that does not exist.
    """
    if table not in TABLES:
        raise UsageError(f'There is no table "{table}".', f"Choose one of {', '.join(TABLES)}.")
    known = {column.name: column for column in TABLES[table]}
    if names is None:
        return TABLES[table]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        fault = f'{table} have no column "{unknown[0]}".' if unknown else "No column is asked for."
        raise UsageError(fault, f"Columns: {', '.join(known)}.")
    return tuple(known[name] for name in dict.fromkeys(names))


def fields(table: str, columns: Sequence[Column]) -> tuple[str, ...] | None:
    """The data fields that must be read for these columns; None: whole data objects."""
    names = {column.name for column in columns}
    if table == "events":
        return None if DATA in names else (CHAT, *(column.name for column in columns if column.name not in _OWN))
    with_texts = not names.isdisjoint(TEXT_BASED[table])
    if table == "sessions":
        return summary.TEXT_FIELDS if with_texts else summary.FIELDS
    return turns.TEXT_FIELDS if with_texts else turns.FIELDS


@dataclass(frozen=True, kw_only=True)
class TableResult(Result):
    """A table of sessions, by start and id."""

    title: ClassVar = "Table"

    table: str
    rows: pd.DataFrame

    def to_frame(self) -> pd.DataFrame:
        """The table, exactly its columns; `attrs` has what was left out and mended."""
        frame = self.rows.copy()
        frame.attrs.update(excluded=self.excluded, repaired=self.repaired)
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and lists."""
        return {**super().to_dict(), "rows": jsonable(self.rows.to_dict("records"))}


@dataclass(frozen=True, kw_only=True)
class Export:
    """The rows of `table` ("sessions", "events" or "turns") with these columns (None: all), as docs/export.md says.

    Each part has its rows, to be written without keeping them all. Raises UsageError for a table or a column that does
    not exist.
    """

    table: str
    columns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        choose(self.table, self.columns)

    @property
    def fields(self) -> tuple[str, ...] | None:
        """The data fields that the columns are made of; None: whole data objects."""
        return fields(self.table, choose(self.table, self.columns))

    @property
    def looked_for(self) -> Kinds:
        """The kinds of events that the columns are made of."""
        names = () if self.table == "events" else [column.name for column in choose(self.table, self.columns)]
        return looked_for(names)

    def pick(self, cleaned: Cleaned) -> Part:
        """The rows of the table."""
        sessions = pd.DataFrame(
            {
                "session_id": pd.array(cleaned.sessions["session_id"], dtype="str"),
                "start_ms": cleaned.sessions["start_ms"],
            }
        )
        rows = build(self.table, cleaned, choose(self.table, self.columns))
        return Part(sessions, {"rows": rows}, Tally.of(cleaned))

    def finish(self, parts: Iterable[Part], settings: ReportSettings) -> TableResult:
        """The rows of all parts."""
        whole = merge(parts)
        recorded = settings.recorded(whole.tally.recorded, self.looked_for)
        rows = rows_of(whole, self.table, recorded)
        return TableResult(table=self.table, rows=rows, warnings=[], tally=whole.tally)


def rows_of(part: Part, table: str, recorded: Kinds) -> pd.DataFrame:
    """The rows of a part of an export; what the source never records (`recorded`: what it does) is missing."""
    rows = part.tables["rows"].drop(columns="session")
    if table == "events":
        return rows
    types = {column.name: column.type for column in TABLES[table]}
    found = without_untold({str(key): rows[key] for key in rows}, recorded)
    return rows.assign(**{key: typed(values, types[key]) for key, values in found.items() if values is not rows[key]})


def build(table: str, cleaned: Cleaned, columns: Sequence[Column]) -> pd.DataFrame:
    """The rows of `table` in clean sessions read with its `fields`: these columns, and `session`, which one it is."""
    rows = {"sessions": _sessions, "events": _events, "turns": _turns}[table](cleaned)
    found = {column.name: typed(_to_the_ms(rows[column.name], column), column.type) for column in columns}
    return pd.DataFrame({"session": np.asarray(rows["session"]), **found})


def _to_the_ms(values: Any, column: Column) -> Any:
    """Seconds without what only the binary form of their fractions adds."""
    return np.round(np.asarray(values, dtype=np.float64), 3) if column.unit == "s" else values


def typed(values: Any, kind: str) -> pd.Series[Any]:
    """Values as a column of this type of columns.py; what is missing stays missing."""
    if kind == "time":
        ms = np.asarray(values, dtype=np.float64)
        whole = np.where(np.isnan(ms), np.iinfo(np.int64).min, np.round(ms)).astype(np.int64)  # the least is NaT
        return pd.Series(whole.view("datetime64[ms]")).dt.tz_localize("UTC")
    if kind == "text":
        return pd.Series(np.asarray(values, dtype=object), dtype="str")
    if kind == "boolean":
        return pd.Series(np.asarray(values, dtype=object), dtype="boolean")
    return pd.Series(np.asarray(values), dtype="Int64" if kind == "integer" else "float64")


def _sessions(cleaned: Cleaned) -> dict[str, Any]:
    found = Interaction(cleaned).summary()
    times = {"start_time": found["start_ms"], "end_time": found["end_ms"]}
    return {**found, **times, "session": np.arange(len(cleaned))}


def _turns(cleaned: Cleaned) -> dict[str, Any]:
    found = Interaction(cleaned).turns()
    times = {"prompt_time": found["prompt_t"], "response_time": found["response_t"]}
    return {**_of_session(cleaned, found["session"]), **found, **times}


def _events(cleaned: Cleaned) -> dict[str, Any]:
    session, t = cleaned.session, cleaned.t
    first = np.searchsorted(session, session)
    start = cleaned.sessions["start_ms"][session]
    own = {"number": np.arange(len(t)) - first + 1, "t": np.round(t).astype(np.int64), "time": t}
    kind = np.array([*cleaned.types, None], dtype=object)[cleaned.type_codes]
    found = {**_of_session(cleaned, session), **own, "session": session, "type": kind}
    found["at_s"] = np.round(t - start, 3) / 1000
    if DATA in cleaned.data:
        return found | _data(cleaned.data[DATA].tolist())
    return found | {key: _clean(key, values) for key, values in cleaned.data.items()}


def _data(objects: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The known data fields as columns, and the rest of each object as JSON text."""
    known = [column.name for column in TABLES["events"] if column.name not in _OWN]
    found = {key: _clean(key, [data.get(key) for data in objects]) for key in known}
    names = frozenset(known)
    return found | {DATA: [_json(data, rest) if (rest := data.keys() - names) else None for data in objects]}


def _json(data: dict[str, Any], keys: Iterable[str]) -> str:
    rest = jsonable({key: data[key] for key in sorted(keys)})
    return well_formed(json.dumps(rest, ensure_ascii=False, allow_nan=False))


def _clean(key: str, values: Any) -> Floats | Objects:
    """Values of a data field as frames have them: floats, texts or None; truth values else."""
    if key in NUMBERS:
        return numbers(values)
    if key in TEXTS:
        return texts(values)
    return np.array([value if isinstance(value, bool) else None for value in values], dtype=object)


def _of_session(cleaned: Cleaned, session: Any) -> dict[str, Any]:
    return {key: cleaned.sessions[key][session] for key in _SESSION}
