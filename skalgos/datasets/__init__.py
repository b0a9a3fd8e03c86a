"""Generators of data with a known truth."""

from skalgos.datasets._checkered import make_checkered, make_checkered_gmm
from skalgos.datasets._ellipses import make_ellipses
from skalgos.datasets._low_rank import make_low_rank_table
from skalgos.datasets._sparse import (
    KroneckerProblem,
    make_ecg_like,
    make_irs_channel,
    make_kronecker_sparse,
    make_sparse_recovery,
)

__all__ = [
    "KroneckerProblem",
    "make_checkered",
    "make_checkered_gmm",
    "make_ecg_like",
    "make_ellipses",
    "make_irs_channel",
    "make_kronecker_sparse",
    "make_low_rank_table",
    "make_sparse_recovery",
]
