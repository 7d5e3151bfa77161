"""What a session and an event are: names, units, limits, and the bodies the collector accepts."""

from __future__ import annotations

import math
import re
import secrets
from typing import Any, Final

SCHEMA_VERSION: Final = 1
# Events that llmtrack itself knows. Any other name is an application's own event: kept, counted, shown.
SCROLL: Final = "scroll"
CLICK: Final = "click"
SELECTION: Final = "selection"
COPY: Final = "copy"
ACTIVITY: Final = "activity"
VISIBILITY: Final = "visibility"
VIEW: Final = "view"  # how long an answer was on the screen, and how far it was seen
NAVIGATION: Final = "navigation"
PROMPT: Final = "prompt"
MODEL_RESPONSE: Final = "model_response"
NEW_CHAT: Final = "new_chat"
FEEDBACK: Final = "feedback"  # a thumb
BROWSE: Final = "browse"  # a page's script notes its own address with it, after each answer
ERROR: Final = "error"  # a failed answer, as other writers store it
CHAT: Final = "chat_session_id"  # the field of an event's data that names its chat
EVENT_TYPES: Final = (
    SCROLL,
    CLICK,
    SELECTION,
    COPY,
    ACTIVITY,
    VISIBILITY,
    VIEW,
    NAVIGATION,
    PROMPT,
    MODEL_RESPONSE,
    NEW_CHAT,
)
IDLE_AFTER_S: Final = 30  # the tracker calls a person idle after this long without interaction
SILENT_AFTER_S: Final = 30 * 60  # a session without end that is silent for longer is no longer open
MAX_BODY_BYTES: Final = 256 * 1024
MAX_EVENTS: Final = 500
MAX_COMPLETION_BYTES: Final = 16 * 1024 * 1024  # a chat's messages, which may hold pictures
MAX_N: Final = 2**31
MAX_TEXT: Final = 100_000  # characters of one string in an event
MAX_DEPTH: Final = 12
MAX_KEYS: Final = 200  # members of one object or list in an event
MAX_QUERY: Final = 32_000  # characters of one prompt
MAX_T_MS: Final = 4_102_444_800_000  # 2100-01-01: a later stamp is an error of units, not a time
EARLIEST_T_MS: Final = 1_577_836_800_000  # 2020-01-01: an earlier stamp is an error of units, not a time
AHEAD_MS: Final = 24 * 3600 * 1000  # a stamp further ahead of the server's clock is no matter of zones any more
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SESSION_ID = re.compile(r"[A-Za-z0-9._@+:~=-]{1,256}")
_TYPE = re.compile(r"[^\x00-\x1f\x7f]{1,100}")


def well_formed(text: str) -> str:
    """Text without lone surrogates, which BSON and UTF-8 cannot hold (each becomes U+FFFD)."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def storable(value: Any, depth: int = 0) -> Any:
    """A JSON value as any MongoDB-compatible server can hold it.

    Cuts strings at MAX_TEXT, objects and lists at MAX_KEYS, nesting at MAX_DEPTH; integers beyond 64 bits become
    floats; NaN and infinities become null; in keys `$` and `.` become their full-width twins and NUL goes.
    """
    if isinstance(value, str):
        return well_formed(value[:MAX_TEXT])
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth >= MAX_DEPTH:
        return None
    if isinstance(value, dict):
        items = list(value.items())[:MAX_KEYS]
        return {_key(str(key)): storable(member, depth + 1) for key, member in items}
    if isinstance(value, list):
        return [storable(member, depth + 1) for member in value[:MAX_KEYS]]
    return well_formed(str(value)[:MAX_TEXT])


def _key(key: str) -> str:
    return well_formed(key[:MAX_KEYS].replace("\x00", "").replace("$", "\uff04").replace(".", "\uff0e"))


def plausible(t: float, now_ms: int) -> bool:
    """Whether a stamp can be a moment of a session: not before 2020, nor more than a day ahead of the server's clock.

    Clocks and zones that are merely wrong pass: readers move a session's clock as a whole.
    """
    return EARLIEST_T_MS <= t <= now_ms + AHEAD_MS


def new_session_id(user_id: str, now_ms: int) -> str:
    """`user_<user>_<epoch ms>_<random>`, with 80 random bits; characters unfit for a URL are left out of <user>."""
    user = re.sub(r"[^A-Za-z0-9.-]", "", user_id)[:64] or "anonymous"
    return f"user_{user}_{now_ms}_{secrets.token_hex(10)}"


def is_session_id(value: str) -> bool:
    """Whether a collector gives or takes such an id."""
    return _SESSION_ID.fullmatch(value) is not None
