"""`llmtrack replay`: plays one session in the terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from llmtrack.cli.drawing.numbers import many
from llmtrack.cli.drawing.terminal import note
from llmtrack.cli.options import Output, Scope, shared

if TYPE_CHECKING:
    from llmtrack.analysis.interaction.timeline import Moment
    from llmtrack.session.cleaning.clean import Visit


@shared
def replay(
    scope: Scope,
    output: Output,
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
    to: Annotated[str | None, typer.Option(metavar="WHEN", help="End there, that event included.")] = None,
    only: Annotated[str | None, typer.Option(metavar="TYPES", help="Only these events: prompt,model_response.")] = None,
) -> None:
    """Play one session in the terminal: every event as a sentence, prompts and answers in full.

    On a terminal it plays in real time with waits shortened; Ctrl-C ends it. Piped or with --out it is plain text, at
    once. The options under "Which sessions" say which one "last" is.

    Example: llmtrack replay last --speed 4
    """
    from llmtrack.cli.replay.choosing import choose
    from llmtrack.cli.replay.show import show
    from llmtrack.config import load_settings
    from llmtrack.session.cleaning.clean import one
    from llmtrack.store.sources.open import open_source

    now = scope.now
    wanted = scope.filters(now)
    settings = load_settings()
    with open_source(scope.source, settings) as source:
        document = choose(source, session, wanted)
    visit = one(document, now, settings.rules)
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


def _chosen(visit: Visit, begin: str | None, end: str | None, only: str | None, quiet: bool) -> list[Moment]:
    """The moments between --from and --to, of the types --only names."""
    from llmtrack.analysis.interaction import timeline

    begin_s = timeline.position(begin, visit.events) if begin else -math.inf
    end_s = timeline.position(end, visit.events, after_s=begin_s) if end else math.inf
    types = {name.strip() for name in (only or "").split(",") if name.strip()}
    if unknown := types - {event["type"] for event in visit.events}:
        note(f"This session has no {', '.join(sorted(unknown))}.", quiet)
    return list(timeline.select(timeline.relative(visit), begin_s, end_s, types))
