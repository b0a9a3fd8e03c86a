"""From samples to a trained model in its canonical form."""

import math
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import expit

from skalgos.linear_model._checkered import solvers
from skalgos.linear_model._checkered.objectives import (
    BinaryObjective,
    CircularObjective,
    Design,
    canonical_order,
)
from skalgos.linear_model._checkered.search import (
    binary_start,
    circular_start,
    residues_of,
    systematic_sample,
)

# Newton's method up to this number of parameters where the choice is free.
NEWTON_SIZE = 600
# Sparse data of up to so many numbers, zeros included, are worked on as dense.
DENSE_SIZE = 1 << 22
# One hyperplane is fitted to so many samples, or more, before it is to all.
PART = 2000
# More, up to a share of many, for several hyperplanes, whose start fits a few already.
MANY, LESS = 4000, 8
# A factor whose logits are all beyond this, on one side, may be surplus.
SURPLUS = 2.0


class Settings(NamedTuple):
    """What the user chose, in the names of the estimator's parameters."""

    n_hyperplanes: int
    C: float
    fit_intercept: bool
    noise: object
    solver: str
    n_init: object
    search_samples: int
    mu: object
    mu_refresh: object
    learning_rate: object
    batch_size: int
    max_iter: int
    tol: float
    prune: bool


class Trained(NamedTuple):
    """A trained model, in the units of the data and in canonical form."""

    coef: np.ndarray
    intercept: np.ndarray
    noise: float
    residues: np.ndarray
    n_active: int
    loss: float
    losses: np.ndarray
    init_losses: np.ndarray
    n_iter: int
    converged: bool


# ---- samples -------------------------------------------------------------------------
class Samples(NamedTuple):
    """Different samples, in an order that depends on their values alone."""

    X: object
    codes: np.ndarray
    weights: np.ndarray
    index: np.ndarray
    inverse: np.ndarray


def distinct_samples(X, codes, weights, merge=True):
    """Merge equal samples and leave out those of weight zero.

    With ``merge`` false, where the problem is convex and order is no matter, samples
    are only sorted by class if there are more than two classes.

    Returns
    -------
    samples : Samples
        ``index`` has the original numbers in their new order, ``inverse`` the number
        that each of these has after merging.
    """
    present = np.flatnonzero(weights)
    if len(present) < len(weights):
        X, codes, weights = X[present], codes[present], weights[present]
    if sparse.issparse(X):
        if X.shape[0] * X.shape[1] <= DENSE_SIZE:
            X = X.toarray()
        else:
            X = sparse.csr_array(X, copy=True)
            X.sum_duplicates()
            X.eliminate_zeros()
    if not merge:
        if codes.max(initial=0) > 1:
            order = np.argsort(codes, kind="stable")
            X, codes, weights = X[order], codes[order], weights[order]
            present = present[order]
        return Samples(X, codes, weights, present, np.arange(len(codes)))
    order, first = canonical_order(X, codes)
    inverse = np.cumsum(first) - 1
    if first.all():
        return Samples(X[order], codes[order], weights[order], present[order], inverse)
    kept = order[first]
    merged = np.bincount(inverse, weights[order])
    return Samples(X[kept], codes[kept], merged, present[order], inverse)


# ---- noise ---------------------------------------------------------------------------
def noise_logit(rate, n_classes):
    """Return the logit of the factor that flips labels at this rate, None for none."""
    if rate in (None, 0.0):
        return None
    return math.log((1 - rate) * (n_classes - 1) / rate)


def noise_rate(logit, n_classes):
    """Return the share of labels that the factor with this logit flips."""
    return float(expit(math.log(n_classes - 1) - logit))


# ---- training ------------------------------------------------------------------------
def make_objective(samples, n_classes, settings, residues):
    """Return the objective over the samples."""
    X, codes, weights = samples.X, samples.codes, samples.weights
    penalty = 1 / (settings.C * weights.sum())
    design = Design.standardised(X, weights, settings.fit_intercept, penalty)
    noise = settings.noise
    if noise != "fit":
        noise = noise_logit(noise, n_classes)
    m = settings.n_hyperplanes
    if n_classes == 2:
        labels = 2.0 * codes - 1
        return BinaryObjective(design, labels, weights, penalty, (m,), noise)
    return CircularObjective(
        design, codes, weights, penalty, (m, n_classes), noise, residues=residues
    )


