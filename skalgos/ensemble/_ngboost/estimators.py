"""NGBoostRegressor, NGBoostClassifier and NGBoostSurvivalRegressor."""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.base import ClassifierMixin, RegressorMixin, clone
from sklearn.utils import (
    assert_all_finite,
    check_array,
    check_random_state,
    column_or_1d,
)
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from skalgos import distributions
from skalgos._base import SkalEstimator
from skalgos._compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    _fit_context,
    check_sample_weight,
)
from skalgos._tasks import fit_task
from skalgos._threads import chunk_map, n_threads
from skalgos.distributions import Distribution, PredictiveDistribution
from skalgos.ensemble._ngboost import data

FAMILIES = {
    "normal": distributions.Normal,
    "lognormal": distributions.LogNormal,
    "laplace": distributions.Laplace,
    "student_t": distributions.StudentT,
    "logistic": distributions.Logistic,
    "gumbel": distributions.Gumbel,
    "gamma": distributions.Gamma,
    "exponential": distributions.Exponential,
    "weibull": distributions.Weibull,
    "half_normal": distributions.HalfNormal,
    "beta": distributions.Beta,
    "poisson": distributions.Poisson,
    "negative_binomial": distributions.NegativeBinomial,
    "zero_inflated_poisson": distributions.ZeroInflatedPoisson,
    "zero_inflated_negative_binomial": distributions.ZeroInflatedNegativeBinomial,
    "hurdle_gamma": distributions.HurdleGamma,
    "multivariate_normal": distributions.MultivariateNormal,
}
SURVIVAL_FAMILIES = ("lognormal", "weibull", "exponential", "normal", "logistic")
POSITIVE = {"positive", "non-negative"}
#: Below this many rows there is too little to judge by.
FEWEST_TO_JUDGE = 40
CROSS_VALIDATED_BELOW = 10_000


