"""The documentation is what the code says: generated parts are current, examples run, every command has an example."""

from __future__ import annotations

import doctest
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from docs import generate
from docs.film import film
from llmtrack.cli import COMMANDS
from llmtrack.sample import visits as sample
from tests.cli.commands.reports.reading import as_jsonl

DOCS = Path(generate.__file__).parent
ROOT = DOCS.parent


def test_cli_md_is_current() -> None:
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == generate.cli(), "run: python docs/generate.py"


def test_the_data_dictionary_is_current() -> None:
    page = (DOCS / "export.md").read_text(encoding="utf-8")
    assert page == generate.export(page), "run: python docs/generate.py"


def test_the_moving_picture_is_what_replay_draws() -> None:
    made = film()
    assert (DOCS / "images" / "replay.svg").read_text(encoding="utf-8") == made, "run: python docs/generate.py"
    assert len(made) < 60_000


def test_the_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert len(links) > 20
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_with_which_options_and_shows_an_example(name: str) -> None:
    told = generate.helped(name)
    assert told.startswith(f"Usage: llmtrack {name} ")
    undescribed = re.findall(r"^  (--[a-z-]+)(?: \S+)?$\n(?=  -|\n)", told, re.MULTILINE)
    assert undescribed == []
    assert f"Example: llmtrack {name}" in told or name in ("demo", "doctor")  # these are called as they stand


def test_the_examples_of_notebooks_md_run(tmp_path: Path) -> None:
    as_jsonl(Path("visits.jsonl"), sample.sessions(now=datetime.now(UTC)))
    ran = doctest.testfile(str(DOCS / "notebooks.md"), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert ran.attempted > 10
    assert ran.failed == 0


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_links_lead_somewhere(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    assert [link for link in links if not (DOCS / link).exists()] == []
