"""The funnel: its cases, its rules one by one, and random histories against a plain, slow reference."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtrack.analysis.frames import Frames
from llmtrack.analysis.frames import frames as as_frames
from llmtrack.analysis.funnel.moments import History, chunks
from llmtrack.analysis.funnel.report import DEFAULT_STEPS, Funnel, aggregate, match, needed_fields
from llmtrack.analysis.funnel.result import FunnelResult
from llmtrack.analysis.stats import holm, wilson
from llmtrack.errors import UsageError
from llmtrack.session.cleaning.clean import Cleaned
from tests.analysis.funnel.reference import Event, furthest
from tests.analysis.running import run
from tests.analysis.visits import cleaned, visit

CASES = json.loads((Path(__file__).parents[2] / "data" / "funnel_cases.json").read_text())["cases"]
DAY_S = 86_400.0
START_MS = 1.7e12


def history(*events: tuple[Any, ...], **session: Any) -> dict[str, Any]:
    """A session of events (type, t in s[, data])."""
    return {"events": events, **session}


def frames(*sessions: dict[str, Any], fields: tuple[str, ...] = ()) -> Frames:
    """Frames of sessions as `history` describes them; a session starts at 0 s unless start_s says otherwise."""
    rows, events = [], []
    for i, session in enumerate(sessions):
        unknown = dict.fromkeys(["device", "browser", "os"], "unknown")
        row = {
            "session_id": f"s{i}",
            "user_id": f"u{i}",
            "model_group": "A",
            "experiment_id": "e",
            **unknown,
            **session,
        }
        row["start_ms"] = START_MS + 1000 * row.pop("start_s", 0)
        row |= {"number": 1, "of_chat": False}
        for kind, t, *data in sorted(row.pop("events"), key=lambda event: event[1]):
            values = dict.fromkeys(fields) | (data[0] if data else {})
            events.append({"session": i, "t": START_MS + 1000 * t, "type": kind, **values})
        rows.append(row)
    columns = ["session", "t", "type", *fields]
    table = pd.DataFrame(events, columns=columns).astype({"session": "int64", "t": "float64", "type": "category"})
    return Frames(pd.DataFrame(rows), table, {}, {})


def funnel(batches: Any, steps: Any = DEFAULT_STEPS, **options: Any) -> FunnelResult:
    """The funnel of frames, or of batches of frames; of no batches that of a source without sessions."""
    tuples = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    report = Funnel(steps=tuple(steps), **tuples)
    if batches == []:
        return run(report, cleaned([], report.fields))
    asked = frozenset(each.type for step in report._question.steps for each in step.alternatives)
    found = map(columns, [batches] if isinstance(batches, Frames) else batches)
    return run(report, (replace(each, recorded=asked) for each in found))  # all of it is recorded somewhere


def columns(found: Frames) -> Cleaned:
    """Frames as columns."""
    events, kinds = found.events, found.events["type"].cat
    data = {str(key): events[key].to_numpy() for key in events.columns.difference(["session", "t", "type"])}
    return Cleaned(
        sessions={str(key): found.sessions[key].to_numpy() for key in found.sessions},
        session=events["session"].to_numpy(),
        pos=np.arange(len(events)),
        t=events["t"].to_numpy(),
        type_codes=kinds.codes.to_numpy(),
        types=list(kinds.categories),
        data=data,
        excluded=found.excluded,
        repaired=found.repaired,
    )


def reached(*sessions: dict[str, Any], steps: list[str], **options: Any) -> list[int]:
    """Steps of each unit; 0 for one that is dropped."""
    units = match(frames(*sessions), steps, **options)
    return units["reached"].where(~units["dropped"], 0).tolist()


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_published_case(case: dict[str, Any]) -> None:
    names = list(case["users"])
    found = match(
        frames(*(history(*map(tuple, case["users"][name])) for name in names)),
        case["steps"],
        order=case["order"],
        window_s=case["window_s"],
        exclude=[exclusion["event"] for exclusion in case.get("exclusions", [])],
        among=["*"] if case["order"] == "strict" else [],
    )
    result = aggregate(found, case["steps"]).groups[0].steps
    expected = case["expected"]
    assert [step.reached for step in result] == expected["counts"]
    if "reached" in expected:
        furthest_step = dict(zip(names, found["reached"].where(~found["dropped"], 0), strict=True))
        assert furthest_step == expected["reached"]
    if "median_s" in expected:
        assert [step.median_s for step in result] == expected["median_s"]


RULES: dict[str, tuple[int, list[tuple[str, float]], list[str], dict[str, Any]]] = {
    # ordered
    "nothing happens": (0, [], ["A"], {}),
    "the same event twice is two steps": (2, [("A", 0), ("A", 1)], ["A", "A"], {}),
    "one event is one step": (1, [("A", 0)], ["A", "A"], {}),
    "one event is one step, also of overlapping alternatives": (1, [("A", 0)], ["A|B", "A|C"], {}),
    "the end of the window counts": (2, [("A", 0), ("B", 10)], ["A", "B"], {"window_s": 10}),
    "past the window does not": (1, [("A", 0), ("B", 10.001)], ["A", "B"], {"window_s": 10}),
    "the window runs from step 1, not from the step before": (
        2,
        [("A", 0), ("B", 8), ("C", 16)],
        ["A", "B", "C"],
        {"window_s": 10},
    ),
    "a new step 1 has a clock of its own": (
        3,
        [("A", 0), ("A", 8), ("B", 9), ("C", 16)],
        ["A", "B", "C"],
        {"window_s": 10},
    ),
    "a new step 1 does not end the chain further along": (
        3,
        [("A", 0), ("B", 5), ("A", 8), ("C", 10)],
        ["A", "B", "C"],
        {"window_s": 10},
    ),
    "a chain may start over after its window": (
        2,
        [("A", 0), ("B", 20), ("A", 30), ("B", 31)],
        ["A", "B"],
        {"window_s": 10},
    ),
    "all of a funnel may fall on one time": (3, [("C", 0), ("B", 0), ("A", 0)], ["A", "B", "C"], {}),
    "tied events are used once each": (1, [("A", 0), ("B", 0)], ["A", "A"], {}),
    "two equal tied events are two": (2, [("A", 0), ("A", 0)], ["A", "A"], {}),
    "tied events take the places that suit the funnel": (2, [("A", 0), ("B", 0)], ["A|B", "A"], {}),
    "a tied event may serve an older chain and a new one": (3, [("B", 0), ("A", 5), ("B", 5)], ["B", "A", "B"], {}),
    "any event fills *": (2, [("A", 0), ("z", 1)], ["A", "*"], {}),
    # strict
    "strict: an event that is not declared may lie between": (
        2,
        [("A", 0), ("x", 1), ("B", 2)],
        ["A", "B"],
        {"order": "strict"},
    ),
    "strict: a declared event may not": (
        1,
        [("A", 0), ("x", 1), ("B", 2)],
        ["A", "B"],
        {"order": "strict", "among": ["x"]},
    ),
    "strict: a repeat of the step just reached may": (
        3,
        [("A", 0), ("A", 1), ("B", 2), ("B", 3), ("C", 4)],
        ["A", "B", "C"],
        {"order": "strict", "among": ["*"]},
    ),
    "strict: an earlier step breaks the chain": (
        2,
        [("A", 0), ("B", 1), ("A", 2), ("C", 3)],
        ["A", "B", "C"],
        {"order": "strict"},
    ),
    "strict: a tied breaker may stand before step 1 or after the last": (
        2,
        [("x", 0), ("A", 0), ("x", 5), ("B", 5)],
        ["A", "B"],
        {"order": "strict", "among": ["*"]},
    ),
    "strict: a breaker tied with a step between breaks": (
        2,
        [("A", 0), ("x", 5), ("B", 5), ("C", 6)],
        ["A", "B", "C"],
        {"order": "strict", "among": ["*"]},
    ),
    # unordered
    "unordered: the window is one for all steps": (
        2,
        [("A", 0), ("C", 6), ("B", 12)],
        ["A", "B", "C"],
        {"order": "unordered", "window_s": 10},
    ),
    "unordered: the end of the window counts": (
        2,
        [("B", 0), ("A", 10)],
        ["A", "B"],
        {"order": "unordered", "window_s": 10},
    ),
    "unordered: a step twice needs two events": (1, [("A", 0), ("x", 1)], ["A", "A"], {"order": "unordered"}),
    "unordered: an event that fits two steps leaves the other to the other": (
        2,
        [("A", 0), ("B", 1)],
        ["A|B", "A"],
        {"order": "unordered"},
    ),
    # exclusions
    "excluded between": (0, [("A", 0), ("x", 1), ("B", 2)], ["A", "B"], {"exclude": ["x"]}),
    "excluded while waiting for the next step": (0, [("A", 0), ("x", 1)], ["A", "B"], {"exclude": ["x"]}),
    "excluded at the end of the window": (0, [("A", 0), ("x", 10)], ["A", "B"], {"exclude": ["x"], "window_s": 10}),
    "excluded past the window": (1, [("A", 0), ("x", 11)], ["A", "B"], {"exclude": ["x"], "window_s": 10}),
    "excluded before step 1": (2, [("x", 0), ("A", 1), ("B", 2)], ["A", "B"], {"exclude": ["x"]}),
    "excluded after the last step": (2, [("A", 0), ("B", 1), ("x", 2)], ["A", "B"], {"exclude": ["x"]}),
    "excluded at the time of step 1 or of the last is not between": (
        2,
        [("A", 0), ("x", 0), ("B", 1), ("x", 1)],
        ["A", "B"],
        {"exclude": ["x"]},
    ),
    "excluded at the time of a step in the middle is between": (
        0,
        [("A", 0), ("x", 1), ("B", 1), ("C", 2)],
        ["A", "B", "C"],
        {"exclude": ["x"]},
    ),
    "a second attempt without it counts": (
        2,
        [("A", 0), ("x", 1), ("B", 2), ("A", 3), ("B", 4)],
        ["A", "B"],
        {"exclude": ["x"]},
    ),
    "a lesser attempt without it does not": (
        0,
        [("A", 0), ("x", 1), ("B", 2), ("A", 3)],
        ["A", "B"],
        {"exclude": ["x"]},
    ),
    "unordered: excluded between": (
        0,
        [("B", 0), ("x", 1), ("A", 2)],
        ["A", "B"],
        {"exclude": ["x"], "order": "unordered"},
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_rule(name: str) -> None:
    expected, events, steps, options = RULES[name]
    assert reached(history(*events), steps=steps, **options) == [expected]
    # nor do neighbours change it
    around = history(("B", 0), ("A", 1), ("B", 2), ("C", 3))
    assert reached(around, history(*events), around, steps=steps, **options)[1] == expected


TYPES = "ABCx"
STEPS = ["A", "B", "C", "A|B", "B|C", "*"]


@st.composite
def questions(draw: st.DrawFn) -> tuple[list[list[tuple[str, int]]], dict[str, Any]]:
    event = st.tuples(st.sampled_from(TYPES), st.integers(0, 4))
    histories = draw(st.lists(st.lists(event, max_size=6), min_size=1, max_size=4))
    order = draw(st.sampled_from(["ordered", "strict", "unordered"]))
    return histories, {
        "steps": draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=4)),
        "order": order,
        "window_s": draw(st.integers(1, 5)),
        "exclude": draw(st.sampled_from([[], ["x"], ["B"]])),
        "among": draw(st.sampled_from([[], ["*"], ["C|x"]])) if order == "strict" else [],
    }


def expected_of(events: list[tuple[str, int]], question: dict[str, Any]) -> tuple[int, bool, tuple[float, ...]]:
    """The reference's answer, from the texts of the steps."""
    fits = [set(TYPES) if step == "*" else set(step.split("|")) for step in question["steps"]]
    among = question["among"] or question["steps"]
    declared = {name for text in among for name in (TYPES if text == "*" else text.split("|"))}
    plain = [
        Event(
            t,
            frozenset(k for k, names in enumerate(fits, 1) if kind in names),
            kind in question["exclude"],
            kind in declared,
        )
        for kind, t in events
    ]
    return furthest(plain, len(fits), question["order"], question["window_s"])


