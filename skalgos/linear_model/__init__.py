"""Linear models: checkered regression, sparse Bayesian recovery."""

from skalgos.linear_model._checkered.estimators import CheckeredClassifier
from skalgos.linear_model._checkered.links import (
    checkoid,
    log_checkoid,
    log_multiclass_checkoid,
    multiclass_checkoid,
)
from skalgos.linear_model._checkered.search_cv import CheckeredClassifierCV
from skalgos.linear_model._checkered.xgd import minimize_xgd
from skalgos.linear_model._sparse_bayes.classifier import SparseBayesClassifier
from skalgos.linear_model._sparse_bayes.functions import (
    SparseBayesResult,
    complex_to_real,
    sparse_bayes,
)
from skalgos.linear_model._sparse_bayes.kernel_machines import RVC, RVR
from skalgos.linear_model._sparse_bayes.regressor import SparseBayesRegressor

__all__ = [
    "RVC",
    "RVR",
    "CheckeredClassifier",
    "CheckeredClassifierCV",
    "SparseBayesClassifier",
    "SparseBayesRegressor",
    "SparseBayesResult",
    "checkoid",
    "complex_to_real",
    "log_checkoid",
    "log_multiclass_checkoid",
    "minimize_xgd",
    "multiclass_checkoid",
    "sparse_bayes",
]
