"""The checks of the health report, each with its limits and its advice."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from llmtrack.analysis.experiment.population import SRM_P
from llmtrack.analysis.experiment.served import ENOUGH, SLIGHT, changes
from llmtrack.analysis.experiment.users import People
from llmtrack.analysis.health.result import Check, GroupShare, Status
from llmtrack.analysis.parts import Part
from llmtrack.analysis.recorded import Kinds, told
from llmtrack.analysis.result import Comparison, number
from llmtrack.analysis.stats import div
from llmtrack.session.tally import Tally
from llmtrack.session.values import Floats

DIFFERENT_P: Final = 0.001  # as for SRM: a dozen checks, and chance seldom gets there
PERMUTATIONS: Final = 10_000  # fewer could not show a p of 0.001 after its correction for several groups
DIFFERENT: Final = 0.01  # shares nearer than this spoil nothing, however sure their difference
NAMED: Final = 6  # models that changed are named up to so many
SEVERAL_FAILED: Final = 0.05  # of the users
UNREADABLE_FAILED: Final = 0.01  # of the documents


class Measure(NamedTuple):
    """A share that should be small: columns of the session table, limits, and what to do beyond them.

    `lossy`: it takes something away, so that a difference between groups spoils their comparison: a failure.
    """

    check: str
    of: str
    numerator: str
    denominator: str
    warn: float
    fail: float | None
    lossy: bool
    advice: str


MEASURES: Final = (
    Measure(
        "missing_end", "sessions that are over", "endless", "over", 0.2, None, True,
        "Sessions without end_time end at their last event: durations there are too short. Does the page call end?",
    ),
    Measure(
        "lost_events", "events that were sent", "n_gaps", "sent", 0.01, 0.05, True,
        "The tracker numbered events that never arrived. Look for refused requests in the collector's /metrics.",
    ),
    Measure(
        "out_of_range", "events", "out_of_range", "stored", 0.01, 0.05, True,
        "Events far outside their session were left out: which clock wrote t?",
    ),
    Measure(
        "duplicates", "events", "duplicates", "stored", 0.05, None, False,
        "Each is counted once. Something sends or stores events twice.",
    ),
    Measure(
        "inversions", "events", "inversions", "events", 0.05, None, False,
        "Events were put in order of t. Do several clocks write t?",
    ),
    Measure(
        "clock_offsets", "sessions with events", "clock_shifted", "eventful", 0.05, None, False,
        "All t of these sessions were moved to their start. Which writer has another clock or time zone?",
    ),
    Measure(
        "errors", "prompts", "errors", "prompts", 0.1, 0.5, False,
        "Failed answers change what people do next. Look at the errors: llmtrack export turns.",
    ),
)  # fmt: skip


def checked(whole: Part, who: People, by: str, recorded: Kinds) -> list[Check]:
    """Every check of the sessions of `whole`; those of an experiment's groups only when they are what is compared."""
    of_groups = by == "model_group"
    return [
        _sessions(whole.tally),
        *([_srm(who), _several(who)] if of_groups else []),
        *(_measured(each, who) if told(each.numerator, recorded) else _untold(each) for each in MEASURES),
        *([_models(whole, who)] if of_groups else []),
    ]


def _sessions(tally: Tally) -> Check:
    unreadable = sum(tally.unreadable.values())
    share = div(unreadable, tally.sessions + unreadable)
    found = Check(
        check="unreadable",
        status="failed" if share > UNREADABLE_FAILED else "warning" if unreadable else "ok",
        finding=f"{tally.sessions} sessions were read, {unreadable} documents could not be",
        threshold=f"none; over {UNREADABLE_FAILED:.0%} of the documents: failed",
        advice="The lines on stderr name the documents and what is wrong with them." if unreadable else "",
        value=number(share),
        limit=0.0,
    )
    if tally.sessions:
        return found
    advice = "Is the tracker on the page, the source right?"
    return found._replace(
        status="failed", finding="no session was read", threshold="at least one", advice=advice, value=None, limit=None
    )


def _srm(who: People) -> Check:
    users = np.bincount(who.arms.arm, minlength=len(who.groups)).tolist()
    counts = dict(zip(who.groups, users, strict=True))
    told = ", ".join(f"{group} {count}" for group, count in counts.items())
    found = Check(
        check="srm",
        status="unchecked",
        finding=f"users: {told}",
        threshold=f"p of the configured split under {SRM_P}: failed",
        advice="",
        groups=tuple(
            GroupShare(group=group, value=number(div(n, sum(users))), ci=None, numerator=n, denominator=sum(users))
            for group, n in counts.items()
        ),
    )
    if who.weights is None:
        advice = "Write the experiment's groups and weights into llmtrack.toml."
        return found._replace(finding=f"{found.finding}; no weights are configured", advice=advice)
    p = number(who.srm_p)
    if p is None:
        finding = "there are not two groups of a configured weight to compare"
        return found._replace(finding=finding, advice="Compare the names in llmtrack.toml; ask for all groups.")
    if p >= SRM_P:
        return found._replace(status="ok", p=p)
    advice = "Something loses or doubles users of one group: find it before reading any difference."
    return found._replace(status="failed", advice=advice, p=p)


