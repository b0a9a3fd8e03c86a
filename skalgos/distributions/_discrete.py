"""Counts, values with a lump at zero, and classes."""

import numpy as np
from scipy import special, stats
from sklearn.utils import check_random_state

from skalgos.distributions._base import Distribution, solve_metric
from skalgos.distributions._positive import Gamma


class Count(Distribution):
    """Families of the integers 0, 1, 2, ..."""

    discrete = True
    support = "an integer of at least 0"

    def in_support(self, y):
        """Return a mask of the values that the family can take."""
        with np.errstate(invalid="ignore"):
            return np.isfinite(y) & (y >= 0) & (y == np.floor(y))

    def entropy(self, theta):
        """Return the entropies, in nats: sums over what carries the mass."""
        out = np.empty(theta.shape[1])
        for start in range(0, len(out), 64):
            block = slice(start, start + 64)
            frozen = self.to_scipy(theta[:, block])
            last = np.max(frozen.mean() + 40 * np.sqrt(frozen.var())) + 40
            log_p = frozen.logpmf(np.arange(last + 1)[:, None])
            out[block] = -(np.exp(log_p) * np.maximum(log_p, -1e3)).sum(axis=0)
        return out


class Poisson(Count):
    """Poisson distribution, with ``rate``, its mean.

    Examples
    --------
    >>> from skalgos.distributions import Poisson
    >>> Poisson()(rate=4.0).var()
    array([4.])
    """

    param_names = ("rate",)
    theta_names = ("log_rate",)
    rules = ("log", "crps")
    bounded = (True,)

    def to_params(self, theta):
        """Return the rate."""
        return (np.exp(theta[0]),)

    def from_params(self, rate):
        """Return the log rate."""
        return (np.log(rate),)

    def log_score(self, theta, y):
        """Return minus the log probability of each value."""
        return np.exp(theta[0]) - y * theta[0] + special.gammaln(y + 1)

    def log_gradient(self, theta, y):
        """Return the derivative of ``log_score`` by theta."""
        return np.exp(theta) - y

    def log_metric(self, theta):
        """Return the Fisher information."""
        return np.exp(theta)

    def crps(self, theta, y):
        """Return the CRPS of each value."""
        m = np.exp(theta[0])
        F = special.pdtr(y, m)
        p = np.exp(y * theta[0] - m - special.gammaln(y + 1))
        spread = m * (special.ive(0, 2 * m) + special.ive(1, 2 * m))
        return (y - m) * (2 * F - 1) + 2 * m * p - spread

    def crps_gradient(self, theta, y):
        """Return the derivative of the CRPS by theta."""
        m = np.exp(theta)
        below = np.where(y >= 1, special.pdtr(np.maximum(y - 1, 0), m), 0.0)
        return m * (1 - 2 * below - special.ive(0, 2 * m))

    def crps_metric(self, theta):
        """Return the metric of the CRPS."""
        m = np.exp(theta)
        return 2 * m * m * special.ive(0, 2 * m)

    def _start(self, y, w):
        return np.log([max(w @ y / w.sum(), 1e-6)])

    def to_scipy(self, theta):
        """Return the frozen distribution of :mod:`scipy.stats`."""
        return stats.poisson(np.exp(theta[0]))


