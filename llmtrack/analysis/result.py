"""What results are made of: notes, comparisons, and one base that turns results into JSON, tables and HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from llmtrack.analysis.notices import notices
from llmtrack.analysis.stats import Interval
from llmtrack.session.tally import Tally

if TYPE_CHECKING:
    import pandas as pd

Pair = Interval | None  # None where there is none


class Note(NamedTuple):
    """Something the reader must know before the numbers; `code` is stable."""

    code: str
    text: str


class Comparison(NamedTuple):
    """A metric in a group against the control.

    `difference` and `mde` (minimal detectable effect) are in the metric's unit, `lift` is a share of the control's
    value. `p_adjusted` by `correction`, over all groups and metrics of its family. `method` is "none" where nothing may
    be inferred; `verdict` is None where there is none.
    """

    metric: str
    group: str
    control: str
    difference: float | None
    difference_ci: Pair
    lift: float | None
    lift_ci: Pair
    p: float | None
    p_adjusted: float | None
    correction: str
    method: str
    mde: float | None
    verdict: str | None


@dataclass(frozen=True, kw_only=True)
class Result:
    """Base of results: its fields are the keys of the JSON; `records` gives its main table."""

    title: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]  # of the table
    last: ClassVar[tuple[str, ...]] = ("excluded", "repaired", "warnings")  # keys, after the fields of a result

    warnings: list[Note]
    tally: Tally

    @property
    def excluded(self) -> dict[str, int]:
        """What is in no number, reason → how many."""
        return self.tally.left_out

    @property
    def repaired(self) -> dict[str, int]:
        """What cleaning mended, reason → how many."""
        return dict(self.tally.repaired)

    def records(self) -> Iterable[Mapping[str, Any]]:
        """The rows of the main table; an interval is one value."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, as `--format json` prints them after command, source and filters."""
        own = [each.name for each in fields(self) if each.name not in ("tally", *self.last)]
        return {name: plain(getattr(self, name)) for name in (*own, *self.last)}

    def to_frame(self) -> pd.DataFrame:
        """The main table; of an interval both ends, NaN for what there is not."""
        return frame((flat(row) for row in self.records()), self.columns)

    def _repr_html_(self) -> str:
        """For notebooks: the warnings, what was left out, and the table."""
        lines = [f"<p><strong>{html.escape(self.title)}</strong></p>"]
        lines += [f"<p>⚠ {html.escape(note.text)}</p>" for note in self.warnings]
        for label, counts in (("Left out", self.excluded), ("Repaired", self.repaired)):
            told = [f"{count:,} {reason.replace('_', ' ')}" for reason, count in counts.items() if count]
            lines += [f"<p>{label}: {html.escape(', '.join(told))}</p>"] if told else []
        table = self.to_frame().to_html(index=False, border=0, na_rep="", float_format="{:.4g}".format, max_rows=60)
        return "\n".join([*lines, table])


def with_notices(found: Any, first: Iterable[tuple[str, str]] = ()) -> Any:
    """The result, with what must be known of its source before its own warnings."""
    told = [Note(*each) for each in (*first, *notices(found.tally))]
    return replace(found, warnings=[*told, *found.warnings])


def number(value: float) -> float | None:
    """A number as results have it: None where there is none."""
    return float(value) if math.isfinite(value) else None


def pair(interval: Interval) -> Pair:
    """An interval as results have it: None where there is none."""
    known = math.isfinite(interval.lo) and math.isfinite(interval.hi)
    return Interval(float(interval.lo), float(interval.hi)) if known else None


def plain(value: Any) -> Any:
    """A result, or a part of one, as dicts and lists: records by name, an interval as its two ends."""
    if hasattr(value, "_asdict") and not isinstance(value, Interval):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {key: plain(member) for key, member in value.items()}
    return [plain(member) for member in value] if isinstance(value, list | tuple) else value


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with both ends of each interval: `x_ci` becomes x_lo and x_hi."""
    found: dict[str, Any] = {}
    for key, value in row.items():
        if key.endswith("_ci"):
            name = key.removesuffix("_ci")
            found[f"{name}_lo"], found[f"{name}_hi"] = value or (None, None)
        else:
            found[key] = value
    return found


def frame(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a table with these columns; numbers that are missing everywhere are NaN as elsewhere."""
    import pandas as pd

    found = pd.DataFrame(list(rows), columns=list(columns))
    missing = [key for key in found if found[key].isna().all()]
    return found.astype(dict.fromkeys(missing, "float64")) if len(found) else found
