"""Filters: which sessions are wanted. One definition, used by every source."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from llmtrack.errors import UsageError
from llmtrack.session.document import BOT, UNKNOWN, Document, device, environment, start_ms
from llmtrack.session.ids import name


@dataclass(frozen=True, slots=True)
class Filters:
    """Sessions that started at `since` or later and before `until` (aware datetimes), with these equal fields.

    A session whose group, experiment, user or device nobody wrote down has the value "unknown". `bots` has no say in
    what is read: reports leave sessions of bots out and count them, unless it is set or the device asked for is "bot".
    `ids`: these sessions alone, whatever was chosen by other means. `people`: bots are not even read.
    Raises UsageError when `until` is not after `since`.
    """

    since: datetime | None = None
    until: datetime | None = None
    group: str | None = None
    experiment: str | None = None
    user: str | None = None
    device: str | None = None
    bots: bool = False
    ids: frozenset[str] | None = None
    people: bool = False

    def __post_init__(self) -> None:
        if self.since is not None and self.until is not None and self.until <= self.since:
            raise UsageError(
                f"until ends at {_iso(self.until)}, and since begins at {_iso(self.since)}: nothing lies between.",
                "Give a later end.",
            )

    @property
    def with_bots(self) -> bool:
        """Whether reports count bots in."""
        return self.bots or self.device == BOT

    def listed(self) -> Filters:
        """The same sessions for a list: without those of bots, where reports would leave them out."""
        return replace(self, people=not self.with_bots)

    def as_dict(self) -> dict[str, str | bool]:
        """The filters that are set, times as ISO 8601 in UTC."""
        found = {key: getattr(self, key) for key in self.__slots__ if key not in ("ids", "people")}
        return {key: _iso(value) if isinstance(value, datetime) else value for key, value in found.items() if value}

    def matches(self, document: Document) -> bool:
        """Whether a usable session document is wanted."""
        if self.since is not None or self.until is not None:
            start = start_ms(document)
            # A chat that began earlier may hold sessions that began later: cleaning tells.
            later = document.get("is_chat") is True and self.since is not None
            if start is None or not (replace(self, since=None) if later else self)._in_time(start):
                return False
        session_id = name(document.get("session_id"))
        if self.ids is not None and session_id is not None and session_id not in self.ids:
            return False
        values = (document.get("model_group"), document.get("experiment_id"), document.get("user_id"))
        for wanted, value in zip((self.group, self.experiment, self.user), values, strict=True):
            if wanted is not None and (name(value) or UNKNOWN) != wanted:
                return False
        found = name(device(environment(document))) or UNKNOWN
        return (self.device is None or found == self.device) and not (self.people and found == BOT)

    def _in_time(self, start: float) -> bool:
        if self.since is not None and start < _ms(self.since):
            return False
        return self.until is None or start < _ms(self.until)


def _ms(moment: datetime) -> float:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