class NegativeBinomial(Count):
    """Negative binomial distribution, with ``mean`` and ``size``.

    The variance is mean + mean^2 / size: counts that vary more than Poisson's.

    Examples
    --------
    >>> from skalgos.distributions import NegativeBinomial
    >>> NegativeBinomial()(mean=4.0, size=2.0).var()
    array([12.])
    """

    param_names = ("mean", "size")
    theta_names = ("log_mean", "log_size")
    rules = ("log", "crps")
    bounded = (True, True)

    def to_params(self, theta):
        """Return mean and size."""
        return np.exp(theta[0]), np.exp(theta[1])

    def from_params(self, mean, size):
        """Return log mean and log size."""
        return np.log(mean), np.log(size)

    def bounds(self, theta, rule="log"):
        """Return what theta is kept in."""
        # From a size of e^9 on it is the Poisson distribution to all purposes.
        low, high = super().bounds(theta, rule)
        low[1], high[1] = -7.0, 9.0
        return low, high

    def log_score(self, theta, y):
        """Return minus the log probability of each value."""
        m, r = self.to_params(theta)
        # log of Gamma(y + r) / Gamma(r) / y!, without the difference of large numbers.
        choose = np.where(y > 0, -special.betaln(np.maximum(y, 1), r), 0.0)
        choose = choose - np.where(y > 0, np.log(np.maximum(y, 1)), 0.0)
        return -choose + r * np.log1p(m / r) - special.xlogy(y, m / (r + m))

    def log_gradient(self, theta, y):
        """Return the derivatives of ``log_score`` by theta."""
        m, r = self.to_params(theta)
        gap = special.digamma(y + r) - special.digamma(r)
        by_size = gap - np.log1p(m / r) + 1 - (y + r) / (r + m)
        return np.array([r * (m - y) / (r + m), -r * by_size])

    def _sums(self, theta, y, tail=1e-13):
        from skalgos.distributions.kernels import negative_binomial_sums

        m, r = self.to_params(theta)
        out = np.empty((7, theta.shape[1]))
        y = np.ascontiguousarray(np.broadcast_to(y, m.shape), dtype=float)
        negative_binomial_sums(m, r, y, tail, out)
        return out

    def log_metric(self, theta):
        """Return the Fisher information."""
        m, r = self.to_params(theta)
        sums = self._sums(theta, np.zeros(theta.shape[1]))[0]
        by_size = np.maximum(sums - m / (r * (r + m)), 1e-10 / r**2)
        return np.array([m * r / (r + m), r * r * by_size])

    def crps(self, theta, y):
        """Return the CRPS of each value."""
        return self._sums(theta, y)[1]

    def crps_gradient(self, theta, y):
        """Return the derivatives of the CRPS by theta."""
        return self._sums(theta, y)[2:4]

    def crps_metric(self, theta):
        """Return the metric of the CRPS."""
        a, b, d = self._sums(theta, np.zeros(theta.shape[1]))[4:]
        return np.array([[a, b], [b, np.maximum(d, b * b / a * (1 + 1e-6))]])

    def _start(self, y, w):
        mean = max(w @ y / w.sum(), 1e-6)
        var = w @ (y - mean) ** 2 / w.sum()
        size = mean**2 / max(var - mean, 1e-2 * mean)
        return np.array([np.log(mean), np.clip(np.log(size), -6.0, 8.0)])

    def to_scipy(self, theta):
        """Return the frozen distribution of :mod:`scipy.stats`."""
        m, r = self.to_params(theta)
        return stats.nbinom(r, r / (r + m))


