"""Types of settings: what a value must be to be taken."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

NAME: Final = r"^[^\s\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]([^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*\S)?$"
Name = Annotated[str, Meta(min_length=1, max_length=256, pattern=NAME)]
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
AtLeastOne = Annotated[int, Meta(ge=1)]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section of the settings: a name that it does not know is refused."""


class Secret:
    """A text that nothing shows: no log, no message, no traceback."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __bool__(self) -> bool:
        return bool(self._text)


def made(kind: type[Any], value: Any) -> Any:
    """A Secret or a Path from the text that the settings give, for msgspec. Raises ValueError for anything else."""
    if not isinstance(value, str | Path | Secret):
        raise ValueError(f"Expected `str`, got `{type(value).__name__}`")
    return value if isinstance(value, kind) else kind(value)
