"""Connections that say nothing are shut after SILENT_S, and of one address there are never too many.

Granian gives a request that has begun SILENT_S for its headers. A connection is taken long before anything is known of
a request, so nobody asks us. A thread looks at the sockets of this process instead: it shuts those that never said
anything, and of an address beyond MOST those that have been silent for the longest time.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Final, NamedTuple

from llmtrack.collector.access.rates import network

SILENT_S: Final = 10
MOST: Final = 256  # of an address, in one worker
LOOK_EVERY_S: Final = 1.0
_FDS: Final = "/proc/self/fd"
_INFO: Final = struct.Struct("=8B24I4Q")  # struct tcp_info of Linux, as far as the bytes that were received
_SENT, _RECEIVED, _BYTES = 8 + 9, 8 + 11, 8 + 24 + 3


class Connection(NamedTuple):
    """One of the server's: whose it is, and how long nothing went either way. `spoke`: it has sent something."""

    fd: int
    address: str
    spoke: bool
    silent_ms: int


def bound(port: int) -> None:
    """Keep the connections to this port within bounds, as long as this process lives. Linux only: others have no tell.

    Not for a server behind a proxy, from whose one address they all come.
    """
    if sys.platform != "linux":
        return

    def watch() -> None:
        while True:
            time.sleep(LOOK_EVERY_S)
            for connection in surplus(list(connections(port))):
                _shut(connection.fd, port)

    threading.Thread(target=watch, name="connections", daemon=True).start()


def surplus(open: list[Connection], most: int = MOST) -> list[Connection]:
    """Who never said anything for too long; beyond `most` of an address also who has been silent the longest."""
    of: dict[str, list[Connection]] = defaultdict(list)
    for each in open:
        of[each.address].append(each)
    shut = []
    for theirs in of.values():
        theirs.sort(key=lambda one: (one.spoke, -one.silent_ms))
        mute = sum(not one.spoke and one.silent_ms > SILENT_S * 1000 for one in theirs)
        shut += theirs[: max(mute, len(theirs) - most)]
    return shut


def connections(port: int) -> Iterator[Connection]:
    """The server's connections that this process holds."""
    for name in os.listdir(_FDS):
        with contextlib.suppress(OSError), _opened(int(name)) as one:
            if one.family not in (socket.AF_INET, socket.AF_INET6) or one.getsockname()[1] != port:
                continue
            address = network(one.getpeername()[0])  # a listener has none
            info = _INFO.unpack(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size))
            yield Connection(int(name), address, info[_BYTES] > 0, min(info[_SENT], info[_RECEIVED]))


def _opened(fd: int) -> socket.socket:
    """The socket at a number, under another one. Raises OSError when it is none."""
    if not stat.S_ISSOCK(os.fstat(fd).st_mode):
        raise OSError
    another = os.dup(fd)
    try:
        return socket.socket(fileno=another)
    except OSError:  # it is another's by now
        os.close(another)
        raise


def _shut(fd: int, port: int) -> None:
    with contextlib.suppress(OSError), _opened(fd) as one:
        if one.getsockname()[1] == port:  # else the number is another's by now
            one.shutdown(socket.SHUT_RDWR)
