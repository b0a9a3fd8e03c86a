"""Gamma, exponential, half-normal and beta distributions."""

from functools import cache

import numpy as np
from scipy import special, stats
from scipy.interpolate import CubicSpline

from skalgos.distributions._base import Distribution, five_point

SQRT_PI = np.sqrt(np.pi)


class Positive(Distribution):
    """Families of positive values."""

    rules = ("log", "crps")
    support = "positive"

    def in_support(self, y):
        """Return a mask of the values that the family can take."""
        return np.isfinite(y) & (y > 0)


class Exponential(Positive):
    """Exponential distribution, with ``scale``, its mean.

    Examples
    --------
    >>> from skalgos.distributions import Exponential
    >>> Exponential()(scale=2.0).mean()
    array([2.])
    """

    param_names = ("scale",)
    theta_names = ("log_scale",)
    bounded = (True,)
    censored_rules = ("log", "crps")
    support = "non-negative"

    def in_support(self, y):
        """Return a mask of the values that the family can take."""
        return np.isfinite(y) & (y >= 0)

    def to_params(self, theta):
        """Return the scale."""
        return (np.exp(theta[0]),)

    def from_params(self, scale):
        """Return the log scale."""
        return (np.log(scale),)

    def log_score(self, theta, y):
        """Return minus the log density of each value."""
        return theta[0] + y * np.exp(-theta[0])

    def log_gradient(self, theta, y):
        """Return the derivative of ``log_score`` by theta."""
        return 1 - y * np.exp(-theta)

    def log_metric(self, theta):
        """Return the Fisher information."""
        return np.ones_like(theta)

    def crps(self, theta, y):
        """Return the CRPS of each value."""
        scale = np.exp(theta[0])
        return y + 2 * scale * np.exp(-y / scale) - 1.5 * scale

    def crps_gradient(self, theta, y):
        """Return the derivative of the CRPS by theta."""
        scale = np.exp(theta)
        return 2 * np.exp(-y / scale) * (scale + y) - 1.5 * scale

    def crps_metric(self, theta):
        """Return the metric of the CRPS."""
        return 0.5 * np.exp(theta)

    def censored_score(self, theta, lower, upper, rule="log"):
        """Return the scores of values known to be in (lower, upper]."""
        scale = np.exp(theta[0])
        a, b = np.maximum(lower, 0) / scale, upper / scale
        if rule == "crps":
            below = a + 2 * np.exp(-a) - 1.5 - 0.5 * np.exp(-2 * a)
            return scale * (below + 0.5 * np.exp(-2 * b))
        return a - np.log(-np.expm1(a - b))

    def censored_gradient(self, theta, lower, upper, rule="log"):
        """Return the derivatives of ``censored_score`` by theta."""
        scale = np.exp(theta[0])
        a, b = np.maximum(lower, 0) / scale, upper / scale
        b_times = np.where(np.isfinite(b), b, 0.0)
        if rule == "crps":
            by_a = 2 * np.exp(-a) * (1 + a) - 1.5 - np.exp(-2 * a) * (0.5 + a)
            by_b = np.exp(-2 * b) * (0.5 + b_times)
            return (scale * (by_a + by_b))[None]
        gap = b_times - a
        width = np.where(np.isfinite(b), gap, 1.0)
        open_ended = np.where(np.isfinite(b), width / np.expm1(width), 0.0)
        return (open_ended - a)[None]

    def _start(self, y, w):
        return np.log([max(w @ y / w.sum(), 1e-300)])

    def to_scipy(self, theta):
        """Return the frozen distribution of :mod:`scipy.stats`."""
        return stats.expon(scale=np.exp(theta[0]))


class HalfNormal(Positive):
    """Half-normal distribution, with ``scale``: the size of a centred Normal.

    Examples
    --------
    >>> from skalgos.distributions import HalfNormal
    >>> HalfNormal()(scale=1.0).mean().round(4)
    array([0.7979])
    """

    param_names = ("scale",)
    theta_names = ("log_scale",)
    bounded = (True,)
    support = "non-negative"

    def in_support(self, y):
        """Return a mask of the values that the family can take."""
        return np.isfinite(y) & (y >= 0)

    def to_params(self, theta):
        """Return the scale."""
        return (np.exp(theta[0]),)

    def from_params(self, scale):
        """Return the log scale."""
        return (np.log(scale),)

    def log_score(self, theta, y):
        """Return minus the log density of each value."""
        z = y * np.exp(-theta[0])
        return theta[0] + 0.5 * z * z + 0.5 * np.log(np.pi / 2)

    def log_gradient(self, theta, y):
        """Return the derivative of ``log_score`` by theta."""
        z = y * np.exp(-theta)
        return 1 - z * z

    def log_metric(self, theta):
        """Return the Fisher information."""
        return np.full_like(theta, 2.0)

    def _parts(self, theta, y):
        scale = np.exp(theta)
        z = y / scale
        density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
        rest = 4 * density - np.sqrt(2 / np.pi) - (2 - np.sqrt(2)) / SQRT_PI
        return 4 * special.ndtr(z) - 3, scale * rest

    def crps(self, theta, y):
        """Return the CRPS of each value."""
        slope, rest = self._parts(theta[0], y)
        return y * slope + rest

    def crps_gradient(self, theta, y):
        """Return the derivative of the CRPS by theta."""
        return self._parts(theta, y)[1]

    def crps_metric(self, theta):
        """Return the metric of the CRPS."""
        return np.exp(theta) / SQRT_PI

    def _start(self, y, w):
        return 0.5 * np.log([max(w @ (y * y) / w.sum(), 1e-300)])

    def to_scipy(self, theta):
        """Return the frozen distribution of :mod:`scipy.stats`."""
        return stats.halfnorm(scale=np.exp(theta[0]))


