"""What a source's writer does in its own way, as settings say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from llmtrack.session.schema import SILENT_AFTER_S


@dataclass(frozen=True)
class Rules:
    """`failed_answer`: patterns (re.search) of answers' texts that are failures. A silence longer than `visit_gap_s`
    begins another session in documents that are `chats` (None: in those of which it is known).
    """

    failed_answer: tuple[str, ...] = ()
    visit_gap_s: float = SILENT_AFTER_S
    chats: bool | None = None


PLAIN: Final = Rules()
