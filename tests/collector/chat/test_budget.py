"""A user's tokens of a day: counted as the provider counts, refused when they are spent, never at the answer's cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from flask import Flask

from llmtrack.collector import create_app
from llmtrack.collector.chat.budget import Budget
from llmtrack.collector.errors import Overload
from llmtrack.collector.models.client import ChatClient
from llmtrack.config import Experiment, Group, Limits, Settings
from llmtrack.store.archive.forget import forget
from llmtrack.store.database.sessions import Store
from llmtrack.store.database.usage import Usage, midnight
from tests.collector.conftest import Answer, Browser
from tests.collector.model_server import ANSWER, ModelServer, running

QUESTION = "How?"


@pytest.fixture
def noon() -> Iterator[None]:
    """No day ends while a test runs."""
    with time_machine.travel(midnight(datetime.now(UTC)) + timedelta(hours=12)):
        yield


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with running() as server:
        yield server


@pytest.fixture
def collector(
    settings: Settings, store: Store, serve: Callable[[Flask], str], model: ModelServer, noon: None
) -> Callable[[str, int], Browser]:
    def start(name: str, per_day: int) -> Browser:
        group = Group(name="a", model=name, base_url=model.base_url)
        limited = settings.changed(
            limits=Limits(tokens_per_user_per_day=per_day),
            experiments={settings.experiment: Experiment(groups=[group])},
        )
        return Browser(serve(create_app(limited, store, ChatClient(limited))))

    return start


def ask(browser: Browser, **more: object) -> Answer:
    return browser.post("/query", {"query": QUESTION, "sessionId": "c", **more})


COSTS = {
    "as the provider counts": ("good", 18, 1),
    "estimated, when it does not": ("no-usage", -(-(len(QUESTION) + len(ANSWER)) // 4), 1),
    "nothing, when it failed": ("fails", None, 0),
}


@pytest.mark.parametrize(("name", "tokens", "queries"), COSTS.values(), ids=COSTS)
@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_costs(
    collector: Callable[[str, int], Browser], store: Store, name: str, tokens: int | None, queries: int, stream: bool
) -> None:
    browser = collector(name, 1000)
    ask(browser, stream=stream)
    deadline = time.monotonic() + 10
    while store.database["usage"].count_documents({}) < queries and time.monotonic() < deadline:
        time.sleep(0.02)
    found = store.database["usage"].find_one()
    assert (found and (found["tokens"], found["queries"], found["day"])) == (
        (tokens, 1, midnight(datetime.now(UTC))) if tokens else None
    )


def test_who_has_spent_a_day_is_refused_until_it_ends_and_others_are_not(
    collector: Callable[[str, int], Browser], store: Store, model: ModelServer
) -> None:
    browser = collector("good", 30)
    assert [ask(browser).status for _ in range(3)] == [200, 200, 429]
    refused = ask(browser)
    assert (refused.status, refused.json["limit"]) == (429, "tokens_per_user_per_day")
    assert "spent 36 of 30 tokens today. There are new ones at 20" in refused.json["error"]
    left_s = (midnight(datetime.now(UTC)) + timedelta(days=1) - datetime.now(UTC)).total_seconds()
    assert int(refused.headers["Retry-After"]) == pytest.approx(left_s, abs=60)
    assert len(model.requests) == 2
    assert ask(Browser(browser.base)).status == 200


def test_a_new_day_has_new_tokens(store: Store) -> None:
    now = [datetime(2026, 11, 1, 23, 59, 50, tzinfo=UTC)]
    budget = Budget(Usage(store), 10, lambda: now[0])
    budget.spend("u", 10)
    with pytest.raises(Overload) as refused:
        budget.check("u")
    assert refused.value.retry_after_s == 10
    now[0] += timedelta(seconds=10)
    budget.check("u")


def test_a_database_that_is_away_refuses_nobody_and_is_asked_once(caplog: pytest.LogCaptureFixture) -> None:
    with Store("mongodb://127.0.0.1:9/?directConnection=true", timeout_s=0.2) as away:
        budget = Budget(Usage(away), 1)
        for _ in range(50):
            budget.check("u")
            budget.spend("u", 5)
    assert caplog.text.count("are not counted") == 1


def test_many_at_once_lose_no_token_and_indexes_are_made_twice_without_harm(store: Store) -> None:
    from concurrent.futures import ThreadPoolExecutor

    usage, day = Usage(store), midnight(datetime.now(UTC))
    usage.ensure_indexes()
    usage.ensure_indexes()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda tokens: usage.add("u", day, tokens), range(100)))
    assert usage.tokens("u", day) == sum(range(100))


def test_forget_erases_what_a_user_has_spent(store: Store) -> None:
    Usage(store).add("u", midnight(datetime.now(UTC)), 5)
    forget(store, "u")
    assert store.database["usage"].count_documents({}) == 0
