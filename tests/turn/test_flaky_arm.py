"""A simulated experiment: two arms of the same use, one on a provider that fails a fifth of its calls.

The OpenAI SDK asks the collector's /v1 and retries by itself. Nothing but errors and latency may differ.
"""

from __future__ import annotations

import random
import time
from collections.abc import Generator, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from flask import Flask
from openai import InternalServerError, OpenAI

from llmtrack.analysis.experiment.report import Engagement
from llmtrack.analysis.report import ReportSettings
from llmtrack.collector.access.proofs import Access
from llmtrack.collector.access.rates import RateLimits
from llmtrack.collector.chat.completions import completion_routes
from llmtrack.collector.models.failures import FAILED, ModelError
from llmtrack.collector.models.reading import DONE, Piece
from llmtrack.config import Group, load_settings
from llmtrack.session.cleaning.clean import clean
from llmtrack.session.cleaning.columns import Columns
from llmtrack.store.database.sessions import Appended
from llmtrack.turn.chunk import read_chunk
from tests.turn.replies import SAID, chunk_of, completion

KEY = "ingest-key-for-tests"
USERS = 1_000
FAILS = 0.2
COPIES = 0.3
LATE = {"error_share", "latency_p50_ms", "latency_p95_ms", "waiting_s"}  # what an unsteady provider may change


class Sessions:
    """A store in memory; `ahead_ms` is how far the clock of a session runs before ours, as people take their time."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.ahead_ms: dict[str, float] = {}
        self._keys: set[tuple[str, str]] = set()

    def owner(self, session_id: str, claim: object = None) -> dict[str, Any] | None:
        return self.documents.get(session_id)

    find = owner

    def append(
        self, session_id: str, events: Iterable[dict[str, Any]], claim: object = None, *, once: str | None = None
    ) -> Appended:
        if once and (session_id, once) in self._keys:
            return Appended(0, 1)
        self._keys.add((session_id, once or ""))
        later = [{**event, "t": event["t"] + self.ahead_ms[session_id]} for event in events]
        self.documents[session_id]["events"] += later
        return Appended(len(later), 0)


class Provider:
    """A model that always says the same; that of the group "flaky" fails a fifth of its calls."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def complete(self, group: Group, call: dict[str, Any]) -> Generator[Piece]:
        if group.name == "flaky" and self._chance.random() < FAILS:
            raise ModelError(FAILED, "Model 'm' failed (503).")
        if not call["stream"]:
            yield Piece(completion(content=SAID), read_chunk(chunk_of("stop", content=SAID)), done=True)
            return
        yield Piece(b"{}", read_chunk(chunk_of("stop", content=SAID)))
        yield Piece(DONE.encode(), done=True)


class Free:
    """No budget."""

    def check(self, user_id: str) -> None:
        """Everybody may ask."""

    def spend(self, user_id: str, tokens: int) -> None:
        """Nothing is counted."""


def simulated(seed: int) -> Sessions:
    """Two questions of each user; three of ten answers are copied, whoever answers."""
    chance, store = random.Random(seed), Sessions()
    groups = [{"name": name, "model": "m", "base_url": "http://model"} for name in ("steady", "flaky")]
    limits = dict.fromkeys(("queries_per_session", "queries_per_user", "queries_per_address"), 0)
    settings = load_settings(
        secret_key="for tests", ingest_key=KEY, limits=limits, experiments={"trial": {"groups": groups}}
    )
    access, rates = Access.of(settings, "for tests"), RateLimits(settings.limits)
    app = Flask("collector")
    app.register_blueprint(completion_routes(settings, store, Provider(chance), access, rates, Free()))  # type: ignore[arg-type]
    http = httpx2.Client(transport=httpx2.WSGITransport(app))
    with OpenAI(base_url="http://collector/v1", api_key=KEY, max_retries=2, http_client=http) as client:
        for user in range(USERS):
            visit(store, client, user, chance)
    return store


def visit(store: Sessions, client: OpenAI, user: int, chance: random.Random) -> None:
    session_id = f"user_{user}_1_x"
    start_ms = time.time() * 1000
    store.ahead_ms[session_id] = 1000
    document = store.documents[session_id] = {
        "session_id": session_id, "user_id": f"u{user}", "model_group": ("steady", "flaky")[user % 2],
        "experiment_id": "trial", "start_time": datetime.fromtimestamp(start_ms / 1000, UTC), "events": [],
    }  # fmt: skip
    for number in range(2):
        messages: Any = [{"role": "user", "content": f"Question {chance.random()} of {chance.random()}?"}]
        create = client.chat.completions.with_raw_response.create
        turn_id = ""
        with suppress(InternalServerError):  # all three calls failed
            raw = create(model="m", messages=messages, extra_headers={"X-LLMTrack-Session": session_id}, stream=False)
            turn_id = raw.headers["X-LLMTrack-Turn"]
        store.ahead_ms[session_id] += chance.expovariate(1 / 12_000)
        copied, wish = chance.random() < COPIES, turn_id != ""
        kind, data = ("copy", {"turn_id": turn_id, "selected_text": SAID}) if copied and wish else ("scroll", {})
        store.append(session_id, [{"t": round(time.time() * 1000), "type": kind, "data": data}], once=f"{number}")
    document["end_time"] = datetime.fromtimestamp((time.time() * 1000 + store.ahead_ms[session_id]) / 1000, UTC)


@pytest.mark.parametrize("seed", [1])
def test_a_provider_that_fails_changes_errors_and_latency_alone(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenAI, "_sleep_for_retry", lambda self, **more: None)
    report, columns = Engagement(control="steady"), Columns(Engagement().fields)
    for document in simulated(seed).documents.values():
        columns.add(document)
    now = datetime.fromtimestamp(time.time() + 3600 * 24, UTC)
    found = report.finish([report.pick(clean(columns.batch(), now))], ReportSettings(now))
    contrasts = {metric.metric: metric.comparisons[0] for metric in found.metrics if metric.recorded}
    values = {metric.metric: {group.group: group.value for group in metric.groups} for metric in found.metrics}
    assert values["prompts_per_session"] == {"steady": 2, "flaky": 2}
    assert values["reask_share"] == {"steady": 0, "flaky": 0}
    assert values["unanswered_share"] == {"steady": 0, "flaky": 0}
    assert values["error_share"]["steady"] == 0
    assert values["error_share"]["flaky"] == pytest.approx(FAILS, abs=0.04)  # a turn that failed on the way
    assert contrasts["error_share"].verdict == "worse"
    others = {name: contrast.verdict for name, contrast in contrasts.items() if name not in LATE}
    assert set(others.values()) <= {"inconclusive", "equivalent", None}, others
