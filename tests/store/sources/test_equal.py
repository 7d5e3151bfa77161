"""Sessions with ids of any type, clocks that err and times of any form give the same reports, wherever they lie."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import json_util

from llmtrack.analysis.experiment.report import Engagement
from llmtrack.analysis.export.tables import Export
from llmtrack.analysis.funnel.report import Funnel
from llmtrack.config import Settings
from llmtrack.sessions import Sessions
from llmtrack.store.archive.folder import open_folder
from llmtrack.store.archive.move import Order, run
from llmtrack.store.database.sessions import Store
from llmtrack.store.sources.open import open_source

NOW = datetime(2026, 11, 22, tzinfo=UTC)
START = datetime(2026, 6, 1, 10, tzinfo=UTC)
IDS: tuple[Callable[[int], Any], ...] = (
    lambda number: f"u{number}",
    lambda number: bson.Int64(10**18 + number),
    lambda number: number + 0.5,
    lambda number: float(number),
    lambda number: bson.Binary.from_uuid(uuid.UUID(int=number)),
    lambda number: bson.ObjectId(f"{number:024x}"),
    lambda number: bson.Decimal128(f"{number}.00"),
    lambda number: number % 2 == 0,
)
TIMES: tuple[Callable[[float], Any], ...] = (
    lambda ms: ms,
    lambda ms: round(ms),
    lambda ms: bson.Int64(round(ms) * 1000),
    lambda ms: bson.Int64(round(ms) * 10**6),
    lambda ms: str(round(ms)),
    lambda ms: datetime.fromtimestamp(round(ms) / 1000, UTC),
    lambda ms: datetime.fromtimestamp(round(ms) / 1000, UTC).isoformat(),
    lambda ms: datetime.fromtimestamp(ms // 1000, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"),
)


def visit(rng: random.Random, number: int) -> dict[str, Any]:
    """A session of three turns, its ids and times of one type each, its server's clock ahead, late answers early."""
    when, who = rng.choice(TIMES), rng.choice(IDS)
    start = START.timestamp() * 1000 + number * 86_400_000 / 4
    ahead = rng.choice([0, 0, -8 * 3_600_000, 5 * 3_600_000])
    events: list[dict[str, Any]] = []
    for turn in range(3):
        at, ids = start + 60_000 * turn + 1000, {"chat_session_id": who(number), "turn_id": rng.choice([None, turn])}
        ids = {key: value for key, value in ids.items() if value is not None}
        answer = at + rng.choice([2500, -80])
        events += [
            {"t": at + ahead, "type": "prompt", "data": {"text": f"Why {turn}?", **ids}},
            {"t": answer + ahead, "type": "model_response", "data": {"text": f"So **it** is {turn}.", **ids}},
            {"t": at + 6000, "type": rng.choice(["copy", "scroll"]), "data": {"selected_text": f"it is {turn}"}},
        ]
    for event in events:
        event["t"] = when(event["t"])
    return {
        "session_id": who(number) if number % 3 else f"s{number}",
        "user_id": IDS[number % 7](number % 7),
        "model_group": ["a", "b", 1.0, True][number % 7 % 4],
        "experiment_id": "e",
        "start_time": when(start),
        "end_time": rng.choice([None, when(start + 300_000)]),
        "events": events,
    }


@pytest.mark.parametrize("seed", range(3))
def test_equal_sessions_give_equal_reports(seed: int, store: Store, tmp_path: Path, settings: Settings) -> None:
    rng = random.Random(seed)
    made = {json.dumps(str(each["session_id"])): each for each in (visit(rng, number) for number in range(40))}
    documents = [*made.values()]
    options = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL, tz_aware=True, tzinfo=UTC)
    (tmp_path / "a.jsonl").write_text("".join(json_util.dumps(each, json_options=options) + "\n" for each in documents))
    (tmp_path / "b.bson").write_bytes(b"".join(map(bson.encode, documents)))
    store.sessions.insert_many([{"_id": each["session_id"], **each} for each in documents])
    assert settings.mongodb_uri
    found = {name: reports(name, settings) for name in (settings.mongodb_uri.reveal(), "a.jsonl", "b.bson")}
    moved = run(store, open_folder(str(tmp_path / "archive")), Order(timedelta(days=90)))
    assert moved.sessions == len(documents)
    found["archive"] = reports(str(tmp_path / "archive"), settings)
    expected = found.pop("a.jsonl")
    assert json.loads(expected[0])["sessions"] == len(documents)
    for name, each in found.items():
        assert each == expected, name


def reports(name: str, settings: Settings) -> list[str]:
    """The reports on a source, as JSON."""
    with open_source(name, settings) as source:
        sessions = Sessions(source, settings, now=NOW)
        asked: tuple[Any, ...] = (Engagement(), Funnel(unit="user"), Export(table="sessions"), Export(table="turns"))
        return [json.dumps(sessions.run(report).to_dict(), sort_keys=True, default=str) for report in asked]