@settings(max_examples=150, deadline=None)
@given(questions())
def test_equals_the_reference(asked: tuple[list[list[tuple[str, int]]], dict[str, Any]]) -> None:
    histories, question = asked
    units = match(frames(*(history(*events) for events in histories)), **question)
    for events, (_, unit) in zip(histories, units.iterrows(), strict=True):
        steps, dropped, times = expected_of(events, question)
        assert (unit["reached"], unit["dropped"]) == (steps, dropped)
        seconds = [unit[f"s_{k}"] for k in range(2, len(question["steps"]) + 1)]
        between = [*np.diff(times), *[np.nan] * (len(seconds) + 1 - max(1, len(times)))]
        assert seconds == pytest.approx(between, nan_ok=True)


# Units and what belongs to them


def test_a_visit_begins_no_later_than_its_first_event() -> None:
    """Other writers' clocks differ by seconds; a session's own events are not before it."""
    late_start = history(("prompt", 1), ("copy", 3), start_s=2)
    units = match(frames(late_start), ["visit", "prompt", "copy"])
    assert units.loc[0, ["reached", "s_2", "s_3"]].tolist() == [3, 0.0, 2.0]


def test_a_session_without_events_is_a_unit() -> None:
    sessions = history(), history(("prompt", 4)), history()
    assert reached(*sessions, steps=["visit", "prompt"]) == [1, 2, 1]
    assert reached(*sessions, steps=["prompt"]) == [0, 1, 0]
    assert reached(history(), history(), steps=["prompt"]) == [0, 0]


