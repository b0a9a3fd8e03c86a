"""Decompositions: sparse codes over Kronecker products of dictionaries."""

from skalgos.decomposition._kronecker.estimators import KroneckerSparseCoder
from skalgos.decomposition._kronecker.functions import (
    KronSparseBayesResult,
    kron_sparse_bayes,
)

__all__ = ["KronSparseBayesResult", "KroneckerSparseCoder", "kron_sparse_bayes"]
