"""Text that is safe on a terminal."""

from __future__ import annotations

import re

# Controls (C0 but tab and newline, DEL, C1), bidi overrides and marks, line and paragraph separators, lone surrogates
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
# The whole of an escape sequence, so that its letters do not stay behind: CSI; OSC, DCS, … up to their end; two bytes.
# Those that begin with a C1 control lose it alone: far more often it is a letter of UTF-8 that was read as Latin-1.
_SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-Z\\^-~]"
)


def safe(text: object) -> str:
    """Text without what could command a terminal: escape sequences, controls, bidi overrides.

    Tabs and newlines stay; carriage returns before a newline go.

    >>> safe("\\x1b[31mred\\x1b[0m \\x1b]8;;http://x\\x07link\\u202e")
    'red link'
    >>> safe("it\u00e2\x80\x99s a \u00e2\x80\x9cword\u00e2\x80\x9d, and goes on")
    'itâs a âwordâ, and goes on'
    """
    return _UNSAFE.sub("", _SEQUENCE.sub("", str(text)))


def line(text: object) -> str:
    """`safe` text on one line: every run of white space becomes one space."""
    return " ".join(safe(text).split())