def test_visit_is_no_recorded_event() -> None:
    """`*` does not stand for it, and an application's own "visit" is written in quotes."""
    assert reached(history(("z", 1)), steps=["*", "*"]) == [1]
    assert reached(history(("visit", 1)), steps=["visit", "visit"]) == [1]
    assert reached(history(("visit", 1)), steps=["visit", '"visit"']) == [2]


def test_a_user_is_one_unit_over_visits() -> None:
    """The steps may lie in different visits, also in two that overlap; the group is that of the first visit."""
    visits = [
        history(("copy", 30), user_id="ann", start_s=20, device="phone"),
        history(("prompt", 10), ("prompt", 40), user_id="ann", start_s=0, device="desktop"),
        history(("prompt", 10), user_id="bob", device="phone"),
    ]
    units = match(frames(*visits), ["prompt", "copy", "prompt"], unit="user", by="device")
    assert units[["user_id", "group", "reached", "s_2", "s_3"]].fillna(-1).to_numpy().tolist() == [
        ["ann", "desktop", 3, 20.0, 10.0],
        ["bob", "phone", 1, -1, -1],
    ]
    by_session = match(frames(*visits), ["prompt", "copy"], unit="session")
    assert by_session["reached"].tolist() == [0, 1, 1]


def test_sessions_without_a_user_are_not_one_person() -> None:
    sessions = [history(("A", 0), user_id="unknown", model_group="A"), history(("B", 1), user_id="", model_group="B")]
    result = funnel(frames(*sessions), ["A", "B"], unit="user")
    assert result.units == 2
    assert [group.steps[0].reached for group in result.groups] == [1, 0]