class _WithZeros:
    """A base distribution and a probability of zero, with the methods of scipy's."""

    def __init__(self, base, zero):
        self.base, self.zero = base, zero

    def mean(self):
        return (1 - self.zero) * self.base.mean()

    def var(self):
        mean = self.base.mean()
        second = (1 - self.zero) * (self.base.var() + mean**2)
        return second - ((1 - self.zero) * mean) ** 2

    def logpmf(self, y):
        y = np.asarray(y, float)
        with np.errstate(divide="ignore"):
            rest = np.log1p(-self.zero) + self.base.logpmf(y)
            lump = np.log(self.zero + (1 - self.zero) * self.base.pmf(0))
        return np.where(y == 0, lump, rest)

    def logpdf(self, y):
        y = np.asarray(y, float)
        with np.errstate(divide="ignore"):
            rest = np.log1p(-self.zero) + self.base.logpdf(np.where(y == 0, 1.0, y))
            return np.where(y == 0, np.log(self.zero), rest)

    def cdf(self, y):
        y = np.asarray(y, float)
        inside = self.zero + (1 - self.zero) * self.base.cdf(y)
        return np.where(y < 0, 0.0, inside)

    def sf(self, y):
        y = np.asarray(y, float)
        return np.where(y < 0, 1.0, (1 - self.zero) * self.base.sf(y))

    def logsf(self, y):
        with np.errstate(divide="ignore"):
            return np.log(self.sf(y))

    def ppf(self, q):
        q = np.asarray(q, float)
        inside = np.clip((q - self.zero) / (1 - self.zero), 0, 1)
        # The tail probability keeps its digits where q is near 1.
        found = self.base.isf(np.clip((1 - q) / (1 - self.zero), 0, 1))
        found = np.where(inside > 0.5, found, self.base.ppf(inside))
        return np.where(q <= self.zero, 0.0, np.maximum(found, 0.0))

    def isf(self, q):
        q = np.asarray(q, float)
        found = self.base.isf(np.clip(q / (1 - self.zero), 0, 1))
        return np.where(q >= 1 - self.zero, 0.0, np.maximum(found, 0.0))

    def rvs(self, size, random_state):
        rng = check_random_state(random_state)
        zero = rng.uniform(size=size) < self.zero
        return np.where(zero, 0, self.base.rvs(size=size, random_state=rng))

    def entropy(self):
        # Of a hurdle; a zero-inflated count sums over its values.
        lump = special.entr(self.zero) + special.entr(1 - self.zero)
        return lump + (1 - self.zero) * self.base.entropy()


class ZeroCRPS:
    """The CRPS of a distribution G of values of at least 0, or zero with probability z.

    With C the CRPS of G it is z y + (1 - z) C(y) - z (1 - z) C(0), as C(0) is the
    integral of (1 - G)^2.
    """

    rules = ("log", "crps")

    def _at(self, function, theta, y):
        """Return a function of the base at y and at zero, and both probabilities."""
        zeros = np.zeros(theta.shape[1])
        at_y, at_zero = (function(theta[:-1], v) for v in (y, zeros))
        return at_y, at_zero, special.expit(theta[-1]), special.expit(-theta[-1])

    def crps(self, theta, y):
        """Return the CRPS of each value."""
        C, C0, zero, rest = self._at(self.base.crps, theta, y)
        return zero * y + rest * C - zero * rest * C0

    def crps_gradient(self, theta, y):
        """Return the derivatives of the CRPS by theta."""
        C, C0, zero, rest = self._at(self.base.crps, theta, y)
        g, g0, *_ = self._at(self.base.crps_gradient, theta, y)
        by_zero = zero * rest * (y - C - (rest - zero) * C0)
        return np.vstack([rest * (g - zero * g0), by_zero])

    def crps_metric(self, theta):
        """Return the metric of the CRPS."""
        zeros = np.zeros(theta.shape[1])
        _, C0, zero, rest = self._at(self.base.crps, theta, zeros)
        g0 = self.base.crps_gradient(theta[:-1], zeros)
        K = len(theta)
        out = np.empty((K, K, theta.shape[1]))
        own = self.base.crps_metric(theta[:-1])
        if own.ndim == 2:
            own = own[None] * np.eye(K - 1)[:, :, None]
        out[:-1, :-1] = rest**2 * own
        out[-1, :-1] = out[:-1, -1] = -zero * rest**2 * g0
        out[-1, -1] = 2 * (zero * rest) ** 2 * C0
        # As in the Fisher information, where two parameters do nearly the same.
        diagonal = np.arange(K)
        out[diagonal, diagonal] *= 1 + 1e-6
        return out


