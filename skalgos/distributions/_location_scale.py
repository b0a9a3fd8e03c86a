"""Families with a location and a scale, on the axis of y or of its logarithm.

With z = (y - loc) / scale, f and F the standard density and distribution function, and
psi = -(log f)', the log score is log(scale) - log f(z), with the derivatives
-psi / scale by loc and 1 - z psi by log(scale). The CRPS is scale * c(z) with
c' = 2F - 1. In the coordinates (loc / scale, log scale) the metrics of both are
constants of the family, the second times the scale.
"""

import numpy as np
from scipy import special, stats

from skalgos.distributions._base import (
    Distribution,
    five_point,
    minimise_marginal,
    solve_metric,
)

EULER = np.euler_gamma
SQRT_PI = np.sqrt(np.pi)


def weighted_median(y, w):
    """Return the smallest value with at least half of the weight up to it."""
    order = np.argsort(y, kind="stable")
    mass = np.cumsum(w[order])
    return y[order][np.searchsorted(mass, mass[-1] / 2)]


class LocationScale(Distribution):
    """What the families of this module share."""

    param_names = ("loc", "scale")
    theta_names = ("loc", "log_scale")
    rules = ("log", "crps")
    bounded = (False, True)
    log_axis = False
    # The Fisher information and the CRPS metric: entries 11, 12 and 22.
    fisher = None
    crps_constants = None

    # ---- the standard distribution, by family ----------------------------------------
    def _log_f(self, z):
        raise NotImplementedError

    def _psi(self, z):
        raise NotImplementedError

    def _F(self, z):
        raise NotImplementedError

    def _log_F(self, z):
        raise NotImplementedError

    def _log_S(self, z):
        raise NotImplementedError

    def _c(self, z):
        raise NotImplementedError

    def _below(self, z):
        """Return the integral of F^2 up to z."""
        raise NotImplementedError

    def _above(self, z):
        """Return the integral of (1 - F)^2 from z on."""
        raise NotImplementedError

    # ---- axes ------------------------------------------------------------------------
    def in_support(self, y):
        """Return a mask of the values that the family can take."""
        return np.isfinite(y) & (y > 0) if self.log_axis else np.isfinite(y)

    @property
    def support(self):
        """What a value must be."""
        return "positive" if self.log_axis else "finite"

    def _axis(self, y):
        return np.log(y) if self.log_axis else y

    def _standard(self, theta, y):
        loc, log_scale = theta[:2]
        scale = np.exp(log_scale)
        return (self._axis(y) - loc) / scale, scale

    def to_params(self, theta):
        """Return location and scale."""
        return theta[0], np.exp(theta[1])

    def from_params(self, loc, scale):
        """Return location and log scale."""
        return loc, np.log(scale)

    # ---- log score -------------------------------------------------------------------
    def log_score(self, theta, y):
        """Return minus the log density of each value."""
        z, _ = self._standard(theta, y)
        value = theta[1] - self._log_f(z)
        return value + np.log(y) if self.log_axis else value

    def log_gradient(self, theta, y):
        """Return the derivatives of ``log_score`` by theta."""
        z, scale = self._standard(theta, y)
        psi = self._psi(z)
        return np.array([-psi / scale, 1 - z * psi])

    def log_metric(self, theta):
        """Return the Fisher information."""
        return _scaled(self.fisher, theta, 0)

    # ---- CRPS ------------------------------------------------------------------------
    def crps(self, theta, y):
        """Return the CRPS of each value."""
        z, scale = self._standard(theta, y)
        return scale * self._c(z)

    def _crps(self, theta, y):
        z, scale = self._standard(theta, y)
        return scale * self._c(z)

    def crps_gradient(self, theta, y):
        """Return the derivatives of the CRPS by theta."""
        z, scale = self._standard(theta, y)
        slope = 2 * self._F(z) - 1
        return np.array([-slope, scale * (self._c(z) - z * slope)])

    def crps_metric(self, theta):
        """Return the metric of the CRPS."""
        return _scaled(self.crps_constants, theta, 1)

    def natural_gradient(self, theta, y, rule="log"):
        """Return the natural gradient; the metric needs no solving."""
        z, scale = self._standard(theta, y)
        if rule == "log":
            (a, b, d), psi = self.fisher, self._psi(z)
            g, h = -psi, 1 - z * psi
        else:
            (a, b, d), slope = self.crps_constants, 2 * self._F(z) - 1
            g, h = -slope, self._c(z) - z * slope
        if b == 0:
            return np.array([g * (scale / a), h / d])
        det = a * d - b * b
        return np.array([scale * (d * g - b * h) / det, (a * h - b * g) / det])

    # ---- censored values -------------------------------------------------------------
    def censored_score(self, theta, lower, upper, rule="log"):
        """Return the scores of values known to be in (lower, upper].

        Parameters
        ----------
        theta : ndarray of shape (K, n_samples)
        lower, upper : ndarray of shape (n_samples,)
            Infinite where there is no bound; on the axis of y.
        rule : {"log", "crps"}, default="log"

        Returns
        -------
        score : ndarray of shape (n_samples,)
        """
        if rule == "log" and np.min(upper, initial=np.inf) == np.inf:
            return -self._log_S(self._after_standard(theta, lower)[0])
        a, b, scale = self._bounds_standard(theta, lower, upper)
        if rule == "crps":
            return scale * (self._ended(self._below, a) + self._ended(self._above, b))
        return -self._log_mass(a, b)

    def censored_gradient(self, theta, lower, upper, rule="log"):
        """Return the derivatives of ``censored_score`` by theta."""
        if rule == "log" and np.min(upper, initial=np.inf) == np.inf:
            # Censored from the right alone, which is by far the most common.
            a, scale = self._after_standard(theta, lower)
            hazard = np.exp(self._ended(self._log_f, a, -np.inf) - self._log_S(a))
            return np.array([-hazard / scale, -_times(a, hazard)])
        a, b, scale = self._bounds_standard(theta, lower, upper)
        if rule == "crps":
            Fa = self._ended(self._F, a)
            Sb = self._ended(self._S, b)
            value = self._ended(self._below, a) + self._ended(self._above, b)
            by_log_scale = value - _times(a, Fa**2) + _times(b, Sb**2)
            return np.array([Sb**2 - Fa**2, scale * by_log_scale])
        log_mass = self._log_mass(a, b)
        fa = np.exp(self._ended(self._log_f, a, -np.inf) - log_mass)
        fb = np.exp(self._ended(self._log_f, b, -np.inf) - log_mass)
        return np.array([(fb - fa) / scale, _times(b, fb) - _times(a, fa)])

    def _S(self, z):
        return np.exp(self._log_S(z))

    def _after_standard(self, theta, lower):
        loc, log_scale = theta[:2]
        scale = np.exp(log_scale)
        if self.log_axis:
            with np.errstate(divide="ignore"):
                lower = np.log(np.maximum(lower, 0))
        return (lower - loc) / scale, scale

    def _bounds_standard(self, theta, lower, upper):
        loc, log_scale = theta[:2]
        scale = np.exp(log_scale)
        with np.errstate(divide="ignore"):
            if self.log_axis:
                lower, upper = np.log(np.maximum(lower, 0)), np.log(upper)
        return (lower - loc) / scale, (upper - loc) / scale, scale

    @staticmethod
    def _ended(function, z, at_infinity=0.0):
        # The functions have these limits at the open end of an interval.
        finite = np.isfinite(z)
        return np.where(finite, function(np.where(finite, z, 0.0)), at_infinity)

    def _log_mass(self, a, b):
        """Return log(F(b) - F(a)), from the tail in which it loses least."""
        with np.errstate(divide="ignore", invalid="ignore"):
            log_Fa = self._ended(self._log_F, a, -np.inf)
            log_Sa = self._ended(self._log_S, a, 0.0)
            log_Fb = self._ended(self._log_F, b, 0.0)
            log_Sb = self._ended(self._log_S, b, -np.inf)
            left = log_Fb + _log1mexp(log_Fb - log_Fa)
            right = log_Sa + _log1mexp(log_Sa - log_Sb)
        return np.where(log_Sa < log_Fb, right, left)

    # ---- marginal --------------------------------------------------------------------
    def _start(self, y, w):
        v = self._axis(y)
        loc = weighted_median(v, w)
        scale = np.sqrt(w @ (v - loc) ** 2 / w.sum())
        return np.array([loc, np.log(max(scale, 1e-6 * abs(loc), 1e-12))])

    def fit_marginal(self, y, w=None, rule="log"):
        """Return theta of shape (K,) that minimises the weighted mean score."""
        y = np.asarray(y, float)
        w = np.ones(len(y)) if w is None else np.asarray(w, float)
        if y.min() == y.max():
            return self._start(y, w)
        return super().fit_marginal(y, w, rule)


