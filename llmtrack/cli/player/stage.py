"""Where a session is seen: the transcript, the timeline, a line that says where it is, and a line to type in."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Input, Static

from llmtrack.cli.drawing.numbers import clock
from llmtrack.cli.player.bar import marks, place
from llmtrack.cli.player.film import Film
from llmtrack.cli.player.transcript import Transcript
from llmtrack.cli.replay.facts import ending, facts, numbers, spent
from llmtrack.cli.replay.plain import Drawing

_HELP = "? keys  q leaves"


class Bar(Widget):
    """The timeline, and below it how far the film is."""

    film: Film | None = None

    def render(self) -> Text:
        """Two rows, as wide as there is room for."""
        if self.film is None:
            return Text()
        width = max(1, self.size.width)
        here, drawn = place(self.film, width), Text(no_wrap=True)
        for column, mark in enumerate(marks(self.film, width)):
            drawn.append(mark.shape, mark.style if column <= here else f"{mark.style} dim")
        return drawn.append(f"\n{'━' * here}").append("╸", "bold")


class Stage(Vertical):
    """A film on the terminal."""

    def __init__(self) -> None:
        super().__init__(id="stage")
        self.film: Film | None = None
        self.said = ""  # stands before where the film is
        self.transcript, self.bar = Transcript(), Bar()
        self.answer = Input(id="answer", compact=True)
        self.status = Static(id="status", markup=False)

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield from (self.transcript, self.bar, self.answer, self.status)

    def open(self, film: Film, document: dict[str, Any]) -> None:
        """Show this film of a document from now on."""
        visit, now, known = film.visit, datetime.now(UTC), numbers(film.visit)
        drawing = Drawing(film.whole_s, terminal=True)

        def block(number: int) -> Iterable[RenderableType]:
            if number == 0:
                return drawing.facts(facts(visit, known, now))
            if number > len(film.moments):
                return drawing.end(ending(document, known), spent(known), film.silence)
            moment = film.moments[number - 1]
            return drawing.moment(moment, film.sentences[moment.number - 1], first=number == 1)

        self.film = self.bar.film = film
        self.said = ""
        self.transcript.draw(block)

    def on_resize(self) -> None:
        """What is said of the film fits anew."""
        self.show(moved=False)

    def show(self, *, moved: bool = True) -> None:
        """Draw where the film is. `moved`: other events are to be seen."""
        film = self.film
        if film is None:
            return
        if moved:
            self.transcript.show(film.index + (film.ended and film.whole), film.query)
        self.bar.refresh()
        told, room = _told(film), self.size.width
        status = Text(f"{self.said}  " if self.said else "", "bold", no_wrap=True, overflow="ellipsis").append(
            told, "not bold"
        )
        if len(status) + len(_HELP) + 2 <= room:
            status.append(f"{_HELP:>{room - len(status)}}", "not bold dim")
        self.status.update(status, layout=False)

    def ask(self, what: str) -> None:
        """Type in the line for that."""
        self.answer.placeholder, self.answer.value = what, ""
        self.answer.focus()


def _told(film: Film) -> str:
    state = "playing" if film.playing else "ended" if film.ended else "paused"
    pace = f"  {film.pace:g}x" if film.pace != 1 else ""
    some = "" if len(film.only) == len(film.kinds) else f" (of {len(film.every):,})"
    where = f"{clock(film.at_s)} of {clock(film.end_s)}"
    return f"{state}  {where}{pace}  event {film.index:,} of {len(film.moments):,}{some}"