class ZeroInflated(ZeroCRPS, Count):
    """A count distribution, or zero with the probability ``zero``.

    Subclasses say in ``base`` of which family.
    """

    base = None

    @property
    def param_names(self):
        """Names of the parameters."""
        return (*self.base.param_names, "zero")

    @property
    def theta_names(self):
        """Names of the internal parameters."""
        return (*self.base.theta_names, "logit_zero")

    @property
    def bounded(self):
        """Which internal parameters are logarithms or logits."""
        return (*self.base.bounded, True)

    @property
    def spread(self):
        """Which internal parameters say how far values spread: those of the base."""
        return (*self.base.spread, False)

    def bounds(self, theta, rule="log"):
        """Return what theta is kept in."""
        low, high = self.base.bounds(theta[:-1], rule)
        return np.append(low, -10.0), np.append(high, 10.0)

    def to_params(self, theta):
        """Return the parameters of the base, and the probability of a lump."""
        return (*self.base.to_params(theta[:-1]), special.expit(theta[-1]))

    def from_params(self, *params):
        """Return the internal parameters."""
        return (*self.base.from_params(*params[:-1]), special.logit(params[-1]))

    def _zeros(self, theta):
        """Return log P(y = 0), and the share of it that is the base's."""
        log_zero = special.log_expit(theta[-1])
        log_base = special.log_expit(-theta[-1]) - self.base.log_score(
            theta[:-1], np.zeros(theta.shape[1])
        )
        log_lump = np.logaddexp(log_zero, log_base)
        return log_lump, np.exp(log_base - log_lump)

    def log_score(self, theta, y):
        """Return minus the log probability of each value."""
        log_lump, _ = self._zeros(theta)
        rest = self.base.log_score(theta[:-1], y) - special.log_expit(-theta[-1])
        return np.where(y == 0, -log_lump, rest)

    def log_gradient(self, theta, y):
        """Return the derivatives of ``log_score`` by theta."""
        _, share = self._zeros(theta)
        zero = special.expit(theta[-1])
        at_zero = y == 0
        by_base = self.base.log_gradient(theta[:-1], y) * np.where(at_zero, share, 1.0)
        # Of a zero, 1 - share is the probability that it is of the lump.
        return np.vstack([by_base, np.where(at_zero, zero - (1 - share), zero)])

    def log_metric(self, theta):
        """Return the Fisher information."""
        base, K = self.base, len(theta)
        log_lump, share = self._zeros(theta)
        lump, zero = np.exp(log_lump), special.expit(theta[-1])
        none = np.zeros(theta.shape[1])
        p0 = np.exp(-base.log_score(theta[:-1], none))
        g0 = base.log_gradient(theta[:-1], none)
        out = np.empty((K, K, theta.shape[1]))
        own = base.log_metric(theta[:-1])
        if own.ndim == 2:
            own = own[None] * np.eye(K - 1)[:, :, None]
        outer = g0[:, None] * g0[None]
        out[:-1, :-1] = lump * share**2 * outer + (1 - zero) * (own - p0 * outer)
        slope = zero - (1 - share)
        out[-1, :-1] = lump * share * slope * g0 - (1 - zero) * zero * p0 * g0
        out[:-1, -1] = out[-1, :-1]
        out[-1, -1] = lump * slope**2 + (1 - zero) * zero**2 * (1 - p0)
        # Where the base gives next to no zeros, or next to all, a parameter cannot be
        # told from the data; a little ridge keeps the step there finite.
        diagonal = np.arange(K)
        out[diagonal, diagonal] = out[diagonal, diagonal] * (1 + 1e-6) + 1e-9
        return out

    def _start(self, y, w):
        positive = y > 0
        share = 1 - w @ positive / w.sum()
        if not positive.any():
            return np.append(self.base._start(y, w), 0.0)
        start = self.base._start(y[positive], w[positive])
        expected = np.exp(-self.base.log_score(start[:, None], np.zeros(1)))[0]
        lump = np.clip((share - expected) / max(1 - expected, 1e-3), 0.02, 0.98)
        return np.append(start, special.logit(lump))

    def to_scipy(self, theta):
        """Return an object with the methods of a frozen distribution of scipy's."""
        return _WithZeros(self.base.to_scipy(theta[:-1]), special.expit(theta[-1]))


