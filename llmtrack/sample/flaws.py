"""What other writers and bad connections do to session documents, done to some of the sample sessions."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

Document = dict[str, Any]


def _no_environment(rng: random.Random, document: Document) -> None:
    del document["environment"]


def _unsorted(rng: random.Random, document: Document) -> None:
    rng.shuffle(document["events"])


def _iso_times(rng: random.Random, document: Document) -> None:
    for field in ("start_time", "end_time"):
        if document[field] is not None:
            document[field] = document[field].isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _other_clock(rng: random.Random, document: Document) -> None:
    hours = rng.choice((-5.5, -4, 2, 7))
    for event in document["events"]:
        event["t"] += round(hours * 3_600_000)


def _float_t(rng: random.Random, document: Document) -> None:
    for event in document["events"]:
        event["t"] += 0.25


def _duplicates(rng: random.Random, document: Document) -> None:
    events = document["events"]
    for place in sorted(rng.sample(range(len(events)), 3), reverse=True):
        events.insert(place, {**events[place]})


def _lost(rng: random.Random, document: Document) -> None:
    """Three tracker events in a row never arrived: a gap in n."""
    tracked = [event["n"] for event in document["events"] if "n" in event]
    first = rng.randint(2, len(tracked) - 4)
    document["events"] = [event for event in document["events"] if not first <= event.get("n", 0) < first + 3]
    if "received" in document:
        document["received"] = [[1, first - 1], [first + 3, len(tracked)]]
        document["event_count"] -= 3


FLAWS: tuple[tuple[Callable[[random.Random, Document], None], int], ...] = (  # what other writers do, how often
    (_no_environment, 6),
    (_unsorted, 6),
    (_iso_times, 6),
    (_other_clock, 6),
    (_float_t, 6),
    (_duplicates, 6),
    (_lost, 6),
)


def flaw_some(rng: random.Random, documents: list[Document]) -> None:
    """Harm some of the documents in place: each flaw as often as FLAWS says."""
    fit = [document for document in documents if sum("n" in event for event in document["events"]) >= 8]
    victims = iter(rng.sample(fit, min(len(fit), sum(count for _, count in FLAWS))))
    for flaw, count in FLAWS:
        for _, document in zip(range(count), victims, strict=False):
            flaw(rng, document)
