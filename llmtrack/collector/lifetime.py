"""How long a worker lives: until its parent is gone, and for a few seconds after it was told to stop.

A stop lets nobody new in and finishes requests in flight. What is still being answered after CUT_S is cut, and recorded
as far as it came; STOP_S after the stop granian kills what is left.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

STOP_S: Final = 7
CUT_S: Final = 5
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def end_with_parent() -> None:
    """Stop this worker when the process that started it is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(STOP_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def cut_at_stop(cut: Callable[[], None], after_s: float = CUT_S) -> None:
    """Call `cut` some time after this process was told to stop. To be called in its main thread.

    The bytes that signals leave in a socket tell of them, whoever handles them.
    """
    told, tell = socket.socketpair()
    tell.setblocking(False)
    signal.set_wakeup_fd(tell.fileno(), warn_on_full_buffer=False)

    def watch() -> None:
        with contextlib.closing(told), contextlib.closing(tell):
            while not any(number in SIGNALS for number in told.recv(64)):
                pass
            time.sleep(after_s)
            cut()

    threading.Thread(target=watch, name="stopper", daemon=True).start()
