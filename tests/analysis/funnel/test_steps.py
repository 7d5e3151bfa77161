"""The step language: what it reads, and where its errors point."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtrack.analysis.funnel.steps import Alternative, Condition, Step, StepError, fields, parse_step, parse_steps
from llmtrack.errors import UsageError


def alternative(kind: str, *conditions: tuple[str, str, str], **flags: bool) -> Alternative:
    return Alternative(kind, tuple(Condition(*each) for each in conditions), **flags)


READ: dict[str, tuple[str, list[Alternative]]] = {
    "visit": ("visit", [alternative("visit", visit=True)]),
    "*": ("*", [alternative("*", any=True)]),
    "answer=model_response": ("answer", [alternative("model_response")]),
    " engaged = selection | copy ": ("engaged", [alternative("selection"), alternative("copy")]),
    "selection|copy": ("selection|copy", [alternative("selection"), alternative("copy")]),
    "click[target=BUTTON]": ("click[target=BUTTON]", [alternative("click", ("target", "=", "BUTTON"))]),
    "slow=model_response[latency_ms>3000]": ("slow", [alternative("model_response", ("latency_ms", ">", "3000"))]),
    "scroll[scrollY>=500]": ("scroll[scrollY>=500]", [alternative("scroll", ("scrollY", ">=", "500"))]),
    'p=prompt[text~"(?i)neural"]': ("p", [alternative("prompt", ("text", "~", "(?i)neural"))]),
    "p=prompt[text~(?i)a|b]|copy": ("p", [alternative("prompt", ("text", "~", "(?i)a|b")), alternative("copy")]),
    r'p=prompt[text~"\d+ \"x\""]': ("p", [alternative("prompt", ("text", "~", r'\d+ "x"'))]),
    "c=click[x<5, y!=-1.5e3]": ("c", [alternative("click", ("x", "<", "5"), ("y", "!=", "-1.5e3"))]),
    'e=model_response[error!=""]': ("e", [alternative("model_response", ("error", "!=", ""))]),
    "b=click[target=SUBMIT BUTTON]": ("b", [alternative("click", ("target", "=", "SUBMIT BUTTON"))]),
    'own="visit"|"a|b[=]"': ("own", [alternative("visit"), alternative("a|b[=]")]),
    "add to cart": ("add to cart", [alternative("add to cart")]),
    "größe=*[größe=5]": ("größe", [alternative("*", ("größe", "=", "5"), any=True)]),
}


@pytest.mark.parametrize("text", READ)
def test_reads(text: str) -> None:
    name, alternatives = READ[text]
    assert parse_step(text) == Step(name, tuple(alternatives))


FAULTS = [
    # the caret stands under the character at fault
    ("", "^", "an event"),
    ("a=", "  ^", "an event"),
    ("a|", "  ^", "an event"),
    ("a||b", "  ^", "an event"),
    ("=a", "^", "an event"),
    ("a=b=c", "   ^", "should end"),
    ("a]", " ^", "should end"),
    ("click[target BUTTON]", "             ^", "an operator"),
    ("click[target=]", "             ^", "a value"),
    ("click[target==A]", "             ^", "a value"),
    ("click[", "      ^", "a data field"),
    ("click[=1]", "      ^", "a data field"),
    ("click[x=1", "         ^", "should end"),
    ("click[x=1]]", "          ^", "should end"),
    ("click[x=1]copy", "          ^", "should end"),
    ("click[x=1]=copy", "          ^", "began with conditions"),
    ("click[x>many]", "        ^", "a number"),
    ("visit[x=1]", "     ^", "visit"),
    ('prompt[text~"(a"]', "             ^", "regular expression"),
    ("prompt[text~a(]", "             ^", "regular expression"),
    ('prompt[text~"a]', "            ^", "never closed"),
    ('"copy', "^", "never closed"),
]


@pytest.mark.parametrize(("text", "caret", "expected"), FAULTS, ids=[text or "empty" for text, _, _ in FAULTS])
def test_an_error_points_at_the_character(text: str, caret: str, expected: str) -> None:
    with pytest.raises(StepError, match=expected) as raised:
        parse_step(text)
    message, shown, pointer, hint = str(raised.value).split("\n")
    assert (shown, pointer) == (f"    {text}", f"    {caret}")
    assert f"character {len(caret)}." in message
    assert hint.startswith("Allowed here: ")
    assert raised.value.exit_code == 2


def test_an_error_lists_what_is_allowed_there() -> None:
    with pytest.raises(StepError) as raised:
        parse_step("click[target BUTTON]")
    assert raised.value.allowed == ("=", "!=", ">", ">=", "<", "<=", "~")
    with pytest.raises(StepError) as raised:
        parse_step("a|")
    assert {"visit", "*", "prompt", "model_response"} <= set(raised.value.allowed)


def refusal(text: str) -> StepError | None:
    try:
        parse_step(text)
    except StepError as error:
        return error
    return None


@given(st.text(alphabet='ab*="|[]<>!~, \\\n\x1b', max_size=12))
def test_any_text_is_read_or_refused_at_one_of_its_characters(text: str) -> None:
    error = refusal(text)
    assert error is None or 0 <= error.position <= len(text)
    assert "\x1b" not in str(error)


def test_equal_names_are_told_apart() -> None:
    names = [step.name for step in parse_steps(["V", "V", "x=copy", "V"])]
    assert names == ["V", "V (2)", "x", "V (3)"]
    assert parse_steps(parse_steps(["V", "V"])) == parse_steps(["V", "V"])


@pytest.mark.parametrize("count", [0, 13])
def test_a_funnel_has_1_to_12_steps(count: int) -> None:
    with pytest.raises(UsageError, match=str(count)):
        parse_steps(["a"] * count)


def test_fields_are_those_of_all_conditions() -> None:
    assert fields(parse_steps(["a[x=1, y>2]|b[x=3]", "visit", "c[z~q]"])) == ("x", "y", "z")


HOLDS: list[tuple[str, Any, bool]] = [
    ("x=5", 5, True),
    ("x=5", 5.0, True),
    ("x=5", "5", True),
    ("x=5", "05", False),
    ("x=5.0", 5, True),
    ("x!=5", None, True),
    ("x=true", True, True),
    ("x=1", True, False),
    ('x=""', None, True),
    ('x=""', float("nan"), True),
    ('x=""', "", True),
    ('x!=""', "failed", True),
    ("x>3", 3, False),
    ("x>=3", 3, True),
    ("x<3", "2.5", True),
    ("x<3", "soon", False),
    ("x<3", None, False),
    ("x<=3", False, False),
    ("x~^1$", 1.0, True),
    ("x~b", ["a", "b"], True),
    ("x~.", None, False),
]


@pytest.mark.parametrize(("condition", "value", "expected"), HOLDS)
def test_condition_holds(condition: str, value: Any, expected: bool) -> None:
    assert parse_step(f"a[{condition}]").alternatives[0].conditions[0].holds(value) is expected


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("x[a=30]", "30.0", True),
        ("x[a=30]", 30, True),
        ("x[a!=30]", "30.0", False),
        ("x[a=30]", "thirty", False),
        ("x[a=de]", ["en", "de"], True),
        ("x[a!=de]", ["en", "de"], False),
        ("x[a!=de]", ["en"], True),
        ("x[a>3]", [1, "4"], True),
        ("x[a~^d]", ["en", "de"], True),
        ("x[a=de]", [], False),
    ],
)
def test_numbers_in_text_and_members_of_lists(text: str, value: object, holds: bool) -> None:
    assert parse_step(text).alternatives[0].conditions[0].holds(value) is holds


def test_a_dotted_field_needs_the_object_that_it_lies_in() -> None:
    assert fields(parse_steps(["prompt[meta.lang=de]"])) == ("meta", "meta.lang")
