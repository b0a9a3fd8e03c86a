"""What the fitted estimators can be asked."""

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.utils.validation import check_is_fitted

from skalgos._compat import check_sample_weight
from skalgos.distributions import PredictiveDistribution


class Predictions:
    """Predictions, explanations and calibration, of all three estimators."""

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


class Continuous:
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
