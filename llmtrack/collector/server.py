"""Runs the collector on granian: worker processes that share one address."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from llmtrack.config import Settings
from llmtrack.errors import StoreUnavailable, UsageError

log = logging.getLogger("llmtrack")

MAX_WORKERS = 4
BACKLOG = 4096  # connections, most of them idle: a page keeps its own for 30 s


def run(
    settings: Settings,
    host: str,
    port: int,
    workers: int | None = None,
    on_ready: Callable[[], None] = lambda: None,
    *,
    quiet: bool = False,
) -> None:
    """Serve until Ctrl-C or SIGTERM; requests in flight are finished. `on_ready` is called once it listens.

    `quiet` leaves the lines of requests out of the log.

    Raises UsageError when the address is taken, or would open all sessions to others, StoreUnavailable when there is no
    embedded server. A database of MONGODB_URI may come later: until then the spool takes what arrives.
    """
    from granian import Granian
    from granian.constants import Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    from llmtrack.collector.access.connections import SILENT_S
    from llmtrack.collector.access.places import threads
    from llmtrack.collector.lifetime import STOP_S
    from llmtrack.collector.telemetry import logs
    from llmtrack.collector.telemetry.metrics import FOLDER_VARIABLE
    from llmtrack.store.database.chats import Chats
    from llmtrack.store.database.sessions import connect
    from llmtrack.store.database.usage import Usage

    check_readers(settings, host)
    check_address(host, port)
    with connect(settings) as store:
        try:
            store.ping()
            store.ensure_indexes()
            Chats(store).ensure_indexes()
            Usage(store).ensure_indexes()
        except StoreUnavailable as error:
            if settings.mongodb_uri is None:
                raise
            log.warning("%s Until it does, what arrives waits in the spool.", error)
    server = Granian(
        "llmtrack.collector",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers or min(MAX_WORKERS, os.cpu_count() or 1),
        blocking_threads=threads(settings.limits),
        backlog=BACKLOG,
        http1_settings=HTTP1Settings(header_read_timeout=SILENT_S * 1000),
        log_level=LogLevels.error,
        log_dictconfig=logs.configuration(logs.format_of(settings), quiet=quiet),
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_S,
        websockets=False,
    )
    server.on_startup(on_ready)
    with tempfile.TemporaryDirectory(prefix="llmtrack-metrics-") as folder:  # private to this user and this run
        os.environ[FOLDER_VARIABLE] = folder
        server.serve(target_loader=partial(load, settings, Path(folder), port), wrap_loader=False)


def load(settings: Settings, figures: Path, port: int) -> Any:
    """The application of one worker, with connections and a sweeper of its own; workers count together in `figures`."""
    from llmtrack.collector.access import connections
    from llmtrack.collector.app import create_app, start_reviver, start_sweeper
    from llmtrack.collector.lifetime import cut_at_stop, end_with_parent
    from llmtrack.collector.models.client import ChatClient
    from llmtrack.collector.telemetry.metrics import Metrics
    from llmtrack.store.database.sessions import connect

    end_with_parent()
    store = connect(settings)
    metrics = Metrics(figures)
    start_sweeper(settings, store, metrics)
    if settings.mongodb_uri is None:
        start_reviver(settings)
    app = create_app(settings, store, ChatClient(settings), metrics)
    cut_at_stop(app.extensions["llmtrack.cut"])
    if not settings.proxy_hops:
        connections.bound(port)
    return app


def check_readers(settings: Settings, host: str) -> None:
    """Raise UsageError when others could reach the collector and nothing says who may read sessions."""
    from llmtrack.collector.access.proofs import is_loopback

    if not settings.admin_token and not is_loopback(host):
        raise UsageError(
            f"Others can reach {host}, and no admin token says who may read sessions.",
            "Set one and keep it: export LLMTRACK_ADMIN_TOKEN="
            "$(python3 -c 'import secrets; print(secrets.token_urlsafe())')",
        )


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
