"""The reports on sessions: for notebooks, and for the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Unpack

import numpy as np
import pandas as pd

from llmtrack.config import Settings
from llmtrack.session.document import UNKNOWN

if TYPE_CHECKING:
    from llmtrack.analysis.chats import Chats
    from llmtrack.analysis.dropoff import Dropoff
    from llmtrack.analysis.experiment.aa import AA
    from llmtrack.analysis.experiment.result import Engagement
    from llmtrack.analysis.funnel.history import By, Unit
    from llmtrack.analysis.funnel.moments import Order
    from llmtrack.analysis.funnel.result import Funnel
    from llmtrack.analysis.health import Health
    from llmtrack.analysis.queries import Queries
from llmtrack.sessions import Sessions, Where


def funnel(
    sessions: Sessions,
    steps: Sequence[str] | None = None,
    *,
    unit: Unit = "session",
    order: Order = "ordered",
    window_s: float = 24 * 60 * 60,
    exclude: Sequence[str] = (),
    among: Sequence[str] = (),
    by: By = "model_group",
    control: str | None = None,
    **where: Unpack[Where],
) -> Funnel:
    """How many sessions, chats or users of each group get how far through `steps`; docs/funnel.md has the rules.

    Raises StepError and UsageError.
    """
    from llmtrack.analysis.funnel.report import DEFAULT_STEPS, needed_fields
    from llmtrack.analysis.funnel.report import funnel as counted

    chosen, steps = sessions.where(**where), steps or DEFAULT_STEPS
    found = counted(
        chosen.frames(needed_fields(steps, unit=unit, exclude=exclude, among=among)),
        steps,
        unit=unit,
        order=order,
        window_s=window_s,
        exclude=exclude,
        among=among,
        by=by,
        control=control,
    )
    return found._replace(excluded={**chosen.excluded, **found.excluded})


def engagement(
    sessions: Sessions,
    *,
    by: str = "model_group",
    control: str | None = None,
    primary: Sequence[str] | None = None,
    margin: float = 0.05,
    force: bool = False,
    seed: int = 0,
    weights: Mapping[str, float] | None = None,
    **where: Unpack[Where],
) -> Engagement:
    """Every metric by group, each other group against the control; docs/statistics.md says how it is made.

    `primary`: at most 3 metrics; `weights`: configured shares of users, by default those of the experiment in
    llmtrack.toml. Raises UsageError.
    """
    from llmtrack.analysis.experiment.report import DEFAULT_PRIMARY
    from llmtrack.analysis.experiment.report import engagement as compared

    chosen, primary = sessions.where(**where), primary or DEFAULT_PRIMARY
    table, responses = _engaged(chosen, by, primary)
    found = compared(
        table,
        by=by,
        control=control,
        primary=primary,
        weights=weights or _weights_of(table, chosen.settings),
        margin=margin,
        seed=seed,
        force=force,
        responses=responses,
    )
    return found._replace(excluded={**chosen.excluded, **found.excluded})


def false_positives(
    sessions: Sessions, runs: int, *, by: str = "model_group", seed: int = 0, **where: Unpack[Where]
) -> AA:
    """How often each metric differs when users are given random groups `runs` times. Raises UsageError."""
    from llmtrack.analysis.experiment.aa import aa

    table, responses = _engaged(sessions.where(**where), by)
    return aa(table, runs, by=by, seed=seed, responses=responses)


def queries(sessions: Sessions, limit: int | None = None, **where: Unpack[Where]) -> Queries:
    """Prompts by how useful their answers were; docs/reports.md defines each number."""
    from llmtrack.analysis.queries import FIELDS
    from llmtrack.analysis.queries import queries as ranked

    chosen = sessions.where(**where)
    found = ranked(chosen.cleaned(FIELDS), limit)
    return found._replace(excluded={**chosen.excluded, **found.excluded})


def dropoff(
    sessions: Sessions, *, by: str = "model_group", control: str | None = None, **where: Unpack[Where]
) -> Dropoff:
    """Where people stop; docs/reports.md defines each number. Raises UsageError."""
    from llmtrack.analysis.dropoff import FIELDS
    from llmtrack.analysis.dropoff import dropoff as stopped

    chosen = sessions.where(**where)
    found = stopped(chosen.cleaned(FIELDS), by=by, control=control, weights=_weights(chosen.settings))
    return found._replace(excluded={**chosen.excluded, **found.excluded})


def chats(sessions: Sessions, *, by: str = "model_group", control: str | None = None, **where: Unpack[Where]) -> Chats:
    """How long chats are; docs/reports.md defines each number. Raises UsageError."""
    from llmtrack.analysis.chats import FIELDS
    from llmtrack.analysis.chats import chats as measured

    chosen = sessions.where(**where)
    weights = _weights(chosen.settings)
    found = measured(chosen.cleaned(FIELDS), chosen.now, by=by, control=control, weights=weights)
    return found._replace(excluded={**chosen.excluded, **found.excluded})


def health(sessions: Sessions, *, by: str = "model_group", **where: Unpack[Where]) -> Health:
    """Whether an experiment can be trusted; docs/reports.md has all checks. Raises UsageError."""
    from llmtrack.analysis.health import FIELDS
    from llmtrack.analysis.health import health as examined

    chosen = sessions.where(**where)
    found = examined(
        chosen.cleaned(FIELDS),
        by=by,
        weights=_weights(chosen.settings),
        unreadable=lambda: chosen.source.unreadable.total(),
    )
    return found._replace(excluded={**chosen.excluded, **found.excluded})


def _engaged(sessions: Sessions, by: str, primary: Sequence[str] = ()) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row a session and a row a response, both in an order that does not hang on the source."""
    from llmtrack.analysis.experiment.population import check
    from llmtrack.analysis.experiment.report import responses_of
    from llmtrack.analysis.frames import table as as_table
    from llmtrack.analysis.interaction import Interaction, summary, turns

    parts, answers, count = [], [], 0
    for batch in sessions.cleaned(tuple(dict.fromkeys((*summary.TEXT_FIELDS, *turns.FIELDS)))):
        interaction = Interaction(batch)
        parts.append(as_table(interaction.summary()))
        found = as_table(interaction.turns())
        answers.append(found.assign(session=found["session"] + count))
        count += len(batch)
    table = pd.concat(parts, ignore_index=True)
    check(table, by, primary)
    order = table.sort_values(["start_ms", "session_id"]).index.to_numpy()
    place = np.empty(count, dtype=np.int64)
    place[order] = np.arange(count)
    turned = pd.concat(answers, ignore_index=True)
    turned["session"] = place[turned["session"].to_numpy()]
    table = table.iloc[order].reset_index(drop=True)
    return table, responses_of(table, turned.sort_values("session", kind="stable"), by)


def _weights(settings: Settings) -> dict[str, dict[str, float]]:
    """The weight of each group of each configured experiment."""
    named = settings.experiments.items()
    return {name: {group.name: group.weight for group in experiment.groups} for name, experiment in named}


def _weights_of(table: pd.DataFrame, settings: Settings) -> dict[str, float] | None:
    """The weights of the one experiment that these sessions belong to."""
    named = [name for name in table["experiment_id"].unique() if name != UNKNOWN]
    return _weights(settings).get(named[0]) if len(named) == 1 else None
