"""Bytes of the tracker as it is served, gzipped."""

from __future__ import annotations

import gzip
from pathlib import Path

import llmtrack

LIMIT = 7 * 1024


def main() -> None:
    source = (Path(llmtrack.__file__).parent / "web" / "tracker.js").read_bytes()
    print(f"tracker.js       {len(source):6} bytes, {len(gzip.compress(source, 6)):5} gzipped, target at most {LIMIT}")


if __name__ == "__main__":
    main()
