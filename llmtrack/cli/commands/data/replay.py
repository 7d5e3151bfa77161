"""`llmtrack replay`: plays one session, in the player on a terminal, as text elsewhere."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmtrack.cli.completing import ids
from llmtrack.cli.drawing.formats import Format, write
from llmtrack.cli.drawing.numbers import many
from llmtrack.cli.drawing.terminal import console, note, on_a_terminal
from llmtrack.cli.options import Output, Scope, shared
from llmtrack.cli.reading import reading, redactor
from llmtrack.errors import UsageError

if TYPE_CHECKING:
    from llmtrack.analysis.interaction.timeline import Moment
    from llmtrack.cli.player.film import Manner
    from llmtrack.session.cleaning.clean import Visit
    from llmtrack.sessions import Sessions


@shared
def replay(
    scope: Scope,
    output: Output,
    session: Annotated[
        str | None,
        typer.Argument(
            metavar="ID",
            help='A session_id, the start of one, or "last"; none: choose from a list.',
            autocompletion=ids,
        ),
    ] = None,
    speed: Annotated[float, typer.Option(help="Play so many times as fast.", min=0.01, metavar="N")] = 1.0,
    idle_limit: Annotated[
        float, typer.Option(help="Shorten every wait to so many seconds.", min=0, metavar="SECONDS")
    ] = 2.0,
    plain: Annotated[
        bool, typer.Option("--plain", help="No player: print line by line, also for screen readers.")
    ] = False,
    instant: Annotated[bool, typer.Option("--instant", help="Print everything at once.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on printing while it happens, until it ends; from a database.")
    ] = False,
    redact: Annotated[
        bool, typer.Option("--redact", help="As html or cast: no texts, and pseudonyms for ids (LLMTRACK_REDACT_KEY).")
    ] = False,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="WHEN", help="Begin there: 12.5, 90s, 2m, 1:30, prompt, prompt#2 or #14."),
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="WHEN", help="End there, that event included.")] = None,
    only: Annotated[str | None, typer.Option(metavar="TYPES", help="Only these events: prompt,model_response.")] = None,
) -> None:
    """Play one session in the terminal: every event as a sentence, prompts and answers in full.

    On a terminal a player opens: space pauses, arrows step, ? lists all keys, q leaves. With --plain it prints in real
    time with waits shortened; Ctrl-C ends it. Piped or with --out it is plain text, at once. The options under
    "Which sessions" say which one "last" is, and what the list shows. --format html is a page that plays by itself,
    cast and cast3 are recordings for asciinema (versions 2 and 3).

    Example: llmtrack replay last --speed 4
    """
    from llmtrack.cli.drawing.cautions import without_prompts
    from llmtrack.cli.replay.choosing import LAST, choose
    from llmtrack.cli.replay.show import show

    steered = not (plain or instant or follow or output.out) and output.kind is Format.table and on_a_terminal()
    with reading(scope) as sessions:
        if session is None and not steered:
            raise UsageError("Which session? Here is no terminal to choose one.", "Try: llmtrack replay last")
        if session == LAST:
            session = _newest(sessions) or session
        document, number = choose(sessions.source, session, sessions.filters) if session is not None else (None, 1)
        if sessions.source.remark:
            note(sessions.source.remark, output.quiet)
        visit = sessions.visit(document, number) if document is not None else None
        without_prompts(sessions, visit, output.quiet)
        if steered or visit is None or document is None:
            from llmtrack.cli.player.steer import steer

            begun = (visit, document) if visit is not None and document is not None else None
            steer(sessions, begun, _manner(visit, speed, idle_limit, from_, to, only), scope, output.quiet)
            return
        if output.kind in (Format.html, Format.cast, Format.cast3):
            hide = redactor(sessions.settings).pseudonym if redact else None
            manner = _manner(visit, speed, idle_limit, from_, to, only)._replace(cut=True)
            write(_recorded(visit, document, manner, output.kind, hide), output.out)
            return
        if redact:
            raise UsageError("--redact is for --format html and cast.", "Tables: llmtrack export turns --redact")
        if follow:
            _follow(sessions, visit, output, only)
            return
    chosen = _chosen(visit, from_, to, only, output.quiet)
    if visit.events and not chosen:
        events = many(len(visit.events), "event")
        note(f"Nothing of its {events} is asked for by --from, --to and --only.", output.quiet)
    show(
        visit,
        document,
        chosen,
        output,
        speed=speed,
        idle_limit=idle_limit,
        instant=instant,
        to_the_end=to is None,
    )


def _recorded(
    visit: Visit, document: dict[str, Any], manner: Manner, kind: Format, hide: Callable[[str, str], str] | None
) -> str:
    """The session as a file that plays elsewhere."""
    from llmtrack.cli.replay.telling import telling

    told = telling(visit, document, manner, hide)
    if kind is Format.html:
        from llmtrack.cli.replay.web import web

        return web(told)
    from llmtrack.cli.replay.cast import cast

    return cast(told, 3 if kind is Format.cast3 else 2)


def _follow(sessions: Sessions, visit: Visit, output: Output, only: str | None) -> None:
    import time

    from llmtrack.analysis.interaction import timeline
    from llmtrack.cli.replay.facts import length_s
    from llmtrack.cli.replay.follow import follow
    from llmtrack.cli.replay.plain import Screen

    if output.kind is not Format.table or output.out:
        raise UsageError("--follow prints lines as they come.", "Leave --format and --out away.")
    types, screen = _types(only), Screen(console(), length_s(visit))

    def chosen(now: Visit) -> list[Moment]:
        return list(timeline.select(timeline.relative(now), only=types))

    follow(sessions.source, sessions.settings, visit.session["session_id"], chosen, screen, time.sleep)


def _newest(sessions: Sessions) -> str | None:
    """The id of the newest session, where documents may hold several: elsewhere the source knows."""
    sessions.source.newest(limit=1)  # a file is recognised when it is read
    if not (sessions.source.chats or sessions.settings.ids_are_chats):
        return None
    found = (zip(part.sessions["start_ms"], part.sessions["session_id"], strict=True) for part in sessions.cleaned())
    return max(itertools.chain(*found), default=(0.0, None))[1]


def _chosen(visit: Visit, begin: str | None, end: str | None, only: str | None, quiet: bool) -> list[Moment]:
    """The moments between --from and --to, of the types --only names."""
    from llmtrack.analysis.interaction import timeline

    begin_s, end_s = _part(visit, begin, end)
    types = _types(only)
    if unknown := types - {event["type"] for event in visit.events}:
        note(f"This session has no {', '.join(sorted(unknown))}.", quiet)
    return list(timeline.select(timeline.relative(visit), begin_s, end_s, types))


def _part(visit: Visit, begin: str | None, end: str | None) -> tuple[float, float]:
    """The seconds that --from and --to name."""
    from llmtrack.analysis.interaction import timeline

    begin_s = timeline.position(begin, visit.events) if begin else -math.inf
    return begin_s, timeline.position(end, visit.events, after_s=begin_s) if end else math.inf


def _types(only: str | None) -> frozenset[str]:
    return frozenset(name.strip() for name in (only or "").split(",") if name.strip())


def _manner(
    visit: Visit | None, speed: float, idle_limit: float, begin: str | None, end: str | None, only: str | None
) -> Manner:
    """How the player begins."""
    from llmtrack.cli.player.film import Manner

    begin_s, end_s = _part(visit, begin, end) if visit is not None else (-math.inf, math.inf)
    return Manner(speed, idle_limit, begin_s, end_s, _types(only))
