"""The player: a session on the whole terminal, steered with keys. Its parts know what to do, this says who does it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from math import floor
from typing import Any, ClassVar, Protocol

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input

from llmtrack.cli.drawing.formats import as_json
from llmtrack.cli.drawing.text import line
from llmtrack.cli.player.bar import MARKS
from llmtrack.cli.player.film import Film, Manner
from llmtrack.cli.player.keys import KEYS, table
from llmtrack.cli.player.panels import Kinds, Listing, Reading
from llmtrack.cli.player.stage import Stage
from llmtrack.cli.replay.facts import length_s
from llmtrack.cli.replay.sentences import tell
from llmtrack.errors import LlmtrackError
from llmtrack.session.cleaning.clean import Visit

TICK_S = 0.1
NARROW = 100  # columns: with fewer, the list takes the place of the session

_ASKED = {"/": "find (Esc: not)", "g": "go to, such as 90s, 1:30, prompt#2 or #14 (Esc: not)"}
_OF_A_SESSION = {"play", "step", "question", "jump", "faster", "scroll", "page", "find", "ask", "kinds", "fields"}
_STYLE = """
Screen { layout: vertical; }
#stage { width: 1fr; }
#listing { width: 44; display: none; border: round $primary; padding: 0 1; }
#listing OptionList { height: 1fr; border: none; padding: 0; }
#listing Input { border: none; }
Screen.choosing #listing { display: block; }
Screen.-narrow.choosing #listing { width: 1fr; }
Screen.-narrow.choosing #stage { display: none; }
Transcript { height: 1fr; }
Bar { height: 2; }
#status { height: 1; }
#answer { height: 1; border: none; display: none; }
Screen.asking #answer { display: block; }
Screen.asking #status { display: none; }
ModalScreen { align: center middle; }
.box { width: auto; min-width: 30; max-width: 94%; height: auto; max-height: 90%; }
.box { border: round $primary; padding: 0 1; }
VerticalScroll.box Static { width: auto; max-width: 100%; }
"""


class Stored(Protocol):
    """Where sessions come from."""

    def rows(self) -> Iterable[tuple[str, str]]:
        """The newest sessions: an id and a line each."""

    def load(self, session_id: str) -> tuple[Visit, dict[str, Any]]:
        """A session, cleaned and as it is stored."""


class Player(App[int]):
    """Plays stored sessions. Ends with an exit code; `where` says which session it left, and its second."""

    TITLE = "llmtrack"
    CSS = _STYLE
    ENABLE_COMMAND_PALETTE = False
    AUTO_FOCUS = None
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (NARROW, "-wide")]  # noqa: RUF012 - as textual declares it
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key, each.action, each.does, priority=key.startswith("ctrl+")) for each in KEYS for key in each.keys
    ]

    def __init__(self, shelf: Stored, session: tuple[Visit, dict[str, Any]] | None, manner: Manner) -> None:
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"  # the terminal's own colours, whether it is dark or light
        self.shelf, self.manner, self.first = shelf, manner, session
        self.film: Film | None = None
        self.asking, self._ticked = "", 0.0
        self.stage, self.listing = Stage(), Listing()

    @property
    def where(self) -> tuple[str, float] | None:
        """The session that is on the screen, and its second, never later than it is; None when it has ended."""
        film = self.film
        return (film.visit.session["session_id"], floor(film.at_s * 10) / 10) if film and not film.ended else None

    def compose(self) -> ComposeResult:
        """The list beside the stage."""
        yield Horizontal(self.listing, self.stage)

    def on_mount(self) -> None:
        """Begin with the session asked for, else with the list."""
        if self.first is None:
            self.action_listing()
        else:
            self.call_after_refresh(self._open, *self.first)
        self._ticked = time.monotonic()
        self.set_interval(TICK_S, self._tick)

    def _open(self, visit: Visit, document: dict[str, Any]) -> None:
        manner, self.manner = self.manner, Manner(self.manner.speed, self.manner.idle_limit)  # the next one: all of it
        sentences = tell(visit.events, visit.session["environment"])
        self.film = film = Film(visit, sentences, length_s(visit), manner)
        film.playing = not film.ended
        self.stage.open(film, document)
        self._show()

    def _tick(self) -> None:
        now = time.monotonic()
        passed, self._ticked = now - self._ticked, now
        if self.film and self.film.playing and len(self.screen_stack) == 1 and not self.asking:
            index = self.film.index
            self.film.advance(passed)
            self._show(moved=index != self.film.index or self.film.ended)

    def _show(self, moved: bool = True) -> None:
        self.stage.show(moved=moved)

    def _say(self, words: str) -> None:
        self.stage.said = words
        self._show()

    def _did(self, change: Callable[[Film], object]) -> None:
        if self.film:
            self.stage.said = ""
            change(self.film)
            self._show()

    # What keys do

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without a session only the list, the help and leaving make sense."""
        return self.film is not None or action not in _OF_A_SESSION

    def action_play(self) -> None:
        """Space."""
        self._did(lambda film: film.play())

    def action_step(self, way: int) -> None:
        """Arrows and the full stop."""
        self._did(lambda film: film.step(way))

    def action_question(self, way: int) -> None:
        """Brackets."""
        self._did(lambda film: film.question(way))

    def action_jump(self, tenth: int) -> None:
        """Digits, Home and End."""
        self._did(lambda film: film.jump(tenth))

    def action_faster(self, way: int) -> None:
        """Plus and minus."""
        self._did(lambda film: film.faster(way))

    def action_scroll(self, lines: int) -> None:
        """Arrows up and down: what is read stands still."""
        self._halt()
        self.stage.transcript.move(lines)

    def action_page(self, way: int) -> None:
        """Page up and down."""
        self._halt()
        self.stage.transcript.move(way * max(1, self.stage.transcript.size.height - 2))

    def _halt(self) -> None:
        if self.film and self.film.playing:
            self.film.playing = False
            self.stage.show(moved=False)

    def action_find(self, way: int) -> None:
        """The next place of what was looked for."""
        film = self.film
        if film is None or not film.query:
            return self._say("Nothing was looked for yet: / begins.")
        film.playing = False
        if not film.find(way):
            return self._say(f"No “{film.query}” in this session.")
        places = film.found()
        return self._say(f"“{film.query}” {places.index(film.index) + 1} of {len(places)}")

    def action_ask(self, what: str) -> None:
        """Open the line to type in."""
        self.asking = what
        self.screen.add_class("asking")
        self.stage.ask(_ASKED[what])

    def on_input_submitted(self, submitted: Input.Submitted) -> None:
        """What was typed is looked for, or gone to."""
        asked, typed, film = self.asking, line(submitted.value), self.film
        self._shut()
        if film is None or not typed:
            return
        if asked == "/":
            film.query = typed
            self.action_find(1)
            return
        try:
            film.go(typed)
            self._say("")
        except LlmtrackError as error:
            self._say(error.message)

    def key_escape(self) -> None:
        """Away with the line to type in; else with what was found."""
        if self.asking:
            self._shut()
        elif self.film:
            self.film.query = ""
            self._say("")

    def _shut(self) -> None:
        self.asking = ""
        self.screen.remove_class("asking")
        self.set_focus(None)
        self.call_after_refresh(self._show)

    def action_kinds(self) -> None:
        """Choose kinds of events."""
        film = self.film
        if film is None:
            return

        def chosen(kinds: frozenset[str] | None) -> None:
            if kinds is not None and kinds != film.only:
                film.choose(kinds)
                self.stage.transcript.forget()
            self._show()

        self.push_screen(Kinds(film.kinds, film.only), chosen)

    def action_fields(self) -> None:
        """All fields of the event of now."""
        film = self.film
        moment = film.current if film else None
        if film is None or moment is None:
            return self._say("No event yet.")
        event = {key: moment.event[key] for key in ("type", "t", "at_s", "data")}
        title = f"Event {moment.number:,} of {len(film.every):,}"
        self.push_screen(Reading(title, Text(as_json(event), overflow="fold")))

    def action_help(self) -> None:
        """Keys, and what the timeline shows."""
        rows = table()
        wide = max(len(keys) for keys, _ in rows)
        text = Text("\n".join(f"{keys:{wide}}  {does}" for keys, does in rows) + "\n\nOn the timeline:\n")
        for mark in MARKS:
            text.append(f"{mark.shape:{wide}}", mark.style).append(f"  {mark.means}\n")
        self.push_screen(Reading("Keys", text))

    def action_listing(self) -> None:
        """Open the list of sessions, or close it."""
        if self.screen.has_class("choosing"):
            return self.on_listing_shut()
        if self.listing.empty:
            self.listing.fill(self.shelf.rows())
        self.screen.add_class("choosing")
        return self.listing.ready()

    def on_listing_shut(self) -> None:
        """Back to the session, if there is one."""
        if self.film:
            self.screen.remove_class("choosing")
            self.set_focus(None)
            self.call_after_refresh(self._show)

    def on_listing_opened(self, opened: Listing.Opened) -> None:
        """Play the session that was chosen."""
        try:
            session = self.shelf.load(opened.session_id)
        except LlmtrackError as error:
            self.listing.say(error.message)
            return
        self._open(*session)
        self.on_listing_shut()

    def action_leave(self, code: int) -> None:
        """End."""
        self.exit(code)
