"""What the server's log looks like: a line for people, or a JSON object a line for whatever collects logs.

Written by the standard logging library, all of it to stderr. No line holds a text, a token, a cookie, a query string
or the id of a user: a traceback names the places and the types of what was raised, and not the values.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from llmtrack.config import LogFormat, Settings

REQUEST_ID: ContextVar[str] = ContextVar("llmtrack_request_id", default="")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def format_of(settings: Settings) -> LogFormat:
    """The format that is configured; else for people on a terminal, JSON everywhere else."""
    return settings.log_format or ("human" if sys.stderr.isatty() else "json")


def configuration(format: LogFormat, *, quiet: bool = False) -> dict[str, Any]:
    """For logging.config.dictConfig, in every process of the server. `quiet`: warnings only, no line a request."""
    made = {"human": "llmtrack.collector.telemetry.logs.Human", "json": "llmtrack.collector.telemetry.logs.JsonLines"}[
        format
    ]
    to_stderr = {"handlers": ["stderr"], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": made}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
        "loggers": {
            "llmtrack": {**to_stderr, "level": "WARNING" if quiet else "INFO"},
            "_granian": to_stderr,  # the level of granian's own is granian's to set
            "granian.access": {"handlers": [], "propagate": False},
        },
    }


class Human(logging.Formatter):
    """`20:15:03 INFO    POST /query 200 812 ms, 60 B in, 1,204 B out [3f2a…]`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a traceback below when there is one."""
        at = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")  # of this machine
        message = _CONTROL.sub(" ", message_of(record))
        of = f" [{REQUEST_ID.get()}]" if REQUEST_ID.get() else ""
        return "\n".join([f"{at} {record.levelname:7} {message}{of}", *where(record)])


class JsonLines(logging.Formatter):
    """An object a line: time (UTC), level, message, request_id, what a request line adds, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object without a line break."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": at, "level": record.levelname.lower(), "message": message_of(record)}
        if REQUEST_ID.get():
            line["request_id"] = REQUEST_ID.get()
        line.update(getattr(record, "request", {}))
        if frames := where(record):
            line["traceback"] = frames
        return json.dumps(line)


def message_of(record: logging.LogRecord) -> str:
    """The first line of what is said: what follows in a message of granian's is a traceback with its values."""
    return record.getMessage().partition("\n")[0]


def where(record: logging.LogRecord) -> list[str]:
    """The record's traceback as lines: places and types of all that was raised, the cause first."""
    raised = record.exc_info[1] if record.exc_info else None
    lines: list[str] = []
    seen: set[int] = set()
    while raised is not None and id(raised) not in seen:
        seen.add(id(raised))
        frames = traceback.extract_tb(raised.__traceback__)
        places = [f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}' for frame in frames]
        lines = [*places, type(raised).__name__, *lines]
        raised = raised.__cause__ or (None if raised.__suppress_context__ else raised.__context__)
    return lines
