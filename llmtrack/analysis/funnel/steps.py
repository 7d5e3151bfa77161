"""The step language of funnels: text to small records, with errors that point at the character.

A step is `name=alternatives` or alternatives alone; alternatives are joined by `|`:

    step         [name =] alternative { | alternative }
    alternative  (type | * | visit) [ "[" condition { , condition } "]" ]
    condition    field (= | != | > | >= | < | <= | ~) value

`*` is any recorded event, `visit` the start of a session. Names and values with special characters stand in double
quotes (`\\"` is a quote); a quoted "visit" or "*" is an application's own event of that name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from llmtrack.errors import UsageError
from llmtrack.session.schema import CHAT, EVENT_TYPES, NEW_CHAT
from llmtrack.session.values import several

OPERATORS: Final = ("!=", ">=", "<=", "=", ">", "<", "~")  # two characters first: they are tried in this order
MAX_STEPS: Final = 12  # the matching keeps a set of steps in 16 bits, and two bits are taken

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WRITTEN = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")  # a number as programs write it
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_EVENTS: Final = ("*", "visit", *EVENT_TYPES, "any other event name")


class StepError(UsageError):
    """A step cannot be read: `text`, the `position` in it (from 0), and what is `allowed` there.

    `message` and `hint` are a line each; `str()` has between them the text with a caret under the character.
    """

    def __init__(self, text: str, position: int, expected: str, allowed: Iterable[str]) -> None:
        self.text, self.position, self.allowed = text, position, tuple(allowed)
        super().__init__(
            f"Cannot read {text!r}: {expected} at character {position + 1}.",
            f"Allowed here: {'  '.join(self.allowed)}",
        )

    def __str__(self) -> str:
        shown = "".join(each if each.isprintable() else " " for each in self.text)
        return f"{self.message}\n    {shown}\n    {' ' * self.position}^\n{self.hint}"


class Condition(NamedTuple):
    """One test of a data field: a number is compared as a number, text as text, a missing field as empty text.

    A dotted field lies in the objects of the data: `meta.lang`.
    """

    field: str
    operator: str
    value: str

    @property
    def number(self) -> float | None:
        """The value as a number, None when it is none."""
        return float(self.value) if _NUMBER.fullmatch(self.value) else None

    def holds(self, value: Any) -> bool:
        """Whether a field's value passes, or any member of a list.

        `!=` is the negation of `=`, a comparison with no number is false.
        """
        if self.operator == "!=":
            return not self._replace(operator="=").holds(value)
        if isinstance(value, list):
            return any(map(self.holds, value)) if value else self.holds(None)
        if self.operator == "~":
            return re.search(self.value, _text(value)) is not None
        if self.operator == "=":
            return self._equals(value)
        number, limit = _number(value), self.number
        if number is None or limit is None:
            return False
        return {">": number > limit, ">=": number >= limit, "<": number < limit, "<=": number <= limit}[self.operator]

    def _equals(self, value: Any) -> bool:
        if isinstance(value, str) and not _WRITTEN.fullmatch(value):  # "05" is a text
            return value == self.value
        if self.number is not None and (number := _number(value)) is not None:
            return number == self.number
        return _text(value) == self.value


class Alternative(NamedTuple):
    """One event type with its conditions, all of which must hold."""

    type: str
    conditions: tuple[Condition, ...] = ()
    any: bool = False  # `*`: any recorded event; `type` is "*"
    visit: bool = False  # the start of a session; `type` is "visit"


class Step(NamedTuple):
    """A named step: an event that fits one of the alternatives fills it."""

    name: str
    alternatives: tuple[Alternative, ...]

    @property
    def visit(self) -> bool:
        """Whether the start of a session fills it."""
        return any(alternative.visit for alternative in self.alternatives)


def parse_step(text: str) -> Step:
    """One step from its text; an unnamed step is called by its alternatives. Raises StepError.

    >>> parse_step("slow=model_response[latency_ms>3000]").alternatives[0].conditions
    (Condition(field='latency_ms', operator='>', value='3000'),)
    """
    return _Reader(text).step()


def parse_steps(texts: str | Iterable[str | Step]) -> tuple[Step, ...]:
    """Steps with distinct names: of equal ones the second is called `name (2)`; a text alone is one step.

    Raises StepError, UsageError.

    >>> [step.name for step in parse_steps(["prompt", "prompt", "done=copy|selection"])]
    ['prompt', 'prompt (2)', 'done']
    """
    steps = [step if isinstance(step, Step) else parse_step(step) for step in several(texts)]
    if not 1 <= len(steps) <= MAX_STEPS:
        raise UsageError(
            f"A funnel has 1 to {MAX_STEPS} steps, this one has {len(steps)}.", "Give --step once per step."
        )
    taken: set[str] = set()
    named = []
    for step in steps:
        name, n = step.name, 1
        while name in taken:
            n += 1
            name = f"{step.name} ({n})"
        taken.add(name)
        named.append(step._replace(name=name))
    return tuple(named)


def fields(steps: Iterable[Step]) -> tuple[str, ...]:
    """The data fields that these steps read, sorted: those of their conditions, and the chats that place a new_chat.

    >>> fields(parse_steps(["click[target=A]", "prompt|click[x>5]"]))
    ('target', 'x')
    """
    found = [each for step in steps for each in step.alternatives]
    chats = {CHAT for each in found if each.type == NEW_CHAT}
    named = {condition.field for each in found for condition in each.conditions}
    return tuple(sorted(chats | named | {name.partition(".")[0] for name in named}))


class _Reader:
    """Reads one step from left to right; `at` is the next character."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def step(self) -> Step:
        name, alternatives = "", [self.alternative(first=True)]
        if self.take("="):
            if alternatives[0].conditions:
                self.at -= 1
                raise self.error("the step already began with conditions", ("|", "end of the step"))
            name, alternatives = alternatives[0].type, [self.alternative()]
        while self.take("|"):
            alternatives.append(self.alternative())
        if self.at < len(self.text):
            ends = ("|", "end of the step") if alternatives[-1].conditions else ("|", "[", "end of the step")
            raise self.error("the step should end", ends)
        return Step(name or self.text.strip(), tuple(alternatives))

    def alternative(self, first: bool = False) -> Alternative:
        begin = self.skip()
        quoted = self.text[begin : begin + 1] == '"'
        name = self.value('=|[]",') if not quoted else self.quoted()
        if not name:
            self.at = begin
            raise self.error("an event is expected", ("name=", *_EVENTS) if first else _EVENTS)
        visit, any_ = name == "visit" and not quoted, name == "*" and not quoted
        opened = self.at
        conditions: list[Condition] = []
        if self.take("["):
            if visit:
                self.at = opened
                raise self.error("`visit` has no data to test", ("|", "end of the step"))
            conditions.append(self.condition())
            while self.take(","):
                conditions.append(self.condition())
            if not self.take("]"):
                raise self.error("the condition should end", (",", "]"))
        return Alternative(name, tuple(conditions), any_, visit)

    def condition(self) -> Condition:
        begin = self.skip()
        field = self.quoted() if self.text[begin : begin + 1] == '"' else self.value('=!<>~,[]|" \t')
        if not field:
            raise self.error("a data field is expected", ("the name of a field, as target or latency_ms",))
        operator = next((each for each in OPERATORS if self.take(each)), None)
        if operator is None:
            raise self.error("an operator is expected", ("=", "!=", ">", ">=", "<", "<=", "~"))
        begin = self.skip()
        quoted = self.text[begin : begin + 1] == '"'
        value = self.quoted() if quoted else self.value(',]"')
        condition = Condition(field, operator, value)
        if not quoted and (not value or value[0] in "=<>~!"):
            self.at = begin
            raise self.error("a value is expected", ("a number", "a word", '"text in quotes"'))
        if operator in (">", ">=", "<", "<=") and condition.number is None:
            self.at = begin
            raise self.error("a number is expected", ("a number, as 3000 or 0.5",))
        if operator == "~":
            self.check_pattern(value, begin + quoted)
        return condition

    def check_pattern(self, pattern: str, begin: int) -> None:
        try:
            re.compile(pattern)
        except re.error as error:
            self.at = min(begin + (error.pos or 0), len(self.text))
            fault = f"the regular expression has a fault ({error.msg})"
            raise self.error(fault, ("a Python regular expression",)) from None

    def quoted(self) -> str:
        """The text in quotes from here. A backslash stays, for regular expressions need it, but for `\\"`."""
        found = _QUOTED.match(self.text, self.at)
        if not found:
            raise self.error("the quote that opens is never closed", ('a closing "',))
        self.at = found.end()
        self.skip()
        return found[1].replace('\\"', '"')

    def value(self, stops: str) -> str:
        """What stands from here to one of `stops`, without the spaces around it."""
        begin = self.skip()
        while self.at < len(self.text) and self.text[self.at] not in stops:
            self.at += 1
        value = self.text[begin : self.at].strip()
        self.skip()
        return value

    def take(self, mark: str) -> bool:
        if not self.text.startswith(mark, self.at):
            return False
        self.at += len(mark)
        return True

    def skip(self) -> int:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.at

    def error(self, expected: str, allowed: Iterable[str]) -> StepError:
        return StepError(self.text, self.at, expected, allowed)


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value.strip()) else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return None
