"""What a database is asked for: filters and ids as MongoDB queries."""

from __future__ import annotations

from typing import Any, Final

from bson import ObjectId

from llmtrack.session.document import BOT, UNKNOWN
from llmtrack.session.filters import Filters

_FIELDS: Final = {
    "group": "model_group",
    "experiment": "experiment_id",
    "user": "user_id",
    "device": "environment.device",
}


def mongo_query(filters: Filters) -> dict[str, Any]:
    """A MongoDB query that no wanted session fails.

    What a server cannot compare (times that are no dates, names that are missing) it lets through: `Filters.matches`
    decides.
    """
    query: dict[str, Any] = {}
    for key, path in _FIELDS.items():
        wanted = getattr(filters, key)
        if wanted is not None and wanted not in (UNKNOWN, BOT):
            query[path] = {"$in": stored_names(wanted)}
    bounds = {"$gte": filters.since, "$lt": filters.until}
    bounds = {operator: bound for operator, bound in bounds.items() if bound is not None}
    if bounds:
        query["$or"] = [{"start_time": bounds}, {"start_time": {"$not": {"$type": "date"}}}]
    return query


def stored_names(wanted: str) -> list[Any]:
    """The values that read as this name: writers store ids as text, numbers or ObjectIds."""
    found: list[Any] = [wanted]
    if wanted.isascii() and wanted.removeprefix("-").isdigit() and str(int(wanted)) == wanted and len(wanted) < 19:
        found.append(int(wanted))
    if ObjectId.is_valid(wanted):
        found.append(ObjectId(wanted))
    return found
