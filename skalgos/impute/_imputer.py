"""LowRankImputer: fill the gaps of a table from its low-rank structure."""

from numbers import Real

import numpy as np
from sklearn.impute import MissingIndicator
from sklearn.utils.validation import check_is_fitted

from skalgos._compat import Interval, _fit_context, check_feature_names_in
from skalgos._low_rank.estimators import LowRankTable


class LowRankImputer(LowRankTable):
    """Fill missing entries from a table of low rank that fits the observed ones.

    The table is that of :class:`~skalgos.decomposition.LowRankCompletion`. Observed
    entries stay as they are, to the last bit. Read more in the
    :ref:`User Guide <matrix_completion>`.

    Parameters
    ----------
    n_components : int or "auto", default=10
        The largest rank of the fitted table, at most the number of columns. With "auto"
        it grows until wider factors are proven not to lower the objective, so that
        ``alpha`` alone decides the rank.

    alpha : float or "auto", default="auto"
        The ridge on both factors, in units of a squared value. With
        ``alpha_scaling=0`` it is what singular values are shrunk by. "auto" chooses the
        ridge that predicts held-out entries best, along a path from large to small; it
        is 1 if none can be held out and predicted, as in tables of a single entry.

    alpha_scaling : float, default=0.0
        The ridge of a row or column is ``alpha`` times its total weight to this power,
        between 0 and 1.

    loss : {"squared_error", "huber", "absolute_error", "tukey"}, \
            default="squared_error"
        What a residual costs. All but the first bound what gross errors in X can do:
        "huber" is linear beyond 1.345 standard deviations of the residuals, as their
        median estimates them; "absolute_error" is nearly the absolute value, linear
        beyond 0.1 of them; "tukey" is constant beyond 4.685, and needs more entries for
        each component than the others. Each is scaled to the curvature of squares, so
        that the same ``alpha`` serves all.

    center : {"columns", "global"} or None, default="columns"
        What is subtracted before and added after: the mean of each column over its
        observed entries, that of all, or nothing.

    nonnegative : bool, default=False
        Whether all entries of both factors must be at least 0. Needs ``center=None``.

    missing_values : float or "absent", default=np.nan
        Which entries are missing: NaN, another number, or "absent". The last is for
        sparse X: what it does not store is missing, as is NaN, while zeros that it
        stores are observed.

    solver : {"auto", "cholesky", "pcg"}, default="auto"
        How the regressions of a sweep are solved. "cholesky" is exact and costs the
        rank squared for each entry; "pcg" runs conjugate gradients with a shared
        spectral preconditioner up to ``inner_tol``, at the rank for each entry. "auto"
        is "cholesky" up to rank 12.

    inner_tol : float, default=0.01
        Where "pcg" stops: the preconditioned residual relative to that at its start.

    continuation : "auto", float or None, default="auto"
        By which factor a larger ridge falls to ``alpha`` from sweep to sweep in the
        beginning. Near 1 it recovers tables from fewer entries, and takes longer.
        "auto" is 0.9 if there are less than 2.5 entries for each degree of freedom,
        else 0.3. None starts at ``alpha``.

    init : {"random", "spectral"}, default="random"
        The first factor of the columns: random, or leading singular vectors of X with
        zeros for what is missing; for a robust loss of the signs of X, which is where
        the sub-gradient of the absolute error points.

    max_iter : int, default=100
        The largest number of sweeps over rows and columns.

    tol : float, default=1e-3
        Stop when a sweep lowers the objective by less than this share of it and changes
        the fitted table by less than this share of the size of the values.

    validation_fraction : float, default=0.1
        The share of observed entries held out for ``alpha="auto"``.

    min_value : float, default=-np.inf
        The smallest value to fill in.

    max_value : float, default=np.inf
        The largest value to fill in.

    add_indicator : bool, default=False
        Whether to append a column of zeros and ones for each column that had missing
        entries in ``fit``: where they are.

    keep_empty_features : bool, default=False
        Whether to keep columns without an observed entry in ``fit``, filled with
        ``column_means_``. Else they are left out.

    random_state : int, RandomState instance or None, default=None
        Determines the random start, and which entries are held out. Pass an int for
        results that are the same in every call; they do not depend on the order of the
        rows.

    n_jobs : int or None, default=None
        The number of threads. ``None`` means 1 unless in a
        :obj:`joblib.parallel_config` context, ``-1`` all processors. The result does
        not depend on it.

    Attributes
    ----------
    components_ : ndarray of shape (n_components_, n_features)
        The right singular vectors of the factor of the columns, orthonormal rows, the
        heaviest first; or zeros where the table has a lower rank. With
        ``nonnegative=True`` the factor itself.

    singular_values_ : ndarray of shape (n_components_,)
        The singular values of the fitted table less what ``center`` says.

    column_means_ : ndarray of shape (n_features,)
        What is added to each column. Columns without any entry have ``mean_``, or 0
        with ``center=None``.

    mean_ : float
        The mean of all observed entries.

    empty_columns_ : ndarray of shape (n_features,), bool
        The columns without an observed entry.

    n_components_ : int
        The number of components.

    alpha_ : float
        The ridge.

    alpha_path_ : ndarray of shape (n_alphas, 2)
        The ridges that ``alpha="auto"`` tried, and the mean squared error at the
        held-out entries, or for a robust loss the mean absolute error. At most 18; less
        if the error no longer fell. Only there with ``alpha="auto"``.

    objective_curve_ : ndarray
        The objective after each sweep at the final ridge and, for a robust loss, the
        final scale; it never rises.

    error_curve_ : ndarray of shape (n_iter_,)
        The root mean squared training error after each sweep; for a robust loss the
        root of twice its mean.

    optimality_ratio_ : float
        The spectral norm of the gradient of the loss divided by the ridge. Up to 1, and
        with converged factors, it proves that the fitted table is the best of any rank;
        above, that more components would lower the objective. NaN where there is no
        such proof: without a ridge, with "tukey" or ``nonnegative=True``, and where
        ``max_iter`` ended the fit.

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

    indicator_ : MissingIndicator or None
        What ``add_indicator`` appends.

    Raises
    ------
    ValueError
        If a parameter is out of its range or does not go with another, X has infinite
        values, columns that are not numbers, or no observed entry.
    TypeError
        If X is sparse and ``missing_values`` is not "absent".

    Warns
    -----
    ConvergenceWarning
        If ``max_iter`` ended the fit.

    See Also
    --------
    skalgos.decomposition.LowRankCompletion : The factors themselves.
    sklearn.impute.KNNImputer : For tables whose rows form groups.
    sklearn.impute.IterativeImputer : For few columns with relations of any form.

    Notes
    -----
    Columns should be on one scale, as for a principal component analysis: put a
    :class:`~sklearn.preprocessing.StandardScaler`, which leaves NaN alone, before this.

    The result is dense, also for sparse X.

    References
    ----------
    .. [1] Y. Gu, Z. Song, J. Yin and L. Zhang, "Low Rank Matrix Completion via Robust
       Alternating Minimization in Nearly Linear Time", ICLR 2024.
    .. [2] T. Hastie, R. Mazumder, J. D. Lee and R. Zadeh, "Matrix Completion and
       Low-Rank SVD via Fast Alternating Least Squares", JMLR 16, 2015.
    .. [3] J. Ma and S. Fattahi, "Global Convergence of Sub-gradient Method for Robust
       Matrix Recovery", JMLR 24, 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from skalgos.impute import LowRankImputer
    >>> X = np.outer([1.0, 2.0, 3.0, 4.0], [1.0, -1.0, 2.0, 0.5])
    >>> X[1, 3] = X[3, 0] = np.nan
    >>> imputer = LowRankImputer(1, alpha=1e-6, center=None, random_state=0)
    >>> print(np.round(imputer.fit_transform(X)[[1, 3], [3, 0]], 3))
    [1. 4.]
    """

    _parameter_constraints: dict = {
        **LowRankTable._parameter_constraints,
        "min_value": [Interval(Real, None, None, closed="both")],
        "max_value": [Interval(Real, None, None, closed="both")],
        "add_indicator": ["boolean"],
        "keep_empty_features": ["boolean"],
    }
    del _parameter_constraints["warm_start"]

    warm_start = False

    def __init__(
        self,
        n_components=10,
        *,
        alpha="auto",
        alpha_scaling=0.0,
        loss="squared_error",
        center="columns",
        nonnegative=False,
        missing_values=np.nan,
        solver="auto",
        inner_tol=1e-2,
        continuation="auto",
        init="random",
        max_iter=100,
        tol=1e-3,
        validation_fraction=0.1,
        min_value=-np.inf,
        max_value=np.inf,
        add_indicator=False,
        keep_empty_features=False,
        random_state=None,
        n_jobs=None,
    ):
        self.n_components = n_components
        self.alpha = alpha
        self.alpha_scaling = alpha_scaling
        self.loss = loss
        self.center = center
        self.nonnegative = nonnegative
        self.missing_values = missing_values
        self.solver = solver
        self.inner_tol = inner_tol
        self.continuation = continuation
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.validation_fraction = validation_fraction
        self.min_value = min_value
        self.max_value = max_value
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.random_state = random_state
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None, entry_weight=None):
        """Fit a table of low rank to the observed entries.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The table, with missing entries as ``missing_values`` says.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            How often each row counts; None is once.

        entry_weight : {array-like, sparse matrix} of shape (n_samples, n_features), \
                default=None
            How much the loss of each entry counts; None is 1. What it has at missing
            entries does not matter.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        self._fit_all(X, sample_weight, entry_weight)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None, sample_weight=None, entry_weight=None):
        """Fit, and fill the gaps of X.

        Without ``entry_weight`` that is what ``fit`` and ``transform`` give; with it,
        the weights enter into what is filled in too.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The table, with missing entries as ``missing_values`` says.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight, entry_weight : default=None
            As in ``fit``.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_out)
            X without gaps.
        """
        return self._filled(*self._fit_all(X, sample_weight, entry_weight))

    def _fit_all(self, X, sample_weight, entry_weight):
        with self._all_or_nothing():
            if not self.min_value < self.max_value:
                raise ValueError(
                    f"min_value={self.min_value} must be less than "
                    f"max_value={self.max_value}."
                )
            X = self._validated(X, reset=True)
            W = self._fit(X, sample_weight, entry_weight)
            self.indicator_ = None
            if self.add_indicator:
                self.indicator_ = MissingIndicator(error_on_new=False)
                self.indicator_.fit(self._gaps(X))
        return X, W

    def _gaps(self, X):
        """Return a dense copy of X with NaN for what is missing."""
        table = self._entries(X)
        gaps = np.full(table.shape, np.nan, X.dtype)
        rows = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
        gaps[rows, table.indices] = table.data
        return gaps

    def transform(self, X):
        """Fill the gaps of rows, new ones or those of ``fit``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, with missing entries as in ``fit``.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_out)
            X without gaps; rows without an observed entry have the means of the
            columns.
        """
        return self._filled(*self._transform(X))

    def _filled(self, X, W):
        table = np.clip(self._expand(W), self.min_value, self.max_value)
        gaps = self._gaps(X)
        missing = np.isnan(gaps)
        filled = np.where(missing, table.astype(gaps.dtype, copy=False), gaps)
        if not self.keep_empty_features:
            filled = filled[:, ~self.empty_columns_]
        if self.indicator_ is None:
            return filled
        return np.hstack([filled, self.indicator_.transform(gaps)]).astype(gaps.dtype)

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns that ``transform`` gives.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the columns of X; None takes those of ``fit``, or makes some.

        Returns
        -------
        feature_names_out : ndarray of str objects
            Those of the columns that are kept, then those of the indicators.
        """
        check_is_fitted(self)
        names = check_feature_names_in(self, input_features)
        kept = names if self.keep_empty_features else names[~self.empty_columns_]
        if self.indicator_ is None:
            return kept
        return np.concatenate([kept, self.indicator_.get_feature_names_out(names)])
