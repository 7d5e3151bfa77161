"""Runs the collector on granian: worker processes that share one address."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from llmtrack.config import Settings
from llmtrack.errors import UsageError

MAX_WORKERS = 4
STOP_S = 60  # how long a stop waits for requests in flight: as long as a model may take
BACKLOG = 4096  # connections, most of them idle: a page keeps its own for 30 s


def run(
    settings: Settings,
    host: str,
    port: int,
    workers: int | None = None,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until Ctrl-C or SIGTERM; requests in flight are finished. `on_ready` is called once it listens.

    Raises UsageError when the address is taken, StoreUnavailable when the database does not answer.
    """
    from granian import Granian
    from granian.constants import Interfaces
    from granian.log import LogLevels

    from llmtrack.collector.overload import threads
    from llmtrack.store.chats import Chats
    from llmtrack.store.mongo import connect
    from llmtrack.store.usage import Usage

    check_address(host, port)
    with connect(settings) as store:
        store.ping()
        store.ensure_indexes()
        Chats(store).ensure_indexes()
        Usage(store).ensure_indexes()
    server = Granian(
        "llmtrack.collector",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers or min(MAX_WORKERS, os.cpu_count() or 1),
        blocking_threads=threads(settings.limits),
        backlog=BACKLOG,
        log_level=LogLevels.error,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_S,
        websockets=False,
    )
    server.on_startup(on_ready)
    server.serve(target_loader=partial(load, settings), wrap_loader=False)


def load(settings: Settings) -> Any:
    """The application of one worker, with connections and a sweeper of its own."""
    from llmtrack.collector.app import create_app, start_sweeper
    from llmtrack.collector.models import ChatClient
    from llmtrack.store.mongo import connect

    store = connect(settings)
    start_sweeper(settings, store)
    return create_app(settings, store, ChatClient(settings))


def check_address(host: str, port: int) -> None:
    """Raise UsageError when nobody can listen there."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise UsageError(
            f"Cannot listen on {host}:{port}: {error.strerror or error}.", "Choose another with --port or --host."
        ) from None
