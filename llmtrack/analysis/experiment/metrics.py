"""The engagement metrics: what is divided by what, in which unit, and which side is good."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from llmtrack.analysis.experiment.spread import OF_ANSWERS, OF_SESSIONS, counts_for
from llmtrack.analysis.interaction.summary import NOT_STORED
from llmtrack.analysis.stats import Good, winsorise

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


class SessionMetric(NamedTuple):
    """Σ numerator / Σ denominator over sessions; both are columns of the summary table or of DERIVED.

    `share`: the numerator counts some of the denominator. `heavy`: seconds or pixels, winsorised.
    """

    name: str
    unit: str
    good: Good
    numerator: str
    denominator: str = "sessions"
    share: bool = False
    heavy: bool = False

    @property
    def counted(self) -> str:
        """Which rows it is made of: those that count for sessions, or for answers."""
        return OF_SESSIONS if self.denominator == "sessions" else OF_ANSWERS


class ResponseMetric(NamedTuple):
    """A quantile over responses; with `censored` its Kaplan-Meier median."""

    name: str
    unit: str
    good: Good
    column: str
    q: float
    censored: str = ""


DERIVED: Mapping[str, Callable[[pd.DataFrame], object]] = {
    "sessions": lambda sessions: np.ones(len(sessions)),
    "bounced": lambda sessions: (sessions["prompts"] == 0) & (sessions["exit_reason"] != NOT_STORED),
    "silent": lambda sessions: sessions["exit_reason"] == "silent",
}

SESSION_METRICS = (
    SessionMetric("prompts_per_session", "per session", "none", "prompts"),
    SessionMetric("chats_per_session", "per session", "none", "chats"),
    SessionMetric("duration_s", "s", "none", "duration_s", heavy=True),
    SessionMetric("active_s", "s", "none", "active_s", heavy=True),
    SessionMetric("waiting_s", "s", "none", "waiting_s", heavy=True),
    SessionMetric("away_s", "s", "none", "away_s", heavy=True),
    SessionMetric("scroll_max_px", "px", "none", "scroll_max_px", heavy=True),
    SessionMetric("scroll_depth", "share", "none", "scroll_depth"),
    SessionMetric("copies_per_response", "per response", "up", "answer_copies", "responses"),
    SessionMetric("copied_response_share", "share", "up", "copied_responses", "responses", share=True),
    SessionMetric("selections_per_response", "per response", "up", "answer_selections", "responses"),
    SessionMetric("words_per_response", "words", "none", "words_out", "texts_out"),
    SessionMetric("left_after_share", "share", "none", "left_after", "answers_over", share=True),
    SessionMetric("rated_share", "share", "none", "rated_responses", "responses", share=True),
    SessionMetric("up_share", "share", "up", "up_responses", "rated_responses", share=True),
    SessionMetric("reask_share", "share", "down", "reasks", "prompts_with_predecessor", share=True),
    SessionMetric("error_share", "share", "down", "errors", "prompts", share=True),
    SessionMetric("partial_share", "share", "down", "partials", "responses", share=True),
    SessionMetric("unanswered_share", "share", "down", "unanswered", "prompts", share=True),
    SessionMetric("bounce_share", "share", "down", "bounced", share=True),
    SessionMetric("silent_share", "share", "none", "silent", share=True),
    SessionMetric("idle_share", "share", "none", "idle", share=True),
)

RATINGS = ("rated_share", "up_share")  # few pages ask for thumbs: that there are none is not worth a word
RESPONSE_METRICS = (
    ResponseMetric("latency_p50_ms", "ms", "down", "latency_ms", 0.5),
    ResponseMetric("latency_p95_ms", "ms", "down", "latency_ms", 0.95),
    ResponseMetric("first_action_s", "s", "none", "first_action_s", 0.5, censored="first_action_censored"),
)

OF_RESPONSES = tuple(
    dict.fromkeys(name for metric in RESPONSE_METRICS for name in (metric.column, metric.censored) if name)
)
COLUMNS = (  # what is kept of each session's summary
    "session_id", "start_ms", "user_id", "model_group", "experiment_id", "exit_reason", "open", "end_estimated",
    *dict.fromkeys(
        name for metric in SESSION_METRICS for name in (metric.numerator, metric.denominator) if name not in DERIVED
    ),
)  # fmt: skip
METRIC_NAMES = tuple(metric.name for metric in (*SESSION_METRICS, *RESPONSE_METRICS))


def answerable(sessions: pd.DataFrame) -> list[SessionMetric]:
    """The session metrics whose columns are there: those made of texts are missing where no texts were read."""
    columns = {*sessions.columns, *DERIVED}
    return [metric for metric in SESSION_METRICS if metric.numerator in columns and metric.denominator in columns]


class Arms(NamedTuple):
    """The users of each group. A user row is a user in a group; `arm` (user rows,) numbers its group.

    `row` (sessions,) numbers the user row of each session; `users` are the users' ids, and `codes` (user rows,),
    sorted, say which user and group a user row is: number of the user times groups + number of the group.
    """

    groups: tuple[str, ...]
    arm: Rows
    row: Rows
    users: pd.Index
    codes: npt.NDArray[np.int64]

    def rows_of(self, user_ids: pd.Series, groups: pd.Series) -> Rows:
        """The user row of each pair of user and group, -1 where the pair has no session."""
        if not len(self.codes):
            return np.full(len(user_ids), -1)
        user, group = self.users.get_indexer(pd.Index(user_ids)), pd.Index(self.groups).get_indexer(pd.Index(groups))
        code = user.astype(np.int64) * len(self.groups) + group
        at = np.minimum(np.searchsorted(self.codes, code), len(self.codes) - 1)
        known = (user >= 0) & (group >= 0) & (self.codes[at] == code)
        return np.where(known, at, -1)


def arms(user_ids: pd.Series, group: pd.Series) -> Arms:
    """User rows of sessions, groups in alphabetical order.

    >>> a = arms(pd.Series(["u", "v", "u"]), pd.Series(["x", "y", "x"]))
    >>> a.groups, a.arm.tolist(), a.row.tolist()
    (('x', 'y'), [0, 1], [0, 1, 0])
    """
    user, users = pd.factorize(user_ids)
    number, groups = pd.factorize(group, sort=True)
    code = user.astype(np.int64) * len(groups) + number
    codes, row = np.unique(code, return_inverse=True)
    names = tuple(str(name) for name in groups)
    return Arms(names, (codes % max(1, len(groups))).astype(np.intp), row.astype(np.intp), pd.Index(users), codes)


class SessionValues(NamedTuple):
    """A metric's numbers, one of each a session that has them; `raw` is the numerator before winsorising."""

    numerator: Floats
    denominator: Floats
    raw: Floats
    row: Rows
    limit: float


