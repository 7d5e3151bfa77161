"""How long `llmtrack --help` takes, beside the floor: Python importing typer and rich."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "llmtrack --help": [sys.executable, "-m", "llmtrack", "--help"],
    'python -c "import typer, rich"': [sys.executable, "-c", "import typer, rich"],
}
ROUNDS = 15


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):  # in turn, so that a slow moment of the machine hits both
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    for name, taken in times.items():
        print(f"{name:34} median {statistics.median(taken) * 1000:6.0f} ms   of {ROUNDS}")
    ratio = statistics.median(a / b for a, b in zip(*times.values(), strict=True))
    print(f"{'ratio':34} median {ratio:6.2f}      target at most 1.5")


if __name__ == "__main__":
    main()
