"""Prompts ranked by their answers: what is pooled and counted, and how little a lucky copy weighs."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

from llmtrack.analysis.queries import Queries
from llmtrack.analysis.stats.shrinkage import Prior, fit
from tests.analysis.running import run
from tests.analysis.visits import cleaned, in_batches, samples, turn, visit

FIELDS = Queries.fields


def copy(at: float, text: str) -> tuple[float, str, dict[str, Any]]:
    return (at, "copy", {"selected_text": text, "chat_session_id": "c"})


def selection(at: float, text: str) -> tuple[float, str, dict[str, Any]]:
    return (at, "selection", {"selected_text": text, "chat_session_id": "c"})


def found(*documents: Any, limit: int | None = None) -> Any:
    return run(Queries(limit=limit), cleaned(documents, FIELDS))


def test_a_table_by_hand() -> None:
    result = found(
        visit("1", *turn(0, "What is a tensor?", "A box.", latency_ms=1000), copy(5, "A box"), copy(6, "A box")),
        visit("2", *turn(0, "what  IS a\ntensor?", "A box.", latency_ms=3000), selection(5, "box")),
        visit("3", *turn(0, "What is a tensor?", "A box."), user="of 1"),
        visit("4", *turn(0, "And a vector?", "An arrow.")),
    )
    tensor, vector = result.rows
    assert tensor[:9] == ("What is a tensor?", 3, 2, 1, 1, 2, 1 / 3, 1 / 3, 2 / 3)
    assert tensor.latency_p50_ms == 2000
    assert vector[:9] == ("And a vector?", 1, 1, 0, 0, 0, 0, 0, 0)
    assert vector.latency_p50_ms is None
    assert (result.prompts, result.responses) == (2, 4)
    assert [note.code for note in result.warnings] == ["few_responses"]


def test_a_selection_that_was_then_copied_counts_once() -> None:
    row = found(visit("1", *turn(0), selection(5, "it is so"), copy(6, "it is so"))).rows[0]
    assert (row.copied, row.selected, row.used) == (1, 0, 1)


def test_failed_and_missing_answers_are_no_responses_and_what_has_no_text_is_counted() -> None:
    result = found(
        visit("1", *turn(0, "Failed?", error="503", answer=None), (9, "prompt", {"text": "Unanswered?"})),
        visit("2", *turn(0, "  "), *turn(10, None)),
        visit("3", (0, "model_response", {"text": "To nobody."})),
    )
    assert result.rows == []
    assert result.excluded["prompts_without_text"] == 2
    assert result.excluded["responses_without_prompt"] == 1
    assert [note.code for note in result.warnings] == ["no_prompts"]
    assert result.prior == Prior(0.5, 1.0)


def test_one_lucky_copy_does_not_win_where_prompts_truly_differ() -> None:
    documents = [visit("lucky", *turn(0, "Lucky?"), copy(9, "it is so"))]
    for i in range(60):
        good = turn(0, "Good?") if i % 10 == 0 else [*turn(0, "Good?"), copy(9, "it is so")]
        bad = turn(0, "Bad?") if i % 10 else [*turn(0, "Bad?"), copy(9, "it is so")]
        documents += [visit(f"good {i}", *good), visit(f"bad {i}", *bad)]
    result = found(*documents)
    assert [row.prompt for row in result.rows] == ["Good?", "Lucky?", "Bad?"]
    good, lucky, _ = result.rows
    assert lucky.rate == 1 > good.rate == 0.9
    assert lucky.score < good.score
    assert lucky.score_ci[0] < good.score_ci[0] < good.score < good.score_ci[1] < lucky.score_ci[1]
    assert result.warnings == []


def test_one_person_who_copies_forty_times_does_not_take_the_top_row() -> None:
    often = [visit(f"often {i}", *turn(0, "Mine?"), copy(9, "it is so"), user="one") for i in range(40)]
    alone = [visit(f"alone {i}", *turn(0, f"Once {i}?"), copy(9, "it is so"), user="two") for i in range(40)]
    shared = [visit(f"shared {i}", *turn(0, "Ours?"), *([copy(9, "it is so")] if i % 4 else [])) for i in range(40)]
    dull = [visit(f"dull {i}", *turn(0, "Dull?")) for i in range(40)]
    result = found(*often, *alone, *shared, *dull)
    assert [row.prompt for row in result.rows][:2] == ["Ours?", "Mine?"]
    assert result.rows[-1].prompt == "Dull?"
    assert all(row.score == pytest.approx(result.prior.mean) for row in result.rows if row.users < 3)


def test_each_person_counts_once_a_prompt() -> None:
    again = [visit(f"a {i}", *turn(0, "Why?"), *([copy(9, "it is so")] if i else []), user="one") for i in range(4)]
    others = [visit(f"b {i}", *turn(0, "Why?")) for i in range(3)]
    row, prior = found(*again, *others).rows[0], found(*again, *others).prior
    assert (row.users, row.used) == (4, 3)
    assert row.score == pytest.approx((prior.mean * prior.trials + 3 / 4) / (prior.trials + 4))


def test_where_nothing_was_used_nothing_is_ranked() -> None:
    result = found(*(visit(f"{i}", *turn(0, "Why?")) for i in range(5)))
    assert (result.rows, result.prompts, result.responses) == ([], 1, 5)
    assert [note.code for note in result.warnings] == ["nothing_used"]


def test_end_punctuation_makes_no_other_prompt() -> None:
    asked = ("What is a tensor?", "what is a tensor", "What is a tensor ?!")
    result = found(*(visit(f"{i}", *turn(0, text), copy(9, "it is so")) for i, text in enumerate(asked)))
    assert [row.responses for row in result.rows] == [3]


def test_score_and_interval_are_those_of_the_beta_distribution() -> None:
    prior = Prior(0.3, 10)
    shrunk = prior.shrunk(np.array([4.0]), np.array([5.0]))
    (interval,) = prior.interval(np.array([4.0]), np.array([5.0]))
    assert shrunk[0] == pytest.approx(stats.beta(3 + 4, 7 + 1).mean())
    assert interval == pytest.approx(stats.beta(7, 8).interval(0.95))


def test_the_prior_is_the_likeliest_one() -> None:
    rng = np.random.default_rng(3)
    n = rng.integers(1, 40, 300)
    k = rng.binomial(n, rng.beta(2, 6, 300))

    def loss(logs: Any) -> float:
        a, b = np.exp(logs)
        return -float(stats.betabinom(n, a, b).logpmf(k).sum())

    a, b = np.exp(optimize.minimize(loss, [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8}).x)
    prior = fit(k, n)
    assert prior.mean == pytest.approx(a / (a + b), rel=1e-3)
    assert prior.trials == pytest.approx(a + b, rel=1e-3)
    assert prior.trials == pytest.approx(8, rel=0.3)


@pytest.mark.parametrize("used", [0, 20], ids=["nothing used", "everything used"])
def test_extreme_shares_stay_inside_0_and_1(used: int) -> None:
    prior = fit([used] * 5, [20] * 5)
    assert 0 < prior.mean < 1
    assert all(0 <= lo <= hi <= 1 for lo, hi in prior.interval(np.full(5, float(used)), np.full(5, 20.0)))


def test_demo_prompts_are_counted_as_a_plain_script_does_and_do_not_differ() -> None:
    result = run(Queries(), cleaned(samples(), FIELDS))
    plain: Counter[str] = Counter()
    for document in samples():
        events = {(event["type"], str(event["data"])): event for event in document["events"]}.values()
        asked = {event["data"]["turn_id"]: event["data"]["text"] for event in events if event["type"] == "prompt"}
        answered = {e["data"]["turn_id"] for e in events if e["type"] == "model_response" and "text" in e["data"]}
        plain.update(asked[turn_id] for turn_id in answered if turn_id in asked)
    assert {row.prompt: row.responses for row in result.rows} == plain
    assert [note.code for note in result.warnings] == ["no_difference"]  # none was planted


def test_batches_and_their_order_change_nothing() -> None:
    assert run(Queries(), in_batches(samples(), FIELDS)) == run(Queries(), cleaned(samples(), FIELDS))


def test_limit_leaves_the_best_and_counts_all() -> None:
    whole, some = run(Queries(), cleaned(samples(), FIELDS)), run(Queries(limit=3), cleaned(samples(), FIELDS))
    assert some.rows == whole.rows[:3]
    assert some.prompts == whole.prompts
    assert list(whole.to_frame())[-2:] == ["score_lo", "score_hi"]
