"""The tests of store, sources, collector and archive on another server of MongoDB's protocol: `make test-servers`.

mongo-java-server comes from Maven Central; KNOWN are the tests that cannot pass there, and docs/servers.md says why.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
JARS = Path(".venv/servers/mongo-java-server").absolute()
TESTS = ("tests/store", "tests/collector")
KNOWN = (HERE / "known.txt").read_text().split()


@contextmanager
def running() -> Iterator[str]:
    """The address of the server, which ends with its standard input."""
    if not (shutil.which("mvn") and shutil.which("javac")):
        sys.exit("mongo-java-server needs Maven and a JDK: apt-get install -y maven default-jdk-headless")
    if not JARS.is_dir():
        copy = ["dependency:copy-dependencies", f"-DoutputDirectory={JARS}"]
        subprocess.run(["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), *copy], check=True)
    command = ["java", "-Xmx512m", "-cp", f"{JARS}/*", str(HERE / "Serve.java")]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield next(line.strip() for line in server.stdout if line.startswith("mongodb://"))
    finally:
        server.stdin.close()
        server.wait(timeout=30)


def main(tests: list[str]) -> int:
    """Run these tests (all that touch a server); 0 when none fails but those that are known to."""
    with running() as uri:
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-rfE", *(tests or TESTS)]
        told = {**os.environ, "LLMTRACK_TEST_MONGODB_URI": uri}
        with subprocess.Popen(command, env=told, stdout=subprocess.PIPE, text=True) as ran:
            assert ran.stdout is not None
            lines = [_shown(line) for line in ran.stdout]
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", "".join(lines), re.MULTILINE)
    strange = sorted(test for test in failed if not test.startswith(tuple(KNOWN)))
    print(*(f"fails, and is not known to: {test}" for test in strange), sep="\n")
    return 1 if strange or ran.returncode not in (0, 1) else 0


def _shown(line: str) -> str:
    print(line, end="", flush=True)  # as it comes: a run of some minutes is no riddle
    return line


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
