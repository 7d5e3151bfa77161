"""Rows of an export as text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from llmtrack.cli.drawing.formats import as_csv

if TYPE_CHECKING:
    import pandas as pd

    from llmtrack.analysis.export.columns import Column


def csv_header(columns: Sequence[Column], delimiter: str = ",") -> str:
    """The first line of a CSV file."""
    return as_csv([], [column.name for column in columns], delimiter)


def csv_rows(rows: pd.DataFrame, columns: Sequence[Column], delimiter: str = ",") -> str:
    """Rows as CSV without a header, in the form that all CSV of llmtrack has (formats.py)."""
    return as_csv(records(rows, columns), [column.name for column in columns], delimiter).partition("\r\n")[2]


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
