"""An order of the rows that depends on their values alone, with equal rows merged.

Random choices are made over this order. A fit then depends neither on the order of the
rows nor on whether a row is repeated or weighted.
"""

from itertools import pairwise

import numpy as np
from scipy import sparse


def merge_rows(X, weights):
    """Sort rows, merge equal ones and leave out those that weigh nothing.

    Parameters
    ----------
    X : {ndarray, csr matrix} of shape (n, d)
    weights : ndarray of shape (n,)

    Returns
    -------
    first : ndarray of shape (n_distinct,)
        The first of the rows that are equal to each, in the order of their values.
    merged : ndarray of shape (n_distinct,)
        Their total weights.
    group : ndarray of shape (n,)
        For each row the position in ``first`` of the one it equals; -1 without weight.
    """
    present = np.flatnonzero(weights)
    rows = X if len(present) == X.shape[0] else X[present]
    order, is_new = (_sorted_sparse if sparse.issparse(X) else _sorted)(rows)
    return _grouped(present[order], is_new, weights)


def _grouped(order, is_new, weights):
    number = np.cumsum(is_new) - 1
    group = np.full(len(weights), -1)
    group[order] = number
    return order[is_new], np.bincount(number, weights[order]), group


def _sorted(X):
    """Sort dense rows by one feature after the other; mark the first of equals."""
    n = len(X)
    order = np.argsort(X[:, 0], kind="stable")
    is_new = _changes(X[order, 0])
    if is_new.all():
        return order, is_new
    group = np.cumsum(is_new)
    tied = np.flatnonzero(~is_new | ~np.append(is_new[1:], True))
    rows = X[order[tied]]
    keys = [rows[:, feature] for feature in range(X.shape[1] - 1, 0, -1)]
    within = np.lexsort([*keys, group[tied]])
    order[tied] = order[tied[within]]
    is_new = np.zeros(n, bool)
    for feature in range(X.shape[1]):
        is_new |= _changes(X[order, feature])
    return order, is_new


def _changes(values):
    changes = np.ones(len(values), bool)
    both_nan = np.isnan(values[1:]) & np.isnan(values[:-1])
    changes[1:] = (values[1:] != values[:-1]) & ~both_nan
    return changes


def _sorted_sparse(X):
    """Sort sparse rows as ``_sorted`` does the same rows in a dense array.

    Rows compare at their first difference, where one may have nothing stored. An entry
    is therefore ranked by its sign, its place and its value, so that negative entries
    come before the end of a row, and positive ones after: the sooner, the further off.
    """
    X = sparse.csr_matrix(X, copy=True)
    X.sum_duplicates()
    X.eliminate_zeros()
    side = np.where(X.data < 0, -1, 1) * (X.shape[1] - X.indices.astype(np.int64))
    keys = np.rec.fromarrays([np.append(side, 0), np.append(X.data, 0)])
    _, codes = np.unique(keys, return_inverse=True)
    codes = codes.astype(">u4")
    end = codes[-1:].tobytes()
    rows = [
        codes[start:stop].tobytes() + end
        for start, stop in zip(X.indptr[:-1], X.indptr[1:], strict=True)
    ]
    order = np.array(sorted(range(len(rows)), key=rows.__getitem__), dtype=np.intp)
    is_new = np.ones(len(rows), bool)
    is_new[1:] = [rows[a] != rows[b] for a, b in pairwise(order)]
    return order, is_new


def order_by_total(totals):
    """Order objects of a precomputed matrix by their total dissimilarities.

    Totals that differ by rounding alone count as equal, and keep their order.

    Parameters
    ----------
    totals : ndarray of shape (n,)

    Returns
    -------
    order : ndarray of shape (n,)
    """
    largest = totals.max(initial=0)
    rounded = np.round(totals / largest, 10) if largest > 0 else totals
    return np.argsort(rounded, kind="stable")


def merge_objects(distances, order, weights):
    """Merge objects of a precomputed matrix that are equal to each other in all of it.

    Parameters
    ----------
    distances : ndarray of shape (n, n)
    order : ndarray of shape (n,)
        As given by ``order_by_total``, which puts equal objects next to each other.
    weights : ndarray of shape (n,)

    Returns
    -------
    first, merged, group : ndarray
        As given by ``merge_rows``.
    """
    is_new = np.ones(len(order), bool)
    apart = distances[order[1:], order[:-1]] + distances[order[:-1], order[1:]]
    for i in np.flatnonzero(apart == 0) + 1:
        a, b = order[i], order[i - 1]
        same_row = np.array_equal(distances[a], distances[b])
        is_new[i] = not (same_row and np.array_equal(distances[:, a], distances[:, b]))
    return _grouped(order, is_new, weights)
