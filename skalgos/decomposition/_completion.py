"""LowRankCompletion: factors of a table with missing entries."""

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from skalgos._compat import _fit_context
from skalgos._low_rank.estimators import LowRankTable


class LowRankCompletion(ClassNamePrefixFeaturesOutMixin, LowRankTable):
    """Low-rank factors of a table with missing entries.

    Finds a table of low rank that is close to X where X is observed, by alternating
    minimisation: given factors of the columns, those of each row are a small ridge
    regression on the entries of that row, and the other way round. The transform are
    the factors of the rows, for new rows too; the inverse transform is the table
    without gaps. Read more in the :ref:`User Guide <matrix_completion>`.

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

    warm_start : bool, default=False
        Whether to start from the components of the previous fit.

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
    skalgos.impute.LowRankImputer : Fills the gaps, and keeps what is observed.
    skalgos.recommendation.MatrixFactorizationRegressor : The same for (row, column)
        pairs.
    sklearn.decomposition.TruncatedSVD : For tables without missing entries.

    Notes
    -----
    The objective is half the sum of the losses over the observed entries plus
    ``alpha / 2`` times the squared norms of both factors. With ``alpha_scaling=0`` this
    is the nuclear norm of the fitted table times ``alpha``.

    A row without any entry has factors of zero, and with them the means of the columns.
    Rows of weight zero count for nothing, but are transformed.

    Memory is about twice that of the observed entries and their indices, plus the
    factors, plus for each thread the largest number of entries in a row or column times
    the rank.

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
    >>> from skalgos.decomposition import LowRankCompletion
    >>> X = np.outer([1.0, 2.0, 3.0, 4.0], [1.0, -1.0, 2.0, 0.5])
    >>> X[0, 1] = X[1, 3] = X[3, 0] = np.nan
    >>> model = LowRankCompletion(1, alpha=1e-6, center=None, random_state=0).fit(X)
    >>> full = model.inverse_transform(model.transform(X))
    >>> print(np.round([full[0, 1], full[1, 3], full[3, 0]], 3))
    [-1.  1.  4.]
    """

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
        warm_start=False,
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
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None, entry_weight=None):
        """Fit factors to the observed entries.

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
        with self._all_or_nothing():
            X = self._validated(X, reset=True)
            self._fit(X, sample_weight, entry_weight)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None, sample_weight=None, entry_weight=None):
        """Fit factors to the observed entries, and return those of the rows.

        Without ``entry_weight`` that is what ``fit`` and ``transform`` give; with it,
        the weights enter into the factors of the rows too.

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
        X_new : ndarray of shape (n_samples, n_components_)
            The factors of the rows.
        """
        with self._all_or_nothing():
            X = self._validated(X, reset=True)
            return self._fit(X, sample_weight, entry_weight)

    def transform(self, X):
        """Return the factors of rows, new ones or those of ``fit``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, with missing entries as in ``fit``.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_components_)
            Zero for rows without an observed entry.
        """
        return self._transform(X)[1]

    def inverse_transform(self, X):
        """Return the full table that row factors stand for.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Row factors, as ``transform`` returns them.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            Every entry, observed or not, as the model has it.
        """
        check_is_fitted(self)
        X = check_array(X, dtype=[np.float64, np.float32])
        if X.shape[1] != self.n_components_:
            raise ValueError(
                f"X has {X.shape[1]} columns, but there are {self.n_components_} "
                "components."
            )
        return self._expand(X)
