"""A replay as a recording of a terminal (asciicast 2 and 3), for asciinema's players; markers stand at questions."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType

from llmtrack.cli.drawing.text import line
from llmtrack.cli.replay.plain import THEME, Drawing
from llmtrack.session.schema import PROMPT

if TYPE_CHECKING:
    from llmtrack.cli.replay.telling import Telling

COLUMNS, ROWS = 100, 30
MARKED = 60  # characters of a question that its marker has

Frame = tuple[float, str, str]  # the second, "o" or "m", what is drawn or the marker's name


def cast(told: Telling, version: int) -> str:
    """The recording, a JSON value a line. In version 3 times are counted from the event before."""
    start = told.film.visit.session["start_time"]
    head: dict[str, Any] = {"version": version, "timestamp": int(start.timestamp()), "title": f"llmtrack: {told.title}"}
    if version == 2:
        head |= {"width": COLUMNS, "height": ROWS, "env": {"TERM": "xterm-256color"}}
    else:
        head |= {"term": {"cols": COLUMNS, "rows": ROWS, "type": "xterm-256color"}}
    rows: list[Any] = [head]
    before = 0.0
    for at, kind, data in _frames(told):
        rows.append([round(at - before if version == 3 else at, 3), kind, data])
        before = round(at, 3)
    return "".join(f"{json.dumps(row, ensure_ascii=True)}\n" for row in rows)


def _frames(told: Telling) -> Iterator[Frame]:
    film, drawing, pace = told.film, Drawing(told.film.whole_s, terminal=True), told.film.pace
    yield 0.0, "o", _drawn(drawing.facts(told.facts))
    for number, (at, moment) in enumerate(zip(film.due, film.moments, strict=True)):
        sentence = film.sentences[moment.number - 1]
        if moment.event["type"] == PROMPT:
            yield at / pace, "m", line(sentence.body)[:MARKED] or sentence.text
        yield at / pace, "o", _drawn(drawing.moment(moment, sentence, first=not number))
    if film.whole:
        yield film.length / pace, "o", _drawn(drawing.end(told.end, told.spent, film.silence))


def _drawn(pieces: Iterable[RenderableType]) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream, width=COLUMNS, force_terminal=True, color_system="standard", markup=False, highlight=False,
        emoji=False, theme=THEME, legacy_windows=False, _environ={},
    )  # fmt: skip
    for piece in pieces:
        console.print(piece)
    return "".join(f"{row.rstrip(' ')}\r\n" for row in stream.getvalue().splitlines())
