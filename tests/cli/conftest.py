"""What tests of habits share: a file of samples."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmtrack.sample import visits as sample
from tests.cli.commands.reports.reading import as_jsonl


@pytest.fixture
def source(tmp_path: Path) -> str:
    as_jsonl(tmp_path / "s.jsonl", list(sample.sessions(now=datetime.now(UTC), users=12)))
    return str(tmp_path / "s.jsonl")
