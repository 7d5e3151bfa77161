"""Gzipped bytes, read as far as they are whole: members one after the other, padding behind, a file cut short."""

from __future__ import annotations

import io
import zlib
from typing import IO, Any, Final

MAGIC: Final = b"\x1f\x8b"
_CHUNK: Final = 64 * 1024
_PADDING: Final = b"\0\r\n\t "


class Inflated(io.RawIOBase):
    """What a gzipped stream holds, up to the first fault; `fault` then says what is wrong."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.fault: str | None = None
        self._stream = stream
        self._packed = b""
        self._ready = b""
        self._member: Any = None
        self._ended = False

    def readable(self) -> bool:
        """A raw stream that reads only."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with what comes next; 0 at the end or at the fault."""
        while not self._ready and not self._ended:
            self._ready = self._next()
        piece = self._ready[: len(buffer)]
        buffer[: len(piece)], self._ready = piece, self._ready[len(piece) :]
        return len(piece)

    def _next(self) -> bytes:
        if self._member is None and not self._begin():
            self._ended = True
            return b""
        packed = self._packed or self._stream.read(_CHUNK)
        self._packed = b""
        if not packed:
            return self._stop("it ends too early")
        before = self._member.copy()
        try:
            found: bytes = self._member.decompress(packed, _CHUNK * 16)
        except zlib.error as error:
            return _up_to_the_fault(before, packed) + self._stop(str(error))
        self._packed = self._member.unconsumed_tail
        if self._member.eof:
            self._packed, self._member = self._member.unused_data, None
        return found

    def _begin(self) -> bool:
        """Whether another member begins, once padding is skipped."""
        while not (packed := self._packed.lstrip(_PADDING)):
            self._packed = self._stream.read(_CHUNK)
            if not self._packed:
                return False
        if len(packed) < len(MAGIC):
            packed += self._stream.read(1)
        self._packed = packed
        if not packed.startswith(MAGIC):
            self._stop("what stands behind the gzipped data is none")
            return False
        self._member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        return True

    def _stop(self, fault: str) -> bytes:
        self.fault, self._ended = fault, True
        return b""


def _up_to_the_fault(member: Any, packed: bytes) -> bytes:
    """What a chunk holds before the byte that cannot be: fed one byte at a time, nothing good is lost."""
    found = []
    try:
        for place in range(len(packed)):
            found.append(member.decompress(packed[place : place + 1]))
    except zlib.error:
        pass
    return b"".join(found)