def fit_censored(family, lower, upper, w, rule="log", entry=None):
    """Return theta that minimises the mean score of values in (lower, upper].

    Parameters
    ----------
    family : Distribution
        With ``censored_score``.
    lower, upper : ndarray of shape (n_samples,)
        Equal where the value is known.
    w : ndarray of shape (n_samples,)
    rule : {"log", "crps"}, default="log"
    entry : ndarray of shape (n_samples,), default=None
        From which value on a row was observed at all.

    Returns
    -------
    theta : ndarray of shape (K,)
    """
    exact = lower == upper
    low = np.where(np.isfinite(lower), lower, -np.inf)
    # Somewhere to start from: the known end, or the middle, of each interval.
    guess = np.where(np.isfinite(low) & np.isfinite(upper), (low + upper) / 2, upper)
    guess = np.where(np.isfinite(guess), guess, low)
    usable = family.in_support(guess)
    if not usable.any():
        raise ValueError(
            "There is nothing to fit: no row of y has a bound inside the support of "
            f"{family!r}."
        )
    theta = family._start(guess[usable], w[usable])
    if guess[usable].min() == guess[usable].max():
        return theta
    rows = lower, upper, exact, rule, entry
    return minimise_marginal(
        family,
        theta,
        lambda theta: mixed_score(family, theta, *rows),
        lambda theta: mixed_gradient(family, theta, *rows),
        w,
        rule,
    )


