"""Makes the parts of docs/ that the code knows best: `python docs/generate.py`. tests/test_docs.py checks them."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout, suppress
from pathlib import Path
from unittest import mock

from docs.film import film
from llmtrack.analysis.export.columns import TABLES, Column
from llmtrack.analysis.export.redact import Redactor
from llmtrack.cli import COMMANDS, main

HERE = Path(__file__).parent
START, END = "<!-- made by docs/generate.py -->\n", "<!-- end -->\n"
ROWS = {"sessions": "A row a session.", "events": "A row an event, by session and time.", "turns": "A row a prompt."}


def cli() -> str:
    """docs/cli.md: what every command says of itself."""
    parts = ["# Command line\n", f"{START}\n```text\n{helped()}```\n"]
    parts += [f"## {name}\n\n```text\n{helped(name)}```\n" for name in COMMANDS]
    return "\n".join(parts)


def helped(*command: str) -> str:
    """The help of a command, 80 columns wide."""
    text = io.StringIO()
    with mock.patch.dict(os.environ, {"COLUMNS": "80"}), redirect_stdout(text), suppress(SystemExit):
        main([*command, "--help"])
    return "".join(f"{row.rstrip()}\n" for row in text.getvalue().strip().splitlines())


def dictionary() -> str:
    """The tables of docs/export.md: each column with its type, unit and meaning."""
    parts = []
    for name, columns in TABLES.items():
        rows = [
            f"| `{each.name}` | {each.type} | {each.unit} | {_cell(each.meaning)} | {_hidden(each)} |"
            for each in columns
        ]
        head = "| column | type | unit | meaning | with --redact |\n|---|---|---|---|---|"
        parts.append(f"### {name}\n\n{ROWS[name]}\n\n{head}\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _hidden(column: Column) -> str:
    hidden = Redactor("k" * 32).columns([column])
    if len(hidden) > 1:
        return ", ".join(f"`{each.name}`" for each in hidden)
    return "a pseudonym" if column.hidden else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def export(page: str) -> str:
    """docs/export.md with its dictionary made anew."""
    before, _, rest = page.partition(START)
    return f"{before}{START}\n{dictionary()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    (HERE / "cli.md").write_text(cli(), encoding="utf-8")
    (HERE / "images" / "replay.svg").write_text(film(), encoding="utf-8")
    page = HERE / "export.md"
    page.write_text(export(page.read_text(encoding="utf-8")), encoding="utf-8")
