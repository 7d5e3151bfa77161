"""Where an archive lies: a local folder, or an object store by URL. A file is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pyarrow import ArrowException, OSFile, fs

from llmtrack.errors import LlmtrackError, UsageError
from llmtrack.store.address import public, without_secrets

Step = Callable[[str], None]  # called after every step of a run with its name; tests stop the process there

WRITING = ".writing"  # ends the name of a file that is not whole yet
UNKNOWN = "_unknown/"  # where files are put that hold sessions and that no manifest names
LOCK = ".lock"


def nothing(step: str) -> None:
    """The Step of a run that nobody watches."""


def is_url(name: str) -> bool:
    """Whether this names an object store (`s3://bucket/archive`) rather than a local folder."""
    return "://" in name and not name.startswith(("file://", "mongodb"))


def open_folder(name: str) -> Folder:
    """The folder of this name or URL; it need not exist. Raises UsageError for one that names nothing known."""
    if not name.removeprefix("file://").strip():
        raise UsageError("The name of the archive's folder is empty.", "Is a variable of the script not set?")
    if name != name.encode("utf-8", "replace").decode():
        raise UsageError(f"The name of the archive's folder is no text: {name!a:.80}.", "Rename it to one in UTF-8.")
    if not is_url(name):
        return LocalFolder(Path(name.removeprefix("file://")))
    try:
        return RemoteFolder(name, *fs.FileSystem.from_uri(name))
    except (ArrowException, ValueError, OSError) as error:
        why = without_secrets(_line(error), name) or "it cannot be understood"
        advice = "Check the URL; in a key or a secret, / is %2F, ? is %3F, [ is %5B and @ is %40."
        raise UsageError(f"{public(name)!r} is no folder that works: {why}.", advice) from None


class Folder(ABC):
    """Files by their path relative to the folder. Every method raises LlmtrackError when the storage does not do it."""

    def __init__(self, name: str, filesystem: fs.FileSystem, root: str) -> None:
        self.name = name
        self.verified: dict[str, tuple[str, Any]] = {}  # path: the SHA-256 it had, and a stamp of the file by then
        self._fs = filesystem
        self._root = root

    def open(self, path: str) -> Any:
        """The file for random access, as a pyarrow file."""
        with self.possible(path, "read"):
            return self._fs.open_input_file(self._at(path))

    def read(self, path: str) -> bytes:
        """All bytes of a file."""
        with self.possible(path, "read"), self._fs.open_input_stream(self._at(path)) as stream:
            return bytes(stream.read())

    def size(self, path: str) -> int | None:
        """Bytes of a file; None when there is none."""
        with self.possible(path, "read"):
            found = self._fs.get_file_info(self._at(path))
        return int(found.size) if found.is_file else None

    def stamp(self, path: str) -> tuple[int | None, int | None]:
        """What differs when a file was written to: its size (None: it is not there) and when that was."""
        with self.possible(path, "read"):
            found = self._fs.get_file_info(self._at(path))
        return found.size, found.mtime_ns

    def set_aside(self, path: str) -> str:
        """Move a file to where nothing reads it; its new path."""
        to = f"{UNKNOWN}{path}"
        with self.possible(path, "move"):
            self._fs.create_dir(self._at(to).rpartition("/")[0], recursive=True)
            self._fs.move(self._at(path), self._at(to))
        return to

    def files(self) -> list[str]:
        """The paths of all files, sorted."""
        with self.possible("", "list"):
            found = self._fs.get_file_info(fs.FileSelector(self._root, recursive=True, allow_not_found=True))
        return sorted(each.path[len(self._root) :].lstrip("/") for each in found if each.is_file)

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        with self.possible(path, "remove"), contextlib.suppress(FileNotFoundError):
            self._fs.delete_file(self._at(path))

    def at(self, path: str) -> str:
        """The file's name for people."""
        return f"{self.name.rstrip('/')}/{path}".rstrip("/")

    @abstractmethod
    def exists(self) -> bool:
        """Whether the folder is there."""

    @abstractmethod
    def check(self) -> None:
        """Raise LlmtrackError unless it is there or can be made: the folder that it is to lie in is never made."""

    @abstractmethod
    def create(self) -> None:
        """Make the folder, unless it is there."""

    @abstractmethod
    def write(self, path: str, step: Step = nothing) -> contextlib.AbstractContextManager[Any]:
        """A pyarrow file to write to; durable and under its name when the block ends without an error."""

    @abstractmethod
    def append(self, path: str, line: bytes) -> None:
        """Add a line (with its newline) to a file, durably; what a torn line left behind goes."""

    @abstractmethod
    def lock(self) -> contextlib.AbstractContextManager[Any]:
        """Keeps other processes of this machine from changing the folder. Raises LlmtrackError when one does."""

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    @contextlib.contextmanager
    def possible(self, path: str, what: str) -> Iterator[None]:
        """Turns an error of the storage into one line."""
        try:
            yield
        except FileNotFoundError:
            raise LlmtrackError(
                f"{self.at(path)!r} is not there.",
                "Is the folder mounted and whole? Run: llmtrack archive --verify",
            ) from None
        except (OSError, ArrowException) as error:
            raise LlmtrackError(f"Cannot {what} {self.at(path)!r}: {_line(error)}.", "Nothing was deleted.") from None


