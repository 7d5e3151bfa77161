"""Options that commands share: each defined once."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmtrack.cli.drawing.formats import Format

if TYPE_CHECKING:
    from llmtrack.session.filters import Filters

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)", re.IGNORECASE)


def length(text: str) -> timedelta:
    """A length of time as people write it: a number with s, m (min), h, d or w. Raises typer.BadParameter.

    >>> length("7d"), length("90m")
    (datetime.timedelta(days=7), datetime.timedelta(seconds=5400))
    """
    found = _DURATION.fullmatch(text.strip())
    try:
        if found and float(found[1]) > 0:
            return timedelta(seconds=float(found[1]) * _UNITS[found[2].lower()])
    except OverflowError:
        pass
    raise typer.BadParameter(f"{text!r} is not a length of time: write 7d, 24h, 90m or 30s.")


def moment(text: str) -> datetime:
    """A date or time in ISO 8601; UTC where no zone is given; a date is its first moment. Raises typer.BadParameter.

    >>> moment("2026-11-01T10:00+02:00").isoformat()
    '2026-11-01T08:00:00+00:00'
    """
    try:
        found = datetime.fromisoformat(text.strip())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _no_date(text) from None


def _no_date(text: str) -> typer.BadParameter:
    return typer.BadParameter(f"{text!r} is not a date: write 2026-11-01 or 2026-11-01T10:00Z.")


def end_moment(text: str) -> datetime:
    """The first moment that is too late: as `moment`, but a date alone includes that day."""
    found = moment(text)
    if not re.fullmatch(r"[\d-]+", text.strip()):
        return found
    try:
        return found + timedelta(days=1)
    except OverflowError:
        raise _no_date(text) from None


Source = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        metavar="URI|PATH",
        help="Where the visits are: a mongodb:// URI, embedded, a .jsonl or .bson file, an archive folder. "
        "Several are read together. Default: MONGODB_URI, else the embedded server.",
    ),
]
Since = Annotated[
    datetime | None,
    typer.Option("--since", parser=moment, metavar="DATE", help="Visits that began then or later (UTC)."),
]
Until = Annotated[
    datetime | None,
    typer.Option(
        "--until", parser=end_moment, metavar="DATE", help="Visits that began before then; a day is included whole."
    ),
]
Last = Annotated[
    timedelta | None,
    typer.Option(
        "--last", parser=length, metavar="TIME", help="Visits that began this long ago or less: 7d, 24h, 90m."
    ),
]
AsOf = Annotated[
    datetime | None,
    typer.Option(
        "--as-of", parser=moment, metavar="TIME", help="Count back from then, not from now: the same result again."
    ),
]
By = Annotated[
    str, typer.Option("--by", metavar="NAME", help="model_group, experiment_id, device, browser, os or none.")
]
Control = Annotated[
    str | None, typer.Option("--control", metavar="NAME", help="The group that others are compared with.")
]
Group = Annotated[str | None, typer.Option("--group", metavar="NAME", help="Only this model group.")]
Experiment = Annotated[str | None, typer.Option("--experiment", metavar="NAME", help="Only this experiment.")]
User = Annotated[str | None, typer.Option("--user", metavar="ID", help="Only this user.")]
Device = Annotated[
    str | None, typer.Option("--device", metavar="NAME", help="Only this device: desktop, mobile, tablet.")
]
Bots = Annotated[bool, typer.Option("--bots", help="Count the visits of bots in; else they are left out and counted.")]
OutputFormat = Annotated[Format, typer.Option("--format", help="How to print the result.", show_choices=True)]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the result to this file.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No remarks on stderr.")]


def filters(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    last: timedelta | None = None,
    group: str | None = None,
    experiment: str | None = None,
    user: str | None = None,
    device: str | None = None,
    bots: bool = False,
    now: datetime | None = None,
) -> Filters:
    """What the shared options select; `last` counts back from `now`. Raises typer.BadParameter when they collide."""
    from llmtrack.session.filters import Filters

    if last is not None:
        if since is not None:
            raise typer.BadParameter("--since and --last both say where to begin: give one of them.")
        try:
            since = (now or datetime.now(UTC)) - last
        except OverflowError:
            raise typer.BadParameter("--last reaches back before the year 1: give less.") from None
    if since and until and until <= since:
        raise typer.BadParameter(f"--until ends at {until:%Y-%m-%d %H:%M}, before --since {since:%Y-%m-%d %H:%M}.")
    return Filters(since=since, until=until, group=group, experiment=experiment, user=user, device=device, bots=bots)
