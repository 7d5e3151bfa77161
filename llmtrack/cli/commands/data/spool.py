"""`llmtrack spool`: what waits for the database, and what was put aside because it can never be stored."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from llmtrack.cli.drawing.formats import Column, Format, emit, tell
from llmtrack.cli.drawing.numbers import many
from llmtrack.cli.drawing.terminal import asked, note
from llmtrack.cli.options import Output, Yes, shared
from llmtrack.errors import UsageError

if TYPE_CHECKING:
    from llmtrack.store.spool.queue import Record, Spool

COLUMNS: Final = (
    Column("id", "id", right=True),
    Column("at", "came (UTC)", lambda at: f"{at:%Y-%m-%d %H:%M}"),
    Column("kind", "kind"),
    Column("events", "events", right=True),
    Column("session_id", "session", fold=True),
    Column("why", "why", fold=True),
)


class Action(StrEnum):
    """What to do."""

    list = "list"
    retry = "retry"
    drop = "drop"


@shared
def spool(
    output: Output,
    action: Annotated[Action, typer.Argument(metavar="ACTION", help="list, retry or drop.")] = Action.list,
    ids: Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="Records, as the list names them.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every record that was put aside.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    yes: Yes = False,
) -> None:
    """List what the database could never store, and try it again or drop it.

    What arrives while the database is away waits in the data folder of the collector and leaves by itself. Only what
    can never be stored is put aside: a damaged record, events of a session that was deleted. It is kept until somebody
    decides. Run this where the collector runs, with its LLMTRACK_DATA_DIR.

    Example: llmtrack spool retry --all
    """
    with _open() as spool:
        aside = spool.aside() if spool.exists else []
        waiting = spool.depth
        if action is Action.list:
            _list(aside, waiting, output)
            return
        chosen = _chosen(aside, ids or [], everything)
        verb = {Action.retry: "try again", Action.drop: "drop"}[action]
        if action is Action.drop and not dry_run:
            if not yes and not sys.stdin.isatty():
                raise UsageError("Nobody is there to confirm.", "Give --yes, or --dry-run to see what would go.")
            asked(f"Drop {many(len(chosen), 'record')} for good?", yes)
        if not dry_run:
            {Action.retry: spool.retry, Action.drop: spool.drop}[action]([record.id for record in chosen])
    document = {"command": "spool", "action": action.value, "dry_run": dry_run, "records": [r.id for r in chosen]}
    done = {Action.retry: "will be tried again", Action.drop: "dropped"}[action]
    records = many(len(chosen), "record")
    tell(document, f"Would {verb}: {records}." if dry_run else f"{records} {done}.", output)


def _list(aside: list[Record], waiting: int, output: Output) -> None:
    rows = [_row(record) for record in aside]
    document = {"command": "spool", "waiting": waiting, "put_aside": rows}
    if rows or output.kind is not Format.table:
        emit(rows, COLUMNS, document, format=output.kind, out=output.out, delimiter=output.delimiter)
    if output.kind is Format.table:
        note(f"{many(waiting, 'record')} waiting, {len(aside)} put aside.", output.quiet)


def _row(record: Record) -> dict[str, Any]:
    try:
        events = len(record.body.get("events") or ())
    except Exception:  # whatever a damaged record raises
        events = None
    came = datetime.fromtimestamp(record.at, UTC)
    about = {"id": record.id, "at": came, "kind": record.kind, "events": events}
    return {**about, "session_id": record.session_id, "why": record.why}


def _chosen(aside: list[Record], ids: list[int], everything: bool) -> list[Record]:
    if bool(ids) == everything:
        raise UsageError("Which records?", "Give their ids, or --all. See: llmtrack spool list")
    known = {record.id: record for record in aside}
    for id in ids:
        if id not in known:
            raise UsageError(f"There is no record {id} that was put aside.", "See: llmtrack spool list")
    return [known[id] for id in ids] if ids else aside


@contextmanager
def _open() -> Iterator[Spool]:
    from llmtrack.config import load_settings
    from llmtrack.store.spool.queue import spool_of

    opened = spool_of(load_settings())
    try:
        yield opened
    finally:
        opened.close()
