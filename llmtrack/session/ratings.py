"""Thumbs, in the words of whoever stored them."""

from __future__ import annotations

from typing import Any, Final

from llmtrack.session.ids import name

UP: Final = "up"
DOWN: Final = "down"
_UPS: Final = ("up", "thumbsup", "thumbup", "1", "positive", "good", "like", "liked", "true")
_DOWNS: Final = ("down", "thumbsdown", "thumbdown", "-1", "negative", "bad", "dislike", "disliked", "false")
_THUMBS: Final = dict.fromkeys(_UPS, UP) | dict.fromkeys(_DOWNS, DOWN)


def thumb(value: Any) -> str | None:
    """A rating as up or down; None when it is neither.

    >>> thumb("thumbs_up"), thumb(-1), thumb({"rating": "thumbsUp"}), thumb("neutral")
    ('up', 'down', 'up', None)
    """
    if isinstance(value, dict):
        value = value.get("rating")
    said = (name(value) or "").strip().lower()
    return _THUMBS.get(said) or _THUMBS.get(said.replace("_", "").replace("-", "").replace(" ", ""))
