"""`python -m benchmarks [NAME …]`: run all, or the named ones, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

names = sys.argv[1:] or sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
for name in names:
    print(f"\n{name}\n{'-' * len(name)}", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
