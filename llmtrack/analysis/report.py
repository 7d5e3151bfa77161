"""What every report is: a question, picked from batches of sessions and finished from what was picked.

parts = map(report.pick, sessions.cleaned(report.fields))
result = report.finish(parts, settings)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

from llmtrack.analysis.parts import Part
from llmtrack.analysis.recorded import Elsewhere, Kinds

if TYPE_CHECKING:
    from llmtrack.session.cleaning.clean import Cleaned

Finding = TypeVar("Finding", covariant=True)


def _as_seen(seen: Kinds, _: Kinds) -> Kinds:
    return seen


@dataclass(frozen=True)
class ReportSettings:
    """What a report must know beside its question and the sessions.

    `now` (aware): when the sessions were read. `weights`: experiment → group → configured share of users, any scale.
    `one_group`: the sessions of one group were asked for. `recorded`: of the kinds of events seen in these sessions and
    those looked for, which the whole source records.
    """

    now: datetime
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    one_group: bool = False
    recorded: Elsewhere = _as_seen


class Report(Protocol[Finding]):
    """A question to sessions: small and picklable."""

    @property
    def fields(self) -> tuple[str, ...] | None:
        """The data fields of events that `pick` reads; None: whole data objects."""

    def pick(self, cleaned: Cleaned, /) -> Part:
        """What the report keeps of these sessions."""

    def finish(self, parts: Iterable[Part], settings: ReportSettings, /) -> Finding:
        """The result, of all parts (at least one) in any order."""
