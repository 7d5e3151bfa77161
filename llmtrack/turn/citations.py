"""The sources of an answer, in the one shape {"url", "title"?}, whichever provider or gateway names them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from llmtrack.session.schema import well_formed
from llmtrack.turn.fields import first, object_of, objects_of

MAX_CITATIONS = 50
MAX_URL = 2000
MAX_TITLE = 300

Citation = dict[str, str]  # {"url", "title"?}

# where a chunk, its choice or its message lists sources: paths from each of the three
_LISTS: tuple[tuple[str, ...], ...] = (
    ("citations",),  # Perplexity, and LiteLLM's of Anthropic: lists of lists
    ("search_results",),  # Perplexity
    ("annotations",),  # OpenAI, OpenRouter
    ("references",),  # Mistral
    ("sources",),  # Open WebUI
    ("context", "citations"),  # Azure OpenAI on your data
    ("provider_specific_fields", "citations"),  # LiteLLM of Anthropic
    ("executed_tools",),  # Groq's compound systems
    *(
        (*path, chunks)
        for path in (
            (),  # Gemini
            ("grounding_metadata",),
            ("groundingMetadata",),
            ("vertex_ai_grounding_metadata",),  # LiteLLM of Gemini
            ("extra_content", "google", "grounding_metadata"),  # Gemini's own OpenAI endpoint
        )
        for chunks in ("groundingChunks", "grounding_chunks")
    ),
)
_INSIDE = ("url_citation", "web", "retrievedContext", "retrieved_context", "source")  # where an item keeps its source


def citations_of(*places: dict[str, Any]) -> Iterator[Citation]:
    """The sources that any of these objects lists."""
    for place in places:
        for path in _LISTS:
            yield from _sources(_at(place, path))


def _at(place: object, path: tuple[str, ...]) -> object:
    """What lies at the end of a path; a list on the way stands for each of its members."""
    if isinstance(place, list) and path:
        return [_at(each, path) for each in place]
    return _at(object_of(place).get(path[0]), path[1:]) if path else place


def _sources(item: object) -> Iterator[Citation]:
    if isinstance(item, list):
        for each in item:
            yield from _sources(each)
    elif isinstance(item, str):
        yield from _citation(item, "")
    elif isinstance(item, dict):
        yield from _sources(item.get("search_results"))  # of a tool that Groq ran
        yield from _sources(object_of(item.get("search_results")).get("results"))
        inner = next((found for name in _INSIDE if (found := object_of(item.get(name)))), {})
        titles = (inner.get("title"), item.get("title"), inner.get("name"), item.get("document_title"))
        urls = (inner.get("url"), inner.get("uri"), item.get("url"), item.get("uri"), item.get("source"))
        title = first(*titles)
        named = list(_citation(first(*urls), title))
        yield from named
        for entry in [] if named else objects_of(item.get("metadata")):  # Open WebUI: one entry for each passage
            yield from _citation(first(entry.get("source")), first(entry.get("title"), title))


def _citation(url: str, title: str) -> Iterator[Citation]:
    if url.startswith(("https://", "http://")) and len(url) <= MAX_URL:
        yield {"url": well_formed(url), **({"title": well_formed(title[:MAX_TITLE])} if title else {})}


def merged(known: tuple[Citation, ...], more: Iterable[Citation]) -> tuple[Citation, ...]:
    """Citations without repeats, in the order in which they first came; a title that comes later is kept.

    >>> merged(({"url": "https://a.org"},), ({"url": "https://a.org", "title": "A"}, {"url": "https://b.org"}))
    ({'url': 'https://a.org', 'title': 'A'}, {'url': 'https://b.org'})
    """
    by_url = {citation["url"]: citation for citation in known}
    for citation in more:
        by_url[citation["url"]] = {**by_url.get(citation["url"], {}), **citation}
    return tuple(by_url.values())[:MAX_CITATIONS]