class ZeroInflatedPoisson(ZeroInflated):
    """Poisson counts, or zero with the probability ``zero``; parameters rate and zero.

    Examples
    --------
    >>> from skalgos.distributions import ZeroInflatedPoisson
    >>> ZeroInflatedPoisson()(rate=4.0, zero=0.5).mean()
    array([2.])
    """

    base = Poisson()


class ZeroInflatedNegativeBinomial(ZeroInflated):
    """Negative binomial counts, or zero with the probability ``zero``.

    The parameters are mean, size and zero.

    Examples
    --------
    >>> from skalgos.distributions import ZeroInflatedNegativeBinomial
    >>> ZeroInflatedNegativeBinomial()(mean=4.0, size=1.0, zero=0.5).mean()
    array([2.])
    """

    base = NegativeBinomial()


class HurdleGamma(ZeroCRPS, Distribution):
    """Zero with the probability ``zero``, else Gamma with ``mean`` and ``shape``.

    For amounts that are often nothing: rain, claims, sales.

    Examples
    --------
    >>> from skalgos.distributions import HurdleGamma
    >>> HurdleGamma()(mean=4.0, shape=2.0, zero=0.5).mean()
    array([2.])
    """

    param_names = ("mean", "shape", "zero")
    theta_names = ("log_mean", "log_shape", "logit_zero")
    bounded = (True, True, True)
    spread = (False, True, False)
    support = "non-negative"
    base = Gamma()

    def in_support(self, y):
        """Return a mask of the values that the family can take."""
        return np.isfinite(y) & (y >= 0)

    def to_params(self, theta):
        """Return mean and shape of what is not zero, and the probability of zero."""
        return np.exp(theta[0]), np.exp(theta[1]), special.expit(theta[2])

    def from_params(self, mean, shape, zero):
        """Return the internal parameters."""
        return np.log(mean), np.log(shape), special.logit(zero)

    def bounds(self, theta, rule="log"):
        """Return what theta is kept in."""
        low, high = Gamma().bounds(theta[:2])
        return np.append(low, -14.0), np.append(high, 14.0)

    def log_score(self, theta, y):
        """Return minus the log density, the log probability for zeros."""
        positive = y > 0
        amount = Gamma().log_score(theta[:2], np.where(positive, y, 1.0))
        above = amount - special.log_expit(-theta[2])
        return np.where(positive, above, -special.log_expit(theta[2]))

    def log_gradient(self, theta, y):
        """Return the derivatives of ``log_score`` by theta."""
        positive = y > 0
        amount = Gamma().log_gradient(theta[:2], np.where(positive, y, 1.0))
        zero = special.expit(theta[2])
        return np.vstack([amount * positive, zero - ~positive])

    def log_metric(self, theta):
        """Return the Fisher information."""
        zero, rest = special.expit(theta[2]), special.expit(-theta[2])
        return np.vstack([Gamma().log_metric(theta[:2]) * rest, zero * rest])

    def _start(self, y, w):
        positive = y > 0
        share = np.clip(1 - w @ positive / w.sum(), 1e-6, 1 - 1e-6)
        if not positive.any():
            return np.array([0.0, 0.0, special.logit(share)])
        amount = Gamma()._start(y[positive], w[positive])
        return np.append(amount, special.logit(share))

    def to_scipy(self, theta):
        """Return an object with the methods of a frozen distribution of scipy's."""
        return _WithZeros(Gamma().to_scipy(theta[:2]), special.expit(theta[2]))


