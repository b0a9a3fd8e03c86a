"""The programs with nonnegative factors of low rank in place of the matrices.

Z_k = U_k U_k' with U_k >= 0 of r columns. The augmented Lagrangian in the row sums is
minimised by projected gradient steps of Barzilai and Borwein's length; one pass over
the rows is a step, a gradient and all the sums that the next one needs. No matrix of
n x n is formed. K-means is the case of one block of trace K and unit covariance, up to
a factor: the objective is then minus half the inertia.
"""

from collections import deque
from typing import NamedTuple

import numpy as np

from skalgos.cluster._sdp.kernels import LANES, low_rank_pass, low_rank_sums

# Rows of one task for a thread.
CHUNK = 1 << 14


class LowRankFit(NamedTuple):
    """What the low-rank solver found; ``factor`` has blocks of columns side by side."""

    factor: np.ndarray
    block: np.ndarray
    objective: float
    residual: float
    n_iter: int
    converged: bool


class _Sums(NamedTuple):
    """The sums at a point whose columns are ``scale`` times what is stored."""

    s: np.ndarray
    ud: np.ndarray
    uy: np.ndarray
    xu: np.ndarray
    uu: np.ndarray
    cross: np.ndarray
    scale: np.ndarray
    dots: np.ndarray


def _unpack(acc, p, block, traces):
    """Rescale every block to its trace; this is the projection, with the clipping."""
    R = len(block)
    s, ud, uy, cross, norms = acc[: 5 * R].reshape(5, R)
    at = 5 * R + 3
    xu = acc[at : at + p * R].reshape(p, R)
    lower = acc[at + p * R :].reshape(R, R)
    uu = lower + lower.T
    uu.flat[:: R + 1] *= 0.5
    totals = np.bincount(block, norms, minlength=len(traces))
    # A block that was clipped away altogether: NaN, and the step is refused.
    scale = np.sqrt(traces / np.where(totals > 0, totals, np.nan))[block]
    return _Sums(
        s * scale,
        ud * scale,
        uy * scale,
        xu * scale,
        uu * np.outer(scale, scale),
        cross * scale,
        scale,
        acc[5 * R : at],
    )


