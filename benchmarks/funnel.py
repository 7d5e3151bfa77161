"""What a funnel costs per event, beside a plain pandas script and DuckDB on the same frames.

    python -m benchmarks.funnel [EVENTS …]

Each size runs in a process of its own, so that its peak memory is its own; the time is that of the funnel alone, the
best of three. The frames are synthetic: 25 events a session, as a tracker writes them (mostly scrolls and clicks).
pandas and DuckDB answer the easier question: earliest step after earliest step, no re-entry, no ties, no intervals.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from llmtrack.analysis.frames import Frames
from llmtrack.analysis.funnel.report import Funnel
from llmtrack.analysis.report import ReportSettings
from llmtrack.session.cleaning.clean import Cleaned

SIZES = (100_000, 1_000_000, 10_000_000)
PER_SESSION = 25
TYPES = ["scroll", "click", "activity", "prompt", "model_response", "selection", "copy", "new_chat"]
SHARES = [0.5, 0.14, 0.08, 0.1, 0.1, 0.04, 0.03, 0.01]
STEPS = ("prompt", "model_response", "copy", "again=prompt")
WINDOW_S = 24 * 60 * 60.0

SQL = """
with a as (select session, min(t) as t1 from events where type = 'prompt' group by session),
b as (select session, any_value(t1) as start, min(t) as t2 from a join events using (session)
      where type = 'model_response' and t > t1 and t <= t1 + {w} group by session),
c as (select session, any_value(start) as start, min(t) as t3 from b join events using (session)
      where type = 'copy' and t > t2 and t <= start + {w} group by session),
d as (select session, min(t) as t4 from c join events using (session)
      where type = 'prompt' and t > t3 and t <= start + {w} group by session)
select model_group, count(t1), count(t2), count(t3), count(t4)
from sessions left join a using (session) left join b using (session) left join c using (session)
left join d using (session) group by model_group
"""


def synthetic(n_events: int) -> Frames:
    rng = np.random.default_rng(1)
    n = n_events // PER_SESSION
    start = 1.7e12 + np.sort(rng.integers(0, 30 * 86_400_000, n)).astype(np.float64)
    users = max(1, n // 4)
    user = rng.integers(0, users, n)
    names = pd.Series([f"user-{i}" for i in range(users)], dtype="str")
    sessions = pd.DataFrame(
        {
            "session_id": pd.Series([f"user_{u}_{i}" for i, u in enumerate(user.tolist())], dtype="str"),
            "user_id": names.take(user).reset_index(drop=True),
            "model_group": pd.Series(["A", "B"], dtype="str").take(user % 2).reset_index(drop=True),
            "experiment_id": "e",
            **dict.fromkeys(["device", "browser", "os"], "unknown"),
            "start_ms": start,
        }
    )
    session = np.repeat(np.arange(n), PER_SESSION)
    t = np.sort(rng.integers(0, 900_000, (n, PER_SESSION)), axis=1).ravel() + start[session]
    kinds = rng.choice(len(TYPES), size=n * PER_SESSION, p=SHARES).astype(np.int8)
    events = pd.DataFrame({"session": session, "t": t, "type": pd.Categorical.from_codes(kinds, categories=TYPES)})
    return Frames(sessions, events, {}, {})


def columns(found: Frames) -> Cleaned:
    """The same as a source delivers it."""
    events, kinds = found.events, found.events["type"].cat
    return Cleaned(
        sessions={str(key): found.sessions[key].to_numpy() for key in found.sessions},
        session=events["session"].to_numpy(),
        pos=np.arange(len(events)),
        t=events["t"].to_numpy(),
        type_codes=kinds.codes.to_numpy(),
        types=list(kinds.categories),
        data={},
        excluded={},
        repaired={},
    )


def plain(frames: Frames) -> Any:
    """What an analyst would write: the earliest event of each step after that of the step before."""
    events = frames.events
    at = events[events["type"] == "prompt"].groupby("session")["t"].min()
    reached, first = [at], at
    for step in ("model_response", "copy", "prompt"):
        later = events[events["type"] == step]
        before, start = later["session"].map(at), later["session"].map(first)
        at = later[(later["t"] > before) & (later["t"] <= start + WINDOW_S * 1000)].groupby("session")["t"].min()
        reached.append(at)
    return [frames.sessions.loc[each.index, "model_group"].value_counts() for each in reached]


def duck(frames: Frames) -> Any:
    import duckdb

    events = frames.events.assign(type=frames.events["type"].astype("str"))  # noqa: F841  (read by DuckDB)
    sessions = frames.sessions.reset_index(names="session")  # noqa: F841
    begin = time.perf_counter()
    duckdb.sql(SQL.format(w=WINDOW_S * 1000)).fetchall()
    return time.perf_counter() - begin


def counted(frames: Frames, report: Funnel) -> Any:
    cleaned = columns(frames)
    begin = time.perf_counter()
    report.finish([report.pick(cleaned)], ReportSettings(now=datetime.now(UTC)))
    return time.perf_counter() - begin


TOOLS: dict[str, Callable[[Frames], Any]] = {
    "llmtrack": lambda frames: counted(frames, Funnel(steps=STEPS, window_s=WINDOW_S)),
    "llmtrack strict": lambda frames: counted(frames, Funnel(steps=STEPS, window_s=WINDOW_S, order="strict")),
    "llmtrack unordered": lambda frames: counted(frames, Funnel(steps=STEPS, window_s=WINDOW_S, order="unordered")),
    "llmtrack users": lambda frames: counted(frames, Funnel(steps=STEPS, window_s=WINDOW_S, unit="user")),
    "pandas groupby": plain,
    "duckdb": duck,
}


def memory_mb(line: str) -> float:
    """VmRSS (now) or VmHWM (peak) of this process; Linux only."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{line}:")[2].split()[0]) / 1024


def measure(tool: str, n_events: int) -> None:
    """Print seconds and the memory that the tool needs beyond the frames (MB)."""
    frames = synthetic(n_events)
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    held, times = memory_mb("VmRSS"), []
    for _ in range(3):
        begin = time.perf_counter()
        took = TOOLS[tool](frames)
        times.append(took if isinstance(took, float) else time.perf_counter() - begin)
    print(min(times), memory_mb("VmHWM") - held)


def main(sizes: list[int]) -> None:
    print(f"{'':20}{'events':>12}{'seconds':>10}{'ns/event':>10}{'MB beyond frames':>18}")
    for tool in TOOLS:
        for size in sizes:
            call = [sys.executable, "-m", "benchmarks.funnel", "--one", tool, str(size)]
            seconds, mb = map(float, subprocess.run(call, capture_output=True, text=True, check=True).stdout.split())
            print(f"{tool:20}{size:>12,}{seconds:>10.3f}{seconds / size * 1e9:>10.0f}{mb:>18,.0f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        measure(sys.argv[2], int(sys.argv[3]))
    else:
        main([int(each) for each in sys.argv[1:]] or list(SIZES))
