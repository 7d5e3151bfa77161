"""How much processor time a command takes to start and answer, beside the floors: what it imports at least.

`llmtrack replay` and its like are typed by people: they should cost little more than `import typer, rich, pymongo`.
Processor time, not the clock, so that a busy machine changes little; in turn, so that a slow moment hits all alike.
Modules are compiled before, as they are for whoever has called llmtrack once. It ends within two minutes.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from llmtrack.config import load_settings
from llmtrack.sample import visits as sample
from llmtrack.session.jsonable import jsonable
from llmtrack.store.database import embedded

ROUNDS, BUDGET_S = 5, 80  # no round begins that would end later than this
USERS = 200
FLOOR, PANDAS = "import typer, rich, pymongo", "import pandas"
FIND = "pymongo.MongoClient({uri!r}).llm_experiment.sessions.find_one({{'session_id': {session_id!r}}})"
SOURCE = "sessions.jsonl"
COMMANDS: dict[str, tuple[list[str], str, float | None]] = {  # words, beside which floor, the goal
    "--help": (["--help"], "import typer, rich", 1.5),
    "replay ID": (["replay", "ID", "--instant"], FLOOR, 1.6),
    "replay last": (["replay", "last", "--instant"], FLOOR, 1.6),
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


def commands(session_id: str, uri: str) -> dict[str, list[str]]:
    """What is measured, floors first: what is imported at least, and what one find and numpy cost besides."""
    floors = {each for _, each, _ in COMMANDS.values()}
    found = {each: [sys.executable, "-c", each] for each in sorted(floors)}
    found["… and a find"] = [sys.executable, "-c", f"{FLOOR}; {FIND.format(uri=uri, session_id=session_id)}"]
    found["… and numpy, rich.console"] = [sys.executable, "-c", f"{FLOOR}, numpy, rich.console"]
    for name, (words, _, _) in COMMANDS.items():
        found[name] = [sys.executable, "-m", "llmtrack", *(session_id if word == "ID" else word for word in words)]
    return found


def measured(session_id: str, uri: str, folder: str) -> dict[str, list[float]]:
    """Processor times of all, round by round, as far as the budget reaches."""
    taken: dict[str, list[float]] = {}
    began = time.monotonic()
    for done in range(1, ROUNDS + 1):
        for name, command in commands(session_id, uri).items():
            taken.setdefault(name, []).append(seconds(command, folder))
        if (time.monotonic() - began) * (done + 1) / done > BUDGET_S:
            break
    return taken


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LLMTRACK_DATA_DIR"] = folder  # a server of its own, which ends after the last command
        os.environ.pop("MONGODB_URI", None)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        documents = list(sample.sessions(now=datetime.now(UTC), users=USERS))
        text = "".join(json.dumps(jsonable(document)) + "\n" for document in documents)
        (Path(folder) / SOURCE).write_text(text, encoding="utf-8")
        llmtrack = [sys.executable, "-m", "llmtrack"]
        subprocess.run([*llmtrack, "import", SOURCE, "-q"], check=False, cwd=folder, stdout=subprocess.DEVNULL)
        subprocess.run([*llmtrack, "health", "-q"], check=False, cwd=folder, stdout=subprocess.DEVNULL)  # compiles
        settings = load_settings()
        uri = embedded.ensure(settings.data_dir, settings.embedded_linger_s)
        taken = measured(str(documents[0]["session_id"]), uri, folder)
    usual = {name: statistics.median(times) for name, times in taken.items()}
    print(f"{len(documents):,} sessions; processor time, median of {len(taken[FLOOR])}")
    for name, spent in usual.items():
        ratio = ""
        if name in COMMANDS:
            _, floor, goal = COMMANDS[name]
            ratio = f"{spent / usual[floor]:5.2f} x {floor}" + (f"   goal {goal}" if goal else "")
        print(f"{name:32} {spent * 1000:6.0f} ms   {ratio}")


if __name__ == "__main__":
    main()
