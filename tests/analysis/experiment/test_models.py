"""By models: answers count for the model that gave them, sessions for the models they met."""

from __future__ import annotations

import random
from typing import Any

import pytest

from llmtrack.analysis.dropoff.report import Dropoff
from llmtrack.analysis.experiment.report import Engagement
from llmtrack.analysis.experiment.result import EngagementResult
from llmtrack.analysis.funnel.report import Funnel
from tests.analysis.running import run
from tests.analysis.visits import cleaned, turn, visit

COPIED = "Chalk is soft."
TWO = visit(  # two models in one session: the first is copied and asked again, the second is slow and the last
    "two",
    *turn(0, "What is chalk?", COPIED, model="owl", provider="a", latency_ms=2000),
    (5, "copy", {"selected_text": COPIED}),
    *turn(20, "What is chalk then?", "A rock of tiny shells.", model="elk", provider="b", latency_ms=9000),
)
ONE = visit("one", *turn(0, "And marl?", "Clay with lime.", model="owl", provider="a", latency_ms=1000))
FAILED = visit("failed", (0, "prompt", {"text": "And slate?"}), (4, "error", {"text": "no"}))
NOTHING = visit("nothing", (3, "click", {}))
DOCUMENTS = [TWO, ONE, FAILED, NOTHING]


def engaged(*documents: Any, by: str = "model") -> EngagementResult:
    report = Engagement(by=by)
    return run(report, cleaned(documents, report.fields))


def values(found: EngagementResult, metric: str) -> dict[str, tuple[float | None, float | None]]:
    (only,) = (each for each in found.metrics if each.metric == metric)
    return {group.group: (group.numerator, group.denominator) for group in only.groups if group.denominator}


def test_what_belongs_to_answers_belongs_to_their_models() -> None:
    found = engaged(*DOCUMENTS)
    assert values(found, "copied_response_share") == {"owl": (1, 2), "elk": (0, 1)}
    assert values(found, "error_share") == {"owl": (0, 2), "elk": (0, 1), "unknown": (1, 1)}
    assert values(found, "words_per_response") == {"owl": (6, 2), "elk": (5, 1)}
    assert values(found, "left_after_share") == {"owl": (1, 2), "elk": (1, 1)}
    assert values(found, "reask_share") == {"owl": (1, 1)}  # the answer before was the one that did not do
    (latency,) = (each for each in found.metrics if each.metric == "latency_p50_ms")
    assert {group.group: group.value for group in latency.groups} == {
        "owl": 1500,
        "elk": 9000,
        "mixed": None,
        "unknown": None,
    }


def test_sessions_belong_to_the_models_they_met() -> None:
    found = engaged(*DOCUMENTS)
    assert (found.sessions, found.users) == (4, 4)
    assert values(found, "prompts_per_session") == {"owl": (1, 1), "mixed": (2, 1), "unknown": (1, 2)}
    assert values(found, "bounce_share")["unknown"] == (1, 2)
    assert "observational" in {note.code for note in found.warnings}
    assert found.control == "elk"
    providers = engaged(*DOCUMENTS, by="provider")
    assert values(providers, "copied_response_share") == {"a": (1, 2), "b": (0, 1)}


def test_turns_count_for_the_model_that_answered() -> None:
    report = Dropoff(by="model")
    found = run(report, cleaned(DOCUMENTS, report.fields))
    assert {group.group: (group.sessions, group.turns, group.left_share) for group in found.groups} == {
        "elk": (0, 1, 1),
        "mixed": (1, 0, None),
        "owl": (1, 2, 0.5),
        "unknown": (2, 1, 1),
    }
    assert found.sessions == 4
    steps = Funnel(by="model")
    funnel = run(steps, cleaned(DOCUMENTS, steps.fields))
    assert {group.group: group.units for group in funnel.groups} == {"mixed": 1, "owl": 1, "unknown": 2}


def test_all_models_together_are_the_whole_and_batches_change_nothing() -> None:
    rng = random.Random(4)
    documents = [
        visit(
            f"s{number:02}",
            *(
                event
                for at in range(rng.randrange(4))
                for event in (
                    *turn(at * 10, rng.choice(["Why?", "Why so?"]), f"Because of {at}.", model=rng.choice("abc")),
                    *([(at * 10 + 4, "copy", {"selected_text": f"Because of {at}."})] if rng.random() < 0.5 else []),
                )
            ),
            user=f"u{number % 7}",
        )
        for number in range(40)
    ]
    by_model, whole = engaged(*documents), engaged(*documents, by="none")
    for metric in ("copied_response_share", "reask_share", "left_after_share", "words_per_response", "bounce_share"):
        sums = [sum(column) for column in zip(*values(by_model, metric).values(), strict=True)]
        assert tuple(sums) == pytest.approx(values(whole, metric)["all"]), metric
    report = Engagement(by="model")
    backwards = [cleaned(documents[::-1][i : i + 7], report.fields) for i in range(0, 40, 7)]
    assert run(report, backwards).to_dict() == by_model.to_dict()


def test_what_no_model_answered_is_of_the_only_model_of_its_session() -> None:
    failed = [(30, "prompt", {"text": "And slate?"}), (34, "error", {"text": "no"})]
    open_prompt = (40, "prompt", {"text": "And clay?"})
    one, two = (each | {"session_id": name, "events": each["events"][:]} for each, name in ((ONE, "1"), (TWO, "2")))
    for document in (one, two):
        document["events"] += visit("", *failed, open_prompt)["events"]
    found = engaged(one, two)
    assert values(found, "error_share") == {"owl": (1, 4), "elk": (0, 1), "unknown": (1, 2)}
    assert values(found, "unanswered_share") == {"owl": (1, 4), "elk": (0, 1), "unknown": (1, 2)}
    assert values(found, "left_after_share")["owl"] == (0, 2)


def test_thumbs_belong_to_the_model_that_they_rate() -> None:
    up, down = ((at, "feedback", {key: word}) for at, key, word in ((10, "feedback", "up"), (40, "rating", "down")))
    rated = TWO | {"events": [*TWO["events"], *visit("", up, down)["events"]]}
    found = engaged(rated, ONE)
    assert values(found, "rated_share") == {"owl": (1, 2), "elk": (1, 1)}
    assert values(found, "up_share") == {"owl": (1, 1), "elk": (0, 1)}