class UserSums(NamedTuple):
    """The sums of SessionValues, one of each a user row with something in the denominator; `row` numbers it."""

    numerator: Floats
    denominator: Floats
    raw: Floats
    row: Rows


def session_values(metric: SessionMetric, sessions: pd.DataFrame, row: Rows) -> SessionValues:
    """The metric's numerator and denominator per session; sessions without a number leave before they are counted."""
    numerator, denominator = _numbers(sessions, metric.numerator), _numbers(sessions, metric.denominator)
    known = ~(np.isnan(numerator) | np.isnan(denominator)) & counts_for(sessions, metric.counted)
    if metric.unit == "s":  # how long an open session will be nobody knows yet
        known &= ~sessions["open"].to_numpy(dtype=bool)
    if not known.all():
        numerator, denominator, row = numerator[known], denominator[known], row[known]
    tamed = winsorise(numerator) if metric.heavy else None
    if tamed is None:
        return SessionValues(numerator, denominator, numerator, row, np.nan)
    return SessionValues(tamed.values, denominator, numerator, row, tamed.limit)


def user_sums(values: SessionValues, user_rows: int) -> UserSums:
    """Sessions added up to one row a user."""
    present = np.flatnonzero(np.bincount(values.row, weights=values.denominator, minlength=user_rows) > 0)

    def add(column: Floats) -> Floats:
        return np.bincount(values.row, weights=column, minlength=user_rows)[present].astype(np.float64)

    numerator = add(values.numerator)
    raw = numerator if values.raw is values.numerator else add(values.raw)
    return UserSums(numerator, add(values.denominator), raw, present)


def _numbers(sessions: pd.DataFrame, column: str) -> Floats:
    derived = DERIVED.get(column)
    values = sessions[column] if derived is None else derived(sessions)
    return pd.Series(values).to_numpy(dtype=np.float64, na_value=np.nan)
