"""Draws a session: in colour on a terminal, with rendered markdown; elsewhere as plain text. When is not its matter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Self

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from llmtrack.cli.drawing.numbers import clock, duration
from llmtrack.cli.drawing.text import line, safe
from llmtrack.session.schema import COPY, MODEL_RESPONSE, NEW_CHAT, PROMPT, SELECTION

if TYPE_CHECKING:
    from llmtrack.analysis.interaction.timeline import Moment, Silence
    from llmtrack.cli.replay.sentences import Sentence

_STYLES = {
    PROMPT: "bold cyan",
    MODEL_RESPONSE: "bold green",
    COPY: "yellow",
    SELECTION: "yellow",
    NEW_CHAT: "cyan",
}
LABEL = 8  # columns of the header's labels, and at least of the times
READABLE = 100  # columns of a text: longer lines are hard to read
THEME = Theme({"markdown.code": "cyan", "markdown.h1": "bold underline"})
_TICK_S = 0.1


class Drawing:
    """A session in pieces that rich can render: what is known about it, its events, how it ended."""

    def __init__(self, length_s: float, *, terminal: bool) -> None:
        self.length_s = length_s
        self.terminal = terminal
        self.width = max(LABEL, len(clock(length_s)))

    def facts(self, rows: Iterable[tuple[str, str]]) -> Iterator[RenderableType]:
        """What is known about the session as a whole, a label and a value a row."""
        known = list(rows)
        width = max(self.width, *(len(label) for label, _ in known))
        for label, value in known:
            yield self._row(Text(f"{label:>{width}}", "dim"), Text(line(value)))
        yield Text()

    def moment(self, moment: Moment, sentence: Sentence, *, first: bool = False) -> Iterator[RenderableType]:
        """An event, after the silence that it ended; what somebody wrote stands below it."""
        if moment.silence:
            yield self.silence(moment.silence)
        if moment.event["type"] == PROMPT and not first:
            yield Text()  # a new turn
        style = "bold red" if sentence.failed else _STYLES.get(moment.event["type"], "")
        text = Text(sentence.text, style)
        if sentence.detail:
            text.append(f"  {sentence.detail}", "dim not bold")
        yield self._row(Text(f"{clock(moment.at_s):>{self.width}}", "dim"), text)
        if sentence.body:
            rendered = moment.event["type"] == MODEL_RESPONSE and not sentence.failed
            yield _Quote(self._body(sentence.body, rendered), self.width + 2, Style.parse(style))

    def silence(self, silence: Silence) -> RenderableType:
        """A stretch without events, by its name."""
        return self._row(Text(" " * self.width), Text(f"⋯ {silence.kind} {duration(silence.seconds)}", "dim italic"))

    def end(self, how: str, spent: str, silence: Silence | None) -> Iterator[RenderableType]:
        """How the session ended, and where its time went."""
        if silence:
            yield self.silence(silence)
        yield self._row(Text(f"{clock(self.length_s):>{self.width}}", "dim"), Text(how, "bold"))
        if spent:
            yield self.remark(spent)

    def remark(self, text: str) -> RenderableType:
        """A line of the replay's own."""
        return self._row(Text(" " * self.width), Text(line(text), "dim"))

    def _row(self, label: Text, text: Text) -> RenderableType:
        if not self.terminal:
            return Text.assemble(label, "  ", text, end="")
        row = Table.grid(padding=(0, 2, 0, 0))
        row.add_column(no_wrap=True)
        row.add_column(overflow="fold")
        row.add_row(label, text)
        return row

    def _body(self, text: str, rendered: bool) -> RenderableType:
        if rendered and self.terminal:
            from llmtrack.cli.replay.markdown import Answer

            return Answer(text)
        return Text(text, overflow="fold")


class Screen:
    """Where a replay is printed. `live` shows the position in the session below it, while it plays."""

    def __init__(self, console: Console, length_s: float, speed: float = 1.0, *, live: bool = False) -> None:
        self.console = console
        self.console.push_theme(THEME)
        self.drawing = Drawing(length_s, terminal=console.is_terminal)
        self.length_s = length_s
        self.speed = speed
        self.talked = False
        self.at_s = 0.0
        self.live = Live(console=console, auto_refresh=False, transient=True) if live else None

    def __enter__(self) -> Self:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def facts(self, rows: Iterable[tuple[str, str]]) -> None:
        """What is known about the session as a whole."""
        self._print(self.drawing.facts(rows))

    def moment(self, moment: Moment, sentence: Sentence) -> None:
        """An event."""
        self._print(self.drawing.moment(moment, sentence, first=not self.talked))
        self.talked = True
        self.position(moment.at_s)

    def end(self, how: str, spent: str, silence: Silence | None) -> None:
        """How the session ended, and where its time went."""
        self._print(self.drawing.end(how, spent, silence))

    def remark(self, text: str) -> None:
        """A line of the replay's own."""
        self._print([self.drawing.remark(text)])

    def position(self, at_s: float) -> None:
        """Where in the session we are, on a last line that leaves no trace."""
        self.at_s = at_s
        if self.live:
            pace = f"  {self.speed:g}x" if self.speed != 1 else ""
            shown = f"{clock(at_s):>{self.drawing.width}}  of {clock(self.length_s)}{pace}  Ctrl-C ends"
            self.live.update(Text(shown, "dim", no_wrap=True, overflow="ellipsis"), refresh=True)

    def _print(self, pieces: Iterable[RenderableType]) -> None:
        for piece in pieces:
            self.console.print(piece)


class _Quote:
    """A text with a bar along its left side. Whatever markdown made of it, it is `safe` once more."""

    def __init__(self, content: RenderableType, indent: int, style: Style) -> None:
        self.content = content
        self.indent = indent
        self.bar = Style(color=style.color)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = max(20, options.max_width - self.indent - 3)
        width = min(room, READABLE) if console.is_terminal else room
        gap = False
        for row in console.render_lines(self.content, options.update(width=width), pad=False):
            # entities in markdown can spell what was not in the text: &#x202e; is a bidi override
            pieces = [Segment(safe(text), style) for text, style, control in row if not control]
            if not isinstance(self.content, Text) and _is_blank(pieces):
                gap = True  # rendered markdown has several around tables: one is enough, none at the end
                continue
            if gap:
                yield from self._line([])
            gap = False
            yield from self._line(pieces)

    def _line(self, pieces: Sequence[Segment]) -> Iterable[Segment]:
        return [Segment(" " * self.indent), Segment("│ " if pieces else "│", self.bar), *pieces, Segment.line()]


def _is_blank(pieces: Sequence[Segment]) -> bool:
    return all(not text.strip() and not (style and style.bgcolor) for text, style, _ in pieces)


def play(
    scheduled: Iterable[tuple[float, Moment]],
    sentences: Sequence[Sentence],
    screen: Screen,
    now: Callable[[], float],
    sleep: Callable[[float], None],
) -> None:
    """Draw every moment when it is due, by the clock `now` (seconds) and `sleep`."""
    begun, due_before, at_before = now(), 0.0, None
    for due, moment in scheduled:
        while (left := begun + due - now()) > 0:
            if at_before is not None:  # the position runs evenly through the pause, however much it is shortened
                screen.position(moment.at_s - (moment.at_s - at_before) * left / (due - due_before))
            sleep(min(left, _TICK_S))
        screen.moment(moment, sentences[moment.number - 1])
        due_before, at_before = due, moment.at_s
