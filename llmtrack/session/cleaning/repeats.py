"""Events that were stored twice, and numbers that never arrived."""

from __future__ import annotations

import numpy as np

from llmtrack.session.cleaning.batch import Batch, Bools, Ints
from llmtrack.session.values import Floats


def repeats(batch: Batch, session: Ints) -> tuple[Bools, Ints]:
    """Events that an earlier one of their session repeats; per session how many n up to its largest are missing.

    The same n, or without n the same t, type and data.
    """
    again = np.zeros(len(session), dtype=bool)
    twins = np.flatnonzero(batch.same)
    again[twins] = _repeated(session[twins], batch.same[twins].astype(np.float64))
    rows = np.flatnonzero(~np.isnan(batch.n))
    session, n = session[rows], batch.n[rows]
    repeated = _repeated(session, n)
    again[rows] |= repeated
    largest = np.zeros(len(batch.counts))
    np.maximum.at(largest, session, n)
    return again, largest.astype(np.int64) - np.bincount(session[~repeated], minlength=len(largest))


def _repeated(session: Ints, key: Floats) -> Bools:
    """Entries whose key an earlier entry of the session has."""
    again = np.zeros(len(key), dtype=bool)
    rows = unsorted(session, key, strictly=True)
    order = rows[np.lexsort((key[rows], session[rows]))]
    again[order[1:]] = (key[order[1:]] == key[order[:-1]]) & (session[order[1:]] == session[order[:-1]])
    return again


def unsorted(session: Ints, key: Floats, *, strictly: bool = False) -> Ints:
    """The entries of those sessions in which a key is less than the one before it, or `strictly` equal to it.

    Nothing else has to be sorted: most sessions are in order, and sorting all of them is what costs.
    """
    back = key[1:] <= key[:-1] if strictly else key[1:] < key[:-1]
    back &= session[1:] == session[:-1]
    if not back.any():
        return np.empty(0, dtype=np.int64)
    found = np.zeros(session[-1] + 1, dtype=bool)
    found[session[1:][back]] = True
    return np.flatnonzero(found[session])
