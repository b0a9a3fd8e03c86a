"""Rows in an order that depends on their values alone, equal ones merged."""

from typing import NamedTuple

import numpy as np


class Distinct(NamedTuple):
    """Distinct rows that have weight, features first; ``place`` finds them again.

    ``place[i]`` is the position of row i, or -1 if it has no weight.
    """

    X: np.ndarray
    weights: np.ndarray
    place: np.ndarray


def distinct_rows(X, weights):
    """Sort rows by their values and merge those that are equal.

    Random choices over the result depend neither on the order of the rows nor on
    whether rows are repeated or weighted.

    Parameters
    ----------
    X : ndarray of shape (n, p)
    weights : ndarray of shape (n,)

    Returns
    -------
    distinct : Distinct
    """
    present = np.flatnonzero(weights)
    rows = X[present]
    order = np.argsort(rows[:, 0], kind="stable")
    first = rows[order, 0]
    if (first[1:] == first[:-1]).any():
        order = np.lexsort(rows.T[::-1])
    rows = rows[order]
    is_new = np.ones(len(rows), bool)
    is_new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    number = np.cumsum(is_new) - 1
    place = np.full(len(X), -1)
    place[present[order]] = number
    merged = np.bincount(number, weights[present[order]])
    # Zeros have one sign, so that equal rows are equal in every bit.
    return Distinct(np.ascontiguousarray(rows[is_new].T) + 0.0, merged, place)


def priority_sample(weights, size, rng):
    """Draw rows with weights that estimate any sum without bias.

    Row i has priority w_i / u_i with u_i uniform; the highest are drawn, and weigh at
    least as much as the highest priority that was not (Duffield, Lund and Thorup).

    Parameters
    ----------
    weights : ndarray of shape (n,)
        Positive.
    size : int
        Less than n.
    rng : RandomState

    Returns
    -------
    rows : ndarray of shape (size,), increasing
    weights : ndarray of shape (size,)
    """
    priority = weights / (1.0 - rng.uniform(size=len(weights)))
    highest = np.argpartition(-priority, size)
    rows = np.sort(highest[:size])
    return rows, np.maximum(weights[rows], priority[highest[size]])
