"""The sources of an answer: each provider and gateway names them in its own place, all are read into one shape."""

from __future__ import annotations

from typing import Any

import pytest

from llmtrack.turn.chunk import read_chunk
from llmtrack.turn.citations import MAX_CITATIONS, Citation, citations_of, merged

A, B = "https://a.example/1", "https://b.example/2"
BOTH: list[Citation] = [{"url": A, "title": "One"}, {"url": B, "title": "Two"}]
BARE: list[Citation] = [{"url": A}, {"url": B}]
SOURCES: Any = [{"url": A, "title": "One"}, {"url": B, "title": "Two"}]
GROUNDING: Any = [{"web": {"uri": A, "title": "One"}}, {"web": {"uri": B, "title": "Two"}}]
RETRIEVED: Any = [
    {"retrievedContext": {"uri": A, "title": "One", "text": "…"}}, {"retrieved_context": {"uri": B, "title": "Two"}},
]  # fmt: skip


def whole(**message: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": "So.", **message}}]}


def piece(**delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta}]}


def choice(**more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"content": "So."}, **more}]}


NAMED: dict[str, tuple[dict[str, Any], list[Citation]]] = {
    "Gemini, snake case on the choice": (choice(grounding_metadata={"grounding_chunks": GROUNDING}), BOTH),
    "Gemini, camel case on the choice": (choice(groundingMetadata={"groundingChunks": GROUNDING}), BOTH),
    "Gemini, from files": (choice(groundingMetadata={"groundingChunks": RETRIEVED}), BOTH),
    "Gemini, its OpenAI endpoint": (
        whole(extra_content={"google": {"grounding_metadata": {"grounding_chunks": GROUNDING}}}), BOTH
    ),
    "Gemini through LiteLLM, a list of them": (
        {**whole(), "vertex_ai_grounding_metadata": [{"groundingChunks": GROUNDING}]}, BOTH
    ),
    "Gemini through LiteLLM, each with one": (
        {**whole(), "vertex_ai_grounding_metadata": [{"groundingChunks": [chunk]} for chunk in GROUNDING]}, BOTH
    ),
    "Azure on your data, whole": (whole(context={"citations": [{**source, "filepath": "f"} for source in SOURCES]}),
                                  BOTH),
    "Azure on your data, streamed": (piece(context={"citations": SOURCES, "intent": "[]"}), BOTH),
    "Anthropic through LiteLLM, lists of lists": (
        whole(provider_specific_fields={"citations": [
            [{"type": "web_search_result_location", "url": A, "title": "One", "cited_text": "…"}],
            [{"type": "web_search_result_location", "url": B, "title": "Two", "cited_text": "…"}],
        ]}), BOTH,
    ),
    "Anthropic through LiteLLM, streamed one by one": (
        piece(provider_specific_fields={"citations": [[{"url": A, "title": "One"}]]}), BOTH[:1]
    ),
    "Anthropic through LiteLLM, of a document": (
        whole(provider_specific_fields={"citations": [[{"source": A, "document_title": "One"}]]}), BOTH[:1]
    ),
    "Mistral, references in parts": (
        whole(content=[
            {"type": "text", "text": "So."},
            {"type": "tool_reference", "tool": "web_search", "title": "One", "url": A},
            {"type": "tool_reference", "tool": "web_search", "title": "Two", "url": B},
        ]), BOTH,
    ),
    "Mistral, references of the message": (whole(references=SOURCES), BOTH),
    "Groq, results of a search": (
        whole(executed_tools=[{"type": "search", "search_results": {"results": [
            {"title": "One", "url": A, "content": "…", "score": 0.9}, {"title": "Two", "url": B},
        ]}}]), BOTH,
    ),
    "Groq, streamed": (piece(executed_tools=[{"search_results": {"results": SOURCES}}]), BOTH),
    "Open WebUI, by its metadata": (
        {**whole(), "sources": [{"source": {"name": "search"}, "document": ["…", "…"],
                                 "metadata": [{"source": A}, {"source": B}]}]},
        [{"url": A, "title": "search"}, {"url": B, "title": "search"}],
    ),
    "Open WebUI, titles in its metadata": (
        {"sources": [{"source": {"name": "search"}, "metadata": [{"source": A, "title": "One"}, {"source": "notes.pdf"},
                                                                 {"source": B, "title": "Two"}]}]}, BOTH,
    ),
    "Open WebUI, with an address": (
        {"sources": [{"source": {"name": "One", "url": A}, "document": ["…"], "metadata": [{"source": "chunk 1"}]}]},
        BOTH[:1],
    ),
    "Perplexity, addresses alone": ({**whole(), "citations": [A, B]}, BARE),
    "Perplexity, with titles": ({**whole(), "citations": [A, B], "search_results": SOURCES}, BOTH),
    "OpenAI": (whole(annotations=[{"type": "url_citation", "url_citation": source} for source in SOURCES]), BOTH),
}  # fmt: skip


@pytest.mark.parametrize("provider", NAMED)
def test_sources_are_read_into_one_shape(provider: str) -> None:
    chunk, wanted = NAMED[provider]
    assert list(read_chunk(chunk).citations) == wanted


def test_a_source_that_is_no_web_address_is_none() -> None:
    for bad in ("javascript:alert(1)", "file:///etc/passwd", "notes.pdf", "", f"https://a.example/{'x' * 2000}"):
        assert list(citations_of({"citations": [bad, {"url": bad, "title": "T"}]})) == []


def test_of_more_sources_than_are_kept_the_first_stay() -> None:
    many = [f"https://a.example/{number}" for number in range(MAX_CITATIONS + 5)]
    assert [each["url"] for each in merged((), citations_of({"citations": many}))] == many[:MAX_CITATIONS]
