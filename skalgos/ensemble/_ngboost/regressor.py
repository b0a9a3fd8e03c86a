"""NGBoostRegressor."""

import numpy as np
from sklearn.base import RegressorMixin, clone
from sklearn.utils import check_array, column_or_1d

from skalgos import distributions
from skalgos._compat import StrOptions, _fit_context
from skalgos.distributions import Distribution
from skalgos.ensemble._ngboost.base import (
    FAMILIES,
    POSITIVE,
    SPREAD_RATE,
    BaseNGBoost,
    given,
)
from skalgos.ensemble._ngboost.documentation import documented
from skalgos.ensemble._ngboost.predictions import Continuous


@documented
class NGBoostRegressor(Continuous, RegressorMixin, BaseNGBoost):
    """Natural gradient boosting: predicts a distribution of y for each row.

    The parameters of a distribution, a mean and a scale say, are sums of small trees.
    Each iteration fits trees to the natural gradient of a scoring rule, so that all
    parameters improve at a like pace whatever their units. Read more in the
    :ref:`User Guide <ngboost>`.

    Parameters
    ----------
    distribution : str or Distribution, default="normal"
        The family of the distributions of y: "normal", "lognormal", "laplace",
        "student_t", "logistic", "gumbel", "gamma", "exponential", "weibull",
        "half_normal", "beta", "poisson", "negative_binomial",
        "zero_inflated_poisson", "zero_inflated_negative_binomial", "hurdle_gamma",
        "multivariate_normal", or an object such as
        ``skalgos.distributions.StudentT(df=4)``.

    scoring_rule : {"log", "crps"}, default="log"
        What is minimised: the negative log likelihood, or the continuous ranked
        probability score, where the family has it. The latter forgives outliers.

    spread_rate : float, default=0.5
        What share of the learning rate the parameters have that say how far values
        spread. While means are still being learned, residuals look wider than the
        noise is; learning the spread more slowly keeps it from fitting that. 1 is the
        algorithm of the paper.

    <parameters>

    Attributes
    ----------
    <attributes>

    Raises
    ------
    ValueError
        If a parameter is out of its range or does not go with the distribution, X
        holds infinity, or y values that the distribution cannot take.

    Warns
    -----
    UserWarning
        If all values of y are the same.

    See Also
    --------
    NGBoostClassifier : Probabilities of classes.
    NGBoostSurvivalRegressor : Times that may be censored.
    sklearn.ensemble.HistGradientBoostingRegressor : Means or single quantiles.

    Notes
    -----
    ``score`` is R^2 of ``predict``, which does not see the width of the distributions.
    Compare models with ``scoring=skalgos.metrics.neg_log_score_scorer`` or
    ``neg_crps_scorer``.

    <notes>

    References
    ----------
    <references>

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skalgos.ensemble import NGBoostRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = NGBoostRegressor(random_state=0).fit(X[:400], y[:400])
    >>> dist = model.predict_dist(X[400:])
    >>> dist.mean().shape
    (42,)
    >>> inside = dist.interval(0.9)
    >>> bool(((inside[:, 0] < y[400:]) & (y[400:] < inside[:, 1])).mean() > 0.8)
    True
    """

    _parameter_constraints: dict = {
        **BaseNGBoost._parameter_constraints,
        "distribution": [StrOptions(set(FAMILIES)), Distribution],
        "scoring_rule": [StrOptions({"log", "crps"})],
        **SPREAD_RATE,
    }

    def __init__(
        self,
        distribution="normal",
        *,
        scoring_rule="log",
        spread_rate=0.5,
        natural_gradient=True,
        learning_rate=0.05,
        n_estimators=500,
        tree_structure="auto",
        max_depth=None,
        max_leaf_nodes=8,
        min_samples_leaf=10,
        l2_regularization=0.0,
        max_bins=255,
        subsample=0.5,
        max_features=1.0,
        line_search="backtracking",
        leaf_estimation="natural",
        categorical_features="from_dtype",
        monotonic_cst=None,
        interaction_cst=None,
        early_stopping="auto",
        validation_fraction=0.1,
        n_iter_no_change=20,
        n_folds=5,
        tol=1e-4,
        warm_start=False,
        random_state=None,
        n_jobs=None,
    ):
        self.distribution = distribution
        self.scoring_rule = scoring_rule
        self.spread_rate = spread_rate
        self.natural_gradient = natural_gradient
        self.learning_rate = learning_rate
        self.n_estimators = n_estimators
        self.tree_structure = tree_structure
        self.max_depth = max_depth
        self.max_leaf_nodes = max_leaf_nodes
        self.min_samples_leaf = min_samples_leaf
        self.l2_regularization = l2_regularization
        self.max_bins = max_bins
        self.subsample = subsample
        self.max_features = max_features
        self.line_search = line_search
        self.leaf_estimation = leaf_estimation
        self.categorical_features = categorical_features
        self.monotonic_cst = monotonic_cst
        self.interaction_cst = interaction_cst
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.n_folds = n_folds
        self.tol = tol
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_jobs = n_jobs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        family = self.distribution
        if isinstance(family, str) and family in FAMILIES:
            family = FAMILIES[family]()
        tags.target_tags.positive_only = getattr(family, "support", None) in POSITIVE
        several = isinstance(family, distributions.MultivariateNormal)
        tags.target_tags.multi_output = several
        return tags

    def _family(self, y):
        if isinstance(self.distribution, str):
            if self.distribution == "multivariate_normal":
                return distributions.MultivariateNormal(len(y))
            return FAMILIES[self.distribution]()
        family = clone(self.distribution)
        if isinstance(
            family, distributions.MultivariateNormal
        ) and family.n_outputs != len(y):
            raise ValueError(
                f"y has {len(y)} outputs, and the distribution n_outputs="
                f"{family.n_outputs}."
            )
        return family

    def _theta_names(self, K):
        return self._names

    @property
    def _several(self):
        return self.distribution == "multivariate_normal" or isinstance(
            self.distribution, distributions.MultivariateNormal
        )

    def _validated_target(self, y, *, reset):
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None."
            )
        if self._several:
            y = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
            self._flat = y.ndim == 1 if reset else self._flat
            return np.ascontiguousarray(np.atleast_2d(y.T))
        y = column_or_1d(y, warn=True)
        y = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
        return y

    def _fit_all(self, X, y, sample_weight, validation, partial=False):
        with self._all_or_nothing():
            y = self._validated_target(y, reset=True)
            self._names = self._family(y).theta_names
            self._fit(X, y, sample_weight, validation, partial=partial)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X, y, sample_weight=None, X_val=None, y_val=None, sample_weight_val=None
    ):
        """Fit the trees.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data; NaN is missing.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The values; several for each row with "multivariate_normal".

        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts, at least 0; None is 1 for all.

        X_val : array-like of shape (n_val, n_features), default=None
            Rows to judge by. With them the number of iterations is chosen by their
            score, whatever ``early_stopping`` says.

        y_val : array-like, default=None
            Their values.

        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        validation = given(X_val, y_val, sample_weight_val)
        return self._fit_all(X, y, sample_weight, validation)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Add ``n_estimators`` iterations fitted to these rows.

        The first call is a fit without early stopping; later ones keep its bins and its
        marginal distribution.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        y : array-like of shape (n_samples,)
            The values.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights; None is 1 for all.

        Returns
        -------
        self : object
            The estimator.
        """
        return self._fit_all(X, y, sample_weight, None, partial=True)

    def _distribution(self, theta):
        if isinstance(self.distribution_, distributions.MultivariateNormal):
            return distributions.MultivariatePrediction(self.distribution_, theta)
        return super()._distribution(theta)

    def _point(self, theta):
        mean = super()._point(theta)
        return mean[:, 0] if mean.ndim == 2 and self._flat else mean
