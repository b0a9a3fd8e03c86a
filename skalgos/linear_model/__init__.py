"""Linear models: sparse Bayesian recovery."""

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
    "SparseBayesClassifier",
    "SparseBayesRegressor",
    "SparseBayesResult",
    "complex_to_real",
    "sparse_bayes",
]
