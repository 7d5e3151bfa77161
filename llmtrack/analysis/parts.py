"""What reports keep of each batch of sessions: a part; several parts become one by merging.

A part is small and picklable, so that parts can be made by several processes or machines. Merging puts sessions in an
order of their own: the order in which parts arrive, and how sessions are split among them, changes no digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from llmtrack.session.tally import Tally, total


@dataclass(frozen=True)
class Part:
    """What a report keeps of some sessions.

    `sessions`: a row a session, with session_id and start_ms. `tables`: rows whose column `session` numbers the row of
    `sessions` they belong to, in the order of those.
    """

    sessions: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]
    tally: Tally


def merge(parts: Iterable[Part]) -> Part:
    """Several parts of one report (at least one) as one, its sessions by start and id."""
    found = list(parts)
    sessions = pd.concat([part.sessions for part in found], ignore_index=True)
    order = sessions.sort_values(["start_ms", "session_id"], kind="stable").index.to_numpy()
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    first = np.cumsum([0, *(len(part.sessions) for part in found)])
    tables = {}
    for name in found[0].tables:
        rows = pd.concat([part.tables[name] for part in found], ignore_index=True)
        sizes = [len(part.tables[name]) for part in found]
        rows["session"] = place[rows["session"].to_numpy() + np.repeat(first[:-1], sizes)]
        tables[name] = rows.sort_values("session", kind="stable", ignore_index=True)
    return Part(sessions.iloc[order].reset_index(drop=True), tables, total(part.tally for part in found))


def compact(table: pd.DataFrame) -> pd.DataFrame:
    """The table with each column of integers in the smallest type that holds it."""
    whole = table.select_dtypes("integer")
    return table.assign(**{str(key): pd.to_numeric(whole[key], downcast="integer") for key in whole})
