"""Linear models."""

from skalgos.linear_model._checkered.estimators import CheckeredClassifier
from skalgos.linear_model._checkered.links import (
    checkoid,
    log_checkoid,
    log_multiclass_checkoid,
    multiclass_checkoid,
)
from skalgos.linear_model._checkered.search_cv import CheckeredClassifierCV
from skalgos.linear_model._checkered.xgd import minimize_xgd

__all__ = [
    "CheckeredClassifier",
    "CheckeredClassifierCV",
    "checkoid",
    "log_checkoid",
    "log_multiclass_checkoid",
    "minimize_xgd",
    "multiclass_checkoid",
]
