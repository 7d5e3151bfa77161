"""Text that is safe on a terminal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


# Controls (C0 but tab and newline, DEL, C1), bidi overrides and marks, line and paragraph separators, lone surrogates
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
# The whole of an escape sequence, so that its letters do not stay behind: CSI; OSC, DCS, … up to their end; two bytes
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-Z\\^-~]"
)


def safe(text: object) -> str:
    """Text without what could command a terminal: escape sequences, controls, bidi overrides.

    Tabs and newlines stay; carriage returns before a newline go.

    >>> safe("\\x1b[31mred\\x1b[0m \\x1b]8;;http://x\\x07link\\u202e")
    'red link'
    """
    return _UNSAFE.sub("", _SEQUENCE.sub("", str(text)))


def line(text: object) -> str:
    """`safe` text on one line: every run of white space becomes one space."""
    return " ".join(safe(text).split())
