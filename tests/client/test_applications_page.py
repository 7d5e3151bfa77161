"""The examples of docs/applications.md run as they stand, against a collector and a model server."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from docs import generate
from llmtrack.config import Settings
from llmtrack.store.database.sessions import Store
from tests.collector.chat.test_query import SESSION, app_of, logged
from tests.collector.model_server import ANSWER, running

PAGE = Path(generate.__file__).parent / "applications.md"


def test_the_examples_of_applications_md_run(
    settings: Settings,
    store: Store,
    serve: Callable[[Flask], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store.start({"session_id": SESSION, "user_id": "ann", "model_group": "arm", "experiment_id": "trial"})
    names: dict[str, Any] = {"INGEST_KEY": "key", "session_id": SESSION, "chat_id": "chat-1"}
    with running() as server:
        arm = {"name": "arm", "model": "whole", "base_url": server.base_url}
        address = serve(app_of(settings, store, {"trial": {"groups": [arm]}}, ingest_key="key"))
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        assert len(examples) == 3
        for example in examples:
            exec(example.replace("https://your-collector", address), names)
    assert capsys.readouterr().out.startswith(ANSWER)
    assert [event["type"] for event in logged(store)] == ["prompt", "model_response"] * 2
    assert {event["data"]["chat_session_id"] for event in logged(store)} == {"chat-1"}
    block = names["block"]
    document = store.find(block.session_id)
    assert document is not None
    assert document["user_id"] == "kim"