def mixed_score(family, theta, lower, upper, exact, rule, entry=None):
    """Return the scores of rows of which some are exact and some are censored.

    With ``entry`` they are those of the distribution beyond it, which divides
    densities by the probability there.
    """
    if exact.all():
        out = family.score(theta, lower, rule)
    else:
        out = np.empty(theta.shape[1])
        out[exact] = family.score(theta[:, exact], lower[exact], rule)
        rest = ~exact
        out[rest] = family.censored_score(
            theta[:, rest], lower[rest], upper[rest], rule
        )
    if entry is not None:
        out = out - family.censored_score(theta, entry, np.full_like(entry, np.inf))
    return out


def mixed_gradient(family, theta, lower, upper, exact, rule, entry=None):
    """Return the derivatives of ``mixed_score`` by theta."""
    if exact.all():
        out = family.gradient(theta, lower, rule)
    else:
        out = np.empty_like(theta)
        out[:, exact] = family.gradient(theta[:, exact], lower[exact], rule)
        rest = ~exact
        out[:, rest] = family.censored_gradient(
            theta[:, rest], lower[rest], upper[rest], rule
        )
    if entry is not None:
        out = out - family.censored_gradient(theta, entry, np.full_like(entry, np.inf))
    return out


def _scaled(constants, theta, power):
    """Return the metric in (loc, log scale), times a power of the scale."""
    a, b, d = constants
    scale = np.exp(theta[1])
    ones = np.ones_like(scale)
    if b == 0:
        return np.array([a * scale ** (power - 2), d * scale**power * ones])
    cross = b * scale ** (power - 1)
    return np.array([[a * scale ** (power - 2), cross], [cross, d * scale**power]])


