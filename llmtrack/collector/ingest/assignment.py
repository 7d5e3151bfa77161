"""Which model group a user belongs to: decided once by a hash, so that a reload never flips the arm."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

from llmtrack.config import Group, Settings


def assign(experiment_id: str, groups: list[Group], user_id: str) -> Group:
    """The group of this user in this experiment, with probability weight ÷ Σ weights.

    Weighted rendezvous hashing (Schindelhauer and Schomaker 2005): every group draws a score from a hash of user and
    experiment, the highest wins. Changing one weight or adding a group moves only the users it must.
    """
    return max(
        (group for group in groups if group.weight > 0),
        key=lambda group: -group.weight / math.log(_uniform(experiment_id, group.name, user_id)),
    )


def group_for(settings: Settings, owner: Mapping[str, Any], user_id: str) -> tuple[Group, str | None]:
    """The group of a session, else the one that its user, or the one who asks, is assigned to; and a notice.

    `owner` holds what the session's document says of itself: user_id, model_group, experiment_id, or nothing.
    """
    known = {key: value for key, value in owner.items() if isinstance(value, str)}
    experiment = known.get("experiment_id", "")
    if experiment not in settings.experiments:
        experiment = settings.experiment or ""
    groups = settings.experiments[experiment].groups
    wanted = known.get("model_group")
    for group in groups:
        if group.name == wanted:
            return group, None
    group = assign(experiment, groups, known.get("user_id") or user_id)
    notice = f"Group {wanted!r} of this session is not configured any more: {group.name!r} answers." if wanted else None
    return group, notice


def _uniform(*parts: str) -> float:
    """A number in (0, 1) that depends on the parts alone."""
    digest = hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).digest()
    return (int.from_bytes(digest[:8]) + 0.5) / 2**64