def test_events_belong_to_the_chat_named_last() -> None:
    """Those before the first chat belong to it; sessions that name no chat are one each; ids are a user's own."""

    def event(kind: str, t: float, chat: str | None = None) -> tuple[Any, ...]:
        return (kind, t, {"chat_session_id": chat})

    one = [
        event("click", 1),
        event("prompt", 2, "c1"),
        event("copy", 3),
        event("prompt", 4, "c2"),
        event("prompt", 6, "c1"),
    ]
    sessions = [
        history(*one, user_id="ann"),
        history(event("click", 1), user_id="ann"),
        history(event("copy", 9, "c2"), user_id="ann", start_s=8),
        history(event("prompt", 1, "c1"), user_id="bob"),
    ]
    read = frames(*sessions, fields=("chat_session_id",))
    units = match(read, ["click", "prompt", "copy", "again=prompt"], unit="chat").set_index("unit")["reached"]
    assert units.to_dict() == {"ann\0c1": 4, "ann\0c2": 0, "bob\0c1": 0, "ann\0\0s1": 1}
    visits = match(read, ["visit", "prompt", "copy"], unit="chat").set_index("unit")["reached"]
    assert visits.to_dict() == {"ann\0c1": 3, "ann\0c2": 3, "bob\0c1": 2, "ann\0\0s1": 1}