def low_rank_sdp(
    X, h, forms, logs, traces, U, block, *, tol, max_iter, pool_map, on_iter=None
):
    """Maximise the likelihood-adjusted objective over nonnegative low-rank factors.

    Parameters
    ----------
    X : ndarray of shape (p, n)
        Centred rows times h, features first.
    h : ndarray of shape (n,)
        Square roots of the weights.
    forms : ndarray of shape (B, p, p)
        The inverse covariance of each block.
    logs : ndarray of shape (B,)
        The log-determinant of the covariance of each block.
    traces : ndarray of shape (B,)
        The trace of U_b U_b'; they add up to the number of clusters.
    U : ndarray of shape (R, n)
        The start, nonnegative; overwritten.
    block : ndarray of shape (R,), int64
        The block of each column: side by side, as many for each.
    tol : float
        For the row sums, relative to h, and for the change of the factor by a step.
    max_iter : int
        The largest number of passes.
    pool_map : callable
        ``pool_map(function, chunks) -> list``.
    on_iter : callable, default=None
        ``on_iter(n_iter, objective, residual, factor)`` after each stage of fixed
        multipliers; stops the solver by returning True.

    Returns
    -------
    fit : LowRankFit
    """
    p, n = X.shape
    R = len(U)
    n_total = h @ h
    mean_log = logs.mean()
    logs = logs - mean_log
    d = np.empty((len(forms), n))
    curvature = 0.0
    for b, form in enumerate(forms):
        d[b] = np.einsum("fi,fi->i", X, form @ X)
        gram = np.linalg.cholesky(form)
        curvature = max(curvature, np.linalg.norm(gram.T @ (X @ X.T) @ gram, 2))
    # Of rows that are h times a point: h d = h^2 |x|^2 / h.
    d /= h
    y = np.zeros(n)
    V, G = np.zeros_like(U), np.zeros_like(U)
    chunks = [(i, min(i + CHUNK, n)) for i in range(0, n, CHUNK)]
    acc = np.empty((len(chunks), 5 * R + 3 + p * R + R * R))
    work = np.empty((len(chunks), 2, LANES))

    def sums(columns):
        def one(c):
            low_rank_sums(X, d, h, y, block, columns, *chunks[c], acc[c])

        pool_map(one, range(len(chunks)))
        return _unpack(acc.sum(axis=0), p, block, traces)

    def parts(at, beta):
        """Return objective to minimise, Lagrangian, |c|^2, M and what h multiplies."""
        by_block = at.xu.reshape(p, len(forms), -1).transpose(1, 0, 2)
        M = np.matmul(forms, by_block).transpose(1, 0, 2).reshape(p, R)
        value = 0.5 * (logs[block] @ at.s**2 + at.ud @ at.s - np.vdot(at.xu, M))
        uc = at.uu @ at.s - at.s
        miss = max(at.s @ uc - at.s @ at.s + n_total, 0.0)
        lagrangian = value + at.uy @ at.s - y @ h + 0.5 * beta * miss
        ahead = logs[block] * at.s + 0.5 * at.ud + at.uy + beta * uc
        return value, lagrangian, miss, M, ahead

    def step_all(*settings):
        def one(c):
            low_rank_pass(X, d, h, y, block, *settings, *chunks[c], work[c], acc[c])

        pool_map(one, range(len(chunks)))

    # Less than this and whole clusters collapse into others for good.
    beta = 2 * curvature / n_total
    biggest = 1e3 * beta
    step, n_iter, converged = 1.0 / (4 * curvature + 4 * beta), 0, False
    inner_tol, last_miss, last_value = 1e-2, np.inf, np.inf
    at = sums(U)
    old_scale = at.scale
    while True:
        value, lagrangian, miss, M, ahead = parts(at, beta)
        recent = deque([lagrangian], maxlen=8)
        first, since, settled = True, 0, False
        while not settled and n_iter < max_iter:
            fresh = 1
            while True:
                settings = at.scale, V, old_scale, G, M, ahead, at.s, beta, step, fresh
                step_all(U, *settings)
                new = _unpack(acc.sum(axis=0), p, block, traces)
                n_iter += 1
                if fresh:
                    uu, ug, gg = new.dots
                fresh = 0
                alive = np.isfinite(new.scale).all()
                if alive:
                    found = parts(new, beta)
                    moved = max(2 * (traces.sum() - new.cross.sum()), 0.0)
                    if found[1] <= max(recent) - 1e-4 * moved / step:
                        break
                    if moved < 1e-20 * traces.sum() or n_iter >= max_iter:
                        break
                step *= 0.3
            U, V = V, U
            old_scale, at = at.scale, new
            value, lagrangian, miss, M, ahead = found
            recent.append(lagrangian)
            since += 1
            change = np.sqrt(moved / traces.sum())
            settled = change < inner_tol * min(1.0, step * curvature) or since >= 200
            # The inner products are those of the step before: the length lags by one.
            if not first and ug > 0:
                ratio = uu / ug if since % 2 else ug / gg
                step = np.clip(ratio, 1e-4 / curvature, 1e4 / curvature)
            first = False
        residual = np.sqrt(miss / n_total)
        steady = abs(value - last_value) <= tol * (1 + abs(value))
        stop = on_iter is not None and on_iter(n_iter, -value, residual, U, at.scale)
        converged = residual < tol and steady
        if converged or stop or n_iter >= max_iter:
            break
        last_value = value
        y += beta * (at.scale * at.s @ U - h)
        if residual > 0.5 * last_miss and beta < biggest:
            beta *= 2.0
        last_miss = residual
        inner_tol = max(0.5 * inner_tol, 0.1 * tol)
        at = sums(U)._replace(dots=at.dots)
        old_scale = at.scale
        V[:] = U
        step = min(step, 1.0 / beta) if beta > 0 else step
    U *= at.scale[:, None]
    total = -value - 0.5 * mean_log * (at.s @ at.s)
    return LowRankFit(U, block, total, residual, n_iter, converged)


def partition_factor(labels, n_clusters, n_blocks, rank, h, rng):
    """Return a start: the groups of a partition, split at random, on a little noise.

    Parameters
    ----------
    labels : ndarray of shape (n,)
    n_clusters : int
    n_blocks : int
        ``n_clusters``, or 1 for K-means.
    rank : int
        The number of columns for each cluster.
    h : ndarray of shape (n,)
    rng : RandomState

    Returns
    -------
    U : ndarray of shape (n_clusters * rank, n)
    block : ndarray of shape (n_clusters * rank,), int64
    """
    n = len(h)
    U = 0.1 * rng.uniform(size=(n_clusters * rank, n))
    U[labels * rank + rng.randint(rank, size=n), np.arange(n)] += 1.0
    return U * h, np.repeat(np.arange(n_blocks), len(U) // n_blocks)
