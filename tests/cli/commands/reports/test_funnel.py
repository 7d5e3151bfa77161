"""`llmtrack funnel`: right numbers from every source, and a table that reads."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from llmtrack.store.database.sessions import Store
from tests.cli.commands.reports.reading import Document, as_bson, as_jsonl, bare, plain, run, samples, terminal

OPTIONS = {
    "default": [],
    "chats": ["--unit", "chat", "--step", "prompt", "--step", "copy"],
    "users, strict, by device": ["--unit", "user", "--order", "strict", "--by", "device", "--window", "30m"],
    "texts": ["--step", 'prompt[text~"(?i)how"]', "--step", "model_response[latency_ms>3000]", "--exclude", "share"],
}


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return samples()


@pytest.fixture(scope="module")
def source(documents: list[Document], tmp_path_factory: pytest.TempPathFactory) -> str:
    return as_jsonl(tmp_path_factory.mktemp("samples") / "sessions.jsonl", documents)


def found(*words: str) -> dict[str, Any]:
    ran = run("funnel", "--format", "json", *words)
    assert ran.code == 0, ran.err
    result: dict[str, Any] = json.loads(ran.out)
    return result


@pytest.mark.parametrize("words", OPTIONS.values(), ids=OPTIONS)
def test_json_is_the_same_to_a_byte_from_every_source(
    documents: list[Document], store: Store, mongodb_uri: str, words: list[str]
) -> None:
    store.sessions.insert_many([{**document} for document in documents])
    mixed = random.Random(1).sample(documents, len(documents))
    named = [mongodb_uri, as_jsonl(Path("a.jsonl"), documents), as_bson(Path("b.bson"), mixed)]
    printed = [run("funnel", "--format", "json", "--source", name, *words).out for name in named]
    sources = [json.loads(text)["source"] for text in printed]
    texts = {text.replace(json.dumps(source), '"x"', 1) for text, source in zip(printed, sources, strict=True)}
    assert len(texts) == 1
    assert len(set(sources)) == 3


def test_counts_are_those_of_a_plain_pandas_script(documents: list[Document]) -> None:
    simple = plain(documents)
    source = as_jsonl(Path("plain.jsonl"), simple)
    events = pd.json_normalize(simple, "events", ["session_id", "model_group"])
    at = events[events["type"] == "prompt"].groupby("session_id")["t"].min()
    expected = [at.index]
    for kind in ("model_response", "copy"):
        later = events[events["type"] == kind]
        later = later[later["t"] > later["session_id"].map(at)]
        at = later.groupby("session_id")["t"].min()
        expected.append(at.index)
    groups = events.drop_duplicates("session_id").set_index("session_id")["model_group"]
    counts = [groups[ids].value_counts().to_dict() for ids in expected]

    steps = [word for kind in ("prompt", "model_response", "copy") for word in ("--step", kind)]
    for group in found("--source", source, *steps)["groups"]:
        assert [step["reached"] for step in group["steps"]] == [each[group["group"]] for each in counts]
        assert group["units"] == int((groups == group["group"]).sum())
        assert group["steps"][1]["of_all"] == counts[1][group["group"]] / group["units"]
        assert group["steps"][1]["of_previous"] == counts[1][group["group"]] / counts[0][group["group"]]


def test_demo_data_show_the_planted_difference_and_no_other(source: str) -> None:
    compared = found("--source", source, "--step", "visit", "--step", "prompt", "--step", "copy")["comparisons"]
    surely = {(each["group"], each["step"]) for each in compared if (each["p_adjusted"] or 1) < 0.05}
    assert surely == {("deep-70b", "copy")}
    copied = next(each for each in compared if (each["group"], each["step"]) == ("deep-70b", "copy"))
    assert copied["control"] == "base-7b"
    assert 0 < copied["ci"][0] < copied["difference"] < copied["ci"][1]


def test_json_has_the_documented_keys(source: str) -> None:
    document = found("--source", source, "--group", "fast-3b", "--step", "prompt", "--step", "done=copy|selection")
    assert list(document) == [
        "command", "source", "filters", "by", "unit", "order", "window_s", "units", "excluded", "repaired", "groups",
        "comparisons", "warnings",
    ]  # fmt: skip
    assert document["filters"] == {"group": "fast-3b"}
    assert (document["unit"], document["order"], document["window_s"]) == ("session", "ordered", 86400)
    assert list(document["groups"][0]) == ["group", "units", "steps"]
    assert list(document["groups"][0]["steps"][1]) == [
        "step", "reached", "of_all", "of_all_ci", "of_previous", "median_s", "p90_s",
    ]  # fmt: skip
    assert document["groups"][0]["steps"][1]["step"] == "done"


def test_documents_that_cannot_be_read_are_counted_and_named(documents: list[Document]) -> None:
    path = Path("some.jsonl")
    as_jsonl(path, documents[:5])
    path.write_text(path.read_text() + "oops\n{}\n")
    ran = run("funnel", "--source", "some.jsonl", "--format", "json")
    excluded = json.loads(ran.out)["excluded"]
    assert (excluded["unreadable"], excluded["no_session_id"]) == (1, 1)
    assert "2 documents could not be read" in ran.err
    assert "line 6" in ran.err


STEP_ERRORS = {
    "an operator is missing": ("click[target BUTTON]", 13, "=  !=  >"),
    "a bracket is open": ("click[x>5", 9, "]"),
}


@pytest.mark.parametrize(("step", "position", "allowed"), STEP_ERRORS.values(), ids=STEP_ERRORS)
def test_a_fault_in_a_step_is_pointed_at(source: str, step: str, position: int, allowed: str) -> None:
    ran = run("funnel", "--source", source, "--step", "prompt", "--step", step)
    assert (ran.code, ran.out) == (2, "")
    lines = ran.err.splitlines()
    caret = next(row for row in lines if row.strip() == "^")
    shown = lines[lines.index(caret) - 1]
    assert shown.strip() == step
    assert caret.index("^") - shown.index(step) == position
    assert allowed in ran.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--order", "random"], 'The order "random" is not known.'),
        (["--unit", "page"], 'The unit "page" is not known.'),
        (["--by", "shoe"], 'The by "shoe" is not known.'),
        (["--window", "soon"], "'soon' is not a length of time"),
        (["--control", "nobody"], 'No session belongs to the control "nobody".'),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_allowed(source: str, words: list[str], told: str) -> None:
    ran = run("funnel", "--source", source, *words)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_a_terminal_of(source: str, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    terminal(monkeypatch, width)
    ran = run("funnel", "--source", source, "--step", "visit", "--step", "a step whose name is long=prompt|copy")
    rows = bare(ran.out)
    assert max(map(len, rows)) <= width
    assert rows[0].startswith("Funnel of ")
    assert "sessions by model_group: steps in order, within 24 h" in rows[0]
    assert any(row.startswith("Repaired: ") for row in rows[:5])
    header = next(row for row in rows if "of all" in row)
    times = ["median", "p90"] if width > 80 else []  # a long name takes their place
    assert header.split() == ["step", "of", "all", "95", "%", "of", "previous", *times, "sessions"]
    assert sum("█" in row for row in rows) == 6
    assert any(row.startswith("of all: ") and "compare groups by this one" in row for row in rows)


def test_warnings_come_before_the_numbers(source: str) -> None:
    rows = run("funnel", "--source", source, "--step", "visit", "--step", "typo").out.splitlines()
    assert rows[1].startswith("! No typo is recorded in this source: step 'typo' has no numbers")


def test_csv_and_markdown_have_a_row_a_step(source: str) -> None:
    rows = run("funnel", "--source", source, "--format", "csv").out.splitlines()
    assert rows[0] == "group,step,reached,of_all,of_all_lo,of_all_hi,of_previous,median_s,p90_s,units"
    assert len(rows) == 1 + 3 * 5
    marked = run("funnel", "--source", source, "--format", "markdown", "--by", "none").out.splitlines()
    assert marked[0].startswith("| group | step | reached | of all |")
    assert len(marked) == 2 + 5


def test_out_writes_the_table_to_a_file(source: str) -> None:
    ran = run("funnel", "--source", source, "--out", "funnel.txt")
    assert (ran.out, ran.code) == ("", 0)
    assert Path("funnel.txt").read_text().startswith("Funnel of ")


def test_an_empty_result_says_which_filter_emptied_it(source: str) -> None:
    ran = run("funnel", "--source", source, "--group", "deep-7b")
    assert (ran.out, ran.code) == ("", 0)
    assert 'has the group "deep-7b" (--group).' in ran.err
    assert json.loads(run("funnel", "--source", source, "--group", "deep-7b", "--format", "json").out)["groups"] == []


def test_names_of_groups_cannot_command_a_terminal(documents: list[Document]) -> None:
    odd = [{**document, "model_group": "evil\x1b[31m\x07\u202egroup"} for document in documents[:20]]
    ran = run("funnel", "--source", as_bson(Path("odd.bson"), odd))
    assert not {"\x1b", "\x07", "\u202e"} & set(ran.out + ran.err)
    assert "evilgroup" in ran.out


@pytest.mark.parametrize("origin", ["jsonl", "mongodb"])
def test_conditions_look_into_objects_lists_and_numbers_written_as_text(
    origin: str, store: Store, mongodb_uri: str, tmp_path: Path
) -> None:
    data: list[dict[str, Any]] = [
        {"meta": {"lang": "de", "tags": ["a", "b"]}, "score": "30.0"},
        {"meta": {"lang": "en", "tags": []}, "score": 30},
        {"meta": [{"lang": "fr"}, {"lang": "de"}], "score": "030"},
        {"meta": "de", "score": None},
    ]
    sessions: list[Document] = [
        {
            "session_id": f"s{i}",
            "start_time": "2026-11-01T10:00:00Z",
            "events": [{"t": 1_793_527_200_000, "type": "prompt", "data": each}],
        }
        for i, each in enumerate(data)
    ]
    if origin == "jsonl":
        source = str(tmp_path / "nested.jsonl")
        Path(source).write_text("".join(json.dumps(each) + "\n" for each in sessions))
    else:
        store.sessions.insert_many(sessions)
        source = mongodb_uri
    reached = {}
    for step in ("prompt[meta.lang=de]", "prompt[meta.tags=b]", "prompt[score=30]", "prompt[score>=30]"):
        reached[step] = found("--source", source, "--step", step)["groups"][0]["steps"][0]["reached"]
    assert list(reached.values()) == [2, 1, 2, 3]
