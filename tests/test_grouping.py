"""What reports group by where nobody says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import llmtrack
from llmtrack import reports
from tests.analysis.visits import turn, visit


def lost_group(**changes: Any) -> Any:
    document = visit("s", *turn(0, model="owl"))
    return {**document, "model_group": None, **changes}


@pytest.mark.parametrize(
    ("documents", "right"),
    [
        pytest.param([lost_group()], "model", id="no group anywhere"),
        pytest.param(
            [lost_group(), lost_group(session_id="t", model_group="a")], "model_group", id="a group somewhere"
        ),
        pytest.param([visit("s", *turn(0))], "model_group", id="groups"),
        pytest.param([lost_group(events=[])], "model_group", id="neither groups nor models"),
        pytest.param([], "model_group", id="nothing"),
    ],
)
def test_sessions_without_any_group_are_grouped_by_model(tmp_path: Path, documents: list[Any], right: str) -> None:
    path = tmp_path / "sessions.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    with llmtrack.open(str(path)) as sessions:
        assert sessions.grouping() == right
        assert sessions.grouping("device") == "device"
        groups = [group.group for group in reports.dropoff(sessions).groups]
        assert groups == {"model": ["owl"]}.get(right, groups)