def _several(who: People) -> Check:
    count = who.excluded["users_in_several_groups"]
    of = count + int(who.sessions["user_id"].nunique())
    share = div(count, of)
    return Check(
        check="users_in_several_groups",
        status="failed" if share > SEVERAL_FAILED else "warning" if count else "ok",
        finding=f"{count} of {of} users",
        threshold=f"none; over {SEVERAL_FAILED:.0%} of the users: failed",
        advice="They are left out of comparisons. Is the group kept when a user comes back?" if count else "",
        value=number(share),
        limit=0.0,
    )


def _models(whole: Part, who: People) -> Check:
    found = changes(whole.tables["served"], who)
    count, of = int(found.answers.sum()), int(found.of.sum())
    share = number(div(count, of)) if found.enough else None
    return Check(
        check="model_changes",
        status="unchecked" if share is None else "warning" if count else "ok",
        finding=f"{count} of {of} answers by models that came or went{_listed(found.told)}",
        threshold=f"a model with {ENOUGH} answers and {SLIGHT:.0%} of its group's, none in the first or last quarter",
        advice="The provider changed the model: compare within one, by --since and --until." if count else "",
        value=share,
        limit=0.0,
        groups=tuple(_of_group(who, group, found.answers, found.of) for group in range(len(who.groups))),
    )


def _listed(told: list[str]) -> str:
    shown = ", ".join(told[:NAMED]) + (", …" if len(told) > NAMED else "")
    return f" ({shown})" if told else ""


def _measured(measure: Measure, who: People) -> Check:
    row = who.arms.row
    numerator, denominator = (
        who.add(row, who.sessions[column].to_numpy(dtype=np.float64))
        for column in (measure.numerator, measure.denominator)
    )
    value = number(div(float(numerator.sum()), float(denominator.sum())))
    tested = who.compare({measure.check: (numerator, denominator)}, PERMUTATIONS)
    p = min((each.p_adjusted for each in tested if each.p_adjusted is not None), default=None)
    differs = any(_differs(each) for each in tested)
    status = _status(measure, value, differs)
    finding = f"{int(numerator.sum())} of {int(denominator.sum())} {measure.of}"
    if differs:
        finding += ", not alike in all groups"
    return Check(
        check=measure.check,
        status=status,
        finding=finding,
        threshold=_threshold(measure),
        advice=measure.advice if status in ("warning", "failed") else "",
        value=value,
        limit=measure.warn,
        p=p,
        groups=tuple(_of_group(who, group, numerator, denominator) for group in range(len(who.groups))),
    )


def _untold(measure: Measure) -> Check:
    """A check of what the source never records."""
    finding = "never recorded in this source"
    return Check(measure.check, "unchecked", finding, _threshold(measure), "", None, measure.warn)


def _differs(found: Comparison) -> bool:
    """Never from p alone: of three events in all a permutation can make too much."""
    if found.p_adjusted is None or found.difference is None or found.difference_ci is None:
        return False
    lo, hi = found.difference_ci
    return found.p_adjusted < DIFFERENT_P and abs(found.difference) >= DIFFERENT and not lo <= 0 <= hi


def _of_group(who: People, group: int, numerator: Floats, denominator: Floats) -> GroupShare:
    mine = who.arms.arm == group
    count, of = int(numerator[mine].sum()), int(denominator[mine].sum())
    return GroupShare(
        group=who.groups[group],
        value=number(div(count, of)),
        ci=who.share(group, numerator, denominator),
        numerator=count,
        denominator=of,
    )


def _status(measure: Measure, value: float | None, differs: bool) -> Status:
    if value is None:
        return "unchecked"
    if (measure.fail is not None and value > measure.fail) or (differs and measure.lossy):
        return "failed"
    return "warning" if value > measure.warn or differs else "ok"


def _threshold(measure: Measure) -> str:
    limits = [f"over {measure.warn:.0%}: warning"]
    if measure.fail is not None:
        limits.append(f"over {measure.fail:.0%}: failed")
    worse = "failed" if measure.lossy else "warning"
    limits.append(f"groups differ by {DIFFERENT:.0%} (p under {DIFFERENT_P}): {worse}")
    return "; ".join(limits)
