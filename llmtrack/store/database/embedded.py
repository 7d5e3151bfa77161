"""The embedded server: a MongoDB-protocol server with its files in the data folder, shared by every process.

Whoever needs it first starts a keeper, a small process that runs the server, starts it anew when it dies, and ends it
once nobody has been connected for a minute. A server that lives and answers and yet stores nothing any more, as one
does after its disk was full, is started anew as well: the keeper writes and reads. Later processes join. Two locks make
this exact:

- `embedded.lock` is held while joining and while ending, so that nobody joins a server that is about to end;
- `keeper.lock` is held by the keeper all its life, so that there is one.

The server is a process of its own always: its licence (GPL-2.0) is not llmtrack's.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom
from typing import IO, Any

import pymongo
from filelock import FileLock, Timeout
from pymongo import MongoClient, WriteConcern
from pymongo.errors import ConnectionFailure, ExecutionTimeout, PyMongoError

from llmtrack.errors import StoreUnavailable

if sys.platform != "win32":
    import fcntl

START_TIMEOUT_S = 30.0
QUEUE_TIMEOUT_S = 300.0  # commands that begin at once join one after the other; a hundred on a busy machine take long
POLL_S = 0.25
PROBE_S = 2.0  # how often the keeper writes and reads
REFUSES_S = 6.0  # a server that answers so long with errors is started anew
SILENT_S = 60.0  # and one that does not answer so long; one that is very busy does sooner
_FLOCK, _FLOCK_FIELDS = (  # struct flock of fcntl(2)
    ("qqihh", ("start", "len", "pid", "type", "whence"))
    if sys.platform == "darwin"
    else ("hhqqi4x", ("type", "whence", "start", "len", "pid"))
)
KEEPER_CONNECTIONS = 2  # the keeper's own: one that watches the server, one that asks


def ensure(data_dir: Path, linger_s: float = 60) -> str:
    """Start or join the embedded server of `data_dir`; return its URI.

    Raises StoreUnavailable when the extra is not installed or the server does not start.
    """
    if importlib.util.find_spec("secantus") is None:
        raise StoreUnavailable(
            "No database: the embedded server is not installed.",
            "Run: pip install 'llmtrack[embedded]', or set MONGODB_URI.",
        )
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(data_dir / "embedded.lock", timeout=QUEUE_TIMEOUT_S, mode=0o600):
            return _join(data_dir, linger_s)
    except (OSError, Timeout) as error:
        raise StoreUnavailable(
            f"The data folder {data_dir} cannot be used: {error}.", "Set LLMTRACK_DATA_DIR to another."
        ) from None


def port(data_dir: Path) -> int | None:
    """Where the server answers, or did last; None where there never was one."""
    state = _read_state(data_dir)
    return int(state["port"]) if state else None


def revive(data_dir: Path, linger_s: float) -> None:
    """Start a keeper if there is none: both were killed, the server and who would start it anew. Does not wait for it.

    Raises StoreUnavailable when the folder cannot be used.
    """
    try:
        with FileLock(data_dir / "embedded.lock", timeout=START_TIMEOUT_S, mode=0o600):
            if not _keeper_lives(data_dir):
                _spawn_keeper(data_dir, linger_s)
                time.sleep(1)  # until it has its lock, so that nobody starts another
    except (OSError, Timeout) as error:
        raise StoreUnavailable(f"The data folder {data_dir} cannot be used: {error}.") from None


def _join(data_dir: Path, linger_s: float) -> str:
    keeper = None if _keeper_lives(data_dir) else _spawn_keeper(data_dir, linger_s)
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        state = _read_state(data_dir)
        orphaned = state and keeper not in (None, state["keeper"])  # our new keeper is about to end that server
        if state and not orphaned and _server_pid(state["port"]) == state["pid"]:
            os.utime(data_dir / "embedded.json")  # tells the keeper that somebody is coming
            return uri(state["port"])
        time.sleep(0.05)
    raise StoreUnavailable(
        f"The embedded server did not start within {START_TIMEOUT_S:.0f} s.",
        f"Read {data_dir / 'embedded.log'}, or set MONGODB_URI.",
    )


def uri(port: int) -> str:
    """The server's address."""
    return f"mongodb://127.0.0.1:{port}/?directConnection=true"


