"""Families of distributions, and the distributions that a model predicts."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

TINY = np.finfo(float).tiny


class Distribution(BaseEstimator):
    """A family of distributions with K unconstrained internal parameters.

    Arrays of internal parameters, called theta, have shape (K, n_samples): the
    parameter comes first, so that ``loc, log_scale = theta`` reads well. A positive
    parameter is its logarithm in theta, a location is itself.

    A family of one's own needs ``param_names``, ``to_params`` and ``from_params``,
    ``log_score``, ``log_gradient``, ``log_metric`` and ``_start``, all in numpy;
    :func:`check_gradients` compares them with finite differences. What predictions
    can do besides comes from ``to_scipy``.
    """

    #: Names of the parameters as users know them.
    param_names: tuple = ()
    #: Names of the internal parameters, one for each tree of an iteration.
    theta_names: tuple = ()
    #: Which scoring rules are implemented.
    rules: tuple = ("log",)
    #: Whether the values are integers.
    discrete = False
    #: The scoring rules that take censored values.
    censored_rules: tuple = ()
    #: Which internal parameters are logarithms or logits, whose steps are clamped.
    bounded: tuple = ()
    #: How far such a parameter may go from its start.
    reach = 14.0
    #: What a value must be, for the error message, and whether it is.
    support = "finite"

    @property
    def spread(self):
        """Which internal parameters say how far values spread: all but the first.

        Models learn them more slowly, at the ``spread_rate``.
        """
        return tuple(k > 0 for k in range(self.n_theta))

    @property
    def n_theta(self):
        """Number of internal parameters."""
        return len(self.theta_names)

    def in_support(self, y):
        """Return a mask of the values that the family can take."""
        return np.isfinite(y)

    def __call__(self, **params):
        """Return the distribution with these parameters, which broadcast.

        Parameters
        ----------
        **params : float or array-like of shape (n_samples,)
            One for each of ``param_names``.

        Returns
        -------
        distribution : PredictiveDistribution
        """
        if set(params) != set(self.param_names):
            raise TypeError(
                f"{type(self).__name__} takes the parameters {self.param_names}; got "
                f"{tuple(params)}."
            )
        arrays = [np.asarray(params[name], float) for name in self.param_names]
        arrays = np.broadcast_arrays(*map(np.atleast_1d, arrays))
        with np.errstate(invalid="ignore", divide="ignore"):
            theta = np.array(self.from_params(*arrays), dtype=float)
        if not np.isfinite(theta).all():
            raise ValueError(
                f"The parameters of {type(self).__name__} are out of their range: "
                f"{params}."
            )
        return PredictiveDistribution(self, theta)

    # ---- what a family implements --------------------------------------------------
    def to_params(self, theta):
        """Return the parameters as users know them, a tuple of arrays."""
        raise NotImplementedError

    def from_params(self, *params):
        """Return the internal parameters, a sequence of arrays."""
        raise NotImplementedError

    def log_score(self, theta, y):
        """Return minus the log density of each value."""
        raise NotImplementedError

    def log_gradient(self, theta, y):
        """Return the derivatives of ``log_score`` by theta, shape (K, n_samples)."""
        raise NotImplementedError

    def log_metric(self, theta):
        """Return the Fisher information: (K, n_samples) if diagonal, else (K, K, n)."""
        raise NotImplementedError

    def crps(self, theta, y):
        """Return the continuous ranked probability score of each value."""
        raise NotImplementedError

    def _start(self, y, w):
        """Return theta of shape (K,) from moments, to start the marginal fit from."""
        raise NotImplementedError

    def to_scipy(self, theta):
        """Return the frozen distribution of :mod:`scipy.stats`."""
        raise NotImplementedError

    def entropy(self, theta):
        """Return the entropies, in nats."""
        return self.to_scipy(theta).entropy()

    # ---- scoring rules -------------------------------------------------------------
    def check_rule(self, rule):
        """Raise a ValueError if the family does not have this scoring rule."""
        if rule not in self.rules:
            raise ValueError(
                f"scoring_rule={rule!r} is not available for {self!r}; it has "
                f"{', '.join(map(repr, self.rules))}."
            )

    def score(self, theta, y, rule="log"):
        """Return the scores of the values under a rule: lower is better.

        Parameters
        ----------
        theta : ndarray of shape (K, n_samples)
        y : ndarray of shape (n_samples,)
        rule : {"log", "crps"}, default="log"

        Returns
        -------
        score : ndarray of shape (n_samples,)
        """
        return self.log_score(theta, y) if rule == "log" else self._crps(theta, y)

    def gradient(self, theta, y, rule="log"):
        """Return the derivatives of ``score`` by theta, shape (K, n_samples)."""
        if rule == "log":
            return self.log_gradient(theta, y)
        return self.crps_gradient(theta, y)

    def metric(self, theta, rule="log"):
        """Return the Riemannian metric of a rule, as ``log_metric`` does."""
        return self.log_metric(theta) if rule == "log" else self.crps_metric(theta)

    def _crps(self, theta, y):
        # The CRPS as a scoring rule: of log y where a family says so.
        return self.crps(theta, y)

    def natural_gradient(self, theta, y, rule="log"):
        """Return the gradient multiplied by the inverse of the metric.

        Parameters
        ----------
        theta : ndarray of shape (K, n_samples)
        y : ndarray of shape (n_samples,)
        rule : {"log", "crps"}, default="log"

        Returns
        -------
        natural : ndarray of shape (K, n_samples)
        """
        return solve_metric(self.metric(theta, rule), self.gradient(theta, y, rule))

    # ---- the marginal fit ----------------------------------------------------------
    def bounds(self, theta, rule="log"):
        """Return what theta is kept in, around its marginal value of shape (K,)."""
        bounded = np.array(self.bounded, bool)
        low = np.where(bounded, theta - self.reach, -np.inf)
        return low, np.where(bounded, theta + self.reach, np.inf)

    def fit_marginal(self, y, w=None, rule="log"):
        """Return theta of shape (K,) that minimises the weighted mean score.

        Parameters
        ----------
        y : ndarray of shape (n_samples,)
        w : ndarray of shape (n_samples,), default=None
            Weights; None is 1 for all.
        rule : {"log", "crps"}, default="log"

        Returns
        -------
        theta : ndarray of shape (K,)
        """
        y = np.asarray(y, float)
        w = np.ones(y.shape[-1]) if w is None else np.asarray(w, float)

        def score(theta):
            return self.score(theta, y, rule)

        def gradient(theta):
            return self.gradient(theta, y, rule)

        return minimise_marginal(self, self._start(y, w), score, gradient, w, rule)


def solve_metric(metric, gradient):
    """Return metric^-1 gradient, for metrics of shape (K, n) or (K, K, n)."""
    if metric.ndim == 2:
        return gradient / metric
    if len(metric) == 2:
        (a, b), (_, d) = metric
        g, h = gradient
        det = a * d - b * b
        return np.array([(d * g - b * h) / det, (a * h - b * g) / det])
    return np.linalg.solve(metric.transpose(2, 0, 1), gradient.T[..., None])[..., 0].T


def minimise_marginal(family, theta, score, gradient, w, rule):
    """Minimise the mean score of one theta for all rows, by natural gradient steps."""
    total = w.sum()

    def mean_score(theta):
        with np.errstate(all="ignore"):
            value = w @ score(np.repeat(theta[:, None], len(w), 1)) / total
        return value if np.isfinite(value) else np.inf

    low, high = family.bounds(theta, rule)
    loss = mean_score(theta)
    for _ in range(200):
        wide = np.repeat(theta[:, None], len(w), 1)
        with np.errstate(all="ignore"):
            slope = gradient(wide) @ w / total
            step = solve_metric(family.metric(theta[:, None], rule), slope[:, None])
        step = step[:, 0]
        if not np.isfinite(step).all():
            break
        # A log parameter moves by at most a factor of e^2 at once.
        bounded = np.array(family.bounded, bool)
        if bounded.any():
            step = step / max(1.0, np.abs(step[bounded]).max() / 2)
        size = 1.0
        while size > 1e-10:
            new = np.clip(theta - size * step, low, high)
            new_loss = mean_score(new)
            if new_loss < loss:
                break
            size /= 2
        else:
            break
        gain, theta, loss = loss - new_loss, new, new_loss
        if gain <= 1e-14 * (1 + abs(loss)) * (rule == "log") + 1e-14 * abs(loss):
            break
    return theta


class PredictiveDistribution:
    """Distributions of one family, one for each row of X.

    This is what ``predict_dist`` returns. Methods give arrays with an entry for each
    row; values and probabilities that are passed in broadcast with the rows, so that
    ``dist.cdf(grid[:, None])`` has a row for each point of the grid and a column for
    each distribution.

    Parameters
    ----------
    family : Distribution
        The family.
    theta : ndarray of shape (K, n_samples)
        The internal parameters.

    Examples
    --------
    >>> from skalgos.distributions import Normal
    >>> dist = Normal()(loc=[0.0, 5.0], scale=[1.0, 2.0])
    >>> dist.mean()
    array([0., 5.])
    >>> dist.interval(0.9).round(2)
    array([[-1.64,  1.64],
           [ 1.71,  8.29]])
    >>> dist[1].params
    {'loc': array([5.]), 'scale': array([2.])}
    """

    def __init__(self, family, theta):
        self.family = family
        self.theta = theta

    def __len__(self):
        return self.theta.shape[1]

    def __getitem__(self, rows):
        if isinstance(rows, (int, np.integer)):
            rows = [rows]
        return PredictiveDistribution(self.family, self.theta[:, rows])

    def __repr__(self):
        return f"<{len(self)} distributions of the family {self.family!r}>"

    @property
    def params(self):
        """The parameters by name, arrays of shape (n_samples,)."""
        values = self.family.to_params(self.theta)
        return dict(zip(self.family.param_names, values, strict=True))

    def to_scipy(self):
        """Return the frozen distribution of :mod:`scipy.stats` with these parameters.

        Returns
        -------
        frozen : scipy.stats.rv_frozen
        """
        return self.family.to_scipy(self.theta)

    def mean(self):
        """Return the means; not finite where a mean does not exist.

        Returns
        -------
        mean : ndarray of shape (n_samples,)
        """
        return self.to_scipy().mean()

    def var(self):
        """Return the variances.

        Returns
        -------
        var : ndarray of shape (n_samples,)
        """
        return self.to_scipy().var()

    def std(self):
        """Return the standard deviations.

        Returns
        -------
        std : ndarray of shape (n_samples,)
        """
        return np.sqrt(self.var())

    def median(self):
        """Return the medians.

        Returns
        -------
        median : ndarray of shape (n_samples,)
        """
        return self.ppf(0.5)

    def logpdf(self, y):
        """Return the logarithm of the density, or of the probability if discrete.

        Parameters
        ----------
        y : float or array-like

        Returns
        -------
        logpdf : ndarray
        """
        frozen = self.to_scipy()
        return frozen.logpmf(y) if self.family.discrete else frozen.logpdf(y)

    def pdf(self, y):
        """Return the density, or the probability if discrete.

        Parameters
        ----------
        y : float or array-like

        Returns
        -------
        pdf : ndarray
        """
        return np.exp(self.logpdf(y))

    def cdf(self, y):
        """Return the probability of values up to y.

        Parameters
        ----------
        y : float or array-like

        Returns
        -------
        cdf : ndarray
        """
        return self.to_scipy().cdf(y)

    def sf(self, y):
        """Return the probability of values above y, the survival function.

        Parameters
        ----------
        y : float or array-like

        Returns
        -------
        sf : ndarray
        """
        return self.to_scipy().sf(y)

    def logsf(self, y):
        """Return the logarithm of ``sf``.

        Parameters
        ----------
        y : float or array-like

        Returns
        -------
        logsf : ndarray
        """
        return self.to_scipy().logsf(y)

    def hazard(self, y):
        """Return the hazard rate, ``pdf / sf``.

        Parameters
        ----------
        y : float or array-like

        Returns
        -------
        hazard : ndarray
        """
        return np.exp(self.logpdf(y) - self.logsf(y))

    def ppf(self, q):
        """Return quantiles, the inverse of ``cdf``.

        Parameters
        ----------
        q : float or array-like
            Probabilities.

        Returns
        -------
        quantile : ndarray
        """
        return self.to_scipy().ppf(q)

    def isf(self, q):
        """Return the inverse of ``sf``.

        Parameters
        ----------
        q : float or array-like
            Probabilities.

        Returns
        -------
        quantile : ndarray
        """
        return self.to_scipy().isf(q)

    def interval(self, coverage=0.9):
        """Return central intervals.

        Parameters
        ----------
        coverage : float, default=0.9
            The probability inside, between 0 and 1.

        Returns
        -------
        interval : ndarray of shape (n_samples, 2)
            Lower and upper ends.
        """
        if not 0 < coverage < 1:
            raise ValueError(f"coverage must be between 0 and 1; got {coverage}.")
        tail = (1 - coverage) / 2
        return np.stack([self.ppf(tail), self.isf(tail)], axis=-1)

    def entropy(self):
        """Return the entropies, in nats.

        Returns
        -------
        entropy : ndarray of shape (n_samples,)
        """
        return self.family.entropy(self.theta)

    def rvs(self, size=None, random_state=None):
        """Draw values.

        Parameters
        ----------
        size : int, default=None
            How many for each row; None is one, without an axis for it.
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        values : ndarray of shape (n_samples,) or (size, n_samples)
        """
        rng = check_random_state(random_state)
        shape = (len(self),) if size is None else (size, len(self))
        return self.to_scipy().rvs(size=shape, random_state=rng)

    def nll(self, y):
        """Return the log score of each value, minus ``logpdf``: lower is better.

        Parameters
        ----------
        y : array-like of shape (n_samples,)

        Returns
        -------
        nll : ndarray of shape (n_samples,)
        """
        return self.family.log_score(self.theta, np.asarray(y, float))

    def crps(self, y):
        """Return the continuous ranked probability score of each value.

        It is in the unit of y: the integral over x of the squared difference between
        ``cdf(x)`` and the step at y.

        Parameters
        ----------
        y : array-like of shape (n_samples,)

        Returns
        -------
        crps : ndarray of shape (n_samples,)
        """
        self.family.check_rule("crps")
        return self.family.crps(self.theta, np.asarray(y, float))


def check_gradients(distribution, theta, y, *, rule="log", rtol=1e-5):
    """Compare the gradient of a family with central differences of its score.

    Parameters
    ----------
    distribution : Distribution
        The family, perhaps your own.
    theta : array-like of shape (K, n_samples)
        Internal parameters.
    y : array-like of shape (n_samples,)
        Values.
    rule : {"log", "crps"}, default="log"
        The scoring rule.
    rtol : float, default=1e-5
        The relative difference allowed, of the largest entry of a row's gradient.

    Raises
    ------
    AssertionError
        If they differ, with the parameter, the row and both numbers.

    Examples
    --------
    >>> from skalgos.distributions import Gamma, check_gradients
    >>> check_gradients(Gamma(), [[0.0, 1.0], [0.5, 2.0]], [0.3, 4.0])
    """
    theta = np.array(theta, dtype=float)
    y = np.asarray(y, float)
    actual = distribution.gradient(theta, y, rule)
    numeric = np.empty_like(actual)
    # Steps are a thousandth of what the data can tell apart: a location is known to
    # about its scale.
    metric = distribution.log_metric(theta)
    if metric.ndim == 3:
        metric = np.einsum("iin->in", metric)
    steps = 1e-3 / np.sqrt(np.maximum(metric, 1.0))

    def score(theta):
        return distribution.score(theta, y, rule)

    for k in range(len(theta)):
        numeric[k] = five_point(score, theta, k, steps[k])
    scale = np.abs(numeric).max(axis=0) + np.abs(actual).max(axis=0)
    wrong = np.abs(actual - numeric) > rtol * scale + 1e-9
    if wrong.any():
        k, i = np.argwhere(wrong)[0]
        raise AssertionError(
            f"gradient of {distribution!r} by {distribution.theta_names[k]}, row {i}: "
            f"{actual[k, i]:.9g}; central differences give {numeric[k, i]:.9g} at "
            f"theta={theta[:, i]}, y={y[..., i]}."
        )


def five_point(function, theta, k, step):
    """Return the derivative of function(theta) by row k, to the fourth order."""

    def at(shift):
        moved = theta.copy()
        moved[k] += shift
        return function(moved)

    near = at(step) - at(-step)
    far = at(2 * step) - at(-2 * step)
    return (8 * near - far) / (12 * step)