def _log1mexp(x):
    """Return log(1 - exp(-x)) for x >= 0."""
    return np.where(
        x < 0.6931, np.log(-np.expm1(-x)), np.log1p(-np.exp(-np.maximum(x, 0.5)))
    )


def _times(z, value):
    """Return z * value, 0 where value is: an infinite z has none there."""
    return np.where(value == 0, 0.0, np.where(np.isfinite(z), z, 0.0) * value)


class Normal(LocationScale):
    """Normal distribution, with ``loc`` and ``scale``.

    See Also
    --------
    LogNormal : Its exponential, for positive values.
    StudentT : With heavier tails.

    Examples
    --------
    >>> from skalgos.distributions import Normal
    >>> Normal()(loc=1.0, scale=2.0).cdf(1.0)
    array([0.5])
    """

    censored_rules = ("log", "crps")
    fisher = (1.0, 0.0, 2.0)
    crps_constants = (1 / SQRT_PI, 0.0, 0.5 / SQRT_PI)

    def _log_f(self, z):
        return -0.5 * z * z - 0.5 * np.log(2 * np.pi)

    def _psi(self, z):
        return z

    def _F(self, z):
        return special.ndtr(z)

    def _log_F(self, z):
        return special.log_ndtr(z)

    def _log_S(self, z):
        return special.log_ndtr(-z)

    def _c(self, z):
        density = np.exp(self._log_f(z))
        return z * (2 * special.ndtr(z) - 1) + 2 * density - 1 / SQRT_PI

    def _below(self, z):
        F = special.ndtr(z)
        density = np.exp(self._log_f(z))
        return z * F * F + 2 * F * density - special.ndtr(np.sqrt(2) * z) / SQRT_PI

    def _above(self, z):
        return self._below(-z)

    def _start(self, y, w):
        v = self._axis(y)
        if v.min() == v.max():
            return super()._start(y, w)
        loc = w @ v / w.sum()
        return np.array([loc, 0.5 * np.log(w @ (v - loc) ** 2 / w.sum())])

    def to_scipy(self, theta):
        """Return the frozen distribution of :mod:`scipy.stats`."""
        return stats.norm(theta[0], np.exp(theta[1]))


class LogNormal(Normal):
    """Log-normal distribution: ``loc`` and ``scale`` of the logarithm of y.

    As a scoring rule "crps" is that of log y, which is indifferent to the unit of y.
    The method ``crps`` of a prediction is the CRPS of y itself.

    Examples
    --------
    >>> from skalgos.distributions import LogNormal
    >>> LogNormal()(loc=0.0, scale=1.0).median()
    array([1.])
    """

    log_axis = True

    def crps(self, theta, y):
        """Return the CRPS of each value, on the axis of y."""
        loc, scale = theta[0], np.exp(theta[1])
        w = (np.log(y) - loc) / scale
        mean = np.exp(loc + scale**2 / 2)
        inner = special.ndtr(w - scale) + special.ndtr(scale / np.sqrt(2)) - 1
        return y * (2 * special.ndtr(w) - 1) - 2 * mean * inner

    def to_scipy(self, theta):
        """Return the frozen distribution of :mod:`scipy.stats`."""
        return stats.lognorm(np.exp(theta[1]), scale=np.exp(theta[0]))


