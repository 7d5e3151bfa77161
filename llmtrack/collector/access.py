"""Who is asking: a signed cookie for the person, a signed token for the visit, and the key that signs both."""

from __future__ import annotations

import hashlib
import os
import secrets
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from itsdangerous import BadSignature, Signer

from llmtrack.errors import LlmtrackError

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Request, Response

    from llmtrack.config import Settings

COOKIE = "llmtrack_user"
COOKIE_AGE_S = 365 * 24 * 3600
LOCK_TIMEOUT_S = 10


class Access:
    """Makes and checks what nobody else can make: user cookies and session tokens."""

    def __init__(self, secret: str, known_as: Callable[[str], str] = str) -> None:
        """`known_as` gives the id under which a user is stored."""
        self._known_as = known_as
        self._users = _signer(secret, "llmtrack.user")
        self._sessions = _signer(secret, "llmtrack.session")

    def user(self, request: Request) -> tuple[str, bool]:
        """The user id that the cookie names, or a new one; and whether it is new (then set the cookie)."""
        try:
            return self._known_as(self._users.unsign(request.cookies.get(COOKIE, "")).decode()), False
        except (BadSignature, UnicodeError):
            return self._known_as(str(uuid.uuid4())), True

    def set_cookie(self, response: Response, user_id: str, *, secure: bool = False) -> None:
        """Give the user's browser its cookie: HttpOnly, SameSite=Lax, for a year; `secure` when served over https."""
        value = self._users.sign(user_id).decode()
        response.set_cookie(COOKIE, value, max_age=COOKIE_AGE_S, httponly=True, samesite="Lax", secure=secure)

    def sign(self, session_id: str) -> str:
        """The token that goes with a session id."""
        return self._sessions.get_signature(session_id).decode()

    def check(self, session_id: str, token: str | None) -> bool:
        """Whether `token` was made for `session_id`; takes as long for any wrong token."""
        expected = self.sign(session_id)
        return secrets.compare_digest(expected.encode(), (token or "").encode("utf-8", "replace"))


def secret_key(settings: Settings) -> str:
    """The key that signs: `settings.secret_key`, else one made once in the data folder (secret.key, mode 0600).

    Raises LlmtrackError when the folder or the file cannot be used.
    """
    if settings.secret_key and (given := settings.secret_key.get_secret_value()):
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


def _signer(secret: str, salt: str) -> Signer:
    return Signer(secret, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
