"""Counts of what could not be read, with the first few named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from llmtrack.session.cleaning.clean import Cleaned

_NAMED: Final = 10


class Broken(Counter[str]):
    """What could not be read: reason → how many. `named` tells where the first few of them lie."""

    def __init__(self) -> None:
        super().__init__()
        self.named: list[str] = []

    def add(self, reason: str, where: str) -> None:
        """Count one more and name it, when it is among the first."""
        self[reason] += 1
        self.name(reason, where)

    def name(self, reason: str, where: str) -> None:
        """Name one that is counted elsewhere, when it is among the first."""
        if len(self.named) < _NAMED:
            self.named.append(f"{where}: {reason.replace('_', ' ')}")


@dataclass(frozen=True)
class Tally:
    """What was counted while sessions were read and cleaned, each a reason → how many.

    `sessions`: those that came through; `unreadable`: documents that no session could be made of, the first few of
    them `named`; `excluded`: what else was left out; `repaired`: what was mended; `recorded`: the kinds of events that
    were there, whatever was left out (session/recorded.py); `noticed`: what a reader of the whole may have to know
    (analysis/notices.py).
    """

    sessions: int = 0
    unreadable: Mapping[str, int] = field(default_factory=dict)
    named: tuple[str, ...] = ()
    excluded: Mapping[str, int] = field(default_factory=dict)
    repaired: Mapping[str, int] = field(default_factory=dict)
    recorded: frozenset[str] = frozenset()
    noticed: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, cleaned: Cleaned) -> Self:
        """What clean sessions tell."""
        unreadable = cleaned.unreadable
        told = cleaned.excluded, cleaned.repaired, cleaned.recorded, cleaned.noticed
        return cls(len(cleaned), dict(unreadable), (*unreadable.named,), *told)

    def with_excluded(self, counts: Mapping[str, int]) -> Self:
        """With more that was left out."""
        return replace(self, excluded=_added([self.excluded, counts]))

    def with_noticed(self, counts: Mapping[str, int]) -> Self:
        """With more that was noticed."""
        return replace(self, noticed=_added([self.noticed, counts]))

    @property
    def left_out(self) -> dict[str, int]:
        """All that is in no number, by reason: `unreadable` and `excluded`."""
        return _added([self.unreadable, self.excluded])


def total(tallies: Iterable[Tally]) -> Tally:
    """Tallies added up."""
    found = list(tallies)
    named = sorted(name for tally in found for name in tally.named)[:_NAMED]
    unreadable, excluded, repaired, noticed = (
        _added([getattr(tally, key) for tally in found]) for key in ("unreadable", "excluded", "repaired", "noticed")
    )
    sessions, recorded = sum(tally.sessions for tally in found), frozenset[str]().union(*(t.recorded for t in found))
    return Tally(sessions, unreadable, tuple(named), excluded, repaired, recorded, noticed)


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts added up, by name: an order that depends on nothing else."""
    added = Counter[str]()
    for each in counts:
        added.update(each)
    return dict(sorted(added.items()))
