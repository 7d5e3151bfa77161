"""What a command imports decides how long it takes to start: the heavy libraries of each are listed here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmtrack.cli import COMMANDS
from llmtrack.sample import sessions
from tests.cli.commands.reports.reading import as_jsonl

HEAVY = (
    "flask", "granian", "numpy.ma", "openai", "pandas", "pyarrow", "pydantic", "scipy", "textual",
)  # fmt: skip
SCRIPT = f"""
import json, sys
from llmtrack.cli import main
try:
    main(json.loads(sys.argv[1]))
finally:
    print(json.dumps(sorted(set({HEAVY}) & set(sys.modules))), file=sys.stderr)
"""
READ, STORE = ["--source", "sessions.jsonl"], ["--database", "URI"]
TABLES = ["numpy.ma", "pandas", "pyarrow", "scipy"]
RUNS: dict[str, tuple[list[str], list[str]]] = {  # words, and what is imported at most
    "sessions": (["sessions", *READ], []),
    "replay": (["replay", "last", *READ], []),
    "import": (["import", "sessions.jsonl", "--dry-run", "--to", "URI"], []),
    "forget": (["forget", "nobody", "--dry-run", *STORE], ["pyarrow"]),
    "archive": (["archive", "--older-than", "90d", "--to", "archive", "--dry-run", *STORE], ["pyarrow", "pydantic"]),
    "doctor": (["doctor", "--url", "http://127.0.0.1:9"], []),
    "funnel": (["funnel", *READ], TABLES),
    "engagement": (["engagement", *READ], TABLES),
    "queries": (["queries", *READ], TABLES),
    "dropoff": (["dropoff", *READ], TABLES),
    "chats": (["chats", *READ], TABLES),
    "health": (["health", *READ], TABLES),
    "export": (["export", "sessions", *READ], ["pydantic", *TABLES]),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_command_imports_no_more_than_it_needs(name: str, mongodb_uri: str, tmp_path: Path) -> None:
    as_jsonl(tmp_path / "sessions.jsonl", sessions(now=datetime.now(UTC), users=5))
    words, allowed = RUNS[name]
    words = [mongodb_uri if word == "URI" else word for word in words]
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(words)],
        capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
        env={**os.environ, "MONGODB_URI": mongodb_uri},
    )  # fmt: skip
    imported = json.loads(ran.stderr.splitlines()[-1])
    assert set(imported) <= set(allowed), ran.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_help_imports_nothing_heavy(name: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([name, "--help"])],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert json.loads(ran.stderr.splitlines()[-1]) == []
