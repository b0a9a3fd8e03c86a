"""One solve of each program, by either solver, and the alternation over covariances."""

from typing import NamedTuple

import numpy as np

from skalgos.cluster._sdp.exact import exact_kmeans, exact_lasdp
from skalgos.cluster._sdp.gaussians import (
    Moments,
    Structure,
    likelihood,
    moments,
    polish,
    structured,
)
from skalgos.cluster._sdp.low_rank import low_rank_sdp, partition_factor
from skalgos.cluster._sdp.rounding import (
    lloyd,
    memberships,
    round_blocks,
    spectral_labels,
    spread_kmeans,
    ward_labels,
)


class Options(NamedTuple):
    """Which solver, "admm" or "nlr", with how many columns for each cluster."""

    solver: str
    rank: int
    tol: float
    max_iter: int


class Relaxed(NamedTuple):
    """A relaxed solution; ``factor`` is (R, n), scaled by the roots of the weights."""

    factor: np.ndarray
    block: np.ndarray
    objective: float
    bound: float
    primal_residual: float
    dual_residual: float
    n_iter: int
    converged: bool


def _from_exact(fit):
    factor = np.vstack([F.T for F in fit.factors])
    block = np.repeat(np.arange(len(fit.factors)), [F.shape[1] for F in fit.factors])
    return factor, block


def relax_kmeans(X, weights, n_clusters, options, rng, pool_map, on_iter=None):
    """Solve the K-means program; the objective is <G, Z> with centred rows.

    Parameters
    ----------
    X : ndarray of shape (p, n)
        Rows with weighted mean 0, features first.
    weights : ndarray of shape (n,)
    n_clusters : int
        From 2 to n - 1.
    options : Options
    rng : RandomState
    pool_map : callable
    on_iter : callable, default=None
        ``on_iter(n_iter, objective, primal, dual)``, True to stop.

    Returns
    -------
    relaxed : Relaxed
    """
    h = np.sqrt(weights)
    scaled = X * h
    spread = np.sum(scaled * scaled)
    if spread == 0:
        spread = 1.0
    if options.solver == "admm":
        q = h / np.linalg.norm(h)
        fit = exact_kmeans(
            scaled.T @ (scaled / spread),
            q,
            n_clusters,
            tol=options.tol,
            max_iter=options.max_iter,
            on_iter=on_iter
            and (lambda i, value, p, d, F: on_iter(i, value * spread, p, d)),
        )
        return Relaxed(
            *_from_exact(fit),
            fit.objective * spread,
            fit.bound * spread,
            *fit[3:],
        )
    scale = spread / (weights.sum() * len(X))
    labels = spread_kmeans(X, weights, n_clusters, pool_map)
    U, block = partition_factor(labels, n_clusters, 1, options.rank, h, rng)

    def value_of(objective):
        return spread + 2 * objective * scale

    fit = low_rank_sdp(
        scaled,
        h,
        np.eye(len(X))[None] / scale,
        np.zeros(1),
        np.array([float(n_clusters)]),
        U,
        block,
        tol=options.tol,
        max_iter=options.max_iter,
        pool_map=pool_map,
        on_iter=on_iter
        and (lambda i, value, miss, *_: on_iter(i, value_of(value), miss, np.nan)),
    )
    return Relaxed(
        fit.factor,
        fit.block,
        value_of(fit.objective),
        np.inf,
        fit.residual,
        np.nan,
        fit.n_iter,
        fit.converged,
    )


def lasdp_costs(X, h, covariances):
    """Return minus the matrices A_k of the objective, scaled by h on both sides."""
    K, n = len(covariances), len(h)
    costs = np.empty((K, n, n))
    log_dets = np.linalg.slogdet(covariances)[1]
    for k in range(K):
        Y = np.linalg.solve(np.linalg.cholesky(covariances[k]), X)
        d = np.einsum("fi,fi->i", Y, Y)
        np.matmul(Y.T, Y, out=costs[k])
        costs[k] *= -2
        costs[k] += d[:, None] + d
        costs[k] *= 0.25
        costs[k] += 0.5 * log_dets[k]
    costs *= np.multiply.outer(h, h)
    return costs


