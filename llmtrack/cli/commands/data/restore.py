"""`llmtrack restore`: puts archived sessions back into the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from llmtrack.cli.drawing.formats import tell
from llmtrack.cli.drawing.numbers import many
from llmtrack.cli.drawing.progress import progress
from llmtrack.cli.drawing.terminal import SHOWN, note
from llmtrack.cli.options import Database, Experiment, Group, Output, Since, Until, User, shared
from llmtrack.cli.reading import open_store
from llmtrack.errors import UnknownSession, UsageError

if TYPE_CHECKING:
    from llmtrack.store.archive.restore import Restored


@shared
def restore(
    output: Output,
    folder: Annotated[str, typer.Option("--from", metavar="FOLDER", help="The archive: a folder, or an s3:// URL.")],
    session: Annotated[str | None, typer.Option("--session", metavar="ID", help="Only this session.")] = None,
    user: User = None,
    group: Group = None,
    experiment: Experiment = None,
    since: Since = None,
    until: Until = None,
    all_: Annotated[bool, typer.Option("--all", help="Everything that the archive holds.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Put the archived one in the place of a different one.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be put back.")] = False,
    database: Database = None,
) -> None:
    """Put archived sessions back into the database, exactly as they were; the archive stays as it is.

    One that is there and equal is skipped. One that is there and different is named and left, and the exit code is 3,
    unless --overwrite is given.

    Example: llmtrack restore --from /var/llmtrack/archive --user abc
    """
    from llmtrack.config import load_settings
    from llmtrack.session.filters import Filters
    from llmtrack.store.archive import restore as store_restore
    from llmtrack.store.archive.folder import open_folder

    wanted = Filters(since=since, until=until, group=group, experiment=experiment, user=user)
    if not (session or wanted.as_dict() or all_):
        raise UsageError("Nothing says what to restore.", "Give --session ID, --user, --since and --until, or --all.")
    opened = open_folder(folder)
    with open_store(load_settings(), database) as store, progress("sessions", output.quiet) as told:
        done = store_restore.restore(
            store,
            opened,
            session_id=session,
            filters=wanted,
            overwrite=overwrite,
            dry_run=dry_run,
            progress=told,
        )
        name = store.database.name
    if session and not (done.restored or done.equal or done.different):
        raise UnknownSession(f"No session {session!r} in {opened.name}.", f"Try: llmtrack sessions --source {folder}")
    _show(done, name, overwrite, dry_run, output)
    if not overwrite:
        for session_id in done.different[:SHOWN]:
            note(f"{session_id}: the database holds a different one, which was left.", output.quiet)
        if done.different:
            raise typer.Exit(3)


def _show(done: Restored, database: str, overwrite: bool, dry_run: bool, output: Output) -> None:
    document = {
        "command": "restore",
        "database": database,
        "dry_run": dry_run,
        "restored": done.restored,
        "equal": done.equal,
        "different": done.different,
        "overwritten": done.overwritten,
    }
    said = [f"{'Would restore' if dry_run else 'Restored'} {many(done.restored, 'session')} to {database}"]
    said += [f"{done.equal:,} there already"] if done.equal else []
    if done.different:
        said.append(f"{len(done.different):,} different{', overwritten' if overwrite and not dry_run else ' and left'}")
    tell(document, f"{'; '.join(said)}.", output)