class Laplace(LocationScale):
    """Laplace distribution, with ``loc`` and ``scale``: the median and absolute errors.

    Examples
    --------
    >>> from skalgos.distributions import Laplace
    >>> Laplace()(loc=0.0, scale=1.0).var()
    array([2.])
    """

    censored_rules = ("log",)
    fisher = (1.0, 0.0, 1.0)
    crps_constants = (0.5, 0.0, 0.25)

    def _log_f(self, z):
        return -np.abs(z) - np.log(2)

    def _psi(self, z):
        return np.sign(z)

    def _F(self, z):
        tail = 0.5 * np.exp(-np.abs(z))
        return np.where(z < 0, tail, 1 - tail)

    def _log_F(self, z):
        near = np.log1p(-0.5 * np.exp(-np.maximum(z, 0)))
        return np.where(z < 0, z - np.log(2), near)

    def _log_S(self, z):
        return self._log_F(-z)

    def _c(self, z):
        return np.abs(z) + np.exp(-np.abs(z)) - 0.75

    def _start(self, y, w):
        theta = super()._start(y, w)
        mean_error = w @ np.abs(y - theta[0]) / w.sum()
        if mean_error > 0:
            theta[1] = np.log(mean_error)
        return theta

    def fit_marginal(self, y, w=None, rule="log"):
        """Return theta of shape (K,) that minimises the weighted mean score."""
        if rule == "log":
            # The median and the mean absolute error are the minimum.
            return self._start(y, np.ones(len(y)) if w is None else w)
        return super().fit_marginal(y, w, rule)

    def to_scipy(self, theta):
        """Return the frozen distribution of :mod:`scipy.stats`."""
        return stats.laplace(theta[0], np.exp(theta[1]))


class Logistic(LocationScale):
    """Logistic distribution, with ``loc`` and ``scale``: tails between Normal and t.

    Examples
    --------
    >>> from skalgos.distributions import Logistic
    >>> Logistic()(loc=0.0, scale=1.0).ppf(0.5)
    array([0.])
    """

    censored_rules = ("log", "crps")
    fisher = (1 / 3, 0.0, (3 + np.pi**2) / 9)
    crps_constants = (1 / 3, 0.0, (np.pi**2 - 6) / 9)

    def _log_f(self, z):
        return special.log_expit(z) + special.log_expit(-z)

    def _psi(self, z):
        return np.tanh(z / 2)

    def _F(self, z):
        return special.expit(z)

    def _log_F(self, z):
        return special.log_expit(z)

    def _log_S(self, z):
        return special.log_expit(-z)

    def _c(self, z):
        return 2 * np.logaddexp(0, z) - z - 1

    def _below(self, z):
        return np.logaddexp(0, z) - special.expit(z)

    def _above(self, z):
        return self._below(-z)

    def to_scipy(self, theta):
        """Return the frozen distribution of :mod:`scipy.stats`."""
        return stats.logistic(theta[0], np.exp(theta[1]))


class Gumbel(LocationScale):
    """Gumbel distribution of maxima, with ``loc`` and ``scale``.

    Examples
    --------
    >>> from skalgos.distributions import Gumbel
    >>> Gumbel()(loc=0.0, scale=1.0).cdf(0.0).round(4)
    array([0.3679])
    """

    censored_rules = ("log", "crps")
    fisher = (1.0, EULER - 1, np.pi**2 / 6 + (1 - EULER) ** 2)
    crps_constants = (
        0.5,
        (EULER + np.log(2) - 1) / 2,
        ((1 - EULER - np.log(2)) ** 2 + np.pi**2 / 6 - 1) / 2,
    )

    def _log_f(self, z):
        return -z - _exp(-z)

    def _psi(self, z):
        return 1 - _exp(-z)

    def _F(self, z):
        return np.exp(-_exp(-z))

    def _log_F(self, z):
        return -_exp(-z)

    def _log_S(self, z):
        return _log1mexp(_exp(-z))

    def _c(self, z):
        return -z + 2 * special.exp1(_exp(-z)) + EULER - np.log(2)

    def _below(self, z):
        return special.exp1(2 * _exp(-z))

    def _above(self, z):
        t = _exp(-z)
        return 2 * _entire_exp1(t) - _entire_exp1(2 * t)

    def to_scipy(self, theta):
        """Return the frozen distribution of :mod:`scipy.stats`."""
        return stats.gumbel_r(theta[0], np.exp(theta[1]))


