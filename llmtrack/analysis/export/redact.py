"""Tables without people's words and names: texts become lengths and keyed hashes, ids keyed pseudonyms."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final

import pandas as pd

from llmtrack.analysis.export.columns import Column
from llmtrack.errors import UsageError
from llmtrack.session.document import UNKNOWN

MIN_KEY: Final = 16  # characters; a shorter key can be guessed, and with it every short text
DIGITS: Final = 16  # hexadecimal: 64 bits; among 10 million texts two share a hash in 3 of a million tables


class Redactor:
    """Hides the columns that are marked `hidden`, with the same result for the same key. Raises UsageError.

    What is hidden is hashed with HMAC-SHA-256 under the key: without it nobody can try out texts or ids. Equal texts
    have equal hashes and equal ids equal pseudonyms, in every table and every export, so that tables stay joinable.
    "unknown" stays: it is nobody's id.
    """

    def __init__(self, key: str) -> None:
        if len(key) < MIN_KEY:
            raise UsageError(f"The key has {len(key)} characters.", f"Take {MIN_KEY} or more that nobody can guess.")
        self._key = key.encode()

    def columns(self, columns: Sequence[Column]) -> tuple[Column, ...]:
        """The columns that `table` gives: of a text its length and its hash."""
        return tuple(new for column in columns for new in _hidden(column))

    def table(self, rows: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
        """The rows with these columns hidden as they are marked."""
        found = {}
        for column in columns:
            values = rows[column.name]
            if column.hidden == "text":
                found[f"{column.name}_length"] = values.str.len().astype("Int64")
                found[f"{column.name}_hash"] = self._each(values, "text", "")
            elif column.hidden:
                found[column.name] = self._each(values, column.hidden, f"{column.hidden}_")
            else:
                found[column.name] = values
        return pd.DataFrame(found)

    def pseudonym(self, kind: str, value: str) -> str:
        """What stands for an id of this kind, in every table and every replay."""
        return value if value == UNKNOWN else f"{kind}_{self._hash(kind, value)}"

    def _each(self, values: pd.Series, kind: str, prefix: str) -> pd.Series:
        codes, known = pd.factorize(values)
        hidden = [value if prefix and value == UNKNOWN else prefix + self._hash(kind, value) for value in known]
        return pd.Series(pd.array([*hidden, None], dtype="str").take(codes), index=values.index)

    def _hash(self, kind: str, value: str) -> str:
        return hmac.digest(self._key, f"{kind}\0{value}".encode(), "sha256").hex()[:DIGITS]


def _hidden(column: Column) -> tuple[Column, ...]:
    if column.hidden != "text":
        return (column,)
    length = Column(f"{column.name}_length", "integer", f"length of {column.name}", "characters")
    return length, Column(f"{column.name}_hash", "text", f"keyed hash of {column.name}")
