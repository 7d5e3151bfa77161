"""Prompts, ranked by how useful their answers were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from llmtrack.analysis.experiment.users import Note, Pair, known_users, number, pair
from llmtrack.analysis.frames import table as as_table
from llmtrack.analysis.interaction import Interaction, turns
from llmtrack.analysis.stats.shrinkage import Prior, fit
from llmtrack.session.cleaning import Cleaned
from llmtrack.session.values import Objects

FIELDS: Final = (*turns.FIELDS, "text", "selected_text")
FEW_RESPONSES: Final = 100  # with fewer, how much prompts differ is a guess


class Query(NamedTuple):
    """A prompt and what became of its answers.

    copied, selected, used: responses with a copy, a selection, either. Rates are shares of the responses. score: the
    rate of `used` drawn towards the usual one; score_ci: where it lies with 95 % probability.
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


class Queries(NamedTuple):
    """The result of `queries`: prompts (different ones), responses to them, and the rows, the best first."""

    prompts: int
    responses: int
    prior: Prior
    rows: list[Query]
    excluded: dict[str, int]
    repaired: dict[str, int]
    warnings: list[Note]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, as `--format json` prints them after command, source and filters."""
        return {
            **self._asdict(),
            "prior": self.prior._asdict(),
            "rows": [each._asdict() for each in self.rows],
            "warnings": [each._asdict() for each in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """A row a prompt; the interval of the score as score_lo and score_hi."""
        frame = pd.DataFrame(self.rows, columns=list(Query._fields))
        ends = [each.score_ci or (None, None) for each in self.rows]
        frame["score_lo"], frame["score_hi"] = [lo for lo, _ in ends], [hi for _, hi in ends]
        return frame.drop(columns="score_ci")


def queries(batches: Cleaned | Iterable[Cleaned], limit: int | None = None) -> Queries:
    """The prompts of clean sessions, or of batches of them, read with FIELDS; the first `limit` of them.

    Prompts that differ in case and white space only are one, shown as most people wrote it. Answers that failed are no
    responses.
    """
    excluded: Counter[str] = Counter()
    repaired: Counter[str] = Counter()
    parts = []
    for cleaned in [batches] if isinstance(batches, Cleaned) else batches:
        excluded.update(cleaned.excluded)
        repaired.update(cleaned.repaired)
        part, left_out = pick(cleaned)
        excluded.update(left_out)
        parts.append(part)
    answered = pd.concat(parts, ignore_index=True) if parts else _NOTHING
    table = _pooled(answered)
    prior = fit(table["used"], table["responses"])
    rows = _ranked(table, prior)
    return Queries(
        len(rows), len(answered), prior, rows[:limit], dict(excluded), dict(repaired), _notes(answered, prior)
    )


_NOTHING = pd.DataFrame({"user": [], "prompt": [], "key": [], "copied": [], "selected": [], "latency_ms": []})


def pick(cleaned: Cleaned) -> tuple[pd.DataFrame, dict[str, int]]:
    """A row an answered prompt: user, prompt, key (folded), copied, selected, latency_ms; and what is left out."""
    found = as_table(Interaction(cleaned).turns())
    found = found[found["answered"]]
    strays = found["turn"].to_numpy() == 0
    prompt: Objects = found["prompt"].to_numpy(dtype=object)
    key = np.array([_fold(text) for text in prompt], dtype=object)
    named = key != ""
    users = known_users(as_table(cleaned.sessions)).to_numpy()
    kept = pd.DataFrame(
        {
            "user": users[found["session"].to_numpy()],
            "prompt": pd.Series(prompt, dtype=object),
            "key": pd.Series(key, dtype=object),
            "copied": found["copies"].to_numpy() > 0,
            "selected": found["selections"].to_numpy() > 0,
            "latency_ms": found["latency_ms"].to_numpy(),
        }
    )
    left_out = {
        "responses_without_prompt": int(strays.sum()),
        "prompts_without_text": int((~named & ~strays).sum()),
    }
    return kept[named & ~strays], left_out


def _fold(text: str | None) -> str:
    return " ".join((text or "").split()).casefold()


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
    written = counted.groupby(["key", "prompt"]).size().rename("times").reset_index()
    written = written.sort_values(["key", "times", "prompt"], ascending=[True, False, True]).drop_duplicates("key")
    return table.join(written.set_index("key")["prompt"])


def _ranked(table: pd.DataFrame, prior: Prior) -> list[Query]:
    responses, used = (table[key].to_numpy(dtype=np.float64) for key in ("responses", "used"))
    intervals = pd.Series([pair(each) for each in prior.interval(used, responses)], table.index, dtype=object)
    scored = table.assign(score=prior.shrunk(used, responses), score_ci=intervals)
    ordered = scored.reset_index().sort_values(["score", "responses", "key"], ascending=[False, False, True])
    rows: list[dict[str, Any]] = ordered.to_dict("records")  # type: ignore[assignment] # keys are column names
    return [_query(row) for row in rows]


def _query(row: dict[str, Any]) -> Query:
    responses, copied, selected, used = (int(row[key]) for key in ("responses", "copied", "selected", "used"))
    return Query(
        row["prompt"],
        responses,
        int(row["users"]),
        copied,
        selected,
        used,
        copied / responses,
        selected / responses,
        used / responses,
        row["score"],
        row["score_ci"],
        number(row["latency"]),
    )


def _notes(answered: pd.DataFrame, prior: Prior) -> list[Note]:
    count = len(answered)
    if not count:
        return [Note("no_prompts", "No prompt with a text was answered.")]
    if count < FEW_RESPONSES:
        return [
            Note("few_responses", f"Under {FEW_RESPONSES} responses ({count}): how much prompts differ is a guess.")
        ]
    if prior.trials > count / 2:
        text = "Nothing shows that prompts differ in how often their answers are used: the order is chance."
        return [Note("no_difference", text)]
    return []
