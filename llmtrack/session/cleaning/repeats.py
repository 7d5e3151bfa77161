"""Events that were stored twice, and numbers that never arrived."""

from __future__ import annotations

from typing import Final

import numpy as np

from llmtrack.session.cleaning.batch import Batch, Bools, Ints
from llmtrack.session.schema import CLICK
from llmtrack.session.values import Floats

HEARD_MS: Final = 50  # two listeners note one click this close together; nobody clicks twice so soon


def repeats(batch: Batch, session: Ints) -> tuple[Bools, Ints]:
    """Events that an earlier one of their session repeats; per session how many n up to its largest are missing.

    The same n, or without n the same t, type and data; and of clicks without n those within 50 ms of another: two
    listeners noted one click.
    """
    again = np.zeros(len(session), dtype=bool)
    twins = np.flatnonzero(batch.same)
    again[twins] = _repeated(session[twins], batch.same[twins].astype(np.float64))
    again |= _heard_twice(batch, session)
    rows = np.flatnonzero(~np.isnan(batch.n))
    session, n = session[rows], batch.n[rows]
    repeated = _repeated(session, n)
    again[rows] |= repeated
    largest = np.zeros(len(batch.counts))
    np.maximum.at(largest, session, n)
    return again, largest.astype(np.int64) - np.bincount(session[~repeated], minlength=len(largest))


def _heard_twice(batch: Batch, session: Ints) -> Bools:
    """Clicks within 50 ms of an earlier one. In a log of whole seconds nobody can tell: people click twice in one."""
    again = np.zeros(len(session), dtype=bool)
    if CLICK not in batch.types:
        return again
    rows = np.flatnonzero((batch.type_codes == batch.types.index(CLICK)) & np.isnan(batch.n))
    fine = np.zeros(len(batch.counts), dtype=bool)
    fine[session[batch.t % 1000 != 0]] = True
    rows = rows[fine[session[rows]]]
    rows = rows[np.lexsort((rows, batch.t[rows], session[rows]))]
    one, then = rows[:-1], rows[1:]
    again[then[(session[one] == session[then]) & (batch.t[then] - batch.t[one] <= HEARD_MS)]] = True
    return again


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