class BaseNGBoost(CallbackSupportMixin, SkalEstimator):
    """What the three estimators share."""

    _parameter_constraints: dict = {
        "natural_gradient": ["boolean"],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "tree_structure": [StrOptions({"auto", "separate", "shared"})],
        "max_depth": [Interval(Integral, 1, None, closed="left"), None],
        "max_leaf_nodes": [Interval(Integral, 2, 256, closed="both")],
        "min_samples_leaf": [Interval(Real, 0, None, closed="neither")],
        "l2_regularization": [Interval(Real, 0, None, closed="left")],
        "max_bins": [Interval(Integral, 2, 255, closed="both")],
        "subsample": [Interval(Real, 0, 1, closed="right")],
        "max_features": [Interval(Real, 0, 1, closed="right")],
        "line_search": ["boolean"],
        "leaf_estimation": [StrOptions({"natural", "fisher"})],
        "categorical_features": ["array-like", StrOptions({"from_dtype"}), None],
        "monotonic_cst": ["array-like", dict, None],
        "early_stopping": [StrOptions({"auto", "cv", "holdout"}), "boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "n_folds": [Interval(Integral, 2, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    # ---- fitting ---------------------------------------------------------------------
    def _fit(self, X, y, sample_weight, validation, *, partial=False):
        """Fit to a validated target; y has samples in its last axis."""
        from skalgos.ensemble._ngboost import boosting, trees

        go_on = (partial or self.warm_start) and hasattr(self, "trees_")
        X = self._validated(X, reset=not go_on)
        n_samples = len(X)
        if y.shape[-1] != n_samples:
            raise ValueError(
                "Found input variables with inconsistent numbers of samples: "
                f"{[n_samples, y.shape[-1]]}"
            )
        weights = check_sample_weight(sample_weight, X, np.float64)
        present = weights > 0
        if not present.all():
            X, y, weights = X[present], y[..., present], weights[present]
        family = self.distribution_ if go_on else self._family(y)
        self._check_fit_target(family, y, present)
        family.check_rule(self.scoring_rule)
        K = family.n_theta
        if go_on:
            bins, start, past = self._bins, self.init_params_, self._ensemble
            if past is not None and len(start) != K:
                raise ValueError(
                    "The distribution must stay the same as in the last fit."
                )
            shared = self.tree_structure_ == "shared"
        else:
            bins = trees.make_bins(X, weights, self._is_category, self.max_bins)
            past = None
            shared = self.tree_structure == "shared" or (
                self.tree_structure == "auto" and K > 5
            )
        columns = trees.encode(bins, X)
        keys = list(np.atleast_2d(y))
        rows, weights = data.merged(columns, keys, weights)
        target = self._target(family, np.ascontiguousarray(y[..., rows]))
        if not go_on:
            start = target.start(weights)
        rows = boosting.Rows(np.ascontiguousarray(columns[:, rows]), target, weights)
        if not np.isfinite(start).all():
            raise ValueError(
                f"The marginal distribution of y cannot be fitted by {family!r}: the "
                f"parameters {family.theta_names} would be {start.tolist()}."
            )
        self._warn_if_degenerate(family, y)
        settings = self._settings(boosting, trees, weights, K, shared, len(columns))
        rng = check_random_state(self.random_state)
        fold_seed = rng.randint(np.iinfo(np.int32).max)
        done = 0 if past is None else self.n_iter_
        length = self.n_estimators + (done if partial else 0)
        if length < done:
            raise ValueError(
                f"n_estimators={self.n_estimators} must be at least the {done} "
                "iterations that the model has when warm_start=True."
            )
        seeds = rng.randint(np.iinfo(np.int32).max, size=length)[done:]
        bounds = family.bounds(start, self.scoring_rule)

        def booster(rows, validation=None, mapper=map):
            return boosting.Booster(
                rows, bins, settings, start, bounds, validation, past, mapper
            )

        mode = self._mode(len(weights), validation, partial)
        patience, curve = None, []
        threads = n_threads(self.n_jobs)
        with chunk_map(threads) as mapper:
            if mode == "cv":
                n_iter, curve = self._cross_validate(
                    boosting, booster, rows, seeds, fold_seed, mapper
                )
                seeds = seeds[:n_iter]
            elif mode == "holdout":
                rows, validation = self._hold_out(rows, fold_seed)
                patience = self.n_iter_no_change
            elif mode == "given":
                validation = self._validation_rows(
                    boosting, trees, bins, family, *validation
                )
                patience = self.n_iter_no_change
            by_tree = mapper if threads > 1 and K > 1 and not shared else map
            model = booster(
                rows, None if mode in ("cv", "none") else validation, by_tree
            )
            first_loss = model.loss
            whole = fit_task(
                self, X, y, sample_weight=sample_weight, max_subtasks=len(seeds),
                sequential=True,
            )  # fmt: skip

            def fitted(model, n_iter=None):
                return self._fitted(
                    model, family, bins, start, shared, past, first_loss, n_iter
                )

            def on_iteration():
                task = whole.subtask("iteration")
                return lambda model: task.end(lambda: fitted(model))

            n_iter, held_out, status = boosting.boost(
                model,
                seeds,
                patience=patience,
                tol=self.tol,
                on_iteration=on_iteration,
            )
            whole.end()
        if mode == "cv" and status == "complete" and n_iter < self.n_estimators:
            status = "early stopping"
        vars(self).update(fitted(model, n_iter))
        self.early_stopping_ = mode
        self.stop_reason_ = status
        self.validation_score_ = np.array(held_out if patience is not None else curve)

    def _mode(self, n_rows, validation, partial):
        if validation is not None:
            return "given"
        if partial or self.early_stopping is False:
            return "none"
        if self.early_stopping in ("auto", True):
            if self.warm_start or n_rows < FEWEST_TO_JUDGE:
                return "none"
            return "cv" if n_rows < CROSS_VALIDATED_BELOW else "holdout"
        needed = self.n_folds if self.early_stopping == "cv" else 2
        if n_rows < needed:
            raise ValueError(
                f"early_stopping={self.early_stopping!r} needs at least {needed} "
                f"distinct rows; got {n_rows}."
            )
        return self.early_stopping

    def _strata(self, target):
        return None

    def _cross_validate(self, boosting, booster, rows, seeds, seed, mapper):
        rng = np.random.RandomState(seed)
        fold = data.folds(
            len(rows.weights), self.n_folds, rng, self._strata(rows.target)
        )
        boosters = [
            booster(
                rows.take(np.flatnonzero(fold != i)),
                rows.take(np.flatnonzero(fold == i)),
            )
            for i in range(self.n_folds)
        ]
        return boosting.cross_validated_length(
            boosters, seeds, patience=self.n_iter_no_change, tol=self.tol, mapper=mapper
        )

    def _hold_out(self, rows, seed):
        n = len(rows.weights)
        n_out = min(max(1, round(self.validation_fraction * n)), n - 1)
        rng = np.random.RandomState(seed)
        fold = data.folds(n, max(2, round(n / n_out)), rng, self._strata(rows.target))
        return (
            rows.take(np.flatnonzero(fold != 0)),
            rows.take(np.flatnonzero(fold == 0)),
        )

    def _validation_rows(self, boosting, trees, bins, family, X, y, sample_weight):
        X = self._validated(X, reset=False)
        weights = check_sample_weight(sample_weight, X, np.float64)
        y = self._validated_target(y, reset=False)
        if y.shape[-1] != len(X):
            raise ValueError(
                "X_val and y_val must have the same number of rows; got "
                f"{len(X)} and {y.shape[-1]}."
            )
        self._check_target(family, y, np.ones(len(X), bool))
        return boosting.Rows(trees.encode(bins, X), self._target(family, y), weights)

    def _settings(self, boosting, trees, weights, K, shared, n_features):
        constraints = self._constraints(K, n_features)
        if constraints.any() and shared:
            raise ValueError(
                "monotonic_cst needs a tree for each parameter: use "
                "tree_structure='separate'."
            )
        limits = trees.Limits(
            self.max_leaf_nodes,
            self.max_leaf_nodes if self.max_depth is None else self.max_depth,
            float(self.min_samples_leaf),
            float(self.l2_regularization),
        )
        return boosting.Settings(
            self.learning_rate,
            limits,
            shared,
            float(self.subsample),
            max(1, round(self.max_features * n_features)),
            self.line_search,
            self.leaf_estimation,
            constraints,
        )

    def _constraints(self, K, n_features):
        out = np.zeros((K, n_features), np.int64)
        given = self.monotonic_cst
        if given is None:
            return out
        names = self._theta_names(K)
        if not isinstance(given, dict):
            given = {names[0]: given}
        for name, array in given.items():
            if name not in names:
                raise ValueError(
                    f"monotonic_cst has constraints for {name!r}; the internal "
                    f"parameters are {names}."
                )
            array = np.asarray(array)
            if array.shape != (n_features,) or not np.isin(array, (-1, 0, 1)).all():
                raise ValueError(
                    "monotonic_cst must have -1, 0 or 1 for each of the "
                    f"{n_features} features; got {array.tolist()}."
                )
            # Steps are taken against the values of the trees.
            out[names.index(name)] = -array
            if self._is_category[array != 0].any():
                raise ValueError("monotonic_cst must be 0 for categorical features.")
        return out

    def _fitted(self, model, family, bins, start, shared, past, first_loss, n_iter):
        """Return the fitted attributes of a model that ends after ``n_iter``."""
        n_iter = len(model.losses) if n_iter is None else n_iter
        ensemble = model.ensemble(n_iter)
        losses = np.array([first_loss, *model.losses[:n_iter]])
        scales = np.array(model.scales[:n_iter], float)
        if past is not None:
            ensemble = past.extended(ensemble)
            losses = np.r_[self.train_score_, losses[1:]]
            scales = np.r_[self.scales_, scales]
        gains = ensemble.importances(len(bins.n_bins), len(start))
        totals = gains.sum(axis=1, keepdims=True)
        shares = gains / np.where(totals > 0, totals, 1.0)
        overall = shares.sum(axis=0)
        return {
            "_ensemble": ensemble,
            "_bins": bins,
            "distribution_": family,
            "init_params_": start,
            "n_iter_": len(scales),
            "train_score_": losses,
            "scales_": scales,
            "trees_": vars(ensemble),
            "tree_structure_": "shared" if shared else "separate",
            "feature_importances_per_parameter_": shares,
            "feature_importances_": overall / max(overall.sum(), 1e-300),
            "calibration_": 0.0,
        }

    def _warn_if_degenerate(self, family, y):
        if y.ndim == 1 and y.min() == y.max():
            warnings.warn(
                "All values of y are the same: the predicted distributions are as "
                "narrow as they may be.",
                UserWarning,
                stacklevel=5,
            )

    # ---- data ------------------------------------------------------------------------
    def _validated(self, X, *, reset):
        """Check X and turn categories into numbers."""
        table = hasattr(X, "iloc")
        mask = categories = None
        if not reset:
            mask, categories = self._is_category, self._categories
        elif table:
            names = np.array([str(name) for name in X.columns])
            mask = data.category_mask(self.categorical_features, X, names)
            categories = data.column_categories(X, mask)
        if categories:
            X = data.translate_categories(X, categories)
        X = validate_data(
            self,
            X,
            reset=reset,
            dtype=np.float64,
            ensure_all_finite="allow-nan",
            order="C",
        )
        if reset:
            if not table:
                names = getattr(self, "feature_names_in_", None)
                mask = data.category_mask(self.categorical_features, X, names)
            self._is_category, self._categories = mask, categories or {}
            for f in np.flatnonzero(mask):
                values = X[:, f]
                n_categories = len(np.unique(values[~np.isnan(values)]))
                if n_categories > data.MAX_CATEGORIES:
                    raise ValueError(
                        f"The categorical feature {f} has {n_categories} categories; "
                        f"at most {data.MAX_CATEGORIES} are possible. Group rare ones, "
                        "or use sklearn.preprocessing.TargetEncoder."
                    )
        return X

    def _check_fit_target(self, family, y, present):
        self._check_target(family, y, present)

    def _check_target(self, family, y, present):
        wrong = ~family.in_support(y)
        if wrong.any():
            rows = np.zeros(len(present), bool)
            rows[present] = wrong
            raise ValueError(
                f"y must be {family.support} for the distribution {family!r}; it is "
                f"not in {data.name_rows(rows)}."
            )

    def _target(self, family, y):
        from skalgos.ensemble._ngboost.boosting import Target

        return Target(family, y, self.scoring_rule, self.natural_gradient)

    # ---- predicting ------------------------------------------------------------------
    def _columns(self, X):
        from skalgos.ensemble._ngboost import trees

        check_is_fitted(self)
        return trees.encode(self._bins, self._validated(X, reset=False))

    def _start_theta(self, columns):
        n = columns.shape[1]
        return np.repeat(self.init_params_[:, None], n, axis=1)

    def _inside(self, theta):
        """Return what the sums of trees stand for: clipped, and calibrated."""
        low, high = self.distribution_.bounds(self.init_params_, self.scoring_rule)
        theta = np.clip(theta, low[:, None], high[:, None])
        if self.calibration_:
            self._calibrated(theta, self.calibration_)
        return theta

    def _theta(self, X):
        columns = self._columns(X)
        theta = self._start_theta(columns)
        ensemble = self._ensemble
        if self.tree_structure_ == "shared":
            ensemble.add(columns, theta, np.arange(len(ensemble)))
        else:
            for k in range(len(theta)):
                ensemble.add(columns, theta, np.flatnonzero(ensemble.output == k), k)
        return self._inside(theta)

    def _staged_theta(self, X):
        columns = self._columns(X)
        theta = self._start_theta(columns)
        ensemble = self._ensemble
        shared = self.tree_structure_ == "shared"
        step = 1 if shared else len(theta)
        for first in range(0, len(ensemble), step):
            for t in range(first, first + step):
                k = None if shared else int(ensemble.output[t])
                ensemble.add(columns, theta, np.array([t]), k)
            yield self._inside(theta.copy())

    def _distribution(self, theta):
        return PredictiveDistribution(self.distribution_, theta)

    def predict_dist(self, X):
        """Predict the distribution of y for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        Returns
        -------
        distribution : PredictiveDistribution
            One object for all rows, with mean, quantiles, densities and more.
        """
        return self._distribution(self._theta(X))

    def predict_params(self, X):
        """Predict the internal parameters of the distribution of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        Returns
        -------
        params : ndarray of shape (n_samples, n_theta)
            Columns are named by ``distribution_.theta_names``; positive parameters are
            logarithms. ``predict_dist(X).params`` has them as they are.
        """
        return np.ascontiguousarray(self._theta(X).T)

    def staged_predict_dist(self, X):
        """Predict the distributions after each iteration.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        Yields
        ------
        distribution : PredictiveDistribution
        """
        for theta in self._staged_theta(X):
            yield self._distribution(theta)

    def staged_predict(self, X):
        """Predict as ``predict`` after each iteration.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        Yields
        ------
        y_pred : ndarray of shape (n_samples,)
        """
        for theta in self._staged_theta(X):
            yield self._point(theta)

    def staged_score(self, X, y, sample_weight=None):
        """Return the mean of the scoring rule after each iteration; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        y : array-like
            Their values, as in ``fit``.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None is 1 for all.

        Yields
        ------
        loss : float
        """
        check_is_fitted(self)
        y = self._validated_target(y, reset=False)
        weights = check_sample_weight(sample_weight, y.T, np.float64)
        target = self._target(self.distribution_, y)
        for theta in self._staged_theta(X):
            yield float(weights @ target.scores(theta) / weights.sum())

    def predict(self, X):
        """Predict a value for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            The class for a classifier; else the mean of the distribution, or its median
            where the mean is not finite.
        """
        return self._point(self._theta(X))

    def shap_values(self, X, parameter=0):
        """Explain an internal parameter of each row by its features.

        These are the Shapley values of the trees of that parameter, in which a feature
        that is left out follows both branches of a split, in proportion to the training
        rows there.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        parameter : int or str, default=0
            The number or the name of an internal parameter, as in
            ``distribution_.theta_names``.

        Returns
        -------
        values : ndarray of shape (n_samples, n_features)
            What each feature adds to the parameter.

        base : float
            What the values are added to: their sum with it is the parameter, before it
            is clipped to its bounds or calibrated.
        """
        from skalgos.ensemble._ngboost.shap import tree_shap

        columns = self._columns(X)
        names = self.distribution_.theta_names
        if isinstance(parameter, str):
            if parameter not in names:
                raise ValueError(
                    f"parameter must be one of {names}; got {parameter!r}."
                )
            parameter = names.index(parameter)
        if not 0 <= parameter < len(names):
            raise ValueError(
                f"parameter must be from 0 to {len(names) - 1}; got {parameter!r}."
            )
        values, base = tree_shap(self._ensemble, columns, parameter)
        return values, float(base + self.init_params_[parameter])

    # ---- calibration -----------------------------------------------------------------
    def _calibrated(self, theta, amount):
        """Widen the distributions by exp(amount), in place."""
        theta[self._width_parameter()] += amount * self._width_sign()

    def _width_parameter(self):
        names = self.distribution_.theta_names
        for name in ("log_scale", "log_inverse_shape", "log_shape", "log_size"):
            if name in names:
                # A Weibull distribution has its width in the shape.
                other = "log_inverse_shape"
                return names.index(other if other in names else name)
        raise ValueError(
            f"There is no one parameter of width to calibrate in "
            f"{self.distribution_!r}."
        )

    def _width_sign(self):
        names = self.distribution_.theta_names
        return (
            -2.0 if names[self._width_parameter()] in ("log_shape", "log_size") else 1.0
        )

    def calibrate(self, X, y, sample_weight=None):
        """Widen or narrow all distributions by one factor, to fit held-out rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows that were not fitted.

        y : array-like
            Their values, as in ``fit``.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None is 1 for all.

        Returns
        -------
        self : object
            The estimator, with ``calibration_``: the logarithm of the factor that
            minimises the scoring rule.
        """
        check_is_fitted(self)
        y = self._validated_target(y, reset=False)
        weights = check_sample_weight(sample_weight, y.T, np.float64)
        self._check_target(self.distribution_, y, np.ones(y.shape[-1], bool))
        before, self.calibration_ = self.calibration_, 0.0
        try:
            theta = self._theta(X)
            self._calibrated(theta.copy(), 1.0)
        except BaseException:
            self.calibration_ = before
            raise
        target = self._target(self.distribution_, y)

        def loss(amount):
            moved = theta.copy()
            self._calibrated(moved, amount)
            return weights @ target.scores(moved) / weights.sum()

        found = minimize_scalar(loss, bounds=(-4, 4), method="bounded")
        self.calibration_ = float(found.x) if found.fun < loss(0.0) else 0.0
        return self


class _Continuous:
    """What the two regressors share."""

    def _point(self, theta):
        dist = self._distribution(theta)
        mean = dist.mean()
        finite = np.isfinite(mean)
        if not finite.all():
            mean = np.where(finite, mean, dist.median())
        return mean

    def predict_quantile(self, X, quantiles=0.5):
        """Predict quantiles.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        quantiles : float or array-like of shape (n_quantiles,), default=0.5
            Probabilities between 0 and 1.

        Returns
        -------
        values : ndarray of shape (n_samples,) or (n_samples, n_quantiles)
            Never crossing.
        """
        quantiles = np.asarray(quantiles, float)
        if not ((quantiles > 0) & (quantiles < 1)).all():
            raise ValueError(f"quantiles must be between 0 and 1; got {quantiles}.")
        dist = self.predict_dist(X)
        if quantiles.ndim == 0:
            return dist.ppf(float(quantiles))
        return np.ascontiguousarray(dist.ppf(quantiles[:, None]).T)

    def predict_interval(self, X, coverage=0.9):
        """Predict central intervals.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            New rows.

        coverage : float, default=0.9
            The probability that the interval is to have.

        Returns
        -------
        interval : ndarray of shape (n_samples, 2)
            Lower and upper ends.
        """
        return self.predict_dist(X).interval(coverage)


class NGBoostRegressor(_Continuous, RegressorMixin, BaseNGBoost):
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

    natural_gradient : bool, default=True
        Whether trees are fitted to the natural gradient, which does not depend on how
        the distribution is parameterised. With False it is the plain gradient.

    learning_rate : float, default=0.05
        How much of each step is taken.

    n_estimators : int, default=500
        The largest number of iterations. Each adds a tree for every parameter of the
        distribution, or one for all.

    tree_structure : {"auto", "separate", "shared"}, default="auto"
        Whether each parameter has a tree of its own, or all have the splits of one in
        common. "auto" shares where there are more than 5 parameters.

    max_depth : int, default=None
        The largest depth of a tree; None bounds it by ``max_leaf_nodes`` alone.

    max_leaf_nodes : int, default=16
        The largest number of leaves, at most 256. Trees grow best-first: the split that
        gains most is made next.

    min_samples_leaf : float, default=5
        The smallest total weight of a leaf: a row of weight 2 counts as two rows.

    l2_regularization : float, default=0.0
        Added to the weight of a leaf, which draws its value to zero.

    max_bins : int, default=255
        Into how many bins a feature is cut at most, not counting missing values.

    subsample : float, default=0.5
        The share of the rows, drawn anew in each iteration, that trees are fitted to.

    max_features : float, default=1.0
        The share of the features, drawn for each tree, that it may split by.

    line_search : bool, default=True
        Whether the step of an iteration is scaled before the learning rate: by the
        largest power of two for which the full step lowers the training loss.

    leaf_estimation : {"natural", "fisher"}, default="natural"
        The value of a leaf: the mean of the natural gradients, or the sum of the
        gradients divided by the sum of the metrics, a Newton step.

    categorical_features : "from_dtype" or array-like of int, bool or str, \
            default="from_dtype"
        Which features are categories: by index, mask or name. "from_dtype" takes the
        columns of a pandas dataframe that have the dtype "category". A category that
        was not in the training data is treated as missing. At most 255 categories.

    monotonic_cst : dict or array-like of shape (n_features,), default=None
        1 where a parameter of the distribution may only rise with a feature, -1 where
        it may only fall, 0 for no constraint. An array is for the first internal
        parameter; a dict gives one array for each of their names, such as "loc" or
        "log_scale". Needs separate trees.

    early_stopping : {"auto", "cv", "holdout"} or bool, default="auto"
        How the number of iterations is chosen.

        - "cv": by the mean validation score over ``n_folds`` folds, then all rows are
          fitted with that number.
        - "holdout": by a part of the rows, which are not fitted; the model keeps the
          iterations up to the best one.
        - "auto": "cv" below 10000 distinct rows, else "holdout". False if warm_start is
          set, or if there are too few rows to judge by, fewer than 40.
        - True is "auto", and False makes all ``n_estimators`` iterations.

    validation_fraction : float, default=0.1
        The share of the rows held out.

    n_iter_no_change : int, default=20
        Stop after so many iterations without a better validation score.

    n_folds : int, default=5
        The number of folds.

    tol : float, default=1e-7
        By how much a validation score must be lower to count as better.

    warm_start : bool, default=False
        Whether ``fit`` adds trees to those of the last fit, up to ``n_estimators``.

    random_state : int, RandomState instance or None, default=None
        Determines which rows and features are drawn, and the folds. The result depends
        neither on the order of the rows nor on ``n_jobs``.

    n_jobs : int or None, default=None
        How many threads to use, for the trees of an iteration and the folds. ``None``
        means 1 unless in a :obj:`joblib.parallel_config` context, ``-1`` all
        processors.

    Attributes
    ----------
    distribution_ : Distribution
        The family of the predictions.

    n_iter_ : int
        The number of iterations that the model has.

    early_stopping_ : {"cv", "holdout", "given", "none"}
        How that number was chosen; "given" means by validation data passed to ``fit``.

    init_params_ : ndarray of shape (n_theta,)
        The internal parameters before the first iteration, those of the marginal
        distribution of y.

    train_score_ : ndarray of shape (n_iter_ + 1,)
        The weighted mean of the scoring rule on the rows that were fitted, before the
        first iteration and after each one. Lower is better.

    validation_score_ : ndarray
        The same on the rows to judge by, also beyond ``n_iter_``; the mean over the
        folds with "cv". Empty without early stopping.

    scales_ : ndarray of shape (n_iter_,)
        The steps that the line search found.

    stop_reason_ : str
        Why the last fit ended: "complete", "early stopping", "no further improvement"
        or "callback".

    trees_ : dict of str to ndarray
        The splits and leaves of all trees as arrays.

    tree_structure_ : {"separate", "shared"}
        Whether parameters have trees of their own.

    feature_importances_ : ndarray of shape (n_features,)
        The share of each feature in the reduction of squared error by all splits, with
        every parameter counted alike. Sums to 1 unless there is no split.

    feature_importances_per_parameter_ : ndarray of shape (n_theta, n_features)
        The same for each internal parameter.

    calibration_ : float
        What ``calibrate`` found, 0 before.

    n_features_in_ : int
        Number of features seen during :term:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :term:`fit`. Defined only when X has feature
        names that are all strings.

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

    Values of X may be missing (NaN): a split sends them to the side where they fit
    better, and to the larger one if there were none in training. A column that is
    missing throughout is never split by. Infinite values are refused.

    Rows that are equal, in y and in the bins of all features, count as one with their
    weights added up, so that weighting a row is the same as repeating it; rows of
    weight zero are as good as absent.

    Internal parameters that are logarithms stay within 14 of their marginal value, and
    logits within 14 of zero.

    References
    ----------
    .. [1] T. Duan, A. Avati, D. Y. Ding, K. K. Thai, S. Basu, A. Ng and A. Schuler,
       "NGBoost: Natural Gradient Boosting for Probabilistic Prediction", ICML 2020.
    .. [2] T. Gneiting and A. E. Raftery, "Strictly Proper Scoring Rules, Prediction,
       and Estimation", Journal of the American Statistical Association 102, 2007.

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
    }

    def __init__(
        self,
        distribution="normal",
        *,
        scoring_rule="log",
        natural_gradient=True,
        learning_rate=0.05,
        n_estimators=500,
        tree_structure="auto",
        max_depth=None,
        max_leaf_nodes=16,
        min_samples_leaf=5,
        l2_regularization=0.0,
        max_bins=255,
        subsample=0.5,
        max_features=1.0,
        line_search=True,
        leaf_estimation="natural",
        categorical_features="from_dtype",
        monotonic_cst=None,
        early_stopping="auto",
        validation_fraction=0.1,
        n_iter_no_change=20,
        n_folds=5,
        tol=1e-7,
        warm_start=False,
        random_state=None,
        n_jobs=None,
    ):
        self.distribution = distribution
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
        validation = _given(X_val, y_val, sample_weight_val)
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


class NGBoostClassifier(ClassifierMixin, BaseNGBoost):
    """Natural gradient boosting of class probabilities.

    The logits of all classes but the first are sums of small trees, fitted to the
    natural gradient of a scoring rule. Read more in the :ref:`User Guide <ngboost>`.

    Parameters
    ----------
    scoring_rule : {"log", "brier"}, default="log"
        What is minimised: the negative log likelihood, or the Brier score, which
        forgives confident mistakes.

    natural_gradient : bool, default=True
        Whether trees are fitted to the natural gradient, which does not depend on how
        the distribution is parameterised. With False it is the plain gradient.

    learning_rate : float, default=0.05
        How much of each step is taken.

    n_estimators : int, default=500
        The largest number of iterations. Each adds a tree for every parameter of the
        distribution, or one for all.

    tree_structure : {"auto", "separate", "shared"}, default="auto"
        Whether each parameter has a tree of its own, or all have the splits of one in
        common. "auto" shares where there are more than 5 parameters.

    max_depth : int, default=None
        The largest depth of a tree; None bounds it by ``max_leaf_nodes`` alone.

    max_leaf_nodes : int, default=16
        The largest number of leaves, at most 256. Trees grow best-first: the split that
        gains most is made next.

    min_samples_leaf : float, default=5
        The smallest total weight of a leaf: a row of weight 2 counts as two rows.

    l2_regularization : float, default=0.0
        Added to the weight of a leaf, which draws its value to zero.

    max_bins : int, default=255
        Into how many bins a feature is cut at most, not counting missing values.

    subsample : float, default=0.5
        The share of the rows, drawn anew in each iteration, that trees are fitted to.

    max_features : float, default=1.0
        The share of the features, drawn for each tree, that it may split by.

    line_search : bool, default=True
        Whether the step of an iteration is scaled before the learning rate: by the
        largest power of two for which the full step lowers the training loss.

    leaf_estimation : {"natural", "fisher"}, default="natural"
        The value of a leaf: the mean of the natural gradients, or the sum of the
        gradients divided by the sum of the metrics, a Newton step.

    categorical_features : "from_dtype" or array-like of int, bool or str, \
            default="from_dtype"
        Which features are categories: by index, mask or name. "from_dtype" takes the
        columns of a pandas dataframe that have the dtype "category". A category that
        was not in the training data is treated as missing. At most 255 categories.

    monotonic_cst : dict or array-like of shape (n_features,), default=None
        1 where a parameter of the distribution may only rise with a feature, -1 where
        it may only fall, 0 for no constraint. An array is for the first internal
        parameter; a dict gives one array for each of their names, such as "loc" or
        "log_scale". Needs separate trees.

    early_stopping : {"auto", "cv", "holdout"} or bool, default="auto"
        How the number of iterations is chosen.

        - "cv": by the mean validation score over ``n_folds`` folds, then all rows are
          fitted with that number.
        - "holdout": by a part of the rows, which are not fitted; the model keeps the
          iterations up to the best one.
        - "auto": "cv" below 10000 distinct rows, else "holdout". False if warm_start is
          set, or if there are too few rows to judge by, fewer than 40.
        - True is "auto", and False makes all ``n_estimators`` iterations.

    validation_fraction : float, default=0.1
        The share of the rows held out.

    n_iter_no_change : int, default=20
        Stop after so many iterations without a better validation score.

    n_folds : int, default=5
        The number of folds.

    tol : float, default=1e-7
        By how much a validation score must be lower to count as better.

    warm_start : bool, default=False
        Whether ``fit`` adds trees to those of the last fit, up to ``n_estimators``.

    random_state : int, RandomState instance or None, default=None
        Determines which rows and features are drawn, and the folds. The result depends
        neither on the order of the rows nor on ``n_jobs``.

    n_jobs : int or None, default=None
        How many threads to use, for the trees of an iteration and the folds. ``None``
        means 1 unless in a :obj:`joblib.parallel_config` context, ``-1`` all
        processors.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.

    distribution_ : Distribution
        The family of the predictions.

    n_iter_ : int
        The number of iterations that the model has.

    early_stopping_ : {"cv", "holdout", "given", "none"}
        How that number was chosen; "given" means by validation data passed to ``fit``.

    init_params_ : ndarray of shape (n_theta,)
        The internal parameters before the first iteration, those of the marginal
        distribution of y.

    train_score_ : ndarray of shape (n_iter_ + 1,)
        The weighted mean of the scoring rule on the rows that were fitted, before the
        first iteration and after each one. Lower is better.

    validation_score_ : ndarray
        The same on the rows to judge by, also beyond ``n_iter_``; the mean over the
        folds with "cv". Empty without early stopping.

    scales_ : ndarray of shape (n_iter_,)
        The steps that the line search found.

    stop_reason_ : str
        Why the last fit ended: "complete", "early stopping", "no further improvement"
        or "callback".

    trees_ : dict of str to ndarray
        The splits and leaves of all trees as arrays.

    tree_structure_ : {"separate", "shared"}
        Whether parameters have trees of their own.

    feature_importances_ : ndarray of shape (n_features,)
        The share of each feature in the reduction of squared error by all splits, with
        every parameter counted alike. Sums to 1 unless there is no split.

    feature_importances_per_parameter_ : ndarray of shape (n_theta, n_features)
        The same for each internal parameter.

    calibration_ : float
        What ``calibrate`` found, 0 before.

    n_features_in_ : int
        Number of features seen during :term:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :term:`fit`. Defined only when X has feature
        names that are all strings.

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

    Values of X may be missing (NaN): a split sends them to the side where they fit
    better, and to the larger one if there were none in training. A column that is
    missing throughout is never split by. Infinite values are refused.

    Rows that are equal, in y and in the bins of all features, count as one with their
    weights added up, so that weighting a row is the same as repeating it; rows of
    weight zero are as good as absent.

    Internal parameters that are logarithms stay within 14 of their marginal value, and
    logits within 14 of zero.

    References
    ----------
    .. [1] T. Duan, A. Avati, D. Y. Ding, K. K. Thai, S. Basu, A. Ng and A. Schuler,
       "NGBoost: Natural Gradient Boosting for Probabilistic Prediction", ICML 2020.
    .. [2] T. Gneiting and A. E. Raftery, "Strictly Proper Scoring Rules, Prediction,
       and Estimation", Journal of the American Statistical Association 102, 2007.

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
        max_leaf_nodes=16,
        min_samples_leaf=5,
        l2_regularization=0.0,
        max_bins=255,
        subsample=0.5,
        max_features=1.0,
        line_search=True,
        leaf_estimation="natural",
        categorical_features="from_dtype",
        monotonic_cst=None,
        early_stopping="auto",
        validation_fraction=0.1,
        n_iter_no_change=20,
        n_folds=5,
        tol=1e-7,
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
        validation = _given(X_val, y_val, sample_weight_val)
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


class NGBoostSurvivalRegressor(_Continuous, RegressorMixin, BaseNGBoost):
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

    natural_gradient : bool, default=True
        Whether trees are fitted to the natural gradient, which does not depend on how
        the distribution is parameterised. With False it is the plain gradient.

    learning_rate : float, default=0.05
        How much of each step is taken.

    n_estimators : int, default=500
        The largest number of iterations. Each adds a tree for every parameter of the
        distribution, or one for all.

    tree_structure : {"auto", "separate", "shared"}, default="auto"
        Whether each parameter has a tree of its own, or all have the splits of one in
        common. "auto" shares where there are more than 5 parameters.

    max_depth : int, default=None
        The largest depth of a tree; None bounds it by ``max_leaf_nodes`` alone.

    max_leaf_nodes : int, default=16
        The largest number of leaves, at most 256. Trees grow best-first: the split that
        gains most is made next.

    min_samples_leaf : float, default=5
        The smallest total weight of a leaf: a row of weight 2 counts as two rows.

    l2_regularization : float, default=0.0
        Added to the weight of a leaf, which draws its value to zero.

    max_bins : int, default=255
        Into how many bins a feature is cut at most, not counting missing values.

    subsample : float, default=0.5
        The share of the rows, drawn anew in each iteration, that trees are fitted to.

    max_features : float, default=1.0
        The share of the features, drawn for each tree, that it may split by.

    line_search : bool, default=True
        Whether the step of an iteration is scaled before the learning rate: by the
        largest power of two for which the full step lowers the training loss.

    leaf_estimation : {"natural", "fisher"}, default="natural"
        The value of a leaf: the mean of the natural gradients, or the sum of the
        gradients divided by the sum of the metrics, a Newton step.

    categorical_features : "from_dtype" or array-like of int, bool or str, \
            default="from_dtype"
        Which features are categories: by index, mask or name. "from_dtype" takes the
        columns of a pandas dataframe that have the dtype "category". A category that
        was not in the training data is treated as missing. At most 255 categories.

    monotonic_cst : dict or array-like of shape (n_features,), default=None
        1 where a parameter of the distribution may only rise with a feature, -1 where
        it may only fall, 0 for no constraint. An array is for the first internal
        parameter; a dict gives one array for each of their names, such as "loc" or
        "log_scale". Needs separate trees.

    early_stopping : {"auto", "cv", "holdout"} or bool, default="auto"
        How the number of iterations is chosen.

        - "cv": by the mean validation score over ``n_folds`` folds, then all rows are
          fitted with that number.
        - "holdout": by a part of the rows, which are not fitted; the model keeps the
          iterations up to the best one.
        - "auto": "cv" below 10000 distinct rows, else "holdout". False if warm_start is
          set, or if there are too few rows to judge by, fewer than 40.
        - True is "auto", and False makes all ``n_estimators`` iterations.

    validation_fraction : float, default=0.1
        The share of the rows held out.

    n_iter_no_change : int, default=20
        Stop after so many iterations without a better validation score.

    n_folds : int, default=5
        The number of folds.

    tol : float, default=1e-7
        By how much a validation score must be lower to count as better.

    warm_start : bool, default=False
        Whether ``fit`` adds trees to those of the last fit, up to ``n_estimators``.

    random_state : int, RandomState instance or None, default=None
        Determines which rows and features are drawn, and the folds. The result depends
        neither on the order of the rows nor on ``n_jobs``.

    n_jobs : int or None, default=None
        How many threads to use, for the trees of an iteration and the folds. ``None``
        means 1 unless in a :obj:`joblib.parallel_config` context, ``-1`` all
        processors.

    Attributes
    ----------
    distribution_ : Distribution
        The family of the predictions.

    n_iter_ : int
        The number of iterations that the model has.

    early_stopping_ : {"cv", "holdout", "given", "none"}
        How that number was chosen; "given" means by validation data passed to ``fit``.

    init_params_ : ndarray of shape (n_theta,)
        The internal parameters before the first iteration, those of the marginal
        distribution of y.

    train_score_ : ndarray of shape (n_iter_ + 1,)
        The weighted mean of the scoring rule on the rows that were fitted, before the
        first iteration and after each one. Lower is better.

    validation_score_ : ndarray
        The same on the rows to judge by, also beyond ``n_iter_``; the mean over the
        folds with "cv". Empty without early stopping.

    scales_ : ndarray of shape (n_iter_,)
        The steps that the line search found.

    stop_reason_ : str
        Why the last fit ended: "complete", "early stopping", "no further improvement"
        or "callback".

    trees_ : dict of str to ndarray
        The splits and leaves of all trees as arrays.

    tree_structure_ : {"separate", "shared"}
        Whether parameters have trees of their own.

    feature_importances_ : ndarray of shape (n_features,)
        The share of each feature in the reduction of squared error by all splits, with
        every parameter counted alike. Sums to 1 unless there is no split.

    feature_importances_per_parameter_ : ndarray of shape (n_theta, n_features)
        The same for each internal parameter.

    calibration_ : float
        What ``calibrate`` found, 0 before.

    n_features_in_ : int
        Number of features seen during :term:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :term:`fit`. Defined only when X has feature
        names that are all strings.

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

    Values of X may be missing (NaN): a split sends them to the side where they fit
    better, and to the larger one if there were none in training. A column that is
    missing throughout is never split by. Infinite values are refused.

    Rows that are equal, in y and in the bins of all features, count as one with their
    weights added up, so that weighting a row is the same as repeating it; rows of
    weight zero are as good as absent.

    Internal parameters that are logarithms stay within 14 of their marginal value, and
    logits within 14 of zero.

    References
    ----------
    .. [1] T. Duan, A. Avati, D. Y. Ding, K. K. Thai, S. Basu, A. Ng and A. Schuler,
       "NGBoost: Natural Gradient Boosting for Probabilistic Prediction", ICML 2020.
    .. [2] T. Gneiting and A. E. Raftery, "Strictly Proper Scoring Rules, Prediction,
       and Estimation", Journal of the American Statistical Association 102, 2007.

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
    }

    def __init__(
        self,
        distribution="lognormal",
        *,
        scoring_rule="log",
        natural_gradient=True,
        learning_rate=0.05,
        n_estimators=500,
        tree_structure="auto",
        max_depth=None,
        max_leaf_nodes=16,
        min_samples_leaf=5,
        l2_regularization=0.0,
        max_bins=255,
        subsample=0.5,
        max_features=1.0,
        line_search=True,
        leaf_estimation="natural",
        categorical_features="from_dtype",
        monotonic_cst=None,
        early_stopping="auto",
        validation_fraction=0.1,
        n_iter_no_change=20,
        n_folds=5,
        tol=1e-7,
        warm_start=False,
        random_state=None,
        n_jobs=None,
    ):
        self.distribution = distribution
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
        from skalgos.ensemble._ngboost.boosting import CensoredTarget

        return CensoredTarget(family, y, self.scoring_rule, self.natural_gradient)

    def _warn_if_degenerate(self, family, y):
        super()._warn_if_degenerate(family, np.ravel(y))

    def _validated_target(self, y, *, reset):
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None."
            )
        structured = getattr(getattr(y, "dtype", None), "names", None)
        if not structured:
            y = np.asarray(y)
            if y.ndim != 2 or y.shape[1] != 2:
                y = column_or_1d(y, warn=True)
                y = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y")
        lower, upper = data.survival_bounds(y)
        if np.isnan(lower).any() or np.isnan(upper).any():
            rows = data.name_rows(np.isnan(lower) | np.isnan(upper))
            raise ValueError(f"Input y contains NaN, in {rows}.")
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
        return np.array([lower, upper])

    def _check_target(self, family, y, present):
        lower, upper = y
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
            (n_samples,), times that are all known.

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
        validation = _given(X_val, y_val, sample_weight_val)
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


def _given(X_val, y_val, sample_weight_val):
    """Return the validation data passed to fit, None if there are none."""
    if X_val is None and y_val is None and sample_weight_val is None:
        return None
    if X_val is None or y_val is None:
        raise ValueError("X_val and y_val must be passed together.")
    return X_val, y_val, sample_weight_val
