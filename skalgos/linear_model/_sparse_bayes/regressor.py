"""SparseBayesRegressor."""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from skalgos._base import SkalEstimator
from skalgos._compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    _fit_context,
    check_sample_weight,
)
from skalgos._tasks import fit_task


class SparseBayesRegressor(
    CallbackSupportMixin, MultiOutputMixin, RegressorMixin, SkalEstimator
):
    """Sparse linear regression by sparse Bayesian learning.

    Every coefficient has a prior variance of its own, and those variances are chosen
    to maximise the evidence, the probability of the data with all coefficients
    integrated out. Most of them become zero, and their coefficients with them. What is
    left comes with a posterior: the predictions have standard deviations.

    With more features than samples the evidence alone keeps far too many features: it
    grows without limit as the noise goes to zero. The default algorithm therefore asks
    of each feature more than the evidence does, so much that among features that are
    noise only ``expected_false_inclusions`` are let in. That is right where few
    coefficients are not zero. Where many are small but none is zero (the coefficients
    of a smooth signal) use ``algorithm="em"``. Read more in the
    :ref:`User Guide <sparse_bayes>`.

    Parameters
    ----------
    algorithm : {"auto", "sequential", "em", "mm", "mackay"}, default="auto"
        How the evidence is maximised.

        - "sequential" starts with no feature, adds several at a time, and takes back
          those that are no longer worth it. The fastest by far.
        - "em" starts with all features, as the other two. It takes the most iterations,
          and ends in the best optima.
        - "mm" lowers an upper bound; "mackay" iterates a fixed point and may lower the
          evidence.
        - "auto" is "mm" with ``groups``, ``coupling`` or ``feature_shape``, else
          "sequential".

    inclusion_threshold : {"auto", "universal"} or float, default="auto"
        By which ratio of the squared correlation with what is not explained yet to its
        expectation a feature enters and stays: at least 1, which is the evidence
        alone. For "sequential" only. "universal" follows from
        ``expected_false_inclusions`` and the number of features; "auto" is that.

    expected_false_inclusions : float, default=0.2
        How many features may enter by chance if all are noise. Used by "universal".

    noise_variance : "learn" or float, default="learn"
        The variance of the noise, if it is known.

    n_noise_starts : int, default=1
        From how many noise variances to start: a tenth of the variance of y, a
        hundredth, and so on; the best result is kept. Use 4 where the number of
        coefficients that are not zero may exceed a tenth of the samples. For
        "sequential" with a noise variance that is learned.

    groups : array-like of shape (n_features,) or (n_groups, n_features), default=None
        Features that share a prior variance: labels, or for groups that overlap which
        features belong to each; a feature in several has the sum of their variances.

    coupling : float or tuple of float, default=None
        How much, from 0 to 1, each prior variance counts for neighbouring features
        too. For blocks of unknown place. With ``feature_shape`` a number for each axis
        may be given, or one for all.

    feature_shape : tuple of int, default=None
        The features are a tensor of this shape, in C order, and their prior variances
        an outer product of a vector for each axis.

    fit_intercept : bool, default=True
        Whether to fit an intercept; its uncertainty is part of predictions.

    max_iter : int, default=1000
        The largest number of rounds ("sequential") or iterations.

    tol : float, default=1e-3
        Stop when no logarithm of a prior variance ("sequential"), or the vector of
        prior variances as a whole, changes by more.

    prune_tol : float, default=1e-4
        Prior variances below this share of the largest are dropped, if the evidence
        does not speak for them. Not used by "sequential".

    max_features : int, default=None
        The largest number of features to take in, for "sequential". None is the number
        of samples less one.

    warm_start : bool, default=False
        Whether to start from the prior variances and the noise of the previous fit.
        Not with ``groups``, ``coupling`` or ``feature_shape``.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        The posterior mean of the coefficients.

    intercept_ : float or ndarray of shape (n_targets,)
        The intercept; 0.0 without.

    active_ : ndarray of shape (n_active,)
        The features whose coefficients are not zero, in increasing order.

    lambda_ : ndarray of shape (n_features,)
        The prior precisions, the reciprocals of the prior variances; infinite for
        features that are not active.

    sigma_ : ndarray of shape (n_active, n_active)
        The posterior covariance of the active coefficients, the same for all targets.
        Computed at each access.

    noise_variance_ : float
        The variance of the noise: 0 if y is constant.

    alpha_ : float
        The precision of the noise, ``1 / noise_variance_``.

    log_evidence_ : float
        The logarithm of the probability of y less its mean, in the units of y;
        infinite if y is constant and the noise variance is learned.

    scores_ : ndarray of shape (n_iter_ + 1,)
        The log evidence at the start and after each iteration; with "sequential" less
        what the inclusion threshold takes for each active feature. It never falls
        unless the algorithm is "mackay".

    n_iter_ : int
        The number of rounds or iterations, of the best start.

    converged_ : bool
        Whether the fit ended by itself.

    algorithm_ : {"sequential", "em", "mm", "mackay"}
        The algorithm in use.

    inclusion_threshold_ : float
        The inclusion threshold in use, 1 except with "sequential".

    n_features_in_ : int
        Number of features seen during :term:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :term:`fit`. Defined only when X has feature
        names that are all strings.

    Raises
    ------
    ValueError
        If parameters are out of their ranges or exclude each other, or X or y holds
        NaN or infinity.

    Warns
    -----
    ConvergenceWarning
        If ``max_iter`` ended the fit.

    See Also
    --------
    sparse_bayes : The same as a function, also for complex data.
    SparseBayesClassifier : For class labels.
    RVR : With kernels as features.
    sklearn.linear_model.ARDRegression : The same model by "mackay".

    Notes
    -----
    Columns and y are standardised inside, so that scaling them scales the result and
    changes nothing else. X is never copied by "sequential"; the others take one copy
    that is dense, unless X is sparse with more columns left than rows. The covariance
    of all features is never formed: memory is that of ``3 n_active + 20`` numbers for
    each feature with "sequential".

    Several targets share their prior variances, and so their active features; for
    targets that have nothing in common use
    :class:`sklearn.multioutput.MultiOutputRegressor`.

    Weights count rows: a row of weight 2 is the same as two equal rows, for the noise
    too. Columns that are constant (zero, without intercept) are never active. Of equal
    columns at most one is needed, and "sequential" takes the first.

    References
    ----------
    .. [1] M. E. Tipping, "Sparse Bayesian learning and the relevance vector machine",
       Journal of Machine Learning Research 1, 2001.
    .. [2] M. E. Tipping and A. C. Faul, "Fast marginal likelihood maximisation for
       sparse Bayesian models", AISTATS 2003.
    .. [3] D. P. Wipf and B. D. Rao, "Sparse Bayesian learning for basis selection",
       IEEE Transactions on Signal Processing 52, 2004.
    .. [4] D. P. Wipf and S. S. Nagarajan, "A new view of automatic relevance
       determination", NIPS 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from skalgos.linear_model import SparseBayesRegressor
    >>> rng = np.random.RandomState(0)
    >>> X = rng.standard_normal((60, 200))
    >>> y = 3 * X[:, 7] - 2 * X[:, 50] + 0.1 * rng.standard_normal(60)
    >>> model = SparseBayesRegressor().fit(X, y)
    >>> model.active_
    array([ 7, 50])
    >>> model.coef_[model.active_].round(1)
    array([ 3., -2.])
    >>> mean, std = model.predict(X[:1], return_std=True)
    """

    _parameter_constraints: dict = {
        "algorithm": [StrOptions({"auto", "sequential", "em", "mm", "mackay"})],
        "inclusion_threshold": [
            StrOptions({"auto", "universal"}),
            Interval(Real, 1, None, closed="left"),
        ],
        "expected_false_inclusions": [Interval(Real, 0, None, closed="neither")],
        "noise_variance": [
            StrOptions({"learn"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        "n_noise_starts": [Interval(Integral, 1, 10, closed="both")],
        "groups": ["array-like", None],
        "coupling": [Interval(Real, 0, 1, closed="both"), "array-like", None],
        "feature_shape": ["array-like", None],
        "fit_intercept": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "prune_tol": [Interval(Real, 0, 1, closed="left")],
        "max_features": [Interval(Integral, 1, None, closed="left"), None],
        "warm_start": ["boolean"],
    }

    def __init__(
        self,
        algorithm="auto",
        *,
        inclusion_threshold="auto",
        expected_false_inclusions=0.2,
        noise_variance="learn",
        n_noise_starts=1,
        groups=None,
        coupling=None,
        feature_shape=None,
        fit_intercept=True,
        max_iter=1000,
        tol=1e-3,
        prune_tol=1e-4,
        max_features=None,
        warm_start=False,
    ):
        self.algorithm = algorithm
        self.inclusion_threshold = inclusion_threshold
        self.expected_false_inclusions = expected_false_inclusions
        self.noise_variance = noise_variance
        self.n_noise_starts = n_noise_starts
        self.groups = groups
        self.coupling = coupling
        self.feature_shape = feature_shape
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.tol = tol
        self.prune_tol = prune_tol
        self.max_features = max_features
        self.warm_start = warm_start

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # ---- fitting ---------------------------------------------------------------------
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The data. Sparse matrices are centred implicitly.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
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
                self,
                X,
                y,
                accept_sparse=["csr", "csc"],
                dtype=[np.float64, np.float32],
                multi_output=True,
                y_numeric=True,
            )
            self._fit(X, y, sample_weight)
        return self

    def _fit(self, X, y, sample_weight):
        from skalgos._sparse_bayes.design import Design
        from skalgos._sparse_bayes.recover import make_settings, recover

        settings = make_settings(
            X.shape[1],
            algorithm=self.algorithm,
            inclusion_threshold=self.inclusion_threshold,
            expected_false_inclusions=self.expected_false_inclusions,
            noise_variance=self.noise_variance,
            n_noise_starts=self.n_noise_starts,
            groups=self.groups,
            coupling=self.coupling,
            shape=self.feature_shape,
            shape_name="feature_shape",
            max_iter=self.max_iter,
            tol=self.tol,
            prune_tol=self.prune_tol,
            max_active=self.max_features,
            max_active_name="max_features",
        )
        structured = settings.algorithm != "sequential" and (
            settings.membership is not None or settings.shape or settings.coupling
        )
        if self.warm_start and structured:
            raise ValueError(
                "warm_start=True goes without groups, coupling and feature_shape."
            )
        start, start_noise = self._previous(X.shape[1])
        weights = None
        if sample_weight is not None:
            weights = check_sample_weight(sample_weight, X, np.float64)
            if self.fit_intercept and weights.sum() <= 1:
                raise ValueError(
                    "sample_weight must sum to more than 1, as weights count rows and "
                    f"the intercept takes one; got {weights.sum():.3g}."
                )
        design = Design(X, weights, centre=self.fit_intercept)
        targets = y.astype(np.float64).reshape(len(y), -1)
        Y, mean = design.response(targets)
        task = fit_task(
            self, X, y, sample_weight=weights, max_subtasks=None, sequential=True
        )

        def fitted(solution):
            return _fitted(solution, design, mean, y.ndim, settings)

        def on_round():
            round_ = task.subtask("round")
            return lambda solution: round_.end(lambda: fitted(solution()))

        solution = recover(
            design, Y, settings, start=start, start_noise=start_noise, on_round=on_round
        )
        task.end()
        vars(self).update(fitted(solution))
        if not self.converged_ and self.n_iter_ >= self.max_iter:
            warnings.warn(
                f"SparseBayesRegressor stopped after max_iter={self.max_iter} "
                "iterations before the prior variances settled. Increase max_iter or "
                "tol.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _previous(self, n_features):
        """Return the prior variances and noise of the previous fit, for warm starts."""
        if not self.warm_start or not hasattr(self, "lambda_"):
            return None, None
        if len(self.lambda_) != n_features:
            raise ValueError(
                "With warm_start=True the number of features must stay the same; it "
                f"was {len(self.lambda_)} and is now {n_features}."
            )
        noise = self.noise_variance_ if self.noise_variance_ > 0 else None
        solution = self._solution
        return (solution.active, solution.gamma), noise

    # ---- using -----------------------------------------------------------------------
    @property
    def sigma_(self):
        """The posterior covariance of the active coefficients."""
        check_is_fitted(self)
        order = np.argsort(self._solution.active)
        return self._solution.covariance()[np.ix_(order, order)]

    def predict(self, X, return_std=False, return_cov=False):
        """Predict targets, with the uncertainty of the prediction on request.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            New rows.

        return_std : bool, default=False
            Whether to return standard deviations.

        return_cov : bool, default=False
            Whether to return the covariance of the predictions for all rows.

        Returns
        -------
        y_mean : ndarray of shape (n_samples,) or (n_samples, n_targets)
            The means.

        y_std : ndarray of shape (n_samples,) or (n_samples, n_targets)
            Standard deviations of new targets: of the noise, the coefficients and the
            intercept together. Only with ``return_std``.

        y_cov : ndarray of shape (n_samples, n_samples) or \
                (n_samples, n_samples, n_targets)
            The covariance of new targets. Only with ``return_cov``.

        Raises
        ------
        ValueError
            If both ``return_std`` and ``return_cov`` are set.
        """
        check_is_fitted(self)
        if return_std and return_cov:
            raise ValueError("return_std and return_cov exclude each other: set one.")
        X = validate_data(
            self,
            X,
            reset=False,
            accept_sparse=["csr", "csc"],
            dtype=[np.float64, np.float32],
        )
        return predicted(
            X[:, self._solution.active],
            self._solution,
            self._offset,
            self.coef_[..., self._solution.active],
            self.intercept_,
            return_std,
            return_cov,
        )

    def sample_coef(self, n_samples=1, random_state=None):
        """Draw coefficients from their posterior.

        Parameters
        ----------
        n_samples : int, default=1
            The number of draws.

        random_state : int, RandomState instance or None, default=None
            Determines the draws.

        Returns
        -------
        coefs : ndarray of shape (n_samples, n_features) or \
                (n_samples, n_targets, n_features)
            Zero for features that are not active.
        """
        check_is_fitted(self)
        rng = check_random_state(random_state)
        solution = self._solution
        k, n_targets = solution.mean.shape
        normals = rng.standard_normal((k, n_samples * n_targets))
        draws = solution.draw(normals).reshape(k, n_samples, n_targets)
        draws = (draws + solution.mean[:, None]).transpose(1, 2, 0)
        coefs = np.zeros((n_samples, n_targets, self.n_features_in_))
        coefs[..., solution.active] = draws
        return coefs if self.coef_.ndim == 2 else coefs[:, 0]


def _fitted(solution, design, y_mean, y_ndim, settings):
    """Return the fitted attributes."""
    from skalgos._sparse_bayes.recover import threshold_value

    n_features = design.shape[1]
    dtype = design.X.dtype
    n_targets = solution.mean.shape[1]
    coef = np.zeros((n_targets, n_features))
    coef[:, solution.active] = solution.mean.T
    intercept = np.zeros(n_targets)
    offset = None
    if y_mean is not None:
        at_mean = design.mean[solution.active] @ solution.mean
        intercept = y_mean - at_mean
        offset = design.mean[solution.active], solution.noise / design.total
    precision = np.full(n_features, np.inf)
    precision[solution.active] = 1.0 / solution.gamma
    threshold = threshold_value(
        settings, int(np.count_nonzero(design.scale)), n_targets, False
    )
    coef, intercept = coef.astype(dtype), intercept.astype(dtype)
    return {
        "_solution": solution,
        "_offset": offset,
        "coef_": coef if y_ndim == 2 else coef[0],
        "intercept_": intercept if y_ndim == 2 else intercept[0],
        "active_": np.sort(solution.active),
        "lambda_": precision,
        "noise_variance_": float(solution.noise),
        "alpha_": 1.0 / solution.noise if solution.noise > 0 else np.inf,
        "log_evidence_": float(solution.log_evidence),
        "scores_": solution.scores,
        "n_iter_": solution.n_iter,
        "converged_": solution.converged,
        "algorithm_": settings.algorithm,
        "inclusion_threshold_": threshold,
    }


def predicted(X, solution, offset, coef, intercept, return_std, return_cov):
    """Return predictions from the active columns, and their uncertainty."""
    mean = X @ coef.T + intercept
    if not (return_std or return_cov):
        return mean
    dense = X.toarray() if sparse.issparse(X) else X
    dense = dense.astype(np.float64)
    extra = solution.noise
    if offset is not None:
        dense = dense - offset[0]
        extra = extra + offset[1]
    if return_std:
        std = np.sqrt(solution.variance_of(dense) + extra).astype(mean.dtype)
        if mean.ndim == 2:
            std = np.repeat(std[:, None], mean.shape[1], axis=1)
        return mean, std
    covariance = solution.covariance_of(dense)
    if offset is not None:
        covariance += offset[1]
    covariance[np.diag_indices(len(covariance))] += solution.noise
    covariance = covariance.astype(mean.dtype)
    if mean.ndim == 2:
        covariance = np.repeat(covariance[:, :, None], mean.shape[1], axis=2)
    return mean, covariance