class Categorical(Distribution):
    """Probabilities of the classes 0, ..., ``n_classes`` - 1.

    The internal parameters are the logits of the classes 1, 2, ... against class 0.
    "brier" is the sum over classes of the squared difference between the probability
    and 1 for the class that came, 0 for the others. With two classes this is the
    Bernoulli distribution.

    Parameters
    ----------
    n_classes : int, default=2
        How many classes.

    Examples
    --------
    >>> from skalgos.distributions import Categorical
    >>> Categorical(2)(proba_1=0.25).pdf([1.0])
    array([0.25])
    """

    rules = ("log", "brier")
    discrete = True
    reach = np.inf
    #: Logits stay within this, so that probabilities stay above 1e-6 or so.
    limit = 14.0
    #: Below this probability the natural gradient, which has its inverse, is damped.
    floor = 0.02
    #: What is added to the diagonal of the metric of the Brier score.
    damping = 1e-4

    def __init__(self, n_classes=2):
        self.n_classes = n_classes

    @property
    def param_names(self):
        """Names of the parameters: the probabilities of all classes but the first."""
        return tuple(f"proba_{k}" for k in range(1, self.n_classes))

    @property
    def theta_names(self):
        """Names of the internal parameters."""
        return tuple(f"logit_{k}" for k in range(1, self.n_classes))

    @property
    def bounded(self):
        """All parameters are logits."""
        return (True,) * (self.n_classes - 1)

    @property
    def spread(self):
        """No parameter is a spread."""
        return (False,) * (self.n_classes - 1)

    @property
    def support(self):
        """What a value must be."""
        return f"an integer from 0 to {self.n_classes - 1}"

    def in_support(self, y):
        """Return a mask of the classes."""
        return np.isin(y, np.arange(self.n_classes))

    def bounds(self, theta, rule="log"):
        """Return what theta is kept in."""
        return np.full(len(theta), -self.limit), np.full(len(theta), self.limit)

    def proba(self, theta):
        """Return the probabilities, shape (n_classes, n_samples)."""
        logits = np.vstack([np.zeros((1, theta.shape[1])), theta])
        logits -= logits.max(axis=0)
        p = np.exp(logits, out=logits)
        p /= p.sum(axis=0)
        return p

    def to_params(self, theta):
        """Return the probabilities of the classes 1, 2, ..."""
        return tuple(self.proba(theta)[1:])

    def from_params(self, *proba):
        """Return the logits."""
        proba = np.array(proba)
        return np.log(proba) - np.log(1 - proba.sum(axis=0))

    def _hit(self, theta, y):
        return np.arange(self.n_classes)[:, None] == y

    def log_score(self, theta, y):
        """Return minus the log probability of each class that came."""
        from skalgos.distributions.kernels import class_scores

        theta, out = np.ascontiguousarray(theta, float), np.empty(theta.shape[1])
        class_scores(theta, np.ascontiguousarray(y, float), out)
        return out

    def log_gradient(self, theta, y):
        """Return the derivatives of ``log_score`` by theta."""
        return self.proba(theta)[1:] - self._hit(theta, y)[1:]

    def log_metric(self, theta):
        """Return the Fisher information."""
        p = self.proba(theta)[1:]
        return np.eye(len(p))[:, :, None] * p - p[:, None] * p[None]

    def brier_score(self, theta, y):
        """Return the sum of squared errors of the probabilities of each row."""
        return ((self.proba(theta) - self._hit(theta, y)) ** 2).sum(axis=0)

    def brier_gradient(self, theta, y):
        """Return the derivatives of ``brier_score`` by theta."""
        p = self.proba(theta)
        d = p - self._hit(theta, y)
        return (2 * p * (d - (p * d).sum(axis=0)))[1:]

    def brier_metric(self, theta):
        """Return the metric of the Brier score, 2 J'J with J the slopes of p."""
        p = self.proba(theta)
        eye = np.eye(self.n_classes)[:, 1:, None]
        J = p[:, None] * (eye - p[None, 1:])
        return 2 * np.einsum("cin,cjn->ijn", J, J)

    def score(self, theta, y, rule="log"):
        """Return the scores of the classes that came."""
        return (self.log_score if rule == "log" else self.brier_score)(theta, y)

    def gradient(self, theta, y, rule="log"):
        """Return the derivatives of ``score`` by theta."""
        return (self.log_gradient if rule == "log" else self.brier_gradient)(theta, y)

    def metric(self, theta, rule="log"):
        """Return the metric of a rule."""
        return (self.log_metric if rule == "log" else self.brier_metric)(theta)

    def natural_gradient(self, theta, y, rule="log"):
        """Return the natural gradient, which for the log score needs no solving."""
        if rule == "log":
            from skalgos.distributions.kernels import class_directions

            theta = np.ascontiguousarray(theta, float)
            # Damping by theta alone leaves the mean at the truth zero.
            out = np.empty_like(theta)
            class_directions(theta, np.ascontiguousarray(y, float), self.floor, out)
            return out
        metric = self.brier_metric(theta)
        k = np.arange(len(metric))
        metric[k, k] += self.damping
        return solve_metric(metric, self.brier_gradient(theta, y))

    def fit_marginal(self, y, w=None, rule="log"):
        """Return the logits of the shares of the classes."""
        w = np.ones(len(y)) if w is None else w
        share = np.bincount(y.astype(np.intp), w, self.n_classes)
        # A class that never came gets a share as if it had once in n + 1 rows.
        share = np.maximum(share / share.sum(), 1 / (w.sum() + 1))
        theta = np.log(share[1:]) - np.log(share[0])
        return np.clip(theta, -self.limit, self.limit)

    def to_scipy(self, theta):
        """Return the frozen distribution of the class, an integer."""
        return _Classes(self.proba(theta))