def find_start(objective, settings, init, orders, random_state, pool_map):
    """Return a start for a solver, the residues of the classes, the losses of starts.

    Parameters
    ----------
    objective : Objective
    settings : Settings
    init : {"auto", "local", "random"} or ndarray of shape (m[, K], width)
        An array has coefficients and intercepts in the units of the data.
    orders : list of tuple or "swaps"
        The orders of the classes to choose from.
    random_state : RandomState
    pool_map : callable
    """
    plain = objective.replace(noise=None)
    binary = len(objective.shape) == 1
    residues = None if binary else objective.residues[0]
    if not isinstance(init, str):
        d = objective.design.d
        intercept = init[..., d] if objective.design.intercept else 0.0
        theta = objective.design.from_units(init[..., :d], intercept).ravel()
        losses = plain(theta[None])[0]
    elif objective.shape[0] == 1:
        theta = coarse_minimum(plain, np.zeros(plain.size), PART)
        losses = np.empty(0)
    else:
        arguments = settings.n_init, settings.search_samples, random_state, pool_map
        if binary:
            theta, _, losses = binary_start(plain, init, *arguments)
        else:
            theta, residues, losses = circular_start(plain, orders, *arguments)
            objective = objective.replace(residues=residues[None])
    if objective.noise == "fit":
        n_classes = 2 if binary else objective.shape[1]
        theta = np.append(theta, noise_logit(0.05, n_classes))
    return theta, residues, losses


def coarse_minimum(objective, theta, size):
    """Return the minimum near theta over a part of many samples, else theta."""
    size = max(size, 20 * objective.size)
    if objective.size > NEWTON_SIZE or objective.design.n < 4 * size:
        return theta
    index = systematic_sample(objective.weights, size)
    part = objective.take(index, np.ones(size))
    return solvers.newton(part, theta, max_iter=20, tol=1e-3).theta


def zero_sum(objective, theta):
    """Take from all classes of a factor what is common to them."""
    if len(objective.shape) == 1:
        return theta
    V, _ = objective.unpack(theta)
    V = V.reshape(*objective.shape, -1)
    theta = theta.copy()
    theta[: V.size] = (V - V.mean(axis=1, keepdims=True)).ravel()
    return theta


def solve(objective, theta, settings, targets, random_state, on_iter):
    """Run the chosen solver."""
    theta = zero_sum(objective, theta)
    budget = {"max_iter": settings.max_iter, "tol": settings.tol, "on_iter": on_iter}
    name = settings.solver
    if name == "auto":
        name = "newton" if objective.size <= NEWTON_SIZE else "lbfgs"
        if len(objective.shape) == 1 and objective.shape[0] > 1:
            size = objective.design.n // LESS
            theta = coarse_minimum(objective, theta, size) if size > MANY else theta
    rate = settings.learning_rate
    if name == "xgd":
        refresh = settings.mu_refresh
        if refresh == "auto":
            refresh = 1 if targets is None else None
        rate = None if rate == "auto" else rate
        return solvers.xgd(
            objective, theta, targets=targets, refresh=refresh, rate=rate, **budget
        )
    if name == "adam":
        return solvers.adam(
            objective,
            theta,
            rate=0.05 if rate == "auto" else rate,
            batch_size=settings.batch_size,
            random_state=random_state,
            **budget,
        )
    return getattr(solvers, name)(objective, theta, **budget)


def polish(objective, theta, settings):
    """Return the minimum near by, exactly where that is affordable."""
    exact = objective.size <= NEWTON_SIZE
    method = solvers.newton if exact else solvers.lbfgs
    return method(objective, theta, max_iter=100, tol=settings.tol)


def without(V, k):
    """Return the forms without those of factor k, which is as good as certain.

    Parameters
    ----------
    V : ndarray of shape (m[, K], width)
    k : (int, int)
        The factor and its value: 0 or 1, or one of the classes.
    """
    factor, value = k
    rest = np.delete(V, factor, axis=0)
    if V.ndim == 2:
        rest[0] *= 1 if value else -1
    else:
        rest[0] = np.roll(rest[0], value, axis=0)
    return rest


def surplus_factors(objective, V):
    """List factors that have one value for all samples, from the least varied."""
    Z = objective.logits(V)
    found = []
    for k, z in enumerate(Z):
        if z.ndim == 1:
            value, margin = int(z[0] > 0), np.abs(z).min()
            constant = ((z > 0) == (z[0] > 0)).all()
        else:
            values = z.argmax(axis=0)
            value, constant = int(values[0]), (values == values[0]).all()
            margin = (z[value] - np.delete(z, value, axis=0).max(axis=0)).min()
        if constant and margin > SURPLUS:
            found.append((float(z.std()), (k, value)))
    return [k for _, k in sorted(found)]


