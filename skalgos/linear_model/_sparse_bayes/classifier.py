"""SparseBayesClassifier."""

from numbers import Integral, Real

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
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
from skalgos._threads import n_threads
from skalgos.linear_model._sparse_bayes.common import (
    CONSTRAINTS,
    MAX_ACTIVE_CONSTRAINT,
    row_weights,
    warn_if_unsettled,
)


class OneVersusRest:
    """What classifiers share once ``_separations`` and ``classes_`` are there."""

    def _separate(self, X, y, sample_weight, task):
        """Fit one classifier for each class, or one for two; set what is common."""
        from skalgos._sparse_bayes.classify import separate

        counts = row_weights(sample_weight, X)
        counts = np.ones(len(y)) if counts is None else counts
        present = np.unique(y[counts > 0])
        if len(present) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes in the "
                f"data; got 1 class: {present[0]!r}."
            )
        self.classes_ = present
        counts = counts * self._class_counts(y, counts)
        positive = present[1:] if len(present) == 2 else present

        def run(number, label):
            part = task.subtask("class", task_id=number, max_subtasks=None)

            def on_round():
                round_ = part.subtask("round")
                return lambda separation: round_.end()

            found = separate(
                X,
                y == label,
                counts,
                intercept=self.fit_intercept,
                threshold=self._threshold(),
                expected_false_inclusions=getattr(
                    self, "expected_false_inclusions", 0.2
                ),
                max_active=self._most(),
                max_iter=self.max_iter,
                tol=self.tol,
                on_round=on_round,
            )
            part.end()
            return found

        threads = min(n_threads(self.n_jobs), len(positive))
        if threads == 1:
            found = [run(i, label) for i, label in enumerate(positive)]
        else:
            found = Parallel(n_jobs=threads, require="sharedmem")(
                delayed(run)(i, label) for i, label in enumerate(positive)
            )
        self._separations = found
        self.log_evidence_ = np.array([s.log_evidence for s in found])
        self.n_iter_ = max(s.n_iter for s in found)
        self.converged_ = all(s.converged for s in found)
        warn_if_unsettled(self, stacklevel=5)

    def _class_counts(self, y, counts):
        """Return the weight of each sample that its class has."""
        if self.class_weight != "balanced":
            return compute_sample_weight(self.class_weight, y)
        # By weight, not by number: weights count rows.
        classes, members = np.unique(y, return_inverse=True)
        sizes = np.bincount(members, counts)
        shares = np.divide(
            counts.sum() / np.count_nonzero(sizes),
            sizes,
            out=np.zeros(len(classes)),
            where=sizes > 0,
        )
        return shares[members]

    def _log_odds(self, X):
        """Return the log odds of each class, or of the second of two."""
        columns = []
        for found in self._separations:
            block = X[:, found.active]
            block = block.toarray() if hasattr(block, "toarray") else block
            columns.append(found.log_odds(block.astype(np.float64)))
        odds = np.column_stack(columns)
        return odds[:, 0] if len(self.classes_) == 2 else odds

    def predict(self, X):
        """Predict classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            New rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            The classes of the largest probability.
        """
        odds = self.decision_function(X)
        if odds.ndim == 1:
            return self.classes_[(odds > 0).astype(np.intp)]
        return self.classes_[odds.argmax(axis=1)]

    def predict_proba(self, X):
        """Predict the probabilities of classes.

        They account for what is not known of the coefficients: far from the data they
        come closer to one half. With more than two classes those of each class against
        the rest are divided by their sum.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            New rows.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        from scipy.special import expit

        odds = self.decision_function(X)
        if odds.ndim == 1:
            return np.column_stack([expit(-odds), expit(odds)])
        each = expit(odds)
        # Relative to the largest, so that the sum is not zero.
        each = np.maximum(each, np.finfo(np.float64).tiny)
        return each / each.sum(axis=1, keepdims=True)

    def predict_log_proba(self, X):
        """Predict the logarithms of the probabilities of classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            New rows.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``.
        """
        return np.log(self.predict_proba(X))


class SparseBayesClassifier(
    CallbackSupportMixin, OneVersusRest, ClassifierMixin, SkalEstimator
):
    """Sparse logistic regression by sparse Bayesian learning.

    Every coefficient has a prior variance of its own, chosen to maximise the evidence
    in Laplace's approximation; most become zero. Features are added in batches as by
    the "sequential" algorithm of :class:`SparseBayesRegressor`, with the same threshold
    against features that are noise. More than two classes are told apart one against
    the rest. Read more in the :ref:`User Guide <sparse_bayes>`.

    Parameters
    ----------
    inclusion_threshold : "universal" or float, default="universal"
        By which ratio of the squared correlation with what is not explained yet to its
        expectation a feature enters and stays: at least 1, which is the evidence alone.
        "universal" follows from ``expected_false_inclusions`` and the number of
        features.

    expected_false_inclusions : float, default=0.2
        How many features may enter by chance if all are noise. Used by "universal".

    fit_intercept : bool, default=True
        Whether to fit an intercept.

    class_weight : dict or "balanced", default=None
        Weights of classes, which multiply those of samples: "balanced" is inverse to
        their frequency. None is 1 for all.

    max_iter : int, default=200
        The largest number of rounds.

    tol : float, default=1e-2
        Stop when no logarithm of a prior variance changes by ten times as much.

    max_features : int, default=None
        The largest number of features to take in, for each class. None is the number
        of samples less one.

    n_jobs : int or None, default=None
        The number of classes to fit at the same time, in threads. ``None`` means 1
        unless in a :obj:`joblib.parallel_config` context, ``-1`` all processors.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.

    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        The coefficients at the mode of their posterior; one row for two classes.

    intercept_ : ndarray of shape (1,) or (n_classes,)
        The intercepts.

    active_ : ndarray of shape (n_active,)
        The features that are active for any class, in increasing order.

    lambda_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        The prior precisions; infinite for features that are not active.

    log_evidence_ : ndarray of shape (1,) or (n_classes,)
        The logarithm of the probability of the labels, approximately.

    inclusion_threshold_ : float
        The inclusion threshold in use.

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
    SparseBayesRegressor : For numeric targets.
    RVC : With kernels as features.
    sklearn.linear_model.LogisticRegression : With penalties to be tuned.

    Notes
    -----
    The log odds of ``decision_function`` and the probabilities account for the
    posterior variance of the logit, so that they are not those of ``coef_`` alone.
    Where classes can be separated perfectly, coefficients stay finite because of their
    priors. Scaling a feature scales its coefficient and changes nothing else. Weights
    count rows.

    References
    ----------
    .. [1] M. E. Tipping, "Sparse Bayesian learning and the relevance vector machine",
       Journal of Machine Learning Research 1, 2001.
    .. [2] M. E. Tipping and A. C. Faul, "Fast marginal likelihood maximisation for
       sparse Bayesian models", AISTATS 2003.
    .. [3] D. J. C. MacKay, "The evidence framework applied to classification networks",
       Neural Computation 4, 1992.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import train_test_split
    >>> from skalgos.linear_model import SparseBayesClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    >>> model = SparseBayesClassifier().fit(X, y)
    >>> len(model.active_) < 10, model.score(X_test, y_test) > 0.93
    (True, True)
    """

    _parameter_constraints: dict = {
        "inclusion_threshold": [
            StrOptions({"universal"}),
            Interval(Real, 1, None, closed="left"),
        ],
        "expected_false_inclusions": CONSTRAINTS["expected_false_inclusions"],
        "fit_intercept": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "max_iter": CONSTRAINTS["max_iter"],
        "tol": CONSTRAINTS["tol"],
        "max_features": MAX_ACTIVE_CONSTRAINT,
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        inclusion_threshold="universal",
        *,
        expected_false_inclusions=0.2,
        fit_intercept=True,
        class_weight=None,
        max_iter=200,
        tol=1e-2,
        max_features=None,
        n_jobs=None,
    ):
        self.inclusion_threshold = inclusion_threshold
        self.expected_false_inclusions = expected_false_inclusions
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.tol = tol
        self.max_features = max_features
        self.n_jobs = n_jobs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _threshold(self):
        return self.inclusion_threshold

    def _most(self):
        return self.max_features

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
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
            X, y = validate_data(
                self,
                X,
                y,
                accept_sparse=["csr", "csc"],
                dtype=[np.float64, np.float32],
            )
            check_classification_targets(y)
            task = fit_task(
                self,
                X,
                y,
                sample_weight=sample_weight,
                max_subtasks=None,
                sequential=False,
            )
            self._separate(X, y, sample_weight, task)
            task.end()
            found = self._separations
            self.coef_ = np.zeros((len(found), X.shape[1]), X.dtype)
            self.lambda_ = np.full((len(found), X.shape[1]), np.inf)
            for i, s in enumerate(found):
                self.coef_[i, s.active] = s.coef
                self.lambda_[i, s.active] = 1.0 / s.gamma
            self.intercept_ = np.array([s.intercept for s in found], X.dtype)
            self.active_ = np.flatnonzero(np.isfinite(self.lambda_).any(axis=0))
            self.inclusion_threshold_ = found[0].threshold
        return self

    def decision_function(self, X):
        """Compute the log odds of classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            New rows.

        Returns
        -------
        odds : ndarray of shape (n_samples,) or (n_samples, n_classes)
            Of the second of two classes, or of each of more against the rest.
        """
        check_is_fitted(self)
        X = validate_data(
            self,
            X,
            reset=False,
            accept_sparse=["csr", "csc"],
            dtype=[np.float64, np.float32],
        )
        return self._log_odds(X)
