"""The collector's figures for Prometheus, right for all worker processes together.

Each worker counts in files of its own (prometheus-client's multiprocess mode) and any of them answers for all. There
are counters and histograms only, which add up over living and ended workers alike; what is a state (the spool) is asked
for when somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from prometheus_client import Metric

FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"  # prometheus-client reads it once, when it is first imported
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
REQUEST_S: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
MODEL_S: Final = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)
FIELDS: Final = ("n", "t", "type", "data")  # of an event; whatever else is wrong with one is counted as "event"
REASONS: Final = {
    400: "malformed",
    401: "unauthorized",
    403: "forbidden",
    404: "unknown",
    405: "method",
    413: "too_large",
    415: "media_type",
    422: "invalid",
    429: "rate_limited",
    503: "unavailable",
}
OTHER: Final = "other"


class Spool(Protocol):
    """What is waiting for the database."""

    @property
    def depth(self) -> int:
        """Records that wait."""

    @property
    def age_s(self) -> float:
        """How long the oldest has waited, 0 when none does."""

    @property
    def behind_s(self) -> float | None:
        """How long storing what waits takes; None while nothing is stored."""

    @property
    def refused(self) -> int:
        """Records that were put aside: the database would not take them."""


class Metrics:
    """What happened, counted. `folder` is where several workers count together; without it this process is alone."""

    spool: Spool | None = None

    def __init__(self, folder: Path | None = None) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self._folder = folder
        self._registry = CollectorRegistry()

        def counter(name: str, help: str, *labels: str) -> Counter:
            return Counter(f"llmtrack_{name}", help, labels, registry=self._registry)

        def histogram(name: str, help: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"llmtrack_{name}", help, labels, buckets=buckets, registry=self._registry)

        self.accepted = counter("events_accepted", "Events stored")
        self.duplicate = counter("events_duplicate", "Events sent again that were stored already")
        self.refused = counter("events_refused", "Events refused, by the field that is wrong", "reason")
        self.started = counter("sessions_started", "Sessions started")
        self.ended = counter("sessions_ended", "Ends of sessions: told by the page, or found by silence", "by")
        self.requests = histogram(
            "request_seconds", "From a request to the last byte of its answer", REQUEST_S, "endpoint", "status"
        )
        self.refusals = counter("refusals", "Requests answered with 4xx or 503", "endpoint", "reason")
        self.model = histogram("model_seconds", "Whole answers of a model", MODEL_S, "group")
        self.first_token = histogram("model_first_token_seconds", "To the first word of a model", MODEL_S, "group")
        self.model_errors = counter("model_errors", "Answers that failed", "group", "kind")
        for reason in (*FIELDS, "event"):  # a rate needs the zero before the first
            self.refused.labels(reason)
        for by in ("page", "silence"):
            self.ended.labels(by)

    def batch(self, accepted: int, duplicates: int, rejected: Iterable[dict[str, Any]]) -> None:
        """Count a batch of events; each rejected one is {"why": "field: what"}."""
        self.accepted.inc(accepted)
        self.duplicate.inc(duplicates)
        for each in rejected:
            field = str(each["why"]).partition(":")[0].partition(".")[0]
            self.refused.labels(field if field in FIELDS else "event").inc()

    def request(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a request. `endpoint` is a method and a route's template, never a path that somebody made up."""
        self.requests.labels(endpoint, f"{status // 100}xx").observe(seconds)
        if 400 <= status < 500 or status == 503:
            self.refusals.labels(endpoint, REASONS.get(status, OTHER)).inc()

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format, of all workers."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.multiprocess import MultiProcessCollector

        counted = self._registry
        if self._folder:
            counted = CollectorRegistry()
            MultiProcessCollector(counted, str(self._folder))  # type: ignore[no-untyped-call]
        if self.spool is None:
            return generate_latest(counted)
        asked = CollectorRegistry()
        asked.register(_SpoolFigures(self.spool))
        return generate_latest(counted) + generate_latest(asked)


class _SpoolFigures:
    """The spool's state; it is one for all workers, so that nothing is to be added up."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        yield GaugeMetricFamily("llmtrack_spool_records", "Records waiting for the database", self.spool.depth)
        yield GaugeMetricFamily("llmtrack_spool_age_seconds", "Age of the oldest of them", self.spool.age_s)
        if (behind_s := self.spool.behind_s) is not None:
            said = "How long storing what waits takes, as fast as it goes now"
            yield GaugeMetricFamily("llmtrack_spool_behind_seconds", said, behind_s)
        said = "Records put aside: they can never be stored"
        yield GaugeMetricFamily("llmtrack_spool_refused_records", said, self.spool.refused)
