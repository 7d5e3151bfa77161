"""`llmtrack forget`: erases a user everywhere."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmtrack.cli.drawing.formats import as_json, tell, write
from llmtrack.cli.drawing.numbers import many
from llmtrack.cli.drawing.terminal import SHOWN, asked, note
from llmtrack.cli.options import Database, Output, Yes, shared
from llmtrack.cli.reading import open_store
from llmtrack.errors import LlmtrackError, UsageError
from llmtrack.version import __version__

if TYPE_CHECKING:
    from llmtrack.config import Settings
    from llmtrack.store.archive.forget import Receipt
    from llmtrack.store.database.sessions import Store


@shared
def forget(
    output: Output,
    user_id: Annotated[
        str, typer.Argument(metavar="USER_ID", help="The user's id, whole; also where it is stored as a pseudonym.")
    ],
    archives: Annotated[
        list[str] | None,
        typer.Option("--archive", metavar="FOLDER", help="An archive that this database does not know. Repeatable."),
    ] = None,
    everywhere: Annotated[
        bool,
        typer.Option("--everywhere", help="Also the documents of other applications in this database: it names them."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be erased.")] = False,
    database: Database = None,
    yes: Yes = False,
) -> None:
    """Erase a user's sessions and chats from the database and from every archive of it, and prove that none is left.

    What waits in the collector's spool is erased on this machine, and refused where it drains elsewhere.
    Other collections that hold the user's id are named, and erased there with --everywhere. The receipt (--format json,
    or --out FILE) says what was erased where and holds no personal data. Exits with 3 when something is left: there, or
    in an archive that cannot be reached from here. A run that was killed is completed by the next. For
    an id that nobody has it exits with 1.

    Example: llmtrack forget abc --out receipt.json
    """
    from llmtrack.config import load_settings
    from llmtrack.store.archive import forget as store_forget
    from llmtrack.store.archive.folder import open_folder

    if not dry_run and not yes and not sys.stdin.isatty():
        raise UsageError("Nobody is there to confirm.", "Give --yes, or --dry-run to see what would go.")
    folders = [open_folder(name) for name in archives or ()]
    settings = load_settings()
    # what was stored before there was a key has the id itself
    names = dict.fromkeys([settings.privacy.known_as(user_id), user_id])
    with open_store(settings, database) as store:
        plans = [store_forget.plan(store, name, folders) for name in names]
        nobody = all(store_forget.unknown(store, *each) for each in zip(names, plans, strict=True))
        planned = _together(plans)
        if not dry_run:
            if not nobody:
                asked(f"Erase {_what(planned)}{_there(planned) if everywhere else ''} for good?", yes)
            nobody = not _from_spool(settings, store, names) and nobody
        if nobody:
            raise _nobody(user_id, store_forget.beginning(store, user_id, folders, SHOWN + 1))
        erase = partial(store_forget.forget, store, named=folders, everywhere=everywhere)
        receipt = planned if dry_run else _together([erase(name) for name in names])
    document = _document(receipt, dry_run)
    if output.out:
        write(as_json(document) + "\n", output.out)
    left = bool(receipt.elsewhere) and not everywhere
    proof = "" if dry_run or receipt.unreached or receipt.set_aside or left else " Nothing with this user_id is left."
    said = f"{'Would erase' if dry_run else 'Erased'} {_what(receipt)}{_there(receipt) if everywhere else ''}.{proof}"
    tell(document, said, replace(output, out=None))
    for name in receipt.unreached:
        note(f"Not reached from here: the archive {name}. Run this again where it is.", output.quiet)
    if left:
        note(
            f"Other collections hold the user's id{_there(receipt)}. Erase there as well with --everywhere.",
            output.quiet,
        )
    for name in receipt.set_aside:
        note(
            f"Holds the user, or cannot be read: {name}. Nothing reads it; delete it when you need it no more.",
            output.quiet,
        )
    if receipt.unreached or receipt.set_aside or (left and not dry_run):
        raise typer.Exit(3)


def _nobody(user_id: str, alike: list[str]) -> LlmtrackError:
    more = ", …" if len(alike) > SHOWN else ""
    there = f"Ids that begin so: {', '.join(alike[:SHOWN])}{more}." if alike else "Give the id whole, as it is stored."
    return LlmtrackError(f"Nobody is called {user_id!r} here, nothing was erased.", there)


def _from_spool(settings: Settings, store: Store, names: Iterable[str]) -> int:
    """Erase what waits in the spool of this machine; how many records."""
    from llmtrack.store.archive.forget import erase_from_spool
    from llmtrack.store.spool.queue import spool_of

    spool = spool_of(settings)
    try:
        return sum([erase_from_spool(spool, store, name) for name in names])
    finally:
        spool.close()


def _together(receipts: list[Receipt]) -> Receipt:
    """One receipt for the names of one user, each of them erased after the other."""
    first, *others = receipts
    for other in others:
        first.finished_at = other.finished_at
        for name in ("sessions", "chats"):
            first.database[name] += other.database[name]
        first.set_aside = sorted({*first.set_aside, *other.set_aside})
        first.elsewhere = dict(Counter(first.elsewhere) + Counter(other.elsewhere))
        for mine, theirs in zip(first.archives, other.archives, strict=True):
            mine["sessions"] += theirs["sessions"]
            mine["parts"] += theirs["parts"]
    return first


def _there(receipt: Receipt) -> str:
    found = [f"{many(count, 'document')} in {name}" for name, count in receipt.elsewhere.items()]
    return f", {', '.join(found)}" if found else ""


def _document(receipt: Receipt, dry_run: bool) -> dict[str, Any]:
    return {"command": "forget", "dry_run": dry_run, **asdict(receipt), "by": f"llmtrack {__version__}"}


def _what(receipt: Receipt) -> str:
    archived = sum(archive["sessions"] for archive in receipt.archives)
    parts = sum(len(archive["parts"]) for archive in receipt.archives)
    here = f"{many(receipt.database['sessions'], 'session')} and {many(receipt.database['chats'], 'chat')}"
    return f"{here} in {receipt.database['name']}, {many(archived, 'session')} in {many(parts, 'part')} of archives"