class Weibull(LocationScale):
    """Weibull distribution, with ``scale`` and ``shape``.

    The logarithm of y has a Gumbel distribution of minima, with the location
    log(scale) and the scale 1 / shape: these are the internal parameters. As a scoring
    rule "crps" is that of log y, which is indifferent to the unit of y. The method
    ``crps`` of a prediction is the CRPS of y itself.

    Examples
    --------
    >>> from skalgos.distributions import Weibull
    >>> Weibull()(scale=2.0, shape=1.0).mean()
    array([2.])
    """

    param_names = ("scale", "shape")
    theta_names = ("log_scale", "log_inverse_shape")
    log_axis = True
    censored_rules = ("log", "crps")
    fisher = (1.0, 1 - EULER, np.pi**2 / 6 + (1 - EULER) ** 2)
    crps_constants = (
        0.5,
        (1 - EULER - np.log(2)) / 2,
        ((1 - EULER - np.log(2)) ** 2 + np.pi**2 / 6 - 1) / 2,
    )

    def to_params(self, theta):
        """Return scale and shape."""
        return np.exp(theta[0]), np.exp(-theta[1])

    def from_params(self, scale, shape):
        """Return log scale and minus log shape."""
        return np.log(scale), -np.log(shape)

    def _log_f(self, z):
        return z - _exp(z)

    def _psi(self, z):
        return _exp(z) - 1

    def _F(self, z):
        return -np.expm1(-_exp(z))

    def _log_F(self, z):
        return _log1mexp(_exp(z))

    def _log_S(self, z):
        return -_exp(z)

    def _c(self, z):
        return z + 2 * special.exp1(_exp(z)) + EULER - np.log(2)

    def _below(self, z):
        t = _exp(z)
        return 2 * _entire_exp1(t) - _entire_exp1(2 * t)

    def _above(self, z):
        return special.exp1(2 * _exp(z))

    def crps(self, theta, y):
        """Return the CRPS of each value, on the axis of y."""
        scale, shape = self.to_params(theta)
        u = (y / scale) ** shape
        power = 1 + 1 / shape
        tail = 2 ** (-1 / shape) - 2 * special.gammainc(power, u)
        return y * (1 - 2 * np.exp(-u)) + scale * special.gamma(power) * tail

    def _start(self, y, w):
        v = np.log(y)
        centre = w @ v / w.sum()
        spread = np.sqrt(w @ (v - centre) ** 2 / w.sum()) * np.sqrt(6) / np.pi
        spread = max(spread, 1e-6 * abs(centre), 1e-12)
        return np.array([centre + EULER * spread, np.log(spread)])

    def to_scipy(self, theta):
        """Return the frozen distribution of :mod:`scipy.stats`."""
        scale, shape = self.to_params(theta)
        return stats.weibull_min(shape, scale=scale)


def _exp(z):
    """Return exp(z), finite."""
    return np.exp(np.minimum(z, 700.0))


def _entire_exp1(t):
    """Return E1(t) + log(t) + Euler's constant, which is t at 0."""
    series = t * (1 - t / 4 * (1 - 2 * t / 9 * (1 - 3 * t / 16)))
    safe = np.maximum(t, 1e-300)
    return np.where(t < 1e-3, series, special.exp1(safe) + np.log(safe) + EULER)


