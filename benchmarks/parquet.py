"""Reports from an archive's Parquet files, beside a hand-written DuckDB query over the same files.

    python -m benchmarks.parquet [SESSIONS …]

Sessions of 25 events with texts (benchmarks/reading.py) are archived once per size, which takes longer than all else;
every line is then a process of its own: its seconds (the best of three, without start and imports), nanoseconds an
event, and its peak memory, imports included. The DuckDB query answers the easier question: earliest step after
earliest step, no re-entry, no ties, no cleaning, no intervals. It may use all cores, as it does by default.
Point numbers are engagement without resampling: values, Welch's intervals and tests of every session metric.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson

from benchmarks.funnel import memory_mb
from benchmarks.reading import session
from llmtrack.store.archive.folder import open_folder
from llmtrack.store.archive.manifest import Manifest
from llmtrack.store.archive.part import Writer
from llmtrack.store.database.codec import COLUMNS

SIZES = (4_000, 40_000, 400_000)
GROUP = 4_000  # sessions of a row group, as many as archive makes of documents of this size
PART = 15 * GROUP
STEPS = ("prompt", "model_response", "copy")
DAY_US = 24 * 60 * 60 * 1_000_000

SQL = f"""
with e as (select session_id, model_group, unnest(events) as e from read_parquet('{{files}}')),
s as (select session_id, model_group, e.t as t, e.type as type from e where e.type in {STEPS}),
a as (select session_id, any_value(model_group) as model_group, min(t) as t1 from s where type = 'prompt' group by 1),
b as (select session_id, any_value(t1) as start, min(t) as t2 from a join s using (session_id)
      where type = 'model_response' and t > t1 and t <= t1 + to_microseconds({DAY_US}) group by 1),
c as (select session_id, min(t) as t3 from b join s using (session_id)
      where type = 'copy' and t > t2 and t <= start + to_microseconds({DAY_US}) group by 1)
select model_group, count(a.t1), count(t2), count(t3)
from a left join b using (session_id) left join c using (session_id) group by 1 order by 1
"""


def write(path: Path, sessions: int) -> None:
    """An archive of so many sessions."""
    rng, now = random.Random(1), datetime.now(UTC)
    path.mkdir()
    folder = open_folder(str(path))
    manifest = Manifest(folder)
    manifest.begin(now)
    for first in range(0, sessions, PART):
        end = min(first + PART, sessions)
        writer = Writer(folder, f"month=2026-09/part-{first}.parquet")
        for begin in range(first, end, GROUP):
            raws = [bson.encode(session(rng, number)) for number in range(begin, min(begin + GROUP, end))]
            writer.add([bson.decode(raw, COLUMNS) for raw in raws], raws)
        manifest.add({"record": "part", **asdict(writer.finish()), "keep": True, "drops": []}, now)


def funnel(path: str) -> Any:
    import llmtrack

    return llmtrack.funnel(llmtrack.open(path), STEPS)


def points(path: str) -> Any:
    import llmtrack
    from llmtrack.analysis.experiment.report import engagement
    from llmtrack.analysis.frames import table as as_table
    from llmtrack.analysis.interaction import Interaction, summary
    from llmtrack.session.cleaning.clean import join

    opened = llmtrack.open(path)
    table = as_table(Interaction(join([*opened.cleaned(summary.FIELDS)])).summary())
    return engagement(table, primary=["prompts_per_session"], permutations=0)


def with_texts(path: str) -> Any:
    import llmtrack

    return llmtrack.engagement(llmtrack.open(path))


def duck(path: str) -> Any:
    import duckdb

    return duckdb.sql(SQL.format(files=f"{path}/month=*/part-*.parquet")).fetchall()


TOOLS: dict[str, Callable[[str], Any]] = {
    "duckdb funnel": duck,
    "llmtrack funnel": funnel,
    "engagement, point numbers": points,
    "engagement, all of it": with_texts,
}
LONG = ("engagement, all of it",)  # measured once


def one(tool: str, path: str) -> None:
    """Print the seconds of the best run and the peak memory in MB."""
    if tool not in LONG:
        TOOLS[tool](path)  # imports, and the files in the system's cache
    times = []
    for _ in range(1 if tool in LONG else 3):
        began = time.perf_counter()
        TOOLS[tool](path)
        times.append(time.perf_counter() - began)
    print(min(times), memory_mb("VmHWM"))


def main(sizes: list[int]) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        for size in sizes:
            began = time.perf_counter()
            path = Path(name) / str(size)
            write(path, size)
            total = sum(file.stat().st_size for file in path.rglob("*.parquet"))
            made = time.perf_counter() - began
            print(f"\n{size:,} sessions, {size * 25:,} events, {total / 1e6:.0f} MB of Parquet (made in {made:.0f} s)")
            print(f"{'':28}{'seconds':>9}{'ns/event':>10}{'x duckdb':>10}{'peak MB':>9}")
            floor = None
            for tool in TOOLS:
                call = [sys.executable, "-m", "benchmarks.parquet", "--one", tool, str(path)]
                told = subprocess.run(call, capture_output=True, text=True, check=True).stdout.split()
                seconds, memory = map(float, told)
                floor = floor or seconds
                ratio = f"{seconds / floor:>10.2f}" if "funnel" in tool else " " * 10
                print(f"{tool:28}{seconds:>9.3f}{seconds / size / 25 * 1e9:>10.0f}{ratio}{memory:>9,.0f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], sys.argv[3])
    else:
        main([int(each) for each in sys.argv[1:]] or list(SIZES))
