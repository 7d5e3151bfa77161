"""Steps whose events the source never records: nobody can be seen reaching them, which is not that nobody did."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from llmtrack.analysis.funnel.result import FunnelResult, GroupResult, StepResult
from llmtrack.analysis.funnel.steps import Step
from llmtrack.analysis.recorded import Kinds
from llmtrack.analysis.result import Note


def never(steps: Sequence[Step], recorded: Kinds) -> list[int]:
    """The places of the steps of which no event can be there; none where that is so of all of them."""
    found = [
        place
        for place, step in enumerate(steps)
        if not any(each.any or each.visit or each.type in recorded for each in step.alternatives)
    ]
    return found if len(found) < len(steps) else []


def with_missing(found: FunnelResult, steps: Sequence[Step], missing: Collection[int]) -> FunnelResult:
    """The funnel with these steps in their places, without numbers, and what to say of them."""
    names = [steps[place].name for place in missing]
    types = dict.fromkeys(each.type for place in missing for each in steps[place].alternatives)
    text = (
        f"No {' or '.join(types)} is recorded in this source: {_listed(names)} has no numbers, and the other steps are"
        " counted without it. Is its event's name right?"
    )
    groups = tuple(_filled(group, steps, missing) for group in found.groups)
    return replace(found, groups=groups, warnings=[Note("step_not_recorded", text), *found.warnings])


def _filled(group: GroupResult, steps: Sequence[Step], missing: Collection[int]) -> GroupResult:
    known = iter(group.steps)
    filled = [
        StepResult(step.name, None, None, None, None, None, None) if place in missing else next(known)
        for place, step in enumerate(steps)
    ]
    return group._replace(steps=tuple(filled))


def _listed(names: Sequence[str]) -> str:
    return " and ".join(f"step {name!r}" for name in names)
