"""What commands share: which sessions (Scope), how the result leaves (Output), and options that some commands have.

A command with `@shared` names Scope and Output in its signature and gets two objects; their options stand under two
headings in --help. A new shared option is a field here.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from llmtrack.cli import completing
from llmtrack.cli.drawing.formats import ENDINGS, Format
from llmtrack.cli.drawing.target import check_target
from llmtrack.errors import UsageError
from llmtrack.session import moments

if TYPE_CHECKING:
    from llmtrack.session.filters import Filters

WHICH, OUTPUT = "Which sessions", "Output"
T = TypeVar("T")


def parsed(parse: Callable[[str], T]) -> Callable[[str], T]:
    """A parser of ours for `typer.Option(parser=…)`: what it refuses is told with the name of the option."""

    def parse_option(text: str) -> T:
        try:
            return parse(text)
        except UsageError as error:
            raise typer.BadParameter(str(error)) from None

    return parse_option


length = parsed(moments.length)
moment = parsed(moments.moment)


def delimiter(text: str) -> str:
    """What stands between cells, by itself or by its name."""
    found = {",": ",", ";": ";", "\t": "\t", "\\t": "\t", "tab": "\t"}.get(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no delimiter: , or ; or tab.")
    return found


_which = functools.partial(typer.Option, rich_help_panel=WHICH)
_output = functools.partial(typer.Option, rich_help_panel=OUTPUT)

Since = Annotated[datetime | None, _which("--since", parser=moment, metavar="DATE", help="Began then or later (UTC).")]
Until = Annotated[
    datetime | None,
    _which("--until", parser=parsed(moments.end), metavar="DATE", help="Began before then; a day is included whole."),
]
Group = Annotated[
    str | None, _which("--group", metavar="NAME", help="Only this model group.", autocompletion=completing.groups)
]
Experiment = Annotated[
    str | None,
    _which("--experiment", metavar="NAME", help="Only this experiment.", autocompletion=completing.experiments),
]
User = Annotated[str | None, _which("--user", metavar="ID", help="Only this user.")]
Delimiter = Annotated[str, _output(parser=delimiter, metavar="CHARACTER", help="Between cells of CSV: , or ; or tab.")]
Quiet = Annotated[bool, _output("--quiet", "-q", help="No remarks; silent when all went well.")]

By = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="NAME",
        help="model_group, experiment_id, device, browser, os, model or provider (of the answers), or none. Default: "
        "model_group; model where no session names a group.",
    ),
]
Control = Annotated[
    str | None,
    typer.Option(
        "--control", metavar="NAME", help="The group that others are compared with.", autocompletion=completing.groups
    ),
]
Database = Annotated[
    str | None,
    typer.Option("--database", metavar="URI", help="The database. Default: MONGODB_URI, else the embedded server."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True, slots=True)
class Scope:
    """Which sessions a command is about."""

    source: Annotated[
        list[str] | None,
        _which(
            "--source",
            metavar="URI|PATH",
            help="Where they are: a mongodb:// URI, embedded, a .jsonl or .bson file, an archive folder. Several are "
            "read together. Default: MONGODB_URI, else the embedded server; all: with its archives.",
        ),
    ] = None
    since: Since = None
    until: Until = None
    last: Annotated[
        timedelta | None,
        _which(parser=length, metavar="TIME", help="Began this long ago or less: 7d, 24h, 90m."),
    ] = None
    group: Group = None
    experiment: Experiment = None
    user: User = None
    session_id: Annotated[
        list[str] | None,
        _which(
            "--session", metavar="ID", help="Only this session; may stand several times.", autocompletion=completing.ids
        ),
    ] = None
    device: Annotated[str | None, _which(metavar="NAME", help="Only this device: desktop, mobile, tablet.")] = None
    bots: Annotated[bool, _which("--bots", help="Count bots in, which are left out else.")] = False
    as_of: Annotated[
        datetime | None,
        _which(parser=moment, metavar="TIME", help="Count back from then, not from now: the same result again."),
    ] = None

    @property
    def now(self) -> datetime:
        """What "last" counts back from, and what decides which sessions are still open."""
        return self.as_of or datetime.now(UTC)

    def filters(self, now: datetime) -> Filters:
        """What the options select. Raises UsageError when they contradict each other."""
        from llmtrack.session.filters import Filters

        return Filters(
            since=moments.begin(self.since, self.last, now),
            until=self.until,
            group=self.group,
            experiment=self.experiment,
            user=self.user,
            device=self.device,
            bots=self.bots,
            ids=frozenset(self.session_id) if self.session_id else None,
        )


@dataclass(frozen=True, slots=True)
class Output:
    """How the result of a command leaves."""

    format: Annotated[
        Format | None,
        _output(metavar="FORMAT", help="table, json, csv, markdown or html; default: as FILE ends, or table."),
    ] = None
    out: Annotated[
        Path | None, _output(metavar="FILE", help="Write the result to this file: .txt, .json, .csv, .md, .html.")
    ] = None
    force: Annotated[bool, _output("--force", help="Replace FILE when it is there already.")] = False
    delimiter: Delimiter = ","
    quiet: Quiet = False

    @property
    def kind(self) -> Format:
        """The format asked for: by its name, else by the ending of the file."""
        return self.format or ENDINGS.get(self.out.suffix.lower() if self.out else "", Format.table)

    def check(self, sources: Sequence[str]) -> None:
        """Raises UsageError when the file must not be written, before anything else is done."""
        if self.out is None:
            return
        meant = ENDINGS.get(self.out.suffix.lower())
        if self.format is None and meant is None:
            raise UsageError(f"No format ends in {self.out.suffix!r}.", f"Endings: {', '.join(filter(None, ENDINGS))}.")
        same = self.format is not None and meant is not None and self.format.startswith(meant)  # cast3 ends in .cast
        if self.format is not None and meant is not None and self.out.suffix and not same:
            raise UsageError(f"{str(self.out)!r} does not end in {self.format}.", "Leave --format away, or rename it.")
        check_target(self.out, self.force, sources)


def shared(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameters of type Scope and Output are given as single options."""
    hints = get_type_hints(command, include_extras=True)
    options: list[inspect.Parameter] = []
    objects: dict[str, type[Any]] = {}
    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if kind in (Scope, Output):
            objects[name] = kind
            options += _options(kind)
        else:
            options.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def called(**given: Any) -> None:
        made = {
            name: kind(**{each.name: given.pop(each.name) for each in fields(kind)}) for name, kind in objects.items()
        }
        for output in made.values():
            if isinstance(output, Output):
                output.check(_sources(made, given))
        command(**given, **made)

    called.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    called.__annotations__ = {option.name: option.annotation for option in options}
    return called


def _sources(made: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """What the command reads: of its scope, or the files that it is given."""
    scope = next((each for each in made.values() if isinstance(each, Scope)), None)
    named = [*(scope.source or () if scope else ())]
    for value in given.values():
        named += [str(each) for each in (value if isinstance(value, list) else [value]) if isinstance(each, Path)]
    return named


def _options(kind: type[Any]) -> list[inspect.Parameter]:
    """The fields of Scope or Output as parameters of a command."""
    hints = get_type_hints(kind, include_extras=True)
    only = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(each.name, only, default=each.default, annotation=hints[each.name]) for each in fields(kind)
    ]
