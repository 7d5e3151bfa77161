"""`llmtrack demo`: everything at once, on sample sessions, without touching anything of the user's own."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmtrack.cli.drawing.numbers import many

if TYPE_CHECKING:
    from llmtrack.config import Settings
    from llmtrack.store.database.sessions import Store

HOST = "127.0.0.1"
PORT = 8000
PORTS_TRIED = 20
OWN_DATABASE = "llm_demo"  # where the samples go when the default database holds somebody's sessions
FRESH = timedelta(days=2)  # older samples are made anew, so that --last 7d finds them
SAMPLES = {"sample": True}


def demo(
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Go on with the chat page, or stop there.")] = True,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", help="Port of the chat page. Default: 8000, or the next free one.", min=1, max=65535
        ),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove the sample sessions and stop.")] = False,
) -> None:
    """Try everything now: sample sessions, a replay, the chat page. Ctrl-C ends it.

    The samples lie in the embedded server, whatever MONGODB_URI says: in its default database, or in llm_demo when
    that holds sessions of yours.

    Example: llmtrack demo
    """
    from llmtrack.config import load_settings
    from llmtrack.store.database import embedded

    settings = load_settings()
    if serve and not clear:
        port = _free_port(port)
    uri = embedded.ensure(settings.data_dir, settings.embedded_linger_s)
    if clear:
        typer.echo(f"Removed {many(_clear(uri), 'sample session')}.")
        return
    with _home(uri) as store, _alone(settings.data_dir):
        database = store.database.name
        _fill(store, datetime.now(UTC))
        count = store.sessions.count_documents(SAMPLES)
        good = _good(store)
    where = f"the database {database} of the embedded server ({settings.data_dir})"
    typer.echo(f"{many(count, 'sample session')} in {where}. One of them:\n")
    source = uri.replace("/?", f"/{database}?")
    _replay(source, good)
    usual = settings.mongodb_uri is None and (settings.database or _default_database()) == database
    typer.echo(_what_next(good, "" if usual else f" --source '{source}'"))
    if serve and port:
        typer.echo(f"The chat page: http://{HOST}:{port}  (answers come from a built-in text). Ctrl-C ends the demo.")
        sys.stdout.flush()
        _serve(settings, database, port)


def _replay(source: str, session_id: str) -> None:
    from llmtrack.analysis.interaction.timeline import relative
    from llmtrack.cli.options import Output
    from llmtrack.cli.replay.show import show
    from llmtrack.config import load_settings
    from llmtrack.session.cleaning.clean import one
    from llmtrack.store.sources.open import open_source

    with open_source(source, load_settings()) as sessions:
        document = sessions.get(session_id)
    if document:  # nobody cleared the samples meanwhile
        visit = one(document, datetime.now(UTC))
        show(visit, document, list(relative(visit)), Output(), instant=True)


def _default_database() -> str:
    """The database that commands use on the embedded server when nothing else is set."""
    from llmtrack.store.database.sessions import DEFAULT_DATABASE

    return DEFAULT_DATABASE


def _free_port(asked: int | None) -> int:
    from llmtrack.collector.server import check_address
    from llmtrack.errors import UsageError

    if asked is None:
        for port in range(PORT, PORT + PORTS_TRIED):
            try:
                check_address(HOST, port)
            except UsageError:
                continue
            return port
    check_address(HOST, asked or PORT)
    return asked or PORT


@contextmanager
def _home(uri: str) -> Iterator[Store]:
    """The store for the samples: the default database, unless it holds sessions and none of them is a sample."""
    from llmtrack.store.database.sessions import Store

    with Store(uri, _default_database()) as store:
        if store.sessions.find_one(SAMPLES, {"_id": 1}) or not store.sessions.find_one({}, {"_id": 1}):
            yield store
            return
    with Store(uri, OWN_DATABASE) as store:
        yield store


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Two demos at once fill the database once."""
    from filelock import FileLock

    with FileLock(data_dir / "demo.lock", timeout=60):
        yield


def _fill(store: Store, now: datetime) -> None:
    """Put the sample sessions there, unless they are there, whole and fresh."""
    from llmtrack.sample import sessions
    from llmtrack.store.load import load
    from llmtrack.store.sources.documents import Found

    store.ensure_indexes()
    documents = list(sessions(now=now))
    newest = store.sessions.find_one({**SAMPLES, "start_time": {"$gte": now - FRESH}}, {"_id": 1})
    if newest and store.sessions.count_documents(SAMPLES) == len(documents):
        return
    store.sessions.delete_many(SAMPLES)
    load(store, (Found("sample", document) for document in documents))


def _good(store: Store) -> str:
    """A sample worth watching: two chats, a selection and a copy, no failure, a proper end, and short."""
    wanted = {"prompt", "model_response", "selection", "copy", "new_chat", "scroll"}
    fields = {"session_id": 1, "events.type": 1, "events.data.error": 1}
    best = (sys.maxsize, "")
    for document in store.sessions.find({**SAMPLES, "ended_by": "page"}, fields):
        types = [event["type"] for event in document["events"]]
        spoilt = len(wanted - set(types)) + sum("error" in event.get("data", {}) for event in document["events"])
        best = min(best, (100 * spoilt + len(types), document["session_id"]))
    return best[1]


def _what_next(session_id: str, option: str) -> str:
    from llmtrack.cli import COMMANDS

    llmtrack = _own_name()
    tries = (
        ("sessions", "", "all sessions, newest first"),
        ("sessions", " --sort copies --group deep-70b", "who copies most from the slow model"),
        ("replay", f" {session_id[:28]} --speed 4", "the session above as it happened, four times as fast"),
        ("replay", " last", "the newest session; after a chat on the page below, your own"),
        ("funnel", "", "how far people get, by model"),
        ("engagement", " --control base-7b", "what truly differs between the models"),
        ("dropoff", "", "where people give up"),
    )
    lines = [(f"{llmtrack} {name}{rest}{option}", why) for name, rest, why in tries if name in COMMANDS]
    return "\nTry next, in another terminal:\n" + "".join(f"  {command}\n      {why}\n" for command, why in lines)


def _own_name() -> str:
    """How this shell calls llmtrack: by its name when that finds this installation, else by path."""
    script = Path(sys.executable).with_name("llmtrack")
    found = shutil.which("llmtrack")
    if found and Path(found).resolve() == script.resolve():
        return "llmtrack"
    if not script.exists():
        return f"{sys.executable} -m llmtrack"
    return str(script.relative_to(Path.cwd()) if script.is_relative_to(Path.cwd()) else script)


def _clear(uri: str) -> int:
    from llmtrack.store.database.sessions import Store

    removed = 0
    for database in (_default_database(), OWN_DATABASE):
        with Store(uri, database) as store:
            removed += store.sessions.delete_many(SAMPLES).deleted_count
    return removed


def _serve(settings: Settings, database: str, port: int) -> None:
    """The collector over the demo's database, with the demo provider: no key of the user's is spent."""
    from llmtrack.collector.server import run
    from llmtrack.config import DEMO, Experiment, Group
    from llmtrack.sample import plan

    groups = [Group(name=each.name, model=DEMO, provider=DEMO, weight=1) for each in plan.GROUPS]  # as the samples
    only: dict[str, Any] = {
        "mongodb_uri": None,
        "database": database,
        "experiment": plan.EXPERIMENT,  # what is asked on the page stands beside the samples
        "experiments": {plan.EXPERIMENT: Experiment(groups=groups)},
    }
    run(settings.changed(**only), HOST, port, workers=1, quiet=True)
