"""Where people stop: turn by turn, for which reason, after how many seconds, and after how slow an answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from llmtrack.analysis.dropoff.counted import Counted
from llmtrack.analysis.dropoff.result import DropoffResult
from llmtrack.analysis.experiment.population import check
from llmtrack.analysis.experiment.spread import spread
from llmtrack.analysis.experiment.users import identity, people_of
from llmtrack.analysis.frames import table
from llmtrack.analysis.interaction import Interaction, models, summary, turns
from llmtrack.analysis.parts import Part, compact, merge
from llmtrack.analysis.recorded import Kinds, looked_for, told
from llmtrack.analysis.result import Note
from llmtrack.session.cleaning.clean import Cleaned
from llmtrack.session.tally import Tally

if TYPE_CHECKING:
    from llmtrack.analysis.report import ReportSettings
    from llmtrack.session.cleaning.batch import Ints


@dataclass(frozen=True, kw_only=True)
class Dropoff:
    """Where people stop, by group. Raises UsageError for an unknown grouping or control."""

    by: str = "model_group"
    control: str | None = None

    def __post_init__(self) -> None:
        check(self.by)

    @property
    def fields(self) -> tuple[str, ...]:
        """The data fields that turns and sessions are made of."""
        return tuple(dict.fromkeys((*summary.FIELDS, *turns.FIELDS, *models.fields(self.by))))

    def pick(self, cleaned: Cleaned) -> Part:
        """A row a session (`spread`), a row a prompt, a row an answer that was followed by idleness."""
        interaction = Interaction(cleaned)
        numbers = table(interaction.summary())[["exit_reason", "idle"]]
        rows, row = spread(interaction, self.by, identity(cleaned, self.by).join(numbers))
        found = table(interaction.turns())
        found = found[found["turn"] > 0]
        found = found.assign(session=row[found["event"].to_numpy()])
        found = found[["session", "turn", "next", "idle_first", "answered", "partial", "latency_ms"]]
        tables = {"turns": found.reset_index(drop=True), "idle": idle_after(interaction, row)}
        return Part(rows, {name: compact(each) for name, each in tables.items()}, Tally.of(cleaned))

    def finish(self, parts: Iterable[Part], settings: ReportSettings) -> DropoffResult:
        """What the sessions of all parts say."""
        whole = merge(parts)
        who = people_of(whole, self.by, self.control, settings)
        recorded = settings.recorded(whole.tally.recorded, looked_for(["idle", "silent", "copied", "selected"]))
        counted = Counted(who, whole, recorded)
        groups = range(len(who.groups))
        return DropoffResult(
            control=who.control_name,
            sessions=int(counted.whole.sum()),
            users=int(who.sessions["user_id"].nunique()),
            groups=[counted.group(group) for group in groups],
            turns=[turn for group in groups for turn in counted.turns(group)],
            exits=[reason for group in groups for reason in counted.exits(group)],
            idle=[counted.idle(group) for group in groups],
            latency=[bucket for group in groups for bucket in counted.latency(group)],
            comparisons=who.compare(
                {"left_share": counted.left, **({"idle_share": counted.idled} if counted.tells_idle else {})}
            ),
            warnings=[*who.warnings, *_notes(recorded)],
            tally=whole.tally.with_excluded(who.excluded),
        )


def idle_after(interaction: Interaction, row: Ints) -> pd.DataFrame:
    """A row an answer after which nobody asked on before going idle: session, seconds from the answer to that.

    `row`: which row of sessions each event belongs to.
    """
    rows = interaction.rows
    idle = np.flatnonzero(rows.goes)
    answer = rows.last(rows.prompt | rows.response)[idle]
    fits = (answer >= 0) & rows.answer[answer]
    answer, idle = answer[fits], idle[fits]
    answer, first = np.unique(answer, return_index=True)
    return pd.DataFrame({"session": row[answer], "seconds": (rows.t[idle[first]] - rows.t[answer]) / 1000})


def _notes(recorded: Kinds) -> list[Note]:
    if told("prompts", recorded) and not told("idle", recorded):
        return [Note("no_idle_events", "No session has activity events that say idle: nobody can be seen going idle.")]
    return []
