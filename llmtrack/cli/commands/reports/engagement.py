"""`llmtrack engagement`: what differs between model groups, and how surely."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmtrack.cli.drawing.formats import Column, Format, emit
from llmtrack.cli.drawing.numbers import amount, amounts, change, changes, many, percent, percents, probability
from llmtrack.cli.drawing.sections import Cell, Row, aligned
from llmtrack.cli.drawing.terminal import console, note
from llmtrack.cli.drawing.text import line
from llmtrack.cli.options import (
    AsOf,
    Bots,
    By,
    Control,
    Device,
    Experiment,
    Group,
    Last,
    Out,
    OutputFormat,
    Quiet,
    Since,
    Source,
    Until,
    User,
    filters,
)
from llmtrack.cli.reading import FILE_WIDTH, cautions, cleaning, draw, reading, remarks

if TYPE_CHECKING:
    from rich.text import Text

    from llmtrack.analysis.experiment.aa import AA
    from llmtrack.analysis.experiment.result import Engagement, MetricResult

STYLES = {"better": "bold green", "worse": "bold red", "higher": "bold", "lower": "bold", "equivalent": ""}
GOOD = {"up": "more is better", "down": "less is better", "none": "no side is better"}
OF = {"prompts_with_predecessor": "follow-up prompts"}

COLUMNS = (
    Column("metric", "metric"),
    Column("exploratory", "exploratory", lambda yes: "yes" if yes else "no"),
    Column("group", "group"),
    Column("value", "value", "{:.4g}".format, right=True),
    Column("ci_lo", "from", "{:.4g}".format, right=True),
    Column("ci_hi", "to", "{:.4g}".format, right=True),
    Column("unit", "unit"),
    Column("users", "users", "{:,}".format, right=True),
    Column("denominator", "n", "{:,.0f}".format, right=True),
    Column("lift", "lift", change, right=True),
    Column("lift_ci_lo", "from", change, right=True),
    Column("lift_ci_hi", "to", change, right=True),
    Column("p_adjusted", "p adjusted", probability, right=True),
    Column("verdict", "verdict"),
)
AA_COLUMNS = (
    Column("metric", "metric"),
    Column("tests", "tests", "{:,}".format, right=True),
    Column("significant", "significant", "{:,}".format, right=True),
    Column("rate", "false positives", percent, right=True),
    Column("ci_lo", "from", percent, right=True),
    Column("ci_hi", "to", percent, right=True),
)


def engagement(
    by: By = "model_group",
    control: Control = None,
    primary: Annotated[
        list[str] | None,
        typer.Option("--primary", metavar="METRICS", help="What the experiment was made for; 3 at most."),
    ] = None,
    margin: Annotated[
        float, typer.Option(help="A lift within ± this share is equivalent.", min=0, max=1, metavar="SHARE")
    ] = 0.05,
    force: Annotated[
        bool, typer.Option("--force", help="Verdicts even if users were not split as configured.")
    ] = False,
    aa: Annotated[
        int | None,
        typer.Option("--aa", metavar="N", help="Shuffle the groups N times: how often does chance differ?", min=1),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the random numbers: the same seed, the same result.")] = 0,
    source: Source = None,
    since: Since = None,
    until: Until = None,
    last: Last = None,
    group: Group = None,
    experiment: Experiment = None,
    user: User = None,
    device: Device = None,
    bots: Bots = False,
    as_of: AsOf = None,
    format: OutputFormat = Format.table,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Compare model groups by every metric: value, interval, lift over the control, and a verdict in words.

    Users are the unit. docs/statistics.md says how each number is made and when there is no verdict.

    Example: llmtrack engagement --last 7d --control base-7b --primary copied_response_share,reask_share
    """
    from llmtrack import reports

    now = as_of or datetime.now(UTC)
    wanted = filters(
        since=since,
        until=until,
        last=last,
        group=group,
        experiment=experiment,
        user=user,
        device=device,
        bots=bots,
        now=now,
    )
    named = [name.strip() for each in primary or () for name in each.split(",")]
    with reading(source, wanted, now) as sessions:
        head = {"command": "engagement", "source": sessions.source.name, "filters": wanted.as_dict()}
        if aa:
            rates = reports.false_positives(sessions, aa, by=by, seed=seed)
        else:
            found = reports.engagement(
                sessions,
                by=by,
                control=control,
                margin=margin,
                force=force,
                seed=seed,
                primary=named,
            )
        remarks(sessions, quiet)
        read, repaired = sessions.count, dict(sessions.repaired)
    if aa:
        _emit_aa(rates, head, format, out)
    elif format is not Format.table:
        for warning in found.warnings:
            note(warning.text, quiet)
        emit(
            _rows(found.to_frame()), COLUMNS, {**head, **found.to_dict(), "repaired": repaired}, format=format, out=out
        )
    elif read:
        draw(report(found, repaired, by, console().width if out is None else FILE_WIDTH), out)


def report(found: Engagement, repaired: Mapping[str, int], by: str, width: int) -> Iterator[Text]:
    """The lines of a comparison, for a terminal of this width."""
    from rich.text import Text

    yield Text.assemble(
        ("Engagement", "bold"),
        f" of {many(found.users, 'user')} in {many(found.sessions, 'session')}",
        "" if by == "none" else f" by {by}",
        f"; {line(found.control)} is the control" if found.control is not None else "",
    )
    yield from cautions(found.warnings)
    yield from _health(found)
    yield from cleaning(found.excluded, repaired)
    yield Text()
    yield from _metrics(found.metrics, width)
    yield Text()
    yield Text("lift: the difference as a share of the control's value; 95 %: its interval", "dim")


