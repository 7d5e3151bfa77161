"""Reading JSON of others without trust in its shape."""

from __future__ import annotations

from typing import Any

from llmtrack.session.schema import well_formed


def object_of(value: object) -> dict[str, Any]:
    """The object, or an empty one in the place of anything else."""
    return value if isinstance(value, dict) else {}


def objects_of(value: object) -> list[dict[str, Any]]:
    """The objects of a list; none of anything else."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def string(value: object, most: int | None = None) -> str:
    """The text that can be stored, cut at `most` characters; empty in the place of anything else."""
    return well_formed(value[:most]) if isinstance(value, str) else ""


def first(*values: object) -> str:
    """The first of them that is a text and not empty."""
    return next((string(value) for value in values if isinstance(value, str) and value), "")
