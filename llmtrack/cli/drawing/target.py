"""The file that --out names: there whole or not at all, and never in place of what must stay."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from llmtrack.errors import LlmtrackError, UsageError

RECEIPT = b'"command": "forget"'  # what a receipt of an erasure begins with
_ELSEWHERE = "Name another file with --out."


def check_target(path: Path, force: bool, sources: Sequence[str] = ()) -> None:
    """Raises UsageError when `path` cannot become a file, or must not: one is there, and `force` is not given.

    Not even with `force` what is read (`sources`) is replaced, and no receipt: it proves an erasure that cannot be
    done again.
    """
    if path.exists() and not path.is_file():
        raise UsageError(f"{str(path)!r} is no file.", "Name a file with --out.")
    if not path.parent.is_dir():
        raise UsageError(f"{str(path.parent)!r} is no folder.", _ELSEWHERE)
    target = path.resolve()
    for name in sources:
        source = Path(name).resolve()
        if source.exists() and (source == target or source in target.parents):
            raise UsageError(f"{str(path)!r} is, or lies in, what is read: {name}.", _ELSEWHERE)
    if path.exists() and _is_receipt(path):
        raise UsageError(f"{str(path)!r} is the receipt of an erasure, which is never replaced.", _ELSEWHERE)
    if path.exists() and not force:
        raise UsageError(f"{str(path)!r} is there already.", "Name another file, or replace it with --force.")


@contextmanager
def beside(path: Path, force: bool) -> Iterator[IO[bytes]]:
    """A file that becomes `path` when all went well, and leaves nothing when not.

    It is written under another name in the same folder, flushed to the disk and renamed. Raises UsageError as
    check_target does, also when `path` came into being meanwhile, and LlmtrackError when it cannot be written.
    """
    check_target(path, force)
    target = path.resolve()  # behind a link the file is replaced, not the link
    part = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        check_target(path, force)
        part.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        raise LlmtrackError(f"Cannot write {str(path)!r}: {error.strerror}.", _ELSEWHERE) from None
    finally:
        part.unlink(missing_ok=True)


def _is_receipt(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return RECEIPT in file.read(200)
    except OSError:
        return False


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every system lets a folder be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