def _keeper_lives(data_dir: Path) -> bool:
    try:
        with FileLock(data_dir / "keeper.lock", timeout=0, mode=0o600):
            return False
    except Timeout:
        return True


def _spawn_keeper(data_dir: Path, linger_s: float) -> int:
    # -P: nothing that lies in the data folder, a random.py perhaps, is imported
    command = [sys.executable, "-P", "-m", "llmtrack.store.database.embedded", str(data_dir), str(linger_s)]
    with _log(data_dir) as log:
        keeper = subprocess.Popen(  # noqa: S603 - our own module
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=data_dir
        )
    keeper.returncode = 0  # it outlives us on purpose: nobody waits for it
    return keeper.pid


def _log(data_dir: Path) -> IO[bytes]:
    return open(os.open(data_dir / "embedded.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def _read_state(data_dir: Path) -> dict[str, Any] | None:
    try:
        state: dict[str, Any] = json.loads((data_dir / "embedded.json").read_text())
    except (OSError, ValueError):
        return None
    return state


def _write_state(data_dir: Path, port: int, pid: int) -> None:
    beside = data_dir / "embedded.json.new"
    beside.write_text(json.dumps({"port": port, "pid": pid, "keeper": os.getpid()}))
    beside.replace(data_dir / "embedded.json")


def _client(port: int) -> MongoClient[dict[str, Any]]:
    return MongoClient(
        uri(port), serverSelectionTimeoutMS=1000, serverMonitoringMode="poll", maxPoolSize=1, connectTimeoutMS=1000
    )


def _server_pid(port: int) -> int | None:
    """Process id of the server at this port; None when none answers."""
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        with contextlib.suppress(PyMongoError), _client(port) as client:
            pid = client.admin.command("serverStatus").get("pid")
            return int(pid) if pid else None
    return None


def _holder(data_dir: Path) -> int | None:
    """Process id of the server that has the files open, by the lock it holds on one of them; None when none has."""
    try:
        with (data_dir / "mongo" / "WiredTiger.lock").open("rb") as file:
            asked = struct.pack(_FLOCK, *(fcntl.F_WRLCK if field == "type" else 0 for field in _FLOCK_FIELDS))
            told = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    except OSError:
        return None
    lock = dict(zip(_FLOCK_FIELDS, told, strict=True))
    return lock["pid"] if lock["type"] != fcntl.F_UNLCK and lock["pid"] > 0 else None


def _say(what: str) -> None:
    """A line in embedded.log."""
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} keeper: {what}", flush=True)


class _Probe:
    """Whether a server stores what it is given and hands it out again, asked every PROBE_S."""

    def __init__(self) -> None:
        self._asked = self._well = time.monotonic()

    def wrong(self, client: MongoClient[dict[str, Any]]) -> str:
        """What is wrong with it for so long that it is to be started anew; empty when nothing is."""
        if time.monotonic() - self._asked < PROBE_S:
            return ""
        mark, patience_s, what = secrets.token_hex(8), SILENT_S, "does not answer"
        try:
            with pymongo.timeout(2 * PROBE_S):
                probes = client["llmtrack_keeper"]["probes"]
                probes.with_options(write_concern=WriteConcern(j=True)).replace_one(
                    {"_id": "probe"}, {"mark": mark}, upsert=True
                )
                if (probes.find_one({"_id": "probe"}) or {}).get("mark") == mark:
                    self._well = time.monotonic()
        except (ConnectionFailure, ExecutionTimeout):
            pass
        except PyMongoError:
            patience_s, what = REFUSES_S, "answers and stores nothing"
        self._asked = time.monotonic()
        return what if self._asked - self._well > patience_s else ""


class _Keeper:
    """Runs the server until nobody has used it for `linger_s`."""

    def __init__(self, data_dir: Path, linger_s: float) -> None:
        self.data_dir = data_dir
        self.linger_s = linger_s
        self.port = 0
        self.server: subprocess.Popen[bytes]

    def run(self) -> None:
        self._start()
        client, probe = _client(self.port), _Probe()
        last_used = time.monotonic()
        while True:
            time.sleep(POLL_S)
            if wrong := probe.wrong(client):
                _say(f"the embedded server {wrong}: it is started anew")
                self.server.kill()
                self.server.wait()
            if self.server.poll() is not None:
                self._start()
                client.close()
                client, probe = _client(self.port), _Probe()
                last_used = time.monotonic()
            if self._in_use(client):
                last_used = time.monotonic()
            elif time.monotonic() - last_used > self.linger_s and self._end(client):
                return

    def _in_use(self, client: MongoClient[dict[str, Any]]) -> bool:
        try:
            with pymongo.timeout(PROBE_S):
                status = client.admin.command("serverStatus")
        except PyMongoError:
            return True  # unknown: keep it
        return int(status["connections"]["current"]) > KEEPER_CONNECTIONS

    def _end_orphan(self) -> None:
        """A server whose keeper was killed, perhaps before it could tell of it, still holds the files: end it first."""
        if sys.platform == "win32":
            return  # nothing tells who holds them
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            holder, deadline = _holder(self.data_dir), time.monotonic() + 10
            if holder:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(holder, signal_number)
            while holder and _holder(self.data_dir) == holder and time.monotonic() < deadline:
                time.sleep(0.05)

    def _start(self) -> None:
        """Start the server, at its last port if that is free: clients that are connected find it again.

        Tried anew for a while: the port that is free now may be taken in a moment.
        """
        state = _read_state(self.data_dir)
        wanted = self.port or (state["port"] if state else 0)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            self._end_orphan()
            self.port = _free_port(wanted)
            self.server = self._launch()
            while self.server.poll() is None and time.monotonic() < deadline:
                if _server_pid(self.port) == self.server.pid:
                    _write_state(self.data_dir, self.port, self.server.pid)
                    return
                time.sleep(0.05)
            self.server.kill()
            self.server.wait()
            time.sleep(POLL_S)
        raise SystemExit(1)  # the log says why; whoever waits for us says where it is

    def _launch(self) -> subprocess.Popen[bytes]:
        config = self.data_dir / "secantusd.toml"  # its own, so that no other one on this machine is picked up
        config.write_text("")
        script = shutil.which("secantusd-py", path=str(Path(sys.executable).parent))
        command = [script] if script else [sys.executable, "-P", "-m", "secantus"]
        command += ["--config", str(config), "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--storage-path", str(self.data_dir / "mongo"), "--log-level", "WARNING"]
        with _log(self.data_dir) as log:
            return subprocess.Popen(  # noqa: S603 - a fixed command
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.data_dir
            )

    def _end(self, client: MongoClient[dict[str, Any]]) -> bool:
        """End the server unless somebody has just joined."""
        with FileLock(self.data_dir / "embedded.lock", mode=0o600):
            joined_ago = time.time() - (self.data_dir / "embedded.json").stat().st_mtime
            if joined_ago < self.linger_s or self._in_use(client):
                return False
            client.close()
            self.server.terminate()
            try:
                self.server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
            return True


def _free_port(wanted: int) -> int:
    """The wanted port, else one below those that the system gives to connections: the next start finds it free, too."""
    others = SystemRandom().sample(range(20_000, 32_000), 20)
    for port in [*([wanted] if wanted else []), *others, 0]:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise SystemExit(1)


def keep(data_dir: Path, linger_s: float) -> None:
    """Be the keeper of `data_dir`; return at once when there is one.

    What it and the server write is their user's alone, also in a folder that others may enter.
    """
    os.umask(0o077)
    for path in (data_dir / "mongo", *(data_dir / "mongo").rglob("*"), *data_dir.glob("embedded.*")):
        with contextlib.suppress(OSError):  # made by an older version, or gone by now
            if path.exists() and not path.is_symlink():
                path.chmod(0o700 if path.is_dir() else 0o600)
    with contextlib.suppress(Timeout), FileLock(data_dir / "keeper.lock", timeout=0, mode=0o600):
        keeper = _Keeper(data_dir, linger_s)
        try:
            keeper.run()
        except OSError:  # the folder is gone, and its files with it: nobody will need that server
            keeper.server.kill()
            raise


if __name__ == "__main__":
    keep(Path(sys.argv[1]), float(sys.argv[2]))
