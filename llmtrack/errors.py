"""The errors a user can meet: what happened, with which value, and what to do next."""

from __future__ import annotations


class LlmtrackError(Exception):
    """Base of every error llmtrack raises on purpose.

    `message` says what happened and names the value; `hint` is the next step (may be empty).
    The command line prints both on one line and exits with `exit_code`.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    @property
    def brief(self) -> str:
        """For a log and for strangers: without what follows a colon or a quote, which may name users and hosts."""
        return self.message.partition(":")[0].partition(" '")[0].rstrip(".")


class UsageError(LlmtrackError):
    """The call itself is wrong: an option, a value or a file name. Exit code 2."""

    exit_code = 2


class StoreUnavailable(LlmtrackError):
    """The database does not answer; what was asked may be tried again later."""


class UnknownSession(LlmtrackError):
    """No session has this id."""


class NotTheirs(LlmtrackError):
    """The session is somebody else's: what was shown does not open it."""


class NeverStored(LlmtrackError):
    """The database will never take this, however often it is tried."""
