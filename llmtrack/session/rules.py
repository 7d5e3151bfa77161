"""What a source's writer does in its own way, as settings say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Rules:
    """`failed_answer`: patterns (re.search) of answers' texts that are failures."""

    failed_answer: tuple[str, ...] = ()


PLAIN: Final = Rules()
