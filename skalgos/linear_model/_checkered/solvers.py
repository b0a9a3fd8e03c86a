"""Minimisers of the penalised mean loss, from given starts.

Each takes an objective and flat parameters, and calls ``on_iter(theta, loss)`` after
every iteration; a true answer stops it.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dpotrf, dpotrs

from skalgos.linear_model._checkered import kernels
from skalgos.linear_model._checkered.objectives import SoftObjective

HISTORY = 12
# Of Newton's method: relative errors that are rounding; the share of the gradient up to
# which a Hessian is used again; steps after the tolerance was met.
LEFT = 1e-12
STEEP = 1e-2
MOST_EXTRA = 6


class Fit(NamedTuple):
    """Where a solver ended, and the losses after each iteration."""

    theta: np.ndarray
    loss: float
    losses: list
    n_iter: int
    converged: bool


def _never(theta, loss):
    return False


# ---- quasi-Newton --------------------------------------------------------------------
def descend(objective, theta, *, max_iter, tol, on_iter=_never):
    """Run L-BFGS from several starts at once.

    Parameters
    ----------
    objective : callable
        ``objective(theta) -> values, gradients``, row by row.
    theta : ndarray of shape (s, size)
    max_iter : int
        The number of evaluations; with one start, of accepted steps.
    tol : float
        On the largest entry of the gradient.
    on_iter : callable
        Only with one start.

    Returns
    -------
    theta : ndarray of shape (s, size)
    values : ndarray of shape (s,)
    losses : list
        Of the first start.
    converged : bool
        Whether all starts met ``tol``, or cannot be improved in double precision.
    """
    theta = theta.copy()
    n_models, size = theta.shape
    values, gradients = objective(theta)
    losses = [float(values[0])]
    norms = np.sqrt(np.square(gradients).sum(axis=1))
    direction = -gradients
    lengths = 1 / np.maximum(norms, 1.0)
    trial = theta + lengths[:, None] * direction
    memory = (
        np.empty((n_models, HISTORY, size)),
        np.empty((n_models, HISTORY, size)),
        np.empty((n_models, HISTORY)),
        np.ones(n_models),
        np.zeros(n_models, np.int64),
        np.empty(HISTORY),
    )
    n_steps = 0
    while True:
        lengths[np.abs(gradients).max(axis=1) <= tol] = 0
        lengths[np.abs(lengths) < 1e-10] = 0
        if not lengths.any():
            return theta, values, losses, True
        if n_steps >= max_iter:
            return theta, values, losses, False
        kernels.advance(
            theta,
            values,
            gradients,
            trial,
            *objective(trial),
            direction,
            lengths,
            *memory,
        )
        if n_models > 1:
            n_steps += 1
        elif lengths[0] > 0:
            n_steps += 1
            losses.append(float(values[0]))
            if on_iter(theta[0], losses[-1]):
                return theta, values, losses, True


def lbfgs(objective, theta, *, max_iter, tol, on_iter=_never):
    """Run L-BFGS from one start."""
    theta, values, losses, converged = descend(
        objective, theta[None], max_iter=max_iter, tol=tol, on_iter=on_iter
    )
    return Fit(theta[0], float(values[0]), losses, len(losses) - 1, converged)


# ---- Newton --------------------------------------------------------------------------
def newton(objective, theta, *, max_iter, tol, on_iter=_never):
    """Run Newton's method, damped where the Hessian is not positive definite.

    Where a step shrinks the gradient a lot the next ones use the same Hessian. Once the
    gradient is within ``tol`` it goes on until what a step leaves is rounding; a few
    times at most, since towards a minimum at infinity steps do not shrink. These last
    steps are not counted.
    """
    theta = theta.copy()
    value, gradient, H = objective(theta[None], hessian=True)
    value, gradient = value[0], gradient[0]
    height = np.abs(gradient).max()
    losses, damping, extra = [float(value)], 0.0, 0
    size = max(np.abs(np.diag(H)).max(), 1e-300)
    factor, rate, fresh = None, 1.0, True
    while True:
        met = bool(height <= tol)
        extra += met
        if (len(losses) > max_iter and not met) or extra > MOST_EXTRA:
            return Fit(theta, float(value), losses, len(losses) - 1, met)
        while True:
            if factor is None:
                factor = factored(H, damping * size)
            if factor is not None:
                step = dpotrs(factor, gradient, lower=1)[0]
                trial = theta - step
                reach = np.abs(step).max() / max(np.abs(theta).max(), 1e-300)
                # Of the step, so much is left: its square, with a Hessian of its own.
                left = reach * (rate * rate if fresh else rate)
                last = met and damping == 0 and left <= LEFT
                again = damping == 0 and rate <= STEEP
                results = objective(trial[None], hessian=not (last or again))
                new_value, new_gradient = results[0][0], results[1][0]
                new_height = np.abs(new_gradient).max()
                slope = gradient @ step
                if new_value <= value - 1e-4 * slope:
                    break
                rounding = 1e-13 * max(abs(value), 1e-300)
                if new_value <= value + rounding and new_height < height:
                    break
            if not fresh:
                H, fresh = objective(theta[None], hessian=True)[2], True
            elif met or damping > 1e12:
                return Fit(theta, float(value), losses, len(losses) - 1, met)
            else:
                damping = max(1e-6, 10 * damping)
            factor = None
        rate = new_height / max(height, 1e-300)
        theta, value, gradient, height = trial, new_value, new_gradient, new_height
        stop = last
        if not met:
            losses.append(float(value))
            stop = on_iter(theta, losses[-1])
        if stop:
            return Fit(theta, float(value), losses, len(losses) - 1, True)
        fresh = not again
        if fresh:
            H, factor = results[2], None
        elif rate > STEEP:
            H, fresh, factor = objective(theta[None], hessian=True)[2], True, None
        damping = damping / 10 if damping > 1e-6 else 0.0


def factored(H, damping):
    """Return the Cholesky factor of H plus a multiple of 1, or None if it has none."""
    if damping:
        H = H + damping * np.eye(len(H))
    factor, failed = dpotrf(H, lower=1, clean=0)
    return None if failed else factor


# ---- cross gradients -----------------------------------------------------------------
def curvature_bound(objective):
    """Return a bound on the Hessian's largest eigenvalue, for any number of factors.

    The loss is the soft one minus a divergence, so that the Hessian is never above that
    of m separate logistic regressions.
    """
    design = objective.design
    share = 0.25 if len(objective.shape) == 1 else 0.5
    moments = share * design.gram(objective.weights[None], slice(0, design.n))[0]
    diagonal = np.arange(design.width)
    moments[diagonal, diagonal] += objective.penalty
    return float(np.linalg.eigvalsh(moments)[-1])


def xgd(
    objective, theta, *, max_iter, tol, targets, refresh, rate=None, on_iter=_never
):
    """Run cross gradient descent.

    Parameters
    ----------
    objective : Objective
    theta : ndarray of shape (size,)
    targets : ndarray or None
        The marginals of mu that cross-gradients are seen from at first; None for the
        posterior at the start.
    refresh : int or None
        Every so many steps mu becomes the posterior at the current point; None for
        never.
    rate : float or None
        The length of the steps; None for one over the bound on the curvature.

    Notes
    -----
    It ends when the cross-gradient is within ``tol``.
    """
    step = 1 / curvature_bound(objective) if rate is None else rate
    theta = theta.copy()
    if targets is None:
        targets = objective.posterior(theta)
    soft = SoftObjective(objective, targets)
    losses = [float(objective(theta[None])[0][0])]
    while True:
        done = len(losses) - 1
        if refresh is not None and done > 0 and done % refresh == 0:
            soft = SoftObjective(objective, objective.posterior(theta))
        gradient = soft(theta[None])[1][0]
        met = bool(np.abs(gradient).max() <= tol)
        if met or done >= max_iter or not np.isfinite(losses[-1]):
            return Fit(theta, losses[-1], losses, done, met)
        theta -= step * gradient
        losses.append(float(objective(theta[None])[0][0]))
        if on_iter(theta, losses[-1]):
            return Fit(theta, losses[-1], losses, done + 1, True)


def em(objective, theta, *, max_iter, tol, on_iter=_never):
    """Run the EM algorithm: m convex problems for each posterior of the factors."""
    theta = theta.copy()
    losses = [float(objective(theta[None])[0][0])]
    n_factors = objective.shape[0]
    while True:
        gradient = objective(theta[None])[1][0]
        met = bool(np.abs(gradient).max() <= tol)
        if met or len(losses) > max_iter:
            return Fit(theta, losses[-1], losses, len(losses) - 1, met)
        soft = SoftObjective(objective, objective.posterior(theta))
        for _ in range(20):
            value, gradient, blocks = soft(theta[None], hessian=True)
            parts = gradient[0].reshape(n_factors, -1)
            steps = [
                cho_solve(cho_factor(H, check_finite=False), g)
                for H, g in zip(blocks, parts, strict=True)
            ]
            step = np.concatenate(steps)
            slope = float(gradient[0] @ step)
            length = 1.0
            while length > 1e-10:
                trial = theta - length * step
                if soft(trial[None])[0][0] <= value[0] - 1e-4 * length * slope:
                    break
                length *= 0.5
            else:
                break
            theta = trial
            if slope <= 1e-4 * tol:
                break
        losses.append(float(objective(theta[None])[0][0]))
        if on_iter(theta, losses[-1]):
            return Fit(theta, losses[-1], losses, len(losses) - 1, True)


# ---- minibatches ---------------------------------------------------------------------
class Adam(NamedTuple):
    """The state of Adam: moving averages of the gradient and its square."""

    mean: np.ndarray
    square: np.ndarray
    n_steps: int

    @classmethod
    def start(cls, size):
        """Return the state before the first step."""
        return cls(np.zeros(size), np.zeros(size), 0)

    def step(self, theta, gradient, rate):
        """Return the next parameters and state."""
        mean = 0.9 * self.mean + 0.1 * gradient
        square = 0.999 * self.square + 0.001 * gradient**2
        t = self.n_steps + 1
        move = mean / (1 - 0.9**t) / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
        return theta - rate * move, Adam(mean, square, t)


def adam_epoch(objective, theta, state, *, rate, batch_size, random_state):
    """Go once through all samples in batches.

    Returns
    -------
    theta : ndarray of shape (size,)
    state : Adam
    """
    n = objective.design.n
    order = random_state.permutation(n)
    mean_weight = objective.weights.mean()
    for start in range(0, n, batch_size):
        index = np.sort(order[start : start + batch_size])
        weights = objective.weights[index]
        part = objective.take(index, weights)
        # Over an epoch each sample counts by its weight.
        share = weights.mean() / mean_weight
        gradient = part(theta[None])[1][0]
        theta, state = state.step(theta, share * gradient, rate)
    return theta, state


def adam(
    objective,
    theta,
    *,
    max_iter,
    tol,
    rate,
    batch_size,
    random_state,
    on_iter=_never,
):
    """Run Adam, with rates that fall to zero, until the mean loss settles."""
    state = Adam.start(len(theta))
    losses = [float(objective(theta[None])[0][0])]
    best, best_theta, waited = losses[0], theta, 0
    while len(losses) <= max_iter:
        fraction = (len(losses) - 1) / max_iter
        theta, state = adam_epoch(
            objective,
            theta,
            state,
            rate=rate * (1 - fraction),
            batch_size=batch_size,
            random_state=random_state,
        )
        losses.append(float(objective(theta[None])[0][0]))
        waited = waited + 1 if losses[-1] > best - tol else 0
        if losses[-1] < best:
            best, best_theta = losses[-1], theta
        stop = on_iter(theta, losses[-1])
        if stop or waited >= 10:
            return Fit(best_theta, best, losses, len(losses) - 1, True)
    return Fit(best_theta, best, losses, len(losses) - 1, False)
