"""A model whose answers are timed: the latency of each, the time to its first word, and what failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any, TypeVar

from llmtrack.collector.models.client import Messages, Model, Piece
from llmtrack.collector.models.failures import CONFIGURATION, TIMED_OUT, ModelError
from llmtrack.collector.telemetry.metrics import Metrics
from llmtrack.config import Group
from llmtrack.turn.chunk import Delta

Each = TypeVar("Each")
KINDS = {CONFIGURATION: "configuration", TIMED_OUT: "timeout"}


class Measured:
    """Streams what `model` streams, and counts it in `metrics`. An answer that nobody waited for is not counted."""

    def __init__(self, model: Model, metrics: Metrics) -> None:
        self._model, self._metrics = model, metrics

    def stream(self, group: Group, messages: Messages) -> Generator[Delta]:
        """See ChatClient.stream."""
        return self._timed(group, self._model.stream(group, messages), lambda delta: delta)

    def complete(self, group: Group, call: dict[str, Any]) -> Generator[Piece]:
        """See ChatClient.complete."""
        return self._timed(group, self._model.complete(group, call), lambda piece: piece.delta)

    def _timed(self, group: Group, pieces: Generator[Each], read: Callable[[Each], Delta]) -> Generator[Each]:
        asked, answered = time.monotonic(), False
        try:
            with closing(pieces):
                for piece in pieces:
                    if read(piece).text and not answered:
                        answered = True
                        self._metrics.first_token.labels(group.name).observe(time.monotonic() - asked)
                    yield piece
        except ModelError as error:
            self._metrics.model_errors.labels(group.name, KINDS.get(error.status, "failed")).inc()
            raise
        self._metrics.model.labels(group.name).observe(time.monotonic() - asked)
