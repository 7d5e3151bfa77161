"""The lines above the numbers: what must be known before them, what was left out and what was mended."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from llmtrack.analysis.notices import NO_PROMPTS, notices
from llmtrack.cli.drawing.numbers import many
from llmtrack.cli.drawing.terminal import note
from llmtrack.cli.drawing.text import line
from llmtrack.session.cleaning.notices import PROMPTS

if TYPE_CHECKING:
    from rich.text import Text

    from llmtrack.session.cleaning.clean import Visit
    from llmtrack.session.tally import Tally
    from llmtrack.sessions import Sessions

_REASONS = {  # one and several; other reasons show as they are called
    "copies_without_answer": ("copy without an answer", "copies without an answer"),
    "bots": ("session of a bot", "sessions of bots"),
    "duplicates": ("duplicate event", "duplicate events"),
    "duplicates_by_content": ("of them judged by what it says", "of them judged by what they say"),
    "out_of_range": ("event out of range", "events out of range"),
    "event_without_t": ("event without t", "events without t"),
    "event_without_type": ("event without type", "events without type"),
    "event_not_an_object": ("event that is no object", "events that are no objects"),
    "unreadable_user_id": ("session whose user_id is no id", "sessions whose user_id is no id"),
    "unreadable_model_group": ("session whose model_group is no name", "sessions whose model_group is no name"),
    "unreadable_experiment_id": ("session whose experiment_id is no name", "sessions whose experiment_id is no name"),
    "unreadable": ("unreadable document", "unreadable documents"),
    "sessions_without_user": ("session without a user", "sessions without a user"),
    "users_in_several_groups": ("user seen in several groups", "users seen in several groups"),
    "excluded_event": ("unit with an excluded event", "units with an excluded event"),
    "inversions": ("event out of order", "events out of order"),
    "end_estimated": ("missing end", "missing ends"),
    "start_estimated": ("missing start", "missing starts"),
    "end_before_start": ("end before its start", "ends before their start"),
    "clock_shifted": ("clock that disagreed", "clocks that disagreed"),
    "chat_begun_late": ("chat that began after its first prompt", "chats that began after their first prompt"),
    "negative_latency": ("negative latency", "negative latencies"),
    "answer_before_prompt": ("answer dated before its prompt", "answers dated before their prompts"),
    "start_after_first_event": ("start after its first event", "starts after their first event"),
    "end_before_last_event": ("end before later events", "ends before later events"),
    "clock_moved_seconds": ("server's clock some seconds off", "servers' clocks some seconds off"),
    "failed_answer": ("failure stored as an answer", "failures stored as answers"),
    "question_not_stored": ("failed question that was not stored", "failed questions that were not stored"),
}
HOURS = re.compile(r"clock_moved_([+-])(.+)h")  # one reason for each number of hours


class Noted(Protocol):
    """A warning of a report."""

    @property
    def code(self) -> str: ...
    @property
    def text(self) -> str: ...


def cautions(warnings: Sequence[Noted]) -> list[Text]:
    """A line each for what must be known before the numbers."""
    from rich.text import Text

    return [Text.assemble(("! ", "bold yellow"), (line(warning.text), "yellow")) for warning in warnings]


def cleaning(excluded: Mapping[str, int], repaired: Mapping[str, int]) -> list[Text]:
    """A dim line each on what was left out and what was mended; none where there was nothing."""
    from rich.text import Text

    found = (("Left out", excluded), ("Repaired", repaired))
    told = [(label, [counted(reason, count) for reason, count in counts.items() if count]) for label, counts in found]
    return [Text(f"{label}: {', '.join(reasons)}", "dim") for label, reasons in told if reasons]


def counted(reason: str, count: int) -> str:
    """What cleaning did, with how many times.

    >>> counted("duplicates", 1), counted("event_without_t", 2)
    ('1 duplicate event', '2 events without t')
    """
    if hours := HOURS.fullmatch(reason):
        way = "ahead" if hours[1] == "+" else "behind"
        return many(count, f"writer's clock {hours[2]} h {way}", f"writers' clocks {hours[2]} h {way}")
    one, more = _REASONS.get(reason, (reason.replace("_", " "),) * 2)
    return many(count, one, more)


def remarks(sessions: Sessions, tally: Tally, quiet: bool, *, warned: bool = False) -> None:
    """On stderr: which documents could not be read, what must be known of the source, or why there are no sessions.

    `warned`: what must be known stands in the result. While the source is open.
    """
    for _, text in () if warned else notices(tally):
        note(text, quiet)
    if sessions.source.remark:
        note(sessions.source.remark, quiet)
    if tally.unreadable:
        reasons = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in tally.unreadable.items())
        many_of_them = many(sum(tally.unreadable.values()), "document")
        note(f"{many_of_them} could not be read ({reasons}): {'; '.join(tally.named)}", quiet)
    if not tally.sessions:
        from llmtrack.cli.drawing.empty import why_empty

        note(why_empty(sessions.source, sessions.filters), quiet)


def without_prompts(sessions: Sessions, visit: Visit | None, quiet: bool) -> None:
    """On stderr, where neither the one session that is shown nor any of the source holds a prompt: that it is so."""
    from llmtrack.session.tally import Tally, total
    from llmtrack.sessions import Sessions

    if quiet or (visit is not None and visit.cleaned.noticed.get(PROMPTS)):
        return
    tallies = []
    for part in Sessions(sessions.source, sessions.settings, now=sessions.now).cleaned():
        tallies.append(Tally.of(part))
        if tallies[-1].noticed.get(PROMPTS):
            return
    for code, text in notices(total(tallies)):
        if code == NO_PROMPTS:
            note(text, quiet)
