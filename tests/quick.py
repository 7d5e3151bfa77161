"""What `make quick` leaves out: tests that need a database server, a browser or a process of their own.

Nobody marks them. A test needs what its fixtures and the functions that it calls need, so we follow their names.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import types
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from llmtrack.store.database import embedded

SERVER, MONGOMOCK = "server", "mongomock"
on_both = pytest.mark.parametrize("kind", [SERVER, MONGOMOCK], indirect=True)  # the same test on either database
FIXTURES = {"server_uri", "mongodb_uri", "browser"}
MODULES = {subprocess, multiprocessing, embedded}


def is_quick(item: pytest.Item) -> bool:
    """Whether a test needs nothing but this process."""
    if not isinstance(item, pytest.Function):
        return True  # an example in a docstring
    mock = hasattr(item, "callspec") and item.callspec.params.get("kind") == MONGOMOCK
    if not (mock or FIXTURES.isdisjoint(item.fixturenames)):
        return False
    fixtures = [found.func for name in item.fixturenames for found in item._fixtureinfo.name2fixturedefs.get(name, ())]
    return not any(_starts_processes(function) for function in (item.function, *fixtures))


@cache
def _starts_processes(given: Any) -> bool:
    return any(found in MODULES for found in _reached(given, set()) if isinstance(found, types.ModuleType))


def _reached(given: Any, seen: set[int]) -> Iterator[Any]:
    """What a function of the tests names, and what that names."""
    if id(given) in seen:
        return
    seen.add(id(given))
    yield given
    if isinstance(given, type):
        inside = [member for member in vars(given).values() if isinstance(member, types.FunctionType)]
    elif isinstance(given, types.FunctionType):
        names = {name for code in _codes(given.__code__) for name in code.co_names}
        inside = [given.__globals__[name] for name in names if name in given.__globals__]
        inside += [given.__wrapped__] if hasattr(given, "__wrapped__") else []
    else:
        return
    for each in inside:
        if isinstance(each, types.ModuleType) or str(getattr(each, "__module__", "")).startswith("tests"):
            yield from _reached(each, seen)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)
