"""Ensembles of trees that predict distributions."""

from skalgos.ensemble._ngboost.classifier import NGBoostClassifier
from skalgos.ensemble._ngboost.regressor import NGBoostRegressor
from skalgos.ensemble._ngboost.survival import NGBoostSurvivalRegressor

__all__ = ["NGBoostClassifier", "NGBoostRegressor", "NGBoostSurvivalRegressor"]
