"""Tables with missing entries, as estimators take them."""

import numpy as np
from scipy import sparse


def entries(X, missing_values):
    """Return the observed entries of a table in compressed rows.

    Parameters
    ----------
    X : ndarray or csr matrix
        Of a sparse matrix, what is stored is observed, zeros included.
    missing_values : float
        Marks missing entries, besides those that a sparse matrix does not store.

    Returns
    -------
    entries : scipy.sparse.csr_array
        With sorted indices; it may share memory with X.
    """
    if sparse.issparse(X):
        # An array, so that nothing below is a matrix in numpy's sense.
        canonical = X.has_canonical_format
        X = sparse.csr_array(X, copy=not canonical)
        X.sum_duplicates()
        missing = _is_missing(X.data, missing_values)
        if not missing.any():
            return X
        keep = ~missing
        counts = np.concatenate([[0], np.cumsum(keep)])
        return sparse.csr_array(
            (X.data[keep], X.indices[keep], counts[X.indptr]), X.shape
        )
    observed = ~_is_missing(X, missing_values)
    indptr = np.concatenate([[0], np.cumsum(observed.sum(axis=1))])
    return sparse.csr_array((X[observed], np.nonzero(observed)[1], indptr), X.shape)


def _is_missing(values, missing_values):
    if np.isnan(missing_values):
        return np.isnan(values)
    return values == missing_values


def held_out(entries, fraction, seed):
    """Choose entries by the content of their rows, not by where these stand.

    Equal rows lose the same entries, so that a weight is as good as repetition.

    Parameters
    ----------
    entries : csr_array
    fraction : float
        The share to choose, of those that differ.
    seed : int

    Returns
    -------
    chosen : ndarray of shape (n_entries,), bool
        At least one of them and not all; none if there are less than two.
    """
    # In single precision the same entries are chosen as in double.
    bits = entries.data.astype(np.float32).view(np.uint32).astype(np.uint64)
    columns = entries.indices.astype(np.uint64)
    own = _mix(bits ^ _mix(columns + np.uint64(seed)))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(own, dtype=np.uint64)])
    of_row = sums[entries.indptr[1:]] - sums[entries.indptr[:-1]]
    draws = _mix(np.repeat(_mix(of_row), np.diff(entries.indptr)) ^ _mix(columns))
    distinct = np.unique(draws)
    if len(distinct) < 2:
        return np.zeros(len(draws), bool)
    n_out = min(max(round(fraction * len(distinct)), 1), len(distinct) - 1)
    return draws < distinct[n_out]


def _mix(x):
    """Scramble 64-bit integers one to one (the finaliser of splitmix64)."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
