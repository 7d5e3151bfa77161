"""What a turn leaves in the database: events of the session, and a turn of the saved chat."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any, NamedTuple

from llmtrack.collector.access.privacy import PrivateStore
from llmtrack.collector.chat.late import KEPT_S, Late
from llmtrack.errors import LlmtrackError, NotTheirs, StoreUnavailable, UnknownSession
from llmtrack.session.claim import Claim
from llmtrack.session.schema import MODEL_RESPONSE, PROMPT, is_session_id, storable, well_formed
from llmtrack.store.database.chats import Chats
from llmtrack.store.database.driver import Document

TURNS_READ = 50
SHOWN_ID = 80  # characters of an id in a notice

log = logging.getLogger("llmtrack")


class Logged(NamedTuple):
    """An event that is to be stored, once under its key."""

    once: str | None
    event: Document


class Record:
    """Logs and saves one turn. The answer matters more than its record: what fails here becomes a notice.

    `owner` is whom the session belongs to, `tracked` whether the turn is logged, `notice` says why not. Without
    `chats` the turn is logged only. `named_by` is what names the session, for the notice that it is missing. `user_id`
    is whose chat it is.
    """

    def __init__(
        self,
        store: PrivateStore,
        chats: Chats | None,
        user_id: str,
        chat_session_id: str,
        session_id: str | None,
        claim: Claim,
        named_by: str = "trackingSessionId",
        late: Late | None = None,
    ) -> None:
        self._store, self._chats, self._late = store, chats, late
        self.user_id, self._chat_session_id = user_id, chat_session_id
        self._claim = claim
        self._session_id = well_formed(session_id) if session_id else ""
        self._named_by = named_by
        self._saved = True
        self._unlogged: list[Logged] = []  # of a session whose own start may still be on its way
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
        self._untracked, self._awaited = "", False
        if not self._session_id:
            self._untracked = f"Not tracked: no {self._named_by} was given."
            return
        try:
            self.owner = self._store.owner(self._session_id, self._claim) or {}
        except StoreUnavailable as error:  # the events wait in the spool; nobody waits twice for the chat
            if self._chats and self._saved:
                self._not_saved(error)
            self.owner = {"session_id": self._session_id} if is_session_id(self._session_id) else {}
        self._awaited = not self.owner
        if not self.owner:
            self._untracked = f"Not tracked: no session {self._session_id[:SHOWN_ID]!r} was started."
        elif not self._claim.opens(self.owner):
            self._untracked = "Not tracked: this session is somebody else's."
            self.owner = {}

    def turns(self) -> list[Document]:
        """The chat's last turns, oldest first."""
        if self._chats and self._saved:
            try:
                return self._chats.turns(*self._chat, TURNS_READ)
            except LlmtrackError as error:
                self._not_saved(error)
        return []

    @property
    def _chat(self) -> tuple[str, str]:
        return self.user_id, self._chat_session_id

    def begin(self, turn: Document, edits: str | None = None) -> None:
        """Log the prompt, unless it is logged, and save it in the chat, in the place of the turn that it edits.

        `turn` is {"turn_id", "t", "text", …}.
        """
        data = {key: value for key, value in turn.items() if key != "t"} | ({"edits": edits} if edits else {})
        self._log(PROMPT, turn["t"], data, once=f"prompt:{turn['turn_id']}")
        if self._chats and self._saved:
            try:
                self._chats.ask(*self._chat, storable(turn), edits=edits)
            except LlmtrackError as error:
                self._not_saved(error)

    def writing(self, turn_id: str, said: Document) -> bool:
        """Save what has been said so far, for a page that comes back; whether the answer is still wanted."""
        if self._chats and self._saved:
            try:
                return self._chats.writing(*self._chat, turn_id, storable(said))
            except LlmtrackError as error:
                self._not_saved(error)
        return True

    def end(self, turn_id: str, t: int, response: Document, answer: Document) -> None:
        """Log the response and save the answer. A session that was not known at the prompt may have started since."""
        if self._unlogged:
            self._find_owner()
        self._log(MODEL_RESPONSE, t, {**response, "turn_id": turn_id})
        if self._unlogged and self._late:
            self._late.keep(self)
            self._untracked += f" It will be, if that happens within {KEPT_S} s."
        if self._chats and self._saved:
            try:
                self._chats.answer(*self._chat, turn_id, storable({"t": t, **answer}))
            except LlmtrackError as error:
                self._not_saved(error)

    def arrived(self) -> bool:
        """See Late: whether the session has started by now."""
        with suppress(LlmtrackError):
            self._find_owner()
        if self.owner:
            self._store_all([])
        return bool(self.owner) or not self._awaited

    def _log(self, kind: str, t: int, data: dict[str, Any], once: str | None = None) -> None:
        data = storable({**data, "chat_session_id": self._chat_session_id})
        event = Logged(once, {"t": t, "type": kind, "data": data})
        if not self.tracked:
            self._unlogged = [*self._unlogged, event] if self._awaited else []
            return
        self._store_all([event])

    def _store_all(self, more: list[Logged]) -> None:
        waiting, self._unlogged = [*self._unlogged, *more], []
        for once, event in waiting:
            try:
                self._store.append(self._session_id, [event], self._claim, once=once)
            except LlmtrackError as error:
                what = "Not tracked" if event["type"] == PROMPT else "The answer was not tracked"
                self._untracked = f"{what}: {_why(error)}."
                return

    def _not_saved(self, error: LlmtrackError) -> None:
        self._saved = False
        self.notices.append(f"The chat is not saved: {_why(error)}.")


def _why(error: LlmtrackError) -> str:
    """For the page: no addresses. The log says more."""
    if isinstance(error, UnknownSession):
        return "the session was deleted"
    if isinstance(error, NotTheirs):
        return "this session is somebody else's"
    log.warning("a chat turn could not be recorded: %s", error.brief)
    return "the database does not answer" if isinstance(error, StoreUnavailable) else "the database refused it"
