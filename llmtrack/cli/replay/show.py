"""Shows a session: what is known about it, its events when they are due, how it ended."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from llmtrack.cli.drawing.formats import Column, Format, as_json, emit, write
from llmtrack.cli.drawing.numbers import clock, many
from llmtrack.cli.drawing.terminal import console, unheard
from llmtrack.cli.drawing.text import line

if TYPE_CHECKING:
    from llmtrack.analysis.interaction.timeline import Moment
    from llmtrack.cli.options import Output
    from llmtrack.cli.replay.plain import Screen
    from llmtrack.session.cleaning.clean import Visit

COLUMNS = (
    Column("at_s", "time", clock, right=True),
    Column("type", "event"),
    Column("sentence", "what happened", fold=True),
    Column("text", "text", fold=True),
)


def show(
    visit: Visit,
    document: dict[str, Any],
    chosen: list[Moment],
    output: Output,
    *,
    speed: float = 1.0,
    idle_limit: float = 2.0,
    instant: bool = False,
    to_the_end: bool = True,
) -> None:
    """The chosen moments of a session in the format asked for; on a terminal they play, unless `instant`."""
    from llmtrack.cli.replay.facts import length_s
    from llmtrack.cli.replay.plain import Screen

    if output.kind is Format.json:
        write(as_json(_document(visit, chosen)) + "\n", output.out)
    elif output.kind is Format.table:
        text = io.StringIO() if output.out else None
        drawn = console(text)
        live = drawn.is_terminal and sys.stdout.isatty() and not instant
        screen = Screen(drawn, length_s(visit), speed, live=live)
        wait_s = idle_limit if live else 0
        _play(visit, document, chosen, screen, speed=speed, idle_limit=wait_s, to_the_end=to_the_end)
        if text is not None:
            write(text.getvalue(), output.out)
    else:
        emit(_rows(visit, chosen), COLUMNS, {}, format=output.kind, out=output.out, delimiter=output.delimiter)


def _play(
    visit: Visit,
    document: dict[str, Any],
    chosen: list[Moment],
    screen: Screen,
    *,
    speed: float,
    idle_limit: float,
    to_the_end: bool,
) -> None:
    """Header, events when they are due, footer."""
    from llmtrack.analysis.interaction import timeline
    from llmtrack.cli.replay.facts import ending, facts, length_s, numbers, spent
    from llmtrack.cli.replay.plain import play
    from llmtrack.cli.replay.sentences import tell

    now = datetime.now(UTC)
    known = numbers(visit)
    sentences = tell(visit.events, visit.session["environment"])
    screen.facts(facts(visit, known, now))
    moments = timeline.speed(timeline.cap_idle(chosen, idle_limit), speed)
    try:
        with unheard() if screen.live else nullcontext(), screen:
            play(timeline.schedule(moments), sentences, screen, time.monotonic, time.sleep)
    except KeyboardInterrupt:
        screen.remark(f"stopped; go on with --from {screen.at_s:.1f}")
        raise typer.Exit(130) from None
    whole = len(chosen) == len(visit.events)
    if to_the_end:
        silence = timeline.last_silence(visit, length_s(visit)) if whole else None
        screen.end(ending(document, known), spent(known), silence)
    if not whole:
        screen.remark(f"{len(chosen):,} of {many(len(visit.events), 'event')} shown")


def _document(visit: Visit, chosen: Sequence[Moment]) -> dict[str, Any]:
    session = {**visit.session, "excluded": dict(visit.excluded), "repaired": dict(visit.repaired)}
    events = [{key: moment.event[key] for key in ("t", "at_s", "type", "data")} for moment in chosen]
    return {"session": session, "events": events}


def _rows(visit: Visit, chosen: Sequence[Moment]) -> list[dict[str, Any]]:
    from llmtrack.cli.replay.sentences import tell

    sentences = tell(visit.events, visit.session["environment"])
    rows = []
    for number, at_s, _, _, event in chosen:
        sentence = sentences[number - 1]
        text = sentence.body or line(event["data"].get("selected_text") or "")
        rows.append({"at_s": round(at_s, 3), "type": event["type"], "sentence": sentence.text, "text": text})
    return rows
