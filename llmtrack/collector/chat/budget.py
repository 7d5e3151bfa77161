"""How many tokens a user may spend in a day (UTC), when `limits.tokens_per_user_per_day` is set."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from llmtrack.collector.errors import Overload
from llmtrack.errors import LlmtrackError
from llmtrack.store.database.usage import Usage, midnight

CHARACTERS_PER_TOKEN = 4  # of English text, about; for providers that count nothing
AWAY_S = 30  # a database that did not answer is left alone so long

log = logging.getLogger("llmtrack")


class Budget:
    """Counts what users spend. While the database is away nothing is counted and nobody is refused."""

    def __init__(
        self, usage: Usage, per_day: int | None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._usage, self._per_day, self._clock = usage, per_day, clock
        self._away_until = 0.0

    def check(self, user_id: str) -> None:
        """Raise Overload (429) when the user's day is spent. A question that is let in is answered whole."""
        if self._per_day is None or self._away or not user_id:
            return
        now = self._clock()
        try:
            spent = self._usage.tokens(user_id, midnight(now))
        except LlmtrackError as error:
            self._is_away(error)
            return
        if spent >= self._per_day:
            end = midnight(now) + timedelta(days=1)
            raise Overload(
                429,
                "tokens_per_user_per_day",
                (end - now).total_seconds(),
                f"This user has spent {spent:,} of {self._per_day:,} tokens today.",
                f"There are new ones at {end:%Y-%m-%d %H:%M} UTC.",
            )

    def spend(self, user_id: str, tokens: int) -> None:
        """Count what a question cost; never raises. What nobody is named for is nobody's."""
        if self._per_day is None or self._away or not user_id or not tokens:
            return
        try:
            self._usage.add(user_id, midnight(self._clock()), tokens)
        except LlmtrackError as error:
            self._is_away(error)

    @property
    def _away(self) -> bool:
        return time.monotonic() < self._away_until

    def _is_away(self, error: LlmtrackError) -> None:
        self._away_until = time.monotonic() + AWAY_S
        log.warning("tokens of users are not counted for %d s: %s", AWAY_S, error.brief)


def tokens_of(usage: dict[str, int] | None, characters: int) -> int:
    """What a turn cost: as the provider counts, else estimated from the characters sent and received.

    >>> tokens_of({"prompt_tokens": 7, "completion_tokens": 11}, 400), tokens_of(None, 401)
    (18, 101)
    """
    if usage:
        return usage.get("total_tokens") or usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
    return -(-characters // CHARACTERS_PER_TOKEN)
