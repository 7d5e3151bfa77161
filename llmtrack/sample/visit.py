"""One sample session: what a person does in it, event by event."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from llmtrack.sample.plan import BOUNCES, CHATS, COPIED_TWICE, EXPERIMENT, GONE, UNANSWERED, Group
from llmtrack.sample.texts import Turn, topics
from llmtrack.session.document import Document
from llmtrack.session.schema import (
    ACTIVITY,
    CLICK,
    COPY,
    IDLE_AFTER_S,
    MODEL_RESPONSE,
    NAVIGATION,
    NEW_CHAT,
    PROMPT,
    SCHEMA_VERSION,
    SCROLL,
    SELECTION,
    VISIBILITY,
)

_AGAIN = ("{} Shorter, please.", "Again: {}", "I meant: {}", "{} With an example, please.")
_ERRORS = ("The model's server answered 503: overloaded.", "The model's server answered 429: too many requests.")
_PAGE = "https://chat.example.org/"


class Person(NamedTuple):
    user_id: str
    group: Group
    environment: Document
    copied: float  # this person's own share; people differ, the group's mean is as planted


class Visit:
    """A visit while it is lived: a clock, a page, and the events so far."""

    def __init__(self, rng: random.Random, person: Person, start: datetime, chat: str | None = None) -> None:
        self.rng = rng
        self.person = person
        self.start_ms = self.t = self.touched = ms_of(start)
        self.chat = chat
        self.left = False
        self.events: list[Document] = []
        self.height = person.environment["viewport"]["height"]
        self.page_height, self.scroll_y = self.height, 0

    def live(self) -> None:
        """From arrival to leaving."""
        rng = self.rng
        self.pause(0.2, 1.5)
        self.act(ACTIVITY, {"activity_state": "active"})
        if rng.random() < BOUNCES:
            self.pause(2, 25)
            self.click("BODY")
        else:
            self.talk()
            while not self.left and rng.random() < CHATS:
                self.chat = None
                self.pause(1, 20)
                self.click("BUTTON")
                self.page_height, self.scroll_y = self.height, 0
                self.talk()
        self.pause(*((15, 240) if rng.random() < 0.15 else (1, 15)))
        self.notice_idleness()

    def talk(self) -> None:
        """One chat: its prompts, until the person has enough, leaves, or is left without an answer."""
        rng, group = self.rng, self.person.group
        if self.chat is None:
            self.chat = f"chat_{rng.getrandbits(48):012x}"
            if any(event["type"] == PROMPT for event in self.events):
                self.act(NAVIGATION, {"page_url": f"{_PAGE}#{self.chat}", "previous_url": _PAGE})
                self.act(NEW_CHAT, {"chat_session_id": self.chat})
        questions = self.questions()
        turn, text, again = next(questions), "", False
        count = _geometric(rng, group.turns)
        for k in range(count):
            again = k > 0 and rng.random() < group.reask
            if k > 0 and rng.random() < 0.1:  # away for a while; who asks again does so within 5 min
                self.act(VISIBILITY, {"visibility_state": "hidden"})
                self.pause(60, 200 if again else 500)
                self.act(VISIBILITY, {"visibility_state": "visible"})
            if k > 0 and not again:
                turn = next(questions)
            text = rng.choice(_AGAIN).format(turn.question) if again else turn.question
            self.ask(turn, text, again, last=k == count - 1)
            if self.left:
                return

    def questions(self) -> Iterator[Turn]:
        """The questions of a topic, then those of another, each once."""
        order = list(topics())
        self.rng.shuffle(order)
        for topic in order:
            yield from topic

    def ask(self, turn: Turn, text: str, again: bool, last: bool) -> None:
        """A prompt, the wait, and what the person does with the answer."""
        rng, group = self.rng, self.person.group
        ids = {"chat_session_id": self.chat, "turn_id": f"turn_{rng.getrandbits(48):012x}"}
        self.pause(1, 6)
        self.click("TEXTAREA")
        self.pause(len(text) * 0.06, len(text) * 0.2)
        self.touched = self.t  # typing is interaction, though nobody records the keys
        self.log(PROMPT, {"text": text, **ids})
        latency_ms = round(rng.lognormvariate(math.log(group.latency_ms), 0.45))
        if rng.random() < UNANSWERED:
            self.t += latency_ms // 2
            self.left = True
            return
        self.t += latency_ms
        served = {"model": group.name, "provider": "example", "latency_ms": latency_ms}
        if rng.random() < group.error:
            self.log(MODEL_RESPONSE, {"error": rng.choice(_ERRORS), **served, **ids})
            self.pause(2, 12)
            self.left = rng.random() < 0.5
            return
        answer = f"Once more, step by step.\n\n{turn.answer}" if again else turn.answer
        served |= {"ttft_ms": round(latency_ms * 0.3), "response_length": len(answer), "citations": []}
        self.log(MODEL_RESPONSE, {"text": answer, **served, **ids})
        if last and rng.random() < GONE:
            self.left = True
            return
        self.read(answer)
        self.use(turn, {"page_url": _PAGE, **ids})

    def read(self, answer: str) -> None:
        """Scrolling down an answer at reading speed (238 words a minute, give or take)."""
        width = self.person.environment["viewport"]["width"]
        self.scroll_y = max(0, self.page_height - self.height)
        self.page_height += 120 + round(len(answer) * 22 / min(95, width / 9))
        seconds = min(75, len(answer.split()) / 238 * 60) * self.rng.uniform(0.3, 1.1)
        pieces = self.rng.randint(1, 4)
        for _ in range(pieces):
            self.pause(seconds / pieces * 0.7, seconds / pieces * 1.3)
            self.scroll(self.rng.randint(1, 3), 1)
        if self.rng.random() < 0.2:
            self.scroll(2, -1)

    def use(self, turn: Turn, where: Document) -> None:
        """Copying, selecting, rating, sharing; or nothing."""
        rng = self.rng
        if rng.random() < self.person.copied:
            times = 2 if rng.random() < COPIED_TWICE else 1
            for passage in rng.sample(turn.passages, min(times, len(turn.passages))):
                self.pause(0.5, 5)
                if rng.random() < 0.5:
                    self.act(SELECTION, {"selected_text": passage, **where})
                    self.pause(0.4, 2.5)
                self.act(COPY, {"selected_text": passage, **where})
        elif rng.random() < 0.08:
            self.act(SELECTION, {"selected_text": rng.choice(turn.passages), **where})
        ids = {"turn_id": where["turn_id"], "chat_session_id": where["chat_session_id"]}
        if rng.random() < 0.06:
            self.pause(0.5, 3)
            self.click("BUTTON")
            self.act("feedback", {"rating": "up" if rng.random() < 0.75 else "down", **ids})
        if rng.random() < 0.015:
            self.pause(1, 5)
            self.act("share", {"by": "link", **ids})

    def scroll(self, events: int, direction: int) -> None:
        for _ in range(events):
            step = self.rng.randint(90, 640)
            to = min(max(0, self.scroll_y + direction * step), self.page_height - self.height)
            if to == self.scroll_y:
                return
            self.t += 500
            way = "down" if direction > 0 else "up"
            data = {"scrollY": to, "speed": 2 * abs(to - self.scroll_y), "direction": way}
            self.scroll_y = to
            self.act(SCROLL, {**data, "page_height": self.page_height})

    def click(self, target: str) -> None:
        viewport = self.person.environment["viewport"]
        x, y = self.rng.randrange(viewport["width"]), self.rng.randrange(viewport["height"])
        self.act(CLICK, {"target": target, "x": x, "y": y, "page_url": _PAGE})

    def pause(self, low_s: float, high_s: float) -> None:
        self.t += round(self.rng.uniform(low_s, high_s) * 1000)

    def act(self, kind: str, data: Document) -> None:
        """An event of the person's, seen by the tracker."""
        if self.notice_idleness():
            self.events.append({"n": 0, "t": self.t, "type": ACTIVITY, "data": {"activity_state": "active"}})
        self.events.append({"n": 0, "t": self.t, "type": kind, "data": data})
        self.touched = self.t

    def notice_idleness(self) -> bool:
        idle_at = self.touched + IDLE_AFTER_S * 1000
        if self.t <= idle_at:
            return False
        self.events.append({"n": 0, "t": idle_at, "type": ACTIVITY, "data": {"activity_state": "idle"}})
        return True

    def log(self, kind: str, data: Document) -> None:
        """An event of the server's: it carries no n."""
        self.events.append({"t": self.t, "type": kind, "data": data})


