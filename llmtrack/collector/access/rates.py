"""How much anybody may ask for: requests a minute by session, user and address. Beyond it: 429, and when to come back.

Kept in the worker's memory: several workers together allow as many times as much.
"""

from __future__ import annotations

import ipaddress
import math
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from llmtrack.collector.errors import Overload
from llmtrack.config import Limits

MINUTE_S = 60
MAX_KEYS = 20_000  # of one limit: 4 MB with the tracker's ids, 8 MB with the longest; senders invent ids


class Rate:
    """So many a minute for each key, all at once if need be (the generic cell rate algorithm, ITU-T I.371).

    A key is one float: when its allowance will be whole again. Beyond `max_keys` the one used longest ago is forgotten,
    which allows more, never less. 0 a minute means no limit.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic, max_keys: int = MAX_KEYS) -> None:
        self._every_s = MINUTE_S / per_minute if per_minute else 0.0
        self._clock, self._max_keys = clock, max_keys
        self._whole_at: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._whole_at)

    def take(self, key: str) -> float:
        """0 and one less to spare; or the seconds until there is one again, and nothing is taken."""
        if not self._every_s:
            return 0.0
        now = self._clock()
        with self._lock:
            whole_at = max(self._whole_at.get(key, now), now) + self._every_s
            wait_s = whole_at - MINUTE_S - now
            refused = wait_s > 1e-9
            if not refused:
                self._whole_at[key] = whole_at
            self._whole_at.move_to_end(key)
            if len(self._whole_at) > self._max_keys:
                self._whole_at.popitem(last=False)
        return wait_s if refused else 0.0


class RateLimits:
    """The limits of [limits] in llmtrack.toml. Each method raises Overload (429)."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        names = [f"{what}_per_{whose}" for what in ("requests", "queries") for whose in ("session", "user", "address")]
        self._rates = {name: Rate(getattr(limits, name), clock) for name in names}

    def address(self, address: str) -> None:
        """One more request of any kind from this address."""
        self._take("requests_per_address", network(address))

    def session(self, session_id: str) -> None:
        """One more batch of events of this session."""
        self._take("requests_per_session", session_id)

    def user(self, user_id: str) -> None:
        """One more session of this user."""
        self._take("requests_per_user", user_id)

    def query(self, address: str, user_id: str, session_id: str | None) -> None:
        """One more question to a model."""
        self._take("queries_per_address", network(address))
        if user_id:
            self._take("queries_per_user", user_id)
        if session_id:
            self._take("queries_per_session", session_id)

    def _take(self, name: str, key: str) -> None:
        wait_s = self._rates[name].take(key[:256])
        if wait_s:
            what, _, whose = name.partition("_per_")
            raise Overload(
                429,
                name,
                wait_s,
                f"Too many {what} of one {whose}: more than {getattr(self._limits, name)} a minute.",
                f"Try again in {max(1, math.ceil(wait_s))} s.",
            )


def network(address: str) -> str:
    """Whose address it is: without brackets, port and zone; of IPv6 the /64, which one household or machine is given.

    >>> [network(address) for address in ("192.0.2.7:5012", "[2001:db8:0:1::7]:443", "::ffff:192.0.2.7")]
    ['192.0.2.7', '2001:db8:0:1::/64', '192.0.2.7']
    """
    bracketed = re.fullmatch(r"\[([^]]*)\](?::\d+)?", address.strip())
    bare = bracketed[1] if bracketed else re.sub(r"^([^:]+):\d+$", r"\1", address.strip())
    try:
        parsed = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
