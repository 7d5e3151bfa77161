"""Which models answered for each group, as their providers name them, and whether that changed in mid-experiment."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from llmtrack.analysis.experiment.users import People
from llmtrack.analysis.interaction.events import Rows
from llmtrack.session.cleaning.series import numbered
from llmtrack.session.values import Floats, Objects

ENOUGH: Final = 40  # answers: of a model that is always there 10 lie in each quarter, and by chance none in 1 of 20,000
SLIGHT: Final = 0.01  # of the answers of a group: fewer change nothing


class Changes(NamedTuple):
    """Answers of models that came or went, and all answers, of each user row; in words which models those are.

    `enough`: a group has so many answers that a change could be seen.
    """

    answers: Floats
    of: Floats
    told: list[str]
    enough: bool


def served(rows: Rows) -> pd.DataFrame:
    """A row a session and model that answered in it: session, model, answers. Needs the field `model`."""
    codes, models = numbered(rows.field("model"))
    known = rows.answer & (codes >= 0)
    pairs, counts = np.unique(rows.session[known] * len(models) + codes[known], return_counts=True)
    named = pd.Series(models[pairs % len(models)], dtype="str")
    return pd.DataFrame({"session": pairs // len(models), "model": named, "answers": counts})


def changes(found: pd.DataFrame, who: People) -> Changes:
    """Of each group the models that came later or went: 40 answers and 1 % of the group's, none in a quarter.

    The quarters are the first and the last of the group's answers, by the starts of their sessions. A router that has
    several models from the beginning to the end changes nothing. `found`: rows of `served`, sessions by their start.
    """
    row = who.rows_of(found["session"].to_numpy(dtype=np.int64))
    found, row = found[row >= 0], row[row >= 0]
    counts, names = found["answers"].to_numpy(dtype=np.float64), found["model"].to_numpy()
    changed, told, enough = np.zeros(len(found), dtype=bool), [], False
    for group, name in enumerate(who.groups):
        mine = np.flatnonzero(who.arms.arm[row] == group)
        enough = enough or bool(counts[mine].sum() >= ENOUGH)
        for model, (came, went) in _of_group(names[mine], counts[mine]).items():
            changed[mine[names[mine] == model]] = True
            told.append(f"{name}: {model} {'came and went' if came and went else 'came' if came else 'went'}")
    return Changes(who.add(row[changed], counts[changed]), who.add(row, counts), told, enough)


def _of_group(names: Objects, counts: Floats) -> dict[str, tuple[bool, bool]]:
    """Each model that came later or went, with which of both it did."""
    before = np.cumsum(counts) - counts
    total = float(counts.sum())
    first, last = before < total / 4, before >= total * 3 / 4
    found = {}
    for model in dict.fromkeys(names.tolist()):
        own = names == model
        if counts[own].sum() >= max(ENOUGH, SLIGHT * total):
            came, went = not (own & first).any(), not (own & last).any()
            if came or went:
                found[model] = came, went
    return found
