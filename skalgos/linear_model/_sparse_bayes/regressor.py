"""SparseBayesRegressor."""

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from skalgos._base import SkalEstimator
from skalgos._compat import CallbackSupportMixin, _fit_context
from skalgos.linear_model._sparse_bayes.common import (
    CONSTRAINTS,
    MAX_ACTIVE_CONSTRAINT,
    PosteriorRegressor,
    row_weights,
)


class SparseBayesRegressor(
    CallbackSupportMixin,
    PosteriorRegressor,
    MultiOutputMixin,
    RegressorMixin,
    SkalEstimator,
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
        - "auto" is "mm" with ``groups``, ``coupling``, ``feature_shape``,
          ``output_correlation``, ``lambda_1`` or ``lambda_2``, which "sequential" does
          not know, else "sequential".

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

    output_correlation : {"ar1", "full"} or None, default=None
        Whether the coefficients of a feature are correlated between targets: "full" by
        a covariance that all features share, "ar1" by a correlation that falls off as a
        power of the distance between targets, for targets in the order of time. It is
        learned, which asks for a noise variance that is known, or held by ``alpha_1``
        and ``alpha_2``, if there are more features than samples. None is no
        correlation.

    fit_intercept : bool, default=True
        Whether to fit an intercept; its uncertainty is part of predictions.

    alpha_1 : float, default=0.0
        Shape of a Gamma prior of the precision of the noise, in units in which y has
        variance one.

    alpha_2 : float, default=0.0
        Rate of that prior.

    lambda_1 : float, default=0.0
        Shape of a Gamma prior of the prior precisions, in units in which y and all
        features have variance one. Not for "sequential".

    lambda_2 : float, default=0.0
        Rate of that prior.

    max_iter : int, default=1000
        The largest number of rounds ("sequential") or iterations.

    tol : float, default=1e-3
        Stop when no logarithm of a prior variance ("sequential"), or the vector of
        prior variances as a whole, changes by more.

    prune_tol : float, default=1e-5
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

    sigma_ : ndarray of shape (n_active, n_active) or (n_active, n_active, n_targets)
        The posterior covariance of the active coefficients: the same for all targets,
        or with ``output_correlation`` of each. Computed at each access.

    output_correlation_ : ndarray of shape (n_targets, n_targets)
        The covariance of the coefficients of a feature between targets, in units of
        its prior variance: the mean of the diagonal is 1. Only with
        ``output_correlation``.

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
    .. [5] Z. Zhang and B. D. Rao, "Sparse signal recovery with temporally correlated
       source vectors using sparse Bayesian learning", IEEE Journal of Selected Topics
       in Signal Processing 5, 2011.

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
        **CONSTRAINTS,
        "feature_shape": ["array-like", None],
        "fit_intercept": ["boolean"],
        "max_features": MAX_ACTIVE_CONSTRAINT,
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
        output_correlation=None,
        fit_intercept=True,
        alpha_1=0.0,
        alpha_2=0.0,
        lambda_1=0.0,
        lambda_2=0.0,
        max_iter=1000,
        tol=1e-3,
        prune_tol=1e-5,
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
        self.output_correlation = output_correlation
        self.fit_intercept = fit_intercept
        self.alpha_1 = alpha_1
        self.alpha_2 = alpha_2
        self.lambda_1 = lambda_1
        self.lambda_2 = lambda_2
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
        from skalgos._sparse_bayes.recover import make_settings, threshold_value

        settings = make_settings(
            X.shape[1],
            shape=self.feature_shape,
            shape_name="feature_shape",
            max_active=self.max_features,
            max_active_name="max_features",
            **{name: getattr(self, name) for name in CONSTRAINTS},
        )
        structured = settings.algorithm != "sequential" and (
            settings.membership is not None or settings.shape or settings.coupling
        )
        if self.warm_start and structured:
            raise ValueError(
                "warm_start=True goes without groups, coupling and feature_shape."
            )
        weights = row_weights(sample_weight, X, intercept=self.fit_intercept)

        def fitted(solution, design):
            n_targets = solution.mean.shape[1]
            coef = np.zeros((n_targets, X.shape[1]), X.dtype)
            coef[:, solution.active] = solution.mean.T
            precision = np.full(X.shape[1], np.inf)
            precision[solution.active] = 1.0 / solution.gamma
            usable = int(np.count_nonzero(design.scale))
            noise = solution.noise
            return {
                "coef_": coef if y.ndim == 2 else coef[0],
                "active_": np.sort(solution.active),
                "lambda_": precision,
                "alpha_": 1.0 / noise if noise > 0 else np.inf,
                "algorithm_": settings.algorithm,
                "inclusion_threshold_": threshold_value(
                    settings, usable, n_targets, False
                ),
            }

        start = self._previous(X.shape[1])
        self.__dict__.pop("output_correlation_", None)
        self._recover(X, y, X, weights, settings, fitted, **start)
        if self._solution.correlation is not None:
            self.output_correlation_ = self._solution.correlation

    def _previous(self, n_features):
        """Return the prior variances and noise of the previous fit, for warm starts."""
        if not self.warm_start or not hasattr(self, "lambda_"):
            return {}
        if len(self.lambda_) != n_features:
            raise ValueError(
                "With warm_start=True the number of features must stay the same; it "
                f"was {len(self.lambda_)} and is now {n_features}."
            )
        noise = self.noise_variance_ if self.noise_variance_ > 0 else None
        solution = self._solution
        return {"start": (solution.active, solution.gamma), "start_noise": noise}

    # ---- using -----------------------------------------------------------------------
    @property
    def sigma_(self):
        """The posterior covariance of the active coefficients."""
        check_is_fitted(self)
        solution = self._solution
        order = np.argsort(solution.active)
        matrices = [c.matrix() for c in solution.covariances]
        return solution.for_outputs(matrices)[np.ix_(order, order)]

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
        X = validate_data(
            self,
            X,
            reset=False,
            accept_sparse=["csr", "csc"],
            dtype=[np.float64, np.float32],
        )
        active = self._solution.active
        return self._predicted(
            X[:, active], self.coef_[..., active], return_std, return_cov
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
        draws = solution.draw(rng.standard_normal((k, n_targets, n_samples)))
        draws = (draws + solution.mean[:, :, None]).transpose(2, 1, 0)
        coefs = np.zeros((n_samples, n_targets, self.n_features_in_))
        coefs[..., solution.active] = draws
        return coefs if self.coef_.ndim == 2 else coefs[:, 0]
