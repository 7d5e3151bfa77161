"""What the health report says: every check, and what was seen of each group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from llmtrack.analysis.result import Pair, Result

Status = Literal["ok", "warning", "failed", "unchecked"]


class GroupShare(NamedTuple):
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
    groups: tuple[GroupShare, ...] = ()


class Seen(NamedTuple):
    """A group: its sessions and users, sessions that are open, events per session; first and last seen in epoch ms."""

    group: str
    sessions: int
    users: int
    open: int
    events_per_session: float | None
    events_median: float | None
    first_seen_ms: float
    last_seen_ms: float


@dataclass(frozen=True, kw_only=True)
class HealthResult(Result):
    """Every check, and what was seen of each group."""

    title: ClassVar = "Health"
    columns: ClassVar = ("check", "status", "finding", "threshold", "advice", "value", "limit", "p")

    sessions: int
    users: int
    checks: list[Check]
    groups: list[Seen]

    @property
    def failed(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if check.status == "failed"]

    def records(self) -> Iterator[dict[str, Any]]:
        """A row a check."""
        return ({key: getattr(check, key) for key in self.columns} for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, as `--format json` prints them after command, source and filters."""
        return {"ok": not self.failed, **super().to_dict()}
