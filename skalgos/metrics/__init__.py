"""Scores of predictive distributions, and scorers made of them."""

from skalgos.metrics._scorers import (
    ProbabilisticScorer,
    neg_crps_scorer,
    neg_log_score_scorer,
)
from skalgos.metrics._scores import (
    concordance_index,
    crps_score,
    interval_coverage,
    interval_score,
    log_score,
    pinball_loss,
    probability_integral_transform,
)

__all__ = [
    "ProbabilisticScorer",
    "concordance_index",
    "crps_score",
    "interval_coverage",
    "interval_score",
    "log_score",
    "neg_crps_scorer",
    "neg_log_score_scorer",
    "pinball_loss",
    "probability_integral_transform",
]
