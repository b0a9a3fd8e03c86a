"""Checks of the parameters that tie prior variances: groups, coupling, shape."""

from numbers import Integral, Real

import numpy as np
from scipy import sparse


def membership_matrix(groups, n_columns):
    """Return which columns belong to which group, a sparse matrix (n_columns, m).

    Parameters
    ----------
    groups : array-like of shape (n_columns,) or (n_groups, n_columns)
        A label for each column, or for each group what its columns are.
    n_columns : int
    """
    groups = np.asarray(groups)
    if groups.ndim == 1:
        if len(groups) != n_columns:
            raise ValueError(
                f"groups must have a label for each of the {n_columns} columns; got "
                f"{len(groups)}."
            )
        labels, members = np.unique(groups, return_inverse=True)
        ones = np.ones(n_columns)
        return sparse.csr_array(
            (ones, (np.arange(n_columns), members)), shape=(n_columns, len(labels))
        )
    if groups.ndim != 2 or groups.shape[1] != n_columns:
        raise ValueError(
            f"groups must have shape ({n_columns},), labels, or (n_groups, "
            f"{n_columns}), memberships; got shape {groups.shape}."
        )
    if not np.isin(groups, [0, 1]).all():
        raise ValueError("groups as a matrix must hold zeros and ones, or booleans.")
    lonely = np.flatnonzero(~groups.astype(bool).any(axis=0))
    if len(lonely):
        raise ValueError(f"groups leaves out column {lonely[0]}: each needs a group.")
    return sparse.csr_array(groups.T.astype(np.float64))


def checked_shape(shape, n_columns, name):
    """Return a shape as a tuple whose product is the number of columns."""
    sizes = tuple(np.atleast_1d(np.asarray(shape, dtype=object)))
    if not sizes or not all(isinstance(n, Integral) and n > 0 for n in sizes):
        raise ValueError(f"{name} must be a tuple of positive integers; got {shape!r}.")
    sizes = tuple(int(n) for n in sizes)
    product = int(np.prod(sizes))
    if product != n_columns:
        factors = " x ".join(map(str, sizes))
        raise ValueError(
            f"{name} must have the product {n_columns}, the number of columns; "
            f"{factors} = {product}."
        )
    return sizes


def checked_coupling(coupling, n_axes):
    """Return a strength between 0 and 1, or None for 0, for each axis."""
    if coupling is None:
        return None
    if isinstance(coupling, Real):
        strengths = (coupling,) * n_axes
    else:
        strengths = tuple(coupling)
        if len(strengths) != n_axes:
            raise ValueError(
                f"coupling must be a number or have an entry for each of the {n_axes} "
                f"axes; got {len(strengths)}."
            )
    for c in strengths:
        if c is not None and not (isinstance(c, Real) and 0 <= c <= 1):
            raise ValueError(f"coupling must be between 0 and 1; got {c!r}.")
    strengths = tuple(float(c) if c else None for c in strengths)
    return strengths if any(strengths) else None
