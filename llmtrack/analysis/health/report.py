"""Can this experiment be trusted: what happened to the data, and whether it happened to all groups alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from llmtrack.analysis.experiment.population import check
from llmtrack.analysis.experiment.served import served
from llmtrack.analysis.experiment.users import People, identity, people_of
from llmtrack.analysis.frames import table
from llmtrack.analysis.health.checks import MEASURES, checked
from llmtrack.analysis.health.result import HealthResult, Seen
from llmtrack.analysis.interaction import events as kinds
from llmtrack.analysis.interaction import models
from llmtrack.analysis.interaction.events import Rows
from llmtrack.analysis.parts import Part, compact, merge
from llmtrack.analysis.recorded import looked_for
from llmtrack.analysis.result import number
from llmtrack.session.cleaning.clean import Cleaned
from llmtrack.session.tally import Tally

if TYPE_CHECKING:
    from llmtrack.analysis.report import ReportSettings


@dataclass(frozen=True, kw_only=True)
class Health:
    """Whether an experiment can be trusted. Raises UsageError for an unknown grouping."""

    by: str = "model_group"

    def __post_init__(self) -> None:
        check(self.by)

    @property
    def fields(self) -> tuple[str, ...]:
        """The data fields that it is made of."""
        return tuple(dict.fromkeys((*kinds.FIELDS, "model", *models.fields(self.by))))

    def pick(self, cleaned: Cleaned) -> Part:
        """A row a session: the numerators and denominators of MEASURES; and a row a model that answered in it."""
        rows, sessions = Rows(cleaned), table(cleaned.sessions)
        over = ~sessions["open"]
        stored = sessions["events"] + sessions["duplicates"] + sessions["out_of_range"]
        kept = ["open", "events", "n_gaps", "duplicates", "inversions", "out_of_range", "clock_shifted"]
        numbers = sessions[kept].assign(
            endless=over & (sessions["end_estimated"] | sessions["end_ms"].isna()),
            over=over,
            sent=sessions["events"] + sessions["n_gaps"],
            stored=stored,
            eventful=stored > 0,
            prompts=np.bincount(rows.session[rows.prompt], minlength=len(sessions)),
            errors=np.bincount(rows.session[rows.error], minlength=len(sessions)),
        )
        return Part(
            identity(cleaned, self.by).join(compact(numbers)), {"served": compact(served(rows))}, Tally.of(cleaned)
        )

    def finish(self, parts: Iterable[Part], settings: ReportSettings) -> HealthResult:
        """Every check on the sessions of all parts."""
        whole = merge(parts)
        who = people_of(whole, self.by, None, settings)
        wanted = looked_for(measure.numerator for measure in MEASURES)
        told = {"srm", "srm_unchecked", "users_in_several_groups"}  # as checks
        return HealthResult(
            sessions=len(whole.sessions),
            users=int(who.sessions["user_id"].nunique()),
            checks=checked(whole, who, self.by, settings.recorded(whole.tally.recorded, wanted)),
            groups=[_seen(who, group) for group in range(len(who.groups))],
            warnings=[note for note in who.warnings if note.code not in told],
            tally=whole.tally.with_excluded(who.excluded),
        )


def _seen(who: People, group: int) -> Seen:
    mine = who.sessions[who.arms.arm[who.arms.row] == group]
    return Seen(
        group=who.groups[group],
        sessions=len(mine),
        users=int(mine["user_id"].nunique()),
        open=int(mine["open"].sum()),
        events_per_session=number(float(mine["events"].mean())),
        events_median=number(float(mine["events"].median())),
        first_seen_ms=float(mine["start_ms"].min()),
        last_seen_ms=float(mine["start_ms"].max()),
    )
