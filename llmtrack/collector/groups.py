"""Which model group a user belongs to: decided once by a hash, so that a reload never flips the arm."""

from __future__ import annotations

import hashlib
import math

from llmtrack.config import Group


def assign(experiment_id: str, groups: list[Group], user_id: str) -> Group:
    """The group of this user in this experiment, with probability weight ÷ Σ weights.

    Weighted rendezvous hashing (Schindelhauer and Schomaker 2005): every group draws a score from a hash of user and
    experiment, the highest wins. Changing one weight or adding a group moves only the users it must.
    """
    return max(
        (group for group in groups if group.weight > 0),
        key=lambda group: -group.weight / math.log(_uniform(experiment_id, group.name, user_id)),
    )


def _uniform(*parts: str) -> float:
    """A number in (0, 1) that depends on the parts alone."""
    digest = hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).digest()
    return (int.from_bytes(digest[:8]) + 0.5) / 2**64
