"""One text for an id or a name, whatever type a writer stored it as; database/query.py goes the other way."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from llmtrack.session.values import text

_UUIDS: Final = (3, 4)  # BSON's binary subtypes of a UUID


def name(value: Any) -> str | None:
    """The text of an id or a name; None for what is none: nothing, "", NaN, bytes, a date, an object, a list.

    Numbers have one text, whichever type holds them; a UUID has hyphens, an ObjectId its 24 hex digits.

    >>> name(43.0), name(True), name(UUID(int=5)), name(""), name({"id": 5})
    ('43', 'true', '00000000-0000-0000-0000-000000000005', None, None)
    """
    if isinstance(value, str):  # BSON's code is one, and no id
        return text(value) if type(value) is str else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return _number(Decimal(int(value) if value.is_integer() else repr(value))) if value - value == 0 else None
    if isinstance(value, bytes):
        return str(UUID(bytes=bytes(value))) if getattr(value, "subtype", 0) in _UUIDS and len(value) == 16 else None
    if isinstance(value, UUID) or hasattr(value, "generation_time"):  # BSON's ObjectId
        return str(value)
    if hasattr(value, "to_decimal"):  # BSON's Decimal128
        return _number(value.to_decimal())
    return None


def _number(value: Decimal) -> str | None:
    if not value.is_finite():
        return None
    if not value:
        return "0"
    plain = f"{value:f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def names(values: Sequence[Any], missing: str) -> list[str]:
    """`name` of many values at once, `missing` where there is none."""
    return [value if type(value) is str and value.isascii() and value else name(value) or missing for value in values]


def unnamed(value: Any) -> bool:
    """Whether something stands where an id belongs that is none."""
    return value is not None and value != "" and name(value) is None
