"""Sources: sessions, whatever they lie in, by the name that --source gives."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from llmtrack.errors import StoreUnavailable, UsageError
from llmtrack.session.filters import Filters
from llmtrack.store.address import public
from llmtrack.store.database.sessions import Store, connect, store_at
from llmtrack.store.sources.documents import HEAD
from llmtrack.store.sources.files import CollectionSource, FileSource
from llmtrack.store.sources.mongo import MongoSource
from llmtrack.store.sources.source import MANIFEST, Source

if TYPE_CHECKING:
    from llmtrack.config import Settings
    from llmtrack.store.sources.presets.preset import Preset

__all__ = ["Filters", "Source", "open_source"]

ALL: Final = "all"  # names the usual database with all its archives
EMBEDDED: Final = "embedded"  # names the embedded server, so that it can be read together with an archive
_DUMPED: Final = (  # collections in a mongodump folder, the most telling first; LibreChat's sessions are logins
    ("messages.bson",),
    ("queries.bson", "sessions.bson"),
    ("sessions.bson",),
)
_SUFFIXES: Final = (".jsonl", ".ndjson", ".json", ".bson")


def open_source(uri: str | Sequence[str] | None, settings: Settings, *, stdin: IO[bytes] | None = None) -> Source:
    """Open what `uri` names: a MongoDB URI, `embedded`, a file or folder of sessions, an archive, `-` (standard input).

    None (or an empty list) means settings.mongodb_uri, else the embedded server; `all` is that with every archive of
    it; a list means all of them together, each session once. Raises UsageError when one names nothing readable,
    StoreUnavailable when there is no server.
    """
    if not isinstance(uri, str | None):
        if len(uri) > 1:
            if ALL in uri:
                raise UsageError("--source all reads the database with all its archives.", "Name it alone.")
            from llmtrack.store.sources.several import SeveralSources

            return SeveralSources([open_source(each, settings, stdin=stdin) for each in uri])
        uri = next(iter(uri), None)
    if uri == ALL:
        return _with_archives(settings)
    if uri is not None and uri in settings.sources:
        from llmtrack.store.sources.mapped import described

        given = settings.sources[uri]
        here = settings.changed(database=given.database or settings.database)
        return _opened(given.uri, here, described(given), stdin)
    return _opened(uri, settings, None, stdin)


def _with_archives(settings: Settings) -> Source:
    """The usual database and every archive of it. Raises UsageError naming one that is not there."""
    from llmtrack.store.archive.folder import open_folder
    from llmtrack.store.sources.archive import ArchiveSource
    from llmtrack.store.sources.several import SeveralSources

    database = _opened(None, settings, None, None)
    known = database.archives() if isinstance(database, MongoSource) else {}
    found: list[Source] = [database]
    for id, folder in known.items():
        archive = ArchiveSource(open_folder(folder))
        if archive.id != id:
            database.close()
            raise UsageError(
                f"The archive {folder} of this database is not reached from here.",
                "Mount it, or read what is here: name the database and the archives, each with --source.",
            )
        found.append(archive)
    return SeveralSources(found) if known else database


def _opened(uri: str | None, settings: Settings, preset: Preset | None, stdin: IO[bytes] | None) -> Source:
    usual = uri is None
    if uri == EMBEDDED:
        settings, uri = settings.changed(mongodb_uri=None), None
    if uri is None:
        store = connect(settings)
        named = settings.mongodb_uri.reveal() if settings.mongodb_uri else None
        source = _of_store(store, _public_name(named, store) if named else EMBEDDED, preset)
        if isinstance(source, MongoSource):
            source.usual = usual
        return source
    if uri.startswith(("mongodb://", "mongodb+srv://")):
        named_there = bool(public(uri).partition("://")[2].partition("/")[2])
        store = store_at(uri, settings.changed(database=None) if named_there else settings)
        return _of_store(store, _public_name(uri, store), preset)
    if uri == "-":
        kept = _kept(stdin or sys.stdin.buffer)
        return FileSource("-", [("stdin", _opener(Path(kept.name)))], kept, preset)
    if _is_archive(uri):
        from llmtrack.store.archive.folder import open_folder
        from llmtrack.store.sources.archive import ArchiveSource

        return ArchiveSource(open_folder(uri))
    path = Path(uri)
    if uri and path.is_dir():
        return FileSource(uri, [(found.name, _opener(found)) for found in _session_files(path)], None, preset)
    if uri and path.exists():
        return FileSource(uri, [("", _opener(path))], None, preset)
    named_here = f" or one of [sources]: {', '.join(settings.sources)}" if settings.sources else ""
    raise UsageError(
        f"There is no source {public(uri)!r}.",
        "Give a mongodb:// URI, embedded, a .jsonl, .json or .bson file, a folder of such files, or an archive"
        f"{named_here}.",
    )


def _of_store(store: Store, called: str, preset: Preset | None) -> Source:
    """The sessions of a database; those of another application, where its collections are there."""
    from llmtrack.store.sources.presets import at_home

    told = preset is not None
    with suppress(StoreUnavailable):  # whoever reads will hear of it
        preset = preset or at_home(store)
    if preset is None:
        return MongoSource(store, called)
    source = CollectionSource(store, called, preset)
    if not told:
        source.remark = f"{called} is read as {preset.title} (preset {preset.name})."
    return source


def _is_archive(uri: str) -> bool:
    """Whether this names a folder with a manifest, or an object store: nothing else is read from there."""
    return "://" in uri or (Path(uri) / MANIFEST).is_file()


def _public_name(uri: str, store: Store) -> str:
    """The URI without user, password and options."""
    scheme, _, rest = public(uri).partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/{store.database.name}"


def _session_files(folder: Path) -> list[Path]:
    """The files of session documents in a folder; of a mongodump folder, those of `sessions`."""
    there = {path.name.removesuffix(".gz") for path in folder.iterdir()}
    first = next((names for names in _DUMPED if there.issuperset(names)), ())
    dumped = [path for name in first for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
    found = dumped or sorted(path for path in folder.iterdir() if path.is_file() and _holds_sessions(path.name))
    if not found:
        raise UsageError(
            f"The folder {str(folder)!r} holds no {', '.join(_SUFFIXES)} file (each may end in .gz).",
            "Name the folder that holds them.",
        )
    return found


def _holds_sessions(file_name: str) -> bool:
    plain = file_name.lower().removesuffix(".gz")
    return plain.endswith(_SUFFIXES) and not plain.startswith(".") and not plain.endswith(".metadata.json")


def _opener(path: Path) -> Callable[[], IO[bytes]]:
    def open_file() -> IO[bytes]:
        try:
            return path.open("rb", buffering=HEAD)
        except OSError as error:
            raise UsageError(f"{str(path)!r} cannot be read: {error.strerror}.", "Check its permissions.") from None

    return open_file


def _kept(stream: IO[bytes]) -> IO[bytes]:
    """Standard input can be read once; a source may be read again."""
    kept = tempfile.NamedTemporaryFile(prefix="llmtrack-")  # noqa: SIM115 - the source closes it
    shutil.copyfileobj(stream, kept)
    kept.flush()
    return kept
