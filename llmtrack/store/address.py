"""Addresses for people to read: without user, password, keys and options, whatever signs stand in those."""

from __future__ import annotations

import re
from typing import Final

HIDDEN: Final = "…"
_HOSTS: Final = re.compile(r"[\w.:,\[\]%-]+", re.ASCII)


def public(address: str) -> str:
    """The address without what may be secret; only its scheme where nobody can tell the one from the other.

    >>> public("mongodb://me:a/b?c[d@db.example.org:27017/visits?tls=true")
    'mongodb://db.example.org:27017/visits'
    >>> public("s3://KEY:se/cret@bucket/archive?region=eu"), public("s3://bucket/archive"), public("/var/x@y?z")
    ('s3://bucket/archive', 's3://bucket/archive', '/var/x@y?z')
    >>> public("mongodb://me:secret@db.example.org/?x=y@z"), public("mongodb://me:secret")
    ('mongodb://…', 'mongodb://…')
    """
    scheme, there, rest = address.partition("://")
    if not there:
        return f"{HIDDEN}@{address.rpartition('@')[2]}" if re.match(r"[^/.].*:.*@", address) else address
    before, at, after = rest.rpartition("@")
    head = rest.partition("?")[0]
    if at and "@" not in head and ":" not in head.partition("/")[0]:
        shown = head  # the @ stands in the options,
    elif not at or ("/" in before and ":" not in before):
        shown = head  # … or in a path
    else:
        shown = after.partition("?")[0]
        if "@" in before or not shown:
            return f"{scheme}://{HIDDEN}"  # is what follows the last @ the rest of a password?
    host = shown.partition("/")[0]
    port = re.search(r":(?!\d+(,|$))", host)  # what follows a colon is a port, or part of a secret without its host
    return f"{scheme}://{shown}" if _HOSTS.fullmatch(host) and not port else f"{scheme}://{HIDDEN}"


def without_secrets(said: str, address: str) -> str:
    """What a library says of an address, if it repeats nothing that may be secret; else nothing."""
    secret = address.partition("://")[2].rpartition("@")[0] or address.partition("://")[2]
    options = address.partition("?")[2]
    pieces = re.split(r"[^\w]+", f"{secret} {options}")
    return "" if any(piece and piece in said for piece in pieces if len(piece) > 1 or piece.isdigit()) else said
