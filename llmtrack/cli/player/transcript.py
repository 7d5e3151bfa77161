"""What has happened so far, the event of now at the bottom; drawn as plain replay draws it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.strip import Strip
from textual.widget import Widget

from llmtrack.cli.replay.plain import THEME

_HERE, _THERE = "▌ ", "  "  # before the lines of the event of now, and of the others
_FOUND = RichStyle(reverse=True)

Block = Callable[[int], Iterable[RenderableType]]  # what stands in a block, by its number


class Transcript(Widget):
    """Blocks of lines of which those up to `last` are seen; `back` lines of them are below the window."""

    def __init__(self) -> None:
        super().__init__()
        self._block: Block = lambda _: ()
        self._lines: dict[int, list[Strip]] = {}
        self._window: list[Strip] = []
        self.last, self.back, self.wanted = 0, 0, ""

    def draw(self, block: Block) -> None:
        """Other blocks from now on."""
        self._block = block
        self.forget()

    def forget(self) -> None:
        """The blocks have changed."""
        self._lines.clear()

    def show(self, last: int, wanted: str = "") -> None:
        """Show the blocks up to `last`, from its beginning when it is higher than the window."""
        self.last, self.wanted = last, wanted
        self.back = max(0, len(self._of(last)) - self.size.height)
        self._fill()

    def move(self, lines: int) -> None:
        """Scroll up by so many lines (down: less than 0)."""
        self.back = max(0, self.back + lines)
        self._fill()

    def on_resize(self) -> None:
        """Lines are broken anew."""
        self._lines.clear()
        self.show(self.last, self.wanted)

    def render_line(self, y: int) -> Strip:
        """A line of the window."""
        return (
            self._window[y].extend_cell_length(self.size.width)
            if y < len(self._window)
            else Strip.blank(self.size.width)
        )

    def _fill(self) -> None:
        """The lines of the window: the last ones of the blocks, as many as there is room for."""
        height, lines = self.size.height, list[Strip]()
        block = self.last
        while block >= 0 and len(lines) < height + self.back:
            lines = [*self._marked(block), *lines]
            block -= 1
        self.back = min(self.back, max(0, len(lines) - height))
        end = len(lines) - self.back
        self._window = [self._highlighted(strip) for strip in lines[max(0, end - height) : end]]
        self.refresh()

    def _of(self, block: int) -> list[Strip]:
        if block not in self._lines:
            width = max(20, self.size.width - cell_len(_HERE))
            console = Console(
                file=io.StringIO(), width=width, force_terminal=True, color_system="standard", markup=False,
                highlight=False, emoji=False, theme=THEME, legacy_windows=False, _environ={},
            )  # fmt: skip
            rows = console.render_lines(Group(*self._block(block)), console.options.update(width=width), pad=False)
            self._lines[block] = [Strip(row) for row in rows]
        return self._lines[block]

    def _marked(self, block: int) -> list[Strip]:
        mark = _HERE if block == self.last else _THERE
        return [Strip.join([_plain(mark), strip]) for strip in self._of(block)]

    def _highlighted(self, strip: Strip) -> Strip:
        if not self.wanted:
            return strip
        text, cuts = strip.text, list[int]()
        for found in re.finditer(re.escape(self.wanted), text, re.IGNORECASE):
            cuts += [cell_len(text[: found.start()]), cell_len(text[: found.end()])]
        if not cuts:
            return strip
        pieces = strip.divide([*cuts, strip.cell_length])
        return Strip.join([piece.apply_style(_FOUND) if number % 2 else piece for number, piece in enumerate(pieces)])


def _plain(text: str) -> Strip:
    return Strip([Segment(text)])