def prune(objective, fit, settings):
    """Remove factors without which the minimum is as low."""
    while objective.shape[0] > 1:
        V, noise = objective.unpack(fit.theta)
        V = V.reshape(*objective.shape, -1)
        for k in surplus_factors(objective, V):
            smaller = objective.replace(
                shape=(objective.shape[0] - 1, *objective.shape[1:])
            )
            theta = without(V, k).ravel()
            if objective.noise == "fit":
                theta = np.append(theta, noise)
            trial = polish(smaller, theta, settings)
            if trial.loss <= fit.loss + settings.tol:
                fit = fit._replace(theta=trial.theta, loss=trial.loss)
                objective = smaller
                break
        else:
            break
    return objective, fit


def settle_noise(objective, fit, settings):
    """Return the objective and the fit with a plain noise factor, and its rate.

    Where no noise does as well there is none: its logit would grow for ever.
    """
    n_classes = 2 if len(objective.shape) == 1 else objective.shape[1]
    V, logit = objective.unpack(fit.theta)
    V = V.copy()
    if n_classes == 2 and logit < 0:
        V[0] *= -1
        logit = -logit
    rate = noise_rate(logit, n_classes)
    if rate < 1e-3:
        clean = objective.replace(noise=None)
        trial = polish(clean, V.ravel(), settings)
        if trial.loss <= fit.loss + settings.tol:
            return clean, fit._replace(theta=trial.theta, loss=trial.loss), 0.0
    fixed = objective.replace(noise=float(logit))
    return fixed, fit._replace(theta=V.ravel()), rate


def canonical_form(objective, V):
    """Return equivalent forms that do not depend on where a solver started.

    Factors are ordered by the spread of their logits over the samples. Two classes: the
    largest coefficient of all but the first is positive. More: their largest
    coefficient belongs to value 0.
    """
    m = objective.shape[0]
    V = V.reshape(*objective.shape, -1)
    if m == 1:
        return V
    w = objective.weights
    Z = objective.logits(V)
    spread = ((Z - (Z @ w)[..., None]) ** 2 @ w).reshape(m, -1).sum(axis=1)
    V = V[np.argsort(-spread, kind="stable")].copy()
    d = objective.design.d
    for k in range(1, m):
        part = V[k, ..., :d] if V[k, ..., :d].any() else V[k]
        largest = np.unravel_index(np.abs(part).argmax(), part.shape)
        if V.ndim == 2 and part[largest] < 0:
            V[k] *= -1
            V[0] *= -1
        elif V.ndim == 3:
            value = largest[0]
            V[k] = np.roll(V[k], -value, axis=0)
            V[0] = np.roll(V[0], value, axis=0)
    return V


def train(
    X,
    codes,
    weights,
    n_classes,
    settings,
    *,
    init,
    orders,
    random_state,
    pool_map,
    on_iter=None,
):
    """Train a model.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n, d)
    codes : ndarray of shape (n,)
        Classes 0 to n_classes - 1.
    weights : ndarray of shape (n,)
    n_classes : int
    settings : Settings
        ``mu`` is None, or marginals for each sample, or a point.
    init : {"auto", "local", "random"} or ndarray
    orders : list of tuple or "swaps"
        Orders of classes; a single one where there is nothing to choose.
    random_state : RandomState
    pool_map : callable
    on_iter : callable
        ``on_iter(coef, intercept, noise, loss) -> bool`` after every iteration.

    Returns
    -------
    trained : Trained
    """
    m = settings.n_hyperplanes
    convex = m == 1 and settings.solver != "adam"
    samples = distinct_samples(X, codes, weights, merge=not convex)
    if len(samples.codes) < m:
        raise ValueError(
            f"n_hyperplanes={m} is more than the {len(samples.codes)} different "
            "samples of non-zero weight: n_samples should be >= n_hyperplanes."
        )
    residues = None if n_classes == 2 else residues_of(orders[0])
    if orders == "swaps":
        residues = np.arange(n_classes)
    objective = make_objective(samples, n_classes, settings, residues)
    theta, residues, init_losses = find_start(
        objective, settings, init, orders, random_state, pool_map
    )
    if n_classes > 2:
        objective = objective.replace(residues=residues[None])
    targets = None
    if settings.solver == "xgd" and settings.mu is not None:
        targets = mu_targets(objective, samples, weights, settings.mu)

    def report(theta, loss):
        return on_iter(lambda: finished(objective, theta, m), loss)

    fit = solve(
        objective,
        theta,
        settings,
        targets,
        random_state,
        solvers._never if on_iter is None else report,
    )
    if settings.prune:
        objective, fit = prune(objective, fit, settings)
    rate = 0.0 if settings.noise in (None, "fit") else float(settings.noise)
    if settings.noise == "fit":
        objective, fit, rate = settle_noise(objective, fit, settings)
    coef, intercept = finished(objective, fit.theta, m)
    return Trained(
        coef=coef,
        intercept=intercept,
        noise=rate,
        residues=residues,
        n_active=objective.shape[0],
        loss=fit.loss,
        losses=np.array(fit.losses),
        init_losses=np.asarray(init_losses),
        n_iter=max(1, fit.n_iter),
        converged=fit.converged,
    )


