"""From tested differences to comparisons: p values adjusted within their family, and a verdict in a word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from llmtrack.analysis.experiment.inference import Outcome
from llmtrack.analysis.result import Comparison, number, pair
from llmtrack.analysis.stats import Good, benjamini_hochberg, holm, mde, verdict

Correction = Callable[[Sequence[float]], npt.NDArray[np.float64]]
HOLM: Final = "holm"
BENJAMINI_HOCHBERG: Final = "benjamini-hochberg"
_CORRECTIONS: Final[dict[str, Correction]] = {HOLM: holm, BENJAMINI_HOCHBERG: benjamini_hochberg}


class Tested(NamedTuple):
    """A metric of a group against the control, tested."""

    metric: str
    good: Good
    group: str
    control: str
    outcome: Outcome


def compared(
    tests: Sequence[Tested],
    *,
    correction: str = HOLM,
    alpha: float = 0.05,
    margin: float = 0.05,
    verdicts: bool = True,
) -> list[Comparison]:
    """The tests of one family. No `verdicts`: numbers, but nothing is concluded."""
    adjusted = _CORRECTIONS[correction]([test.outcome.difference.p for test in tests]).tolist()
    return [_comparison(test, p, correction, alpha, margin, verdicts) for test, p in zip(tests, adjusted, strict=True)]


def _comparison(test: Tested, p: float, correction: str, alpha: float, margin: float, verdicts: bool) -> Comparison:
    found, method = test.outcome
    word = None
    if verdicts and method != "none":
        word = verdict(test.good, found.difference_ci, found.lift_ci, p, alpha=alpha, margin=margin)
    return Comparison(
        metric=test.metric,
        group=test.group,
        control=test.control,
        difference=number(found.difference),
        difference_ci=pair(found.difference_ci),
        lift=number(found.lift),
        lift_ci=pair(found.lift_ci),
        p=number(found.p),
        p_adjusted=number(p),
        correction=correction,
        method=method,
        mde=number(mde(found.standard_error, found.df, alpha=alpha)),
        verdict=word,
    )
