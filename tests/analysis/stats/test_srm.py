"""The split of users: exact where few are expected, beside scipy's exact and χ² tests."""

from __future__ import annotations

import pytest
from scipy import stats

from llmtrack.analysis.stats import srm_p


@pytest.mark.parametrize(("a", "b", "share"), [(5, 5, 0.5), (12, 0, 0.5), (9, 1, 0.5), (0, 3, 0.9), (996, 4, 0.999)])
def test_two_small_arms_are_tested_by_the_binomial(a: int, b: int, share: float) -> None:
    expected = stats.binomtest(a, a + b, share).pvalue
    assert srm_p({"a": a, "b": b}, {"a": share, "b": 1 - share}) == pytest.approx(expected, rel=1e-6)


def test_three_small_arms_are_tested_by_the_multinomial() -> None:
    counts, shares = (1, 2, 9), (1 / 3, 1 / 3, 1 / 3)
    law = stats.multinomial(12, shares)
    splits = [(i, j, 12 - i - j) for i in range(13) for j in range(13 - i)]
    expected = sum(law.pmf(split) for split in splits if law.pmf(split) <= law.pmf(counts) * (1 + 1e-9))
    found = srm_p(dict(zip("abc", counts, strict=True)), dict.fromkeys("abc", 1.0))
    assert found == pytest.approx(expected, abs=0.005)


def test_large_arms_are_tested_by_chi_squared() -> None:
    assert srm_p({"a": 5_300, "b": 4_700}, {"a": 1, "b": 1}) == pytest.approx(stats.chisquare([5300, 4700]).pvalue)
