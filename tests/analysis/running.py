"""Reports run as everywhere: each batch picked, all parts finished."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypeVar

from llmtrack.analysis.report import Report, ReportSettings
from llmtrack.session.cleaning.clean import Cleaned
from tests.analysis.visits import NOW

Finding = TypeVar("Finding")


def run(
    report: Report[Finding],
    batches: Cleaned | Iterable[Cleaned],
    *,
    now: datetime = NOW,
    weights: Mapping[str, Mapping[str, float]] | None = None,
) -> Finding:
    """The result of a report on clean sessions, or on batches of them."""
    each = [batches] if isinstance(batches, Cleaned) else batches
    return report.finish(map(report.pick, each), ReportSettings(now=now, weights=weights or {}))
