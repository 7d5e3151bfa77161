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
    from llmtrack.notebook import (
        Sessions,
        chats,
        dropoff,
        engagement,
        false_positives,
        funnel,
        health,
        open,
        queries,
    )


def __getattr__(name: str) -> Any:
    """The notebook's names, imported with pandas when the first one is used: `import llmtrack` stays instant."""
    if name in __all__:
        from llmtrack import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
