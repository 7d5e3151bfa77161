"""Can this experiment be trusted: what happened to the data, and whether it happened to all groups alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pandas as pd

from llmtrack.analysis.experiment.population import SRM_P
from llmtrack.analysis.experiment.users import Comparison, Note, Pair, People, Weights, in_order, number, people
from llmtrack.analysis.frames import table as as_table
from llmtrack.analysis.interaction.events import Rows
from llmtrack.analysis.stats import div, srm_p
from llmtrack.session.cleaning import Cleaned
from llmtrack.session.values import Floats

FIELDS: Final = ("error", "latency_ms")
DIFFERENT_P: Final = 0.001  # as for SRM: a dozen checks, and chance seldom gets there
PERMUTATIONS: Final = 10_000  # fewer could not show a p of 0.001 after its correction for several groups
DIFFERENT: Final = 0.01  # shares nearer than this spoil nothing, however sure their difference
SEVERAL_FAILED: Final = 0.05  # of the users
UNREADABLE_FAILED: Final = 0.01  # of the documents

Status = Literal["ok", "warning", "failed", "unchecked"]


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


class Part(NamedTuple):
    """A group's own number of a check."""

    group: str
    value: float | None
    ci: Pair
    numerator: int
    denominator: int


class Check(NamedTuple):
    """One check: what was found, where the limit is, and what to do.

    `value` is a share, a `limit` above which it is a warning; p: of the same share in all groups (Holm), for srm of the
    configured split.
    """

    check: str
    status: Status
    finding: str
    threshold: str
    advice: str
    value: float | None = None
    limit: float | None = None
    p: float | None = None
    groups: tuple[Part, ...] = ()


class Seen(NamedTuple):
    """A group: its visits and users, visits that are open, events per visit; first and last seen in epoch ms."""

    group: str
    sessions: int
    users: int
    open: int
    events_per_session: float | None
    events_median: float | None
    first_seen_ms: float
    last_seen_ms: float


