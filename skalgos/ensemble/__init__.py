"""Ensembles of trees that predict distributions."""

from skalgos.ensemble._ngboost.estimators import (
    NGBoostClassifier,
    NGBoostRegressor,
    NGBoostSurvivalRegressor,
)

__all__ = ["NGBoostClassifier", "NGBoostRegressor", "NGBoostSurvivalRegressor"]
