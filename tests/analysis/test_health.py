"""Can the experiment be trusted: each check by a flaw that it must find, and a sound demo."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from llmtrack.analysis.health.report import Health
from llmtrack.analysis.health.result import Check, HealthResult
from llmtrack.session.tally import Broken
from tests.analysis.running import run
from tests.analysis.visits import WEIGHTS, Document, cleaned, in_batches, samples, turn, visit

FIELDS = Health().fields


def checks(result: HealthResult) -> dict[str, Check]:
    return {check.check: check for check in result.checks}


def found(documents: Any, unreadable: int = 0, by: str = "model_group", **options: Any) -> dict[str, Check]:
    broken = Broken()
    broken["unreadable"] += unreadable
    return checks(run(Health(by=by), replace(cleaned(documents, FIELDS), unreadable=broken), **options))


@pytest.fixture(scope="module")
def demo() -> HealthResult:
    return run(Health(), cleaned(samples(), FIELDS), weights=WEIGHTS)


def population(change: Callable[[random.Random, Document], Document | None] | None = None) -> list[Document]:
    """Two groups of 100 users with two sessions each; `change` harms the sessions of group b."""
    rng = random.Random(5)
    documents = []
    for user in range(200):
        for number in range(2):
            document = visit(f"{user} {number}", *turn(0), *turn(9), user=f"u{user}", group="ab"[user % 2])
            for n, event in enumerate(document["events"], 1):
                event["n"] = n
            kept = change(rng, document) if change and user % 2 else document
            documents += [kept] if kept else []
    return documents


def _no_end(rng: random.Random, document: Document) -> Document:
    return document | {"end_time": None} if rng.random() < 0.15 else document


def _lost(rng: random.Random, document: Document) -> Document:
    return document | {"events": [document["events"][0], *document["events"][2:]]} if rng.random() < 0.12 else document


def _out_of_range(rng: random.Random, document: Document) -> Document:
    if rng.random() < 0.2:
        document["events"][0]["t"] -= 40 * 60_000
    return document


def _errors(rng: random.Random, document: Document) -> Document:
    if rng.random() < 0.25:
        document["events"][1]["data"]["error"] = "503"
    return document


def _twice(rng: random.Random, document: Document) -> Document:
    return document | {"events": [document["events"][0], *document["events"]]} if rng.random() < 0.3 else document


def _unsorted(rng: random.Random, document: Document) -> Document:
    return document | {"events": document["events"][::-1]} if rng.random() < 0.2 else document


def _other_clock(rng: random.Random, document: Document) -> Document:
    if rng.random() < 0.3:
        for event in document["events"]:
            event["t"] += 3_600_000
    return document


DIFFERENT = {
    "missing_end": (_no_end, "failed"),
    "lost_events": (_lost, "failed"),
    "out_of_range": (_out_of_range, "failed"),
    "errors": (_errors, "warning"),
    "duplicates": (_twice, "warning"),
    "inversions": (_unsorted, "warning"),
    "clock_offsets": (_other_clock, "warning"),
}


@pytest.mark.parametrize(("name", "flaw", "status"), [(name, *row) for name, row in DIFFERENT.items()], ids=DIFFERENT)
def test_a_flaw_of_one_group_alone_is_found(name: str, flaw: Any, status: str) -> None:
    result = found(population(flaw))
    assert {each.check: each.status for each in result.values() if each.status not in ("ok", "unchecked")} == {
        name: status
    }
    check = result[name]
    assert check.finding.endswith("not alike in all groups")
    assert check.advice
    assert check.p is not None
    assert check.p < 0.001
    assert check.groups[0].value == 0
    assert check.groups[1].numerator > 0


def test_limits_hold_for_all_groups_together() -> None:
    def all_of_them(flaw: Any) -> list[Document]:
        rng = random.Random(5)
        return [flaw(rng, document) for document in population()]

    # Not all: a source that never has an end does not record it.
    endless = all_of_them(lambda rng, d: d | {"end_time": None} if rng.random() < 0.9 else d)
    assert found(endless)["missing_end"].status == "warning"
    assert found(all_of_them(_lost))["lost_events"].status == "warning"
    assert found(all_of_them(lambda rng, d: _lost(random.Random(1), _lost(rng, d))))["lost_events"].value > 0.01  # type: ignore[operator]
    half = all_of_them(lambda rng, d: d | {"events": d["events"][2:]})
    assert (found(half)["lost_events"].value, found(half)["lost_events"].status) == (0.5, "failed")


def test_a_split_far_from_the_configured_one_fails() -> None:
    weights = {"e": {"a": 2.0, "b": 1.0}}
    assert found(population(), weights=weights)["srm"].status == "failed"
    assert found(population(), weights={"e": {"a": 1.0, "b": 1.0}})["srm"].status == "ok"
    assert found(population(), weights={"other": {"a": 1.0}})["srm"].status == "unchecked"
    assert found(population(), weights={"e": {"x": 1.0, "y": 1.0}})["srm"].status == "unchecked"
    assert "srm" not in found(population(), by="device")


@pytest.mark.parametrize(("strays", "status"), [(0, "ok"), (3, "warning"), (30, "failed")])
def test_users_in_several_groups(strays: int, status: str) -> None:
    more = [visit(f"again {user}", user=f"u{2 * user}", group="b") for user in range(strays)]
    check = found([*population(), *more])["users_in_several_groups"]
    assert (check.status, check.value) == (status, strays / 200)


@pytest.mark.parametrize(("unreadable", "status"), [(0, "ok"), (1, "warning"), (40, "failed")])
def test_documents_that_could_not_be_read(unreadable: int, status: str) -> None:
    assert found(population(), unreadable=unreadable)["unreadable"].status == status


def test_no_session_at_all_fails() -> None:
    result = run(Health(), cleaned([], FIELDS))
    assert [check.check for check in result.failed] == ["unreadable"]
    assert result.groups == []


def test_few_users_are_not_tested() -> None:
    few = [visit(f"{i}", *turn(0), group="ab"[i % 2], end_s=None if i % 2 else 600) for i in range(8)]
    check = found(few)["missing_end"]
    assert (check.p, check.value, check.status) == (None, 0.5, "warning")


def test_open_sessions_have_no_missing_end(demo: HealthResult) -> None:
    check = checks(demo)["missing_end"]
    plain = [document for document in samples() if document["end_time"] is None]
    assert sum(group.open for group in demo.groups) == 4
    assert check.groups[0].numerator + check.groups[1].numerator + check.groups[2].numerator == len(plain) - 4


def test_the_demo_is_sound(demo: HealthResult) -> None:
    assert {check.status for check in demo.checks} == {"ok"}
    assert demo.warnings == []
    errors = checks(demo)["errors"]
    assert errors.p is not None
    assert errors.p < 0.05
    assert [check.check for check in demo.checks if check.p is not None and check.p < 0.05] == ["errors"]


def test_numbers_of_the_demo_are_those_of_a_plain_script(demo: HealthResult) -> None:
    for group in demo.groups:
        mine = [document for document in samples() if document["model_group"] == group.group]
        assert (group.sessions, group.users) == (len(mine), len({document["user_id"] for document in mine}))
        prompts = [event for document in mine for event in document["events"] if event["type"] == "prompt"]
        (part,) = [part for part in checks(demo)["errors"].groups if part.group == group.group]
        distinct = {event["data"]["turn_id"] for event in prompts}
        assert part.denominator == len(distinct)


def test_batches_and_their_order_change_nothing(demo: HealthResult) -> None:
    assert run(Health(), in_batches(samples(), FIELDS), weights=WEIGHTS) == demo


def test_result_is_json_and_a_frame(demo: HealthResult) -> None:
    document = json.loads(json.dumps(demo.to_dict()))
    assert document["ok"] is True
    assert set(document["checks"][0]) >= {"check", "status", "finding", "threshold", "advice", "groups"}
    assert len(demo.to_frame()) == len(demo.checks)
