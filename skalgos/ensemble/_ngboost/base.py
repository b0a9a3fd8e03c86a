"""Fitting: what the three estimators share."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from skalgos import distributions
from skalgos._base import SkalEstimator
from skalgos._compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    check_sample_weight,
)
from skalgos._tasks import fit_task
from skalgos._threads import chunk_map, n_threads
from skalgos.ensemble._ngboost import data
from skalgos.ensemble._ngboost.predictions import Predictions

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
#: With fewer entries of X, handing trees to threads takes longer than they do.
WORTH_THREADS = 200_000
#: The constraint on the parameter of the estimators of numbers.
SPREAD_RATE = {"spread_rate": [Interval(Real, 0, 1, closed="right")]}
#: How far the line search may go beyond the whole step, 0 for no search.
LARGEST_SCALES = {False: 0.0, "backtracking": 1.0, True: 512.0}


class BaseNGBoost(Predictions, CallbackSupportMixin, SkalEstimator):
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
        "line_search": ["boolean", StrOptions({"backtracking"})],
        "leaf_estimation": [StrOptions({"natural", "fisher"})],
        "categorical_features": ["array-like", StrOptions({"from_dtype"}), None],
        "monotonic_cst": ["array-like", dict, None],
        "interaction_cst": [
            list,
            tuple,
            StrOptions({"pairwise", "no_interactions"}),
            None,
        ],
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
        settings = self._settings(boosting, trees, family, shared, len(columns))
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

        def booster(rows, validation=None, mapper=None):
            return boosting.Booster(
                rows, bins, settings, start, bounds, validation, past, mapper
            )

        # Differences of log scores do not depend on the unit of y, others do.
        tolerance = {"tol": self.tol, "relative": self.scoring_rule != "log"}
        mode = self._mode(len(weights), validation, partial)
        patience, curve = None, []
        threads = n_threads(self.n_jobs)
        with chunk_map(threads) as mapper:
            if mode == "cv":
                chosen, curve = self._cross_validate(
                    boosting, booster, rows, seeds, fold_seed, mapper, tolerance
                )
                # Of none at all callbacks would not hear.
                seeds = seeds[: max(chosen, 1)]
            elif mode == "holdout":
                rows, validation = self._hold_out(rows, fold_seed)
                patience = self.n_iter_no_change
            elif mode == "given":
                validation = self._validation_rows(
                    boosting, trees, bins, family, *validation
                )
                patience = self.n_iter_no_change
            large = columns.size > WORTH_THREADS and K > 1 and not shared
            model = booster(
                rows,
                None if mode in ("cv", "none") else validation,
                mapper if threads > 1 and large else None,
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
                **tolerance,
                on_iteration=on_iteration if whole.heard else None,
            )
            whole.end()
        if mode == "cv":
            n_iter = min(n_iter, chosen)
            if status == "complete" and n_iter < self.n_estimators:
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

    def _cross_validate(self, boosting, booster, rows, seeds, seed, mapper, tolerance):
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
            boosters,
            seeds,
            patience=self.n_iter_no_change,
            mapper=mapper,
            **tolerance,
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

    def _rates(self, family):
        spread = np.array(family.spread, bool)
        return np.where(spread, getattr(self, "spread_rate", 1.0), 1.0)

    def _settings(self, boosting, trees, family, shared, n_features):
        K = family.n_theta
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
            self._rates(family),
            limits,
            shared,
            float(self.subsample),
            max(1, round(self.max_features * n_features)),
            LARGEST_SCALES[self.line_search],
            self.leaf_estimation,
            constraints,
            data.interaction_groups(self.interaction_cst, n_features),
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
            ensemble = type(past).joined([past, ensemble])
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
        from skalgos.ensemble._ngboost.targets import Target

        return Target(family, y, self.scoring_rule, self.natural_gradient)


def given(X_val, y_val, sample_weight_val):
    """Return the validation data passed to fit, None if there are none."""
    if X_val is None and y_val is None and sample_weight_val is None:
        return None
    if X_val is None or y_val is None:
        raise ValueError("X_val and y_val must be passed together.")
    return X_val, y_val, sample_weight_val
