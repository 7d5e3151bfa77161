"""What somebody shows of a session, and whether that opens it: the one rule for whoever writes to a session.

A claim goes with every write to the database, also through the spool: who cannot be checked while the database is away
is checked when the write arrives there.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

ONCE: Final = "once:"  # how the start_proof of a session begins that was started without a secret
SECRET: Final = "sha256:"  # noqa: S105 - of one that was started with a secret: its hash follows
KNOWN: Final = "id"  # shown by whoever knows the id of the session


class Claim(NamedTuple):
    """What is shown: proofs of a start, users whose own session it may be; `anything` opens every session.

    A session without a secret is opened by any start without one; the id alone (KNOWN) opens it as well, and so it
    does where another writer started it.
    """

    proofs: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    anything: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Claim:
        """The claim whose `_asdict` this was."""
        return cls(tuple(given["proofs"]), tuple(given["users"]), anything=given["anything"] is True)

    def opens(self, session: Mapping[str, Any]) -> bool:
        """Whether this claim may write to the session with this `start_proof` and `user_id`."""
        stored = session.get("start_proof")
        return self.anything or session.get("user_id") in self.users or any(_fits(each, stored) for each in self.proofs)

    @property
    def speaks(self) -> Claim:
        """What speaks for the session's user: the token of a start or the key, not the id, nor whose page it is."""
        return self._replace(proofs=tuple(proof for proof in self.proofs if proof != KNOWN), users=())


def _fits(proof: str, stored: object) -> bool:
    if proof == KNOWN:
        return not str(stored).startswith(SECRET)
    if proof.startswith(ONCE):
        return str(stored).startswith(ONCE)
    return hmac.compare_digest(proof.encode("utf-8", "replace"), str(stored).encode("utf-8", "replace"))
