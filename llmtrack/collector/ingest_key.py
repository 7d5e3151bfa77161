"""Servers of applications: who shows the ingest key may log events of any session and ask the owner's models."""

from __future__ import annotations

import ipaddress
import secrets
from urllib.parse import urlsplit

from flask import Request

from llmtrack.config import Settings

_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


def is_server(request: Request, settings: Settings) -> bool:
    """Whether the request shows the ingest key as `Authorization: Bearer KEY`.

    Where none is configured: whether it comes from a program on this very machine.
    """
    key = settings.ingest_key.get_secret_value() if settings.ingest_key else ""
    if not key:
        return _from_here(request)
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and secrets.compare_digest(shown.strip().encode(), key.encode())


def _from_here(request: Request) -> bool:
    """From loopback, neither passed on by a proxy on this machine nor sent by a page in a browser on it."""
    passed_on = any(name in request.headers for name in _FORWARDED)
    named = urlsplit(f"//{request.headers.get('Host', '')}").hostname  # another name is another site's, bent to here
    return _loopback(request.remote_addr) and _loopback(named) and not passed_on and "Origin" not in request.headers


def _loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
