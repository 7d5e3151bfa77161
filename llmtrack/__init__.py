"""llmtrack shows how people really use an LLM chat.

In a notebook: `import llmtrack; s = llmtrack.open("mongodb://…")`; docs/notebooks.md has examples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmtrack.version import __version__

__all__ = [
    "Sessions", "__version__", "chats", "dropoff", "engagement", "false_positives", "funnel", "health", "open",
    "queries",
]  # fmt: skip

if TYPE_CHECKING:
    from llmtrack.reports import chats, dropoff, engagement, false_positives, funnel, health, queries
    from llmtrack.sessions import Sessions, open


def __getattr__(name: str) -> Any:
    """Names for notebooks, imported with pandas when the first one is used: `import llmtrack` stays instant."""
    if name in __all__:
        from importlib import import_module

        return getattr(import_module(f"llmtrack.{'sessions' if name in ('Sessions', 'open') else 'reports'}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
