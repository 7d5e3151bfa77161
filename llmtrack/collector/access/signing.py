"""What signs cookies and tokens: the key, given or made once and kept in the data folder; and the times in tokens."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

from filelock import FileLock, Timeout
from itsdangerous import SignatureExpired, TimestampSigner

from llmtrack.config import Settings
from llmtrack.errors import LlmtrackError

LOCK_TIMEOUT_S = 10
SKEW_S = 300.0  # the clocks of two collectors that share a key may differ by so much


class Stamps(TimestampSigner):
    """Signs with the time. What another collector signed, whose clock runs ahead of this one, is not expired."""

    def opened(self, signed: bytes, max_age_s: float | None = None) -> bytes:
        """What was signed. Raises BadSignature, or SignatureExpired when it was too long ago or is still to come."""
        value, at = self.unsign(signed, return_timestamp=True)
        age_s = time.time() - at.timestamp()
        if max_age_s is not None and not -SKEW_S <= age_s <= max_age_s:
            raise SignatureExpired(f"signed {age_s:.0f} s ago", payload=value, date_signed=at)
        return bytes(value)


def secret_key(settings: Settings) -> str:
    """The key that signs: `settings.secret_key`, else one made once in the data folder (secret.key, mode 0600).

    Raises LlmtrackError when the folder or the file cannot be used.
    """
    if settings.secret_key and (given := settings.secret_key.reveal()):
        return given
    path = settings.data_dir / "secret.key"
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(settings.data_dir / "secret.key.lock", timeout=LOCK_TIMEOUT_S):
            key = path.read_text().strip() if path.exists() else _make(path)
    except (OSError, UnicodeError, Timeout) as error:
        raise LlmtrackError(
            f"The key that signs cookies cannot be kept in {path}: {error}.",
            "Set LLMTRACK_SECRET_KEY, or LLMTRACK_DATA_DIR to a folder that can be written.",
        ) from None
    if not key:
        raise LlmtrackError(f"The key file {path} is empty.", "Delete it: the next start makes a new one.")
    return key


def _make(path: Path) -> str:
    key = secrets.token_urlsafe(32)
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)  # the key is there whole or not at all, whenever the process is killed
    return key
