"""A replay as a page of its own: it plays without a network, is searched and steered, and prints whole."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from llmtrack.cli.drawing.numbers import clock, duration
from llmtrack.cli.drawing.text import line, safe
from llmtrack.cli.html import page
from llmtrack.cli.player.bar import ANSWER, COPIED, FAILED, QUESTION, mark_of
from llmtrack.cli.player.film import PACES
from llmtrack.cli.replay.markdown import kept, parser
from llmtrack.session.schema import MODEL_RESPONSE

if TYPE_CHECKING:
    from llmtrack.analysis.interaction.timeline import Moment, Silence
    from llmtrack.cli.replay.sentences import Sentence
    from llmtrack.cli.replay.telling import Telling

_CLASSES = {QUESTION: "question", ANSWER: "answer", FAILED: "failed", COPIED: "copy"}


def web(told: Telling) -> str:
    """The whole page."""
    known = "".join(f"<dt>{escape(label)}</dt><dd>{escape(line(value))}</dd>\n" for label, value in told.facts)
    events = "\n".join(_events(told))
    body = (
        f"<main>\n<h1>{escape(line(told.title))}</h1>\n<dl>\n{known}</dl>\n"
        f'<ol class="events">\n{events}\n</ol>\n{_end(told)}</main>\n{_player(told)}'
    )
    return page(f"Replay of {line(told.title)}", body, "replay.js")


def _events(told: Telling) -> Iterator[str]:
    film = told.film
    for due, moment in zip(film.due, film.moments, strict=True):
        sentence, kind = film.sentences[moment.number - 1], moment.event["type"]
        failed = " failed" if sentence.failed else ""
        name = kind if kind.replace("_", "").isalnum() else "other"
        detail = f" <small>{escape(sentence.detail)}</small>" if sentence.detail else ""
        yield (
            f'<li class="event {escape(name)}{failed}" data-due="{due:.3f}">{_silence(moment.silence)}'
            f'<p><time>{clock(moment.at_s)}</time> <span class="what">{escape(sentence.text)}</span>{detail}</p>'
            f"{_words(moment, sentence)}</li>"
        )


def _words(moment: Moment, sentence: Sentence) -> str:
    if not sentence.body:
        return ""
    if moment.event["type"] == MODEL_RESPONSE and not sentence.failed:
        return f'<div class="words">{rendered(sentence.body)}</div>'
    return f'<div class="words plain">{escape(sentence.body)}</div>'


def rendered(text: str) -> str:
    """Markdown as HTML: what looks like HTML in it is text, an image is its source, nothing is loaded."""
    made = parser()
    html = made.renderer.render(kept(made.parse(text)), made.options, {})
    return safe(html.replace("<a href=", '<a rel="noopener noreferrer" href='))


def _silence(silence: Silence | None) -> str:
    return f'<p class="silence">⋯ {silence.kind} {duration(silence.seconds)}</p>' if silence else ""


def _end(told: Telling) -> str:
    if not told.film.whole:
        return ""
    spent = f"<p><small>{escape(told.spent)}</small></p>" if told.spent else ""
    return f"{_silence(told.film.silence)}<p><time>{clock(told.film.whole_s)}</time> {escape(told.end)}</p>{spent}\n"


def _player(told: Telling) -> str:
    film = told.film
    whole = film.length or 1.0
    marks = "".join(
        f'<span class="mark {_CLASSES[mark]}" style="left:{100 * due / whole:.2f}%">{mark.shape}</span>'
        for due, moment in zip(film.due, film.moments, strict=True)
        if (mark := mark_of(film, moment)) in _CLASSES
    )
    paces = "".join(f'<option value="{pace:g}"{" selected" if pace == 1 else ""}>{pace:g}x</option>' for pace in PACES)
    return f"""<section class="player" aria-label="Player" data-length="{film.length:.3f}" hidden><div>
<div class="timeline" aria-hidden="true">{marks}</div>
<input id="seek" type="range" min="0" max="{film.length:.3f}" step="0.001" value="0" aria-label="Position">
<button id="play" type="button">Play</button>
<button id="before" type="button" aria-label="The question before">[</button>
<button id="next" type="button" aria-label="The next question">]</button>
<select id="pace" aria-label="Speed">{paces}</select>
<input id="search" type="search" placeholder="Find" aria-label="Find">
<output id="told"></output>
<small>Space plays, ← → step, [ ] questions, / finds, n N next, 0-9 jump, + - speed</small>
</div></section>"""
