"""llmtrack as its users run it: processes of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path


def llmtrack(*words: str, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "llmtrack", *words]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env={**os.environ, **environment}, check=False
    )


class Serving:
    """`llmtrack serve` on a port of its own; can be killed and started again. Its log lies in `log`."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", workers: int = 1, **environment: str) -> None:
        self.folder, self.host, self.workers = folder, host, workers
        self.log = folder / "serve.log"
        self.environment = {**os.environ, **environment}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "llmtrack", "serve", "--host", self.host, "--port", str(self.port)]
        command += ["--workers", str(self.workers)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 40
        while not self._answers():
            assert self.process.poll() is None, "llmtrack serve ended by itself"
            assert time.monotonic() < deadline, "llmtrack serve did not start in time"
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        """SIGKILL to all its processes at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ctrl-C; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=20)


@contextlib.contextmanager
def serving(folder: Path, host: str = "127.0.0.1", workers: int = 1, **environment: str) -> Iterator[Serving]:
    """A running collector, until the block ends."""
    server = Serving(folder, host, workers, **environment)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def free_port() -> int:
    """A port below those that the system gives to connections: a server that comes back to it finds it free."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
