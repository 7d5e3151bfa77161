"""Who may do what. Five proofs, and what each opens:

- a session's token, from its start: in the body, or as a bearer; writes to this one session until it expires
- a user's cookie, which browsers send to this origin only: the user's own chats, and turns in the user's own sessions
- the ingest key, as a bearer: writes to any session, asks the models
- the admin token, as a bearer: reads any session
- the metrics token, as a bearer: reads the collector's figures

A token is signed for a session and the proof of its start, whether or not the database could be asked. What is written
with it goes into that session only where it was started with this proof (session/claim.py).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from itsdangerous import BadSignature, SignatureExpired, Signer

from llmtrack.config import TOKEN_AGE_S
from llmtrack.session.claim import KNOWN, ONCE, SECRET, Claim

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Request, Response

    from llmtrack.config import Secret, Settings
from llmtrack.collector.access.signing import Stamps
from llmtrack.collector.errors import Denied

COOKIE = "llmtrack_user"
COOKIE_AGE_S = 365 * 24 * 3600
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")
START_AGAIN = "Start the session again with the same secret: POST /api/session/start."


class Access:
    """Makes and checks what nobody else can make. Every comparison takes as long for any wrong value."""

    def __init__(
        self,
        secret: str,
        *,
        admin_token: Secret | None = None,
        metrics_token: Secret | None = None,
        ingest_key: Secret | None = None,
        token_age_s: float = TOKEN_AGE_S,
        known_as: Callable[[str], str] = str,
    ) -> None:
        """`known_as` gives the id under which a user is stored."""
        self._known_as = known_as
        self._users = Signer(secret, **_signing("llmtrack.user"))
        self._sessions = Stamps(secret, **_signing("llmtrack.session"))
        self._pages = Stamps(secret, **_signing("llmtrack.page"))
        self._admin_token = admin_token.reveal() if admin_token else ""
        self._metrics_token = metrics_token.reveal() if metrics_token else ""
        self._ingest_key = ingest_key.reveal() if ingest_key else ""
        self._token_age_s = token_age_s

    @classmethod
    def of(cls, settings: Settings, secret: str) -> Access:
        """As `settings` say; `secret` signs."""
        return cls(
            secret,
            admin_token=settings.admin_token,
            metrics_token=settings.metrics_token,
            ingest_key=settings.ingest_key,
            token_age_s=settings.token_age_s,
            known_as=settings.privacy.known_as,
        )

    # --- users

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

    # --- sessions

    def sign(self, session_id: str, proof: str) -> str:
        """The token that goes with a session id and the proof of its start: proof, when it was made, signature."""
        return self._sessions.sign(f"{session_id}\n{proof}").decode().removeprefix(f"{session_id}\n")

    def page_token(self, user_id: str) -> str:
        """What the chat page says with each question: that it was served to this user.

        The first two tabs of a browser that opens them at once get a user each, and one cookie in the end. It opens
        nothing but the log of the user's own sessions.
        """
        return self._pages.sign(user_id).decode()

    def _served_to(self, token: str | None) -> tuple[str, ...]:
        """The user whose page's token this is; nobody when it is none."""
        try:
            whole = (token or "").encode("utf-8", "replace")
            return (self._pages.opened(whole, self._token_age_s).decode(),)
        except (SignatureExpired, BadSignature, UnicodeError):
            return ()

    def is_writer(self, request: Request) -> bool:
        """Whether the ingest key comes with the request: a server that writes for its own users."""
        return _same(_bearer(request), self._ingest_key)

    def must_ask(self, request: Request) -> None:
        """Raise Denied unless the request may spend the owner's tokens: it shows the ingest key, or none is set and a
        program of this machine asks (not a page in a browser on it).
        """
        if self.is_writer(request) or not (self._ingest_key or "Origin" in request.headers or not _is_local(request)):
            return
        if self._ingest_key:
            raise Denied(
                401, "The API key is not this collector's ingest key.", "Send it as: Authorization: Bearer KEY."
            )
        raise Denied(
            401,
            "Without an ingest key only programs on the collector's own machine may ask its models.",
            "Set LLMTRACK_INGEST_KEY on the collector, and send it as: Authorization: Bearer KEY.",
        )

    def may_write(self, request: Request, session_id: str, token: str | None) -> Claim:
        """What the request shows to write events: the session's token or the ingest key. Raises Denied without.

        401 where nothing was shown or its time is over, 403 where it is wrong. Says nothing of whether there is such
        a session.
        """
        if self.is_writer(request):
            return Claim(anything=True)
        shown = "token: it does not belong to this session." if token else "The bearer opens nothing here."
        token = token or _bearer(request)
        if not token:
            raise Denied(401, "token: it is missing.", "Send the one that start answered.")
        if not self._proved(session_id, token):
            raise Denied(403, shown, "Send the token that the session's start answered, or the ingest key as a bearer.")
        proofs = self._proved(session_id, token, self._token_age_s)
        if not proofs:
            raise Denied(401, f"token: it is older than {self._token_age_s / 3600:g} h.", START_AGAIN)
        return Claim(proofs)

    def _proved(self, session_id: str, token: str, age_s: float | None = None) -> tuple[str, ...]:
        """The proof of the start that a token was signed for; none when it is not this session's, or too old."""
        proof = token.partition(".")[0]
        whole = f"{session_id}\n{token}".encode("utf-8", "replace")
        try:
            signed = self._sessions.opened(whole, age_s)
        except (SignatureExpired, BadSignature):
            return ()
        return (proof,) if signed == f"{session_id}\n{proof}".encode("utf-8", "replace") else ()

    def may_start(self, request: Request, proof: str) -> Claim:
        """What a start shows. `proof` is what this start stores.

        A start is repeated when its answer was lost, when the token expired, and when the server lost the session.
        Whoever only knows the id must get no token that opens it. The cookie cannot tell them apart, as most pages are
        of another site than the collector; so the tracker makes up a secret with each session, keeps it beside the
        unsent events and sends it with every start, and the session keeps its hash. A simple client sends none: then
        its session's id is the secret.
        """
        return Claim((proof,), anything=self.is_writer(request))

    def started(self, session: Mapping[str, Any], claim: Claim) -> str:
        """The token of a session as it was found. Raises Denied when somebody else started it before."""
        if not claim.opens(session):
            raise Denied(
                403,
                "session_id: this session was started before, and not with this secret.",
                "Send the secret of its first start, or leave session_id out: the answer names a new one.",
            )
        return self.sign(session["session_id"], str(session.get("start_proof") or KNOWN))

    def may_log(self, request: Request, session_id: str | None, token: str | None) -> Claim:
        """What the request shows to log a chat turn: its user's cookie, a session's token, the ingest key, the id.

        The token may also be that of the page on which the session takes place.
        """
        if self.is_writer(request):
            return Claim(anything=True)
        user_id, is_new = self.user(request)
        users = () if is_new else (user_id,)
        proofs = self._proved(session_id, token or _bearer(request), self._token_age_s) if session_id else ()
        return Claim((*proofs, KNOWN), (*users, *self._served_to(token)))

    # --- reading

    def must_measure(self, request: Request) -> None:
        """Raise Denied unless the request may read the collector's figures: with the metrics token, which opens nothing
        else, or as who may read everything.
        """
        if not _same(_bearer(request), self._metrics_token):
            self.must_read(request)

    def must_read(self, request: Request) -> None:
        """Raise Denied unless the request may read everybody's data.

        With an admin token set it is needed. Without one only programs of this machine may read: what a proxy
        forwarded is not from here, nor is a page whose name was bent to this address (DNS rebinding).
        """
        if not self._admin_token:
            if _is_local(request):
                return
            raise Denied(
                403,
                "Reading is open to this machine only, as no admin token is set.",
                "Set LLMTRACK_ADMIN_TOKEN where the collector runs.",
            )
        given = _bearer(request)
        if not given:
            raise Denied(401, "Reading needs the admin token.", "Send it as Authorization: Bearer …")
        if not _same(given, self._admin_token):
            raise Denied(403, "This is not the admin token.", "Send the LLMTRACK_ADMIN_TOKEN of the collector.")


def start_proof(secret: str | None) -> str:
    """What a session keeps of the secret it was started with: its SHA-256, or a mark of its own where there is none."""
    if secret is None:
        return f"{ONCE}{secrets.token_hex(8)}"
    return f"{SECRET}{hashlib.sha256(secret.encode('utf-8', 'replace')).hexdigest()}"


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is this machine's own and nobody else's.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "::", "example.org")]
    [True, True, True, False, False, False]
    """
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _is_local(request: Request) -> bool:
    if any(name in request.headers for name in FORWARDED):
        return False
    try:
        name = urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        return False
    return is_loopback(request.remote_addr or "") and is_loopback(name)


def _bearer(request: Request) -> str:
    given = request.authorization
    return (given.token or "").strip() if given and given.type == "bearer" else ""


def _same(given: str | None, expected: str) -> bool:
    """Whether both are the same and not empty."""
    return hmac.compare_digest((given or "").encode("utf-8", "replace"), expected.encode()) and expected != ""


def _signing(salt: str) -> dict[str, Any]:
    return {"salt": salt, "key_derivation": "hmac", "digest_method": hashlib.sha256}
