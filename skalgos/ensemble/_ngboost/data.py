"""From tables and targets to rows to boost on."""

from itertools import combinations
from numbers import Integral

import numpy as np

#: Categories of a feature, and bins of a number.
MAX_CATEGORIES = 255


def category_mask(selection, X, names):
    """Return a mask of the categorical features.

    Parameters
    ----------
    selection : None, "from_dtype" or array-like
        Indices, a mask, or names.
    X : dataframe or array-like
    names : ndarray of str or None
        The names of the features.

    Returns
    -------
    mask : ndarray of bool of shape (n_features,)
    """
    n_features = X.shape[1]
    mask = np.zeros(n_features, bool)
    if selection is None:
        return mask
    if isinstance(selection, str) and selection == "from_dtype":
        if hasattr(X, "iloc"):
            mask[:] = [getattr(dtype, "name", "") == "category" for dtype in X.dtypes]
        return mask
    selection = np.atleast_1d(np.asarray(selection))
    if selection.size == 0:
        return mask
    if selection.dtype.kind == "b":
        if selection.shape != (n_features,):
            raise ValueError(
                "categorical_features as a mask must have one entry for each of the "
                f"{n_features} features; got shape {selection.shape}."
            )
        return selection
    if selection.dtype.kind in "iu":
        if selection.min() < 0 or selection.max() >= n_features:
            raise ValueError(
                "categorical_features as indices must be from 0 to "
                f"{n_features - 1}; got {selection.tolist()}."
            )
        mask[selection] = True
        return mask
    if names is None:
        raise ValueError(
            "categorical_features are names, but X has none: pass a dataframe, or "
            "indices."
        )
    unknown = sorted(set(map(str, selection)) - set(names))
    if unknown:
        raise ValueError(f"categorical_features are not features of X: {unknown}.")
    return np.isin(names, selection.astype(str))


def column_categories(X, mask):
    """Return the categories of dataframe columns that do not hold plain numbers.

    Returns
    -------
    categories : dict of int to ndarray
        By the number of the column. Categories of numbers need no translation.
    """
    found = {}
    if not hasattr(X, "iloc"):
        return found
    for f in np.flatnonzero(mask):
        column = X.iloc[:, f]
        if getattr(column.dtype, "name", "") == "category":
            used = set(column.dropna().unique())
            kept = [value for value in column.cat.categories if value in used]
            found[int(f)] = np.array(kept, dtype=object)
        elif column.dtype.kind not in "biuf":
            found[int(f)] = np.array(sorted(column.dropna().unique()), dtype=object)
    return found


def translate_categories(X, categories):
    """Return a copy of a dataframe with categories as numbers; unseen are missing."""
    if not categories:
        return X
    if not hasattr(X, "iloc"):
        raise ValueError(
            "The model was fitted to a dataframe with categories; pass a dataframe."
        )
    X = X.copy()
    for f, known in categories.items():
        number = {value: float(k) for k, value in enumerate(known)}
        values = [number.get(value, np.nan) for value in X.iloc[:, f].astype(object)]
        X.isetitem(f, np.array(values, float))
    return X


def interaction_groups(given, n_features):
    """Return which features may meet on a path: a mask for each set, none if all may.

    Parameters
    ----------
    given : None, "pairwise", "no_interactions" or sequence of sets of int
    n_features : int

    Returns
    -------
    groups : ndarray of uint8 of shape (n_groups, n_features)
    """
    if given is None:
        return np.empty((0, n_features), np.uint8)
    if isinstance(given, str):
        size = 2 if given == "pairwise" else 1
        sets = list(combinations(range(n_features), min(size, n_features)))
    else:
        sets = [_checked_set(members, n_features) for members in given]
        rest = set(range(n_features)).difference(*sets)
        if rest:
            sets.append(sorted(rest))
    groups = np.zeros((len(sets), n_features), np.uint8)
    for group, members in zip(groups, sets, strict=True):
        group[list(members)] = 1
    return groups


def _checked_set(members, n_features):
    if isinstance(members, (list, tuple, set)) and all(
        isinstance(f, Integral) and 0 <= f < n_features for f in members
    ):
        return members
    raise ValueError(
        "interaction_cst must be 'pairwise', 'no_interactions' or sets of indices of "
        f"features, from 0 to {n_features - 1}; got {members!r} among them."
    )


