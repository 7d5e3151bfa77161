"""What the tests of the reports share: sample sessions in every kind of source, and commands run in this process."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import bson

from llmtrack.cli import main
from llmtrack.sample import visits as sample
from llmtrack.session.jsonable import jsonable

Document = dict[str, Any]


class Ran(NamedTuple):
    """What a command printed, and how it ended."""

    out: str
    err: str
    code: int


def run(*words: str) -> Ran:
    """Run the command line as a pipe sees it."""
    out, err = io.StringIO(), io.StringIO()
    code: object = None
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(list(words))
        except SystemExit as ended:
            code = ended.code
    return Ran(out.getvalue(), err.getvalue(), code if isinstance(code, int) else 0)


def samples(users: int = 200) -> list[Document]:
    """Sample sessions of the last weeks."""
    return list(sample.sessions(now=datetime.now(UTC), users=users))


def as_jsonl(path: Path, documents: Iterable[Document]) -> str:
    """The documents as a JSONL file; its name."""
    path.write_text("".join(json.dumps(jsonable(document)) + "\n" for document in documents))
    return str(path)


def as_bson(path: Path, documents: Iterable[Document]) -> str:
    """The documents as a mongodump file; its name."""
    path.write_bytes(b"".join(map(bson.encode, documents)))
    return str(path)


def plain(documents: Iterable[Document]) -> list[Document]:
    """Those that need no cleaning, so that a script of ten lines can count them."""
    return [document for document in documents if _is_plain(document)]


def _is_plain(document: Document) -> bool:
    start, end, events = document["start_time"], document["end_time"], document["events"]
    if not (isinstance(start, datetime) and isinstance(end, datetime) and "environment" in document and events):
        return False
    times = [event["t"] for event in events]
    numbers = [event["n"] for event in events if "n" in event]
    distinct = len({json.dumps(event, sort_keys=True) for event in events}) == len(events)
    near = abs(times[0] - start.timestamp() * 1000) < 60_000 and times[-1] <= end.timestamp() * 1000 + 60_000
    return (
        times == sorted(times)
        and all(isinstance(t, int) for t in times)
        and numbers == [*range(1, len(numbers) + 1)]
        and distinct
        and near
    )


def terminal(monkeypatch: Any, width: int) -> None:
    """Pretend that stdout is a terminal of this width."""
    for name, value in (("COLUMNS", str(width)), ("TERM", "xterm"), ("FORCE_COLOR", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)


def bare(text: str) -> list[str]:
    """The lines of a terminal without colours and trailing space."""
    return [row.rstrip() for row in re.sub("\x1b\\[[0-9;]*m", "", text).splitlines()]