def test_a_new_chat_comes_before_its_first_prompt_though_its_stamp_is_later() -> None:
    steps = ["new_chat", "prompt"]
    first, second = ({"chat_session_id": chat} for chat in "ab")
    late = visit("late", (0, "prompt", first), (9, "prompt", second), (9.004, "new_chat", second))
    assert needed_fields(steps) == ("chat_session_id",)
    assert match(as_frames(cleaned([late], needed_fields(steps))), steps)["reached"].tolist() == [2]


def test_sessions_that_name_no_chat_are_a_chat_each() -> None:
    read = frames(history(("prompt", 1)), history(("prompt", 1)), history(), fields=("chat_session_id",))
    result = funnel(read, ["visit", "prompt"], unit="chat")
    assert [step.reached for group in result.groups for step in group.steps] == [3, 2]


CONDITIONS = [
    ("click[target=BUTTON]", 1),
    ("click[target!=BUTTON]", 3),  # a missing field is not BUTTON
    ('click[target=""]', 2),
    ("click[x>5]", 2),
    ("click[x>=5]", 3),
    ("click[x<5]", 0),
    ("click[x=7.0, target=A]", 1),
    ("click[x!=7]", 3),
    ('click[target~"^B.*N$"]', 1),
    ("click[flag=true]", 1),
    ("click[parts~b]", 1),
    ("*[x=9]|copy", 2),
    ("unheard[x=9]", 0),
]


@pytest.mark.parametrize(("step", "count"), CONDITIONS, ids=[step for step, _ in CONDITIONS])
def test_condition(step: str, count: int) -> None:
    data = [
        {"target": "BUTTON", "x": 5.0},
        {"target": "A", "x": 7.0, "flag": True},
        {"x": 9.0, "parts": ["a", "b"]},
        {"target": "", "flag": False},
    ]
    sessions = [*(history(("click", 1, each)) for each in data), history(("copy", 1))]
    read = frames(*sessions, fields=("target", "x", "flag", "parts"))
    assert match(read, [step])["reached"].sum() == count


def test_types_may_be_plain_text() -> None:
    read = frames(history(("A", 0), ("B", 1)))
    plain = read._replace(events=read.events.astype({"type": "str"}))
    assert match(plain, ["A", "B"])["reached"].tolist() == [2]


def test_fields_may_stand_in_whole_data_objects() -> None:
    read = frames(
        history(("A", 0, {"data": {"x": 1, "chat_session_id": "c"}}), ("A", 1, {"data": {}})), fields=("data",)
    )
    assert match(read, ["A[x=1]", 'A[x=""]'], unit="chat")["reached"].tolist() == [2]


def test_a_field_that_was_not_read_is_an_error() -> None:
    with pytest.raises(UsageError, match="latency_ms"):
        match(frames(history(("prompt", 1))), ["prompt[latency_ms>1]"])
    with pytest.raises(UsageError, match="chat"):
        match(frames(history(("prompt", 1))), ["prompt"], unit="chat")
    needed = needed_fields(["a[x=1]"], unit="chat", exclude=["b[y=1]"], among=["c[z=1]"])
    assert needed == ("chat_session_id", "x", "y", "z")


# Groups and numbers


def test_users_in_several_groups_of_an_experiment_are_left_out_and_counted() -> None:
    sessions = [
        history(("A", 0), user_id="both", model_group="A"),
        history(("A", 0), user_id="both", model_group="B"),
        history(("A", 0), user_id="both", model_group="C", experiment_id="another"),
        history(("A", 0), user_id="one", model_group="A"),
    ]
    result = funnel(frames(*sessions), ["A"])
    assert result.excluded == {"users_in_several_groups": 1, "excluded_event": 0}
    assert [(group.group, group.units) for group in result.groups] == [("A", 1), ("C", 1)]
    batches = [frames(session) for session in sessions]
    assert funnel(batches, ["A"]) == result
    assert funnel(frames(*sessions), ["A"], unit="user").units == 1
    assert funnel(frames(*sessions), ["A"], by="none").units == 4


