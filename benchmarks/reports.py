"""Reports from start to table and export, beside floors and a plain analyst's script, on the same sessions.

    python -m benchmarks.reports [SESSIONS]

Sessions of 25 events with texts (benchmarks/reading.py), as BSON. Every line is a process of its own: its seconds (the
best of three) and its peak memory. The plain script is what an analyst writes first: bson.decode_all, json_normalize,
groupby; it knows no ties, no windows, no cleaning and no intervals. Set RETENTIONEERING_PYTHON to a Python that has
retentioneering 5 to see it too: it reads a flat CSV of three columns (exported beforehand), not the sessions.
"""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import bson

from benchmarks.reading import session

SMALL = 2_000
ROUNDS = 3
FORMATS = ("csv", "jsonl", "parquet")

FLOOR = """
import bson, sys
for document in bson.decode_iter(open(sys.argv[1], "rb").read()):
    pass
"""
PLAIN_FUNNEL = """
import sys
import bson, pandas as pd
events = pd.json_normalize(bson.decode_all(open(sys.argv[1], "rb").read()), "events", ["session_id", "model_group"])
at = events[events["type"] == "prompt"].groupby("session_id")["t"].min()
reached = [at]
for kind in ("model_response", "copy"):
    later = events[events["type"] == kind]
    at = later[later["t"] > later["session_id"].map(at)].groupby("session_id")["t"].min()
    reached.append(at)
groups = events.drop_duplicates("session_id").set_index("session_id")["model_group"]
print(pd.concat([groups[each.index].value_counts() for each in reached], axis=1))
"""
PLAIN_MEANS = """
import sys
import bson, pandas as pd
events = pd.json_normalize(bson.decode_all(open(sys.argv[1], "rb").read()), "events", ["session_id", "model_group"])
counts = events.groupby(["model_group", "session_id", "type"]).size().unstack(fill_value=0)
print(counts.groupby("model_group").mean())
print(events.groupby("model_group")["data.latency_ms"].quantile([0.5, 0.95]))
"""
PLAIN_EXPORT = """
import sys
import bson, pandas as pd
events = pd.json_normalize(bson.decode_all(open(sys.argv[1], "rb").read()), "events", ["session_id", "model_group"])
events.to_csv(sys.argv[2], index=False)
"""
RETENTIONEERING = """
import sys
import pandas as pd
from retentioneering import Eventstream
events = pd.read_csv(sys.argv[1])
roles = {"path_cols": ["session_id"], "event_col": "type", "timestamp_col": "time"}
print(Eventstream(events, schema=roles).funnel_data(steps=["prompt", "model_response", "copy"]))
"""


def write(path: Path, sessions: int) -> None:
    rng = random.Random(1)
    with path.open("wb") as file:
        for number in range(sessions):
            file.write(bson.encode(session(rng, number)))


def llmtrack(*words: str) -> list[str]:
    return [sys.executable, "-m", "llmtrack", *words, "--quiet"]


def exported(source: str, target: str) -> list[str]:
    return llmtrack("export", "events", "--source", source, "--force", "--out", target)


def lines(source: Path, folder: Path) -> dict[str, list[tuple[str, list[str]]]]:
    """Tables of commands; the first of each is what the others are measured by."""
    file = str(source)
    python = [sys.executable, "-c"]
    steps = ["--step", "prompt", "--step", "model_response", "--step", "copy"]
    peers = []
    if named := os.environ.get("RETENTIONEERING_PYTHON"):
        flat = str(folder / "flat.csv")
        subprocess.run([*exported(file, flat), "--columns", "session_id,type,time"], check=True)
        peers.append(("retentioneering, flat CSV", [named, "-c", RETENTIONEERING, flat]))
    return {
        "funnel": [
            ("plain script", [*python, PLAIN_FUNNEL, file]),
            ("decode, keep nothing", [*python, FLOOR, file]),
            *peers,
            ("llmtrack funnel", llmtrack("funnel", "--source", file, *steps)),
        ],
        "engagement": [
            ("plain script (means only)", [*python, PLAIN_MEANS, file]),
            ("llmtrack engagement", llmtrack("engagement", "--source", file)),
        ],
        "export events": [
            ("plain script to CSV", [*python, PLAIN_EXPORT, file, str(folder / "plain.csv")]),
            *((f"llmtrack to {name.upper()}", exported(file, str(folder / f"events.{name}"))) for name in FORMATS),
        ],
    }  # fmt: skip


def measured(command: list[str], rounds: int = ROUNDS) -> tuple[float, float]:
    """Seconds (the best) and peak memory (MB) of a command."""
    found = []
    for _ in range(rounds):
        call = [sys.executable, "-m", "benchmarks.reports", "--one", *command]
        told = subprocess.run(call, capture_output=True, text=True, check=True).stdout.split()[-2:]
        found.append((float(told[0]), float(told[1])))
    return min(found)


def one(command: list[str]) -> None:
    began = time.perf_counter()
    quiet = {**os.environ, "RETENTIONEERING_NO_TRACK": "1"}  # else it reports to its makers
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=quiet)
    took = time.perf_counter() - began
    print(took, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)


def table(title: str, rows: list[tuple[str, list[str]]]) -> None:
    print(f"\n{title:<30} {'seconds':>8} {'ratio':>6} {'peak MB':>8}")
    first: Any = None
    for name, command in rows:
        seconds, memory = measured(command)
        first = first or seconds
        print(f"{name:<30} {seconds:>8.2f} {seconds / first:>6.2f} {memory:>8.0f}", flush=True)


def main(sessions: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, large = folder / "small.bson", folder / "large.bson"
        write(small, SMALL)
        write(large, sessions)
        start = [
            ('python -c "import pandas"', [sys.executable, "-c", "import pandas"]),
            (f"funnel over {SMALL:,} sessions", llmtrack("funnel", "--source", str(small))),
        ]
        table("start to table (goal: 2.5)", start)
        print(f"\n{sessions:,} sessions, {sessions * 25:,} events, {large.stat().st_size / 1e6:.0f} MB of BSON")
        for title, rows in lines(large, folder).items():
            table(title, rows)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2:])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
