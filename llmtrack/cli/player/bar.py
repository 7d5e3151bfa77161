"""The timeline: what happens where in a film, a column of the terminal a stretch, told apart by shape and by colour."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final, NamedTuple

from llmtrack.session.schema import COPY, MODEL_RESPONSE, PROMPT

if TYPE_CHECKING:
    from llmtrack.analysis.interaction.timeline import Moment
    from llmtrack.cli.player.film import Film


class Mark(NamedTuple):
    """How a stretch of the timeline looks, and what it says."""

    shape: str
    style: str
    means: str


QUESTION: Final = Mark("?", "bold cyan", "a question")
ANSWER: Final = Mark("●", "bold green", "an answer")
FAILED: Final = Mark("✗", "bold red", "a failed answer")
COPIED: Final = Mark("▲", "bold yellow", "a copy")
OTHER: Final = Mark("·", "", "another event")
SILENT: Final = Mark("─", "dim", "silence")
AWAY: Final = Mark("░", "dim", "away")
MARKS: Final = (QUESTION, FAILED, COPIED, ANSWER, OTHER, SILENT, AWAY)  # the first one is seen where several meet


def marks(film: Film, width: int) -> list[Mark]:
    """A mark for each of `width` columns."""
    found: list[Mark] = []
    silent, length = _silences(film), film.length or 1.0
    for column in range(width):
        begin, end = column * length / width, (column + 1) * length / width
        first = bisect_left(film.due, begin)
        last = len(film.due) if column == width - 1 else bisect_left(film.due, end)
        within = [mark_of(film, moment) for moment in film.moments[first:last]]
        found.append(min(within, key=MARKS.index) if within else silent[first])
    return found


def place(film: Film, width: int) -> int:
    """The column that the film is in."""
    return min(width - 1, int(film.at / film.length * width)) if film.length else width - 1


def mark_of(film: Film, moment: Moment) -> Mark:
    """How an event looks on the timeline."""
    if moment.event["type"] == MODEL_RESPONSE:
        return FAILED if film.sentences[moment.number - 1].failed else ANSWER
    return {PROMPT: QUESTION, COPY: COPIED}.get(moment.event["type"], OTHER)


def _silences(film: Film) -> list[Mark]:
    """What lies before each event, and after the last one."""
    named = [moment.silence for moment in film.moments] + [film.silence]
    return [AWAY if each is not None and each.kind == "away" else SILENT for each in named]