def _health(found: Engagement) -> Iterator[Text]:
    """Who is compared, and what was checked."""
    from rich.text import Text

    sizes = [
        f"{line(group.group)} {many(group.users, 'user')}, {many(group.sessions or 0, 'session')}"
        for group in next((metric.groups for metric in found.metrics if metric.metric == "bounce_share"), [])
    ]
    yield Text("; ".join(sizes))
    health = found.health
    told = [f"split as configured (p {probability(health.srm_p)})"] if health.srm_p >= 0.001 else []
    told += [f"{many(health.open_sessions, 'session')} still open"] if health.open_sessions else []
    missing = [f"{line(name)} {percent(share)}" for name, share in health.end_missing_share.items() if share]
    told += [f"no end recorded: {', '.join(missing)}"] if missing else []
    if told:
        yield Text(f"Health: {'; '.join(told)}", "dim")


def _metrics(metrics: Iterable[MetricResult], width: int) -> Iterator[Text]:
    columns = (
        Cell("", right=False, cut=True),
        Cell("value", style="bold"),
        Cell("95 %"),
        Cell("lift", style="bold"),
        Cell("95 %"),
        Cell("p adjusted", optional=2),
        Cell("verdict", right=False),
        Cell("n", optional=1),
        Cell("users", optional=3),
    )
    ordered = sorted(metrics, key=lambda metric: metric.exploratory)
    sections: list[tuple[Text | None, Sequence[Row]]] = []
    for metric, before in zip(ordered, [None, *ordered], strict=False):
        heading = _heading(metric)
        if before is None or before.exploratory != metric.exploratory:
            heading = _part(metric.exploratory).append_text(heading)
        sections.append((heading, list(_groups(metric))))
    return aligned(columns, sections, width)


def _part(exploratory: bool) -> Text:
    from rich.text import Text

    title, about = ("EXPLORATORY", "ideas for the next experiment") if exploratory else ("PRIMARY", "")
    return Text.assemble((title, "bold"), f"  {about}\n" if about else "\n")


def _heading(metric: MetricResult) -> Text:
    from rich.text import Text

    units = {"share": _share(metric), "s": "time per session", "px": "pixels", "ms": "of all responses"}
    if metric.metric == "first_action_s":
        units["s"] = "median time after a response"
    cut = ""
    if metric.winsorised_at is not None and math.isfinite(metric.winsorised_at):
        cut = f"; capped at {amount(metric.winsorised_at, metric.unit)}"
    about = f"  {units.get(metric.unit, metric.unit)}; {GOOD[metric.good]}{cut}"
    return Text.assemble((metric.metric, "bold"), (about, "dim"))


def _share(metric: MetricResult) -> str:
    from llmtrack.analysis.experiment.metrics import SESSION_METRICS

    made = next((each for each in SESSION_METRICS if each.name == metric.metric and each.share), None)
    return f"share of {OF.get(made.denominator, made.denominator)}" if made else "share of the page"


def _groups(metric: MetricResult) -> Iterator[tuple[str | Text, ...]]:
    from rich.text import Text

    contrasts = {each.group: each for each in metric.comparisons}
    like = max((top for group in metric.groups for top in (group.value, group.ci.hi) if math.isfinite(top)), default=0)
    for group in metric.groups:
        value = (group.group, amount(group.value, metric.unit, like), amounts(group.ci, metric.unit, like))
        size = (f"{group.denominator:,.0f}", f"{group.users:,}")
        each = contrasts.get(group.group)
        if each is None:
            word = Text("control" if contrasts else "", "dim")
            yield (*value, "", "", "", word, *size)
            continue
        shown = each.verdict or "no verdict"
        lift = (change(each.lift), changes(each.lift_ci), probability(each.p_adjusted))
        yield (*value, *lift, Text(shown, STYLES.get(shown, "dim")), *size)


def _emit_aa(rates: AA, head: Mapping[str, Any], format: Format, out: Any) -> None:
    if format is Format.table:
        draw(_rates(rates, console().width if out is None else FILE_WIDTH), out)
    else:
        emit(_rows(rates.to_frame()), AA_COLUMNS, {**head, "aa": rates.to_dict()}, format=format, out=out)


def _rates(rates: AA, width: int) -> Iterator[Text]:
    from rich.text import Text

    yield Text.assemble(
        ("A/A", "bold"),
        f": users shuffled between the groups {many(rates.runs, 'time')}; an honest test differs in"
        f" {percent(rates.alpha)} of them",
    )
    yield Text()
    columns = [Cell("metric", right=False), *map(Cell, ("tests", "differed", "rate", "95 %")), Cell("", right=False)]
    rows = []
    for each in rates.metrics:
        odd = each.tests and each.ci.lo > rates.alpha
        word = Text(
            "too often" if odd else "as it should" if each.tests else "too few users", "bold red" if odd else "dim"
        )
        rows.append(
            (each.metric, f"{each.tests:,}", f"{each.significant:,}", percent(each.rate), percents(each.ci), word)
        )
    yield from aligned(columns, [(None, rows)], width)


def _rows(frame: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = frame.to_dict("records")
    return rows
