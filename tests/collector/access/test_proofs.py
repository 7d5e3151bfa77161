from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from flask import Request, Response
from werkzeug.test import EnvironBuilder

from llmtrack.collector.access.proofs import Access
from llmtrack.collector.access.signing import secret_key
from llmtrack.config import load_settings
from llmtrack.errors import LlmtrackError
from llmtrack.session.claim import ONCE


def request_with(cookie: str | None) -> Request:
    headers = {"Cookie": f"llmtrack_user={cookie}"} if cookie is not None else {}
    return Request(EnvironBuilder(headers=headers).get_environ())


def cookie_of(access: Access, user_id: str, **flags: bool) -> str:
    response = Response()
    access.set_cookie(response, user_id, **flags)
    return response.headers["Set-Cookie"]


def value_of(cookie: str) -> str:
    return cookie.partition("=")[2].partition(";")[0]


def test_the_cookie_brings_the_user_back() -> None:
    access = Access("secret")
    user_id, is_new = access.user(request_with(None))
    assert is_new
    assert uuid.UUID(user_id).version == 4
    assert access.user(request_with(value_of(cookie_of(access, user_id)))) == (user_id, False)


def test_scripts_and_other_sites_cannot_use_the_cookie() -> None:
    plain, secure = cookie_of(Access("secret"), "ann"), cookie_of(Access("secret"), "ann", secure=True)
    assert "HttpOnly" in plain
    assert "SameSite=Lax" in plain
    assert "Max-Age=31536000" in plain
    assert "Secure" not in plain
    assert "Secure" in secure


FORGED = {
    "empty": "",
    "no signature": "ann",
    "empty signature": "ann.",
    "wrong signature": "ann.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "signed by another key": value_of(cookie_of(Access("other"), "ann")),
    "another's signature": "bob." + value_of(cookie_of(Access("secret"), "ann")).partition(".")[2],
    "a session's token": "ann." + Access("secret").sign("ann", ONCE),
    "not text": "\xff\xfe.\xff",
}


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_cookie_is_a_new_user(case: str) -> None:
    user_id, is_new = Access("secret").user(request_with(FORGED[case]))
    assert is_new
    assert user_id not in ("ann", "bob")


def test_the_key_given_is_the_key(tmp_path: Path) -> None:
    assert secret_key(load_settings(secret_key="given", data_dir=tmp_path)) == "given"
    assert list(tmp_path.iterdir()) == []


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "new" / "folder")
    key = secret_key(settings)
    assert len(key) >= 40
    assert secret_key(settings) == key
    assert (settings.data_dir / "secret.key").stat().st_mode & 0o777 == 0o600


def test_a_draft_that_a_killed_process_left_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "secret.new").write_text("half")
    assert "half" not in secret_key(load_settings(data_dir=tmp_path))


def test_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    program = (
        "from llmtrack.collector.access.signing import secret_key; from llmtrack.config import load_settings; "
        f"input(); print(secret_key(load_settings(data_dir={str(tmp_path)!r})))"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for run in runs:
        assert run.stdin is not None
        run.stdin.write("\n")
        run.stdin.flush()
    keys = {run.communicate(timeout=60)[0] for run in runs}
    assert len(keys) == 1
    assert keys.pop().strip() == (tmp_path / "secret.key").read_text()


def test_an_empty_key_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("\n")
    with pytest.raises(LlmtrackError, match=r"secret\.key is empty\. Delete it"):
        secret_key(load_settings(data_dir=tmp_path))


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LlmtrackError, match="LLMTRACK_SECRET_KEY"):
        secret_key(load_settings(data_dir=tmp_path / "file"))
