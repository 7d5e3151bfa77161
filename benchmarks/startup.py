"""How much processor time a command takes to start and answer, beside the floors: what it imports at least.

`llmtrack replay` and its like are typed by people: they should cost little more than `import typer, rich, pymongo`.
Processor time, not the clock, so that a busy machine changes little; in turn, so that a slow moment hits all alike.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from llmtrack.sample import visits as sample
from llmtrack.session.jsonable import jsonable

ROUNDS = 3
USERS = 200
FLOOR, PANDAS = "import typer, rich, pymongo", "import pandas"
SOURCE = "sessions.jsonl"
COMMANDS: dict[str, tuple[list[str], str, float | None]] = {  # words, beside which floor, the goal
    "--help": (["--help"], "import typer, rich", 1.5),
    "replay ID": (["replay", "ID", "--instant"], FLOOR, 1.6),
    "sessions": (["sessions"], FLOOR, 2.5),
    "doctor": (["doctor", "--help"], FLOOR, None),
    "import": (["import", SOURCE, "--dry-run"], FLOOR, None),
    "export": (["export", "turns", "--source", SOURCE], PANDAS, None),
    "funnel": (["funnel"], PANDAS, 1.6),
    "engagement": (["engagement"], PANDAS, None),
    "queries": (["queries"], PANDAS, None),
    "dropoff": (["dropoff"], PANDAS, None),
    "chats": (["chats"], PANDAS, None),
    "health": (["health"], PANDAS, None),
}


def seconds(command: list[str], folder: str) -> float:
    """Processor time of a command, with what it starts and waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=False, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def commands(session_id: str) -> dict[str, list[str]]:
    """What is measured, floors first."""
    floors = {each for _, each, _ in COMMANDS.values()}
    found = {each: [sys.executable, "-c", each] for each in sorted(floors)}
    for name, (words, _, _) in COMMANDS.items():
        found[name] = [sys.executable, "-m", "llmtrack", *(session_id if word == "ID" else word for word in words)]
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LLMTRACK_DATA_DIR"] = folder  # a server of its own, which ends after the last command
        documents = list(sample.sessions(now=datetime.now(UTC), users=USERS))
        text = "".join(json.dumps(jsonable(document)) + "\n" for document in documents)
        (Path(folder) / SOURCE).write_text(text, encoding="utf-8")
        llmtrack = [sys.executable, "-m", "llmtrack"]
        subprocess.run([*llmtrack, "import", SOURCE, "-q"], check=False, cwd=folder, stdout=subprocess.DEVNULL)
        taken: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for name, command in commands(str(documents[0]["session_id"])).items():
                taken.setdefault(name, []).append(seconds(command, folder))
    usual = {name: statistics.median(times) for name, times in taken.items()}
    print(f"{len(documents):,} sessions; processor time, median of {ROUNDS}")
    for name, spent in usual.items():
        ratio = ""
        if name in COMMANDS:
            _, floor, goal = COMMANDS[name]
            ratio = f"{spent / usual[floor]:5.2f} x {floor}" + (f"   goal {goal}" if goal else "")
        print(f"{name:32} {spent * 1000:6.0f} ms   {ratio}")


if __name__ == "__main__":
    main()
