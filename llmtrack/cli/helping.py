"""Commands as we want them: options under headings, as wide as the terminal up to 100 columns, and a quick start."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

WIDEST = 100  # columns: longer lines are hard to read


class Explained(TyperCommand):
    """A command whose options stand under the headings they name (rich_help_panel), without rich: it costs 0.2 s."""

    def get_params(self, ctx: Any) -> list[Any]:
        return [checked_when_given(param) for param in super().get_params(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for param in self.get_params(ctx):
            if record := param.get_help_record(ctx):
                usual = "Arguments" if param.param_type_name == "argument" else "Options"
                sections.setdefault(getattr(param, "rich_help_panel", None) or usual, []).append(record)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records, col_max=26)


def checked_when_given(param: Any) -> Any:
    """A parameter whose value is checked only where that can change something.

    Typer has pydantic check every value, texts and defaults too, and to import it takes a third of what a replay takes.
    """
    param.get_runtime_param = lambda: _WhenGiven()
    return param


class _WhenGiven:
    """Takes what needs no check as it is: nothing, a default, a text where a text is wanted."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        several = param.multiple or param.nargs != 1
        if value is None:
            return () if several else None
        wanted = None if param.type_descriptor.parameter_info.parser else param.type_descriptor.annotation
        if value is param.default or (wanted is str and isinstance(value, str)):
            return value
        if wanted == list[str] and isinstance(value, list | tuple):
            return [*value]
        return type(param).get_runtime_param(param).coerce(value, param=param, ctx=ctx)
