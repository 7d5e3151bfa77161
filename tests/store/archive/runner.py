"""A process that runs `archive` in children of its own and kills them after a while, in the middle of anything.

It reads one JSON line a run: {"uri", "folder", "kill_after": seconds} and answers with {"killed": bool, "ok": bool}.
Importing once makes a run quick.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def child(job: dict[str, Any]) -> None:
    from llmtrack.store.archive.folder import open_folder
    from llmtrack.store.archive.move import run
    from llmtrack.store.database.sessions import Store
    from tests.store.archive.world import small

    with Store(job["uri"]) as store:
        run(store, open_folder(job["folder"]), small(lease_s=0.2))


def main() -> None:
    import bson.raw_bson
    import pyarrow.parquet
    import pymongo

    import tests.store.archive.world

    _ = bson.raw_bson, pyarrow.parquet, pymongo, tests.store.archive.world
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            child(job)
            os._exit(0)
        time.sleep(job["kill_after"])
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        killed = os.WIFSIGNALED(status)
        print(json.dumps({"killed": killed, "ok": killed or os.WEXITSTATUS(status) == 0}), flush=True)


class Runner:
    """Such a process, for the length of a block."""

    def __enter__(self) -> Runner:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.store.archive.runner"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def run(self, uri: str, folder: Path, *, kill_after: float) -> dict[str, Any]:
        """Run one job; see above."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        job = {"uri": uri, "folder": str(folder), "kill_after": kill_after}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert answer["ok"], answer
        return answer


if __name__ == "__main__":
    main()
