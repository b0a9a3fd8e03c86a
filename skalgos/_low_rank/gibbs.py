r"""Bayesian matrix factorisation by Gibbs sampling.

Values are normal around :math:`u_i^T v_j + b_i + c_j` with precision a. The vectors
:math:`(u_i, b_i)` are normal with a mean and a precision matrix that have a
normal-Wishart prior, and so are the :math:`(v_j, c_j)`; a has a gamma prior. All
conditional distributions are of the same families.
"""

from typing import NamedTuple

import numpy as np

from skalgos._low_rank import kernels
from skalgos._low_rank.problems import Pool, padded
from skalgos._low_rank.solvers import all_weights, alternate, predict
from skalgos._threads import chunk_map

# The prior of the means counts as two observations, the wishart prior as many as there
# are dimensions, the gamma prior as two of unit variance.
MEAN_STRENGTH = 2.0
# Sweeps of alternating minimisation that the chain begins with, and their ridge.
SWEEPS_BEFORE = 10
RIDGE_BEFORE = 2.0


class Draws(NamedTuple):
    """What is kept of the chain: one leading axis over its draws.

    Vectors of rows and columns are (factor, bias). ``covariances`` and ``means`` are
    those of the normal distributions that the vectors come from.
    """

    rows: np.ndarray
    columns: np.ndarray
    row_means: np.ndarray
    column_means: np.ndarray
    row_covariances: np.ndarray
    column_covariances: np.ndarray
    noise_variances: np.ndarray


def draw_normal_wishart(vectors, rng):
    """Draw the mean and the precision matrix of normal vectors, given those vectors.

    Parameters
    ----------
    vectors : ndarray of shape (n, p)
    rng : RandomState

    Returns
    -------
    mean : ndarray of shape (p,)
    precision : ndarray of shape (p, p)
    """
    n, p = vectors.shape
    average = vectors.mean(axis=0)
    centred = vectors - average
    shrunk = MEAN_STRENGTH * n / (MEAN_STRENGTH + n)
    inverse = np.eye(p) + centred.T @ centred
    inverse += shrunk * np.outer(average, average)
    # Bartlett's decomposition: the precision is R R^T, R = L^-T A for inverse = L L^T.
    L = np.linalg.cholesky(inverse)
    degrees = p + n - np.arange(p)
    A = np.tril(rng.standard_normal((p, p)), -1)
    A[np.diag_indices(p)] = np.sqrt(rng.chisquare(degrees))
    R = np.linalg.solve(L.T, A)
    noise = np.linalg.solve(R.T, rng.standard_normal(p))
    strength = MEAN_STRENGTH + n
    return n * average / strength + noise / np.sqrt(strength), R @ R.T


def sample(problem, k, *, n_samples, burn_in, thinning, rng, threads=1, on_sweep=None):
    """Run the chain and keep its last draws.

    Parameters
    ----------
    problem : Problem
        Of values with zero mean and unit variance, in double precision, with a scaling
        of 0.5.
    k : int
    n_samples, burn_in, thinning : int
        Draws that are kept, sweeps before them, and sweeps for each of them.
    rng : RandomState
        All random numbers are drawn before the threads begin.
    threads : int
    on_sweep : callable, default=None
        ``on_sweep(number, error) -> bool`` with the root mean square of the residuals:
        whether to stop; a sweep that is not kept cannot be the last.

    Returns
    -------
    draws : Draws
    """
    p, dtype = k + 1, problem.dtype
    sides = (problem.rows, problem.columns)
    # From large factors the chain takes thousands of sweeps to lose those that fit
    # noise, and from small ones to find those that do not: from a ridge fit neither.
    factors = alternate(
        problem,
        k,
        alpha=RIDGE_BEFORE,
        bias=True,
        max_iter=SWEEPS_BEFORE,
        rng=rng,
        threads=threads,
    ).factors
    tables = factors.left, factors.right
    vectors = [*range(k), k + 1]
    weights = all_weights(problem)
    total = problem.total
    precision = 2.0
    hyper = [None, None]
    kept = [[] for _ in Draws._fields]
    pools = [Pool(side, padded(p, dtype), threads, dtype) for side in sides]
    with chunk_map(threads) as map_chunks:
        for number in range(1, burn_in + n_samples * thinning + 1):
            for one in (0, 1):
                side, table, out = sides[one], tables[1 - one], tables[one]
                hyper[one] = draw_normal_wishart(out[:, vectors], rng)
                mean, prior = hyper[one]
                noise = rng.standard_normal((len(out), p))
                linear = prior @ mean

                data = (side.indptr, side.indices, side.values, side.weights)
                model = (table, k + 1, k, p, precision, prior, linear, noise, out)

                def draw(first, last, *buffers, inputs=data + model):
                    B, v, q, work, G = buffers
                    kernels.sweep_sample(first, last, *inputs, B, v, q, work, G)

                pools[one].run(map_chunks, draw)
            residuals = problem.rows.values - predict(problem.rows, factors)
            weighted = residuals if weights is None else weights * residuals
            rss = float(weighted @ residuals)
            precision = rng.gamma(1 + total / 2) / (1 + rss / 2)
            if number > burn_in and (number - burn_in) % thinning == 0:
                for into, value in zip(
                    kept,
                    (
                        tables[0][:, vectors].astype(np.float32),
                        tables[1][:, vectors].astype(np.float32),
                        hyper[0][0],
                        hyper[1][0],
                        np.linalg.inv(hyper[0][1]),
                        np.linalg.inv(hyper[1][1]),
                        1 / precision,
                    ),
                    strict=True,
                ):
                    into.append(value)
            stop = on_sweep is not None and on_sweep(number, (rss / total) ** 0.5)
            if stop and kept[0]:
                break
    return Draws(*map(np.array, kept))


def moments(draws, rows, columns):
    """Return the mean and the variance of values at pairs, noise included.

    Parameters
    ----------
    draws : Draws
    rows, columns : ndarray of shape (n_pairs,), int
        Numbers of rows and columns; -1 for those without values, whose vectors are
        integrated out.

    Returns
    -------
    mean, variance : ndarray of shape (n_pairs,)
    """
    total = np.zeros(len(rows))
    squares = np.zeros(len(rows))
    within = np.zeros(len(rows))
    new_row, new_column = rows < 0, columns < 0
    for s in range(len(draws.noise_variances)):
        left = draws.rows[s][rows].astype(np.float64)
        right = draws.columns[s][columns].astype(np.float64)
        left[new_row] = draws.row_means[s]
        right[new_column] = draws.column_means[s]
        value = np.einsum("ij,ij->i", left[:, :-1], right[:, :-1])
        value += left[:, -1] + right[:, -1]
        total += value
        squares += value * value
        within += draws.noise_variances[s]
        covariances = draws.row_covariances[s], draws.column_covariances[s]
        for new, other, covariance in (
            (new_row, right, covariances[0]),
            (new_column, left, covariances[1]),
        ):
            if new.any():
                design = other[new].copy()
                design[:, -1] = 1
                within[new] += np.einsum(
                    "ij,jk,ik->i", design, covariance, design, optimize=True
                )
        both = new_row & new_column
        if both.any():
            a, b = (covariance[:-1, :-1] for covariance in covariances)
            within[both] += np.sum(a * b)
    n = len(draws.noise_variances)
    mean = total / n
    return mean, np.maximum(squares / n - mean * mean, 0) + within / n
