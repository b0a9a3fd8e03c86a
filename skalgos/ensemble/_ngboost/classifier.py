"""NGBoostClassifier."""

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from skalgos import distributions
from skalgos._compat import StrOptions, _fit_context
from skalgos.ensemble._ngboost.base import (
    BaseNGBoost,
    given,
)
from skalgos.ensemble._ngboost.documentation import documented


@documented
class NGBoostClassifier(ClassifierMixin, BaseNGBoost):
    """Natural gradient boosting of class probabilities.

    The logits of all classes but the first are sums of small trees, fitted to the
    natural gradient of a scoring rule. Read more in the :ref:`User Guide <ngboost>`.

    Parameters
    ----------
    scoring_rule : {"log", "brier"}, default="log"
        What is minimised: the negative log likelihood, or the Brier score, which
        forgives confident mistakes.

    <parameters>

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.

    <attributes>

    Raises
    ------
    ValueError
        If a parameter is out of its range, X holds infinity, or y has one class only.

    See Also
    --------
    NGBoostRegressor : Distributions of numbers.
    sklearn.ensemble.HistGradientBoostingClassifier : Plain gradient boosting.

    Notes
    -----
    ``score`` is the accuracy.

    <notes>

    References
    ----------
    <references>

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skalgos.ensemble import NGBoostClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = NGBoostClassifier(n_estimators=50, random_state=0).fit(X, y)
    >>> model.predict([[5.0, 3.4, 1.5, 0.2]])
    array([0])
    >>> model.predict_proba(X).shape
    (150, 3)
    """

    _parameter_constraints: dict = {
        **BaseNGBoost._parameter_constraints,
        "scoring_rule": [StrOptions({"log", "brier"})],
    }

    def __init__(
        self,
        scoring_rule="log",
        *,
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
        self.scoring_rule = scoring_rule
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

    def _family(self, y):
        return distributions.Categorical(len(self.classes_))

    def _theta_names(self, K):
        return tuple(f"logit_{k}" for k in range(1, K + 1))

    def _strata(self, target):
        return target.y

    def _warn_if_degenerate(self, family, y):
        # One class is an error, and several are not degenerate.
        pass

    def _validated_target(self, y, *, reset):
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None."
            )
        y = column_or_1d(y, warn=True)
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        if reset:
            self.classes_ = np.unique(y)
        unknown = ~np.isin(y, self.classes_)
        if unknown.any():
            raise ValueError(
                f"y has classes that the model does not know: "
                f"{sorted(set(np.asarray(y)[unknown].tolist()))}."
            )
        return np.searchsorted(self.classes_, y).astype(float)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X, y, sample_weight=None, X_val=None, y_val=None, sample_weight_val=None
    ):
        """Fit the trees.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data; NaN is missing.

        y : array-like of shape (n_samples,)
            The classes.

        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts, at least 0; None is 1 for all.

        X_val : array-like of shape (n_val, n_features), default=None
            Rows to judge by. With them the number of iterations is chosen by their
            score, whatever ``early_stopping`` says.

        y_val : array-like of shape (n_val,), default=None
            Their classes.

        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        validation = given(X_val, y_val, sample_weight_val)
        with self._all_or_nothing():
            reset = not (self.warm_start and hasattr(self, "trees_"))
            y = self._validated_target(y, reset=reset)
            self._may_lack_classes = False
            self._fit(X, y, sample_weight, validation)
        return self

    def _check_fit_target(self, family, y, present):
        known = np.unique(y)
        if len(self.classes_) < 2 or (len(known) < 2 and not self._may_lack_classes):
            raise ValueError(
                "y must have at least 2 classes among the rows whose weight is not "
                f"zero; got 1 class: {self.classes_[known.astype(int)].tolist()}."
            )

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Add ``n_estimators`` iterations fitted to these rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        y : array-like of shape (n_samples,)
            The classes.

        classes : array-like of shape (n_classes,), default=None
            All classes, for the first call; None takes those in y.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights; None is 1 for all.

        Returns
        -------
        self : object
            The estimator.
        """
        with self._all_or_nothing():
            first = not hasattr(self, "trees_")
            if first and classes is not None:
                self.classes_ = np.unique(classes)
            y = self._validated_target(y, reset=first and classes is None)
            self._may_lack_classes = True
            self._fit(X, y, sample_weight, None, partial=True)
        return self

    def _point(self, theta):
        proba = self.distribution_.proba(theta)
        return self.classes_[proba.argmax(axis=0)]

    def predict_proba(self, X):
        """Predict the probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        theta = self._theta(X)
        return np.ascontiguousarray(self.distribution_.proba(theta).T)

    def predict_log_proba(self, X):
        """Predict the logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``; finite.
        """
        return np.log(self.predict_proba(X))

    def _calibrated(self, theta, amount):
        """Divide the logits by the temperature exp(amount), in place."""
        theta *= np.exp(-amount)

    def _width_parameter(self):
        return slice(None)