class StudentT(LocationScale):
    """Student's t distribution, with ``loc``, ``scale`` and ``df``.

    Parameters
    ----------
    df : float, default=None
        Degrees of freedom: fixed if given, 1 is the Cauchy distribution; None
        estimates them for each row. The CRPS is infinite for 1 or less.

    Notes
    -----
    Estimated degrees of freedom stay between 0.5 and 200, and above 1.05 where the
    scoring rule is the CRPS.

    Examples
    --------
    >>> from skalgos.distributions import StudentT
    >>> StudentT(df=3)(loc=0.0, scale=1.0).var()
    array([3.])
    """

    def __init__(self, df=None):
        self.df = df

    @property
    def param_names(self):
        """Names of the parameters; df is one if it is estimated."""
        return ("loc", "scale") if self.df is not None else ("loc", "scale", "df")

    @property
    def theta_names(self):
        """Names of the internal parameters."""
        if self.df is not None:
            return ("loc", "log_scale")
        return ("loc", "log_scale", "log_df")

    @property
    def bounded(self):
        """Which internal parameters are logarithms."""
        return (False, True) if self.df is not None else (False, True, True)

    def check_rule(self, rule):
        """Raise a ValueError if the rule is not available or infinite."""
        if self.df is not None and not self.df > 0:
            raise ValueError(f"df must be positive or None; got {self.df!r}.")
        if rule == "crps" and self.df is not None and self.df <= 1:
            raise ValueError(
                "The CRPS of a Student t distribution is infinite for df <= 1; got "
                f"df={self.df!r}. Use scoring_rule='log'."
            )
        super().check_rule(rule)

    def to_params(self, theta):
        """Return location, scale, and degrees of freedom if estimated."""
        return (theta[0], *np.exp(theta[1:]))

    def from_params(self, loc, scale, *df):
        """Return location, log scale, and log degrees of freedom if estimated."""
        return (loc, np.log(scale), *map(np.log, df))

    def _df(self, theta):
        return self.df if self.df is not None else np.exp(theta[2])

    def bounds(self, theta, rule="log"):
        """Return what theta is kept in."""
        low, high = super().bounds(theta, rule)
        if self.df is None:
            low[2] = np.log(0.5 if rule == "log" else 1.05)
            high[2] = np.log(200.0)
        return low, high

    def log_score(self, theta, y):
        """Return minus the log density of each value."""
        z, _ = self._standard(theta, y)
        df = self._df(theta)
        norm = special.betaln(0.5, df / 2) + 0.5 * np.log(df)
        return theta[1] + norm + (df + 1) / 2 * np.log1p(z * z / df)

    def log_gradient(self, theta, y):
        """Return the derivatives of ``log_score`` by theta."""
        z, scale = self._standard(theta, y)
        df = self._df(theta)
        a = (df + 1) / (df + z * z)
        rows = [-a * z / scale, 1 - a * z * z]
        if self.df is None:
            diff = special.digamma((df + 1) / 2) - special.digamma(df / 2) - 1 / df
            rest = a * z * z / df - np.log1p(z * z / df)
            rows.append(-df / 2 * (diff + rest))
        return np.array(rows)

    def log_metric(self, theta):
        """Return the Fisher information."""
        df = self._df(theta)
        scale = np.exp(theta[1])
        by_loc = (df + 1) / (df + 3) / scale**2
        by_scale = 2 * df / (df + 3) * np.ones_like(scale)
        if self.df is not None:
            return np.array([by_loc, by_scale])
        out = np.zeros((3, 3, len(scale)))
        out[0, 0], out[1, 1] = by_loc, by_scale
        out[1, 2] = out[2, 1] = -2 * df / ((df + 1) * (df + 3))
        diff = special.polygamma(1, df / 2) - special.polygamma(1, (df + 1) / 2)
        rest = (df + 5) / (df * (df + 1) * (df + 3))
        out[2, 2] = df**2 / 2 * (diff / 2 - rest)
        return out

    def _c(self, z, df=None):
        df = self.df if df is None else df
        F = special.stdtr(df, z)
        norm = np.exp(-special.betaln(0.5, df / 2) - 0.5 * np.log(df))
        density = norm * np.exp(-(df + 1) / 2 * np.log1p(z * z / df))
        ratio = special.betaln(0.5, df - 0.5) - 2 * special.betaln(0.5, df / 2)
        spread = 2 * np.sqrt(df) / (df - 1) * np.exp(ratio)
        return z * (2 * F - 1) + 2 * density * (df + z * z) / (df - 1) - spread

    def crps(self, theta, y):
        """Return the CRPS of each value."""
        z, scale = self._standard(theta, y)
        return scale * self._c(z, self._df(theta))

    _crps = crps

    def crps_gradient(self, theta, y):
        """Return the derivatives of the CRPS by theta."""
        z, scale = self._standard(theta, y)
        df = self._df(theta)
        slope = 2 * special.stdtr(df, z) - 1
        c = self._c(z, df)
        rows = [-slope, scale * (c - z * slope)]
        if self.df is None:
            # No closed form by df: differences of the fourth order.
            log_df = theta[2:3]
            c_by = five_point(lambda t: self._c(z, np.exp(t[0])), log_df, 0, 1e-3)
            rows.append(scale * c_by)
        return np.array(rows)

    def crps_metric(self, theta):
        """Return the metric of the CRPS."""
        df = self._df(theta)
        scale = np.exp(theta[1])
        norm = np.exp(-2 * special.betaln(0.5, df / 2)) / df
        by_loc = 2 * norm * np.sqrt(df) * special.beta(0.5, df + 0.5)
        by_scale = 2 * norm * df**1.5 * special.beta(1.5, df - 0.5)
        if self.df is not None:
            return np.array([by_loc / scale, by_scale * scale])
        out = np.zeros((3, 3, len(scale)))
        out[0, 0], out[1, 1] = by_loc / scale, by_scale * scale
        cross, own = _df_metric(df)
        out[1, 2] = out[2, 1] = cross * scale
        out[2, 2] = own * scale
        return out

    def natural_gradient(self, theta, y, rule="log"):
        """Return the gradient multiplied by the inverse of the metric."""
        metric, gradient = self.metric(theta, rule), self.gradient(theta, y, rule)
        if self.df is not None:
            return gradient / metric
        rest = solve_metric(metric[1:, 1:], gradient[1:])
        return np.vstack([gradient[:1] / metric[0, 0], rest])

    def _start(self, y, w):
        loc = weighted_median(y, w)
        spread = weighted_median(np.abs(y - loc), w)
        if spread == 0:
            spread = np.sqrt(w @ (y - loc) ** 2 / w.sum())
        spread = max(spread, 1e-6 * abs(loc), 1e-12)
        start = [loc, np.log(spread)]
        return np.array(start if self.df is not None else [*start, np.log(5.0)])

    def to_scipy(self, theta):
        """Return the frozen distribution of :mod:`scipy.stats`."""
        return stats.t(self._df(theta), theta[0], np.exp(theta[1]))


