"""`llmtrack engagement`: what differs between model groups, and how surely."""

from __future__ import annotations

from typing import Annotated

import typer

from llmtrack.cli.drawing.report import show
from llmtrack.cli.options import By, Control, Output, Scope, shared
from llmtrack.cli.reading import grouping, reading


@shared
def engagement(
    scope: Scope,
    output: Output,
    by: By = None,
    control: Control = None,
    primary: Annotated[
        list[str] | None,
        typer.Option("--primary", metavar="METRICS", help="What the experiment was made for; 3 at most."),
    ] = None,
    margin: Annotated[
        float, typer.Option(help="A lift within ± this share is equivalent.", min=0, max=1, metavar="SHARE")
    ] = 0.05,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Verdicts even where the groups may not be comparable.")
    ] = False,
    aa: Annotated[
        int | None,
        typer.Option("--aa", metavar="N", help="Shuffle the groups N times: how often does chance differ?", min=1),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the random numbers: the same seed, the same result.")] = 0,
) -> None:
    """Compare model groups by every metric: value, interval, lift over the control, and a verdict in words.

    Users are the unit. docs/statistics.md says how each number is made and when there is no verdict.

    Example: llmtrack engagement --last 7d --control base-7b --primary copied_response_share,reask_share
    """
    from llmtrack.analysis.experiment.aa import FalsePositives
    from llmtrack.analysis.experiment.report import DEFAULT_PRIMARY, Engagement

    if aa:
        from llmtrack.cli.drawing.reports.aa import DRAWING as SHUFFLED

        with reading(scope) as sessions:
            by = grouping(sessions, by, output)
            rates = sessions.run(FalsePositives(runs=aa, by=by, seed=seed))
            show("engagement", sessions, rates, output, SHUFFLED)
        return
    from llmtrack.cli.drawing.reports.engagement import DRAWING

    named = tuple(name.strip() for each in primary or () for name in each.split(",")) or DEFAULT_PRIMARY
    with reading(scope) as sessions:
        by = grouping(sessions, by, output)
        report = Engagement(by=by, control=control, primary=named, margin=margin, force=anyway, seed=seed)
        show("engagement", sessions, sessions.run(report), output, DRAWING, by=by)
