"""Values of (row, column) pairs: ratings of films by users, and their like."""

from skalgos.recommendation._regressors import (
    BayesianMatrixFactorizationRegressor,
    MatrixFactorizationRegressor,
)

__all__ = ["BayesianMatrixFactorizationRegressor", "MatrixFactorizationRegressor"]
