"""Ids and names of any shape, as other writers stored them, become text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from llmtrack.session.values import text


def name(value: Any) -> str | None:
    """An id or a name: text, or the text of a whole number or an ObjectId; None for anything else."""
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, bool | float | bytes | dict | list | datetime):
        return None
    return str(value)


def names(values: Sequence[Any], missing: str) -> list[str]:
    """`name` of many values at once, `missing` where there is none."""
    return [value if type(value) is str and value.isascii() and value else name(value) or missing for value in values]
