"""How long chats are, over all sessions that continue them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from llmtrack.analysis.chats.counted import Counted
from llmtrack.analysis.chats.pieces import pieces, whole_chats
from llmtrack.analysis.chats.result import METRICS, ChatsResult
from llmtrack.analysis.experiment.population import check
from llmtrack.analysis.experiment.users import identity, people_of
from llmtrack.analysis.interaction import events as kinds
from llmtrack.analysis.interaction import models
from llmtrack.analysis.parts import Part, compact, merge
from llmtrack.analysis.result import Note
from llmtrack.session.cleaning.clean import OPEN_MS, Cleaned
from llmtrack.session.tally import Tally

if TYPE_CHECKING:
    from llmtrack.analysis.report import ReportSettings


@dataclass(frozen=True, kw_only=True)
class Chats:
    """How long chats are, by group. Those active under 30 min ago wait: they may go on.

    A chat is a user's chat_session_id; what a session without any says is a chat of its own. Its group is that of its
    first session. Raises UsageError for an unknown grouping or control.
    """

    by: str = "model_group"
    control: str | None = None

    def __post_init__(self) -> None:
        check(self.by)

    @property
    def fields(self) -> tuple[str, ...]:
        """The data fields that it is made of."""
        return tuple(dict.fromkeys((*kinds.FIELDS, "text", *models.fields(self.by))))

    def pick(self, cleaned: Cleaned) -> Part:
        """A row a session, and a row a chat in it."""
        return Part(identity(cleaned, self.by), {"chats": compact(pieces(cleaned))}, Tally.of(cleaned))

    def finish(self, parts: Iterable[Part], settings: ReportSettings) -> ChatsResult:
        """The chats of all parts."""
        whole = merge(parts)
        who = people_of(whole, self.by, self.control, settings)
        found = whole_chats(whole.tables["chats"], who)
        fresh = found["active_t"] > settings.now.timestamp() * 1000 - OPEN_MS
        mute = ~fresh & (found["turns"] == 0)
        kept, going = found[~fresh & ~mute], found.loc[fresh, "row"].to_numpy(dtype=np.int64)
        counted = Counted(who, kept)
        left_out = {"chats_going_on": int(fresh.sum()), "chats_without_prompt": int(mute.sum())}
        return ChatsResult(
            control=who.control_name,
            chats=len(kept),
            users=int(kept["user_id"].nunique()),
            groups=[
                counted.group(group, int((who.arms.arm[going] == group).sum())) for group in range(len(who.groups))
            ],
            comparisons=who.compare({metric: counted.sums(metric) for metric in METRICS}),
            warnings=[*who.warnings, *_notes(kept)],
            tally=whole.tally.with_excluded({**left_out, **who.excluded}),
        )


def _notes(kept: pd.DataFrame) -> list[Note]:
    if not len(kept):
        return [Note("no_chats", "No chat with a prompt has come to rest.")]
    unknown = int(kept["words"].isna().sum())
    if unknown:
        share = math.ceil(100 * unknown / len(kept))
        return [
            Note("words_unknown", f"{share} % of the chats have messages whose text is not stored: no words there.")
        ]
    return []
