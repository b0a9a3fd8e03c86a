"""KroneckerSparseCoder."""

import warnings
from numbers import Integral, Real

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data

from skalgos._base import SkalEstimator
from skalgos._compat import CallbackSupportMixin, Interval, StrOptions, _fit_context
from skalgos._sparse_bayes.structure import checked_coupling
from skalgos._tasks import fit_task
from skalgos._threads import n_threads
from skalgos.decomposition._kronecker.functions import M_STEPS, checked_m_step


class KroneckerSparseCoder(
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    SkalEstimator,
):
    """Sparse codes over a Kronecker product of dictionaries, by sparse Bayes.

    Each row of X is a tensor of measurements, flat, ``row = (A_1 x ... x A_I) code +
    noise``. The codes have prior variances that are an outer product of a vector for
    each dictionary, chosen to maximise the evidence; most become zero. The Kronecker
    product is never formed, so that a million unknowns fit into little memory. Read
    more in the :ref:`User Guide <kronecker_sparse_bayes>`.

    Parameters
    ----------
    dictionaries : list of array-like of shape (M_i, N_i), default=None
        The dictionaries, with ``M_1 * ... * M_I`` equal to the number of features of X;
        the first has the slowest index, as with :func:`numpy.kron`. None is the
        identity, which only takes noise away.

    m_step : {"auto", "am", "kl", "mm", "svd"}, default="auto"
        How the prior variances follow from the posterior: see
        :func:`kron_sparse_bayes`.

    coupling : float or tuple of float, default=None
        How much, from 0 to 1, each variance of a dictionary counts for its neighbours
        too; one number for all dictionaries, or one for each.

    shared_support : bool, default=False
        Whether all rows share the prior variances and the noise, which are learned in
        ``fit``; ``transform`` is then a linear map. If not, each row has its own.

    noise_variance : "learn" or float, default="learn"
        The variance of the noise, if it is known.

    max_iter : int, default=500
        The largest number of iterations.

    tol : float, default=1e-4
        Stop when the prior variances change by a smaller share.

    prune_tol : float, default=1e-3
        Columns of a dictionary whose variance is below this share of its largest are
        dropped, if the evidence does not speak for them.

    n_jobs : int or None, default=None
        The number of rows to code at the same time, in threads, without
        ``shared_support``. ``None`` means 1 unless in a :obj:`joblib.parallel_config`
        context, ``-1`` all processors.

    Attributes
    ----------
    codes_ : ndarray of shape (n_samples, n_codes)
        The codes of the rows in ``fit``, with ``n_codes`` the product of the numbers of
        columns.

    noise_variance_ : float or ndarray of shape (n_samples,)
        The variance of the noise, for each row unless they share it.

    log_evidence_ : float or ndarray of shape (n_samples,)
        The logarithm of the probability of the rows, together or for each.

    factor_variances_ : list of ndarray of shape (N_i,)
        The prior variances are their outer product. Only with ``shared_support``.

    scores_ : ndarray
        The log evidence less a constant for each column of a dictionary that is left,
        at the start (with "auto" after the head start) and after each iteration; it
        never falls. Only with ``shared_support``.

    n_iter_ : int
        The number of iterations, the head start of "auto" included; the largest of all
        rows.

    converged_ : bool
        Whether all rows ended before ``max_iter``.

    n_features_in_ : int
        Number of features seen during :term:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :term:`fit`. Defined only when X has feature
        names that are all strings.

    Raises
    ------
    ValueError
        If the product of the rows of the dictionaries is not the number of features, a
        parameter is out of its range, or X holds NaN or infinity.

    Warns
    -----
    ConvergenceWarning
        If ``max_iter`` ended the fit, or the coding of a row.

    See Also
    --------
    kron_sparse_bayes : The same as a function, also for complex data.
    skalgos.linear_model.SparseBayesRegressor : For any dictionary, as the columns of X.
    sklearn.decomposition.SparseCoder : Codes with penalties, for one dictionary.

    Notes
    -----
    One iteration costs the products of a tensor with a matrix along each mode and the
    eigenvectors of I small matrices. Dictionaries are standardised inside. Complex data
    are for :func:`kron_sparse_bayes`.

    With ``dictionaries=None`` nothing tells noise from signal but its size: learning
    the noise is of little use there.

    References
    ----------
    .. [1] Y. He and G. Joseph, "Bayesian algorithms for Kronecker-structured sparse
       vector recovery with application to IRS-MIMO channel estimation", IEEE
       Transactions on Signal Processing, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from skalgos.decomposition import KroneckerSparseCoder
    >>> rng = np.random.RandomState(0)
    >>> A, B = rng.standard_normal((10, 20)), rng.standard_normal((12, 25))
    >>> code = np.zeros((20, 25))
    >>> code[np.ix_([3, 8], [5, 20])] = 1.0
    >>> X = (A @ code @ B.T).reshape(1, -1) + 0.01 * rng.standard_normal(120)
    >>> coder = KroneckerSparseCoder([A, B])
    >>> np.argwhere(coder.fit_transform(X).reshape(20, 25)).tolist()
    [[3, 5], [3, 20], [8, 5], [8, 20]]
    """

    _parameter_constraints: dict = {
        "dictionaries": [list, tuple, None],
        "m_step": [StrOptions(M_STEPS)],
        "coupling": [Interval(Real, 0, 1, closed="both"), "array-like", None],
        "shared_support": ["boolean"],
        "noise_variance": [
            StrOptions({"learn"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "prune_tol": [Interval(Real, 0, 1, closed="left")],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        dictionaries=None,
        *,
        m_step="auto",
        coupling=None,
        shared_support=False,
        noise_variance="learn",
        max_iter=500,
        tol=1e-4,
        prune_tol=1e-3,
        n_jobs=None,
    ):
        self.dictionaries = dictionaries
        self.m_step = m_step
        self.coupling = coupling
        self.shared_support = shared_support
        self.noise_variance = noise_variance
        self.max_iter = max_iter
        self.tol = tol
        self.prune_tol = prune_tol
        self.n_jobs = n_jobs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # ---- fitting ---------------------------------------------------------------------
    def fit(self, X, y=None):
        """Code the rows of X, and with ``shared_support`` learn what they share.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The measurements, a flat tensor in each row.

        y : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        self.fit_transform(X)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None):
        """Fit, and return the codes of the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The measurements, a flat tensor in each row.

        y : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_codes)
            The posterior means.
        """
        with self._all_or_nothing():
            X = validate_data(self, X, dtype=[np.float64, np.float32])
            self._fit(X)
        return self.codes_

    def _fit(self, X):
        factors = self._factors(X.shape[1])
        task = fit_task(
            self,
            X,
            max_subtasks=None if self.shared_support else len(X),
            sequential=self.shared_support,
        )
        for name in ("factor_variances_", "scores_"):
            self.__dict__.pop(name, None)
        if self.shared_support:
            fitted = self._fit_shared(X, factors, task)
        else:
            fitted = self._fit_each(X, factors, task)
        task.end()
        vars(self).update(fitted)
        self._n_features_out = int(np.prod(factors.columns))

    def _factors(self, n_features):
        """Return the dictionaries, checked against the number of features."""
        from skalgos._sparse_bayes.kronecker import Factors

        given = self.dictionaries
        if given is None:
            given = [np.eye(n_features)]
        if not len(given):
            raise ValueError("dictionaries must hold at least one, or be None.")
        given = [
            check_array(A, dtype=np.float64, input_name=f"dictionaries[{i}]")
            for i, A in enumerate(given)
        ]
        product = int(np.prod([len(A) for A in given]))
        if product != n_features:
            rows = " x ".join(str(len(A)) for A in given)
            raise ValueError(
                f"dictionaries have {rows} = {product} rows, which must be the number "
                f"of features of X; got {n_features}."
            )
        strengths = checked_coupling(self.coupling, len(given))
        checked_m_step(self.m_step, strengths)
        return Factors(given, strengths)

    def _settings(self):
        noise = self.noise_variance
        return {
            "m_step": self.m_step,
            "noise_variance": None if noise == "learn" else float(noise),
            "max_iter": self.max_iter,
            "tol": self.tol,
            "prune_tol": self.prune_tol,
        }

    def _fit_shared(self, X, factors, task):
        """Return the fitted attributes, with what the rows share."""
        Y = np.ascontiguousarray(X.T, dtype=np.float64).reshape(*factors.rows, len(X))

        def fitted(found):
            margins = [np.zeros(n) for n in factors.columns]
            for values, a, u in zip(margins, found.active, found.margins, strict=True):
                values[a] = u
            codes = factors.posterior_mean(Y, found.active, found.margins, found.noise)
            return {
                "codes_": codes.T.astype(X.dtype, order="C"),
                "factor_variances_": margins,
                "noise_variance_": found.noise,
                "log_evidence_": found.log_evidence,
                "scores_": np.asarray(found.scores),
                "n_iter_": found.n_iter,
                "converged_": found.converged,
            }

        def on_iteration():
            iteration = task.subtask("iteration")
            return lambda found: iteration.end(lambda: fitted(found()))

        _, found = factors.recover(Y, on_iteration=on_iteration, **self._settings())
        self._warn(found.converged, found.n_iter)
        return fitted(found)

    def _fit_each(self, X, factors, task):
        """Return the fitted attributes, row by row."""
        codes, found = self._coded(X, factors, task)
        converged = all(f.converged for f in found)
        n_iter = max(f.n_iter for f in found)
        self._warn(converged, n_iter)
        return {
            "codes_": codes,
            "noise_variance_": np.array([f.noise for f in found]),
            "log_evidence_": np.array([f.log_evidence for f in found]),
            "n_iter_": n_iter,
            "converged_": converged,
        }

    def _coded(self, X, factors, task=None):
        """Code each row with prior variances of its own."""
        settings = self._settings()

        def run(number, row):
            part = None if task is None else task.subtask("row", task_id=number)
            Y = row.astype(np.float64).reshape(*factors.rows, 1)
            coef, found = factors.recover(Y, **settings)
            if part is not None:
                part.end()
            return coef[:, 0], found._replace(mean=None, variance=None)

        threads = min(n_threads(self.n_jobs), len(X))
        if threads == 1:
            results = [run(i, row) for i, row in enumerate(X)]
        else:
            results = Parallel(n_jobs=threads, require="sharedmem")(
                delayed(run)(i, row) for i, row in enumerate(X)
            )
        codes = np.array([coef for coef, _ in results], dtype=X.dtype)
        return codes, [found for _, found in results]

    def _warn(self, converged, n_iter):
        if not converged and n_iter >= self.max_iter:
            warnings.warn(
                f"KroneckerSparseCoder stopped after max_iter={self.max_iter} "
                "iterations before the prior variances settled. Increase max_iter or "
                "tol.",
                ConvergenceWarning,
                stacklevel=3,
            )

    # ---- using -----------------------------------------------------------------------
    def transform(self, X):
        """Code new rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The measurements, a flat tensor in each row.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_codes)
            The posterior means.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        factors = self._factors(X.shape[1])
        if not self.shared_support:
            codes, found = self._coded(X, factors)
            self._warn(all(f.converged for f in found), max(f.n_iter for f in found))
            return codes
        Y = np.ascontiguousarray(X.T, dtype=np.float64).reshape(*factors.rows, len(X))
        active = [np.flatnonzero(u) for u in self.factor_variances_]
        margins = [u[a] for u, a in zip(self.factor_variances_, active, strict=True)]
        coef = factors.posterior_mean(Y, active, margins, self.noise_variance_)
        return coef.T.astype(X.dtype, order="C")

    def inverse_transform(self, X):
        """Return the measurements that codes stand for, without noise.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_codes)
            Codes.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            The product of each row with the Kronecker product of the dictionaries.
        """
        from skalgos._sparse_bayes.kronecker import mode_products

        check_is_fitted(self)
        X = check_array(X, dtype=[np.float64, np.float32])
        factors = self._factors(self.n_features_in_)
        if X.shape[1] != self._n_features_out:
            raise ValueError(
                f"X must have {self._n_features_out} columns, the number of codes; got "
                f"{X.shape[1]}."
            )
        tensor = X.T.astype(np.float64).reshape(*factors.columns, len(X))
        rows = mode_products(tensor, factors.dictionaries)
        return rows.reshape(-1, len(X)).T.astype(X.dtype, order="C")
