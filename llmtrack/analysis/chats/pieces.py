"""Chats: the pieces of one session, and whole ones over all sessions that continue them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from llmtrack.analysis.experiment.users import People
from llmtrack.analysis.interaction.events import Rows, given
from llmtrack.session.cleaning.batch import Bools
from llmtrack.session.cleaning.clean import Cleaned
from llmtrack.session.cleaning.visits import chats_of
from llmtrack.session.values import Floats


def pieces(cleaned: Cleaned) -> pd.DataFrame:
    """A row a chat in a session: session, chat (its name, None without one), and numbers of what was said in it.

    What names no chat is of the chat that the document is: its sessions, ID and ID#2, continue one another.

    turns (prompts), messages (prompts and answers), answers, partial (answers), words (NaN where a text is not stored),
    first_t and last_t (of the messages and errors), active_t (of any event; epoch ms).
    """
    rows = Rows(cleaned)
    said = rows.prompt | rows.response
    names = rows.chats
    pair_of = rows.session * len(names) + rows.chat + 1
    chat, at = np.unique(pair_of, return_inverse=True)
    which, name = np.divmod(chat, len(names))
    named = np.where(name > 0, names[name - 1], chats_of(cleaned.sessions)[which])

    def count(mask: Bools, values: Floats | None = None) -> Floats:
        return np.bincount(at[mask], None if values is None else values[mask], minlength=len(chat)).astype(np.float64)

    def extreme(mask: Bools, which: np.ufunc, start: float) -> Floats:
        found = np.full(len(chat), start)
        which.at(found, at[mask], rows.t[mask])
        return found

    message = rows.prompt | rows.answer
    table = pd.DataFrame(
        {
            "session": which,
            "chat": pd.Series(named, dtype="str"),
            "turns": count(rows.prompt).astype(np.int64),
            "messages": count(message).astype(np.int64),
            "answers": count(rows.answer).astype(np.int64),
            "partial": count(rows.partial).astype(np.int64),
            "words": count(message, _words(rows, message)),
            "first_t": extreme(said, np.minimum, np.inf),
            "last_t": extreme(said, np.maximum, -np.inf),
            "active_t": extreme(np.ones(len(rows), dtype=bool), np.maximum, -np.inf),
        }
    )
    return table[count(said) > 0].reset_index(drop=True)


def _words(rows: Rows, message: Bools) -> Floats:
    text = rows.field("text")
    words = np.full(len(rows), np.nan)
    known = np.flatnonzero(message & given(text))
    words[known] = [len(value.split()) for value in text[known]]
    return words


def whole_chats(pieces: pd.DataFrame, who: People) -> pd.DataFrame:
    """A row a chat of the people who count: user_id, row (the user row of its first session), visits, and numbers."""
    row = who.rows_of(pieces["session"].to_numpy(dtype=np.int64))
    pieces, row = pieces[row >= 0], row[row >= 0]
    users = who.sessions["user_id"].reindex(pieces["session"]).to_numpy()
    nameless = pieces["chat"].isna()
    chat = pieces["chat"].where(~nameless, "")
    alone = pieces["session"].where(nameless, -1)  # what no chat is named for is a chat of its session
    pieces = pieces.assign(user_id=users, row=row, chat=chat, alone=alone, wordless=pieces["words"].isna())
    pieces = pieces.sort_values(["first_t", "session"])
    found = pieces.groupby(["user_id", "chat", "alone"], sort=True).agg(
        row=("row", "first"),
        visits=("session", "nunique"),
        turns=("turns", "sum"),
        messages=("messages", "sum"),
        answers=("answers", "sum"),
        partial=("partial", "sum"),
        words=("words", "sum"),
        wordless=("wordless", "any"),
        first_t=("first_t", "min"),
        last_t=("last_t", "max"),
        active_t=("active_t", "max"),
    )
    words, seconds = found["words"].mask(found["wordless"]), (found["last_t"] - found["first_t"]) / 1000
    return found.reset_index().assign(words=words.to_numpy(), duration_s=seconds.to_numpy())
