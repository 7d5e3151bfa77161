"""The player on a terminal that textual imitates: what is seen after which keys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from llmtrack.cli.player.app import Player
from llmtrack.cli.player.film import Manner
from tests.cli.player.session import Shelf

Steps = Callable[[Pilot[Any]], Awaitable[None]]


def seen(pilot: Pilot[Any]) -> str:
    return "\n".join(strip.text.rstrip() for strip in pilot.app.screen._compositor.render_strips())


async def press(pilot: Pilot[Any], *keys: str) -> str:
    await pilot.press(*keys)
    await pilot.pause()
    return seen(pilot)


def played(steps: Steps, size: tuple[int, int] = (100, 30), chosen: str | None = "visit_1", **manner: Any) -> Player:
    """A player after these steps; it stands still at its beginning."""
    shelf = Shelf()
    player = Player(shelf, shelf.load(chosen) if chosen else None, Manner(**manner))

    async def run() -> None:
        async with player.run_test(size=size) as pilot:
            await pilot.pause()
            if chosen:
                await pilot.press("space", "0", "left")
            await steps(pilot)

    asyncio.run(run())
    return player


def test_keys_steer_it() -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        shown = await press(pilot, "right")
        assert "arrived" in shown
        assert "What is bread?" not in shown
        shown = await press(pilot, "]", "full_stop")
        assert "Flour, water & List<salt>." in shown
        assert "paused  0:10.0 of 10:20.0  event 3 of 11" in shown
        assert "waited 6 s" in shown, "as plain replay tells it"
        assert "event 2 of 11" in await press(pilot, "[")
        assert "  4x  " in await press(pilot, "+", "+", "+", "+", "-")
        shown = await press(pilot, "end")
        assert "closed the page" in shown
        assert "ended  10:20.0 of 10:20.0" in shown
        assert "paused" in await press(pilot, "5")
        assert "playing" in await press(pilot, "space")

    assert played(steps).return_value is None


def test_a_long_answer_is_read_from_its_beginning_and_scrolls() -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        for key in "]]":
            await press(pilot, key)
        shown = await press(pilot, "]", "right")
        assert "Paragraph 0 " in shown
        assert "Paragraph 39 " not in shown
        shown = await press(pilot, *["pagedown"] * 5)
        assert "Paragraph 39 " in shown
        assert "Paragraph 0 " not in shown
        assert "Paragraph 38 " in await press(pilot, "up")

    played(steps)


def test_words_are_found_and_places_gone_to() -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        assert "“rye” 1 of 2  paused" in await press(pilot, "slash", *"rye", "enter")
        assert "“rye” 2 of 2" in await press(pilot, "n")
        assert "“rye” 1 of 2" in await press(pilot, "N")
        assert "No “qqq” in this session." in await press(pilot, "slash", *"qqq", "enter")
        assert "event 3 of 11" in await press(pilot, "g", *"10s", "enter")
        assert "No event 'nothing' in this session." in await press(pilot, "g", *"nothing", "enter")
        assert "event 3 of 11" in await press(pilot, "g", "7", "escape"), "what was begun is left"

    played(steps)


def test_fields_kinds_and_keys_open_and_shut() -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        shown = await press(pilot, "]", "]", "enter")
        assert '"text": "And rye? [bold]\\u001b[31m"' in shown, "letters for letters, and no markup"
        await press(pilot, "escape")
        shown = await press(pilot, "f")
        assert "[odd] kind (1)" in shown
        shown = await press(pilot, "a", "down", "space", "enter")
        assert "of 3 (of 11)" in shown, "prompts alone"
        shown = await press(pilot, "question_mark")
        assert "play, pause" in shown
        assert "event 2 of 3" in await press(pilot, "q"), "q shuts what is open"

    played(steps)


def test_the_list_filters_as_one_types() -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        assert "3 of 3 sessions" in seen(pilot)
        shown = await press(pilot, *"10-27 other")
        assert "1 of 3 sessions" in shown
        assert "visit_1" not in shown
        assert "It is gone." in await press(pilot, "enter")
        await press(pilot, *["backspace"] * 5)
        shown = await press(pilot, "down", "enter")
        assert "session  visit_2" in shown
        assert "sessions ─" not in shown, "the list has gone"
        assert "3 of 3 sessions" in await press(pilot, "l", *["backspace"] * 6)
        assert "session  visit_2" in await press(pilot, "tab")

    where = played(steps, chosen=None).where
    assert where is not None
    assert where[0] == "visit_2"


@pytest.mark.parametrize("columns", [40, 60, 71, 120])
def test_it_fits_and_can_be_resized(columns: int) -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        await press(pilot, "]", "right")
        await pilot.resize_terminal(columns, 20)
        await pilot.pause()
        shown = seen(pilot)
        assert "List<salt>." in shown
        assert max(map(len, shown.splitlines())) <= columns
        assert shown.splitlines()[-1].startswith("paused  0:10.0 of 10:20.0")
        for key in ("question_mark", "escape", "f", "escape", "enter", "escape", "l"):
            assert max(map(len, (await press(pilot, key)).splitlines())) <= columns

    played(steps, size=(90, 30))


def test_leaving_tells_where_it_was() -> None:
    async def leave(pilot: Pilot[Any]) -> None:
        await press(pilot, "]", "right", "q")

    async def stop(pilot: Pilot[Any]) -> None:
        await press(pilot, "end", "ctrl+c")

    left, stopped = played(leave), played(stop)
    assert (left.return_value, left.where) == (0, ("visit_1", 10.0))
    assert (stopped.return_value, stopped.where) == (130, None)


def test_any_other_key_does_nothing() -> None:
    async def steps(pilot: Pilot[Any]) -> None:
        before = seen(pilot)
        assert await press(pilot, "x", "Z", "f5", "ctrl+p", "delete", "ä") == before

    played(steps)
