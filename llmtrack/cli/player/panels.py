"""What opens over the player: the keys, the fields of an event, the kinds of events; and the list beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.markup import escape
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, SelectionList, Static
from textual.widgets.option_list import Option
from textual.widgets.selection_list import Selection

from llmtrack.cli.drawing.text import line

_SHUT: list[BindingType] = [Binding("escape,q,enter,question_mark", "shut", priority=True)]


class Reading(ModalScreen[None]):
    """A text to read; scrolls, and shuts with any of the usual keys."""

    AUTO_FOCUS = "*"

    BINDINGS: ClassVar[list[BindingType]] = _SHUT

    def __init__(self, title: str, text: Text) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        """A box with a title."""
        box = VerticalScroll(Static(self._text), classes="box")
        box.border_title, box.border_subtitle = escape(line(self._title)), "Esc shuts"
        yield box

    def action_shut(self) -> None:
        """Back to the player."""
        self.dismiss(None)


class Kinds(ModalScreen["frozenset[str] | None"]):
    """Kinds of events to choose from."""

    AUTO_FOCUS = "*"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "shut", priority=True),
        Binding("enter", "take", priority=True),
        Binding("a", "all"),
    ]

    def __init__(self, counts: Mapping[str, int], chosen: frozenset[str]) -> None:
        super().__init__()
        self._counts, self._chosen = counts, chosen

    def compose(self) -> ComposeResult:
        """A list with a box to tick for each kind."""
        self._list = SelectionList[str](
            *(
                Selection(Text(f"{line(kind)} ({count:,})"), kind, kind in self._chosen)
                for kind, count in self._counts.items()
            ),
            classes="box",
        )
        self._list.border_title, self._list.border_subtitle = "Kinds of events", "Space ticks, a: all"
        yield self._list

    def action_all(self) -> None:
        """Tick all, or none when all are."""
        (self._list.deselect_all if len(self._list.selected) == len(self._counts) else self._list.select_all)()

    def action_take(self) -> None:
        """Back with what is ticked."""
        self.dismiss(frozenset(self._list.selected))

    def action_shut(self) -> None:
        """Back as it was."""
        self.dismiss(None)


class Listing(Vertical):
    """Sessions to choose from: what is typed filters them, the arrows choose, Enter opens."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move('up')", priority=True),
        Binding("down", "move('down')", priority=True),
        Binding("pageup", "move('page_up')", priority=True),
        Binding("pagedown", "move('page_down')", priority=True),
        Binding("escape,tab", "shut", priority=True),
    ]

    class Opened(Message):
        """A session was chosen."""

        def __init__(self, session_id: str) -> None:
            super().__init__()
            self.session_id = session_id

    class Shut(Message):
        """Nothing was chosen."""

    def __init__(self) -> None:
        super().__init__(id="listing")
        self._rows: Sequence[tuple[str, str]] = ()

    def compose(self) -> ComposeResult:
        """A field to type in, over the list."""
        yield Input(placeholder="type to filter", compact=True)
        options = OptionList()
        options.can_focus = False
        yield options

    def fill(self, rows: Iterable[tuple[str, str]]) -> None:
        """Show these sessions: an id and a line each."""
        self._rows = [(session_id, line(text)) for session_id, text in rows]
        self._filter(self.query_one(Input).value)

    @property
    def empty(self) -> bool:
        """Whether it was never filled, or with nothing."""
        return not self._rows

    def say(self, words: str) -> None:
        """Why it does not open."""
        self.border_subtitle = escape(line(words))

    def ready(self) -> None:
        """What is typed now filters."""
        self.query_one(Input).focus()

    def on_input_changed(self, changed: Input.Changed) -> None:
        """Only sessions with all the words that were typed."""
        changed.stop()
        self._filter(changed.value)

    def on_input_submitted(self, submitted: Input.Submitted) -> None:
        """Open the session that is marked."""
        submitted.stop()
        options = self.query_one(OptionList)
        if options.highlighted is not None:
            self._open(options.get_option_at_index(options.highlighted))

    def on_option_list_option_selected(self, selected: OptionList.OptionSelected) -> None:
        """Open the session that was clicked."""
        selected.stop()
        self._open(selected.option)

    def action_move(self, way: str) -> None:
        """Another session."""
        options = self.query_one(OptionList)
        getattr(options, f"action_{way}" if way.startswith("page") else f"action_cursor_{way}")()

    def action_shut(self) -> None:
        """Back to the session."""
        self.post_message(self.Shut())

    def _open(self, option: Option) -> None:
        if option.id is not None:
            self.post_message(self.Opened(self._rows[int(option.id)][0]))

    def _filter(self, typed: str) -> None:
        words = typed.casefold().split()
        wanted = [
            Option(Text(text, no_wrap=True, overflow="ellipsis"), id=str(number))
            for number, (session_id, text) in enumerate(self._rows)
            if all(word in f"{session_id} {text}".casefold() for word in words)
        ]
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(wanted)
        options.highlighted = 0 if wanted else None
        self.border_subtitle = ""
        self.border_title = f"{len(wanted):,} of {len(self._rows):,} sessions"
