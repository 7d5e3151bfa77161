"""Prompts, ranked by how useful their answers were."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np
import pandas as pd

from llmtrack.analysis.experiment.population import named
from llmtrack.analysis.frames import table
from llmtrack.analysis.interaction import Interaction, turns
from llmtrack.analysis.parts import Part, compact, merge
from llmtrack.analysis.recorded import looked_for, told
from llmtrack.analysis.result import Note, Pair, Result, number, pair
from llmtrack.analysis.stats.shrinkage import Prior, fit
from llmtrack.session.cleaning.clean import Cleaned
from llmtrack.session.values import Objects

if TYPE_CHECKING:
    from llmtrack.analysis.report import ReportSettings

MIN_USERS: Final = 3  # what fewer asked says nothing of the prompt: its score is the usual one
ENDS: Final = " .,;:!?\u2026\u3002\uff0c\uff01\uff1f"  # how a prompt may end, in Chinese too
_TAKEN: Final = ("copied", "selected")
FEW_RESPONSES: Final = 100  # with fewer, how much prompts differ is a guess


class Query(NamedTuple):
    """A prompt and what became of its answers.

    copied, selected, used: responses with a copy, a selection, either (None where the source never records it). rated,
    up: responses with a thumb, with one up. Rates are shares of the responses. score: the share of the users who used
    an answer (ranked by thumbs: who gave it one up, of those who gave one), drawn towards the usual one (all the way
    under MIN_USERS users); score_ci: where it lies with 95 % probability. A user who asked several times counts once,
    by the share of the answers used.
    """

    prompt: str
    responses: int
    users: int
    copied: int | None
    selected: int | None
    used: int | None
    copy_rate: float | None
    selection_rate: float | None
    rate: float | None
    score: float
    score_ci: Pair
    latency_p50_ms: float | None
    rated: int
    up: int


@dataclass(frozen=True, kw_only=True)
class QueriesResult(Result):
    """Prompts (how many different ones), the responses to them, and the first `limit` of them, the best first.

    `ranked_by`: "use" (copies and selections), where there are none "thumbs", where there is nothing at all None.
    """

    title: ClassVar = "Queries"
    columns: ClassVar = (
        "prompt", "responses", "users", "copied", "selected", "used", "copy_rate", "selection_rate",
        "rate", "score", "rated", "up",
        "latency_p50_ms", "score_lo", "score_hi",
    )  # fmt: skip

    prompts: int
    responses: int
    ranked_by: str | None
    prior: Prior
    rows: list[Query]

    def records(self) -> Iterator[dict[str, Any]]:
        """A row a prompt."""
        return (query._asdict() for query in self.rows)


@dataclass(frozen=True, kw_only=True)
class Queries:
    """Prompts by how useful their answers were; the first `limit` of them.

    Prompts that differ in case, white space and end punctuation only are one, shown as most people wrote it. Answers
    that failed are no responses. Where no answer at all was used, thumbs rank; where there are none either, nothing is.
    """

    limit: int | None = None

    fields: ClassVar = (*turns.FIELDS, "text", "selected_text")

    def pick(self, cleaned: Cleaned) -> Part:
        """A row a session; a row an answered prompt: prompt, copied, selected, thumb (1 up, -1 down, 0), latency_ms."""
        interaction = Interaction(cleaned)
        found = table(interaction.turns())
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
                "thumb": found["rating"].map({"up": 1, "down": -1}).fillna(0).to_numpy(dtype=np.int64),
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
        return Part(sessions, {"answered": kept}, interaction.tally().with_excluded(left_out))

    def finish(self, parts: Iterable[Part], settings: ReportSettings) -> QueriesResult:
        """The prompts of all parts."""
        whole = merge(parts)
        answered = whole.tables["answered"]
        users = named(whole.sessions)["user_id"].to_numpy()[answered["session"].to_numpy()]
        key = [_fold(text) for text in answered["prompt"]]
        pooled = _pooled(answered.assign(user=users, key=pd.Series(key, answered.index, dtype="str")))
        by = "use" if pooled["used"].any() else "thumbs" if pooled["rated"].any() else None
        if by == "thumbs":
            pooled = pooled.assign(by_users=pooled["up_by_users"], judges=pooled["raters"])
        several = pooled[pooled["judges"] >= MIN_USERS]
        usual = several if len(several) else pooled[pooled["judges"] > 0]  # one person says nothing of what is usual
        prior = fit(usual["by_users"], usual["judges"])
        recorded = settings.recorded(whole.tally.recorded, looked_for(_TAKEN))
        untold = {key for key in _TAKEN if not told(key, recorded)}
        rows = _ranked(pooled, prior, untold) if by else []
        return QueriesResult(
            prompts=len(pooled),
            responses=len(answered),
            ranked_by=by,
            prior=prior,
            rows=rows[: self.limit],
            warnings=_notes(pooled, prior, by),
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
    used = answered["copied"].astype(bool) | answered["selected"].astype(bool)
    counted = answered.assign(used=used, rated=answered["thumb"] != 0, up=answered["thumb"] > 0, responses=1)
    by_key = counted.groupby("key", sort=True)
    table = by_key.agg(
        responses=("responses", "sum"),
        users=("user", "nunique"),
        copied=("copied", "sum"),
        selected=("selected", "sum"),
        used=("used", "sum"),
        rated=("rated", "sum"),
        up=("up", "sum"),
        latency=("latency_ms", "median"),
    )
    of_user = counted.groupby(["key", "user"], sort=True)["used"].mean()
    table["by_users"], table["judges"] = of_user.groupby("key", sort=True).sum(), table["users"]
    of_rater = counted[counted["rated"]].groupby(["key", "user"], sort=True)["up"].mean().groupby("key")
    table["up_by_users"] = of_rater.sum().reindex(table.index, fill_value=0.0)
    table["raters"] = of_rater.size().reindex(table.index, fill_value=0)
    written = counted.groupby(["key", "prompt"]).size().rename("times").reset_index()
    written = written.sort_values(["key", "times", "prompt"], ascending=[True, False, True]).drop_duplicates("key")
    return table.join(written.set_index("key")["prompt"])


def _ranked(table: pd.DataFrame, prior: Prior, untold: Collection[str]) -> list[Query]:
    enough = table["judges"].to_numpy() >= MIN_USERS
    users, used = (np.where(enough, table[key].to_numpy(dtype=np.float64), 0.0) for key in ("judges", "by_users"))
    intervals = pd.Series([pair(each) for each in prior.interval(used, users)], table.index, dtype=object)
    scored = table.assign(score=prior.shrunk(used, users), score_ci=intervals)
    by = {"score": False, "judges": False, "responses": False, "key": True}
    ordered = scored.reset_index().sort_values(list(by), ascending=list(by.values()))
    rows: list[dict[str, Any]] = ordered.to_dict("records")  # type: ignore[assignment] # keys are column names
    return [_query(row, untold) for row in rows]


def _query(row: dict[str, Any], untold: Collection[str]) -> Query:
    responses = int(row["responses"])
    copied, selected = (None if key in untold else int(row[key]) for key in _TAKEN)
    used = None if copied is None and selected is None else int(row["used"])
    return Query(
        prompt=row["prompt"],
        responses=responses,
        users=int(row["users"]),
        copied=copied,
        selected=selected,
        used=used,
        copy_rate=None if copied is None else copied / responses,
        selection_rate=None if selected is None else selected / responses,
        rate=None if used is None else used / responses,
        score=row["score"],
        score_ci=row["score_ci"],
        latency_p50_ms=number(row["latency"]),
        rated=int(row["rated"]),
        up=int(row["up"]),
    )


def _notes(pooled: pd.DataFrame, prior: Prior, by: str | None) -> list[Note]:
    count = int(pooled["responses"].sum())
    if not count:
        return [Note("no_prompts", "No prompt with a text was answered.")]
    if by is None:
        text = "No answer was copied, selected from, or given a thumb: nothing was used, and nothing is ranked."
        return [Note("nothing_used", text)]
    if by == "thumbs":
        return [Note("ranked_by_thumbs", "No answer was copied or selected from: prompts are ranked by thumbs.")]
    if count < FEW_RESPONSES:
        return [Note("few_responses", f"Under {FEW_RESPONSES} answers ({count}): how much prompts differ is a guess.")]
    if prior.trials > int(pooled["users"].sum()) / 2:
        text = "Nothing shows that prompts differ in how often their answers are used: the order is chance."
        return [Note("no_difference", text)]
    return []
