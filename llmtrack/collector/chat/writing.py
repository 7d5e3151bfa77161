"""Answers that are being written, each in a thread of its own: whoever reads along may leave and come back."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from llmtrack.collector.chat.turn import Turn
from llmtrack.turn.thinking import Said

KEEPALIVE_S = 15  # proxies cut connections that are silent for longer, often after 30 or 60 s
SAVE_EVERY_S = 1
LEFT_S = 600  # an answer whose readers all left is written on for this long; they may look at it in the saved chat

log = logging.getLogger("llmtrack")


class Writing:
    """One answer on its way. `save` is told what has been said so far, and says whether it is still wanted."""

    def __init__(
        self,
        turn: Turn,
        said: Generator[Said],
        *,
        lasting: bool,
        save: Callable[[], bool],
        over: Callable[[], None],
        left_s: float = LEFT_S,
    ) -> None:
        """`lasting`: its readers know how to come back, so it goes on without them for a while."""
        self.turn = turn
        self._pieces: list[Said] = []
        self._ended = False
        self._readers = 0
        self._left: float | None = None  # when the last reader went
        self._lasting, self._save, self._over, self._left_s = lasting, save, over, left_s
        self._changed = threading.Condition()
        context = contextvars.copy_context()  # log lines name the request
        threading.Thread(target=context.run, args=(self._write, said), name="answer", daemon=True).start()

    def _write(self, said: Generator[Said]) -> None:
        saved = time.monotonic()
        try:
            with closing(said):
                for piece in said:
                    with self._changed:
                        if piece.text or piece.thinking:
                            self._pieces.append(piece)
                            self._changed.notify_all()
                        wanted = self._wanted
                    if self._lasting and wanted and time.monotonic() - saved > SAVE_EVERY_S:
                        saved = time.monotonic()
                        if not self._save():
                            self.stop()
                    if not wanted or self.turn.stopped:
                        break
        except Exception:
            log.exception("unexpected error in turn %s", self.turn.turn_id)
        finally:
            self._over()
            with self._changed:
                self._ended = True
                self._changed.notify_all()
        if self.turn.error:
            log.warning("turn %s: the model failed with status %d", self.turn.turn_id, self.turn.error.status)

    @property
    def _wanted(self) -> bool:
        if self._left is None:
            return True
        return self._lasting and time.monotonic() - self._left < self._left_s

    def stop(self) -> None:
        """Somebody wants no more of it: it ends with its next word."""
        self.turn.stopped = True

    def read(self) -> Reader:
        """All of it from its first word, and the rest as it comes."""
        return Reader(self)

    def wait(self) -> None:
        """Until it has ended."""
        with closing(self.read()) as reader:
            for _ in reader:
                pass


class Reader:
    """One who reads along. Yields what is said, and None when nothing was for a while."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._open = True
        with writing._changed:
            writing._readers += 1
            writing._left = None

    def __iter__(self) -> Iterator[Said | None]:
        writing, at = self._writing, 0
        while True:
            with writing._changed:
                if at == len(writing._pieces) and not writing._ended:
                    writing._changed.wait(KEEPALIVE_S)
                pieces, ended = writing._pieces[at:], writing._ended
            if not pieces:
                if ended:
                    return
                yield None
            at += len(pieces)
            yield from pieces

    def close(self) -> None:
        """The reader goes."""
        with self._writing._changed:
            if self._open:
                self._open = False
                self._writing._readers -= 1
                if not self._writing._readers and not self._writing._ended:
                    self._writing._left = time.monotonic()


class Writings:
    """The answers that this worker is writing, by whose they are, chat and turn."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], Writing] = {}
        self._lock = threading.Lock()

    def get(self, user_id: str, chat: str, turn_id: str | None) -> Writing | None:
        """The one of this turn, while it is being written."""
        with self._lock:
            return self._known.get((user_id, chat, turn_id or ""))

    def start(self, key: tuple[str, str, str], make: Callable[[Callable[[], None]], Writing]) -> tuple[Writing, bool]:
        """The one under this key, or the one that `make` starts (given what to call when it is over); and if it is new.

        Of two requests with one id at once the second reads what the first one asked for.
        """
        with self._lock:
            if known := self._known.get(key):
                return known, False
            made = self._known[key] = make(lambda: self._forget(key))
            return made, True

    def _forget(self, key: tuple[str, str, str]) -> None:
        with self._lock:
            self._known.pop(key, None)
