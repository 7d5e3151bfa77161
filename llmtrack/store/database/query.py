"""What a database is asked for: filters and ids as MongoDB queries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

from bson import Binary, Decimal128, Int64, ObjectId
from bson.binary import OLD_UUID_SUBTYPE, UUID_SUBTYPE

from llmtrack.session.document import BOT, UNKNOWN
from llmtrack.session.filters import Filters
from llmtrack.session.ids import name

_FIELDS: Final = {
    "group": "model_group",
    "experiment": "experiment_id",
    "user": "user_id",
    "device": "environment.device",
}
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_DIGITS: Final = 20  # of a 64-bit integer, with its sign


LAST_CHARACTER: Final = "\U0010ffff"  # after every text that starts alike


def is_exact(filters: Filters) -> bool:
    """Whether the server's answer to the query of these filters is final, but for sessions without a date."""
    return filters.device is None and UNKNOWN not in (filters.group, filters.experiment, filters.user)


def mongo_query(filters: Filters) -> dict[str, Any]:
    """A MongoDB query that no wanted session fails.

    What a server cannot compare (times that are no dates, names that are missing) it lets through, and chats, which may
    hold sessions that began later: `Filters.matches` decides, and of chats cleaning.
    """
    query: dict[str, Any] = {}
    for key, path in _FIELDS.items():
        wanted = getattr(filters, key)
        if wanted is not None and wanted not in (UNKNOWN, BOT):
            query[path] = {"$in": stored_names(wanted)}
    if filters.people:
        query["environment.bot"] = {"$ne": True}
        query.setdefault("environment.device", {"$ne": BOT})
    if filters.ids is not None:
        query["session_id"] = {"$in": [form for wanted in sorted(filters.ids) for form in stored_names(wanted)]}
    bounds = {"$gte": filters.since, "$lt": filters.until}
    bounds = {operator: bound for operator, bound in bounds.items() if bound is not None}
    if bounds:
        query["$or"] = [{"start_time": bounds}, {"start_time": {"$not": {"$type": "date"}}}]
        query["$or"] += [{"is_chat": True}] if filters.since is not None else []
    return query


def stored_names(wanted: str) -> list[Any]:
    """The values of every type that read as this text: the inverse of `ids.name`."""
    return [wanted, *(value for value in _candidates(wanted) if name(value) == wanted)]


def _candidates(wanted: str) -> Iterator[Any]:
    """Values that may read as this text. Equal numbers are equal to a server, whichever type holds them."""
    if wanted in ("true", "false"):
        yield wanted == "true"
    if ObjectId.is_valid(wanted):
        yield ObjectId(wanted)
    if _UUID.fullmatch(wanted):
        yield from (Binary(UUID(wanted).bytes, subtype) for subtype in (UUID_SUBTYPE, OLD_UUID_SUBTYPE))
    if _NUMBER.fullmatch(wanted):
        if "." not in wanted and len(wanted) <= _DIGITS and -(2**63) <= int(wanted) < 2**63:
            yield Int64(wanted)
        yield float(wanted)
        with suppress(ArithmeticError):
            yield Decimal128(wanted)


def both(query: dict[str, Any], also: dict[str, Any]) -> dict[str, Any]:
    """The query that asks for both."""
    return {"$and": [query, also]} if query else also
