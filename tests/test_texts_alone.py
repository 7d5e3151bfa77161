"""A text where several are wanted is one of them, never its letters."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

import llmtrack
from llmtrack import reports
from llmtrack.errors import UsageError
from llmtrack.sample import sessions as sample
from tests.cli.commands.reports.reading import as_jsonl


@pytest.fixture
def some(tmp_path: Path) -> llmtrack.Sessions:
    return llmtrack.open(as_jsonl(tmp_path / "s.jsonl", sample(now=datetime.now(UTC), users=6)))


def test_a_text_is_one_step(some: llmtrack.Sessions) -> None:
    found = reports.funnel(some, "copy|selection", exclude="share", among="prompt", order="strict")
    assert [step.step for step in found.groups[0].steps] == ["copy|selection"]


def test_a_text_is_one_metric_and_one_column(some: llmtrack.Sessions) -> None:
    with pytest.raises(UsageError, match="nothing_like_it"):
        reports.engagement(some, primary="nothing_like_it")
    assert [*some.sessions("user_id").columns] == ["user_id"]