class _Classes:
    """Distributions over 0, ..., n_classes - 1, with the methods of scipy's."""

    def __init__(self, proba):
        self.proba = proba
        self.total = np.minimum(np.cumsum(proba, axis=0), 1.0)
        self.total[-1] = 1.0
        self.classes = np.arange(len(proba))[:, None]

    def mean(self):
        return (self.proba * self.classes).sum(axis=0)

    def var(self):
        return (self.proba * (self.classes - self.mean()) ** 2).sum(axis=0)

    def _at(self, table, y):
        y = np.floor(np.asarray(y, float))
        y, _ = np.broadcast_arrays(y, self.proba[0])
        inside = np.clip(y, 0, len(table) - 1).astype(np.intp)
        return y, np.take_along_axis(
            np.broadcast_to(
                table.reshape(len(table), *[1] * (y.ndim - 1), -1),
                (len(table), *y.shape),
            ),
            inside[None],
            0,
        )[0]

    def logpmf(self, y):
        k, p = self._at(self.proba, y)
        valid = (k >= 0) & (k < len(self.proba)) & (k == y)
        with np.errstate(divide="ignore"):
            return np.log(np.where(valid, p, 0.0))

    def cdf(self, y):
        k, total = self._at(self.total, y)
        return np.where(k < 0, 0.0, np.where(k >= len(self.proba), 1.0, total))

    def sf(self, y):
        return 1 - self.cdf(y)

    def logsf(self, y):
        with np.errstate(divide="ignore"):
            return np.log(self.sf(y))

    def ppf(self, q):
        q = np.asarray(q, float)
        return (q[None] > self._ends(max(q.ndim, 1))).sum(axis=0).astype(float)

    def isf(self, q):
        return self.ppf(1 - np.asarray(q))

    def entropy(self):
        return special.entr(self.proba).sum(axis=0)

    def rvs(self, size, random_state):
        u = check_random_state(random_state).uniform(size=size)
        return (u[None] > self._ends(u.ndim)).sum(axis=0)

    def _ends(self, ndim):
        """Return the cumulative probabilities of all classes but the last."""
        return self.total[:-1].reshape(-1, *[1] * (ndim - 1), self.proba.shape[1])