def document(rng: random.Random, visit: Visit, how: str) -> Document:
    """The visit as the store keeps it; `how` it ended is page, timeout, crash (nobody wrote an end) or open."""
    events = sorted(visit.events, key=lambda event: event["t"])
    tracked = [event for event in events if "n" in event]
    for n, event in enumerate(tracked, 1):
        event["n"] = n
    user_id, last_t = visit.person.user_id, events[-1]["t"]
    end_time = {"page": date_of(visit.t), "timeout": date_of(last_t)}.get(how)
    document = {
        "session_id": f"user_{user_id}_{visit.start_ms}_{rng.getrandbits(80):020x}",
        "user_id": user_id,
        "model_group": visit.person.group.name,
        "experiment_id": EXPERIMENT,
        "start_time": date_of(visit.start_ms),
        "end_time": end_time,
        "environment": {**visit.person.environment},
        "events": events,
        "sample": True,
    }
    if how == "crash":  # as written by an application that knows nothing of llmtrack's own fields
        return document
    return document | {
        "schema_version": SCHEMA_VERSION,
        "event_count": len(events),
        "last_n": len(tracked),
        "last_t": last_t,
        "received": [[1, len(tracked)]],
        "rev": 1 + len(events) // 8,
        "updated_at": end_time or date_of(last_t),
        **({"ended_by": how} if end_time else {}),
    }


def _geometric(rng: random.Random, mean: float) -> int:
    """1, 2, 3 … with this mean, at most 12."""
    k = 1
    while k < 12 and rng.random() < 1 - 1 / mean:
        k += 1
    return k


def ms_of(date: datetime) -> int:
    return round(date.timestamp() * 1000)


def date_of(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
