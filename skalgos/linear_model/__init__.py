"""Linear models."""

from skalgos.linear_model._checkered.estimators import CheckeredClassifier
from skalgos.linear_model._checkered.links import (
    checkoid,
    log_checkoid,
    log_multiclass_checkoid,
    multiclass_checkoid,
)

__all__ = [
    "CheckeredClassifier",
    "checkoid",
    "log_checkoid",
    "log_multiclass_checkoid",
    "multiclass_checkoid",
]
