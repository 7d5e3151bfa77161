"""`llmtrack archive`: moves old sessions out of the database into an archive, or verifies one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmtrack.cli.drawing.formats import Column, Format, emit, write
from llmtrack.cli.drawing.numbers import duration, many, size
from llmtrack.cli.drawing.terminal import note
from llmtrack.cli.options import Experiment, Group, OutputFormat, Quiet, User, filters, length
from llmtrack.errors import LlmtrackError, UsageError

if TYPE_CHECKING:
    from llmtrack.config import Settings
    from llmtrack.session.tally import Broken
    from llmtrack.store.archive.folder import Folder
    from llmtrack.store.archive.move import Moved, Order
    from llmtrack.store.database.sessions import Store

SHOWN = 10  # sessions or files named on stderr; JSON names all

Database = Annotated[
    str | None,
    typer.Option("--database", metavar="URI", help="The database. Default: MONGODB_URI, else the embedded server."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def age(text: str) -> timedelta:
    """As `length`; `retention` is privacy.retention_days. Raises UsageError when none is set."""
    if text.strip() != "retention":
        return length(text)
    from llmtrack.config import load_settings

    days = load_settings().privacy.retention_days
    if days is None:
        raise UsageError(
            "--older-than retention: no retention is set.",
            "Set retention_days under [privacy] in llmtrack.toml, or say how old: --older-than 90d.",
        )
    return timedelta(days=days)


def archive(
    to: Annotated[str, typer.Option("--to", metavar="FOLDER", help="The archive: a folder, or an s3:// URL.")],
    older_than: Annotated[
        timedelta | None,
        typer.Option(
            "--older-than",
            parser=age,
            metavar="TIME",
            help="Without activity for so long: 90d, 12w; retention: as privacy.retention_days says.",
        ),
    ] = None,
    group: Group = None,
    experiment: Experiment = None,
    user: User = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="At most so many sessions.")] = None,
    max_seconds: Annotated[
        float | None, typer.Option(min=0.1, metavar="S", help="Begin nothing new after so many seconds.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Copy: delete nothing from the database.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would move.")] = False,
    skip_if_running: Annotated[
        bool, typer.Option("--skip-if-running", help="Exit with 0 when another run is at work.")
    ] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Move nothing; read the whole archive again.")] = False,
    database: Database = None,
    yes: Yes = False,
    format: OutputFormat = Format.table,
    quiet: Quiet = False,
) -> None:
    """Move sessions without recent activity out of the database into Parquet files that --source reads.

    A session is deleted only once its copy was read again and compared, and only if it is unchanged. A run that was
    killed is completed by the next. Exits with 3 when some documents could not be moved: they are named.

    Example: llmtrack archive --older-than 90d --to /var/llmtrack/archive
    """
    from llmtrack.config import load_settings
    from llmtrack.store.archive.folder import open_folder
    from llmtrack.store.archive.lease import LeaseTaken
    from llmtrack.store.archive.move import Moved, Order

    folder = open_folder(to)
    if verify:
        _verify(folder, format, quiet)
        return
    if older_than is None:
        raise UsageError("Nothing says how old sessions must be.", "Give --older-than 90d, or --verify.")
    wanted = filters(group=group, experiment=experiment, user=user)
    order = Order(older_than, wanted, limit=limit, max_seconds=max_seconds, keep=keep)
    with open_store(load_settings(), database) as store:
        if dry_run:
            _plan(store, folder, order, format, quiet)
            return
        try:
            _move(store, folder, order, yes, format, quiet)
        except LeaseTaken as error:
            if not skip_if_running:
                raise
            document = _document(folder, order, Moved()) | {"skipped": True}
            _print(document, f"{error.message} Skipped.", format)


def open_store(settings: Settings, database: str | None) -> Store:
    """The database named, else that of the settings; it answers. Raises StoreUnavailable."""
    from llmtrack.store.database.sessions import Store, connect

    store = Store(database, settings.database) if database else connect(settings)
    try:
        store.ping()
    except BaseException:
        store.close()
        raise
    return store


def asked(question: str, yes: bool) -> None:
    """Ask on a terminal, unless `yes`; leave with 1 when the answer is no."""
    if not yes and sys.stdin.isatty() and not typer.confirm(question, err=True):
        raise LlmtrackError("Nothing was changed.")


def _move(store: Store, folder: Folder, order: Order, yes: bool, format: Format, quiet: bool) -> None:
    from llmtrack.store.archive.move import run

    total = _count(store, order) if sys.stderr.isatty() else None
    if total:
        what = "Copy" if order.keep else "Move"
        asked(f"{what} up to {many(total, 'session')} from {store.database.name} to {folder.name}?", yes)
    with progress("sessions", total, quiet) as told:
        moved = run(store, folder, order, progress=told)
    _print(_document(folder, order, moved), _summary(folder, order, moved), format)
    _remarks(moved.conflicts, moved.unreadable, moved.foreign, quiet)
    if moved.conflicts or moved.unreadable:
        raise typer.Exit(3)


def _count(store: Store, order: Order) -> int:
    from datetime import UTC, datetime

    from llmtrack.store.archive.selection import Selection

    now = datetime.now(UTC)
    return store.sessions.count_documents(Selection(now, now - order.older_than, order.filters).query())


def _document(folder: Folder, order: Order, moved: Moved) -> dict[str, Any]:
    return {
        "command": "archive",
        "folder": folder.name,
        "dry_run": False,
        "skipped": False,
        "keep": order.keep,
        "filters": order.filters.as_dict(),
        "sessions": moved.sessions,
        "events": moved.events,
        "bytes": moved.bytes,
        "parts": moved.parts,
        "deleted": moved.deleted,
        "late": moved.late,
        "conflicts": moved.conflicts,
        "unreadable": dict(moved.unreadable),
        "unreadable_named": moved.unreadable.named,
        "completed_parts": moved.completed,
        "cleaned_files": moved.cleaned,
        "foreign_files": moved.foreign,
        "stopped": moved.stopped,
        "seconds": round(moved.seconds, 3),
    }


def _summary(folder: Folder, order: Order, moved: Moved) -> str:
    done = "Copied" if order.keep else "Moved"
    said = [f"{done} {many(moved.sessions, 'session')} to {folder.name}"]
    if moved.sessions:
        said[0] += f" ({many(moved.events, 'event')}, {many(moved.parts, 'part')}, {size(moved.bytes)})"
    if not order.keep and moved.deleted != moved.sessions:
        before = ", with those archived before" if moved.deleted > moved.sessions else ""
        said.append(f"deleted {moved.deleted:,} from the database{before}")
    said += [f"{many(moved.late, 'session')} stayed for a late event"] if moved.late else []
    said += [f"completed {many(moved.completed, 'part')} of a run that was killed"] if moved.completed else []
    said += [f"stopped by the {moved.stopped} given"] if moved.stopped else []
    return f"{'; '.join([*said, f'took {duration(moved.seconds)}'])}."


def _remarks(conflicts: list[str], unreadable: Broken, foreign: list[str], quiet: bool) -> None:
    for session_id in conflicts[:SHOWN]:
        note(f"{session_id}: the archive holds another session with this id; this one stays in the database.", quiet)
    for named in unreadable.named[:SHOWN]:
        note(f"{named}: stays in the database.", quiet)
    if (more := max(0, len(conflicts) - SHOWN) + unreadable.total() - len(unreadable.named[:SHOWN])) > 0:
        note(f"{many(more, 'more document')} stay in the database.", quiet)
    if foreign:
        note(f"Left alone, as llmtrack did not write them: {', '.join(foreign[:3])}", quiet)


def _plan(store: Store, folder: Folder, order: Order, format: Format, quiet: bool) -> None:
    from llmtrack.store.archive.move import plan

    found = plan(store, folder, order)
    document = {
        "command": "archive",
        "folder": folder.name,
        "dry_run": True,
        "filters": order.filters.as_dict(),
        "sessions": found.sessions,
        "events": found.events,
        "document_bytes": found.bytes,
        "months": dict(sorted(found.months.items())),
        "unreadable": dict(found.unreadable),
        "seconds_estimated": round(found.seconds, 1),
    }
    months = f", begun in {', '.join(sorted(found.months))}" if found.months else ""
    documents = f"{size(found.bytes)} of documents"
    would = f"Would move {many(found.sessions, 'session')} ({many(found.events, 'event')}, {documents}{months})"
    _print(document, f"{would} in about {duration(found.seconds)}.", format)
    _remarks([], found.unreadable, [], quiet)


def _verify(folder: Folder, format: Format, quiet: bool) -> None:
    from llmtrack.store.archive.verify import verify

    with progress("sessions", None, quiet) as told:
        found = verify(folder, told)
    document = {
        "command": "archive",
        "folder": folder.name,
        "verify": True,
        "parts": found.parts,
        "sessions": found.sessions,
        "bytes": found.bytes,
        "damaged": found.damaged,
        "unnamed_files": found.unnamed,
    }
    whole = f"{many(found.parts, 'part')} with {many(found.sessions, 'session')}, {size(found.bytes)}"
    said = f"{many(len(found.damaged), 'file')} of {whole}, damaged." if found.damaged else f"{whole}: all as written."
    _print(document, said, format)
    for named in found.damaged:
        note(f"damaged: {folder.at(named)}")
    for named in found.unnamed[:SHOWN]:
        note(f"not in the manifest, never read: {folder.at(named)}", quiet)
    if found.damaged:
        raise LlmtrackError("The archive is damaged.", "Put the named files back from a backup.")


def _print(document: dict[str, Any], said: str, format: Format) -> None:
    if format is Format.table:
        write(f"{said}\n")
        return
    emit([document], [Column(key, key) for key in document], document, format=format)


@contextmanager
def progress(what: str, total: int | None, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar on a terminal, told how far it is; nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True, markup=False), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
