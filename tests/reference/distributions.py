"""Metrics and scores of distributions by quadrature and summation."""

from itertools import pairwise

import numpy as np
from scipy import special


def nodes(frozen):
    """Return points x, weights of dx and of f(x) dx: trapezoids in logit(F(x))."""
    t = np.linspace(-36, 36, 6000)
    step = t[1] - t[0]
    u = special.expit(t)
    x = np.where(t < 0, frozen.ppf(u), frozen.isf(special.expit(-t)))
    mass = u * special.expit(-t) * step
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        dx = mass / frozen.pdf(x)
    fine = np.isfinite(dx) & np.isfinite(x) & (frozen.cdf(x) > 0) & (frozen.sf(x) > 0)
    return x[fine], dx[fine], mass[fine]


def support(frozen):
    """Return the integers that carry the mass of a discrete distribution."""
    return np.arange(0, np.ravel(frozen.mean() + 60 * np.sqrt(frozen.var()))[0] + 40)


def expected_outer(family, theta):
    """Return E[g g'] for one theta of shape (K,): the Fisher information."""
    frozen = family.to_scipy(theta[:, None])
    if family.discrete:
        x = support(frozen)
        mass = np.exp(frozen.logpmf(x))
    else:
        x, _, mass = nodes(frozen)
    g = family.log_gradient(np.repeat(theta[:, None], len(x), 1), x)
    return np.einsum("in,jn,n->ij", g, g, mass)


def cdf_slopes(family, theta, x):
    """Return the derivatives of F(x) by theta, by differences, from the nearer tail."""
    out = []
    for k in range(len(theta)):
        unit = np.exp(theta[1]) if family.theta_names[k] == "loc" else 1.0

        def change(shift, k=k, unit=unit):
            moved = theta.copy()
            moved[k] += shift * unit
            frozen = family.to_scipy(moved[:, None])
            return frozen.cdf(x), frozen.sf(x)

        (a, ta), (b, tb) = change(-1e-3), change(1e-3)
        (c, tc), (d, td) = change(-2e-3), change(2e-3)
        lower = (8 * (b - a) - (d - c)) / (12e-3 * unit)
        upper = (8 * (tb - ta) - (td - tc)) / (12e-3 * unit)
        out.append(np.where(b < 0.5, lower, -upper))
    return np.array(out)


def crps_metric(family, theta, log_axis=False):
    """Return 2 * integral of dF_i dF_j dx, or dlog x."""
    frozen = family.to_scipy(theta[:, None])
    if family.discrete:
        x = support(frozen)
        dx = np.ones_like(x)
    elif hasattr(family, "base"):
        # A lump at zero and a density: where the density is, and up to there.
        x, dx, _ = nodes(family.base.to_scipy(theta[:-1, None]))
        z, weights = np.polynomial.legendre.leggauss(20)
        x, dx = np.r_[x[0] * (z + 1) / 2, x], np.r_[x[0] * weights / 2, dx]
    else:
        x, dx, _ = nodes(frozen)
    if log_axis:
        dx = dx / x
    slopes = cdf_slopes(family, theta, x)
    return 2 * np.einsum("in,jn,n->ij", slopes, slopes, dx)


def crps(frozen, y, discrete, log_axis=False):
    """Return the integral of (F - 1{x >= y})^2 over x, or log x, for one value."""
    if discrete:
        x = np.arange(0, max(support(frozen)[-1], y) + 2)
        return np.sum(np.where(x >= y, frozen.sf(x), frozen.cdf(x)) ** 2)
    return censored_crps(frozen, y, y, log_axis)


def censored_crps(frozen, lower, upper, log_axis=False):
    """Return the integral of F^2 below ``lower`` and (1 - F)^2 above ``upper``."""
    axis = np.log if log_axis else np.asarray
    back = np.exp if log_axis else np.asarray
    z, weights = np.polynomial.legendre.leggauss(20)
    total = 0.0
    far_low = axis(np.maximum(frozen.ppf(1e-18), 1e-300 if log_axis else -np.inf))
    far_high = axis(frozen.isf(1e-18))
    for function, start, end in (
        (frozen.cdf, np.minimum(far_low, axis(lower) - 1e-9), axis(lower)),
        (frozen.sf, axis(upper), np.maximum(far_high, axis(upper) + 1e-9)),
    ):
        start, end = np.ravel(start)[0], np.ravel(end)[0]
        if not np.isfinite(start) or not np.isfinite(end):
            continue
        # Panels between quantiles, where the integrand has its shape.
        cuts = axis(frozen.ppf(np.geomspace(1e-17, 0.5, 40)))
        cuts = np.r_[cuts, axis(frozen.isf(np.geomspace(1e-17, 0.5, 40)))]
        cuts = np.unique(np.r_[start, end, cuts[(cuts > start) & (cuts < end)]])
        for a, b in pairwise(cuts):
            points = (a + b) / 2 + (b - a) / 2 * z
            total += (b - a) / 2 * (weights @ function(back(points)) ** 2)
    return total
