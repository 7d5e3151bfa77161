"""Sessions in rows: one each, or by models one of the session itself and one of what each model answered in it.

Metrics of sessions are made of the first kind, those of answers of the second; where sessions are not grouped by models
each row is both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from llmtrack.analysis.interaction.models import MODELS, split
from llmtrack.analysis.interaction.summary import answers

if TYPE_CHECKING:
    from llmtrack.analysis.interaction import Interaction
    from llmtrack.session.cleaning.batch import Bools, Ints

OF_SESSIONS: Final = "of_sessions"  # columns: what a row counts for; without them all rows count for both
OF_ANSWERS: Final = "of_answers"


def spread(found: Interaction, by: str, sessions: pd.DataFrame) -> tuple[pd.DataFrame, Ints]:
    """The rows of these sessions (a row each), and for each event that is a prompt or a response the number of its row.

    By models what belongs to answers is that of one model in each row.
    """
    if by not in MODELS:
        return sessions, found.rows.session
    parts = split(found, by)
    told: dict[str, Any] = {by: parts.model, **answers(found, parts.row, len(parts.session))}
    of_models = sessions.iloc[parts.session].reset_index(drop=True)
    of_models = of_models.assign(**{key: values for key, values in told.items() if key in sessions or key == by})
    whole: dict[str, Any] = {by: parts.met, OF_SESSIONS: True, OF_ANSWERS: False}
    of_models = of_models.assign(**{OF_SESSIONS: False, OF_ANSWERS: True})
    rows = pd.concat([sessions.assign(**whole), of_models], ignore_index=True)
    return rows, np.where(parts.row >= 0, parts.row + len(sessions), -1)


def counts_for(rows: pd.DataFrame, kind: str) -> Bools:
    """Which rows count for sessions, or for answers."""
    return rows[kind].to_numpy(dtype=bool) if kind in rows else np.ones(len(rows), dtype=bool)
