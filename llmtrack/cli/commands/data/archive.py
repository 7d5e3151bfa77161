"""`llmtrack archive`: moves old sessions out of the database into an archive, or verifies one."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmtrack.cli.drawing.formats import tell
from llmtrack.cli.drawing.numbers import duration, many, size
from llmtrack.cli.drawing.progress import progress
from llmtrack.cli.drawing.terminal import SHOWN, asked, note
from llmtrack.cli.options import Database, Experiment, Group, Output, User, Yes, length, shared
from llmtrack.cli.reading import open_store
from llmtrack.errors import LlmtrackError, UsageError

if TYPE_CHECKING:
    from llmtrack.session.tally import Broken
    from llmtrack.store.archive.completion import Moved
    from llmtrack.store.archive.folder import Folder
    from llmtrack.store.archive.move import Order
    from llmtrack.store.database.sessions import Store


def age(text: str) -> timedelta:
    """As `length`, but m, which may mean months, is refused; `retention` is privacy.retention_days.

    Raises UsageError for m, and when no retention is set.
    """
    if found := re.fullmatch(r"\s*([\d.]+)\s*m\s*", text, re.IGNORECASE):
        raise UsageError(
            f"--older-than {text.strip()}: minutes or months?",
            f"Write {found[1]}mo for months (of 31 days), {found[1]}min for minutes.",
        )
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


@shared
def archive(
    output: Output,
    to: Annotated[str, typer.Option("--to", metavar="FOLDER", help="The archive: a folder, or an s3:// URL.")],
    older_than: Annotated[
        timedelta | None,
        typer.Option(
            "--older-than",
            parser=age,
            metavar="TIME",
            help="Without activity for so long: 90d, 12w, 3mo (of 31 days); retention: as privacy.retention_days says.",
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
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Move nothing; name parts that the manifest lost, or set them aside.")
    ] = False,
    database: Database = None,
    yes: Yes = False,
) -> None:
    """Move sessions without recent activity out of the database into Parquet files that --source reads.

    A session is deleted only once its copy was read again and compared, and only if it is unchanged. A run that was
    killed is completed by the next. Exits with 3 when some documents could not be moved: they are named.

    Example: llmtrack archive --older-than 90d --to /var/llmtrack/archive
    """
    from llmtrack.config import load_settings
    from llmtrack.session.filters import Filters
    from llmtrack.store.archive.completion import Moved
    from llmtrack.store.archive.folder import open_folder
    from llmtrack.store.archive.lease import LeaseTaken
    from llmtrack.store.archive.move import Order

    folder = open_folder(to)
    if verify:
        _verify(folder, output)
        return
    if adopt:
        with open_store(load_settings(), database) as store:
            _adopt(store, folder, output)
        return
    if older_than is None:
        raise UsageError("Nothing says how old sessions must be.", "Give --older-than 90d, or --verify.")
    wanted = Filters(group=group, experiment=experiment, user=user)
    order = Order(older_than, wanted, limit=limit, max_seconds=max_seconds, keep=keep)
    with open_store(load_settings(), database) as store:
        if dry_run:
            _plan(store, folder, order, output)
            return
        try:
            _move(store, folder, order, yes, output)
        except LeaseTaken as error:
            if not skip_if_running:
                raise
            document = _document(folder, order, Moved()) | {"skipped": True}
            tell(document, f"{error.message} Skipped.", output)


def _move(store: Store, folder: Folder, order: Order, yes: bool, output: Output) -> None:
    from llmtrack.store.archive.move import run

    total = _count(store, order) if sys.stderr.isatty() else None
    if total:
        what = "Copy" if order.keep else "Move"
        asked(f"{what} up to {many(total, 'session')} from {store.database.name} to {folder.name}?", yes)
    with progress("sessions", output.quiet, total) as told:
        moved = run(store, folder, order, progress=told)
    tell(_document(folder, order, moved), _summary(folder, order, moved), output)
    _remarks(moved.conflicts, moved.unreadable, moved.foreign, output.quiet)
    if moved.conflicts or moved.unreadable:
        raise typer.Exit(3)


def _count(store: Store, order: Order) -> int:
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
        "cutoff": moved.cutoff,
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


def _plan(store: Store, folder: Folder, order: Order, output: Output) -> None:
    from llmtrack.store.archive.move import plan

    found = plan(store, folder, order)
    document = {
        "command": "archive",
        "folder": folder.name,
        "dry_run": True,
        "cutoff": found.cutoff,
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
    since = f"Without activity since {found.cutoff:%Y-%m-%d %H:%M} UTC."
    tell(document, f"{would} in about {duration(found.seconds)}. {since}", output)
    _remarks([], found.unreadable, [], output.quiet)


def _adopt(store: Store, folder: Folder, output: Output) -> None:
    from llmtrack.store.archive.adopt import adopt

    done = adopt(store, folder)
    document = {"command": "archive", "folder": folder.name, "adopt": True, **asdict(done)}
    said = f"Adopted {many(len(done.parts), 'part')} with {many(done.sessions, 'session')}"
    aside = f"; set aside {many(len(done.set_aside), 'file')}" if done.set_aside else ""
    tell(document, f"{said}{aside}.", output)
    for named in done.set_aside:
        note(f"not read, or all of it is in the archive: {folder.at(named)}", output.quiet)
    for session_id in done.conflicts[:SHOWN]:
        note(f"{session_id}: the archive holds another session with this id, and counts that one.", output.quiet)
    if done.set_aside or done.conflicts:
        raise typer.Exit(3)


def _verify(folder: Folder, output: Output) -> None:
    from llmtrack.store.archive.verify import verify

    with progress("sessions", output.quiet) as told:
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
    tell(document, said, output)
    for named in found.damaged:
        note(f"damaged: {folder.at(named)}")
    for named in found.unnamed[:SHOWN]:
        note(f"not in the manifest, never read: {folder.at(named)}", output.quiet)
    if found.damaged:
        raise LlmtrackError("The archive is damaged.", "Put the named files back from a backup.")
