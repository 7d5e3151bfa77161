"""A process that runs archive, restore or forget in children of its own and kills them at a step.

It reads one JSON line a run: {"uri", "folder", "what", "kill_at": number or name of a step, or null, "kill_after":
seconds or null} and answers with {"steps": [names up to the end or the kill], "killed": bool}. Importing once makes a
run quick.
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


def child(job: dict[str, Any], pipe: int) -> None:
    from llmtrack.store.archive.folder import open_folder
    from llmtrack.store.archive.forget import forget
    from llmtrack.store.archive.move import run
    from llmtrack.store.database.sessions import Store
    from tests.store.archive.world import small

    steps = 0

    def step(name: str) -> None:
        nonlocal steps
        steps += 1
        os.write(pipe, f"{name}\n".encode())
        if job["kill_at"] in (steps, name):
            os.kill(os.getpid(), signal.SIGKILL)

    folder = open_folder(job["folder"])
    with Store(job["uri"]) as store:
        if job["what"] == "archive":
            run(store, folder, small(lease_s=0.2), step=step)
        else:
            forget(store, job["what"], [], step=step, lease_s=0.2)


def main() -> None:
    import bson.raw_bson
    import pyarrow.parquet
    import pymongo

    import llmtrack.store.archive.forget
    import tests.store.archive.world

    _ = bson.raw_bson, pyarrow.parquet, pymongo, llmtrack.store.archive.forget, tests.store.archive.world
    for line in sys.stdin:
        job = json.loads(line)
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            child(job, write)
            os._exit(0)
        os.close(write)
        if job.get("kill_after") is not None:
            time.sleep(job["kill_after"])
            os.kill(pid, signal.SIGKILL)
        with open(read) as pipe:
            steps = pipe.read().split("\n")[:-1]
        _, status = os.waitpid(pid, 0)
        killed = os.WIFSIGNALED(status)
        ok = killed or os.WEXITSTATUS(status) == 0
        print(json.dumps({"steps": steps, "killed": killed, "ok": ok}), flush=True)


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

    def run(self, uri: str, folder: Path, what: str, **job: Any) -> dict[str, Any]:
        """Run one job; see above."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = {"uri": uri, "folder": str(folder), "what": what, "kill_at": None, **job}
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert answer["ok"], answer
        return answer


if __name__ == "__main__":
    main()
