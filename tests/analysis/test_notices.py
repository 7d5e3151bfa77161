"""What must be known of a source before its numbers."""

from __future__ import annotations

from typing import Any

import pytest

from llmtrack.analysis.interaction import Interaction
from llmtrack.analysis.interaction.summary import TEXT_FIELDS
from llmtrack.analysis.notices import notices
from llmtrack.session.tally import total
from tests.analysis.visits import cleaned, turn, visit

LOST = (5, "copy", {"selected_text": "Nobody said this."})
TAKEN = (6, "copy", {"selected_text": "Because it is so."})
FAILED = {"answer": "Error generating response: 500"}


def told(*documents: Any) -> dict[str, str]:
    """The notices of sessions that come one by one."""
    return dict(notices(total(Interaction(cleaned([each], TEXT_FIELDS)).tally() for each in documents)))


@pytest.mark.parametrize(
    ("documents", "codes"),
    [
        pytest.param([visit("1", *turn(0, latency_ms=1999))], [], id="nothing"),
        pytest.param([], [], id="no session"),
        pytest.param(
            [visit("1", (1, "click", {})), visit("2", (1, "scroll", {}))], ["no_prompts_stored"], id="no prompt"
        ),
        pytest.param([visit("1", (1, "click", {})), visit("2", *turn(0, latency_ms=1))], [], id="one prompt"),
        pytest.param([visit("1", (1, "click", {}), *turn(1900, latency_ms=1))], ["long_silences"], id="a silence"),
        pytest.param([visit("1", *turn(0)), visit("2", *turn(0))], ["equal_waits"], id="equal waits"),
        pytest.param([visit("1", *turn(0)), visit("2", *turn(0)[:1], (3, "model_response", {}))], [], id="other waits"),
        pytest.param([visit("1", *turn(0, latency_ms=7), *turn(5, latency_ms=7))], [], id="measured waits"),
        pytest.param(
            [visit(name, *turn(0, latency_ms=1, **FAILED)) for name in "12"], ["failures_as_answers"], id="failures"
        ),
        pytest.param([visit("1", *turn(0, latency_ms=1, **FAILED))], [], id="one failure"),
        pytest.param([visit("1", *turn(0, latency_ms=1), LOST)], ["copies_without_answer"], id="a lost copy"),
        pytest.param(
            [visit("1", *turn(0, latency_ms=1), *((6 + i, *TAKEN[1:]) for i in range(4)), LOST)], [], id="a fifth"
        ),
    ],
)
def test_what_a_source_lacks_is_told(documents: list[Any], codes: list[str]) -> None:
    assert [*told(*documents)] == codes


def test_texts_name_numbers_and_what_to_do() -> None:
    texts = told(*(visit(name, (0, "click", {}), *turn(1900, **FAILED), LOST) for name in "12"))
    assert texts["long_silences"].startswith("2 sessions hold a silence of over 30 min")
    assert texts["equal_waits"].startswith("All 2 waits without a latency are exactly 2,000 ms")
    assert 'failed_answer = ["^Error generating response"]' in texts["failures_as_answers"]
    assert texts["copies_without_answer"].startswith("2 of 2 copies")
    sent = told(visit("1", (1, "key", {"target": "Enter"})))
    assert "though something was sent 1 time" in sent["no_prompts_stored"]


def test_a_prompt_that_is_not_stored_is_no_bounce() -> None:
    keys = [visit(name, (1, "key", {"target": name})) for name in ("Enter", "Tab")]
    found = Interaction(cleaned(keys, TEXT_FIELDS)).summary()
    assert found["exit_reason"].tolist() == ["prompt_not_stored", "no_prompt"]