class Health(NamedTuple):
    """The result of `health`."""

    sessions: int
    users: int
    checks: list[Check]
    groups: list[Seen]
    excluded: dict[str, int]
    repaired: dict[str, int]
    warnings: list[Note]

    @property
    def failed(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if check.status == "failed"]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, as `--format json` prints them after command, source and filters."""
        checks = [{**check._asdict(), "groups": [part._asdict() for part in check.groups]} for check in self.checks]
        groups = [group._asdict() for group in self.groups]
        warnings = [note._asdict() for note in self.warnings]
        return {"ok": not self.failed, **self._asdict(), "checks": checks, "groups": groups, "warnings": warnings}

    def to_frame(self) -> pd.DataFrame:
        """A row a check."""
        return pd.DataFrame(self.checks, columns=list(Check._fields)).drop(columns="groups")


def health(
    batches: Cleaned | Iterable[Cleaned],
    *,
    by: str = "model_group",
    weights: Weights | None = None,
    unreadable: Callable[[], int] = lambda: 0,
) -> Health:
    """Every check on clean sessions, or on batches of them, read with FIELDS.

    `weights`: those of each configured experiment. `unreadable`: how many documents the source could not
    use; asked when all batches are read. Raises UsageError for an unknown grouping.
    """
    excluded: Counter[str] = Counter()
    repaired: Counter[str] = Counter()
    parts = []
    for cleaned in [batches] if isinstance(batches, Cleaned) else batches:
        excluded.update(cleaned.excluded)
        repaired.update(cleaned.repaired)
        parts.append(pick(cleaned))
    table = pd.concat(parts, ignore_index=True)
    table = table.loc[in_order(table)].reset_index(drop=True)
    who = people(table, by, None, weights)
    checks = [
        _sessions(table, unreadable()),
        *([_srm(who), _several(table, who)] if by == "model_group" else []),
        *(_measured(measure, who) for measure in MEASURES),
    ]
    told = {"srm", "srm_unchecked", "users_in_several_groups"}  # as checks
    warnings = [note for note in who.warnings if note.code not in told]
    users = int(who.sessions["user_id"].nunique())
    seen = [_seen(who, group) for group in range(len(who.groups))]
    return Health(len(table), users, checks, seen, {**excluded, **who.excluded}, dict(repaired), warnings)


def pick(cleaned: Cleaned) -> pd.DataFrame:
    """A row a session: its columns, and the numerators and denominators of MEASURES."""
    rows, sessions = Rows(cleaned), as_table(cleaned.sessions)
    over = ~sessions["open"]
    stored = sessions["events"] + sessions["duplicates"] + sessions["out_of_range"]
    return sessions.assign(
        endless=over & (sessions["end_estimated"] | sessions["end_ms"].isna()),
        over=over,
        sent=sessions["events"] + sessions["n_gaps"],
        stored=stored,
        eventful=stored > 0,
        prompts=np.bincount(rows.session[rows.prompt], minlength=len(sessions)),
        errors=np.bincount(rows.session[rows.error], minlength=len(sessions)),
    )


def _sessions(table: pd.DataFrame, unreadable: int) -> Check:
    name, limit = "unreadable", f"none; over {UNREADABLE_FAILED:.0%} of the documents: failed"
    advice = "The lines on stderr name the documents and what is wrong with them." if unreadable else ""
    share = div(unreadable, len(table) + unreadable)
    if not len(table):
        return Check(
            name, "failed", "no session was read", "at least one", "Is the tracker on the page, the source right?"
        )
    status: Status = "failed" if share > UNREADABLE_FAILED else "warning" if unreadable else "ok"
    finding = f"{len(table)} sessions were read, {unreadable} documents could not be"
    return Check(name, status, finding, limit, advice, number(share), 0.0)


def _srm(who: People) -> Check:
    name, limit = "srm", f"p of the configured split under {SRM_P}: failed"
    users = np.bincount(who.arms.arm, minlength=len(who.groups)).tolist()
    counts = dict(zip(who.groups, users, strict=True))
    parts = tuple(Part(group, number(div(n, sum(users))), None, n, sum(users)) for group, n in counts.items())
    told = ", ".join(f"{group} {count}" for group, count in counts.items())
    if who.weights is None:
        advice = "Write the experiment's groups and weights into llmtrack.toml."
        return Check(name, "unchecked", f"users: {told}; no weights are configured", limit, advice, groups=parts)
    p = number(srm_p(counts, who.weights))
    if p is None:
        finding = "there are not two groups of a configured weight"
        return Check(name, "unchecked", finding, limit, "Compare the names in llmtrack.toml.", groups=parts)
    failed = p < SRM_P
    advice = "Something loses or doubles users of one group: find it before reading any difference." if failed else ""
    return Check(name, "failed" if failed else "ok", f"users: {told}", limit, advice, None, None, p, parts)


def _several(table: pd.DataFrame, who: People) -> Check:
    count = who.excluded["users_in_several_groups"]
    of = count + int(who.sessions["user_id"].nunique())
    share = div(count, of)
    status: Status = "failed" if share > SEVERAL_FAILED else "warning" if count else "ok"
    advice = "They are left out of comparisons. Is the group kept when a user comes back?" if count else ""
    limit = f"none; over {SEVERAL_FAILED:.0%} of the users: failed"
    return Check("users_in_several_groups", status, f"{count} of {of} users", limit, advice, number(share), 0.0)


def _measured(measure: Measure, who: People) -> Check:
    row = who.arms.row
    numerator, denominator = (
        who.add(row, who.sessions[column].to_numpy(dtype=np.float64))
        for column in (measure.numerator, measure.denominator)
    )
    parts = tuple(_part(who, group, numerator, denominator) for group in range(len(who.groups)))
    value = number(div(float(numerator.sum()), float(denominator.sum())))
    tested = who.compare({measure.check: (numerator, denominator)}, PERMUTATIONS)
    p = min((each.p_adjusted for each in tested if each.p_adjusted is not None), default=None)
    differs = any(_differs(each) for each in tested)
    status = _status(measure, value, differs)
    finding = f"{int(numerator.sum())} of {int(denominator.sum())} {measure.of}"
    if differs:
        finding += ", not alike in all groups"
    advice = measure.advice if status in ("warning", "failed") else ""
    return Check(measure.check, status, finding, _threshold(measure), advice, value, measure.warn, p, parts)


def _differs(found: Comparison) -> bool:
    """Never from p alone: of three events in all a permutation can make too much."""
    if found.p_adjusted is None or found.difference is None or found.difference_ci is None:
        return False
    lo, hi = found.difference_ci
    return found.p_adjusted < DIFFERENT_P and abs(found.difference) >= DIFFERENT and not lo <= 0 <= hi


def _part(who: People, group: int, numerator: Floats, denominator: Floats) -> Part:
    mine = who.arms.arm == group
    count, of = int(numerator[mine].sum()), int(denominator[mine].sum())
    return Part(who.groups[group], number(div(count, of)), who.share(group, numerator, denominator), count, of)


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


def _seen(who: People, group: int) -> Seen:
    mine = who.sessions[who.arms.arm[who.arms.row] == group]
    return Seen(
        who.groups[group],
        len(mine),
        int(mine["user_id"].nunique()),
        int(mine["open"].sum()),
        number(float(mine["events"].mean())),
        number(float(mine["events"].median())),
        float(mine["start_ms"].min()),
        float(mine["start_ms"].max()),
    )