class Gamma(Positive):
    """Gamma distribution, with ``mean`` and ``shape``; the variance is mean^2 / shape.

    In these parameters the Fisher information is diagonal.

    Examples
    --------
    >>> from skalgos.distributions import Gamma
    >>> Gamma()(mean=3.0, shape=9.0).std()
    array([1.])
    """

    param_names = ("mean", "shape")
    theta_names = ("log_mean", "log_shape")
    bounded = (True, True)

    def to_params(self, theta):
        """Return mean and shape."""
        return np.exp(theta[0]), np.exp(theta[1])

    def from_params(self, mean, shape):
        """Return log mean and log shape."""
        return np.log(mean), np.log(shape)

    def bounds(self, theta, rule="log"):
        """Return what theta is kept in."""
        low, high = super().bounds(theta, rule)
        return np.maximum(low, [-np.inf, -6]), np.minimum(high, [np.inf, 16])

    def log_score(self, theta, y):
        """Return minus the log density of each value."""
        mean, a = self.to_params(theta)
        ratio = y / mean
        return np.log(y) - a * (np.log(a * ratio) - ratio) + special.gammaln(a)

    def log_gradient(self, theta, y):
        """Return the derivatives of ``log_score`` by theta."""
        mean, a = self.to_params(theta)
        ratio = y / mean
        by_shape = special.digamma(a) - np.log(a * ratio) + ratio - 1
        return np.array([a * (1 - ratio), a * by_shape])

    def log_metric(self, theta):
        """Return the Fisher information."""
        a = np.exp(theta[1])
        # Above, the difference has lost all its digits and the series is exact.
        series = 0.5 + 1 / (6 * a) - 1 / (30 * a**3)
        exact = a * a * special.polygamma(1, a) - a
        return np.array([a, np.where(a > 1e4, series, exact)])

    def _crps_of(self, log_a, ratio):
        a = np.exp(log_a)
        x = a * ratio
        inner = 2 * special.gammainc(a + 1, x) - 1
        spread = np.exp(-special.betaln(0.5, a)) / a
        return ratio * (2 * special.gammainc(a, x) - 1) - inner - spread

    def crps(self, theta, y):
        """Return the CRPS of each value."""
        mean = np.exp(theta[0])
        return mean * self._crps_of(theta[1], y / mean)

    def crps_gradient(self, theta, y):
        """Return the derivatives of the CRPS by theta."""
        mean, a = self.to_params(theta)
        ratio = y / mean
        value = self._crps_of(theta[1], ratio)
        by_mean = value - ratio * (2 * special.gammainc(a, a * ratio) - 1)
        by_shape = five_point(lambda t: self._crps_of(t[0], ratio), theta[1:2], 0, 1e-3)
        return mean * np.array([by_mean, by_shape])

    def crps_metric(self, theta):
        """Return the metric of the CRPS."""
        cross, own = _gamma_metric()
        mean, a = self.to_params(theta)
        log_beta = special.gammaln(2 * a + 1) - 2 * special.gammaln(a)
        by_mean = 2 * np.exp(log_beta - (2 * a + 1) * np.log(2)) / a
        cross, own = cross(theta[1]), np.exp(own(theta[1]))
        return mean * np.array([[by_mean, cross], [cross, own]])

    def _start(self, y, w):
        mean = w @ y / w.sum()
        gap = max(np.log(mean) - w @ np.log(y) / w.sum(), 1e-14)
        shape = (3 - gap + np.sqrt((gap - 3) ** 2 + 24 * gap)) / (12 * gap)
        return np.array([np.log(mean), np.clip(np.log(shape), -6, 16)])

    def to_scipy(self, theta):
        """Return the frozen distribution of :mod:`scipy.stats`."""
        mean, a = self.to_params(theta)
        return stats.gamma(a, scale=mean / a)


