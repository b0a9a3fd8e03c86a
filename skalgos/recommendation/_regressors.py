"""MatrixFactorizationRegressor and its Bayesian form."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from skalgos._compat import Interval, StrOptions, _fit_context
from skalgos._tasks import fit_task
from skalgos._threads import n_threads
from skalgos.recommendation._pairs import BLOCK, PairRegressor, pattern


class MatrixFactorizationRegressor(PairRegressor):
    """Predict values of (row, column) pairs by factors and biases.

    The prediction is an intercept, a bias for the row, one for the column and the
    product of a factor of each, fitted to the training pairs by alternating
    minimisation. Rows and columns are named by ids, which may be any numbers or
    strings: users and films, for instance. Read more in the
    :ref:`User Guide <matrix_completion>`.

    Parameters
    ----------
    n_components : int, default=16
        The number of factors.

    alpha : float or "auto", default="auto"
        The ridge on the factors, in units of a squared value. "auto" chooses the ridge
        that predicts held-out pairs best, along a path from large to small; it is 1 if
        none can be held out and predicted, as where every id occurs once.

    alpha_bias : float, default=None
        The ridge on the biases; None is a third of ``alpha``.

    alpha_scaling : float, default=0.5
        The ridge of a row or column is multiplied by its total weight to this power,
        between 0 and 1.

    fit_bias : bool, default=True
        Whether rows and columns have biases.

    loss : {"squared_error", "huber", "absolute_error", "tukey"}, \
            default="squared_error"
        What a residual costs. All but the first bound what gross errors in y can do:
        "huber" is linear beyond 1.345 standard deviations of the residuals, as their
        median estimates them; "absolute_error" is nearly the absolute value, linear
        beyond 0.1 of them; "tukey" is constant beyond 4.685, and needs more pairs for
        each component than the others. Each is scaled to the curvature of squares, so
        that the same ``alpha`` serves all.

    nonnegative : bool, default=False
        Whether all factors must be at least 0. Biases may have any sign.

    clip : bool, default=True
        Whether predictions are clipped to the range of y in ``fit``.

    solver : {"auto", "cholesky", "pcg"}, default="auto"
        How the regressions of a sweep are solved. "cholesky" is exact and costs the
        rank squared for each pair; "pcg" runs conjugate gradients with a shared
        spectral preconditioner up to ``inner_tol``, at the rank for each pair. "auto"
        is "cholesky" up to rank 12, biases included.

    inner_tol : float, default=0.01
        Where "pcg" stops: the preconditioned residual relative to that at its start.

    continuation : "auto", float or None, default="auto"
        By which factor a larger ridge falls to ``alpha`` from sweep to sweep in the
        beginning. "auto" is 0.9 if there are less than 2.5 pairs for each degree of
        freedom, else 0.3. None starts at ``alpha``.

    init : {"random", "spectral"}, default="random"
        The first factor of the columns: random, or leading singular vectors of the
        table with zeros for what is missing; for a robust loss of its signs.

    max_iter : int, default=100
        The largest number of sweeps over rows and columns.

    tol : float, default=1e-3
        Stop when a sweep lowers the objective by less than this share of it and changes
        the products of the factors by less than this share of the size of the values.

    early_stopping : bool, default=False
        Whether to hold out pairs and stop when their error no longer falls; the factors
        of the sweep with the smallest error are kept.

    validation_fraction : float, default=0.1
        The share of pairs held out for ``alpha="auto"`` and for ``early_stopping``.

    n_iter_no_change : int, default=5
        How many sweeps without a smaller validation error end the fit.

    warm_start : bool, default=False
        Whether to start from the factors of the previous fit, for the columns that it
        has seen.

    random_state : int, RandomState instance or None, default=None
        Determines the random start, and which pairs are held out. Pass an int for
        results that are the same in every call; they do not depend on the order of the
        pairs.

    n_jobs : int or None, default=None
        The number of threads. ``None`` means 1 unless in a
        :obj:`joblib.parallel_config` context, ``-1`` all processors. The result does
        not depend on it.

    Attributes
    ----------
    row_ids_ : ndarray of shape (n_rows,)
        The ids of rows seen in ``fit``, sorted.

    column_ids_ : ndarray of shape (n_columns,)
        The ids of columns seen in ``fit``, sorted.

    row_factors_ : ndarray of shape (n_rows, n_components)
        The factors of the rows.

    column_factors_ : ndarray of shape (n_columns, n_components)
        The factors of the columns.

    row_bias_ : ndarray of shape (n_rows,)
        The biases of the rows, zero without ``fit_bias``.

    column_bias_ : ndarray of shape (n_columns,)
        The biases of the columns, zero without ``fit_bias``.

    intercept_ : float
        The weighted mean of y.

    y_min_ : float
        The smallest value of y.

    y_max_ : float
        The largest value of y.

    objective_curve_ : ndarray
        The objective after each sweep at the final ridge and, for a robust loss, the
        final scale; it never rises.

    error_curve_ : ndarray of shape (n_iter_,)
        The root mean squared training error after each sweep; for a robust loss the
        root of twice its mean.

    alpha_ : float
        The ridge.

    alpha_path_ : ndarray of shape (n_alphas, 2)
        The ridges that ``alpha="auto"`` tried, and the mean squared error of the
        held-out pairs, or for a robust loss the mean absolute error. At most 18; less
        if the error no longer fell. Only there with ``alpha="auto"``.

    validation_curve_ : ndarray of shape (n_iter_,)
        With ``early_stopping``, the root mean squared error of the held-out pairs after
        each sweep.

    scale_ : float
        The standard deviation of the residuals that the robust loss is measured in; NaN
        for squared errors.

    solver_ : {"cholesky", "pcg", "coordinate-descent"}
        The solver in use.

    n_iter_ : int
        The number of sweeps.

    n_features_in_ : int
        Number of features seen during :term:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :term:`fit`. Defined only when X has feature
        names that are all strings.

    Raises
    ------
    ValueError
        If a parameter is out of its range or does not go with another, X has less than
        two columns, an id is missing or ids are both strings and numbers, or y has NaN
        or infinite values.

    Warns
    -----
    ConvergenceWarning
        If ``max_iter`` ended the fit.

    See Also
    --------
    BayesianMatrixFactorizationRegressor : No ridge to choose, and standard deviations.
    skalgos.decomposition.LowRankCompletion : The same for tables with gaps.

    Notes
    -----
    The first two columns of X are the ids; a table may have others, such as the time of
    a rating, which are not used. A pair may occur several times.

    An id that was not seen in ``fit`` has no bias and a factor of zero: what is left is
    the intercept and the bias of the other id.

    Memory is about twice that of the pairs, plus the factors.

    References
    ----------
    .. [1] Y. Gu, Z. Song, J. Yin and L. Zhang, "Low Rank Matrix Completion via Robust
       Alternating Minimization in Nearly Linear Time", ICLR 2024.
    .. [2] Y. Koren, R. Bell and C. Volinsky, "Matrix Factorization Techniques for
       Recommender Systems", Computer 42, 2009.

    Examples
    --------
    >>> import numpy as np
    >>> from skalgos.recommendation import MatrixFactorizationRegressor
    >>> X = [["ann", "tea"], ["ann", "rum"], ["bob", "tea"], ["bob", "ale"],
    ...      ["eve", "rum"], ["eve", "ale"], ["eve", "tea"]]
    >>> y = [5, 1, 4, 2, 1, 2, 5]
    >>> model = MatrixFactorizationRegressor(1, alpha=0.1, random_state=0).fit(X, y)
    >>> print(model.predict([["bob", "rum"], ["new", "tea"]]).round())
    [1. 5.]
    >>> ids, scores = model.recommend(["ann"], 1)
    >>> print(ids)
    [['ale']]
    """

    _parameter_constraints: dict = {
        **PairRegressor._parameter_constraints,
        "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "alpha_bias": [Interval(Real, 0, None, closed="left"), None],
        "alpha_scaling": [Interval(Real, 0, 1, closed="both")],
        "fit_bias": ["boolean"],
        "loss": [StrOptions({"squared_error", "huber", "absolute_error", "tukey"})],
        "nonnegative": ["boolean"],
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
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
    }

    def __init__(
        self,
        n_components=16,
        *,
        alpha="auto",
        alpha_bias=None,
        alpha_scaling=0.5,
        fit_bias=True,
        loss="squared_error",
        nonnegative=False,
        clip=True,
        solver="auto",
        inner_tol=1e-2,
        continuation="auto",
        init="random",
        max_iter=100,
        tol=1e-3,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
        warm_start=False,
        random_state=None,
        n_jobs=None,
    ):
        self.n_components = n_components
        self.alpha = alpha
        self.alpha_bias = alpha_bias
        self.alpha_scaling = alpha_scaling
        self.fit_bias = fit_bias
        self.loss = loss
        self.nonnegative = nonnegative
        self.clip = clip
        self.solver = solver
        self.inner_tol = inner_tol
        self.continuation = continuation
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit factors and biases to the values of pairs.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The ids of the rows in the first column, those of the columns in the second.

        y : array-like of shape (n_samples,)
            The values.

        sample_weight : array-like of shape (n_samples,), default=None
            How much the loss of each pair counts; None is 1 for all.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with self._all_or_nothing():
            self._fit(X, y, sample_weight)
        return self

    def _fit(self, X, y, sample_weight):
        from skalgos._low_rank.problems import make_problem
        from skalgos._low_rank.solvers import (
            LEAST_SQUARES,
            HeldOut,
            alternate,
            choose_ridge,
        )

        if self.nonnegative and self.solver != "auto":
            raise ValueError(
                "nonnegative=True has a solver of its own, for which solver must be "
                f"'auto'; got {self.solver!r}."
            )
        previous = None
        if self.warm_start and hasattr(self, "column_factors_"):
            previous = self.column_ids_, self.column_factors_, self.column_bias_
        table, weights = self._training(X, y, sample_weight)
        values = (table.data - self.intercept_).astype(table.dtype)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        rng = np.random.RandomState(seed)
        out = np.zeros(len(values), bool)
        if self.early_stopping and len(values) < 2:
            raise ValueError(
                "early_stopping=True holds out pairs to validate on, and needs "
                "others to fit; there is n_samples=1 with a weight."
            )
        if (self.early_stopping or self.alpha == "auto") and len(values) > 1:
            n_out = round(self.validation_fraction * len(values))
            n_out = min(max(n_out, 1), len(values) - 1)
            out[rng.permutation(len(values))[:n_out]] = True

        rows_out = np.searchsorted(table.indptr, np.flatnonzero(out), "right") - 1

        def problem_of(indptr, part):
            return make_problem(
                indptr,
                table.indices[part],
                values[part],
                table.shape[1],
                scaling=self.alpha_scaling,
                weights=None if weights is None else weights[part].astype(values.dtype),
            )

        def without_held_out():
            counts = np.bincount(rows_out, minlength=table.shape[0])
            gone = np.concatenate([[0], np.cumsum(counts)])
            return problem_of(table.indptr - gone, ~out)

        held_out = HeldOut(
            rows_out,
            table.indices[out],
            values[out].astype(np.float64),
            np.ones(len(rows_out)) if weights is None else weights[out],
        )
        options = {
            "alpha_bias": self.alpha_bias,
            "bias": self.fit_bias,
            "loss": self.loss,
            "nonnegative": self.nonnegative,
            "solver": self.solver,
            "inner_tol": self.inner_tol,
            "init": self.init,
            "rng": rng,
            "threads": n_threads(self.n_jobs),
        }
        whole = fit_task(
            self, X, y, sample_weight=sample_weight, max_subtasks=None, sequential=True
        )
        alpha = self.alpha
        self.__dict__.pop("alpha_path_", None)
        if alpha == "auto":

            def on_ridge(path):
                return whole.subtask("ridge").end(lambda: {"alpha_path_": path})

            alpha, self.alpha_path_ = 1.0, np.empty((0, 2))
            if out.any():
                alpha, self.alpha_path_ = choose_ridge(
                    without_held_out(),
                    self.n_components,
                    held_out,
                    on_ridge=on_ridge,
                    **options,
                )
        if self.early_stopping:
            problem = without_held_out()
        else:
            problem = problem_of(table.indptr, slice(None))
        errors, best = [], [np.inf, None, 0]

        def on_sweep(sweep):
            factors = sweep.factors
            done = False
            if self.early_stopping:
                errors.append(held_out.mean(held_out.misses(factors) ** 2) ** 0.5)
                if errors[-1] < best[0]:
                    copy = factors._replace(
                        left=factors.left.copy(), right=factors.right.copy()
                    )
                    best[:] = errors[-1], copy, sweep.number
                done = sweep.number - best[2] >= self.n_iter_no_change
            stop = whole.subtask("sweep").end(
                lambda: (
                    self._parameters(factors)
                    | {
                        "row_ids_": self.row_ids_,
                        "column_ids_": self.column_ids_,
                        "intercept_": self.intercept_,
                        "y_min_": self.y_min_,
                        "y_max_": self.y_max_,
                        "n_iter_": sweep.number,
                        "error_curve_": np.array(sweep.errors),
                        "validation_curve_": np.array(errors),
                    }
                )
            )
            return stop or done

        fit = alternate(
            problem,
            self.n_components,
            alpha=alpha,
            continuation=self.continuation,
            start=None if previous is None else self._previous(previous, problem),
            max_iter=self.max_iter,
            tol=self.tol,
            on_sweep=on_sweep,
            **options,
        )
        whole.end()
        factors = best[1] if self.early_stopping else fit.factors
        vars(self).update(self._parameters(factors))
        self.alpha_ = float(alpha)
        self.objective_curve_ = np.array(fit.objectives)
        self.error_curve_ = np.array(fit.errors)
        self.scale_ = float(fit.sigma) if fit.loss != LEAST_SQUARES else np.nan
        self.solver_ = fit.solver
        self.n_iter_ = fit.n_iter
        self._seen = pattern(table)
        self.__dict__.pop("validation_curve_", None)
        if self.early_stopping:
            self.validation_curve_ = np.array(errors)
        stopped = self.early_stopping and fit.n_iter - best[2] >= self.n_iter_no_change
        if not fit.converged and not stopped and fit.n_iter >= self.max_iter:
            warnings.warn(
                f"MatrixFactorizationRegressor stopped after max_iter={self.max_iter} "
                "sweeps, when they still changed the fit by more than "
                f"tol={self.tol}. Increase max_iter or tol.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _previous(self, previous, problem):
        """Return factors to start from: those of the last fit, zero for new columns."""
        from skalgos._low_rank.problems import aligned, padded
        from skalgos._low_rank.solvers import Factors
        from skalgos.recommendation._pairs import _find

        ids, factors, bias = previous
        k = self.n_components
        if factors.shape[1] != k:
            raise ValueError(
                "With warm_start=True n_components must stay the same; it was "
                f"{factors.shape[1]} and is now {k}."
            )
        width = padded(k + 2 * self.fit_bias, problem.dtype)
        left = aligned((len(problem.rows.scales), width), problem.dtype)
        right = aligned((len(problem.columns.scales), width), problem.dtype)
        places = _find(self.column_ids_, ids, 1)
        known = places >= 0
        right[known, :k] = factors[places[known]]
        if self.fit_bias:
            left[:, k] = right[:, k] = 1
            right[known, k + 1] = bias[places[known]]
        return Factors(left, right, k, self.fit_bias)

    def _parameters(self, factors):
        """Return the fitted attributes that are copies of factors."""
        left, right, k, bias = factors
        found = {}
        for side, F in (("row", left), ("column", right)):
            found[f"{side}_factors_"] = F[:, :k].copy()
            b = F[:, k + 1].copy() if bias else np.zeros(len(F), F.dtype)
            found[f"{side}_bias_"] = b
        return found

    def predict(self, X):
        """Predict the values of pairs.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The ids of the rows in the first column, those of the columns in the second;
            unseen ones too.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            The predictions.
        """
        rows, columns = self._codes(X)
        values = np.full(len(rows), self.intercept_, self.row_factors_.dtype)
        values += np.where(rows >= 0, self.row_bias_[rows], 0)
        values += np.where(columns >= 0, self.column_bias_[columns], 0)
        both = np.flatnonzero((rows >= 0) & (columns >= 0))
        for start in range(0, len(both), BLOCK):
            part = both[start : start + BLOCK]
            left = self.row_factors_[rows[part]]
            right = self.column_factors_[columns[part]]
            values[part] += np.einsum("ij,ij->i", left, right)
        return self._clipped(values)

    def _scores(self, rows):
        """Return the predictions for all columns, before clipping."""
        known = rows >= 0
        values = np.empty((len(rows), len(self.column_ids_)))
        values[:] = self.intercept_ + self.column_bias_.astype(np.float64)
        rows = rows[known]
        values[known] += self.row_factors_[rows] @ self.column_factors_.T
        values[known] += self.row_bias_[rows, None]
        return values


class BayesianMatrixFactorizationRegressor(PairRegressor):
    """Predict values of (row, column) pairs, with their standard deviations.

    The model is that of :class:`MatrixFactorizationRegressor` with distributions for
    everything: normal factors and biases, whose own means and covariances are unknown
    too. Gibbs sampling draws from what the training pairs leave possible, and the
    prediction is the mean over the draws. There is no ridge to choose. Read more in
    the :ref:`User Guide <matrix_completion>`.

    Parameters
    ----------
    n_components : int, default=16
        The number of factors. More than needed do little harm.

    n_samples : int, default=100
        The number of draws that are kept.

    burn_in : int, default=50
        The number of sweeps before the first of them.

    thinning : int, default=1
        The number of sweeps for each draw that is kept. Neighbours are alike: with more
        the same memory holds more of the distribution.

    clip : bool, default=True
        Whether predictions are clipped to the range of y in ``fit``.

    random_state : int, RandomState instance or None, default=None
        Determines the draws. Pass an int for results that are the same in every call;
        they do not depend on the order of the pairs.

    n_jobs : int or None, default=None
        The number of threads. ``None`` means 1 unless in a
        :obj:`joblib.parallel_config` context, ``-1`` all processors. The result does
        not depend on it.

    Attributes
    ----------
    row_ids_ : ndarray of shape (n_rows,)
        The ids of rows seen in ``fit``, sorted.

    column_ids_ : ndarray of shape (n_columns,)
        The ids of columns seen in ``fit``, sorted.

    intercept_ : float
        The weighted mean of y.

    y_min_ : float
        The smallest value of y.

    y_max_ : float
        The largest value of y.

    noise_std_ : float
        The standard deviation of y around the model, averaged over the draws.

    error_curve_ : ndarray of shape (burn_in + thinning * n_samples,)
        The root mean squared training error of each sweep: it should have settled
        within ``burn_in``.

    n_features_in_ : int
        Number of features seen during :term:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :term:`fit`. Defined only when X has feature
        names that are all strings.

    Raises
    ------
    ValueError
        If a parameter is out of its range, X has less than two columns, an id is
        missing or ids are both strings and numbers, or y has NaN or infinite values.

    See Also
    --------
    MatrixFactorizationRegressor : One fit instead of many draws.

    Notes
    -----
    The first two columns of X are the ids; a table may have others, such as the time of
    a rating, which are not used. A pair may occur several times.

    For an id that was not seen in ``fit`` the prediction is an average over its
    possible factors, and the standard deviation says how different those are.

    A sweep costs the square of ``n_components`` for each pair. The draws take
    ``4 * n_samples * (n_rows + n_columns) * (n_components + 1)`` bytes.

    References
    ----------
    .. [1] R. Salakhutdinov and A. Mnih, "Bayesian Probabilistic Matrix Factorization
       using Markov Chain Monte Carlo", ICML 2008.

    Examples
    --------
    >>> from skalgos.recommendation import BayesianMatrixFactorizationRegressor
    >>> X = [["ann", "tea"], ["ann", "rum"], ["bob", "tea"], ["bob", "ale"],
    ...      ["eve", "rum"], ["eve", "ale"], ["eve", "tea"]]
    >>> y = [5, 1, 4, 2, 1, 2, 5]
    >>> model = BayesianMatrixFactorizationRegressor(1, random_state=0).fit(X, y)
    >>> mean, std = model.predict([["bob", "rum"], ["new", "tea"]], return_std=True)
    >>> bool(mean[0] < mean[1]), bool(std[0] < std[1])
    (True, True)
    """

    _parameter_constraints: dict = {
        **PairRegressor._parameter_constraints,
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "burn_in": [Interval(Integral, 0, None, closed="left")],
        "thinning": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        n_components=16,
        *,
        n_samples=100,
        burn_in=50,
        thinning=1,
        clip=True,
        random_state=None,
        n_jobs=None,
    ):
        self.n_components = n_components
        self.n_samples = n_samples
        self.burn_in = burn_in
        self.thinning = thinning
        self.clip = clip
        self.random_state = random_state
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Draw factors and biases given the values of pairs.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The ids of the rows in the first column, those of the columns in the second.

        y : array-like of shape (n_samples,)
            The values.

        sample_weight : array-like of shape (n_samples,), default=None
            How often each pair counts: what divides the variance of its noise. None is
            1 for all.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with self._all_or_nothing():
            self._fit(X, y, sample_weight)
        return self

    def _fit(self, X, y, sample_weight):
        from skalgos._low_rank.gibbs import sample
        from skalgos._low_rank.problems import make_problem

        table, weights = self._training(X, y, sample_weight)
        values = table.data.astype(np.float64) - self.intercept_
        scale = float(np.sqrt(np.average(values**2, weights=weights))) or 1.0
        problem = make_problem(
            table.indptr,
            table.indices,
            values / scale,
            table.shape[1],
            scaling=0.5,
            weights=weights,
        )
        sweeps = self.burn_in + self.thinning * self.n_samples
        whole = fit_task(
            self,
            X,
            y,
            sample_weight=sample_weight,
            max_subtasks=sweeps,
            sequential=True,
        )
        errors = []

        def on_sweep(number, error):
            errors.append(scale * error)
            return whole.subtask("sweep").end(
                lambda: {"error_curve_": np.array(errors)}
            )

        self._draws = sample(
            problem,
            self.n_components,
            n_samples=self.n_samples,
            burn_in=self.burn_in,
            thinning=self.thinning,
            rng=check_random_state(self.random_state),
            threads=n_threads(self.n_jobs),
            on_sweep=on_sweep,
        )
        whole.end()
        self._scale = scale
        self._dtype = table.dtype
        self._seen = pattern(table)
        self.noise_std_ = scale * float(np.sqrt(self._draws.noise_variances.mean()))
        self.error_curve_ = np.array(errors)

    def predict(self, X, return_std=False):
        """Predict the values of pairs.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The ids of the rows in the first column, those of the columns in the second;
            unseen ones too.

        return_std : bool, default=False
            Whether to return standard deviations too.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            The means of the predictive distributions.

        y_std : ndarray of shape (n_samples,)
            Their standard deviations, the noise of a single value included. Only with
            ``return_std=True``.
        """
        rows, columns = self._codes(X)
        mean, variance = self._moments(rows, columns)
        mean = self._clipped(mean.astype(self._dtype))
        if return_std:
            return mean, np.sqrt(variance).astype(self._dtype)
        return mean

    def _moments(self, rows, columns):
        from skalgos._low_rank.gibbs import moments

        means, variances = np.empty(len(rows)), np.empty(len(rows))
        for start in range(0, len(rows), BLOCK):
            part = slice(start, start + BLOCK)
            mean, variance = moments(self._draws, rows[part], columns[part])
            means[part] = self.intercept_ + self._scale * mean
            variances[part] = self._scale**2 * variance
        return means, variances

    def _scores(self, rows):
        """Return the predictions for all columns, before clipping."""
        columns = np.arange(len(self.column_ids_))
        pairs = np.repeat(rows, len(columns)), np.tile(columns, len(rows))
        return self._moments(*pairs)[0].reshape(len(rows), -1)
