"""`llmtrack replay`: plays one visit in the terminal."""

from __future__ import annotations

import io
import math
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmtrack.cli.drawing.formats import Column, Format, as_json, emit, write
from llmtrack.cli.drawing.numbers import clock, many
from llmtrack.cli.drawing.terminal import console, note
from llmtrack.cli.drawing.text import line
from llmtrack.cli.options import Device, Experiment, Group, Out, OutputFormat, Quiet, Source, User, filters
from llmtrack.errors import LlmtrackError, UnknownSession

if TYPE_CHECKING:
    from llmtrack.analysis.interaction.timeline import Moment
    from llmtrack.cli.replay.plain import Screen
    from llmtrack.session.cleaning import Visit
    from llmtrack.session.document import Head
    from llmtrack.store.sources.open import Filters
    from llmtrack.store.sources.open import Source as Sessions

LAST = "last"
CANDIDATES = 8  # an ambiguous prefix names so many
COLUMNS = (
    Column("at_s", "time", clock, right=True),
    Column("type", "event"),
    Column("sentence", "what happened", fold=True),
    Column("text", "text", fold=True),
)


def replay(
    session: Annotated[str, typer.Argument(metavar="ID", help='A session_id, the start of one, or "last".')],
    speed: Annotated[float, typer.Option(help="Play so many times as fast.", min=0.01, metavar="N")] = 1.0,
    idle_limit: Annotated[
        float, typer.Option(help="Shorten every wait to so many seconds.", min=0, metavar="SECONDS")
    ] = 2.0,
    instant: Annotated[bool, typer.Option("--instant", help="Print everything at once.")] = False,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="WHEN", help="Begin there: 12.5, 90s, 2m, 1:30, prompt, prompt#2 or #14."),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="End there, that event included.")] = None,
    only: Annotated[str | None, typer.Option(metavar="TYPES", help="Only these events: prompt,model_response.")] = None,
    source: Source = None,
    group: Group = None,
    experiment: Experiment = None,
    user: User = None,
    device: Device = None,
    format: OutputFormat = Format.table,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Play one visit in the terminal: every event as a sentence, prompts and answers in full.

    On a terminal it plays in real time with waits shortened; Ctrl-C ends it. Piped or with --out it is plain text, at
    once. --group, --experiment, --user and --device say whose visit "last" is.

    Example: llmtrack replay last --speed 4
    """
    from llmtrack.cli.replay.facts import length_s
    from llmtrack.cli.replay.plain import Screen
    from llmtrack.config import load_settings
    from llmtrack.session.cleaning import one
    from llmtrack.store.sources.open import open_source

    wanted = filters(group=group, experiment=experiment, user=user, device=device)
    with open_source(source, load_settings()) as sessions:
        document = choose(sessions, session, wanted)
    visit = one(document, datetime.now(UTC))
    chosen = _chosen(visit, from_, until, only, quiet)
    if visit.events and not chosen:
        note(f"Nothing of its {many(len(visit.events), 'event')} is asked for by --from, --until and --only.", quiet)
    if format is Format.json:
        write(as_json(_document(visit, chosen)) + "\n", out)
    elif format is Format.table:
        text = io.StringIO() if out else None
        drawn = console(text)
        live = drawn.is_terminal and sys.stdout.isatty() and not instant
        screen = Screen(drawn, length_s(visit), speed, live=live)
        wait_s = idle_limit if live else 0
        _show(visit, document, chosen, screen, speed=speed, idle_limit=wait_s, to_the_end=until is None)
        if text is not None:
            write(text.getvalue(), out)
    else:
        emit(_rows(visit, chosen), COLUMNS, {}, format=format, out=out)


def choose(sessions: Sessions, wanted: str, among: Filters) -> dict[str, Any]:
    """The document that `wanted` names: a session_id, a prefix that only one has, or "last" (the newest `among` all).

    Raises UnknownSession when there is none, LlmtrackError naming the candidates when there are several.
    """
    if wanted == LAST:
        newest = sessions.newest(among)
        if not newest:
            from llmtrack.cli.drawing.empty import why_empty

            raise UnknownSession(why_empty(sessions, among))
        session_id = newest[0].session_id
    elif document := sessions.get(wanted):
        return document
    else:
        heads = sessions.find(wanted, limit=CANDIDATES + 1)
        if not heads:
            raise UnknownSession(
                f'No session starts with "{wanted}".{_unread(sessions)}', "Try: llmtrack sessions --last 7d"
            )
        if len(heads) > 1:
            raise LlmtrackError(_ambiguous(wanted, heads))
        session_id = heads[0].session_id
    document = sessions.get(session_id)
    if document is None:
        raise UnknownSession(f'Session "{session_id}" is gone.', "Try: llmtrack sessions")
    return document


def _unread(sessions: Sessions) -> str:
    """What could not be read may be what was looked for."""
    count = sessions.unreadable.total()
    return f" {many(count, 'document')} could not be read: {sessions.unreadable.named[0]}." if count else ""


def _ambiguous(wanted: str, heads: Sequence[Head]) -> str:
    rows = [f"{head.session_id}  {head.start_time:%Y-%m-%d %H:%M}" for head in heads[:CANDIDATES]]
    rows += ["…"] if len(heads) > CANDIDATES else []
    return "\n".join([f'Several sessions start with "{wanted}". Give more of the id:', *map(line, rows)])


def _chosen(visit: Visit, begin: str | None, end: str | None, only: str | None, quiet: bool) -> list[Moment]:
    """The moments between --from and --until, of the types --only names."""
    from llmtrack.analysis.interaction import timeline

    begin_s = timeline.position(begin, visit.events) if begin else -math.inf
    end_s = timeline.position(end, visit.events, after_s=begin_s) if end else math.inf
    types = {name.strip() for name in (only or "").split(",") if name.strip()}
    if unknown := types - {event["type"] for event in visit.events}:
        note(f"This visit has no {', '.join(sorted(unknown))}.", quiet)
    return list(timeline.select(timeline.relative(visit), begin_s, end_s, types))


def _show(
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
        with screen:
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
