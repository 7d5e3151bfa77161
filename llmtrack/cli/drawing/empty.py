"""Why there is nothing to show: which filter left no session."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from llmtrack.cli.drawing.numbers import many
from llmtrack.cli.drawing.text import line
from llmtrack.session.jsonable import iso

if TYPE_CHECKING:
    from llmtrack.store.sources.open import Filters, Source


_COLUMNS = {"group": "model_group", "experiment": "experiment_id", "user": "user_id", "device": "device"}
_NEWEST, _FEW = 500, 12  # sessions whose names are looked at, and names that are listed


def _near(source: Source, key: str, value: str) -> str:
    """Names that are there: those like it, else, where they are few, all."""
    found = names_there(source, key)
    names = get_close_matches(value, found, 3) or (sorted(found)[:_FEW] if len(found) <= _FEW else [])
    return f" There are: {', '.join(map(line, names))}." if names else ""


def names_there(source: Source, key: str) -> set[str]:
    """The groups, experiments, users or devices (`key`) of the newest sessions."""
    from llmtrack.store.sources.open import Filters

    ids = frozenset(head.session_id for head in source.newest(Filters(), _NEWEST))
    batches = source.batches(Filters(ids=ids))
    return {str(each) for batch in batches for each in batch.sessions[_COLUMNS[key]] if each}


def why_empty(source: Source, filters: Filters) -> str:
    """One or two sentences: the filter that no session passes, or that none passes all of them."""
    from llmtrack.store.sources.open import Filters

    newest = source.newest()
    if not newest:
        return f"There are no sessions in {source.name}. Try: llmtrack demo"
    with_bots = replace(filters, bots=True, ids=None, people=False)
    if not filters.with_bots and (bots := source.count(with_bots)):
        return f"Only bots were there ({many(bots, 'session')}): --bots counts them in."
    if filters.since or filters.until:
        time = Filters(since=filters.since, until=filters.until)
        if not source.newest(time):
            bounds = [f"since {iso(filters.since)}"] if filters.since else []
            bounds += [f"until {iso(filters.until)}"] if filters.until else []
            return f"No session began {' and '.join(bounds)}; the newest began at {iso(newest[0].start_time)}."
    if filters.ids and not source.newest(Filters(ids=filters.ids)):
        return f'No session in {source.name} has the id "{line(min(filters.ids))}" (--session).'
    named = {key: value for key in ("group", "experiment", "user", "device") if (value := getattr(filters, key))}
    for key, value in named.items():
        if not source.newest(Filters(**{key: value})):
            return f'No session in {source.name} has the {key} "{line(value)}" (--{key}).{_near(source, key, value)}'
    if len(filters.as_dict()) < 2:
        return f"There are sessions in {source.name}, but none that counts here: what was left out says why."
    return "Each filter alone leaves sessions, but no session passes all of them. Leave one out."
