"""The reports on sessions as Python calls; each has a class of the same name that holds its question.

`by`: what sessions are grouped by; None: see `Sessions.grouping`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Unpack

from llmtrack.session.values import several
from llmtrack.sessions import Sessions, Where

if TYPE_CHECKING:
    from llmtrack.analysis.chats.result import ChatsResult
    from llmtrack.analysis.dropoff.result import DropoffResult
    from llmtrack.analysis.experiment.aa import AA
    from llmtrack.analysis.experiment.result import EngagementResult
    from llmtrack.analysis.funnel.history import By, Unit
    from llmtrack.analysis.funnel.moments import Order
    from llmtrack.analysis.funnel.result import FunnelResult
    from llmtrack.analysis.health.result import HealthResult
    from llmtrack.analysis.queries import QueriesResult


def funnel(
    sessions: Sessions,
    steps: str | Sequence[str] | None = None,
    *,
    unit: Unit = "session",
    order: Order = "ordered",
    window_s: float = 24 * 60 * 60,
    exclude: str | Sequence[str] = (),
    among: str | Sequence[str] = (),
    by: By | None = None,
    control: str | None = None,
    **where: Unpack[Where],
) -> FunnelResult:
    """How many sessions, chats or users of each group get how far through `steps`; docs/funnel.md has the rules.

    A text alone is one step. Raises StepError and UsageError.
    """
    from llmtrack.analysis.funnel.report import DEFAULT_STEPS, Funnel

    chosen = sessions.where(**where)
    report = Funnel(
        steps=several(steps or DEFAULT_STEPS),
        unit=unit,
        order=order,
        window_s=window_s,
        exclude=several(exclude),
        among=several(among),
        by=chosen.grouping(by),  # type: ignore[arg-type] # checked there
        control=control,
    )
    return chosen.run(report)


def engagement(
    sessions: Sessions,
    *,
    by: str | None = None,
    control: str | None = None,
    primary: str | Sequence[str] | None = None,
    margin: float = 0.05,
    force: bool = False,
    seed: int = 0,
    weights: Mapping[str, float] | None = None,
    **where: Unpack[Where],
) -> EngagementResult:
    """Every metric by group, each other group against the control; docs/statistics.md says how it is made.

    `primary`: at most 3 metrics; `weights`: configured shares of users, by default those of the experiment in
    llmtrack.toml. Raises UsageError.
    """
    from llmtrack.analysis.experiment.report import DEFAULT_PRIMARY, Engagement

    primary = several(primary or DEFAULT_PRIMARY)
    chosen = sessions.where(**where)
    report = Engagement(
        by=chosen.grouping(by),
        control=control,
        primary=primary,
        margin=margin,
        force=force,
        seed=seed,
        weights=weights,
    )
    return chosen.run(report)


def false_positives(
    sessions: Sessions, runs: int, *, by: str | None = None, seed: int = 0, **where: Unpack[Where]
) -> AA:
    """How often each metric differs when users are given random groups `runs` times. Raises UsageError."""
    from llmtrack.analysis.experiment.aa import FalsePositives

    chosen = sessions.where(**where)
    return chosen.run(FalsePositives(runs=runs, by=chosen.grouping(by), seed=seed))


def queries(sessions: Sessions, limit: int | None = None, **where: Unpack[Where]) -> QueriesResult:
    """Prompts by how useful their answers were; docs/reports.md defines each number."""
    from llmtrack.analysis.queries import Queries

    return sessions.where(**where).run(Queries(limit=limit))


def dropoff(
    sessions: Sessions, *, by: str | None = None, control: str | None = None, **where: Unpack[Where]
) -> DropoffResult:
    """Where people stop; docs/reports.md defines each number. Raises UsageError."""
    from llmtrack.analysis.dropoff.report import Dropoff

    chosen = sessions.where(**where)
    return chosen.run(Dropoff(by=chosen.grouping(by), control=control))


def chats(
    sessions: Sessions, *, by: str | None = None, control: str | None = None, **where: Unpack[Where]
) -> ChatsResult:
    """How long chats are; docs/reports.md defines each number. Raises UsageError."""
    from llmtrack.analysis.chats.report import Chats

    chosen = sessions.where(**where)
    return chosen.run(Chats(by=chosen.grouping(by), control=control))


def health(sessions: Sessions, *, by: str | None = None, **where: Unpack[Where]) -> HealthResult:
    """Whether an experiment can be trusted; docs/reports.md has all checks. Raises UsageError."""
    from llmtrack.analysis.health.report import Health

    chosen = sessions.where(**where)
    return chosen.run(Health(by=chosen.grouping(by)))
