"""How fast sessions are read and cleaned, beside the floor: decoding the same bytes and keeping nothing.

    python benchmarks/reading.py [sessions]

Documents of 25 events with texts, as a collection delivers them once projected to the fields of a report.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

from llmtrack.analysis.interaction import Interaction, summary, turns
from llmtrack.session.cleaning.batch import Batch
from llmtrack.session.cleaning.clean import clean
from llmtrack.session.filters import Filters
from llmtrack.session.tally import Broken
from llmtrack.store.sources.mongo import MongoSource

CODEC: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
START_MS = 1_790_000_000_000
NOW = datetime(2026, 12, 1, tzinfo=UTC)
ODD = 0.03  # share of documents with a flaw
WORDS = ["model", "answer", "of", "the", "gradient", "why", "is", "layer", "copy", "a", "token", "and"]
ROUND = ("scroll", "click", "prompt", "model_response", "scroll", "selection", "copy", "scroll", "activity")


def session(rng: random.Random, number: int) -> dict[str, Any]:
    """A session of 25 events."""
    start = START_MS + number * 1000
    chat, t, events = f"c{number}", start, []
    for k in range(25):
        t += rng.randrange(200, 20_000)
        kind = ROUND[k % len(ROUND)]
        events.append({"n": k + 1, "t": t, "type": kind, "data": data(rng, kind, f"t{number}-{k // len(ROUND)}", chat)})
    return {
        "_id": number,
        "session_id": f"user_{number % 5000}_{start}_{number}",
        "user_id": f"user-{number % 5000}",
        "model_group": ("fast-3b", "base-7b", "deep-70b")[number % 5000 % 3],  # a user stays in one group
        "experiment_id": "production_v1",
        "start_time": datetime.fromtimestamp(start / 1000, UTC),
        "end_time": datetime.fromtimestamp(t / 1000, UTC),
        "environment": {"device": "desktop", "browser": "Chrome", "os": "Linux", "viewport": {"height": 900}},
        "events": events,
    }


def odd(rng: random.Random, document: dict[str, Any]) -> dict[str, Any]:
    """The same as a writer leaves it who retries, forgets, or has other types."""
    events = document["events"]
    flaw = rng.randrange(5)
    if flaw == 0:
        events.append(events[rng.randrange(len(events))])
    elif flaw == 1:
        events.insert(0, events.pop())
    elif flaw == 2:
        document["end_time"] = None
    elif flaw == 3:
        events[3] = {"type": "click"}
    else:
        document["user_id"] = int(document["user_id"].removeprefix("user-"))
    return document


def data(rng: random.Random, kind: str, turn: str, chat: str) -> dict[str, Any]:
    """An event's data, as the tracker and the collector write it."""
    page = {"page_url": "https://chat.example.org/", "turn_id": turn, "chat_session_id": chat}
    if kind == "scroll":
        return {"scrollY": rng.randrange(4000), "speed": 100.5, "direction": "down", "page_height": 5000}
    if kind == "click":
        return {"target": "BUTTON", "x": 10, "y": 20, "page_url": page["page_url"]}
    if kind == "prompt":
        return {"text": text(rng, 12), "turn_id": turn, "chat_session_id": chat}
    if kind == "model_response":
        found = {"text": text(rng, 150), "model": "m", "provider": "p", "latency_ms": rng.randrange(5000)}
        return {**found, "response_length": 900, "citations": [], "turn_id": turn, "chat_session_id": chat}
    if kind == "activity":
        return {"activity_state": "idle"}
    return {"selected_text": text(rng, 8), **page}


def text(rng: random.Random, words: int) -> str:
    """Words, one after the other."""
    return " ".join(rng.choices(WORDS, k=words))


def projected(raw: bytes, fields: tuple[str, ...]) -> bytes:
    """The documents as a server delivers them when asked for these data fields."""
    found = []
    for document in bson.decode_iter(raw, CODEC):
        for event in document["events"]:
            event["data"] = {key: value for key, value in event.get("data", {}).items() if key in fields}
        found.append(bson.encode(document))
    return b"".join(found)


class Reader(MongoSource):
    """The reader of MongoDB over bytes that are there already, so that no server is measured."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.unreadable, self.name = Broken(), "benchmark"
        self._sends_whole = True

    def _unmarked(self, query: Any) -> list[Any]:
        return []

    def _read(self, query: Any, codec: Any, projection: Any = None) -> Iterator[tuple[str, dict[str, Any]]]:
        for document in bson.decode_iter(self.raw, codec):
            yield f"_id {document['_id']}", document


def best(run: Callable[[], object]) -> float:
    """The shortest of five runs, in seconds."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def main(sessions: int) -> None:
    """Print the table."""
    events = sessions * 25
    print(f"{sessions} sessions, {events} events; ns an event, and times the floor of the same bytes")
    print(f"{'fields':<28} {'bytes':>6} {'floor':>7} {'batches':>14} {'clean':>14} {'summary':>14}")
    for title, fields, share in (
        (f"{title}, {kind}", fields, share)
        for title, fields in (("none", ()), ("summary, no texts", summary.FIELDS), ("summary and turns", TEXTS))
        for kind, share in (("clean", 0.0), (f"{ODD:.0%} odd", ODD))
    ):
        rng = random.Random(1)
        made = (session(rng, number) for number in range(sessions))
        whole = b"".join(bson.encode(odd(rng, each) if rng.random() < share else each) for each in made)
        raw = projected(whole, fields)
        floor = best(lambda raw=raw: [None for _ in bson.decode_iter(raw, CODEC)])

        def batches(raw: bytes = raw, fields: tuple[str, ...] = fields) -> Iterator[Batch]:
            return Reader(raw).batches(Filters(), fields)

        runs = [best(lambda b=batches: [None for _ in b()])]
        runs.append(best(lambda b=batches: [None for batch in b() if clean(batch, NOW) is None]))
        if fields:
            runs.append(best(lambda b=batches: [len(Interaction(clean(batch, NOW)).summary()) for batch in b()]))
        cells = "".join(f" {run / events * 1e9:>6.0f} ({run / floor:.2f})" for run in runs)
        print(f"{title:<28} {len(raw) // sessions:>6} {floor / events * 1e9:>7.0f} {cells}")


TEXTS = tuple(dict.fromkeys((*summary.TEXT_FIELDS, *turns.TEXT_FIELDS)))

if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
