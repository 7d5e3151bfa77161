"""Sample sessions that look like real visits: for the demo, for documentation and for tests.

Three model groups truly differ, by the amounts in GROUPS and in nothing else; what follows from these amounts (a slow
model makes people wait, more turns make visits longer) differs too. A test of an analysis can so ask for the
differences that were planted. Same seed and same `now`: same documents, byte for byte.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from llmtrack.sample.flaws import flaw_some
from llmtrack.sample.plan import DAYS, GROUPS, NO_END, OPEN, RELOADS, SEED, TIMED_OUT
from llmtrack.sample.visit import _PAGE, Person, Visit, date_of, document, ms_of
from llmtrack.session.document import Document

_DEVICES = (  # weight, device, browser, os, width, height
    (30, "desktop", "Chrome", "Windows", 1920, 945),
    (16, "desktop", "Safari", "macOS", 1440, 789),
    (12, "desktop", "Chrome", "macOS", 1728, 992),
    (8, "desktop", "Firefox", "Linux", 1920, 955),
    (18, "mobile", "Chrome", "Android", 412, 785),
    (12, "mobile", "Safari", "iOS", 390, 664),
    (4, "tablet", "Safari", "iOS", 820, 1106),
)


def sessions(*, now: datetime, seed: int = SEED, users: int = 200) -> Iterator[Document]:
    """About three sessions a user from the three weeks before `now` (aware), as llmtrack stores them, oldest first.

    Some are as other writers leave them (flaws.py), some are still open. Each carries `sample: True`.
    """
    rng = random.Random(seed)  # noqa: S311 - play, no secrets
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    people = [_person(rng) for _ in range(users)]
    past: list[Document] = []
    for person in people:
        for _ in range(min(25, max(1, round(rng.lognormvariate(0.75, 0.85))))):
            day = midnight - timedelta(days=rng.randint(1, DAYS))
            past += _visits(rng, person, day + timedelta(hours=rng.triangular(6, 21.5, 14)))
    past.sort(key=lambda document: document["start_time"])
    flaw_some(rng, past)
    yield from past
    for person in people[:OPEN]:
        yield _open(rng, person, now)


def _person(rng: random.Random) -> Person:
    group = rng.choice(GROUPS)
    _, device, browser, system, width, height = rng.choices(_DEVICES, [row[0] for row in _DEVICES])[0]
    environment = {
        "device": device,
        "browser": browser,
        "os": system,
        "viewport": {"width": width, "height": height},
        "language": rng.choice(("en-GB", "en-US", "de-DE", "fr-FR", "pt-PT")),
        "page_url": _PAGE,
        "referrer": rng.choice(("", "", "https://www.example.com")),
        "automation": False,
        "gpc": rng.random() < 0.05,
        "dnt": rng.random() < 0.08,
        "touch": device != "desktop",
    }
    copied = rng.betavariate(12 * group.copied, 12 * (1 - group.copied))
    return Person(f"{rng.getrandbits(32):08x}", group, environment, copied)


def _visits(rng: random.Random, person: Person, start: datetime) -> Iterator[Document]:
    """A visit, and now and then its continuation in a reloaded page."""
    visit = Visit(rng, person, start)
    visit.live()
    yield document(rng, visit, _how_it_ended(rng))
    if visit.chat and rng.random() < RELOADS:
        again = Visit(rng, person, date_of(visit.t + rng.randint(900, 4000)), visit.chat)
        again.live()
        yield document(rng, again, _how_it_ended(rng))


def _how_it_ended(rng: random.Random) -> str:
    return rng.choices(("page", "timeout", "crash"), (1 - NO_END - TIMED_OUT, TIMED_OUT, NO_END))[0]


def _open(rng: random.Random, person: Person, now: datetime) -> Document:
    visit = Visit(rng, person, now - timedelta(seconds=rng.uniform(180, 840)))
    visit.live()
    visit.events = [event for event in visit.events if event["t"] < ms_of(now) - 1000]
    return document(rng, visit, "open")
