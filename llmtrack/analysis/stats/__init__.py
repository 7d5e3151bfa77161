"""Statistics for experiments whose unit is the user, one idea a file (docs/statistics.md says why each was chosen).

Only numpy and scipy.special are imported: scipy.stats and statsmodels hold the same formulas but take longer to
import than a report takes to compute. The tests check every function against them.
"""

from llmtrack.analysis.stats.compare import Difference, compare
from llmtrack.analysis.stats.multiple import benjamini_hochberg, holm
from llmtrack.analysis.stats.permutation import permutation_test
from llmtrack.analysis.stats.power import mde
from llmtrack.analysis.stats.quantile import Sample, quantile, quantile_interval
from llmtrack.analysis.stats.ratio import Interval, Ratio, div, mean_interval, ratio, spread
from llmtrack.analysis.stats.shares import share_difference, share_interval, wilson
from llmtrack.analysis.stats.srm import srm_p
from llmtrack.analysis.stats.survival import km_quantile, pseudo_observations
from llmtrack.analysis.stats.tails import Winsorised, winsorise
from llmtrack.analysis.stats.verdict import Good, verdict

__all__ = [
    "Difference",
    "Good",
    "Interval",
    "Ratio",
    "Sample",
    "Winsorised",
    "benjamini_hochberg",
    "compare",
    "div",
    "holm",
    "km_quantile",
    "mde",
    "mean_interval",
    "permutation_test",
    "pseudo_observations",
    "quantile",
    "quantile_interval",
    "ratio",
    "share_difference",
    "share_interval",
    "spread",
    "srm_p",
    "verdict",
    "wilson",
    "winsorise",
]
