"""What a batch costs as its session grows: 20 events pushed to one of 0 to 30 MB, which goes on in several documents.

Beside it one document that is pushed to without limit until the server refuses it: what the server itself needs.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from llmtrack.store.database import embedded
from llmtrack.store.database.sessions import Store

BATCH, FILL, TEXT = 20, 400, "What machine learning is, and what it is not. " * 50
SIZES_MB = (0, 1, 4, 8, 11, 13, 20, 30)


def events(first: int, count: int) -> list[dict[str, Any]]:
    return [
        {"n": n, "t": 1_760_000_000_000 + n, "type": "copy", "data": {"selected_text": TEXT}}
        for n in range(first, first + count)
    ]


def cost_ms(push: Callable[[list[dict[str, Any]]], Any], size_mb: float, sent: Iterator[int]) -> float:
    """The median of 15 batches."""
    taken = []
    for _ in range(15):
        batch = events(next(sent), BATCH)
        start = time.perf_counter()
        push(batch)
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)


def main() -> None:
    uri = os.environ.get("MONGODB_URI") or embedded.ensure(Path(tempfile.mkdtemp()), 5)
    with Store(uri, "llmtrack_benchmark", timeout_s=30) as store:
        store.ensure_indexes()
        store.sessions.delete_many({})
        store.start({"session_id": "large", "user_id": "u"})
        store.sessions.insert_one({"_id": "bare", "session_id": "bare", "events": []})

        def bare(batch: list[dict[str, Any]]) -> None:
            store.sessions.update_one({"_id": "bare"}, {"$push": {"events": {"$each": batch}}})

        print(f"{'session':>9}  {'documents':>9}  {'llmtrack':>9}  {'bare push':>9}")
        sent, bytes_each = 1, len(TEXT) + 90
        for size in SIZES_MB:
            while sent * bytes_each < size * 1e6:
                batch = events(sent, FILL)
                store.append("large", batch)
                if size < 14:
                    bare(batch)
                sent += FILL
            numbers = iter(range(sent, sent + 10**6, BATCH))
            ours = cost_ms(lambda batch: store.append("large", batch), size, numbers)
            theirs = cost_ms(bare, size, iter(range(sent, sent + 10**6, BATCH))) if size < 14 else None
            sent += 15 * BATCH
            shown = f"{theirs:6.1f} ms" if theirs else "too large"
            print(
                f"{size:6} MB  {store.sessions.count_documents({'session_id': 'large'}):9}  {ours:6.1f} ms  {shown:>9}",
                flush=True,
            )
        store.client.drop_database("llmtrack_benchmark")


if __name__ == "__main__":
    main()
