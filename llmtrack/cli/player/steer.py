"""Opens the player on the sessions of a command, and says how to go on when it is left."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from llmtrack.cli.drawing.listing import shortened
from llmtrack.cli.drawing.numbers import many
from llmtrack.cli.drawing.terminal import note
from llmtrack.cli.listed import Sort, listed, rows, summaries
from llmtrack.cli.player.app import Player
from llmtrack.errors import UnknownSession
from llmtrack.session.cleaning.clean import Visit
from llmtrack.session.cleaning.visits import document_of

if TYPE_CHECKING:
    from llmtrack.cli.options import Scope
    from llmtrack.cli.player.film import Manner
    from llmtrack.sessions import Sessions

NEWEST = 500  # sessions that the list shows: their events are read for it


class Shelf:
    """The sessions of a source, as the player asks for them."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions

    def rows(self) -> Iterator[tuple[str, str]]:
        """The newest sessions: an id and a line each."""
        found, _ = listed(self.sessions, Sort.start, NEWEST)
        ordered = rows(summaries(found)[0], Sort.start, NEWEST)
        ids = [row["session_id"] for row in ordered]
        for row, short in zip(ordered, shortened(ids, ids), strict=True):
            asked = many(int(row["prompts"]), "prompt")
            yield row["session_id"], f"{row['start_time']:%m-%d %H:%M}  {row['model_group']}  {asked}  {short}"

    def load(self, session_id: str) -> tuple[Visit, dict[str, Any]]:
        """A session, cleaned and as it is stored. Raises UnknownSession."""
        document, number = self.sessions.source.get(session_id), 1
        if document is None and (part := document_of(session_id)):
            document, number = self.sessions.source.get(part[0]), part[1]
        if document is None:
            raise UnknownSession(f'Session "{session_id}" is gone.')
        return self.sessions.visit(document, number), document


def steer(
    sessions: Sessions, begun: tuple[Visit, dict[str, Any]] | None, manner: Manner, scope: Scope, quiet: bool
) -> None:
    """Play `begun`, or what is chosen from the list, until somebody leaves."""
    for fixed in ("COLUMNS", "LINES"):  # they do not change when the terminal does
        os.environ.pop(fixed, None)
    player = Player(Shelf(sessions), begun, manner)
    code = player.run(mouse=False)
    if player.where:
        session_id, at_s = player.where
        sources = [word for name in scope.source or () for word in ("--source", name)]
        again = shlex.join(["llmtrack", "replay", session_id, "--from", f"{at_s:.1f}", *sources])
        note(f"Left at {at_s:.1f} s. Go on: {again}", quiet)
    if code:
        raise typer.Exit(code)
