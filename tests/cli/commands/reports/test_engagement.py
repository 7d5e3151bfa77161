"""`llmtrack engagement`: the planted differences and no others, from every source; a table that reads."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from llmtrack.analysis.experiment.metrics import METRIC_NAMES
from llmtrack.store.database.sessions import Store
from tests.cli.commands.reports.reading import Document, as_bson, as_jsonl, bare, plain, run, samples, terminal

PLANTED = {  # by plan.GROUPS, and what follows: slow answers make people wait, more turns make visits long
    ("deep-70b", "prompts_per_session"): "higher",
    ("deep-70b", "left_after_share"): "lower",
    ("deep-70b", "active_s"): "higher",
    ("deep-70b", "waiting_s"): "higher",
    ("deep-70b", "scroll_max_px"): "higher",
    ("deep-70b", "copies_per_response"): "better",
    ("deep-70b", "copied_response_share"): "better",
    ("deep-70b", "latency_p50_ms"): "worse",
    ("deep-70b", "latency_p95_ms"): "worse",
    ("fast-3b", "waiting_s"): "lower",
    ("fast-3b", "reask_share"): "worse",
    ("fast-3b", "error_share"): "worse",
    ("fast-3b", "latency_p50_ms"): "better",
    ("fast-3b", "latency_p95_ms"): "better",
}
EQUAL_WEIGHTS = "\n".join(
    f'[[experiments.production_v1.groups]]\nname = "{name}"\nmodel = "m"\nweight = {weight}\n'
    for name, weight in (("base-7b", 1), ("deep-70b", 1), ("fast-3b", 1))
)


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return samples()


@pytest.fixture(scope="module")
def source(documents: list[Document], tmp_path_factory: pytest.TempPathFactory) -> str:
    return as_jsonl(tmp_path_factory.mktemp("samples") / "sessions.jsonl", documents)


def found(*words: str) -> dict[str, Any]:
    ran = run("engagement", "--format", "json", *words)
    assert ran.code == 0, ran.err
    result: dict[str, Any] = json.loads(ran.out)
    return result


@pytest.mark.parametrize(
    "words", [[], ["--by", "device", "--seed", "7"], ["--aa", "3"]], ids=["groups", "devices", "aa"]
)
def test_json_is_the_same_to_a_byte_from_every_source(
    documents: list[Document], store: Store, mongodb_uri: str, words: list[str]
) -> None:
    store.sessions.insert_many([{**document} for document in documents])
    mixed = random.Random(1).sample(documents, len(documents))
    named = [mongodb_uri, as_jsonl(Path("a.jsonl"), documents), as_bson(Path("b.bson"), mixed)]
    printed = [run("engagement", "--format", "json", "--source", name, *words).out for name in named]
    sources = [json.loads(text)["source"] for text in printed]
    texts = {text.replace(json.dumps(source), '"x"', 1) for text, source in zip(printed, sources, strict=True)}
    assert len(texts) == 1


def test_demo_data_show_the_planted_differences_and_no_others(source: str) -> None:
    metrics = found("--source", source)["metrics"]
    verdicts = {
        (each["group"], metric["metric"]): each["verdict"] for metric in metrics for each in metric["comparisons"]
    }
    assert {key: word for key, word in verdicts.items() if word not in ("inconclusive", "equivalent", None)} == PLANTED


def test_values_are_those_of_a_plain_pandas_script(documents: list[Document]) -> None:
    simple = plain(documents)
    events = pd.json_normalize(simple, "events", ["session_id", "model_group"])
    failed = events["data.error"].notna()
    groups = pd.Series({document["session_id"]: document["model_group"] for document in simple})
    sessions = groups.value_counts()
    prompts = events[events["type"] == "prompt"].groupby("model_group").size()
    errors = events[(events["type"] == "model_response") & failed].groupby("model_group").size()
    answers = events[(events["type"] == "model_response") & ~failed]
    responses = answers.groupby("model_group").size()
    copies = events[events["type"] == "copy"].groupby("model_group").size()
    copied = answers[answers["data.turn_id"].isin(events.loc[events["type"] == "copy", "data.turn_id"])]
    expected = {
        "prompts_per_session": prompts / sessions,
        "error_share": errors / prompts,
        "copies_per_response": copies / responses,
        "copied_response_share": copied.groupby("model_group").size() / responses,
        "latency_p50_ms": answers.groupby("model_group")["data.latency_ms"].median(),
        "latency_p95_ms": answers.groupby("model_group")["data.latency_ms"].quantile(0.95),
    }
    metrics = found("--source", as_jsonl(Path("plain.jsonl"), simple))["metrics"]
    for metric in metrics:
        for group in metric["groups"] if metric["metric"] in expected else ():
            assert group["value"] == pytest.approx(expected[metric["metric"]][group["group"]], rel=1e-12)


def test_json_has_the_documented_keys(source: str) -> None:
    document = found("--source", source)
    assert list(document) == [
        "command", "source", "filters", "by", "unit", "control", "sessions", "users", "excluded", "health", "metrics",
        "warnings", "repaired",
    ]  # fmt: skip
    assert (document["unit"], document["control"]) == ("user", "base-7b")
    assert list(document["health"]) == ["srm_p", "users_in_several_groups", "open_sessions", "end_missing_share"]
    metric = document["metrics"][0]
    assert {"metric", "unit", "good", "groups", "comparisons"} <= metric.keys()
    assert list(metric["groups"][0]) == [
        "group", "value", "ci", "median", "users", "sessions", "numerator", "denominator", "n_eff",
    ]  # fmt: skip
    assert list(metric["comparisons"][0]) == [
        "group", "control", "difference", "difference_ci", "lift", "lift_ci", "p", "p_adjusted", "correction",
        "method", "mde", "verdict",
    ]  # fmt: skip


def test_the_split_is_checked_against_the_configured_weights(source: str) -> None:
    assert found("--source", source)["warnings"][0]["code"] == "srm_unchecked"
    Path("llmtrack.toml").write_text(EQUAL_WEIGHTS)
    document = found("--source", source)
    assert document["warnings"] == []
    assert document["health"]["srm_p"] > 0.01
    Path("llmtrack.toml").write_text(EQUAL_WEIGHTS.replace("weight = 1", "weight = 3", 1))
    skewed = found("--source", source)
    assert [warning["code"] for warning in skewed["warnings"]] == ["srm"]
    assert {each["verdict"] for metric in skewed["metrics"] for each in metric["comparisons"]} == {None}
    forced = found("--source", source, "--anyway")
    assert "better" in {each["verdict"] for metric in forced["metrics"] for each in metric["comparisons"]}


def test_primary_metrics_come_first_and_the_others_are_labelled(source: str) -> None:
    rows = run("engagement", "--source", source, "--primary", "error_share,duration_s").out.splitlines()
    metrics = [row.split()[0] for row in rows if "is better" in row]
    assert sorted(metrics[:2]) == ["duration_s", "error_share"]
    place = {row.split()[0]: number for number, row in enumerate(rows) if row.startswith(("PRIMARY", "EXPLORATORY"))}
    assert place["PRIMARY"] < rows.index(next(row for row in rows if row.startswith("error_share")))
    assert place["EXPLORATORY"] > rows.index(next(row for row in rows if row.startswith("duration_s")))


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_a_terminal_of(source: str, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    terminal(monkeypatch, width)
    ran = run("engagement", "--source", source)
    assert "\x1b[1;32mbetter" in ran.out  # colour goes with the word, never instead of it
    rows = bare(ran.out)
    assert max(map(len, rows)) <= width
    assert rows[0] == (
        f"Engagement of 200 users in {rows[0].split()[5]} sessions by model_group; base-7b is the control"
    )
    findings = " ".join(rows[1 : next(i for i, row in enumerate(rows) if row.startswith("! "))])
    assert re.search(
        r"→ copied_response_share: deep-70b is better than base-7b, \+\d+ % \(\d+ % against \d+ %\)", findings
    )
    assert re.search(r"fast-3b is inconclusive, ± [\d.]+ would have been seen \([\d.]+ against [\d.]+\)", findings)
    assert "! No configured weights: whether users were split as meant is not checked." in rows
    header = next(row for row in rows if row.split()[:1] == ["value"])
    assert ("p adjusted" in header) == (width == 120)
    copied = next(number for number, row in enumerate(rows) if row.startswith("copied_response_share"))
    assert "share of responses; more is better" in rows[copied]
    deep = rows[copied + 2]
    assert re.match(r"deep-70b +\d\d % +\d\d-\d\d % +\+\d+ % +\+\d+ to \+\d+ % .*better +\d+", deep)


def test_aa_says_how_often_chance_differs(source: str) -> None:
    rates = found("--source", source, "--aa", "4")["aa"]
    assert (rates["runs"], rates["alpha"]) == (4, 0.05)
    assert {(each["tests"], each["why"]) for each in rates["metrics"]} <= {(8, None), (0, "constant"), (0, "few_users")}
    assert {each["tests"] for each in rates["metrics"]} >= {8}
    ran = run("engagement", "--source", source, "--aa", "4")
    assert ran.out.startswith("A/A: users shuffled between the groups 4 times")
    assert "as it should" in ran.out


def test_csv_has_a_row_a_metric_and_group(source: str) -> None:
    ran = run("engagement", "--source", source, "--format", "csv")
    rows = ran.out.splitlines()
    assert rows[0].startswith("metric,exploratory,group,value,ci_lo,ci_hi,unit,users,denominator,lift,")
    told = found("--source", source)["metrics"][0]
    of_json = {*told["groups"][0], *told["comparisons"][0], *told} - {
        "ci",
        "difference_ci",
        "lift_ci",
        "groups",
        "comparisons",
    }
    assert of_json <= set(rows[0].split(","))  # an interval is two columns
    assert len(rows) == 1 + len(METRIC_NAMES) * 3
    assert "No configured weights" in ran.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--by", "mood"], 'Sessions cannot be grouped by "mood".'),
        (["--primary", "happiness"], 'There is no metric "happiness".'),
        (["--control", "nobody"], 'No session belongs to the control "nobody".'),
        (["--primary", "duration_s,active_s,away_s,waiting_s"], "4 primary metrics were named."),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_allowed(source: str, words: list[str], told: str) -> None:
    ran = run("engagement", "--source", source, *words)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err


def test_an_empty_result_says_which_filter_emptied_it(source: str) -> None:
    ran = run("engagement", "--source", source, "--user", "nobody")
    assert (ran.out, ran.code) == ("", 0)
    assert 'has the user "nobody" (--user).' in ran.err
    empty = found("--source", source, "--user", "nobody")
    assert (empty["sessions"], empty["users"]) == (0, 0)


def test_few_users_get_numbers_without_inference(documents: list[Document]) -> None:
    few = as_jsonl(Path("few.jsonl"), documents[:12])
    ran = run("engagement", "--source", few)
    assert "! Under 5 users in " in ran.out
    assert "no verdict" in ran.out
    assert np.isfinite(found("--source", few)["metrics"][0]["groups"][0]["value"])
