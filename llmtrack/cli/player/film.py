"""A session that is steered: where it is, and what each key does to that. It knows no terminal and no clock."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from llmtrack.analysis.interaction import timeline
from llmtrack.session.schema import PROMPT

if TYPE_CHECKING:
    from llmtrack.analysis.interaction.timeline import Moment, Silence
    from llmtrack.cli.replay.sentences import Sentence
    from llmtrack.session.cleaning.clean import Visit

PACES = (0.25, 0.5, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0, 32.0)  # what + and - go through


class Manner(NamedTuple):
    """How a session begins to play: the options of the command."""

    speed: float = 1.0
    idle_limit: float = 2.0
    begin_s: float = -inf
    end_s: float = inf
    only: frozenset[str] = frozenset()
    cut: bool = False  # what lies before begin_s is left out, not only behind


class Film:
    """One session of `whole_s` seconds: `moments` are the events it shows, `due` when each is due.

    The film is the session up to `to_s` with its waits shortened to `idle_limit` seconds. `index` moments have been
    shown, `at` is the second of the film, `length` its last one.
    """

    def __init__(self, visit: Visit, sentences: Sequence[Sentence], whole_s: float, manner: Manner) -> None:
        self.visit = visit
        self.sentences = sentences
        self.whole_s = whole_s
        self.from_s, self.to_s = manner.begin_s if manner.cut else -inf, manner.end_s
        self.idle_limit, self.pace = manner.idle_limit, manner.speed
        self.end_s = max(min(whole_s, self.to_s), 0.0)
        self.every = list(timeline.relative(visit))
        self.tail = timeline.last_silence(visit, whole_s)
        self.kinds = Counter(str(moment.event["type"]) for moment in self.every)
        self.playing = False
        self.query = ""
        self.index, self.at = 0, 0.0
        self.choose(manner.only or frozenset(self.kinds))
        self.begin_at(manner.begin_s)

    def choose(self, kinds: Collection[str]) -> None:
        """Show events of these types alone; it stays where it is."""
        here = self.at_s if self.index or self.at else None
        self.only = frozenset(kinds)
        wanted = timeline.select(self.every, self.from_s, self.to_s, self.only) if self.only else ()
        self.moments: list[Moment] = list(timeline.cap_idle(wanted, self.idle_limit))
        self.due = list(accumulate(moment.pause_s for moment in self.moments))
        self._times = [moment.at_s for moment in self.moments]
        last_s, last = (self._times[-1], self.due[-1]) if self.moments else (0.0, 0.0)
        self.length = last + min(max(0.0, self.end_s - last_s), self.idle_limit)
        if here is not None:
            self.go_to(here)

    @property
    def current(self) -> Moment | None:
        """The event that was shown last."""
        return self.moments[self.index - 1] if self.index else None

    @property
    def ended(self) -> bool:
        """Whether everything has been shown."""
        return self.index == len(self.moments) and self.at >= self.length

    @property
    def at_s(self) -> float:
        """Seconds since the session's start; it runs evenly through a shortened wait."""
        before_s, before = (self._times[self.index - 1], self.due[self.index - 1]) if self.index else (0.0, 0.0)
        more = self.index < len(self.moments)
        next_s, due = (self._times[self.index], self.due[self.index]) if more else (self.end_s, self.length)
        return before_s + (next_s - before_s) * (self.at - before) / (due - before) if due > before else before_s

    def advance(self, seconds: float) -> None:
        """Let so many seconds of a clock pass, if it plays."""
        if not self.playing:
            return
        self.at = min(self.length, self.at + seconds * self.pace)
        while self.index < len(self.moments) and self.due[self.index] <= self.at:
            self.index += 1
        self.playing = not self.ended

    def play(self) -> None:
        """Play or pause; from the beginning when it had ended."""
        if self.ended:
            self._stand(0)
        self.playing = not self.playing

    def step(self, way: int) -> None:
        """To the next event (1), or to the one before (-1)."""
        self.playing = False
        if self.index == len(self.moments) and self.at >= self.length and way < 0:
            self._stand(self.index)  # from the end of the session to its last event
        elif self.index + way > len(self.moments):
            self.at = self.length
        else:
            self._stand(max(0, self.index + way))

    def question(self, way: int) -> None:
        """To the next question, or to the one before."""
        self._among([place for place, each in enumerate(self.moments, 1) if each.event["type"] == PROMPT], way)

    def jump(self, tenth: int) -> None:
        """To so many tenths of the film."""
        self.at = self.length * tenth / 10
        self.index = bisect_right(self.due, self.at)

    def go_to(self, at_s: float) -> None:
        """To a second of the session; events at that second are shown."""
        self.index = bisect_right(self._times, at_s)
        self._between(at_s)

    def begin_at(self, at_s: float) -> None:
        """Just before a second of the session: what happens then is what plays first."""
        self.index = bisect_left(self._times, at_s)
        self._between(at_s)

    def go(self, when: str) -> None:
        """To what a person means by `when` (docs/replay.md). Raises LlmtrackError when there is no such event."""
        self.go_to(timeline.position(when, self.visit.events, after_s=self.at_s))

    def faster(self, way: int) -> None:
        """The next pace up (1) or down (-1)."""
        place = (bisect_right if way > 0 else bisect_left)(PACES, self.pace) - (way < 0)
        self.pace = PACES[min(max(place, 0), len(PACES) - 1)]

    def find(self, way: int = 1) -> bool:
        """To the next or last event whose words hold `query`, round the end; whether there is one."""
        places = self.found()
        if not places:
            return False
        if not self._among(places, way):
            self._stand(places[0] if way > 0 else places[-1])
        return True

    def found(self) -> list[int]:
        """The places of all events whose words hold `query`, in letters of either case."""
        wanted = self.query.casefold()
        return [place for place, each in enumerate(self.moments, 1) if wanted in self._words(each)] if wanted else []

    @property
    def silence(self) -> Silence | None:
        """What lies between the last event and the end, when nothing is left out."""
        return self.tail if len(self.moments) == len(self.every) else None

    @property
    def whole(self) -> bool:
        """Whether it goes on to the end of the session."""
        return self.to_s >= self.whole_s

    def _words(self, moment: Moment) -> str:
        sentence, copied = self.sentences[moment.number - 1], moment.event["data"].get("selected_text")
        return f"{sentence.text}\n{sentence.body}\n{copied if isinstance(copied, str) else ''}".casefold()

    def _among(self, places: Sequence[int], way: int) -> bool:
        nearest = next((each for each in places[::way] if (each - self.index) * way > 0), None)
        if nearest is not None:
            self._stand(nearest)
        return nearest is not None

    def _stand(self, index: int) -> None:
        self.index = index
        self.at = self.due[index - 1] if index else 0.0

    def _between(self, at_s: float) -> None:
        """The second of the film that a second of the session is, after `index` events."""
        before_s, before = (self._times[self.index - 1], self.due[self.index - 1]) if self.index else (0.0, 0.0)
        more = self.index < len(self.moments)
        next_s, due = (self._times[self.index], self.due[self.index]) if more else (self.end_s, self.length)
        share = (at_s - before_s) / (next_s - before_s) if next_s > before_s else 0.0
        self.at = before + (due - before) * min(max(share, 0.0), 1.0)
