"""`llmtrack serve` where others can reach it: never without saying who may read visits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmtrack.store.database.sessions import Store
from tests.collector.conftest import Browser
from tests.processes import llmtrack, serving

ADMIN = "an admin token of the test"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "collector.example"])
def test_it_does_not_start_there_without_an_admin_token_and_says_how_to_set_one(host: str) -> None:
    ran = llmtrack("serve", "--host", host, MONGODB_URI="mongodb://127.0.0.1:9")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.count("\n") == 1
    assert host in ran.stderr
    assert "export LLMTRACK_ADMIN_TOKEN=" in ran.stderr


def test_there_the_admin_token_reads_and_nothing_else_does(tmp_path: Path, mongodb_uri: str, store: Store) -> None:
    environment = {"MONGODB_URI": mongodb_uri, "LLMTRACK_ADMIN_TOKEN": ADMIN}
    with serving(tmp_path, "0.0.0.0", **environment) as server:
        browser = Browser(server.url)
        session = browser.post("/api/session/start", {"environment": {}}).json
        path = f"/session/{session['session_id']}"
        assert browser.get(path).status == 401
        assert browser.get(path, Authorization=f"Bearer {session['token']}").status == 403
        assert browser.get(path, Authorization=f"Bearer {ADMIN}").status == 200
        for known, code in ((environment, 0), ({"MONGODB_URI": mongodb_uri}, 1)):
            ran = llmtrack("doctor", "--url", server.url, "--format", "json", **known)
            [read] = [check for check in json.loads(ran.stdout)["checks"] if check["check"] == "session: read back"]
            assert (ran.returncode, ("Set LLMTRACK_ADMIN_TOKEN" in read["advice"])) == (code, bool(code)), ran.stdout


def test_on_this_machine_it_needs_none(tmp_path: Path, mongodb_uri: str, store: Store) -> None:
    with serving(tmp_path, MONGODB_URI=mongodb_uri) as server:
        browser = Browser(server.url)
        session = browser.post("/api/session/start", {"environment": {}}).json
        assert browser.get(f"/session/{session['session_id']}").status == 200
        forwarded = browser.get(f"/session/{session['session_id']}", X_Forwarded_For="203.0.113.9")
        assert forwarded.status == 403
