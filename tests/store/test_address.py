"""No secret of an address is shown, whatever signs stand in it."""

from __future__ import annotations

import itertools

import pytest

from llmtrack.config import load_settings
from llmtrack.errors import LlmtrackError
from llmtrack.store.address import public
from llmtrack.store.archive.folder import open_folder
from llmtrack.store.database.sessions import Store
from llmtrack.store.sources.open import open_source

PIECES = ("Zx7", "Qk9", "Wv5")  # of a secret
SIGNS = ["/", "[", "]", "?", "#", "@", ":", "%", "&", "=", "//", "?x=", ":1", " ", "\\", "é", "%2"]
SECRETS = [f"{PIECES[0]}{a}{PIECES[1]}{b}{PIECES[2]}" for a, b in itertools.product(SIGNS, ["", "/", "[", "?", "@"])]
FORMS = [
    "mongodb://me:{}@db.example.org:27017/visits",
    "mongodb+srv://me:{}@db.example.org/?tls=true",
    "mongodb://me:{}",
    "s3://KEYID:{}@bucket/archive",
    "s3://bucket/archive?secret_key={}&region=eu",
    "gs://me:{}@bucket/x",
    "me:{}@host/db",
]
USED = [f"{PIECES[0]}{sign}{PIECES[1]}" for sign in ("/", "[", "?", "#", "@", ":", "%")]


@pytest.mark.parametrize("form", FORMS)
def test_nothing_of_a_secret_is_in_a_name(form: str) -> None:
    for secret in SECRETS:
        if "@" in form or "@" not in secret:  # without a host, what follows an @ looks like one
            shown = public(form.format(secret))
            assert not any(piece in shown for piece in PIECES), (secret, shown)


@pytest.mark.parametrize("secret", USED)
@pytest.mark.parametrize(
    "form",
    [
        "mongodb://me:{}@127.0.0.1:9/visits?serverSelectionTimeoutMS=1",
        "s3://KEYID:{}@bucket/a?region=eu",
        "me:{}@host/db",
    ],
)
def test_nothing_of_a_secret_is_in_a_message(form: str, secret: str) -> None:
    settings = load_settings()
    said = []
    for use in (
        lambda address: Store(address).close(),
        open_folder,
        lambda address: open_source(address, settings).close(),
    ):
        if use is open_folder and "://" not in form:
            continue  # the name of a folder here
        try:
            use(form.format(secret))
        except LlmtrackError as error:
            said.append(str(error))
    assert not any(piece in text for piece in PIECES for text in said)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("mongodb://me:pw@a.example:1,b.example:2/visits?w=1", "mongodb://a.example:1,b.example:2/visits"),
        ("mongodb://127.0.0.1:27017/", "mongodb://127.0.0.1:27017/"),
        ("s3://bucket/a@b/archive", "s3://bucket/a@b/archive"),
        ("s3://K:S@bucket/archive?scheme=http&endpoint_override=127.0.0.1:9000", "s3://bucket/archive"),
        ("/var/lib/archive", "/var/lib/archive"),
    ],
)
def test_what_is_not_secret_is_shown(address: str, shown: str) -> None:
    assert public(address) == shown