def _df_metric(df):
    """Return the entries (log scale, log df) and (log df, log df) of the CRPS metric.

    They are integrals over z of products of derivatives of F, which depend on df
    alone: Gauss-Legendre in sinh(z), where both tails fall off exponentially.
    """
    nodes, weights = np.polynomial.legendre.leggauss(160)
    # Symmetric in z, so half of the axis; the integrand falls as z^(-2 df) log(z)^2.
    end = np.minimum(40 / (2 * np.minimum(df, 20.0) - 1) + 3, 300.0)
    v = 0.5 * end * (nodes[:, None] + 1)
    z = np.sinh(v)
    jacobian = 0.5 * end * weights[:, None] * np.cosh(v)
    log_df = np.log(df) + np.zeros_like(z)
    by_df = five_point(lambda t: special.stdtr(np.exp(t[0]), -z), log_df[None], 0, 2e-3)
    norm = np.exp(-special.betaln(0.5, df / 2) - 0.5 * np.log(df))
    density = norm * np.exp(-(df + 1) / 2 * np.log1p(z * z / df))
    # By symmetry F(-z) carries both sides: dF(-z)/dlog scale = z f.
    own = 4 * np.sum(jacobian * by_df**2, axis=0)
    cross = 4 * np.sum(jacobian * by_df * z * density, axis=0)
    return cross, own
