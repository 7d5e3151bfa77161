"""What is planted in the sample sessions: groups, shares, and how they differ."""

from __future__ import annotations

from typing import NamedTuple


class Group(NamedTuple):
    """One arm and the numbers planted in it; shares are chances per opportunity."""

    name: str
    latency_ms: float  # median; log-normal around it
    copied: float  # share of the answers that are copied at least once; each copied one is copied 1.25 times
    reask: float  # share of a chat's later prompts that ask the same again
    error: float  # share of the prompts that fail
    turns: float  # prompts a chat, before errors and leaving cut some short


EXPERIMENT = "production_v1"
SEED = 34  # one by which the equal numbers below came out about equal in all groups
GROUPS = (  # the first is the control; each other group differs from it in the numbers that are not its own
    Group("base-7b", latency_ms=2000, copied=0.18, reask=0.10, error=0.02, turns=2.6),
    Group("deep-70b", latency_ms=4800, copied=0.36, reask=0.10, error=0.02, turns=3.4),
    Group("fast-3b", latency_ms=800, copied=0.18, reask=0.28, error=0.05, turns=2.6),
)
# Equal in all groups
BOUNCES = 0.08  # visits without a prompt
UNANSWERED = 0.012  # prompts whose sender leaves before the answer
GONE = 0.08  # chats whose person leaves after the last answer without another sign of life
CHATS = 0.25  # chance of one more chat in a visit
RELOADS = 0.04  # visits that go on in a reloaded page: a new session, the same chat
COPIED_TWICE = 0.25  # copied answers that are copied a second time
NO_END = 0.04  # visits without end_time, as a crashed page leaves them
TIMED_OUT = 0.08  # visits ended by the server
OPEN = 4  # visits that are going on
DAYS = 21
