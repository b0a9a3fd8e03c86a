"""What LowRankCompletion and LowRankImputer share: all but their outputs."""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from skalgos._base import SkalEstimator
from skalgos._compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    check_sample_weight,
)
from skalgos._tasks import fit_task
from skalgos._threads import n_threads

# Entries that are added up at once.
ENTRIES_AT_ONCE = 1 << 22
LOSSES = {"squared_error", "huber", "absolute_error", "tukey"}


class LowRankTable(CallbackSupportMixin, TransformerMixin, SkalEstimator):
    """Base of the estimators that fit low-rank factors to a table with gaps."""

    _parameter_constraints: dict = {
        "n_components": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "alpha_scaling": [Interval(Real, 0, 1, closed="both")],
        "loss": [StrOptions(LOSSES)],
        "center": [StrOptions({"columns", "global"}), None],
        "nonnegative": ["boolean"],
        "missing_values": [StrOptions({"absent"}), Real],
        "solver": [StrOptions({"auto", "cholesky", "pcg"})],
        "inner_tol": [Interval(Real, 0, 1, closed="neither")],
        "continuation": [
            StrOptions({"auto"}),
            Interval(Real, 0, 1, closed="neither"),
            None,
        ],
        "init": [StrOptions({"random", "spectral"})],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        marker = self.missing_values
        absent = isinstance(marker, str)
        tags.input_tags.sparse = absent
        tags.input_tags.allow_nan = absent or (
            isinstance(marker, Real) and bool(np.isnan(marker))
        )
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # ---- input -----------------------------------------------------------------------
    def _validated(self, X, *, reset):
        tags = self.__sklearn_tags__().input_tags
        if sparse.issparse(X) and not tags.sparse:
            raise TypeError(
                "Sparse X is accepted with missing_values='absent' alone: entries that "
                "it does not store then are missing, while stored zeros are observed. "
                f"Got missing_values={self.missing_values!r}."
            )
        try:
            return validate_data(
                self,
                X,
                reset=reset,
                accept_sparse="csr" if tags.sparse else False,
                dtype=[np.float64, np.float32],
                ensure_all_finite="allow-nan" if tags.allow_nan else True,
            )
        except (TypeError, ValueError) as error:
            columns = _not_numeric(X)
            if not columns:
                raise
            raise ValueError(
                f"X must be numeric; columns {columns} are not. Encode or drop them."
            ) from error

    def _entries(self, X):
        from skalgos._low_rank.tables import entries

        absent = isinstance(self.missing_values, str)
        return entries(X, np.nan if absent else self.missing_values)

    # ---- fitting ---------------------------------------------------------------------
    def _fit(self, X, sample_weight=None, entry_weight=None):
        """Fit factors to X, and return the table of the left ones for all rows."""
        from skalgos._low_rank.solvers import (
            LEAST_SQUARES,
            optimality_ratio,
            principal_axes,
        )
        from skalgos._low_rank.tables import held_out

        self._check_combinations()
        table = self._entries(X)
        table, weights = self._weighted(X, table, entry_weight)
        counts = check_sample_weight(sample_weight, X, np.float64)
        rng = check_random_state(self.random_state)
        seed = int(rng.randint(np.iinfo(np.int32).max))
        n_features = X.shape[1]
        present = counts > 0
        if not (np.diff(table.indptr)[present] > 0).any():
            raise ValueError(
                "X has no observed entry"
                + (" with a weight." if any(~present) else ".")
            )
        if self.n_components == "auto":
            k = n_features
        else:
            k = min(self.n_components, n_features)

        subset, weights_of = table, weights
        if not present.all():
            subset, weights_of = _rows_of(table, weights, present)
        out = None
        if self.alpha == "auto":
            out = held_out(subset, self.validation_fraction, seed)
        means, center = _means(self.center, subset, weights_of, counts[present])
        subset = _centred(subset, means.astype(X.dtype))
        whole = fit_task(
            self, X, sample_weight=counts, max_subtasks=None, sequential=True
        )
        alpha, searched = self.alpha, None
        if alpha == "auto":

            def on_ridge(path):
                return whole.subtask("ridge").end(lambda: {"alpha_path_": path})

            alpha, searched = 1.0, np.empty((0, 2))
            if out.any():
                alpha, searched = self._search(
                    subset, weights_of, counts[present], out, k, seed, on_ridge
                )
        problem = self._problem(subset, weights_of, counts[present])

        def attributes(sweep):
            axes, lengths = principal_axes(sweep.factors.right, k)
            return {
                "components_": axes.astype(X.dtype),
                "column_means_": means.astype(X.dtype),
                "error_curve_": np.array(sweep.errors),
                "n_iter_": sweep.number,
                "alpha_": float(sweep.alpha),
            }

        def on_sweep(sweep):
            return whole.subtask("sweep").end(lambda: attributes(sweep))

        fit = self._run(problem, k, alpha, np.random.RandomState(seed), on_sweep)
        whole.end()
        k = fit.factors.k
        if self.nonnegative:
            components = fit.factors.right[:, :k].T.astype(np.float64)
            lengths = np.ones(k)
        else:
            components, lengths = principal_axes(fit.factors.right, k)
        if self.n_components == "auto":
            singular = _singular_values(fit.factors)
            k = max(1, np.count_nonzero(singular > 1e-3 * singular.max(initial=0)))
            components, lengths = components[:k], lengths[:k]
        ratio = np.nan
        convex = fit.loss.code != 2 and alpha > 0 and not self.nonnegative
        if convex and fit.converged:
            ratio = optimality_ratio(
                problem, fit.factors, alpha, fit.loss, np.random.RandomState(seed)
            )

        self.components_ = components.astype(X.dtype)
        self.column_means_ = means.astype(X.dtype)
        self.mean_ = center
        self.n_components_ = k
        self.n_iter_ = fit.n_iter
        self.objective_curve_ = np.array(fit.objectives)
        self.error_curve_ = np.array(fit.errors)
        self.optimality_ratio_ = float(ratio)
        self.alpha_ = float(alpha)
        self.solver_ = fit.solver
        self.scale_ = float(fit.sigma) if fit.loss != LEAST_SQUARES else np.nan
        self.empty_columns_ = np.diff(problem.columns.indptr) == 0
        self._n_features_out = k
        self._lengths = lengths
        self._loss = fit.loss
        self.__dict__.pop("alpha_path_", None)
        if searched is not None:
            self.alpha_path_ = searched
        if not fit.converged and fit.n_iter >= self.max_iter:
            warnings.warn(
                f"{type(self).__name__} stopped after max_iter={self.max_iter} sweeps, "
                f"when they still changed the fit by more than tol={self.tol}. "
                "Increase max_iter or tol.",
                ConvergenceWarning,
                stacklevel=4,
            )
        side = problem.rows if present.all() else self._side(table, weights)
        del problem
        left = self._fold_in(side)
        self.singular_values_ = np.linalg.svd(
            left * np.sqrt(counts)[:, None], compute_uv=False
        )
        if len(self.singular_values_) < k:
            missing = k - len(self.singular_values_)
            self.singular_values_ = np.pad(self.singular_values_, (0, missing))
        return left

    def _check_combinations(self):
        if self.nonnegative and self.center is not None:
            raise ValueError(
                "nonnegative=True needs center=None: of centred values half are "
                f"negative. Got center={self.center!r}."
            )
        if self.nonnegative and self.solver != "auto":
            raise ValueError(
                "nonnegative=True has a solver of its own, for which solver must be "
                f"'auto'; got {self.solver!r}."
            )
        if self.n_components == "auto":
            for name, bad, why in (
                ("loss", self.loss == "tukey", "a convex loss"),
                ("nonnegative", self.nonnegative, "nonnegative=False"),
                ("alpha", self.alpha == 0, "a positive alpha"),
            ):
                if bad:
                    raise ValueError(
                        "n_components='auto' rests on a proof of optimality that needs "
                        f"{why}; got {name}={getattr(self, name)!r}."
                    )

    def _weighted(self, X, table, entry_weight):
        """Return the entries that have a weight, and their weights."""
        if entry_weight is None:
            return table, None
        if not sparse.issparse(entry_weight):
            entry_weight = np.asarray(entry_weight)
        if entry_weight.shape != X.shape:
            raise ValueError(
                f"entry_weight must have the shape of X, {X.shape}; got "
                f"{entry_weight.shape}."
            )
        if sparse.issparse(entry_weight):
            entry_weight = sparse.csr_array(entry_weight)
        rows = np.repeat(np.arange(X.shape[0]), np.diff(table.indptr))
        weights = np.asarray(entry_weight[rows, table.indices]).ravel()
        weights = weights.astype(table.dtype)
        if not np.isfinite(weights).all() or (weights < 0).any():
            raise ValueError(
                "entry_weight must be finite and at least 0 at every observed entry."
            )
        keep = weights > 0
        if not keep.any():
            raise ValueError("entry_weight is zero at every observed entry.")
        counts = np.concatenate([[0], np.cumsum(keep)])
        table = sparse.csr_array(
            (table.data[keep], table.indices[keep], counts[table.indptr]), table.shape
        )
        return table, weights[keep]

    def _problem(self, table, weights, counts):
        from skalgos._low_rank.problems import make_problem

        return make_problem(
            table.indptr,
            table.indices,
            table.data,
            table.shape[1],
            scaling=self.alpha_scaling,
            weights=weights,
            row_weights=None if (counts == 1).all() else counts,
        )

    def _run(self, problem, k, alpha, rng, on_sweep):
        from skalgos._low_rank.solvers import alternate, complete

        options = {
            "loss": self.loss,
            "solver": self.solver,
            "inner_tol": self.inner_tol,
            "continuation": self.continuation,
            "init": self.init,
            "max_iter": self.max_iter,
            "tol": self.tol,
            "threads": n_threads(self.n_jobs),
            "on_sweep": on_sweep,
        }
        if self.n_components == "auto":
            return complete(problem, limit=k, alpha=alpha, rng=rng, **options)
        return alternate(
            problem,
            k,
            alpha=alpha,
            nonnegative=self.nonnegative,
            start=self._previous(problem, k),
            rng=rng,
            **options,
        )

    def _previous(self, problem, k):
        """Return factors to start from if warm_start asks for those of the last fit."""
        if not self.warm_start or not hasattr(self, "components_"):
            return None
        if self.components_.shape != (k, len(problem.columns.scales)):
            raise ValueError(
                "With warm_start=True n_components must stay the same; the last fit "
                f"has components of shape {self.components_.shape}."
            )
        from skalgos._low_rank.problems import aligned
        from skalgos._low_rank.solvers import Factors

        right = self._right(problem.dtype)
        left = aligned((len(problem.rows.scales), right.shape[1]), problem.dtype)
        return Factors(left, right, k, False)

    def _search(self, table, weights, counts, out, k, seed, on_ridge):
        """Choose the ridge by the entries ``out``."""
        from skalgos._low_rank.solvers import HeldOut, choose_ridge

        rows = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
        kept = sparse.csr_array(
            (table.data[~out], (rows[~out], table.indices[~out])), table.shape
        )
        return choose_ridge(
            self._problem(kept, None if weights is None else weights[~out], counts),
            min(k, 50) if self.n_components == "auto" else k,
            HeldOut(
                rows[out],
                table.indices[out],
                table.data[out].astype(np.float64),
                counts[rows[out]] * (1.0 if weights is None else weights[out]),
            ),
            loss=self.loss,
            nonnegative=self.nonnegative,
            solver=self.solver,
            inner_tol=self.inner_tol,
            init=self.init,
            rng=np.random.RandomState(seed),
            threads=n_threads(self.n_jobs),
            on_ridge=on_ridge,
        )

    # ---- using -----------------------------------------------------------------------
    def _right(self, dtype):
        """Return the table of the right factors in the metric of the ridge."""
        from skalgos._low_rank.problems import aligned, padded

        k, n = self.components_.shape
        right = aligned((n, padded(k, np.dtype(dtype))), dtype)
        right[:, :k] = self.components_.T * self._lengths
        return right

    def _side(self, table, weights=None):
        """Return the entries of rows, centred."""
        from skalgos._low_rank.problems import make_side

        table = _centred(table, self.column_means_.astype(table.dtype))
        return make_side(
            table.indptr, table.indices, table.data, weights, self.alpha_scaling
        )

    def _fold_in(self, side):
        """Return the row factors that fit the entries of a side best."""
        from skalgos._low_rank.solvers import fold_in

        dtype = side.values.dtype
        k = self.n_components_
        left = fold_in(
            side,
            self._right(dtype),
            k,
            bias=False,
            alpha=self.alpha_,
            alpha_bias=0.0,
            loss=self._loss,
            nonnegative=self.nonnegative,
            threads=n_threads(self.n_jobs),
        )
        return left[:, :k] * self._lengths.astype(dtype)

    def _transform(self, X):
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        return X, self._fold_in(self._side(self._entries(X)))

    def _expand(self, W):
        components = self.components_.astype(W.dtype, copy=False)
        return W @ components + self.column_means_.astype(W.dtype, copy=False)


def _not_numeric(X):
    """Return the names of the columns of a data frame that are not numbers."""
    if not hasattr(X, "columns") or not hasattr(X, "dtypes"):
        return []
    names = []
    for name in X.columns:
        try:
            np.asarray(X[name], dtype=np.float64)
        except (TypeError, ValueError):
            names.append(name)
    return names


def _rows_of(table, weights, present):
    """Return the rows of a table that count, and their weights."""
    if weights is not None:
        picked = sparse.csr_array(
            (np.arange(table.nnz), table.indices, table.indptr), table.shape
        )[present]
        weights = weights[picked.data]
    return table[present], weights


def _centred(table, means):
    """Return a table less what goes from each column, with the same indices."""
    if not means.any():
        return table
    values = means[table.indices]
    np.subtract(table.data, values, out=values)
    return sparse.csr_array((values, table.indices, table.indptr), table.shape)


def _means(center, table, weights, counts):
    """Return what to subtract from each column, and the mean of all entries."""
    n_features = table.shape[1]
    if (counts != 1).any():
        counts = np.repeat(counts, np.diff(table.indptr))
        weights = counts if weights is None else weights * counts
    sums, totals = np.zeros(n_features), np.zeros(n_features)
    for start in range(0, table.nnz, ENTRIES_AT_ONCE):
        part = slice(start, start + ENTRIES_AT_ONCE)
        columns, values = table.indices[part], table.data[part]
        weight = np.ones(len(values)) if weights is None else weights[part]
        sums += np.bincount(columns, weight * values, n_features)
        totals += np.bincount(columns, weight, n_features)
    mean = float(sums.sum() / totals.sum())
    if center is None:
        return np.zeros(n_features), mean
    means = np.full(n_features, mean)
    if center == "columns":
        seen = totals > 0
        means[seen] = sums[seen] / totals[seen]
    return means, mean


def _singular_values(factors):
    """Return the singular values of the product of two factors."""
    k = factors.k
    left = np.linalg.qr(factors.left[:, :k].astype(np.float64), mode="r")
    right = np.linalg.qr(factors.right[:, :k].astype(np.float64), mode="r")
    return np.linalg.svd(left @ right.T, compute_uv=False)
