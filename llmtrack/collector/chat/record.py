"""What a turn leaves in the database: two events of the visit, and a turn of the saved chat."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from llmtrack.collector.access.privacy import PrivateStore
from llmtrack.errors import LlmtrackError, StoreUnavailable, UnknownSession
from llmtrack.session.schema import MODEL_RESPONSE, PROMPT, is_session_id, storable, well_formed
from llmtrack.store.database.chats import Chats
from llmtrack.store.database.sessions import Document

TURNS_READ = 50
SHOWN_ID = 80  # characters of an id in a notice

log = logging.getLogger("llmtrack")


class Record:
    """Logs and saves one turn. The answer matters more than its record: what fails here becomes a notice.

    `owner` is whom the visit belongs to, `tracked` whether the turn is logged, `notice` says why not. Without
    `chats` the turn is logged only. `named_by` is what names the visit, for the notice that it is missing.
    """

    def __init__(
        self,
        store: PrivateStore,
        chats: Chats | None,
        user_id: str,
        chat_session_id: str,
        session_id: str | None,
        may_log: Callable[[Document], bool],
        named_by: str = "trackingSessionId",
    ) -> None:
        self._store, self._chats = store, chats
        self._chat = (user_id, chat_session_id)
        self._may_log = may_log
        self._session_id = well_formed(session_id) if session_id else ""
        self._named_by = named_by
        self._saved = True
        self._unlogged: list[Document] = []  # the prompt of a visit whose own start may still be on its way
        self._untracked = ""
        self.notices: list[str] = []
        self.owner: Document = {}
        self._find_owner()

    @property
    def tracked(self) -> bool:
        """Whether both ends of the turn are logged, as far as is known by now."""
        return not self._untracked

    @property
    def notice(self) -> str | None:
        """What whoever asked should know: why the turn is not tracked, what was not saved."""
        return " ".join(filter(None, [self._untracked, *self.notices])) or None

    def _find_owner(self) -> None:
        self._untracked = ""
        if not self._session_id:
            self._untracked = f"Not tracked: no {self._named_by} was given."
            return
        try:
            self.owner = self._store.owner(self._session_id) or {}
        except StoreUnavailable as error:  # the events wait in the spool; nobody waits twice for the chat
            if self._chats:
                self._not_saved(error)
            self.owner = {"session_id": self._session_id} if is_session_id(self._session_id) else {}
        if not self.owner:
            self._untracked = f"Not tracked: no session {self._session_id[:SHOWN_ID]!r} was started."
        elif not self._may_log(self.owner):
            self._untracked = "Not tracked: this visit is somebody else's."
            self.owner = {}

    def turns(self) -> list[Document]:
        """The chat's last turns, oldest first."""
        if self._chats and self._saved:
            try:
                return self._chats.turns(*self._chat, TURNS_READ)
            except LlmtrackError as error:
                self._not_saved(error)
        return []

    def begin(self, turn: Document, *, regenerated: bool, instead_of: str | None) -> None:
        """Log the prompt and save it in the chat. `turn` is {"turn_id", "t", "text"}."""
        data = {"text": turn["text"], "turn_id": turn["turn_id"]}
        self._log(PROMPT, turn["t"], {**data, "regenerated": True} if regenerated else data)
        if self._chats and self._saved:
            try:
                self._chats.ask(*self._chat, storable(turn), instead_of=instead_of)
            except LlmtrackError as error:
                self._not_saved(error)

    def end(self, turn_id: str, t: int, response: Document, answer: Document) -> None:
        """Log the response and save the answer. A visit that was not known at the prompt may have started since."""
        if self._unlogged:
            self._find_owner()
        self._log(MODEL_RESPONSE, t, {**response, "turn_id": turn_id})
        if self._chats and self._saved:
            try:
                self._chats.answer(*self._chat, turn_id, storable({"t": t, **answer}))
            except LlmtrackError as error:
                self._not_saved(error)

    def _log(self, kind: str, t: int, data: dict[str, Any]) -> None:
        data = storable({**data, "chat_session_id": self._chat[1]})
        events = [*self._unlogged, {"t": t, "type": kind, "data": data}]
        if not self.tracked:
            self._unlogged = events if self._session_id and self._saved else []
            return
        try:
            self._store.append(self._session_id, events)
        except LlmtrackError as error:
            what = "Not tracked" if kind == PROMPT else "The answer was not tracked"
            self._untracked = f"{what}: {_why(error)}."

    def _not_saved(self, error: LlmtrackError) -> None:
        self._saved = False
        self.notices.append(f"The chat is not saved: {_why(error)}.")


def _why(error: LlmtrackError) -> str:
    """For the page: no addresses. The log says more."""
    if isinstance(error, UnknownSession):
        return "the session was deleted"
    log.warning("a chat turn could not be recorded: %s", error.message)
    return "the database does not answer" if isinstance(error, StoreUnavailable) else "the database refused it"
