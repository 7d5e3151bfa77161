"""Keyed pseudonyms: the same id has the same one for the same key, and nobody without the key finds the way back."""

from __future__ import annotations

import hmac
import re
from typing import Final

MIN_KEY: Final = 16  # characters; a shorter key can be guessed, and with it every id

_MADE = re.compile(r"anon-[0-9a-f]{32}")
_SESSION_ID = re.compile(r"user_(.+)_(\d+)_([^_]+)")


def pseudonym(key: str, user_id: str) -> str:
    """`anon-` and 128 bits of HMAC-SHA-256; a pseudonym stays what it is.

    >>> pseudonym("k" * 16, "alice")
    'anon-67e153c55aef1ab9a732cf42ddba1ec7'
    >>> pseudonym("k" * 16, pseudonym("k" * 16, "alice")) == pseudonym("k" * 16, "alice")
    True
    """
    if _MADE.fullmatch(user_id):
        return user_id
    digest = hmac.digest(key.encode(), f"user\0{user_id}".encode("utf-8", "replace"), "sha256")
    return f"anon-{digest.hex()[:32]}"


def session_pseudonym(key: str, session_id: str) -> str:
    """A session id without the user's: the user's part of `user_<user>_<epoch ms>_<random>`, else the whole id.

    >>> session_pseudonym("k" * 16, "user_alice_1730000000000_9f2c")
    'user_anon-67e153c55aef1ab9a732cf42ddba1ec7_1730000000000_9f2c'
    """
    parts = _SESSION_ID.fullmatch(session_id)
    if parts is None:
        return pseudonym(key, session_id)
    return f"user_{pseudonym(key, parts[1])}_{parts[2]}_{parts[3]}"
