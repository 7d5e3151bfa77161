"""Where settings come from, which of two holds, and what is said of those that are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmtrack.config import Secret, Settings, load_settings
from llmtrack.config.settings import SECTIONS
from llmtrack.errors import UsageError


def test_an_option_beats_the_environment_and_that_the_file_member_by_member(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("llmtrack.toml").write_text('database = "file"\n[limits]\nqueries_per_user = 1\nqueries_per_session = 2\n')
    monkeypatch.setenv("LLMTRACK_LIMITS", '{"queries_per_user": 3, "queries_per_address": 4}')
    monkeypatch.setenv("LLMTRACK_LIMITS__QUERIES_PER_ADDRESS", "5")
    monkeypatch.setenv("LLMTRACK_COLLECTION", "")  # as good as not set
    found = load_settings(limits={"concurrent_queries": 6})
    assert (found.database, found.collection) == ("file", "sessions")
    limits = found.limits
    assert (limits.queries_per_user, limits.queries_per_session, limits.queries_per_address) == (3, 2, 5)
    assert limits.concurrent_queries == 6
    monkeypatch.setenv("LLMTRACK_DATABASE", "environment")
    assert load_settings().database == "environment"
    assert load_settings(database="option").database == "option"


def test_variables_that_others_read_too_have_no_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGODB_URI", "mongodb://here")
    monkeypatch.setenv("LLMTRACK_MONGODB_URI", "mongodb://there")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://models")
    found = load_settings()
    assert found.mongodb_uri is not None
    assert found.mongodb_uri.reveal() == "mongodb://here"
    assert found.openai_base_url == "http://models"


WRONG: dict[str, tuple[dict[str, str], str, str]] = {  # environment, llmtrack.toml, what is said
    "unknown setting": ({}, "datbase = 'x'\n", "datbase: there is no such setting"),
    "unknown member": ({"LLMTRACK_SPOOL__MAX_GB": "1"}, "", "spool.max_gb: there is no such setting"),
    "no number": ({"LLMTRACK_TOKEN_AGE_S": "long"}, "", "token_age_s: Expected `float`"),
    "too small": ({"LLMTRACK_LIMITS__CONCURRENT_INGEST": "0"}, "", "limits.concurrent_ingest: Expected `int` >= 1"),
    "no JSON": ({"LLMTRACK_ALLOWED_ORIGINS": "[https://a"}, "", "LLMTRACK_ALLOWED_ORIGINS begins like JSON"),
    "no list": ({"LLMTRACK_ALLOWED_ORIGINS": "https://a"}, "", "allowed_origins: Expected `array`"),
    "a list and its member": ({"LLMTRACK_FAILED_ANSWER": "[]", "LLMTRACK_FAILED_ANSWER__X": "1"}, "", "is a list"),
    "no name": ({"LLMTRACK_COLLECTION": "a\tb"}, "", "collection: Expected 1 to 256 characters"),
    "no TOML": ({}, "a = \n", "llmtrack.toml cannot be read: "),
    "no expression": ({"LLMTRACK_FAILED_ANSWER": '["("]'}, "", "'(' is no regular expression"),
    "no such experiment": (
        {"LLMTRACK_EXPERIMENT": "b"},
        "[[experiments.a.groups]]\nname='g'\nmodel='m'\n",
        "'b' is not",
    ),
    "no such file": ({"LLMTRACK_CONFIG": "gone.toml"}, "", "LLMTRACK_CONFIG names 'gone.toml'"),
}


@pytest.mark.parametrize(("environment", "toml", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_in_one_line(
    environment: dict[str, str], toml: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("llmtrack.toml").write_text(toml)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as error:
        load_settings()
    assert said in str(error.value)


SECRETS = [name for name, kind in Settings.__annotations__.items() if "Secret" in kind]


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_shows(name: str) -> None:
    found = load_settings(**{name: "hidden-from-all"})
    given = getattr(found, name)
    assert isinstance(given, Secret)
    assert given.reveal() == "hidden-from-all"
    assert "hidden" not in f"{found!r} {given} {given!r}"
    with pytest.raises(UsageError) as error:
        load_settings(**{name: ["hidden-from-all"]})
    assert "hidden" not in str(error.value)


def test_sections_are_all_that_is_no_single_value() -> None:
    """A variable of a single value is never read as JSON; one of a section may be."""

    def several(value: Any) -> bool:
        return isinstance(value, dict | list | msgspec.Struct)

    settings = load_settings()
    assert {name for name in Settings.__struct_fields__ if several(getattr(settings, name))} == set(SECTIONS)


def test_settings_are_checked_when_they_change() -> None:
    with pytest.raises(ValueError, match="is no origin"):
        load_settings().changed(allowed_origins=["chat.example"])