def relax_lasdp(
    X, weights, covariances, labels, options, rng, pool_map, on_iter=None, start=None
):
    """Solve the likelihood-adjusted program with known covariances.

    Parameters
    ----------
    X, weights, options, rng, pool_map, on_iter :
        As in :func:`relax_kmeans`.
    covariances : ndarray of shape (K, p, p)
    labels : ndarray of shape (n,)
        Where the low-rank solver starts, groups in the order of the covariances.
    start : tuple of ndarray, default=None
        A factor and its blocks to start from instead.

    Returns
    -------
    relaxed : Relaxed
    """
    K, h = len(covariances), np.sqrt(weights)
    if options.solver == "admm":
        fit = exact_lasdp(
            lasdp_costs(X, h, covariances),
            h / np.linalg.norm(h),
            tol=options.tol,
            max_iter=options.max_iter,
            on_iter=on_iter and (lambda i, value, p, d, F: on_iter(i, value, p, d)),
        )
        return Relaxed(*_from_exact(fit), *fit[1:])
    if start is None:
        start = partition_factor(labels, K, K, options.rank, h, rng)
    fit = low_rank_sdp(
        X * h,
        h,
        np.linalg.inv(covariances),
        np.linalg.slogdet(covariances)[1],
        np.ones(K),
        start[0],
        start[1],
        tol=options.tol,
        max_iter=options.max_iter,
        pool_map=pool_map,
        on_iter=on_iter
        and (lambda i, value, miss, *_: on_iter(i, value, miss, np.nan)),
    )
    return Relaxed(
        fit.factor,
        fit.block,
        fit.objective,
        np.inf,
        fit.residual,
        np.nan,
        fit.n_iter,
        fit.converged,
    )


def kmeans_partition(X, weights, relaxed, n_clusters, pool_map):
    """Round a solution of the K-means program and polish it."""
    labels = spectral_labels(relaxed.factor.T, np.sqrt(weights), n_clusters, pool_map)
    return lloyd(X, weights, labels, n_clusters, pool_map)


# ---- starts --------------------------------------------------------------------------
def starts(X, weights, n_clusters, names, options, rng, pool_map):
    """Return partitions to start from, by name.

    Parameters
    ----------
    X, weights, rng, pool_map :
        As in :func:`relax_kmeans`.
    n_clusters : int
    names : sequence of str
        "sdp", "ward", and these with "-white", for data that are whitened as a whole.
    options : Options

    Returns
    -------
    partitions : dict of str to ndarray of shape (n,), int64
    """
    found = {}
    white = None
    for name in names:
        kind, _, whitened = name.partition("-")
        data = X
        if whitened:
            if white is None:
                white = _whitened(X, weights)
            data = white
        if kind == "ward":
            found[name] = ward_labels(data, weights, n_clusters)
        else:
            relaxed = relax_kmeans(data, weights, n_clusters, options, rng, pool_map)
            partition = kmeans_partition(data, weights, relaxed, n_clusters, pool_map)
            found[name] = partition.labels
    return found


def _whitened(X, weights):
    """Turn and scale centred rows to unit covariance; flat directions are left out."""
    covariance = (X * weights) @ X.T / weights.sum()
    values, vectors = np.linalg.eigh(covariance)
    keep = values > 1e-10 * max(values[-1], np.finfo(float).tiny)
    if not keep.any():
        return X
    return np.ascontiguousarray((vectors[:, keep] / np.sqrt(values[keep])).T @ X)


# ---- unknown covariances -------------------------------------------------------------
class Alternated(NamedTuple):
    """The best of the runs of the alternation; ``likelihoods`` are those of all."""

    polished: tuple
    relaxed: Relaxed
    name: str
    likelihoods: dict
    n_iter: int
    n_iter_solver: int
    converged: bool


def alternate(
    X,
    weights,
    n_clusters,
    partitions,
    structure,
    variants,
    options,
    rng,
    pool_map,
    *,
    tol,
    max_iter,
    on_iter=None,
):
    """Alternate between covariances and the program with these, from several starts.

    Parameters
    ----------
    X, weights, rng, pool_map :
        As in :func:`relax_kmeans`.
    n_clusters : int
    partitions : dict of str to ndarray
        The starts.
    structure : Structure
    variants : sequence of {"rounded", "relaxed"}
        Whether covariances come from partitions or from the relaxed matrices.
    options : Options
        Of the solver within.
    tol : float
        Stop when the likelihood rises by no more than this for each unit of weight.
    max_iter : int
        The largest number of times the program is solved, from each start.
    on_iter : callable, default=None
        ``on_iter(n_iter, likelihood, primal, dual)`` after each, True to stop.

    Returns
    -------
    alternated : Alternated
    """

    def estimate(groups):
        return structured(groups, structure)

    def settle(labels):
        return polish(
            X, weights, labels, n_clusters, pool_map, estimate=estimate, max_iter=100
        )

    def judged(polished):
        """Return the likelihood to compare by; with few rows, under shrinkage."""
        full = structure.covariance_type == "full" and structure.shrinkage is None
        if full and polished.groups.weights.min() <= 2 * len(X):
            shrunk = structured(
                polished.groups, Structure("full", structure.ridge, "oas")
            )
            return likelihood(polished.groups, shrunk)
        return polished.likelihood

    runs = {}
    solved = []
    gain = tol * weights.sum()
    for name, labels in partitions.items():
        for variant in variants:
            if solved and solved[-1][1]:
                break
            run = _rounded if variant == "rounded" else _relaxed
            runs[f"{name}, {variant}"] = run(
                X, weights, labels, n_clusters, estimate, settle, options, rng,
                pool_map, gain, max_iter, on_iter, solved,
            )  # fmt: skip
    values = {name: judged(run[0]) for name, run in runs.items()}
    # Runs that agree but for rounding: the first.
    highest = max(values.values())
    slack = 1e-9 * abs(highest)
    name = next(name for name, value in values.items() if value >= highest - slack)
    polished, relaxed, n_iter, converged = runs[name]
    return Alternated(
        polished,
        relaxed,
        name,
        values,
        n_iter,
        sum(n for n, _ in solved),
        converged,
    )


