"""The programs with nonnegative factors of low rank in place of the matrices.

Z_k = U_k U_k' with U_k >= 0 of r columns. The augmented Lagrangian in the row sums is
minimised by projected gradient steps of Barzilai and Borwein's length; one pass over
the rows is a step, a gradient and all the sums that the next one needs. No matrix of
n x n is formed. K-means is the case of one block of trace K and unit covariance, up to
a factor: the objective is then minus half the inertia.
"""

from typing import NamedTuple

import numpy as np

from skalgos.cluster._sdp.kernels import (
    LANES,
    low_rank_judge,
    low_rank_pass,
    low_rank_point,
    low_rank_stage,
    low_rank_sums,
)

# Rows of one task for a thread.
CHUNK = 1 << 14
# Steps with the same multipliers, and values that a new one is compared with.
STAGE = 200
MEMORY = 8


class LowRankFit(NamedTuple):
    """What the low-rank solver found; ``factor`` has blocks of columns side by side."""

    factor: np.ndarray
    block: np.ndarray
    objective: float
    residual: float
    n_iter: int
    converged: bool


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
        The start, nonnegative.
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
    for b, form in enumerate(forms):
        d[b] = np.einsum("fi,fi->i", X, form @ X)
    L = np.linalg.cholesky(forms)
    curvature = np.linalg.eigvalsh(L.transpose(0, 2, 1) @ (X @ X.T) @ L).max()
    # Of rows that are h times a point: h d = h^2 |x|^2 / h.
    d /= h
    y = np.zeros(n)
    # Two places for the columns, and for what belongs to them: each step goes from one
    # to the other.
    pair, G = np.empty((2, *U.shape)), np.zeros_like(U)
    pair[0] = U
    points, Ms, values = np.empty((2, 5, R)), np.empty((2, p, R)), np.empty((2, 4))
    recent = np.empty(MEMORY)
    numbers, counts = np.zeros(7), np.zeros(5, np.int64)
    chunks = [(i, min(i + CHUNK, n)) for i in range(0, n, CHUNK)]
    acc = np.empty((len(chunks), 5 * R + 3 + p * R + R * R))
    work = np.empty((len(chunks), 2, LANES))
    program = block, forms, logs, traces
    state = points, Ms, values, recent, numbers, counts

    # Less than this and whole clusters collapse into others for good.
    beta = 2 * curvature / n_total
    biggest = 1e3 * beta
    step, converged = 1.0 / (4 * curvature + 4 * beta), False
    inner_tol, last_miss, last_value = 1e-2, np.inf, np.inf
    while True:
        w, yh = counts[0], y @ h
        U = pair[w]

        def collect(c, U=U, y=y):
            low_rank_sums(X, d, h, y, block, U, *chunks[c], acc[c])

        pool_map(collect, range(len(chunks)))
        low_rank_point(acc, *program, beta, n_total, yh, points[w], Ms[w], values[w])
        pair[1 - w], points[1 - w, 3] = U, points[w, 3]
        recent[:-1], recent[-1] = -np.inf, values[w, 1]
        numbers[:4] = beta, step, inner_tol, curvature
        counts[2:] = 1, 0, 0
        _stage(
            (X, d, h, y, block),
            pair, G, program, (n_total, yh), state, work, acc,
            chunks, max_iter, pool_map,
        )  # fmt: skip
        w, n_iter, step = counts[0], int(counts[1]), numbers[1]
        U, scale = pair[w], points[w, 3]
        value = values[w, 0]
        residual = np.sqrt(values[w, 2] / n_total)
        steady = abs(value - last_value) <= tol * (1 + abs(value))
        stop = on_iter is not None and on_iter(n_iter, -value, residual, U, scale)
        converged = bool(residual < tol and steady)
        if converged or stop or n_iter >= max_iter:
            break
        last_value = value
        y = y + beta * (points[w, 0] * scale @ U - h)
        if residual > 0.5 * last_miss and beta < biggest:
            beta *= 2.0
        last_miss = residual
        inner_tol = max(0.5 * inner_tol, 0.1 * tol)
        step = min(step, 1.0 / beta) if beta > 0 else step
    s = points[w, 0]
    total = -value - 0.5 * mean_log * (s @ s)
    return LowRankFit(U * scale[:, None], block, total, residual, n_iter, converged)


def _stage(
    data, pair, G, program, constants, state, work, acc, chunks, max_iter, pool_map
):
    """Do passes until the columns settle: in one call, or shared among threads."""
    points, Ms, values, recent, numbers, counts = state
    if len(chunks) == 1:
        low_rank_stage(
            *data, pair, points, Ms, G, *program[1:], *constants, values, recent,
            numbers, counts, work[0], acc[0], STAGE, max_iter,
        )  # fmt: skip
        return

    def one(c):
        low_rank_pass(
            *data, pair, points, Ms, G, numbers, counts, *chunks[c], work[c], acc[c]
        )

    while counts[4] == 0 and counts[3] < STAGE and counts[1] < max_iter:
        pool_map(one, range(len(chunks)))
        low_rank_judge(acc, *program, *constants, *state)


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
