"""Makes docs/images/replay.svg: a replay as it moves, drawn by the program itself. docs/generate.py calls it.

Each line of the terminal appears at the moment the player drew it (SMIL, no script); long ones scroll up.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from typing import Any

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI as COLOURS
from rich.text import Text

from llmtrack.analysis.interaction import timeline
from llmtrack.cli.drawing.terminal import console
from llmtrack.cli.replay.facts import ending, facts, length_s, numbers, spent
from llmtrack.cli.replay.plain import Screen
from llmtrack.cli.replay.sentences import tell
from llmtrack.sample import sessions
from llmtrack.session.cleaning.clean import one

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
WIDTH, ROWS = 88, 26  # of the terminal
CELL, LINE, MARGIN = 8.4, 19, 16  # pixels
SPEED, LONGEST_WAIT_S, REST_S = 2.0, 2.0, 4.0
WANTED = {"prompt", "model_response", "selection", "copy", "scroll"}


def shown() -> dict[str, Any]:
    """A sample session with all that is worth seeing, and short."""

    def worth(document: dict[str, Any]) -> tuple[int, int, str]:
        types = [event["type"] for event in document["events"]]
        failed = sum("error" in event.get("data", {}) for event in document["events"])
        short = types.count("prompt") < 2
        return len(WANTED - set(types)) + failed + short, len(types), document["session_id"]

    return min((each for each in sessions(now=NOW) if each.get("ended_by") == "page"), key=worth)


def lines() -> Iterator[tuple[float, Text]]:
    """The lines of the terminal, each with the second in which it appears."""
    document = shown()
    visit = one(document, NOW)
    stream = io.StringIO()
    drawn = Console(file=stream, width=WIDTH, force_terminal=True, color_system="truecolor", highlight=False)
    screen = Screen(drawn, length_s(visit), SPEED)
    known, sentences = numbers(visit), tell(visit.events, visit.session["environment"])

    def new(at_s: float) -> Iterator[tuple[float, Text]]:
        text = stream.getvalue()
        stream.seek(0)
        stream.truncate()
        yield from ((at_s, Text.from_ansi(row.rstrip())) for row in text.splitlines())

    yield 0.0, Text("$ llmtrack replay last --speed 2", "bold")
    screen.facts(facts(visit, known, NOW))
    yield from new(0.6)
    at_s = 0.6
    moments = timeline.speed(timeline.cap_idle(timeline.relative(visit), LONGEST_WAIT_S), SPEED)
    for due_s, moment in timeline.schedule(moments):
        at_s = due_s + 1.2
        screen.moment(moment, sentences[moment.number - 1])
        yield from new(at_s)
    screen.end(ending(document, known), spent(known), timeline.last_silence(visit, length_s(visit)))
    yield from new(at_s + 1)


def film() -> str:
    """The picture."""
    rows = list(lines())
    whole_s = rows[-1][0] + REST_S
    width, height = WIDTH * CELL + 2 * MARGIN, ROWS * LINE + 2 * MARGIN
    body = "\n".join(_line(number, at_s / whole_s, text, whole_s) for number, (at_s, text) in enumerate(rows))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img"
 aria-label="A session, replayed in a terminal" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14">
<rect width="100%" height="100%" rx="8" fill="#191919"/>
<svg x="{MARGIN}" y="{MARGIN}" width="{width - 2 * MARGIN:.0f}" height="{ROWS * LINE}">
<g fill="#c8c8c8" style="white-space:pre">{_scroll(rows, whole_s)}
{body}
</g></svg></svg>
"""


def _scroll(rows: list[tuple[float, Text]], whole_s: float) -> str:
    """Lines beyond the terminal's height push the others up, when they appear."""
    places = {0.0: 0}
    for number, (at_s, _) in enumerate(rows):
        if number >= ROWS:
            places[round(at_s / whole_s, 4)] = (ROWS - 1 - number) * LINE
    times, moves = ";".join(f"{time:g}" for time in places), ";".join(f"0 {place}" for place in places.values())
    settings = f'calcMode="discrete" dur="{whole_s:.1f}s" repeatCount="indefinite"'
    return (
        f'<animateTransform attributeName="transform" type="translate" values="{moves}" keyTimes="{times}" {settings}/>'
    )


def _line(number: int, share: float, text: Text, whole_s: float) -> str:
    pieces, column = [], 0
    for segment in text.render(console()):
        if text_of := segment.text.strip():
            start = column + len(segment.text) - len(segment.text.lstrip())
            pieces.append(f'<tspan x="{start * CELL:.1f}"{_style(segment.style)}>{escape(text_of)}</tspan>')
        column += segment.cell_length
    when = f'values="0;1" keyTimes="0;{share:.4f}" calcMode="discrete" dur="{whole_s:.1f}s" repeatCount="indefinite"'
    appears = f'<animate attributeName="opacity" {when}/>' if share else ""
    return f'<text y="{(number + 0.75) * LINE:.1f}">{appears}{"".join(pieces)}</text>' if pieces else ""


def _style(style: Any) -> str:
    found = ""
    if style is None:
        return found
    if style.color is not None and not style.color.is_default:
        found += f' fill="{style.color.get_truecolor(COLOURS).hex}"'
    if style.dim:
        found += ' fill-opacity=".6"'
    if style.bold:
        found += ' font-weight="bold"'
    return found + (' font-style="italic"' if style.italic else "")


if __name__ == "__main__":
    print(film())
