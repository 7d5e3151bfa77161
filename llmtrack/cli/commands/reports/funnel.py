"""`llmtrack funnel`: how many sessions get how far."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from llmtrack.cli.drawing.report import show
from llmtrack.cli.options import By, Control, Output, Scope, length, shared
from llmtrack.cli.reading import grouping, reading

DEFAULT = "visit, prompt, answer=model_response, engaged=selection|copy, again=prompt"


@shared
def funnel(
    scope: Scope,
    output: Output,
    step: Annotated[
        list[str] | None,
        typer.Option("--step", metavar="STEP", help=f"One step, in order; name=event|event. Default: {DEFAULT}"),
    ] = None,
    order: Annotated[
        str, typer.Option(metavar="ORDER", help="ordered, strict (nothing between) or unordered.")
    ] = "ordered",
    window: Annotated[
        timedelta | None,
        typer.Option(parser=length, metavar="TIME", help="From the first step to the last: 30m. Default: 24h."),
    ] = None,
    unit: Annotated[str, typer.Option(metavar="UNIT", help="What is counted: session, chat or user.")] = "session",
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="EVENT", help="Leave out who has this event between the steps."),
    ] = None,
    among: Annotated[
        list[str] | None,
        typer.Option("--among", metavar="EVENT", help="strict: events that break a chain; default: the steps' types."),
    ] = None,
    by: By = None,
    control: Control = None,
) -> None:
    """Count how many sessions get through a sequence of steps, by model group.

    An event is a type with conditions, or any of several: copy|selection, click[target=BUTTON],
    model_response[latency_ms>3000], prompt[text~"(?i)neural"], visit, *. docs/funnel.md has all rules.

    Example: llmtrack funnel --step prompt --step 'slow=model_response[latency_ms>3000]' --step 'copy|selection'
    """
    from llmtrack.analysis.funnel.report import DEFAULT_STEPS, Funnel
    from llmtrack.cli.drawing.reports.funnel import DRAWING

    with reading(scope) as sessions:
        by = grouping(sessions, by, output)
        report = Funnel(
            steps=tuple(step or DEFAULT_STEPS),
            unit=unit,  # type: ignore[arg-type] # checked there
            order=order,  # type: ignore[arg-type]
            window_s=(window or timedelta(hours=24)).total_seconds(),
            exclude=tuple(exclude or ()),
            among=tuple(among or ()),
            by=by,  # type: ignore[arg-type]
            control=control,
        )
        show("funnel", sessions, sessions.run(report), output, DRAWING, by=by)