def merged(columns, keys, weights):
    """Merge equal rows, and put rows in an order that depends on the data alone.

    Rows are equal if all their bins and keys are. The order, by a hash of the bins and
    then by the keys, is what random draws refer to: they depend neither on how the
    rows came, nor on whether a row is repeated or has a weight.

    Parameters
    ----------
    columns : ndarray of uint8 of shape (n_features, n_samples)
    keys : list of ndarray of shape (n_samples,)
        The target.
    weights : ndarray of shape (n_samples,)

    Returns
    -------
    rows : ndarray of int
        One of each group of equal rows, in order.
    weights : ndarray
        The total weight of each group.
    """
    from skalgos.ensemble._ngboost.kernels import hash_rows

    hashes = np.zeros(columns.shape[1], np.uint64)
    hash_rows(columns, hashes)
    order = np.lexsort((*keys, hashes))
    same = hashes[order[1:]] == hashes[order[:-1]]
    candidates = np.flatnonzero(same)
    if len(candidates) == 0:
        return order, weights[order]
    a, b = order[candidates], order[candidates + 1]
    equal = np.all([key[a] == key[b] for key in keys], axis=0)
    equal &= (columns[:, a] == columns[:, b]).all(axis=0)
    same[candidates] = equal
    starts = np.flatnonzero(np.r_[True, ~same])
    return order[starts], np.add.reduceat(weights[order], starts)


def folds(n_rows, n_folds, rng, strata=None):
    """Return the number of the fold of each row, of about equal size.

    Parameters
    ----------
    n_rows, n_folds : int
    rng : RandomState
    strata : ndarray of shape (n_rows,), default=None
        Classes that are to be spread evenly.

    Returns
    -------
    fold : ndarray of int of shape (n_rows,)
    """
    shuffled = rng.permutation(n_rows)
    if strata is not None:
        shuffled = shuffled[np.argsort(strata[shuffled], kind="stable")]
    fold = np.empty(n_rows, np.int64)
    fold[shuffled] = np.arange(n_rows) % n_folds
    return fold


def survival_bounds(y):
    """Return the bounds between which each time is, equal where it is known.

    Parameters
    ----------
    y : array-like
        Times; a structured array of an event indicator, a time, and perhaps the time
        of entry; or two or three columns, lower and upper bounds and the entry.

    Returns
    -------
    lower, upper : ndarray of shape (n_samples,)
    entry : ndarray of shape (n_samples,) or None
        From which time on a row was observed.
    """
    if getattr(getattr(y, "dtype", None), "names", None):
        if len(y.dtype.names) not in (2, 3):
            raise ValueError(
                "A structured y must have two fields, the event indicator and the "
                "time, and perhaps a third, the time of entry; got "
                f"{y.dtype.names}."
            )
        event, time, *entry = (y[name] for name in y.dtype.names)
        if event.dtype.kind != "b":
            if not np.isin(event, (0, 1)).all():
                raise ValueError(
                    f"The field {y.dtype.names[0]!r} of y must be boolean: whether the "
                    "event was observed."
                )
            event = event.astype(bool)
        time = time.astype(float)
        entry = entry[0].astype(float) if entry else None
        return time, np.where(event, time, np.inf), entry
    y = np.asarray(y, dtype=float)
    if y.ndim == 1:
        return y, y, None
    if y.ndim != 2 or y.shape[1] not in (2, 3):
        raise ValueError(
            "y must have shape (n_samples,), times, or (n_samples, 2), lower and upper "
            "bounds, or (n_samples, 3), with the times of entry, or be a structured "
            f"array; got shape {y.shape}."
        )
    lower, upper, *entry = np.ascontiguousarray(y.T)
    return lower, upper, entry[0] if entry else None


def name_rows(wrong):
    """Return the numbers of the first rows of a mask, for an error message."""
    rows = np.flatnonzero(wrong)
    shown = ", ".join(map(str, rows[:5]))
    return (
        f"row {shown}"
        if len(rows) == 1
        else f"rows {shown}" + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")
    )