class LocalFolder(Folder):
    """A folder of this machine: files are written beside, flushed to the disk and renamed."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        super().__init__(str(path), fs.LocalFileSystem(), str(self.path))

    def exists(self) -> bool:
        return self.path.is_dir()

    def _at(self, path: str) -> str:
        """A link may lead out of the archive, into another one perhaps: none is followed."""
        whole = self.path / path
        for each in (whole, *whole.parents) if ".." not in whole.relative_to(self.path).parts else ():
            if each == self.path:
                return str(whole)
            if each.is_symlink():
                raise LlmtrackError(
                    f"{str(each)!r} is a link, and an archive holds none.", "Put the file itself there, or mount it."
                )
        raise LlmtrackError(f"{path!r} is no path inside {self.name!r}.", "Nothing was read and nothing was changed.")

    def check(self) -> None:
        if not (self.path.exists() or self.path.parent.is_dir()):
            raise LlmtrackError(
                f"The folder {str(self.path.parent)!r} is not there.",
                "Is the disk mounted? Else make the folder first.",
            )

    def create(self) -> None:
        self.check()
        with self.possible("", "make"):
            if not self.path.is_dir():
                self.path.mkdir(mode=0o750)
                _sync(self.path.parent)

    @contextlib.contextmanager
    def write(self, path: str, step: Step = nothing) -> Iterator[Any]:
        whole = Path(self._at(path))
        beside = whole.with_name(f".{whole.name}{WRITING}")
        with self.possible(path, "write"):
            if not whole.parent.is_dir():
                whole.parent.mkdir(mode=0o750)
                _sync(whole.parent.parent)
            try:
                with OSFile(str(beside), "wb") as file:
                    yield file
                step("written")
                _sync(beside)
                step("flushed")
                beside.replace(whole)
                step("renamed")
                _sync(whole.parent)
                step("folder flushed")
            except BaseException:
                with contextlib.suppress(OSError):
                    beside.unlink(missing_ok=True)
                raise

    def append(self, path: str, line: bytes) -> None:
        whole = Path(self._at(path))
        new = not whole.exists()
        with self.possible(path, "write"), whole.open("ab+") as file:
            size = file.tell()
            file.seek(0)
            file.truncate(_whole_lines(file.read()) if size else 0)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
            if new:
                _sync(self.path)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        lock = FileLock(self.path / LOCK, timeout=0)
        with self.possible(LOCK, "write"):
            try:
                lock.acquire()
            except Timeout:
                raise LlmtrackError(
                    f"Another llmtrack is changing the archive {self.name!r}.", "Try again when it is done."
                ) from None
        try:
            yield
        finally:
            lock.release()


class RemoteFolder(Folder):
    """A folder of an object store: an upload is seen when it is complete, and nothing can be renamed or appended to."""

    def __init__(self, name: str, filesystem: fs.FileSystem, root: str) -> None:
        super().__init__(public(name), filesystem, root.rstrip("/"))

    def exists(self) -> bool:
        bucket = self._root.partition("/")[0]
        with self.possible("", "reach"):
            return bool(self._fs.get_file_info(bucket).type != fs.FileType.NotFound)

    def check(self) -> None:
        if not self.exists():
            raise LlmtrackError(f"There is no bucket for {self.name!r}.", "Create it first.")

    def create(self) -> None:
        self.check()

    @contextlib.contextmanager
    def write(self, path: str, step: Step = nothing) -> Iterator[Any]:
        with self.possible(path, "write"):
            file = self._fs.open_output_stream(self._at(path))
            yield file  # not closed after an error; should it be uploaded all the same, no manifest names it
            step("written")
            file.close()
            step("uploaded")

    def append(self, path: str, line: bytes) -> None:
        before = self.read(path) if self.size(path) else b""
        with self.write(path) as file:
            file.write(before[: _whole_lines(before)] + line)

    def lock(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext()


def _whole_lines(content: bytes) -> int:
    return content.rfind(b"\n") + 1


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _line(error: Exception) -> str:
    said = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
    return re.sub(r"^.*\[errno \d+\] ", "", str(said), flags=re.IGNORECASE)[:300].rstrip(
        "."
    )  # pyarrow's words before it
