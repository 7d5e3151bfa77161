"""Shared fixtures: one embedded server for the whole run, a fresh database for every test."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import mongomock
import pytest
from pymongo import WriteConcern

from llmtrack.config import Settings, load_settings
from llmtrack.store.database import embedded
from llmtrack.store.database.sessions import Store
from tests.quick import MONGOMOCK, SERVER, is_quick

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # tests start hundreds of commands: none compiles all again
QUICK, QUICK_EXAMPLES = "quick", 20  # hypothesis invents as many where a test does not say how many
TEST_MONGODB_URI = os.environ.get("LLMTRACK_TEST_MONGODB_URI")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads the machine's own configuration or data."""
    for name in list(os.environ):
        if name.startswith(("LLMTRACK_", "OPENAI_", "MONGODB_")) or name in ("COLUMNS", "LINES", "NO_COLOR"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LLMTRACK_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("LLMTRACK_SPOOL__AFTER_S", "15")  # a busy machine is no outage
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def server_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The database server all tests share: LLMTRACK_TEST_MONGODB_URI, else an embedded one."""
    if TEST_MONGODB_URI:
        yield TEST_MONGODB_URI
        return
    uri = embedded.ensure(tmp_path_factory.mktemp("embedded"), linger_s=20)
    with Store(uri) as user:  # while it is connected the server stays
        user.ping()
        yield uri


@pytest.fixture
def database() -> str:
    """A database name of this test's own."""
    return f"test_{secrets.token_hex(6)}"


class Mongomock(mongomock.MongoClient):
    """mongomock's client, with the one attribute that it lacks."""

    write_concern = WriteConcern()


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """What the test's database is: the server, or mongomock where `on_both` asks for it."""
    return getattr(request, "param", SERVER)


@pytest.fixture
def mongodb_uri(request: pytest.FixtureRequest, kind: str, database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URI that names the test's own database."""
    if kind == MONGOMOCK:
        monkeypatch.setattr("llmtrack.store.database.driver.MongoClient", Mongomock)
        return f"mongodb://mongomock/{database}"
    address, _, options = request.getfixturevalue("server_uri").partition("?")
    return f"{address.rstrip('/')}/{database}?{options}"


@pytest.fixture
def settings(mongodb_uri: str) -> Settings:
    """Settings that point at the test's own database. A test sends more from one address than people do."""
    limits = {"requests_per_address": 0, "requests_per_user": 0}
    return load_settings(MONGODB_URI=mongodb_uri, secret_key="for tests only", limits=limits)


@pytest.fixture
def store(mongodb_uri: str) -> Iterator[Store]:
    """A store over an empty database; dropped afterwards."""
    with Store(mongodb_uri) as store:
        store.ensure_indexes()
        yield store
        store.client.drop_database(store.database.name)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(f"--{QUICK}", action="store_true", help="only tests that need no server, browser or process")


def pytest_configure(config: pytest.Config) -> None:
    hypothesis.settings.register_profile(QUICK, max_examples=QUICK_EXAMPLES)
    if config.getoption(QUICK):
        hypothesis.settings.load_profile(QUICK)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption(QUICK):
        quick = [item for item in items if is_quick(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(quick)])
        items[:] = quick
