"""A model whose answers are timed: the latency of each, the time to its first word, and what failed."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from typing import Any

from llmtrack.collector.models.client import Model
from llmtrack.collector.models.failures import CONFIGURATION, TIMED_OUT, ModelError
from llmtrack.collector.models.reading import Piece
from llmtrack.collector.telemetry.metrics import Metrics
from llmtrack.config import Group

KINDS = {CONFIGURATION: "configuration", TIMED_OUT: "timeout"}


class Measured:
    """Streams what `model` streams, and counts it in `metrics`. An answer that nobody waited for is not counted."""

    def __init__(self, model: Model, metrics: Metrics) -> None:
        self._model, self._metrics = model, metrics

    def complete(self, group: Group, call: dict[str, Any]) -> Generator[Piece]:
        """See ChatClient.complete."""
        asked, answered = time.monotonic(), False
        try:
            with closing(self._model.complete(group, call)) as pieces:
                for piece in pieces:
                    if piece.delta.text and not answered:
                        answered = True
                        self._metrics.first_token.labels(group.name).observe(time.monotonic() - asked)
                    yield piece
        except ModelError as error:
            self._metrics.model_errors.labels(group.name, KINDS.get(error.status, "failed")).inc()
            raise
        self._metrics.model.labels(group.name).observe(time.monotonic() - asked)
