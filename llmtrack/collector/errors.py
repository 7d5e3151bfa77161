"""Why the collector does not do what it was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtrack.errors import LlmtrackError

if TYPE_CHECKING:
    pass

import math


class Refused(LlmtrackError):
    """A request that cannot be taken, with the HTTP status to answer."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.status = status


class Denied(LlmtrackError):
    """Not without a better proof; with the HTTP status to answer."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.status = status


class Overload(LlmtrackError):
    """Too much at once: 429 (this sender) or 503 (everybody). `limit` names the setting in [limits] that says so."""

    def __init__(self, status: int, limit: str, retry_after_s: float, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.status = status
        self.limit = limit
        self.retry_after_s = max(1, math.ceil(retry_after_s))