@pytest.mark.parametrize("unit", ["session", "chat", "user"])
@pytest.mark.parametrize("order", ["ordered", "strict", "unordered"])
def test_batches_give_what_the_whole_gives(unit: Any, order: Any) -> None:
    rng = np.random.default_rng(5)
    sessions = [
        history(
            *(
                (str(rng.choice([*TYPES, "z"])), int(rng.integers(40)), {"chat_session_id": f"c{rng.integers(3)}"})
                for _ in range(rng.integers(9))
            ),
            session_id=f"id{i}",
            user_id=f"u{rng.integers(9)}",
            start_s=int(rng.integers(20)),
        )
        for i in range(40)
    ]
    options: dict[str, Any] = {"unit": unit, "order": order, "window_s": 30, "exclude": ["x"]}
    steps = ["visit|z", "A", "B|C", "*"]
    read = ("chat_session_id",)
    whole = funnel(frames(*sessions, fields=read), steps, **options)
    parts = [frames(*sessions[i : i + 7], fields=read) for i in range(0, 40, 7)]
    assert funnel(iter(parts), steps, **options) == whole
    assert whole.groups[0].steps[0].reached > 0


@pytest.mark.parametrize("size", [1, 3, 4, 100])
def test_a_history_is_matched_in_pieces_that_cut_no_unit(size: int) -> None:
    unit = np.array([0, 0, 0, 0, 2, 2, 3, 5], dtype=np.int32)
    whole = History(unit, np.arange(8.0), np.arange(8, dtype=np.uint16), 7)
    pieces = list(chunks(whole, size))
    assert np.concatenate([piece.unit + first for first, piece in pieces]).tolist() == unit.tolist()
    assert np.concatenate([piece.marks for _, piece in pieces]).tolist() == whole.marks.tolist()
    assert len({first for first, _ in pieces}) == len(pieces)


def test_a_funnel_without_batches_is_empty() -> None:
    result = funnel([])
    assert (result.units, result.groups, result.comparisons) == (0, (), ())
    assert [note.code for note in result.warnings] == ["no_units"]


def two_groups(times: int = 1) -> Frames:
    """40 users in A and 50 in B with one session each; 10 and 25 of them copy, after 1, 2, 3, … s; so many `times`."""
    a, b = (
        [
            history(
                ("prompt", 0), *([("copy", i + 1)] if i < copies else []), user_id=f"{group} {k} {i}", model_group=group
            )
            for k in range(times)
            for i in range(users)
        ]
        for group, users, copies in (("A", 40, 10), ("B", 50, 25))
    )
    return frames(*a, *b)


def test_numbers_of_a_funnel_by_hand() -> None:
    first, second = funnel(two_groups(), ["prompt", "copy"]).groups
    assert first.steps[0]._replace(of_all_ci=(0, 0)) == ("prompt", 40, 1.0, (0, 0), None, None, None)
    assert first.steps[1] == ("copy", 10, 0.25, tuple(wilson(10, 40)), 0.25, 5.5, 9.1)
    assert (second.units, second.steps[1].reached, second.steps[1].of_all) == (50, 25, 0.5)


def test_comparison_is_welch_on_users_holm_adjusted() -> None:
    from scipy.stats import ttest_ind

    result = funnel(two_groups(times=10), ["prompt", "copy"])
    prompt, copy = result.comparisons
    assert (prompt.p, prompt.verdict) == (1.0, "equivalent")  # everybody prompts: nothing varies
    test = ttest_ind([1] * 250 + [0] * 250, [1] * 100 + [0] * 300, equal_var=False)
    assert (copy.group, copy.control, copy.difference, copy.method) == ("B", "A", 0.25, "welch")
    assert copy.difference_ci == pytest.approx(tuple(test.confidence_interval()))
    assert (copy.p, copy.p_adjusted) == pytest.approx((test.pvalue, 2 * test.pvalue))
    back = funnel(two_groups(), ["prompt", "copy"], control="B").comparisons[1]
    assert (back.control, back.difference) == ("B", -0.25)


def test_p_values_are_adjusted_over_groups_and_steps() -> None:
    rng = np.random.default_rng(3)
    kinds = [["prompt", "copy", "again"][: n + 1] for n in rng.integers(0, 3, 120)]
    sessions = [
        history(*((kind, t) for t, kind in enumerate(each)), model_group="ABC"[i % 3]) for i, each in enumerate(kinds)
    ]
    found = funnel(frames(*sessions), ["copy", "again"]).comparisons
    raw = [each.p for each in found]
    assert len(raw) == 4
    assert [each.p_adjusted for each in found] == holm(np.array(raw, dtype=float)).tolist()


