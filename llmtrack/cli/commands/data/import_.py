"""`llmtrack import`: session documents of other writers and of backups, into the store."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TypeVar

import typer

from llmtrack.cli.drawing.formats import Column, Format, emit
from llmtrack.cli.drawing.numbers import many
from llmtrack.cli.drawing.progress import progress
from llmtrack.cli.drawing.terminal import SHOWN, note
from llmtrack.cli.options import Output, shared
from llmtrack.errors import UsageError

if TYPE_CHECKING:
    from llmtrack.config import Settings
    from llmtrack.store.database.sessions import Store
    from llmtrack.store.load import Tally
    from llmtrack.store.sources.files import ReadSource
    from llmtrack.store.sources.presets.preset import Preset

T = TypeVar("T")

COUNTS = ("inserted", "already_there", "completed", "different", "unreadable")
COLUMNS = (
    Column("file", "file", fold=True),
    Column("inserted", "inserted", "{:,}".format, right=True),
    Column("already_there", "already there", "{:,}".format, right=True),
    Column("completed", "completed", "{:,}".format, right=True),
    Column("different", "different", "{:,}".format, right=True),
    Column("unreadable", "unreadable", "{:,}".format, right=True),
)


@shared
def import_(
    output: Output,
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE]...", help='Files to read; "-" is stdin.', show_default=False)
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option("--from", metavar="NAME", help="A source of llmtrack.toml, [sources.NAME], or a mongodb:// URI."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="URI", help="Store to write to. Default: MONGODB_URI, else the embedded server."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a session that is there with other content; else it is left.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and count everything, write nothing.")] = False,
) -> None:
    """Load session documents into the store: JSONL, JSON arrays, mongoexport's JSON, mongodump's BSON, gzipped or not.

    Each session is stored once, as it is. One that is there already is completed where it has gone on since, and
    else left alone. Exits with 3 when some documents could not be read (they are named with line or byte), with 1 when
    none could.

    Example: llmtrack import sessions.jsonl dump/llm_experiment/sessions.bson.gz
    """
    from llmtrack.config import load_settings
    from llmtrack.store.load import load

    if not files and not origin:
        raise UsageError("Nothing is named to import.", "Name files, or a source with --from.")
    settings = load_settings()
    with ExitStack() as open_files:
        streams = [(name, _open(name, open_files)) for name in files or ()]
        source = _source(origin, settings, open_files) if origin else None
        store = open_files.enter_context(_store(settings, to))
        store.ping()
        if not dry_run:
            store.ensure_indexes()
        rows = [
            _load(store, name, stream, output.quiet, dry_run=dry_run, overwrite=overwrite) for name, stream in streams
        ]
        if source is not None:
            if source.remark:
                note(source.remark, output.quiet)
            tally = load(store, source.items(), dry_run=dry_run, overwrite=overwrite)
            rows.append(_row(source.name, tally, output.quiet, overwrite))
    counts = {key: sum(row[key] for row in rows) for key in COUNTS}
    columns = [
        column._replace(title="would insert") if dry_run and column.key == "inserted" else column
        for column in COLUMNS
        if counts.get(column.key) or column.key not in ("completed", "different")
    ]
    document = {"command": "import", "database": store.database.name, "dry_run": dry_run, **counts, "files": rows}
    shown = [*rows, {"file": "all", **counts}] if len(rows) > 1 and output.kind is not Format.csv else rows
    if output.out or not output.quiet or output.kind is not Format.table:
        emit(shown, columns, document, format=output.kind, out=output.out, delimiter=output.delimiter)
    if counts["unreadable"]:
        raise typer.Exit(3 if counts["unreadable"] < sum(counts.values()) else 1)


def _open(name: str, open_files: ExitStack) -> BinaryIO:
    from llmtrack.store.sources.documents import HEAD

    if name == "-":
        return sys.stdin.buffer
    try:
        return open_files.enter_context(open(name, "rb", buffering=HEAD))
    except IsADirectoryError:
        raise UsageError(f"{name!r} is a folder.", f"Name its files: llmtrack import {name.rstrip('/')}/*") from None
    except OSError as error:
        raise UsageError(f"Cannot read {name!r}: {error.strerror}.", "Check the name of the file.") from None


def _source(origin: str, settings: Settings, open_files: ExitStack) -> ReadSource:
    """What --from names. Raises UsageError when it is no source that can be imported from."""
    from llmtrack.store.sources.files import ReadSource
    from llmtrack.store.sources.open import open_source

    source = open_files.enter_context(open_source(origin, settings))
    if not isinstance(source, ReadSource):
        raise UsageError(
            f"{source.name} holds llmtrack's own sessions.", "Move them with mongodump, archive or restore."
        )
    return source


def _store(settings: Settings, to: str | None) -> Store:
    from llmtrack.store.database.sessions import connect, store_at

    return store_at(to, settings.changed(database=None)) if to else connect(settings)


def _load(store: Store, name: str, stream: BinaryIO, quiet: bool, *, dry_run: bool, overwrite: bool) -> dict[str, Any]:
    """Load one file, say what was unreadable, and return its counts."""
    from llmtrack.store.load import load
    from llmtrack.store.sources.documents import read_documents
    from llmtrack.store.sources.presets import as_sessions

    def say(preset: Preset) -> None:
        note(f"{name} is read as {preset.title} (preset {preset.name}).", quiet)

    size = _size(stream)
    with progress(os.path.basename(name) if size else "documents", quiet, size) as told:
        found = _watched(read_documents(stream), (lambda _: stream.tell()) if size else int, told)
        tally = load(store, as_sessions(found, None, say), dry_run=dry_run, overwrite=overwrite)
    return _row(name, tally, quiet, overwrite)


def _row(name: str, tally: Tally, quiet: bool, overwrite: bool) -> dict[str, Any]:
    if not quiet:
        _name_unreadable(name, tally)
        if tally.different and not overwrite:
            ids = ", ".join(tally.differing[:SHOWN]) + (", …" if tally.different > SHOWN else "")
            note(f"{name}: there with other content, and left (--overwrite replaces them): {ids}")
    return {
        "file": name,
        "inserted": tally.inserted,
        "already_there": tally.known,
        "completed": tally.completed,
        "different": tally.different,
        "unreadable": tally.unreadable,
        "unreadable_named": [unreadable._asdict() for unreadable in tally.named],
    }


def _size(stream: BinaryIO) -> int | None:
    """How many bytes the stream has, where that is known."""
    return os.fstat(stream.fileno()).st_size if stream.seekable() else None


def _watched(found: Iterable[T], place: Callable[[int], int], told: Callable[[int], None]) -> Iterator[T]:
    """The same, telling the place of each one by its number."""
    for number, each in enumerate(found, 1):
        told(place(number))
        yield each


def _name_unreadable(name: str, tally: Tally) -> None:
    for where, why in tally.named[:SHOWN]:
        note(f"{name}, {where}: {why}")
    if (more := tally.unreadable - min(SHOWN, len(tally.named))) > 0:
        note(f"{name}: {many(more, 'more document')} could not be read.")
