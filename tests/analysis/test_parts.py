"""Reports in parts: however sessions are split, and in whatever order parts arrive, the JSON is the same to a byte."""

from __future__ import annotations

import json
import pickle
import random
from functools import cache
from itertools import pairwise
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtrack.analysis.chats.report import Chats
from llmtrack.analysis.dropoff.report import Dropoff
from llmtrack.analysis.experiment.report import Engagement
from llmtrack.analysis.export.tables import Export
from llmtrack.analysis.funnel.report import Funnel
from llmtrack.analysis.health.report import Health
from llmtrack.analysis.parts import Part, merge
from llmtrack.analysis.queries import Queries
from llmtrack.analysis.report import ReportSettings
from llmtrack.session.tally import Tally, total
from tests.analysis.visits import NOW, WEIGHTS, Document, cleaned, samples, turn, visit

SETTINGS = ReportSettings(now=NOW, weights=WEIGHTS)
REPORTS: dict[str, Any] = {
    "funnel": Funnel(),
    "funnel of chats": Funnel(unit="chat", steps=("prompt", "model_response", "copy|selection"), exclude=("click",)),
    "funnel of users": Funnel(unit="user", order="unordered", window_s=3600, steps=("prompt", "copy", "new_chat")),
    "strict funnel by device": Funnel(order="strict", by="device", steps=("prompt", "model_response[latency_ms>900]")),
    "engagement": Engagement(seed=3),
    "queries": Queries(),
    "dropoff": Dropoff(),
    "chats": Chats(),
    "health": Health(),
    "export": Export(table="turns", columns=("session_id", "turn", "prompt", "latency_ms", "next")),
}


@cache
def documents() -> tuple[Document, ...]:
    """Sessions of people and of nobody, some alike in all but their id, some with faults, one without events."""
    odd = [visit(f"at once {i}", *turn(1), *turn(60, "Why not?", latency_ms=0.1 * i), user="one") for i in range(3)]
    odd += [visit(f"nobody {i}", *turn(5), user="unknown", start_s=7.0 * i, end_s=None) for i in range(4)]
    odd += [visit("empty", user="two"), visit("late", *turn(2), (9e5, "copy", {"selected_text": "so"}), user="two")]
    return (*samples()[:90], *odd)


def told(report: Any, parts: list[Part]) -> bytes:
    return json.dumps(report.finish(parts, SETTINGS).to_dict(), default=str).encode()


@pytest.mark.parametrize("name", REPORTS)
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(0, 99), max_size=6))
def test_neither_order_nor_cut_changes_a_byte(name: str, seed: int, cuts: list[int]) -> None:
    report, found = REPORTS[name], list(documents())
    whole = told(report, [report.pick(cleaned(found, report.fields))])
    rng = random.Random(seed)
    rng.shuffle(found)
    ends = sorted({0, *cuts, len(found)})
    parts = [report.pick(cleaned(found[a:b], report.fields)) for a, b in pairwise(ends)]
    rng.shuffle(parts)
    assert told(report, parts) == whole
    some = rng.randrange(len(parts) + 1)
    halves = [merge(half) for half in (parts[:some], parts[some:]) if half]
    assert told(report, halves) == whole
    assert told(report, [report.pick(cleaned([], report.fields)), *parts]) == whole


@pytest.mark.parametrize("name", REPORTS)
def test_questions_and_parts_travel(name: str) -> None:
    report = pickle.loads(pickle.dumps(REPORTS[name]))
    assert report == REPORTS[name]
    part = report.pick(cleaned(documents()[:20], report.fields))
    assert told(report, [pickle.loads(pickle.dumps(part))]) == told(report, [part])


COMMON = {"session_id", "start_ms", "user_id", "model_group", "experiment_id", "group", "device"}
LIMITS = {"funnel": 40, "dropoff": 64, "chats": 64, "health": 40, "engagement": 120}  # bytes a session


@pytest.mark.parametrize("name", LIMITS)
def test_what_a_report_keeps_of_a_session_is_small(name: str) -> None:
    """Without the ids, and without what it keeps of each turn and chat beyond one a session."""
    report = REPORTS[name]
    part = report.pick(cleaned(samples(), report.fields))
    own = part.sessions.drop(columns=[key for key in part.sessions if key in COMMON])
    bytes_in_all = sum(pa.Table.from_pandas(own[[key]], preserve_index=False).nbytes for key in own)
    assert bytes_in_all / len(part.sessions) < LIMITS[name]
    for table in part.tables.values():
        assert all(str(kind) not in ("object", "int64") for kind in table.dtypes)


def test_merging_puts_rows_under_their_session() -> None:
    def part(*sessions: tuple[str, float, int]) -> Part:
        heads = pd.DataFrame({"session_id": [s for s, _, _ in sessions], "start_ms": [t for _, t, _ in sessions]})
        at = [i for i, (_, _, rows) in enumerate(sessions) for _ in range(rows)]
        names = [f"{s}{k}" for s, _, rows in sessions for k in range(rows)]
        return Part(heads, {"rows": pd.DataFrame({"session": at, "name": names})}, Tally(len(sessions)))

    found = merge([part(("c", 2.0, 2), ("b", 1.0, 0)), part(("a", 1.0, 1), ("d", float("nan"), 1))])
    assert found.sessions["session_id"].tolist() == ["a", "b", "c", "d"]
    assert found.tables["rows"].to_numpy().tolist() == [[0, "a0"], [2, "c0"], [2, "c1"], [3, "d0"]]
    assert found.tally.sessions == 4


def test_tallies_add_up_and_name_the_first_few() -> None:
    one = Tally(2, {"unreadable": 1}, ("b line 2",), {"bots": 1, "duplicates": 0}, {"inversions": 2})
    two = Tally(1, {"no_session_id": 3}, tuple(f"a line {i}" for i in range(12)), {"bots": 4}, {})
    found = total([one, two])
    assert found == total([two, one])
    assert (found.sessions, len(found.named)) == (3, 10)
    assert found.left_out == {"bots": 5, "duplicates": 0, "no_session_id": 3, "unreadable": 1}
    assert found.with_excluded({"bots": 1}).left_out["bots"] == 6
