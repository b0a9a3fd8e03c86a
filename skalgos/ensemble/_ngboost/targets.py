"""What is to be predicted, and how good parameters are at it."""

import numpy as np

from skalgos.distributions import LogNormal, Normal
from skalgos.distributions._base import solve_metric
from skalgos.distributions._location_scale import (
    fit_censored,
    mixed_gradient,
    mixed_score,
)


class Target:
    """What is to be predicted, with the scores of parameters and their directions.

    Parameters
    ----------
    family : Distribution
    y : ndarray of shape (n_samples,) or (n_outputs, n_samples)
    rule : str
        The scoring rule.
    natural : bool
        Whether directions are natural gradients, or plain ones.
    """

    def __init__(self, family, y, rule, natural=True):
        self.family, self.y, self.rule, self.natural = family, y, rule, natural

    @property
    def normal(self):
        """Return y on the axis where it is normal, None if another score is meant."""
        plain = type(self.family) in (Normal, LogNormal) and type(self) is Target
        if not (plain and self.rule == "log" and self.natural):
            return None
        return self.family._axis(self.y)

    def take(self, rows):
        """Return the target of some rows."""
        y = np.ascontiguousarray(self.y[..., rows])
        return type(self)(self.family, y, self.rule, self.natural)

    def start(self, w):
        """Return the marginal theta, shape (K,)."""
        return self.family.fit_marginal(self.y, w, self.rule)

    def scores(self, theta):
        """Return the score of each row."""
        return self.family.score(theta, self.y, self.rule)

    def gradient(self, theta):
        """Return the derivatives of the scores by theta."""
        return self.family.gradient(theta, self.y, self.rule)

    def direction(self, theta):
        """Return what trees are fitted to, shape (K, n_samples)."""
        if self.natural:
            return self.family.natural_gradient(theta, self.y, self.rule)
        return self.gradient(theta)


class CensoredTarget(Target):
    """A target known to be in (lower, upper], exactly where both are equal.

    A third row of y has the times from which on rows were observed at all: their
    scores are those of the distribution beyond.
    """

    def __init__(self, family, y, rule, natural=True):
        super().__init__(family, y, rule, natural)
        self.lower, self.upper = y[:2]
        self.entry = y[2] if len(y) == 3 else None
        self.exact = self.lower == self.upper

    def start(self, w):
        """Return the marginal theta, shape (K,)."""
        if self.exact.all() and self.entry is None:
            return self.family.fit_marginal(self.lower, w, self.rule)
        return fit_censored(
            self.family, self.lower, self.upper, w, self.rule, self.entry
        )

    def scores(self, theta):
        """Return the score of each row."""
        return mixed_score(
            self.family, theta, self.lower, self.upper, self.exact, self.rule,
            self.entry,
        )  # fmt: skip

    def gradient(self, theta):
        """Return the derivatives of the scores by theta."""
        return mixed_gradient(
            self.family, theta, self.lower, self.upper, self.exact, self.rule,
            self.entry,
        )  # fmt: skip

    def direction(self, theta):
        """Return what trees are fitted to; the metric is that of exact values."""
        gradient = self.gradient(theta)
        if self.natural:
            return solve_metric(self.family.metric(theta, self.rule), gradient)
        return gradient
