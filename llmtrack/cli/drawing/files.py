"""How an export becomes a file: rows as text, and a file that is there whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from llmtrack.cli.drawing.formats import as_csv
from llmtrack.errors import LlmtrackError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from llmtrack.analysis.export.columns import Column

BOM = b"\xef\xbb\xbf"  # without it Excel reads a CSV file in the machine's own code page; pandas, R and DuckDB skip it


def csv_header(columns: Sequence[Column]) -> str:
    """The first line of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([column.name for column in columns])
    return text.getvalue()


def csv_rows(rows: pd.DataFrame, columns: Sequence[Column]) -> str:
    """Rows as CSV without a header, in the form that all CSV of llmtrack has (output.py)."""
    return as_csv(records(rows, columns), [column.name for column in columns]).partition("\r\n")[2]


def jsonl_rows(rows: pd.DataFrame, columns: Sequence[Column]) -> str:
    """A JSON object a line; letters that no screen shows, or that could command it, are escaped."""
    return "".join(f"{_json(row)}\n" for row in records(rows, columns))


def _json(row: dict[str, Any]) -> str:
    text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    return text if text.isprintable() else json.dumps(row, allow_nan=False)


def records(rows: pd.DataFrame, columns: Sequence[Column]) -> Iterator[dict[str, Any]]:
    """Rows as plain values: times in ISO 8601 with ms and Z, whole numbers without a point, None for missing."""
    names = [column.name for column in columns]
    for values in zip(*(_plain(rows[column.name], column.type) for column in columns), strict=True):
        yield dict(zip(names, values, strict=True))


def _plain(values: pd.Series[Any], kind: str) -> list[Any]:
    import numpy as np

    if kind == "time":
        stamps = np.datetime_as_string(values.to_numpy(dtype="datetime64[ms]"), unit="ms").tolist()
        return [None if stamp == "NaT" else f"{stamp}Z" for stamp in stamps]
    if kind == "number":
        return [None if value != value else int(value) if value.is_integer() else value for value in values.tolist()]
    return values.astype(object).where(values.notna(), None).tolist()


def check_target(path: Path, force: bool) -> None:
    """Raises UsageError when `path` cannot become a file, or is one and `force` is not given."""
    if path.exists() and not path.is_file():
        raise UsageError(f"{str(path)!r} is no file.", "Name a file with --out.")
    if path.exists() and not force:
        raise UsageError(f"{str(path)!r} is there already.", "Name another file, or replace it with --force.")


@contextmanager
def beside(path: Path, force: bool) -> Iterator[IO[bytes]]:
    """A file that becomes `path` when all went well, and leaves nothing when not.

    It is written under another name in the same folder, flushed to the disk and renamed. Raises UsageError as
    check_target does, also when `path` came into being meanwhile, and LlmtrackError when it cannot be written.
    """
    check_target(path, force)
    target = path.resolve()  # behind a link the file is replaced, not the link
    part = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        check_target(path, force)
        part.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        raise LlmtrackError(f"Cannot write {str(path)!r}: {error.strerror}.", "Name another file with --out.") from None
    finally:
        part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every system lets a folder be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
