"""A few of the faults of `make faults`, in pairs that meet: what was acknowledged is stored once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.world import World

PAIRS = [
    [("database refuses writes", "all processes killed"), ("database slow", "clock stepped")],
    [("database frozen", "spool damaged"), ("database killed", "disk full")],
]


@pytest.mark.parametrize("pairs", PAIRS, ids=["killed", "damaged"])
def test_what_was_acknowledged_is_stored_once_whatever_two_things_happen(
    tmp_path: Path, pairs: list[tuple[str, str]]
) -> None:
    world = World(tmp_path)
    try:
        for names in pairs:
            found = world.run(*names, fault_s=1.0)
            assert (found.lost, found.twice) == (0, 0), (names, found)
            assert found.acknowledged >= 100
    finally:
        world.close()
