"""Counts of what could not be read, with the first few named."""

from __future__ import annotations

from collections import Counter
from typing import Final

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
