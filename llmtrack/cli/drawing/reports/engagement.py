"""What `llmtrack engagement` draws: what differs between model groups, and how surely."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from llmtrack.analysis.experiment.result import EngagementResult
from llmtrack.cli.drawing.cautions import cautions, cleaning
from llmtrack.cli.drawing.formats import Column
from llmtrack.cli.drawing.numbers import amount, amounts, change, changes, many, percent, probability
from llmtrack.cli.drawing.report import Drawing
from llmtrack.cli.drawing.sections import Cell, Row, aligned
from llmtrack.cli.drawing.text import line

if TYPE_CHECKING:
    from rich.text import Text

    from llmtrack.analysis.experiment.result import MetricResult
    from llmtrack.analysis.result import Comparison

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


def lines(found: EngagementResult, width: int, by: str) -> Iterator[Text]:
    """The lines of a comparison, for a terminal of this width."""
    from rich.text import Text

    yield Text.assemble(
        ("Engagement", "bold"),
        f" of {many(found.users, 'user')} in {many(found.sessions, 'session')}",
        "" if by == "none" else f" by {by}",
        f"; {line(found.control)} is the control" if found.control is not None else "",
    )
    yield from (_finding(metric) for metric in found.metrics if not metric.exploratory and metric.comparisons)
    yield from cautions(found.warnings)
    yield from _health(found)
    yield from cleaning(found.excluded, found.repaired)
    yield Text()
    yield from _metrics(found.metrics, width)
    yield Text()
    yield Text("lift: the difference as a share of the control's value; 95 %: its interval", "dim")


def _finding(metric: MetricResult) -> Text:
    """What a primary metric says, in a sentence."""
    from rich.text import Text

    values = {group.group: amount(group.value, metric.unit) for group in metric.groups}
    clauses = []
    for each in metric.comparisons:
        sides = f"{values[each.group]} against {values[each.control]}"
        clauses.append(f"{line(each.group)} {_said(each, metric)} ({sides})")
    return Text.assemble("→ ", (metric.metric, "bold"), f": {'; '.join(clauses)}.")


def _said(found: Comparison, metric: MetricResult) -> str:
    control = line(found.control)
    if found.verdict is None:
        return "has no verdict: too few users" if found.method == "none" else "has no verdict, as warned of"
    if found.verdict == "equivalent":
        return f"is equivalent to {control}"
    if found.verdict != "inconclusive":
        return f"is {found.verdict} than {control}, {change(found.lift)}"
    seen = "" if found.mde is None else f", ± {amount(found.mde, metric.unit)} would have been seen"
    return f"is inconclusive{seen}"


def _health(found: EngagementResult) -> Iterator[Text]:
    """Who is compared, and what was checked."""
    from rich.text import Text

    sizes = [
        f"{line(group.group)} {many(group.users, 'user')}, {many(group.sessions or 0, 'session')}"
        for group in next((metric.groups for metric in found.metrics if metric.metric == "bounce_share"), [])
    ]
    yield Text("; ".join(sizes))
    health = found.health
    told = (
        [f"split as configured (p {probability(health.srm_p)})"]
        if health.srm_p is not None and health.srm_p >= 0.001
        else []
    )
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
        Cell("95 %", optional=1),
        Cell("p adjusted", optional=3),
        Cell("verdict", right=False),
        Cell("n", optional=2),
        Cell("users", optional=4),
    )
    ordered = sorted((each for each in metrics if each.recorded), key=lambda metric: metric.exploratory)
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

    units = {
        "share": _share(metric),
        "s": "time per session",
        "px": "pixels",
        "ms": "of all answers",
        "per response": "per answer",
    }
    if metric.metric == "first_action_s":
        units["s"] = "median time after an answer"
    cut = ""
    if metric.winsorised_at is not None:
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
    tops = [top for group in metric.groups for top in (group.value, group.ci and group.ci.hi) if top is not None]
    like = max(tops, default=0)
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


DRAWING = Drawing(COLUMNS, lines, whole=EngagementResult.columns)