def _rounded(
    X, weights, labels, K, estimate, settle, options, rng, pool_map, gain, max_iter,
    on_iter, solved,
):  # fmt: skip
    """Alternate with partitions: covariances of groups, program, rounding."""
    best = settle(labels)
    relaxed = None
    for n_iter in range(1, max_iter + 1):
        covariances = best.model.covariances
        last = relaxed
        relaxed = relax_lasdp(
            X, weights, covariances, best.labels, options, rng, pool_map
        )
        rounded = round_blocks(
            X, weights, relaxed.factor, relaxed.block, covariances, pool_map
        )
        found = settle(rounded.labels)
        stop = _told(on_iter, solved, n_iter, found.likelihood, relaxed)
        if found.likelihood <= best.likelihood + gain:
            if found.likelihood > best.likelihood:
                best = found
            elif last is not None and found.likelihood < best.likelihood:
                relaxed = last
            return best, relaxed, n_iter, True
        best = found
        if stop:
            break
    return best, relaxed, n_iter, False


def _relaxed(
    X, weights, labels, K, estimate, settle, options, rng, pool_map, gain, max_iter,
    on_iter, solved,
):  # fmt: skip
    """Alternate with matrices: covariances of Z_k, program; round at the end."""
    groups = moments(X, weights, labels, K, pool_map)
    covariances = estimate(groups)
    relaxed, start, value, converged = None, None, -np.inf, False
    for n_iter in range(1, max_iter + 1):
        relaxed = relax_lasdp(
            X, weights, covariances, labels, options, rng, pool_map, start=start
        )
        stop = _told(on_iter, solved, n_iter, relaxed.objective, relaxed)
        converged = relaxed.objective <= value + gain
        if converged or stop:
            break
        value = relaxed.objective
        groups = relaxed_moments(X, weights, relaxed.factor, relaxed.block, K)
        covariances = estimate(groups)
        if options.solver == "nlr":
            start = relaxed.factor.copy(), relaxed.block
    rounded = round_blocks(
        X, weights, relaxed.factor, relaxed.block, covariances, pool_map
    )
    return settle(rounded.labels), relaxed, n_iter, converged


def _told(on_iter, solved, n_iter, value, relaxed):
    stop = on_iter is not None and on_iter(
        n_iter, value, relaxed.primal_residual, relaxed.dual_residual
    )
    solved.append((relaxed.n_iter, bool(stop)))
    return stop


def relaxed_moments(X, weights, factor, block, n_clusters):
    """Return the moments of the groups that matrices Z_k = U_k U_k' stand for.

    With m = Z_k h, the weights of the rows are h m and the scatter is
    X diag(h m) X' less X diag(h) Z_k diag(h) X'.
    """
    h = np.sqrt(weights)
    shares = memberships(factor, block, h, n_clusters) * weights
    p = len(X)
    counts = np.empty(n_clusters)
    means, covariances = np.empty((n_clusters, p)), np.empty((n_clusters, p, p))
    for k in range(n_clusters):
        m = shares[k].clip(0)
        counts[k] = max(m.sum(), np.finfo(float).tiny)
        XU = (X * h) @ factor[block == k].T
        means[k] = X @ m / counts[k]
        covariances[k] = ((X * m) @ X.T - XU @ XU.T) / counts[k]
        # An infeasible factor can take too much away.
        values, vectors = np.linalg.eigh(covariances[k])
        covariances[k] = (vectors * values.clip(0)) @ vectors.T
    return Moments(counts, means, covariances)