@cache
def _gamma_metric():
    """Return splines over log shape of two entries of the CRPS metric at mean 1.

    They have no closed form. The trapezoidal rule in log x converges exponentially,
    since the integrand is smooth and falls off at both ends.
    """
    grid = np.linspace(-6.2, 16.2, 300)
    a = np.exp(grid)
    low = np.maximum(np.log(np.maximum(special.gammaincinv(a, 1e-17), 1e-300)), -45)
    high = np.log(special.gammainccinv(a, 1e-18))
    t = np.linspace(0, 1, 600)[:, None] * (high - low) + low
    x = np.exp(t)
    step = (high - low) / 599

    def F(theta):
        # At mean 1 the scale of x is 1 / shape.
        return special.gammainc(np.exp(theta[0]), np.exp(theta[0] + t - grid))

    by_shape = five_point(F, grid[None] + 0 * t[None], 0, 1e-3)
    log_xf = a * t - x - special.gammaln(a)
    by_mean = -np.exp(log_xf)
    # dx = x dt, and x / a at mean 1.
    volume = step * x / a
    cross = 2 * np.sum(volume * by_shape * by_mean, axis=0)
    own = 2 * np.sum(volume * by_shape**2, axis=0)
    return CubicSpline(grid, cross), CubicSpline(grid, np.log(own))


class Beta(Distribution):
    """Beta distribution on (0, 1), with ``a`` and ``b``; the mean is a / (a + b).

    Its CRPS has a metric without a closed form, which is computed for each row: a fit
    takes much longer than with the log score.

    Examples
    --------
    >>> from skalgos.distributions import Beta
    >>> Beta()(a=2.0, b=2.0).mean()
    array([0.5])
    """

    param_names = ("a", "b")
    theta_names = ("log_a", "log_b")
    # Neither is a location.
    spread = (False, False)
    rules = ("log", "crps")
    bounded = (True, True)
    support = "strictly between 0 and 1"

    def in_support(self, y):
        """Return a mask of the values that the family can take."""
        return (y > 0) & (y < 1)

    def to_params(self, theta):
        """Return a and b."""
        return np.exp(theta[0]), np.exp(theta[1])

    def from_params(self, a, b):
        """Return log a and log b."""
        return np.log(a), np.log(b)

    def bounds(self, theta, rule="log"):
        """Return what theta is kept in."""
        return np.full(2, -5.0), np.full(2, 12.0)

    def log_score(self, theta, y):
        """Return minus the log density of each value."""
        a, b = self.to_params(theta)
        return special.betaln(a, b) - (a - 1) * np.log(y) - (b - 1) * np.log1p(-y)

    def log_gradient(self, theta, y):
        """Return the derivatives of ``log_score`` by theta."""
        a, b = self.to_params(theta)
        both = special.digamma(a + b)
        by_a = special.digamma(a) - both - np.log(y)
        return np.array([a * by_a, b * (special.digamma(b) - both - np.log1p(-y))])

    def log_metric(self, theta):
        """Return the Fisher information."""
        a, b = self.to_params(theta)
        both = special.polygamma(1, a + b)
        cross = -a * b * both
        by_a = a * a * (special.polygamma(1, a) - both)
        by_b = b * b * (special.polygamma(1, b) - both)
        return np.array([[by_a, cross], [cross, by_b]])

    def crps(self, theta, y):
        """Return the CRPS of each value."""
        a, b = self.to_params(theta)
        ratio = special.betaln(2 * a, 2 * b) - 2 * special.betaln(a, b)
        inner = 1 - 2 * special.betainc(a + 1, b, y) - 2 * np.exp(ratio) / a
        return y * (2 * special.betainc(a, b, y) - 1) + a / (a + b) * inner

    def crps_gradient(self, theta, y):
        """Return the derivatives of the CRPS by theta, by differences."""
        return np.array(
            [five_point(lambda t: self.crps(t, y), theta, k, 1e-3) for k in (0, 1)]
        )

    def crps_metric(self, theta):
        """Return the metric of the CRPS, by quadrature."""
        # x = F^-1 of a Beta with half the parameters spreads the nodes over both the
        # mass and the tails; the trapezoidal rule in logit(u) converges fast.
        a, b = self.to_params(theta)
        low, high = special.logit(1e-14), special.logit(1 - 1e-14)
        s = np.linspace(low, high, 160)[:, None]
        # Where x or 1 - x underflows there is nothing left to integrate.
        centre = np.log(a) - np.log(b)
        spread = 1 / np.sqrt(np.minimum(np.minimum(a, b), 1.0) + np.minimum(a, b))
        t = centre + s * np.minimum(spread, 1.6) * 1.3
        x = special.expit(t)

        def F(theta):
            return special.betainc(np.exp(theta[0]), np.exp(theta[1]), x)

        wide = np.repeat(theta[:, None], len(s), axis=1)
        by = [five_point(F, wide, k, 2e-3) for k in (0, 1)]
        volume = x * special.expit(-t) * (t[1] - t[0])
        cross = 2 * np.sum(volume * by[0] * by[1], axis=0)
        own = [2 * np.sum(volume * d * d, axis=0) for d in by]
        return np.array([[own[0], cross], [cross, own[1]]])

    def _start(self, y, w):
        mean = w @ y / w.sum()
        var = max(w @ (y - mean) ** 2 / w.sum(), 1e-9)
        size = max(mean * (1 - mean) / var - 1, 0.05)
        return np.clip(np.log([mean * size, (1 - mean) * size]), -5, 12)

    def to_scipy(self, theta):
        """Return the frozen distribution of :mod:`scipy.stats`."""
        return stats.beta(*self.to_params(theta))
