"""What is installed with the package is what the package imports: nothing more, nothing less."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def named(requirement: str) -> str:
    """The distribution that a requirement asks for: `ua-parser[regex]>=1.0` is ua-parser."""
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")


@cache
def imported() -> set[str]:
    """The top-level modules that llmtrack imports, wherever it does so."""
    found = set()
    for path in (ROOT / "llmtrack").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.partition(".")[0])
    return found - {"llmtrack"} - set(sys.stdlib_module_names)


WITH_OTHERS = {"werkzeug", "_typeshed"}  # what Flask is made of; what type checkers bring
REQUIRED = {named(requirement) for requirement in PROJECT["dependencies"]}
OPTIONAL = {named(requirement) for several in PROJECT["optional-dependencies"].values() for requirement in several}
PROVIDERS = {module: {named(name) for name in names} for module, names in packages_distributions().items()}


def test_every_dependency_is_imported_by_the_package() -> None:
    unused = REQUIRED - {name for module in imported() for name in PROVIDERS.get(module, ())}
    assert unused == set()


def test_every_import_of_the_package_is_a_dependency() -> None:
    declared = {module for module in imported() if PROVIDERS.get(module, set()) & (REQUIRED | OPTIONAL)}
    assert imported() - declared == WITH_OTHERS


def test_every_dependency_says_why_it_is_here() -> None:
    table = (ROOT / "docs" / "decisions.md").read_text().partition("## Choices")[0]
    libraries = {named(word) for row in re.findall(r"^\| ([^|]+) \|", table, re.M) for word in row.split(", ")}
    assert libraries >= REQUIRED | OPTIONAL