def finished(objective, theta, n_hyperplanes):
    """Return coefficients and intercepts of all factors, the removed ones certain."""
    V, _ = objective.unpack(theta)
    V = canonical_form(objective, V)
    coef, intercept = objective.design.to_units(V)
    n_removed = n_hyperplanes - len(coef)
    if n_removed:
        coef = np.concatenate([coef, np.zeros((n_removed, *coef.shape[1:]))])
        certain = np.full((n_removed, *intercept.shape[1:]), -np.inf)
        if certain.ndim == 1:
            certain[:] = np.inf
        else:
            certain[:, 0] = 0
        intercept = np.concatenate([intercept, certain])
    return coef, intercept


def mu_targets(objective, samples, weights, mu):
    """Return the marginals of mu for distinct samples, from those of all or a point."""
    d = objective.design.d
    if mu.shape == (*objective.shape, objective.design.width):
        intercept = mu[..., d] if objective.design.intercept else 0.0
        point = objective.design.from_units(mu[..., :d], intercept)
        return objective.posterior(point.ravel())
    w = weights[samples.index]
    rows = mu[samples.index].reshape(len(w), -1)
    total = np.zeros((len(samples.codes), rows.shape[1]))
    np.add.at(total, samples.inverse, rows * w[:, None])
    total /= samples.weights[:, None]
    return np.moveaxis(total.reshape(-1, *mu.shape[1:]), 0, -1)


# ---- streams -------------------------------------------------------------------------
class Stream(NamedTuple):
    """A model that is trained batch by batch.

    ``total`` is the weight of all samples so far; the scales of the features are those
    of the first batch.
    """

    center: np.ndarray
    scale: np.ndarray
    theta: np.ndarray
    state: solvers.Adam
    residues: np.ndarray
    total: float


def stream_objective(stream, samples, n_classes, settings):
    """Return the objective over a batch."""
    objective = make_objective(samples, n_classes, settings, stream.residues)
    design = Design(samples.X, stream.center, stream.scale, settings.fit_intercept)
    penalty = np.zeros(design.width)
    penalty[: design.d] = 1 / (settings.C * stream.total) / stream.scale**2
    return objective.replace(design=design, penalty=penalty)


def start_stream(samples, n_classes, settings, init, orders, random_state):
    """Return the start of a stream, searched for in its first batch."""
    residues = None
    if n_classes > 2:
        residues = np.arange(n_classes) if orders == "swaps" else residues_of(orders[0])
    objective = make_objective(samples, n_classes, settings, residues)
    missing = len(np.unique(samples.codes)) < 2
    if isinstance(init, str) and missing:
        theta = random_state.standard_normal(objective.size)
        if settings.noise == "fit":
            theta[-1] = noise_logit(0.05, n_classes)
    else:
        theta, residues, _ = find_start(
            objective, settings, init, orders, random_state, _one_by_one
        )
    design = objective.design
    state = solvers.Adam.start(len(theta))
    return Stream(design.center, design.scale, theta, state, residues, 0.0)


def continue_stream(stream, samples, n_classes, settings, random_state):
    """Go through a batch, and return the stream, the model, and the batch's loss."""
    stream = stream._replace(total=stream.total + samples.weights.sum())
    objective = stream_objective(stream, samples, n_classes, settings)
    rate = settings.learning_rate
    theta, state = solvers.adam_epoch(
        objective,
        zero_sum(objective, stream.theta),
        stream.state,
        rate=0.05 if rate == "auto" else rate,
        batch_size=settings.batch_size,
        random_state=random_state,
    )
    if settings.noise == "fit":
        rate = min(noise_rate(theta[-1], n_classes), 0.5)
    else:
        rate = 0.0 if settings.noise is None else float(settings.noise)
    coef, intercept = finished(objective, theta, settings.n_hyperplanes)
    loss = float(objective(theta[None])[0][0])
    return stream._replace(theta=theta, state=state), (coef, intercept, rate), loss


def _one_by_one(function, chunks):
    return [function(chunk) for chunk in chunks]
