"""Tables given as (row, column) pairs with values: what the regressors share."""

from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from skalgos._base import SkalEstimator
from skalgos._compat import CallbackSupportMixin, Interval, check_sample_weight

# Pairs that are predicted at once.
BLOCK = 1 << 16


class PairRegressor(CallbackSupportMixin, RegressorMixin, SkalEstimator):
    """Base of the regressors on pairs of ids."""

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "clip": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags

    # ---- input -----------------------------------------------------------------------
    def _training(self, X, y, sample_weight):
        """Return the values as entries of a table whose sides are the sorted ids.

        Nothing that follows depends on the order of the pairs; equal pairs with equal
        values are one with the sum of their weights.

        Returns
        -------
        table : csr_array of float, maybe with several entries at one place
        weights : ndarray of shape (n_entries,) or None if all are 1
        """
        X, y = validate_data(
            self, X, y, dtype=None, y_numeric=True, ensure_min_features=2
        )
        weights = check_sample_weight(sample_weight, X, np.float64)
        y = y if y.dtype == np.float32 else y.astype(np.float64)
        ids = [_ids(X[:, side], side) for side in (0, 1)]
        present = weights > 0
        if not present.all():
            ids, y, weights = [c[present] for c in ids], y[present], weights[present]
        (self.row_ids_, rows), (self.column_ids_, columns) = (
            _distinct(column) for column in ids
        )
        shape = len(self.row_ids_), len(self.column_ids_)
        # What is sorted by row and column: the values, or where they stand.
        plain = (weights == 1).all()
        sorted_ = y if plain else np.arange(len(y), dtype=_index_type(len(y)))
        sorted_ = sparse.csr_array((sorted_, (rows, columns)), shape)
        if sorted_.nnz == len(y):
            indptr, indices, sorted_ = sorted_.indptr, sorted_.indices, sorted_.data
            y = sorted_ if plain else y[sorted_]
            weights = None if plain else weights[sorted_]
        else:
            order = np.lexsort((y, columns, rows))
            rows, columns, y, weights = (
                part[order] for part in (rows, columns, y, weights)
            )
            new = np.r_[True, np.diff(rows) != 0]
            new |= np.r_[True, np.diff(columns) != 0] | np.r_[True, np.diff(y) != 0]
            weights = np.add.reduceat(weights, np.flatnonzero(new))
            rows, indices, y = rows[new], columns[new], y[new]
            indptr = np.searchsorted(rows, np.arange(shape[0] + 1))
            weights = None if (weights == 1).all() else weights
        self.y_min_, self.y_max_ = float(y.min()), float(y.max())
        self.intercept_ = float(np.average(y.astype(np.float64), weights=weights))
        return sparse.csr_array((y, indices, indptr), shape), weights

    def _codes(self, X):
        """Return the numbers of the ids of both columns of X, -1 for unseen ones."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=None, reset=False)
        return [
            _find(_ids(X[:, side], side), known, side)
            for side, known in enumerate((self.row_ids_, self.column_ids_))
        ]

    def _clipped(self, values):
        return np.clip(values, self.y_min_, self.y_max_) if self.clip else values

    # ---- using -----------------------------------------------------------------------
    def recommend(self, row_ids, n_columns=10, *, exclude_seen=True):
        """Return the columns with the largest predictions for rows.

        Parameters
        ----------
        row_ids : array-like of shape (n_rows,)
            Ids of rows. Unseen ones get the columns that are best on average.

        n_columns : int, default=10
            How many columns for each, at most as many as there are.

        exclude_seen : bool, default=True
            Whether to leave out the columns that go with a row in the training data.

        Returns
        -------
        column_ids : ndarray of shape (n_rows, n_columns)
            The best first.

        scores : ndarray of shape (n_rows, n_columns)
            Their predictions, not clipped; minus infinity in the last places of a row
            if less than ``n_columns`` are left that it has not seen.
        """
        check_is_fitted(self)
        if not isinstance(n_columns, Integral) or not (
            1 <= n_columns <= len(self.column_ids_)
        ):
            raise ValueError(
                "n_columns must be an int from 1 to the number of columns, "
                f"{len(self.column_ids_)}; got {n_columns!r}."
            )
        row_ids = np.asarray(row_ids)
        if row_ids.ndim != 1:
            raise ValueError(
                f"row_ids must have one dimension; got shape {row_ids.shape}."
            )
        rows = _find(_ids(row_ids, 0), self.row_ids_, 0)
        best = np.empty((len(rows), n_columns), np.int64)
        scores = np.empty((len(rows), n_columns))
        step = max(1, BLOCK // len(self.column_ids_))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            values = self._scores(rows[part])
            if exclude_seen:
                known = np.flatnonzero(rows[part] >= 0)
                seen = self._seen[rows[part][known]]
                values[np.repeat(known, np.diff(seen.indptr)), seen.indices] = -np.inf
            # Ties go to the smaller id.
            best[part] = np.argsort(-values, axis=1, kind="stable")[:, :n_columns]
            scores[part] = np.take_along_axis(values, best[part], axis=1)
        return self.column_ids_[best], scores


def _ids(column, side):
    """Return ids as an array of strings or numbers."""
    if column.dtype.kind in "biufUS":
        return column
    text = [isinstance(value, str) for value in column]
    if all(text):
        return column.astype(str)
    if any(text):
        raise ValueError(
            f"Column {side} of X has both strings and numbers for ids; make them "
            "all strings."
        )
    whole = all(isinstance(value, Integral) for value in column)
    return column.astype(np.int64 if whole else np.float64)


def _index_type(size):
    """Return the smaller of two types for numbers up to a size."""
    return np.int32 if size < 2**31 else np.int64


def _distinct(ids):
    """Return the sorted distinct ids, and the place of each among them."""
    if ids.dtype.kind in "iu":
        low, high = int(ids.min()), int(ids.max())
        if high - low < 4 * len(ids) + 1000:  # counting is faster than sorting
            seen = np.zeros(high - low + 1, bool)
            seen[ids - ids.dtype.type(low)] = True
            places = np.cumsum(seen, dtype=_index_type(len(ids))) - 1
            distinct = np.flatnonzero(seen).astype(ids.dtype) + ids.dtype.type(low)
            return distinct, places[ids - ids.dtype.type(low)]
    return np.unique(ids, return_inverse=True)


def _find(ids, known, side):
    """Return the places of ids among the sorted known ones, -1 where they are not."""
    if (ids.dtype.kind in "US") != (known.dtype.kind in "US"):
        kinds = ["numbers", "strings"]
        if known.dtype.kind not in "US":
            kinds.reverse()
        raise ValueError(
            f"The ids in column {side} of X are {kinds[0]}, but those seen in fit are "
            f"{kinds[1]}."
        )
    places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return np.where(known[places] == ids, places, -1)


def pattern(table):
    """Return which entries a table has, without their values."""
    return sparse.csr_array(
        (np.ones(table.nnz, np.int8), table.indices, table.indptr), table.shape
    )
