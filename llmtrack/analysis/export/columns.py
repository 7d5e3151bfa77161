"""The columns of the exported tables: name, type, unit, meaning, and what --redact makes of them."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Type = Literal["text", "integer", "number", "boolean", "time"]
Hidden = Literal["", "text", "session", "user", "chat", "turn"]


class Column(NamedTuple):
    """One column. `hidden`: what --redact does: "text" leaves length and hash, any other word a pseudonym."""

    name: str
    type: Type
    meaning: str
    unit: str = ""
    hidden: Hidden = ""


_SESSION: Final = (
    Column("session_id", "text", "the session", hidden="session"),
    Column("user_id", "text", "who it was", hidden="user"),
    Column("model_group", "text", "the arm of the experiment"),
    Column("experiment_id", "text", "the experiment"),
)
_CHAT: Final = (
    Column("chat_session_id", "text", "the chat: one visit holds several, and a chat goes on in a later visit",
           hidden="chat"),
    Column("turn_id", "text", "the turn: a prompt and its answer share it", hidden="turn"),
)  # fmt: skip

SESSIONS: Final = (
    *_SESSION,
    Column("device", "text", "desktop, mobile or tablet"),
    Column("browser", "text", "name of the browser"),
    Column("os", "text", "name of the operating system"),
    Column("viewport_height_px", "number", "height of the page's window", "px"),
    Column("automation", "boolean", "the browser said that a program drives it"),
    Column("start_time", "time", "when the session began", "UTC"),
    Column("end_time", "time", "when it ended, else its last event; missing without events and end", "UTC"),
    Column("end_estimated", "boolean", "no end was recorded: end_time is the last event's"),
    Column("open", "boolean", "no end was recorded, and the last event is under 30 min old"),
    Column("duration_s", "number", "end_time less start_time", "s"),
    Column("active_s", "number", "time with the page: silences up to 30 s each, waiting for answers left out",
           "s"),
    Column("active_long_s", "number", "active_s with a longer limit after long answers (1.5 times their reading time)",
           "s"),
    Column("reading_s", "number", "the part of active_s from an answer to the next prompt", "s"),
    Column("waiting_s", "number", "from prompts to their responses", "s"),
    Column("away_s", "number", "duration_s less active_s and waiting_s, never below 0", "s"),
    Column("events", "integer", "events, after cleaning"),
    Column("chats", "integer", "chats that were written in"),
    Column("prompts", "integer", "prompts"),
    Column("responses", "integer", "answers that did not fail"),
    Column("partials", "integer", "answers that are not whole"),
    Column("errors", "integer", "turns in which a call failed, also one that was asked again"),
    Column("unanswered", "integer", "prompts without answer or error"),
    Column("prompts_with_predecessor", "integer", "prompts that follow another in their chat, texts of both stored"),
    Column("reasks", "integer", "of these, those that ask the same again: similar words (Jaccard 0.5), within 5 min"),
    Column("copies", "integer", "copies of text, of prompts and of the page as well"),
    Column("selections", "integer", "selections of text that were not then copied"),
    Column("answer_copies", "integer", "copies that belong to an answer"),
    Column("answer_selections", "integer", "selections that belong to an answer and were not then copied"),
    Column("copies_without_answer", "integer", "copies that belong to no answer: of prompts, of the page"),
    Column("copied_responses", "integer", "answers with at least one copy"),
    Column("clicks", "integer", "clicks"),
    Column("rated_responses", "integer", "answers with a thumb"),
    Column("up_responses", "integer", "of these, those with a thumb up"),
    Column("words_out", "integer", "words of all answers"),
    Column("latency_p50_ms", "number", "median time of its answers; missing without any", "ms"),
    Column("scroll_max_px", "number", "furthest scroll position", "px"),
    Column("scroll_total_px", "number", "way scrolled, up and down", "px"),
    Column("scroll_reversals", "integer", "changes of direction"),
    Column("scroll_depth", "number", "deepest part of the page seen; missing where no page height is known", "0 to 1"),
    Column("idle", "boolean", "the person did nothing for 30 s at least once"),
    Column("exit_reason", "text",
           "first fit: open, prompt_not_stored, no_prompt, waiting, after_error, after_copy, after_reading, silent"),
    Column("n_gaps", "integer", "events known to be lost"),
    Column("duplicates", "integer", "events that came twice; left out"),
    Column("inversions", "integer", "events out of order; sorted"),
    Column("out_of_range", "integer", "events more than 5 min outside the session; left out"),
    Column("clock_shifted", "boolean", "the events' clock disagreed with the start: all were moved to begin there"),
    Column("clock_offset_ms", "number", "by how much it was ahead", "ms"),
)  # fmt: skip

EVENTS: Final = (
    *_SESSION,
    Column("number", "integer", "1, 2, … within the session, by time; what replay calls #1"),
    Column("t", "integer", "when", "epoch ms"),
    Column("time", "time", "when", "UTC"),
    Column("at_s", "number", "time since the session began", "s"),
    Column("type", "text", "scroll, click, selection, copy, activity, prompt, model_response, new_chat, or another"),
    *_CHAT,
    Column("text", "text", "the prompt, or the answer", hidden="text"),
    Column("selected_text", "text", "what was selected or copied", hidden="text"),
    Column("model", "text", "model that answered"),
    Column("provider", "text", "who runs it"),
    Column("latency_ms", "number", "from prompt to whole answer, as the server measured it", "ms"),
    Column("ttft_ms", "number", "from prompt to first word", "ms"),
    Column("response_length", "number", "length of the answer", "characters"),
    Column("error", "text", "why the answer failed", hidden="text"),
    Column("partial", "boolean", "the answer is not whole: it broke off, was cut, or was stopped"),
    Column("finish_reason", "text", "how the answer ended, as the provider says"),
    Column("step", "boolean", "it only calls tools: the turn goes on"),
    Column("attempt", "number", "2 and up where the turn was answered again"),
    Column("regenerated", "boolean", "an answer was asked for again"),
    Column("activity_state", "text", "active or idle"),
    Column("scrollY", "number", "scroll position", "px"),
    Column("speed", "number", "speed of scrolling", "px/s"),
    Column("direction", "text", "up or down"),
    Column("page_height", "number", "height of the whole page", "px"),
    Column("x", "number", "place of a click, from the left", "px"),
    Column("y", "number", "place of a click, from the top", "px"),
    Column("target", "text", "tag name of what was clicked"),
    Column("page_url", "text", "page of the event", hidden="text"),
    Column("rating", "text", "up or down"),
    Column("data", "text", "every other data field, as a JSON object", hidden="text"),
)

TURNS: Final = (
    *_SESSION,
    Column("turn", "integer", "1, 2, … within the session; 0 for a response whose prompt is missing"),
    *_CHAT,
    Column("prompt_time", "time", "when the prompt was sent", "UTC"),
    Column("response_time", "time", "when the answer or the error came; missing without", "UTC"),
    Column("waited_s", "number", "from prompt to response, and again each time it was asked anew", "s"),
    Column("latency_ms", "number", "the same, as the server measured it", "ms"),
    Column("answered", "boolean", "there is an answer that did not fail"),
    Column("error", "boolean", "the answer failed"),
    Column("partial", "boolean", "the answer is not whole"),
    Column("rating", "text", "the thumb that the answer got, the last one: up or down"),
    Column("attempts", "integer", "times that it was answered, or tried"),
    Column("steps", "integer", "calls of tools on the way to the answer"),
    Column("model", "text", "model that answered"),
    Column("prompt", "text", "what was asked", hidden="text"),
    Column("answer", "text", "what was answered", hidden="text"),
    Column("copies", "integer", "copies that belong to the answer"),
    Column("selections", "integer", "selections that belong to it and were not then copied"),
    Column("copied", "boolean", "copied at least once"),
    Column("reading_s", "number", "active time from the response to the next prompt or the end", "s"),
    Column("first_action_s", "number", "from the answer to the next thing the person did", "s"),
    Column("first_action_censored", "boolean",
           "nothing was done before the next prompt or the end: first_action_s is the time until then"),
    Column("next", "text", "what came next: prompt, new_chat (a prompt in another chat), left, or open"),
    Column("idle_first", "boolean", "30 s without anything came before the next prompt or the end"),
)  # fmt: skip

TABLES: Final = {"sessions": SESSIONS, "events": EVENTS, "turns": TURNS}

TEXT_BASED: Final = {  # columns that need the texts read
    "sessions": frozenset(
        {"active_long_s", "prompts_with_predecessor", "reasks", "selections", "copied_responses", "words_out"}
        | {"answer_copies", "answer_selections", "copies_without_answer"}
    ),
    "turns": frozenset({"model", "prompt", "answer", "copies", "selections", "copied"}),
}
