"""What the keys of the player do: one table for the player, its help and the docs."""

from __future__ import annotations

from typing import Final, NamedTuple


class Key(NamedTuple):
    """Keys, the action of the player that they start, and what it does."""

    keys: tuple[str, ...]
    action: str
    does: str
    shown: str = ""

    @property
    def name(self) -> str:
        """The keys as people read them."""
        return self.shown or " ".join(self.keys)


KEYS: Final = (
    Key(("space",), "play", "play, pause"),
    Key(("right", "."), "step(1)", "the next event", "→ ."),
    Key(("left",), "step(-1)", "the event before", "←"),
    Key(("]",), "question(1)", "the next question"),
    Key(("[",), "question(-1)", "the question before"),
    Key(("0",), "jump(0)", "to that tenth of the timeline", "0-9"),
    *(Key((str(tenth),), f"jump({tenth})", "") for tenth in range(1, 10)),
    Key(("+", "="), "faster(1)", "faster", "+"),
    Key(("-",), "faster(-1)", "slower"),
    Key(("up",), "scroll(1)", "scroll by a line", "↑ ↓"),
    Key(("down",), "scroll(-1)", ""),
    Key(("pageup",), "page(1)", "scroll by a page", "Page ↑ ↓"),
    Key(("pagedown",), "page(-1)", ""),
    Key(("home",), "jump(0)", "to the beginning", "Home"),
    Key(("end",), "jump(10)", "to the end", "End"),
    Key(("/",), "ask('/')", "find words in what was asked, answered, copied"),
    Key(("n",), "find(1)", "find the next"),
    Key(("N",), "find(-1)", "find the one before"),
    Key(("g",), "ask('g')", "go to a time or an event: 90s, 1:30, prompt#2, #14"),
    Key(("f",), "kinds", "choose kinds of events"),
    Key(("enter",), "fields", "all fields of the event", "Enter"),
    Key(("l", "tab"), "listing", "the list of sessions", "l Tab"),
    Key(("?",), "help", "these keys"),
    Key(("q", "ctrl+q"), "leave(0)", "leave, and say where to go on", "q"),
    Key(("ctrl+c",), "leave(130)", ""),
)


def table() -> list[tuple[str, str]]:
    """Keys and what they do, for people."""
    return [(key.name, key.does) for key in KEYS if key.does]
