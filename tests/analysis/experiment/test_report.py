"""engagement(): the metric table by hand, who is compared, what may be concluded, and the documented JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from llmtrack.analysis.experiment.aa import aa
from llmtrack.analysis.experiment.metrics import METRIC_NAMES
from llmtrack.analysis.experiment.report import engagement, responses_of
from llmtrack.analysis.experiment.result import EngagementResult, GroupValue, MetricResult
from llmtrack.analysis.result import Comparison
from llmtrack.errors import UsageError

EVEN = {"base": 1.0, "new": 1.0}


def session(user: str, group: str, **numbers: object) -> dict[str, object]:
    """One row of the summary table; a quiet visit but for `numbers`."""
    quiet = {
        "user_id": user, "model_group": group, "experiment_id": "e1", "device": "desktop", "browser": "Firefox",
        "os": "Linux", "open": False, "end_estimated": False, "duration_s": 60.0, "active_s": 30.0, "waiting_s": 5.0,
        "away_s": 25.0, "scroll_max_px": 100.0, "scroll_depth": 0.5, "prompts": 1, "responses": 1,
        "partials": 0, "errors": 0,
        "unanswered": 0, "chats": 1, "answer_copies": 0, "copied_responses": 0, "answer_selections": 0, "reasks": 0,
        "prompts_with_predecessor": 0, "rated_responses": 0, "up_responses": 0, "idle": False,
        "exit_reason": "after_reading",
    }  # fmt: skip
    return quiet | numbers


def random_sessions(seed: int = 0, users: int = 300, copied: float = 0.0, slower: float = 1.0) -> pd.DataFrame:
    """Visits of users who differ from each other; group "new" copies `copied` more often and answers fail as often."""
    rng = np.random.default_rng(seed)
    visits = rng.geometric(0.3, users)
    user, group = np.repeat(np.arange(users), visits), np.repeat(rng.permutation(users) % 2, visits)
    n = len(user)
    taste = rng.beta(2, 6, users)[user]
    prompts = rng.poisson(2, n)
    errors = rng.binomial(prompts, 0.05)
    responses = prompts - errors
    copies = rng.binomial(responses, np.clip(taste + copied * group, 0, 1))
    duration = rng.lognormal(5, 1, n) * slower**group
    rows = pd.DataFrame([session("", "")]).drop(columns=["user_id", "model_group"])
    return pd.concat([rows] * n, ignore_index=True).assign(
        user_id=[f"u{number}" for number in user],
        model_group=np.array(["base", "new"])[group],
        prompts=prompts,
        responses=responses,
        errors=errors,
        partials=0,
        words_out=responses * 40,
        texts_out=responses,
        left_after=np.minimum(responses, 1),
        answers_over=responses,
        answer_copies=copies,
        copied_responses=copies,
        prompts_with_predecessor=np.maximum(prompts - 1, 0),
        reasks=rng.binomial(np.maximum(prompts - 1, 0), 0.2),
        duration_s=duration,
        exit_reason=np.where(prompts == 0, "no_prompt", "silent"),
        rated_responses=responses,
        up_responses=rng.binomial(responses, 0.7),
    )


def random_responses(sessions: pd.DataFrame, seed: int = 0, slower: float = 1.0) -> pd.DataFrame:
    """A row a response; group "new" answers `slower` times as slowly."""
    rng = np.random.default_rng(seed)
    rows = sessions.loc[sessions.index.repeat(sessions["responses"])]
    latency = rng.lognormal(7, 0.5, len(rows)) * np.where(rows["model_group"] == "new", slower, 1.0)
    acted, cut = rng.exponential(20, len(rows)), rng.exponential(40, len(rows))
    return pd.DataFrame(
        {
            "user_id": rows["user_id"].to_numpy(),
            "group": rows["model_group"].to_numpy(),
            "latency_ms": latency,
            "first_action_s": np.minimum(acted, cut),
            "first_action_censored": cut < acted,
        }
    )


def metric(found: EngagementResult, name: str) -> MetricResult:
    return next(result for result in found.metrics if result.metric == name)


def value(found: EngagementResult, name: str, group: str) -> GroupValue:
    return next(row for row in metric(found, name).groups if row.group == group)


def contrast(found: EngagementResult, name: str) -> Comparison:
    return metric(found, name).comparisons[0]


def codes(found: EngagementResult) -> set[str]:
    return {note.code for note in found.warnings}


HAND = pd.DataFrame(
    [
        session(
            "u1",
            "base",
            prompts=2,
            responses=2,
            answer_copies=3,
            copied_responses=1,
            answer_selections=1,
            duration_s=100.0,
        ),
        session("u1", "base", prompts=0, responses=0, exit_reason="no_prompt", duration_s=math.nan),
        session("u2", "base", prompts=4, responses=3, errors=1, reasks=1, prompts_with_predecessor=2, idle=True),
        session("u3", "base", prompts=1, responses=0, unanswered=1, scroll_depth=math.nan, exit_reason="silent"),
    ]
)


@pytest.mark.parametrize(
    ("name", "numerator", "denominator", "users", "sessions"),
    [
        ("prompts_per_session", 7, 4, 3, 4),
        ("chats_per_session", 4, 4, 3, 4),
        ("duration_s", 219.2, 3, 3, 3),  # winsorised: 100 becomes 99.2
        ("active_s", 120, 4, 3, 4),
        ("waiting_s", 20, 4, 3, 4),
        ("away_s", 100, 4, 3, 4),
        ("scroll_max_px", 400, 4, 3, 4),
        ("scroll_depth", 1.5, 3, 2, 3),
        ("copies_per_response", 3, 5, 2, 4),
        ("copied_response_share", 1, 5, 2, 4),
        ("selections_per_response", 1, 5, 2, 4),
        ("reask_share", 1, 2, 1, 4),
        ("error_share", 1, 7, 3, 4),
        ("partial_share", 0, 5, 2, 4),
        ("unanswered_share", 1, 7, 3, 4),
        ("bounce_share", 1, 4, 3, 4),
        ("silent_share", 1, 4, 3, 4),
        ("idle_share", 1, 4, 3, 4),
    ],
)
def test_every_metric_divides_what_it_says(
    name: str, numerator: float, denominator: float, users: int, sessions: int
) -> None:
    found = value(engagement(HAND), name, "base")
    assert (found.numerator, found.denominator) == (pytest.approx(numerator), denominator)
    assert found.value == pytest.approx(numerator / denominator)
    assert (found.users, found.sessions) == (users, sessions)


def test_values_equal_plain_pandas() -> None:
    sessions = random_sessions()
    found = engagement(sessions, weights=EVEN)
    sums = sessions.groupby("model_group")[
        ["answer_copies", "responses", "reasks", "prompts_with_predecessor", "prompts"]
    ].sum()
    sizes = sessions.groupby("model_group").size()
    for group in ("base", "new"):
        row = sums.loc[group]
        assert value(found, "copies_per_response", group).value == pytest.approx(
            row["answer_copies"] / row["responses"]
        )
        assert value(found, "reask_share", group).value == pytest.approx(
            row["reasks"] / row["prompts_with_predecessor"]
        )
        assert value(found, "prompts_per_session", group).value == pytest.approx(row["prompts"] / sizes[group])
        assert value(found, "prompts_per_session", group).sessions == sizes[group]


def test_heavy_tails_are_lowered_to_the_99th_percentile_of_all_groups_and_shown_raw() -> None:
    sessions = random_sessions()
    sessions.loc[0, "duration_s"] = 1e7
    found = engagement(sessions)
    limit = sessions["duration_s"].quantile(0.99)
    assert metric(found, "duration_s").winsorised_at == pytest.approx(limit)
    for group, rows in sessions.groupby("model_group"):
        shown = value(found, "duration_s", str(group))
        assert shown.value == pytest.approx(rows["duration_s"].clip(upper=limit).mean())
        assert shown.raw_value == pytest.approx(rows["duration_s"].mean())
        assert shown.median == pytest.approx(rows["duration_s"].median())


def test_planted_differences_are_found_and_no_others() -> None:
    sessions = random_sessions(seed=3, users=800, copied=0.15, slower=1.6)
    found = engagement(sessions, weights=EVEN, responses=random_responses(sessions, seed=1, slower=1.5))
    verdicts = {result.metric: result.comparisons[0].verdict for result in found.metrics}
    assert verdicts["copied_response_share"] == "better"
    assert verdicts["copies_per_response"] == "better"
    assert verdicts["duration_s"] == "higher"
    assert verdicts["latency_p50_ms"] == verdicts["latency_p95_ms"] == "worse"
    planted = {"copied_response_share", "copies_per_response", "duration_s", "latency_p50_ms", "latency_p95_ms"}
    assert {verdict for name, verdict in verdicts.items() if name not in planted} <= {"inconclusive", "equivalent"}


def test_a_difference_inside_the_margin_is_equivalent() -> None:
    sessions = random_sessions(users=800)
    wide = engagement(sessions, margin=0.5)
    assert contrast(wide, "copied_response_share").verdict == "equivalent"
    assert contrast(wide, "prompts_per_session").verdict == "inconclusive"  # no side is good: nothing to be as good as
    assert contrast(engagement(sessions, margin=0.001), "copied_response_share").verdict == "inconclusive"


def test_primary_metrics_are_corrected_by_holm_and_the_rest_by_benjamini_hochberg() -> None:
    primary = ("duration_s", "copies_per_response")
    found = engagement(random_sessions(copied=0.05), primary=primary)
    for exploratory, method, name in ((False, "holm", "holm"), (True, "fdr_bh", "benjamini-hochberg")):
        rows = [result.comparisons[0] for result in found.metrics if result.exploratory is exploratory]
        tested = [row for row in rows if row.p is not None]
        expected = multipletests([row.p for row in tested], method=method)[1]
        assert [row.p_adjusted for row in tested] == pytest.approx(expected)
        assert {row.correction for row in rows} == {name}
    assert [result.metric for result in found.metrics if not result.exploratory] == list(primary)


def test_under_5_users_a_group_there_are_numbers_but_no_inference() -> None:
    found = engagement(random_sessions(users=8), weights=EVEN)
    row, compared = value(found, "prompts_per_session", "base"), contrast(found, "prompts_per_session")
    assert row.value is not None
    assert row.ci is None
    assert compared.difference is not None
    assert compared.p is None
    assert (compared.method, compared.verdict) == ("none", None)
    assert "small_group" in codes(found)


def test_few_effective_users_are_tested_by_permutation() -> None:
    few = contrast(engagement(random_sessions(users=120)), "prompts_per_session")
    assert few.method == "permutation"
    assert contrast(engagement(random_sessions(users=900)), "prompts_per_session").method == "welch"
    assert contrast(engagement(random_sessions(users=120), permutations=0), "prompts_per_session").method == "welch"


def test_users_split_otherwise_than_configured_get_no_verdict_unless_forced() -> None:
    sessions, weights = random_sessions(users=600, copied=0.3), {"base": 1.0, "new": 2.0}
    found = engagement(sessions, weights=weights)
    assert found.health.srm_p < 0.001
    assert "srm" in codes(found)
    assert contrast(found, "copied_response_share").p < 0.001
    assert contrast(found, "copied_response_share").verdict is None
    assert contrast(engagement(sessions, weights=weights, force=True), "copied_response_share").verdict == "better"


def test_users_in_several_groups_of_an_experiment_leave_and_are_counted() -> None:
    rows = [session("u1", "base"), session("u1", "new"), session("u2", "base"), session("u3", "new")]
    found = engagement(pd.DataFrame(rows))
    assert (found.sessions, found.users) == (2, 2)
    assert found.excluded["users_in_several_groups"] == found.health.users_in_several_groups == 1
    assert "users_in_several_groups" in codes(found)


def test_a_user_in_another_group_of_another_experiment_stays_and_is_mentioned() -> None:
    rows = [session("u1", "base"), session("u1", "new", experiment_id="e2"), session("u2", "base")]
    found = engagement(pd.DataFrame(rows))
    assert found.sessions == 3
    assert found.excluded["users_in_several_groups"] == 0
    assert {"several_experiments", "overlapping_users"} <= codes(found)


@pytest.mark.parametrize("nobody", ["unknown", "", None])
def test_sessions_without_a_user_are_users_of_their_own_and_mentioned(nobody: str | None) -> None:
    rows = [session("u1", "base"), *(session("x", "new") | {"user_id": nobody} for _ in range(3)), session("u2", "new")]
    table = pd.DataFrame([row | {"session_id": f"s{i}"} for i, row in enumerate(rows)])
    found = engagement(table)
    assert (found.sessions, found.users) == (5, 5)
    assert value(found, "prompts_per_session", "new").users == 4
    assert "sessions_without_user" in codes(found)


def test_a_lost_group_is_the_one_its_user_has() -> None:
    rows = [session("u1", "base"), session("u1", "unknown"), session("u2", "new"), session("u3", "unknown")]
    found = engagement(pd.DataFrame(rows))
    assert found.excluded["users_in_several_groups"] == 0
    groups = {row.group: row.sessions for row in metric(found, "prompts_per_session").groups}
    assert groups == {"base": 2, "new": 1, "unknown": 1}
    assert "sessions_without_group" in codes(found)


def test_people_who_use_several_models_stay_where_no_experiment_is_named() -> None:
    rows = [session(user, group, experiment_id="unknown") for user in ("u1", "u2") for group in ("a", "b")]
    found = engagement(pd.DataFrame(rows))
    assert (found.sessions, found.users) == (4, 2)
    assert {"observational", "overlapping_users"} <= codes(found)


def test_nobody_left_has_a_reason() -> None:
    rows = [session(user, group) for user in ("u1", "u2") for group in ("base", "new")]
    found = engagement(pd.DataFrame(rows))
    assert found.sessions == 0
    assert "nobody_left" in codes(found)


NO_VERDICT: dict[str, dict[str, Any]] = {
    "several experiments": {"experiment_id": ["e", "f"]},
    "no experiment": {"experiment_id": ["unknown"]},
}


@pytest.mark.parametrize("change", NO_VERDICT.values(), ids=NO_VERDICT)
def test_what_is_no_experiment_has_no_verdict_unless_forced(change: dict[str, Any]) -> None:
    sessions = random_sessions(copied=0.5)
    experiments = change["experiment_id"]
    of_user = {user: experiments[i % len(experiments)] for i, user in enumerate(sessions["user_id"].unique())}
    sessions["experiment_id"] = sessions["user_id"].map(of_user)
    found = contrast(engagement(sessions, weights=EVEN, permutations=99), "copied_response_share")
    assert found.p is not None
    assert found.verdict is None
    forced = engagement(sessions, weights=EVEN, force=True, permutations=999)
    assert contrast(forced, "copied_response_share").verdict == "better"


def test_a_lost_arm_fails_the_split_and_a_filter_on_groups_does_not() -> None:
    sessions = random_sessions(users=60)
    one = sessions[sessions["model_group"] == "base"]
    assert "srm" in codes(engagement(one, weights=EVEN))
    assert "srm" not in codes(engagement(one, weights=EVEN, one_group=True))


def test_constants_that_are_equal_are_equivalent() -> None:
    rows = [session(f"{group}{i}", group, prompts=2, responses=2) for group in ("base", "new") for i in range(40)]
    found = contrast(engagement(pd.DataFrame(rows), weights=EVEN), "prompts_per_session")
    assert (found.difference, found.p, found.verdict, found.method) == (0.0, 1.0, "equivalent", "constant")


def test_means_of_what_cannot_be_negative_have_no_negative_interval() -> None:
    rows = [
        session(f"{group}{i}", group, duration_s=5000.0 if i < 1 else 0.0) for group in ("a", "b") for i in range(40)
    ]
    for row in metric(engagement(pd.DataFrame(rows)), "duration_s").groups:
        assert row.ci is not None
        assert row.ci.lo == 0.0 < row.ci.hi


def test_an_open_session_has_no_duration_yet() -> None:
    rows = [session("u1", "base", duration_s=100.0), session("u2", "base", duration_s=1.0, open=True)]
    found = value(engagement(pd.DataFrame(rows)), "duration_s", "base")
    assert (found.value, found.sessions) == (100.0, 1)


@pytest.mark.parametrize(
    ("change", "options", "code"),
    [
        pytest.param({"experiment_id": "unknown"}, {}, "observational", id="no experiment"),
        pytest.param({"experiment_id": None}, {}, "observational", id="experiment missing"),
        pytest.param({}, {"by": "device"}, "observational", id="a grouping nobody assigned"),
        pytest.param({}, {}, "srm_unchecked", id="no weights"),
        pytest.param({}, {"weights": {"base": 1.0, "other": 1.0}}, "unweighted_group", id="a group without weight"),
        pytest.param({}, {"weights": EVEN}, "metrics_left_out", id="no latencies given"),
    ],
)
def test_what_weakens_a_comparison_is_said(change: dict[str, Any], options: dict[str, Any], code: str) -> None:
    rows = [session("u1", "base", **change), session("u2", "new", device="phone", **change)]
    assert code in codes(engagement(pd.DataFrame(rows), **options))


def test_a_sound_experiment_has_no_warnings() -> None:
    sessions = random_sessions(users=300)
    assert engagement(sessions, weights=EVEN, responses=random_responses(sessions)).warnings == []


def test_metrics_made_of_texts_are_left_out_where_no_texts_were_read() -> None:
    found = engagement(random_sessions().drop(columns=["reasks", "prompts_with_predecessor"]))
    assert "reask_share" not in {result.metric for result in found.metrics}
    assert any("reask_share" in note.text for note in found.warnings)


@pytest.mark.parametrize(
    ("groups", "options", "control"),
    [
        pytest.param(["a", "control"], {}, "control", id="the one named so"),
        pytest.param(["a", "b"], {"weights": {"b": 1.0, "a": 1.0}}, "b", id="the first configured"),
        pytest.param(["b", "a"], {}, "a", id="the first by name"),
        pytest.param(["unknown", "z"], {}, "z", id="never the unknown"),
        pytest.param(["control", "b"], {"control": "b"}, "b", id="the one asked for"),
        pytest.param(["a"], {}, None, id="one group is compared with nobody"),
        pytest.param(["a", "b"], {"by": "none"}, None, id="no groups"),
    ],
)
def test_choice_of_the_control(groups: list[str], options: dict[str, Any], control: str | None) -> None:
    sessions = pd.DataFrame([session(f"u{group}", group) for group in groups])
    found = engagement(sessions, **options)
    assert found.control == control
    others = len({"all"} if options.get("by") == "none" else groups) - 1
    assert [len(result.comparisons) for result in found.metrics] == [others] * len(found.metrics)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"control": "gpt"}, 'No session belongs to the control "gpt". Groups: base, new.'),
        ({"by": "colour"}, 'cannot be grouped by "colour"'),
        ({"primary": ["happiness"]}, 'no metric "happiness"'),
        ({"primary": METRIC_NAMES[:4]}, "4 primary metrics"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says.replace(".", r"\.")):
        engagement(random_sessions(users=4), **options)


def test_latencies_are_quantiles_over_responses_with_intervals_over_users() -> None:
    sessions = random_sessions()
    responses = random_responses(sessions)
    responses.loc[0, "latency_ms"] = math.nan
    found = engagement(sessions, responses=responses)
    mine = responses[responses["group"] == "base"]["latency_ms"].dropna()
    for name, q in (("latency_p50_ms", 0.5), ("latency_p95_ms", 0.95)):
        row = value(found, name, "base")
        assert row.value == pytest.approx(mine.quantile(q))
        assert row.median == pytest.approx(mine.median())
        assert row.denominator == len(mine)
        assert row.ci.lo < row.value < row.ci.hi


def test_first_action_takes_cut_waits_for_longer_than_they_lasted() -> None:
    sessions = random_sessions(users=600)
    found = engagement(sessions, responses=random_responses(sessions))
    row = value(found, "first_action_s", "base")
    assert row.ci.lo < 20 * math.log(2) < row.ci.hi


def test_responses_of_users_who_left_are_not_counted() -> None:
    rows = [session("u1", "base"), session("u1", "new"), session("u2", "base"), session("u3", "new")]
    sessions = pd.DataFrame(rows)
    found = engagement(sessions, responses=random_responses(sessions))
    assert [row.denominator for row in metric(found, "latency_p50_ms").groups] == [1, 1]


def test_responses_have_the_user_and_group_of_their_session() -> None:
    sessions = pd.DataFrame([session("u1", "base"), session("u2", "new")])
    answers = pd.DataFrame(
        {
            "session": [1, 0],
            "latency_ms": [5.0, 6.0],
            "first_action_s": [1.0, 2.0],
            "first_action_censored": [False, True],
        }
    )
    found = responses_of(sessions, answers)
    assert found[["user_id", "group", "latency_ms"]].to_numpy().tolist() == [["u2", "new", 5.0], ["u1", "base", 6.0]]
    assert set(responses_of(sessions, answers, by="none")["group"]) == {"all"}


def test_the_order_of_sessions_changes_no_number() -> None:
    sessions = random_sessions(users=500)
    shuffled = sessions.sample(frac=1, random_state=1)
    first, again = (engagement(rows, weights=EVEN).to_frame() for rows in (sessions, shuffled))
    pd.testing.assert_frame_equal(first, again, rtol=1e-9)


def test_the_same_seed_gives_the_same_result() -> None:
    sessions = random_sessions(users=120)
    responses = random_responses(sessions)
    first, again = (engagement(sessions, responses=responses, seed=7).to_dict() for _ in range(2))
    assert first == again


def test_no_sessions_give_no_groups() -> None:
    sessions = random_sessions(users=4)
    found = engagement(sessions[:0], weights=EVEN, responses=random_responses(sessions))
    assert (found.sessions, found.control) == (0, None)
    assert all(result.groups == [] for result in found.metrics)
    assert found.to_frame().empty


GROUP = {"group", "value", "ci", "median", "users", "sessions", "numerator", "denominator", "n_eff"}
COMPARISON = {
    "group", "control", "difference", "difference_ci", "lift", "lift_ci", "p", "p_adjusted", "correction", "method",
    "mde", "verdict",
}  # fmt: skip


def test_json_has_the_documented_keys_and_only_finite_numbers() -> None:
    sessions = random_sessions(users=70)
    found = engagement(sessions, responses=random_responses(sessions)).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    keys = {"unit", "control", "sessions", "users", "excluded", "health", "metrics", "warnings", "repaired"}
    assert set(found) == keys
    assert found["unit"] == "user"
    health: Any = found["health"]
    assert set(health) == {"srm_p", "users_in_several_groups", "open_sessions", "end_missing_share"}
    metrics: Any = found["metrics"]
    assert [row["metric"] for row in metrics] == list(METRIC_NAMES)
    for row in metrics:
        heavy = {"winsorised_at"} & set(row)
        assert set(row) == {"metric", "unit", "good", "exploratory", "recorded", "groups", "comparisons"} | heavy
        assert all(set(group) == (GROUP | {"raw_value"} if heavy else GROUP) for group in row["groups"])
        assert all(set(compared) == COMPARISON for compared in row["comparisons"])


def test_the_frame_has_a_row_a_metric_and_group_with_the_comparison_beside_it() -> None:
    found = engagement(random_sessions())
    frame = found.to_frame()
    assert len(frame) == 2 * len(found.metrics)
    row = frame[(frame["metric"] == "bounce_share") & (frame["group"] == "new")].iloc[0]
    expected = contrast(found, "bounce_share")
    assert (row["p"], row["lift_ci_lo"]) == pytest.approx((expected.p, expected.lift_ci.lo))
    assert frame[frame["group"] == "base"]["control"].isna().all()


def test_health_counts_open_sessions_and_missing_ends() -> None:
    rows = [session("u1", "base", open=True), session("u2", "base", end_estimated=True), session("u3", "new")]
    health = engagement(pd.DataFrame(rows)).health
    assert health.open_sessions == 1
    assert health.end_missing_share == {"base": 0.5, "new": 0.0}


@pytest.mark.parametrize("users", [pytest.param(120, id="permutation"), pytest.param(500, id="welch")])
def test_reshuffled_users_show_a_difference_in_about_one_of_twenty(users: int) -> None:
    sessions = random_sessions(users=users, copied=0.3)
    found = aa(sessions, 60, permutations=200, responses=random_responses(sessions, slower=2.0))
    tested = [row for row in found.metrics if row.tests]
    assert {row.tests for row in tested} == {60}
    assert 0.02 < sum(row.significant for row in tested) / sum(row.tests for row in tested) < 0.08
    assert all(row.ci.lo <= 0.05 for row in tested)
    assert {row.metric: row.why for row in found.metrics}["active_s"] == "constant"


def test_aa_of_too_few_users_tests_nothing() -> None:
    found = aa(random_sessions(users=8), 3)
    assert {row.tests for row in found.metrics} == {0}
    rows: Any = found.to_dict()["metrics"]
    assert rows[0]["rate"] is None
    assert list(found.to_frame().columns) == ["metric", "tests", "significant", "rate", "ci_lo", "ci_hi", "why"]


def test_a_group_that_hangs_on_one_user_is_named() -> None:
    rows = [session(f"{group}{i}", group) for group in ("base", "new") for i in range(6)]
    found = engagement(pd.DataFrame([*rows, *(session("new0", "new") for _ in range(60))]))
    told = {note.code: note.text for note in found.warnings}["dominated"]
    assert told.startswith("One user has 92% of the sessions of new")
