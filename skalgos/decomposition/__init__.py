"""Decompositions: low-rank factors, sparse codes over Kronecker dictionaries."""

from skalgos.decomposition._completion import LowRankCompletion
from skalgos.decomposition._kronecker.estimators import KroneckerSparseCoder
from skalgos.decomposition._kronecker.functions import (
    KronSparseBayesResult,
    kron_sparse_bayes,
)

__all__ = [
    "KronSparseBayesResult",
    "KroneckerSparseCoder",
    "LowRankCompletion",
    "kron_sparse_bayes",
]
