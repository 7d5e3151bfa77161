"""llmtrack as its users run it: processes of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO


def llmtrack(*words: str, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "llmtrack", *words]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env={**os.environ, **environment}, check=False
    )


class Serving:
    """`llmtrack serve` on a port of its own; can be killed and started again."""

    def __init__(self, folder: Path, stderr: IO[str] | int = subprocess.DEVNULL, **environment: str) -> None:
        self.folder, self.stderr = folder, stderr
        self.environment = {**os.environ, **environment}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "llmtrack", "serve", "--port", str(self.port), "--workers", "1"]
        self.process = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stderr=self.stderr, start_new_session=True
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
def serving(folder: Path, stderr: IO[str] | int = subprocess.DEVNULL, **environment: str) -> Iterator[Serving]:
    """A running collector, until the block ends."""
    server = Serving(folder, stderr, **environment)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
