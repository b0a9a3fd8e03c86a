"""NGBoostSurvivalRegressor."""

import numpy as np
from sklearn.base import RegressorMixin, clone
from sklearn.utils import check_array, column_or_1d

from skalgos._compat import StrOptions, _fit_context
from skalgos.distributions import Distribution
from skalgos.ensemble._ngboost import data
from skalgos.ensemble._ngboost.base import (
    FAMILIES,
    POSITIVE,
    SPREAD_RATE,
    SURVIVAL_FAMILIES,
    BaseNGBoost,
    given,
)
from skalgos.ensemble._ngboost.documentation import documented
from skalgos.ensemble._ngboost.predictions import Continuous


@documented
class NGBoostSurvivalRegressor(Continuous, RegressorMixin, BaseNGBoost):
    """Natural gradient boosting of times that may be censored.

    Predicts the distribution of the time of an event for each row, from times that are
    known exactly or only to be after, before or between given times. Read more in the
    :ref:`User Guide <ngboost>`.

    Parameters
    ----------
    distribution : str or Distribution, default="lognormal"
        The family of the distributions: "lognormal", "weibull", "exponential",
        "logistic" or "normal", or an object of a family that takes censored values.

    scoring_rule : {"log", "crps"}, default="log"
        What is minimised. Of a censored time the log score is minus the logarithm of
        the probability of what is known, which leads to the true distribution if
        censoring is independent of the time. The CRPS counts what is known to be
        wrong, and is biased towards short times where many are censored.

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
        holds infinity, a time is not positive (except for "normal" and "logistic"), or
        a lower bound is above the upper one.

    See Also
    --------
    NGBoostRegressor : Values that are all known.

    Notes
    -----
    ``score`` is the concordance index of ``predict``: the share of pairs, of those
    whose order is known, that are predicted in that order.

    <notes>

    References
    ----------
    <references>

    Examples
    --------
    >>> import numpy as np
    >>> from skalgos.ensemble import NGBoostSurvivalRegressor
    >>> rng = np.random.RandomState(0)
    >>> X = rng.uniform(size=(300, 2))
    >>> time = np.exp(2 * X[:, 0] + 0.3 * rng.normal(size=300))
    >>> end = rng.uniform(1, 10, size=300)
    >>> y = np.empty(300, dtype=[("event", bool), ("time", float)])
    >>> y["event"], y["time"] = time <= end, np.minimum(time, end)
    >>> model = NGBoostSurvivalRegressor(random_state=0).fit(X, y)
    >>> model.predict_survival_function(X[:4], [1.0, 2.0, 5.0]).shape
    (4, 3)
    """

    _parameter_constraints: dict = {
        **BaseNGBoost._parameter_constraints,
        "distribution": [StrOptions(set(SURVIVAL_FAMILIES)), Distribution],
        "scoring_rule": [StrOptions({"log", "crps"})],
        **SPREAD_RATE,
    }

    def __init__(
        self,
        distribution="lognormal",
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
        return tags

    def _family(self, y):
        if isinstance(self.distribution, str):
            family = FAMILIES[self.distribution]()
        else:
            family = clone(self.distribution)
        if self.scoring_rule not in family.censored_rules:
            raise ValueError(
                f"{family!r} has no scoring_rule={self.scoring_rule!r} for censored "
                f"values; it has {list(family.censored_rules)}."
            )
        return family

    def _theta_names(self, K):
        return self._family(None).theta_names

    def _target(self, family, y):
        from skalgos.ensemble._ngboost.targets import CensoredTarget

        return CensoredTarget(family, y, self.scoring_rule, self.natural_gradient)

    def _warn_if_degenerate(self, family, y):
        super()._warn_if_degenerate(family, np.ravel(y[:2]))

    def _validated_target(self, y, *, reset):
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None."
            )
        structured = getattr(getattr(y, "dtype", None), "names", None)
        if not structured:
            y = np.asarray(y)
            if y.ndim != 2 or y.shape[1] not in (2, 3):
                y = column_or_1d(y, warn=True)
                y = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
        lower, upper, entry = data.survival_bounds(y)
        bounds = [lower, upper] if entry is None else [lower, upper, entry]
        unusable = np.isnan(bounds).any(axis=0)
        if unusable.any():
            raise ValueError(f"Input y contains NaN, in {data.name_rows(unusable)}.")
        if (lower > upper).any():
            raise ValueError(
                "The lower bound of y must not be above the upper one; it is in "
                f"{data.name_rows(lower > upper)}."
            )
        unknown = ~np.isfinite(lower) & ~np.isfinite(upper)
        if unknown.any():
            raise ValueError(
                "y must have a finite bound in each row; there is none in "
                f"{data.name_rows(unknown)}."
            )
        if entry is not None:
            late = (entry > lower) | (entry >= upper)
            if late.any():
                raise ValueError(
                    "The time of entry must be before the time of the event, and not "
                    "after the lower bound; it is not in "
                    f"{data.name_rows(late)}."
                )
            if self.scoring_rule != "log":
                raise ValueError(
                    "Times of entry need scoring_rule='log'; got "
                    f"{self.scoring_rule!r}."
                )
        return np.array(bounds)

    def _check_target(self, family, y, present):
        lower, upper = y[:2]
        exact = lower == upper
        known = np.where(np.isfinite(upper), upper, lower)
        # An interval may begin at the end of the support, but not lie outside.
        wrong = np.where(exact, ~family.in_support(lower), ~family.in_support(known))
        if wrong.any():
            rows = np.zeros(len(present), bool)
            rows[present] = wrong
            raise ValueError(
                f"Times must be {family.support} for the distribution {family!r}; they "
                f"are not in {data.name_rows(rows)}."
            )

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X, y, sample_weight=None, X_val=None, y_val=None, sample_weight_val=None
    ):
        """Fit the trees.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data; NaN is missing.

        y : ndarray
            The times, in one of three forms: a structured array with a boolean field,
            whether the event was observed, and a field of times, those of the event or
            the end of observation; shape (n_samples, 2), lower and upper bounds, equal
            where the time is known and infinite where there is none; or shape
            (n_samples,), times that are all known. A third field, or column, is the
            time of entry: before it the row could not have been observed, since rows
            whose event came earlier are not in the data (left truncation).

        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts, at least 0; None is 1 for all.

        X_val : array-like of shape (n_val, n_features), default=None
            Rows to judge by. With them the number of iterations is chosen by their
            score, whatever ``early_stopping`` says.

        y_val : ndarray, default=None
            Their times.

        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        validation = given(X_val, y_val, sample_weight_val)
        with self._all_or_nothing():
            y = self._validated_target(y, reset=True)
            self._fit(X, y, sample_weight, validation)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Add ``n_estimators`` iterations fitted to these rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        y : ndarray
            The times, as in ``fit``.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights; None is 1 for all.

        Returns
        -------
        self : object
            The estimator.
        """
        with self._all_or_nothing():
            y = self._validated_target(y, reset=True)
            self._fit(X, y, sample_weight, None, partial=True)
        return self

    def predict_survival_function(self, X, times):
        """Predict the probability that the event has not come, at given times.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        times : array-like of shape (n_times,)
            Times.

        Returns
        -------
        survival : ndarray of shape (n_samples, n_times)
            Falling along each row.
        """
        times = np.asarray(times, float).reshape(-1, 1)
        return np.ascontiguousarray(self.predict_dist(X).sf(times).T)

    def score(self, X, y, sample_weight=None):
        """Return the concordance index of the predicted times.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        y : ndarray
            Their times, as in ``fit``.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; a pair counts the product of its two.

        Returns
        -------
        score : float
            Between 0 and 1; 0.5 is what random predictions have.
        """
        from skalgos.metrics import concordance_index

        return concordance_index(y, self.predict(X), sample_weight=sample_weight)