def test_sessions_of_one_user_widen_the_interval() -> None:
    """20 users with 5 sessions each that all end alike know less than 100 users."""
    same = [history(*([("A", 0)] if i % 2 else []), user_id=f"u{i}") for i in range(20) for _ in range(5)]
    step = funnel(frames(*same), ["A"]).groups[0].steps[0]
    assert step.of_all_ci is not None
    low, high = step.of_all_ci
    assert high - low > 1.9 * (wilson(50, 100).hi - wilson(50, 100).lo)
    assert step.of_all == 0.5


def test_times_before_a_step_are_missing_when_nobody_reached_it() -> None:
    first, second, third = funnel(frames(history(("A", 0))), ["A", "B", "C"]).groups[0].steps
    assert (first.of_previous, second.of_previous, third.of_previous) == (None, 0.0, None)
    assert (second.median_s, second.p90_s) == (None, None)


def test_json_has_the_documented_keys_and_plain_values() -> None:
    result = funnel(two_groups()._replace(excluded={"duplicates": 2}, repaired={"inversions": 1}), ["prompt", "copy"])
    document = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert list(document) == [
        *("unit", "order", "window_s", "units", "excluded", "repaired", "groups", "comparisons", "warnings"),
    ]
    assert list(document["groups"][0]) == ["group", "units", "steps"]
    step = ["step", "reached", "of_all", "of_all_ci", "of_previous", "median_s", "p90_s"]
    assert list(document["groups"][0]["steps"][0]) == step
    assert list(document["comparisons"][0]) == ["group", "control", "step", "difference", "ci", "p", "p_adjusted"]
    assert document["excluded"] == {"duplicates": 2, "users_in_several_groups": 0, "excluded_event": 0}
    assert document["repaired"] == {"inversions": 1}
    assert (document["order"], document["window_s"], document["units"]) == ("ordered", DAY_S, 90)


def test_frame_has_a_row_a_group_and_step() -> None:
    table = funnel(two_groups(), ["prompt", "copy"]).to_frame()
    assert table[["group", "step", "reached"]].to_numpy().tolist() == [
        ["A", "prompt", 40],
        ["A", "copy", 10],
        ["B", "prompt", 50],
        ["B", "copy", 25],
    ]
    assert {"of_all_lo", "of_all_hi", "median_s"} <= set(table.columns)
    assert funnel([]).to_frame().empty


def test_default_steps() -> None:
    visit = history(("prompt", 2), ("model_response", 4), ("selection", 9), ("scroll", 10), ("prompt", 20))
    result = funnel(frames(visit))
    assert [(step.step, step.median_s) for step in result.groups[0].steps] == [
        ("visit", None),
        ("prompt", 2.0),
        ("answer", 2.0),
        ("engaged", 5.0),
        ("again", 11.0),
    ]
    assert needed_fields(DEFAULT_STEPS) == ()


def test_warnings_name_what_to_look_at() -> None:
    few = funnel(frames(history(("A", 0), model_group="A"), history(("A", 0), model_group="B")), ["A", "promt"])
    assert [note.code for note in few.warnings] == ["step_never_reached", "srm_unchecked", "small_group"]
    pooled = funnel(frames(history(("A", 0)), history(("A", 0), experiment_id="another")), ["A"])
    assert [note.code for note in pooled.warnings] == ["several_experiments"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"unit": "visit"}, "unit"),
    ({"order": "loose"}, "order"),
    ({"by": "city"}, "by"),
    ({"window_s": 0}, "window"),
    ({"window_s": float("nan")}, "window"),
    ({"control": "Z"}, "Z"),
    ({"steps": []}, "this one has 0"),
    ({"steps": ["a"] * 13}, "this one has 13"),
]


@pytest.mark.parametrize(("options", "named"), WRONG, ids=[str(options)[:40] for options, _ in WRONG])
def test_wrong_use_names_the_value(options: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named) as raised:
        funnel(frames(history(("A", 0))), **{"steps": ["A"], **options})
    assert raised.value.hint
