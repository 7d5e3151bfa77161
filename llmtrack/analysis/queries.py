"""Prompts, ranked by how useful their answers were."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np
import pandas as pd

from llmtrack.analysis.experiment.population import named
from llmtrack.analysis.frames import table
from llmtrack.analysis.interaction import Interaction, turns
from llmtrack.analysis.parts import Part, compact, merge
from llmtrack.analysis.result import Note, Pair, Result, number, pair
from llmtrack.analysis.stats.shrinkage import Prior, fit
from llmtrack.session.cleaning import Cleaned
from llmtrack.session.tally import Tally
from llmtrack.session.values import Objects

if TYPE_CHECKING:
    from llmtrack.analysis.report import ReportSettings

MIN_USERS: Final = 3  # what fewer asked says nothing of the prompt: its score is the usual one
ENDS: Final = " .,;:!?\u2026\u3002\uff0c\uff01\uff1f"  # how a prompt may end, in Chinese too
FEW_RESPONSES: Final = 100  # with fewer, how much prompts differ is a guess


class Query(NamedTuple):
    """A prompt and what became of its answers.

    copied, selected, used: responses with a copy, a selection, either. Rates are shares of the responses. score: the
    share of the users who used an answer, drawn towards the usual one (all the way under MIN_USERS users); score_ci:
    where it lies with 95 % probability. A user who asked several times counts once, by the share of the answers used.
    """

    prompt: str
    responses: int
    users: int
    copied: int
    selected: int
    used: int
    copy_rate: float
    selection_rate: float
    rate: float
    score: float
    score_ci: Pair
    latency_p50_ms: float | None


@dataclass(frozen=True, kw_only=True)
class QueriesResult(Result):
    """Prompts (how many different ones), the responses to them, and the first `limit` of them, the best first."""

    title: ClassVar = "Queries"
    columns: ClassVar = (
        "prompt", "responses", "users", "copied", "selected", "used", "copy_rate", "selection_rate", "rate", "score",
        "latency_p50_ms", "score_lo", "score_hi",
    )  # fmt: skip

    prompts: int
    responses: int
    prior: Prior
    rows: list[Query]

    def records(self) -> Iterator[dict[str, Any]]:
        """A row a prompt."""
        return (query._asdict() for query in self.rows)


@dataclass(frozen=True, kw_only=True)
class Queries:
    """Prompts by how useful their answers were; the first `limit` of them.

    Prompts that differ in case, white space and end punctuation only are one, shown as most people wrote it. Answers
    that failed are no responses. Where no answer at all was used, nothing is ranked.
    """

    limit: int | None = None

    fields: ClassVar = (*turns.FIELDS, "text", "selected_text")

    def pick(self, cleaned: Cleaned) -> Part:
        """A row a session, and a row an answered prompt: prompt, key (folded), copied, selected, latency_ms."""
        found = table(Interaction(cleaned).turns())
        found = found[found["answered"]]
        strays = found["turn"].to_numpy() == 0
        prompt: Objects = found["prompt"].to_numpy(dtype=object)
        key = np.array([_fold(text) for text in prompt], dtype=object)
        told = key != ""
        answered = pd.DataFrame(
            {
                "session": found["session"].to_numpy(),
                "prompt": pd.Series(prompt, dtype="str"),
                "copied": found["copies"].to_numpy() > 0,
                "selected": found["selections"].to_numpy() > 0,
                "latency_ms": found["latency_ms"].to_numpy(),
            }
        )
        left_out = {
            "responses_without_prompt": int(strays.sum()),
            "prompts_without_text": int((~told & ~strays).sum()),
        }
        kept = compact(answered[told & ~strays].reset_index(drop=True))
        sessions = table(
            {
                key: cleaned.sessions[key]
                for key in ("session_id", "start_ms", "user_id", "model_group", "experiment_id")
            }
        )
        return Part(sessions, {"answered": kept}, Tally.of(cleaned).with_excluded(left_out))

    def finish(self, parts: Iterable[Part], settings: ReportSettings) -> QueriesResult:
        """The prompts of all parts."""
        whole = merge(parts)
        answered = whole.tables["answered"]
        users = named(whole.sessions)["user_id"].to_numpy()[answered["session"].to_numpy()]
        key = [_fold(text) for text in answered["prompt"]]
        pooled = _pooled(answered.assign(user=users, key=pd.Series(key, answered.index, dtype="str")))
        several = pooled[pooled["users"] >= MIN_USERS]
        usual = several if len(several) else pooled  # what one person asks says nothing of what is usual
        prior = fit(usual["by_users"], usual["users"])
        rows = _ranked(pooled, prior) if pooled["used"].any() else []
        return QueriesResult(
            prompts=len(pooled),
            responses=len(answered),
            prior=prior,
            rows=rows[: self.limit],
            warnings=_notes(pooled, prior),
            tally=whole.tally,
        )


def _fold(text: str | None) -> str:
    """What is the same prompt, however it is typed.

    >>> _fold("What is  a tensor?"), _fold("what is a tensor"), _fold("?!")
    ('what is a tensor', 'what is a tensor', '?!')
    """
    words = " ".join((text or "").split()).casefold()
    return words.rstrip(ENDS) or words


def _pooled(answered: pd.DataFrame) -> pd.DataFrame:
    """A row a prompt, indexed by its key."""
    counted = answered.assign(used=answered["copied"].astype(bool) | answered["selected"].astype(bool), responses=1)
    by_key = counted.groupby("key", sort=True)
    table = by_key.agg(
        responses=("responses", "sum"),
        users=("user", "nunique"),
        copied=("copied", "sum"),
        selected=("selected", "sum"),
        used=("used", "sum"),
        latency=("latency_ms", "median"),
    )
    of_user = counted.groupby(["key", "user"], sort=True)["used"].mean()
    table["by_users"] = of_user.groupby("key", sort=True).sum()
    written = counted.groupby(["key", "prompt"]).size().rename("times").reset_index()
    written = written.sort_values(["key", "times", "prompt"], ascending=[True, False, True]).drop_duplicates("key")
    return table.join(written.set_index("key")["prompt"])


def _ranked(table: pd.DataFrame, prior: Prior) -> list[Query]:
    enough = table["users"].to_numpy() >= MIN_USERS
    users, used = (np.where(enough, table[key].to_numpy(dtype=np.float64), 0.0) for key in ("users", "by_users"))
    intervals = pd.Series([pair(each) for each in prior.interval(used, users)], table.index, dtype=object)
    scored = table.assign(score=prior.shrunk(used, users), score_ci=intervals)
    by = {"score": False, "users": False, "responses": False, "key": True}
    ordered = scored.reset_index().sort_values(list(by), ascending=list(by.values()))
    rows: list[dict[str, Any]] = ordered.to_dict("records")  # type: ignore[assignment] # keys are column names
    return [_query(row) for row in rows]


def _query(row: dict[str, Any]) -> Query:
    responses, copied, selected, used = (int(row[key]) for key in ("responses", "copied", "selected", "used"))
    return Query(
        prompt=row["prompt"],
        responses=responses,
        users=int(row["users"]),
        copied=copied,
        selected=selected,
        used=used,
        copy_rate=copied / responses,
        selection_rate=selected / responses,
        rate=used / responses,
        score=row["score"],
        score_ci=row["score_ci"],
        latency_p50_ms=number(row["latency"]),
    )


def _notes(pooled: pd.DataFrame, prior: Prior) -> list[Note]:
    count = int(pooled["responses"].sum())
    if not count:
        return [Note("no_prompts", "No prompt with a text was answered.")]
    if not pooled["used"].any():
        return [Note("nothing_used", "No answer was copied or selected from: there is nothing to rank by.")]
    if count < FEW_RESPONSES:
        return [
            Note("few_responses", f"Under {FEW_RESPONSES} responses ({count}): how much prompts differ is a guess.")
        ]
    if prior.trials > int(pooled["users"].sum()) / 2:
        text = "Nothing shows that prompts differ in how often their answers are used: the order is chance."
        return [Note("no_difference", text)]
    return []
