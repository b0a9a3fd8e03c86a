"""Relevance vector machines: sparse Bayesian models of kernels at training points."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from skalgos._base import SkalEstimator
from skalgos._compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    _fit_context,
)
from skalgos._tasks import fit_task
from skalgos.linear_model._sparse_bayes.classifier import OneVersusRest
from skalgos.linear_model._sparse_bayes.common import (
    MAX_ACTIVE_CONSTRAINT,
    NOISE_CONSTRAINT,
    PosteriorRegressor,
    row_weights,
)

_KERNEL_CONSTRAINTS = {
    "kernel": [
        StrOptions({"cosine", "laplacian", "linear", "poly", "rbf", "sigmoid"}),
        callable,
    ],
    "gamma": [StrOptions({"auto", "scale"}), Interval(Real, 0, None, closed="neither")],
    "degree": [Interval(Real, 0, None, closed="left")],
    "coef0": [Interval(Real, None, None, closed="neither")],
    "kernel_params": [dict, None],
    "fit_intercept": ["boolean"],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "max_relevance_vectors": MAX_ACTIVE_CONSTRAINT,
}


def _canonical(X, y):
    """Return an order of the rows that does not depend on how they are stored."""
    return np.lexsort((y, *X.T[::-1]))


class KernelBasis:
    """Kernels at distinct training points, in an order that rows do not change."""

    def _basis(self, X, weights):
        """Set ``gamma_``; return the rows that kernels are centred at, and all values.

        Rows that are equal count as one, so that weights are the same as repetition.
        """
        present = np.arange(len(X)) if weights is None else np.flatnonzero(weights > 0)
        _, first = np.unique(X[present], axis=0, return_index=True)
        rows = present[first]
        if self.gamma == "scale":
            mean = np.average(X, axis=0, weights=weights)
            square = np.average((X - mean) ** 2, axis=0, weights=weights).sum()
            centre = (mean - mean.mean()) ** 2
            variance = (square + centre.sum()) / X.shape[1]
            self.gamma_ = 1.0 / (X.shape[1] * variance) if variance > 0 else 1.0
        else:
            self.gamma_ = 1.0 / X.shape[1] if self.gamma == "auto" else self.gamma
        return rows, self._kernel(X[rows], X).T

    def _kernel(self, X, centres):
        if not len(centres):
            return np.empty((len(X), 0), X.dtype)
        if callable(self.kernel):
            params = self.kernel_params or {}
        else:
            params = {"gamma": self.gamma_, "degree": self.degree, "coef0": self.coef0}
        return pairwise_kernels(
            X, centres, metric=self.kernel, filter_params=True, **params
        )

    def _validated(self, X):
        check_is_fitted(self)
        return validate_data(self, X, reset=False, dtype=[np.float64, np.float32])


class RVR(
    CallbackSupportMixin, KernelBasis, PosteriorRegressor, RegressorMixin, SkalEstimator
):
    """Relevance vector machine for regression.

    A sparse Bayesian linear model whose features are kernels centred at the training
    points. Few of them are left, the relevance vectors: usually far fewer than a
    support vector machine needs, and nothing has to be tuned but the kernel. Read more
    in the :ref:`User Guide <sparse_bayes>`.

    Parameters
    ----------
    kernel : {"cosine", "laplacian", "linear", "poly", "rbf", "sigmoid"} or callable, \
            default="rbf"
        The kernel; a callable takes two rows and ``kernel_params``, and returns a
        number.

    gamma : {"scale", "auto"} or float, default="scale"
        The coefficient of "rbf", "poly", "sigmoid" and "laplacian": "scale" is
        ``1 / (n_features * X.var())``, "auto" is ``1 / n_features``.

    degree : float, default=3
        The degree of "poly".

    coef0 : float, default=0.0
        The constant of "poly" and "sigmoid".

    kernel_params : dict, default=None
        Keyword arguments of a callable.

    noise_variance : "learn" or float, default="learn"
        The variance of the noise, if it is known.

    fit_intercept : bool, default=True
        Whether to fit an intercept.

    max_iter : int, default=1000
        The largest number of rounds.

    tol : float, default=1e-2
        A round ends when no logarithm of a prior variance changes by more.

    max_relevance_vectors : int, default=None
        The largest number of relevance vectors. None is the number of samples less
        one.

    Attributes
    ----------
    relevance_indices_ : ndarray of shape (n_relevance_vectors,)
        The rows of X that are relevance vectors, ordered by their values.

    relevance_vectors_ : ndarray of shape (n_relevance_vectors, n_features)
        The relevance vectors.

    dual_coef_ : ndarray of shape (n_relevance_vectors,)
        The coefficients of their kernels.

    intercept_ : float
        The intercept.

    gamma_ : float
        The coefficient of the kernel in use.

    noise_variance_ : float
        The variance of the noise.

    log_evidence_ : float
        The logarithm of the probability of y less its mean.

    scores_ : ndarray of shape (n_iter_ + 1,)
        The log evidence at the start and after each round; it never falls.

    n_iter_ : int
        The number of rounds.

    converged_ : bool
        Whether the fit ended by itself.

    n_features_in_ : int
        Number of features seen during :term:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :term:`fit`. Defined only when X has feature
        names that are all strings.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or X or y holds NaN or infinity.

    Warns
    -----
    ConvergenceWarning
        If ``max_iter`` ended the fit.

    See Also
    --------
    RVC : For class labels.
    SparseBayesRegressor : With the features as they are.
    sklearn.gaussian_process.GaussianProcessRegressor : Standard deviations that grow
        far from the data.

    Notes
    -----
    Kernels overlap, and each alone is a weak feature: the inclusion threshold is 1,
    the evidence alone. The kernel matrix of all rows is stored. Far from the data all
    kernels but a linear or polynomial one vanish, and the standard deviations come
    down to that of the noise and the intercept: do not use them to extrapolate.

    References
    ----------
    .. [1] M. E. Tipping, "Sparse Bayesian learning and the relevance vector machine",
       Journal of Machine Learning Research 1, 2001.
    .. [2] M. E. Tipping and A. C. Faul, "Fast marginal likelihood maximisation for
       sparse Bayesian models", AISTATS 2003.

    Examples
    --------
    >>> import numpy as np
    >>> from skalgos.linear_model import RVR
    >>> X = np.linspace(-10, 10, 100)[:, None]
    >>> y = np.sinc(X[:, 0] / np.pi)
    >>> model = RVR(gamma=0.1).fit(X, y + 0.05 * np.random.RandomState(0).randn(100))
    >>> len(model.relevance_indices_) < 15
    True
    >>> mean, std = model.predict([[0.0]], return_std=True)
    """

    _parameter_constraints: dict = {
        **_KERNEL_CONSTRAINTS,
        "noise_variance": NOISE_CONSTRAINT,
    }

    def __init__(
        self,
        kernel="rbf",
        *,
        gamma="scale",
        degree=3,
        coef0=0.0,
        kernel_params=None,
        noise_variance="learn",
        fit_intercept=True,
        max_iter=1000,
        tol=1e-2,
        max_relevance_vectors=None,
    ):
        self.kernel = kernel
        self.gamma = gamma
        self.degree = degree
        self.coef0 = coef0
        self.kernel_params = kernel_params
        self.noise_variance = noise_variance
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.max_relevance_vectors = max_relevance_vectors

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        y : array-like of shape (n_samples,)
            The targets.

        sample_weight : array-like of shape (n_samples,), default=None
            How often each row counts, at least 0; None is once.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with self._all_or_nothing():
            X, y = validate_data(
                self, X, y, dtype=[np.float64, np.float32], y_numeric=True
            )
            self._fit(X, y, sample_weight)
        return self

    def _fit(self, X, y, sample_weight):
        from skalgos._sparse_bayes.recover import Settings

        weights = row_weights(sample_weight, X, intercept=self.fit_intercept)
        order = _canonical(X, y)
        X, y = np.ascontiguousarray(X[order]), y[order]
        weights = None if weights is None else weights[order]
        rows, K = self._basis(X, weights)
        noise = self.noise_variance
        settings = Settings(
            "sequential",
            1.0,
            noise_variance=None if noise == "learn" else float(noise),
            max_active=self.max_relevance_vectors,
            max_iter=self.max_iter,
            tol=self.tol,
        )

        def fitted(solution, design):
            by_place = np.argsort(solution.active)
            places = rows[solution.active[by_place]]
            return {
                "_centres": X[rows[solution.active]],
                "relevance_indices_": order[places],
                "relevance_vectors_": X[places],
                "dual_coef_": solution.mean[by_place, 0].astype(X.dtype),
            }

        self._recover(X, y, K, weights, settings, fitted)

    def predict(self, X, return_std=False, return_cov=False):
        """Predict targets, with the uncertainty of the prediction on request.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        return_std : bool, default=False
            Whether to return standard deviations.

        return_cov : bool, default=False
            Whether to return the covariance of the predictions for all rows.

        Returns
        -------
        y_mean : ndarray of shape (n_samples,)
            The means.

        y_std : ndarray of shape (n_samples,)
            Standard deviations of new targets. Only with ``return_std``.

        y_cov : ndarray of shape (n_samples, n_samples)
            The covariance of new targets. Only with ``return_cov``.

        Raises
        ------
        ValueError
            If both ``return_std`` and ``return_cov`` are set.
        """
        X = self._validated(X)
        K = self._kernel(X, self._centres)
        coef = self._solution.mean[:, 0].astype(X.dtype)
        return self._predicted(K, coef, return_std, return_cov)


class RVC(
    CallbackSupportMixin, KernelBasis, OneVersusRest, ClassifierMixin, SkalEstimator
):
    """Relevance vector machine for classification.

    A sparse Bayesian logistic model whose features are kernels centred at the training
    points. Few of them are left, and predictions are probabilities that account for
    what is not known. More than two classes are told apart one against the rest. Read
    more in the :ref:`User Guide <sparse_bayes>`.

    Parameters
    ----------
    kernel : {"cosine", "laplacian", "linear", "poly", "rbf", "sigmoid"} or callable, \
            default="rbf"
        The kernel; a callable takes two rows and ``kernel_params``, and returns a
        number.

    gamma : {"scale", "auto"} or float, default="scale"
        The coefficient of "rbf", "poly", "sigmoid" and "laplacian": "scale" is
        ``1 / (n_features * X.var())``, "auto" is ``1 / n_features``.

    degree : float, default=3
        The degree of "poly".

    coef0 : float, default=0.0
        The constant of "poly" and "sigmoid".

    kernel_params : dict, default=None
        Keyword arguments of a callable.

    fit_intercept : bool, default=True
        Whether to fit an intercept.

    class_weight : dict or "balanced", default=None
        Weights of classes, which multiply those of samples: "balanced" is inverse to
        their frequency. None is 1 for all.

    max_iter : int, default=200
        The largest number of rounds.

    tol : float, default=1e-2
        Stop when no logarithm of a prior variance changes by ten times as much.

    max_relevance_vectors : int, default=None
        The largest number of relevance vectors for each class. None is the number of
        samples less one.

    n_jobs : int or None, default=None
        The number of classes to fit at the same time, in threads. ``None`` means 1
        unless in a :obj:`joblib.parallel_config` context, ``-1`` all processors.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.

    relevance_indices_ : ndarray of shape (n_relevance_vectors,)
        The rows of X that are relevance vectors for any class, ordered by their
        values.

    relevance_vectors_ : ndarray of shape (n_relevance_vectors, n_features)
        The relevance vectors.

    dual_coef_ : ndarray of shape (1, n_relevance_vectors) or \
            (n_classes, n_relevance_vectors)
        The coefficients of their kernels; one row for two classes.

    intercept_ : ndarray of shape (1,) or (n_classes,)
        The intercepts.

    gamma_ : float
        The coefficient of the kernel in use.

    log_evidence_ : ndarray of shape (1,) or (n_classes,)
        The logarithm of the probability of the labels, approximately.

    n_iter_ : int
        The number of rounds, the largest of all classes.

    converged_ : bool
        Whether all classes ended by themselves.

    n_features_in_ : int
        Number of features seen during :term:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :term:`fit`. Defined only when X has feature
        names that are all strings.

    Raises
    ------
    ValueError
        If a parameter is out of its range, X holds NaN or infinity, or there is only
        one class.

    Warns
    -----
    ConvergenceWarning
        If ``max_iter`` ended the fit.

    See Also
    --------
    RVR : For numeric targets.
    SparseBayesClassifier : With the features as they are.
    sklearn.svm.SVC : With a penalty to be tuned.

    Notes
    -----
    The kernel matrix of all rows is stored, and read in each round.

    References
    ----------
    .. [1] M. E. Tipping, "Sparse Bayesian learning and the relevance vector machine",
       Journal of Machine Learning Research 1, 2001.
    .. [2] M. E. Tipping and A. C. Faul, "Fast marginal likelihood maximisation for
       sparse Bayesian models", AISTATS 2003.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from skalgos.linear_model import RVC
    >>> X, y = make_moons(200, noise=0.2, random_state=0)
    >>> model = RVC(gamma=1.0).fit(X, y)
    >>> model.score(X, y) > 0.95, len(model.relevance_indices_) < 20
    (True, True)
    """

    _parameter_constraints: dict = {
        **_KERNEL_CONSTRAINTS,
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        kernel="rbf",
        *,
        gamma="scale",
        degree=3,
        coef0=0.0,
        kernel_params=None,
        fit_intercept=True,
        class_weight=None,
        max_iter=200,
        tol=1e-2,
        max_relevance_vectors=None,
        n_jobs=None,
    ):
        self.kernel = kernel
        self.gamma = gamma
        self.degree = degree
        self.coef0 = coef0
        self.kernel_params = kernel_params
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.tol = tol
        self.max_relevance_vectors = max_relevance_vectors
        self.n_jobs = n_jobs

    def _threshold(self):
        return 1.0

    def _most(self):
        return self.max_relevance_vectors

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        y : array-like of shape (n_samples,)
            The classes.

        sample_weight : array-like of shape (n_samples,), default=None
            How often each row counts, at least 0; None is once.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with self._all_or_nothing():
            X, y = validate_data(self, X, y, dtype=[np.float64, np.float32])
            check_classification_targets(y)
            weights = row_weights(sample_weight, X)
            task = fit_task(
                self,
                X,
                y,
                sample_weight=weights,
                max_subtasks=None,
                sequential=False,
            )
            order = _canonical(X, np.unique(y, return_inverse=True)[1])
            X, y = np.ascontiguousarray(X[order]), y[order]
            weights = None if weights is None else weights[order]
            rows, K = self._basis(X, weights)
            self._separate(K, y, weights, task)
            task.end()
            found = self._separations
            used = np.unique(np.concatenate([s.active for s in found]))
            self._separations = [
                s._replace(active=np.searchsorted(used, s.active)) for s in found
            ]
            self._centres = X[rows[used]]
            self.relevance_indices_ = order[rows[used]]
            self.relevance_vectors_ = self._centres
            dual = np.zeros((len(found), len(used)), X.dtype)
            for i, s in enumerate(self._separations):
                dual[i, s.active] = s.coef
            self.dual_coef_ = dual
            self.intercept_ = np.array([s.intercept for s in found], X.dtype)
        return self

    def decision_function(self, X):
        """Compute the log odds of classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        Returns
        -------
        odds : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Of the second of two classes, or of each of more against the rest.
        """
        X = self._validated(X)
        return self._log_odds(self._kernel(X, self._centres))
