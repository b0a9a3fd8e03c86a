"""The conditional distributions of the Gibbs sampler."""

import numpy as np

from skalgos._low_rank import kernels
from skalgos._low_rank.gibbs import draw_normal_wishart
from skalgos._low_rank.problems import Pool, aligned, make_problem, padded


def test_moments_of_the_normal_wishart_draws():
    rng = np.random.RandomState(0)
    vectors = rng.standard_normal((40, 3)) @ np.diag([1, 2, 0.5]) + [1, 0, -1]
    draws = [draw_normal_wishart(vectors, rng) for _ in range(4000)]
    means = np.array([mean for mean, _ in draws])
    precisions = np.array([precision for _, precision in draws])
    # The textbook posterior with mean strength 2 and as many degrees as dimensions.
    average, n, p = vectors.mean(axis=0), 40, 3
    scatter = (vectors - average).T @ (vectors - average)
    inverse = np.eye(p) + scatter + 2 * n / (2 + n) * np.outer(average, average)
    expected = (p + n) * np.linalg.inv(inverse)
    np.testing.assert_allclose(
        precisions.mean(axis=0), expected, atol=0.05 * np.abs(expected).max()
    )
    np.testing.assert_allclose(means.mean(axis=0), n * average / (n + 2), atol=0.03)
    variance = inverse / (p + n - p - 1) / (n + 2)
    np.testing.assert_allclose(np.cov(means.T), variance, atol=0.1 * variance.max())


def test_rows_are_drawn_from_their_conditional_distribution():
    rng = np.random.RandomState(0)
    n_rows, k, n_columns = 4000, 2, 6
    p = k + 1
    values = np.tile(rng.standard_normal(n_columns), n_rows)
    indptr = np.arange(n_rows + 1) * n_columns
    problem = make_problem(
        indptr, np.tile(np.arange(n_columns), n_rows), values, n_columns
    )
    width = padded(k + 2, np.dtype(float))
    table, out = aligned((n_columns, width), float), aligned((n_rows, width), float)
    table[:, :k] = rng.standard_normal((n_columns, k))
    table[:, k] = 1
    table[:, k + 1] = rng.standard_normal(n_columns)
    prior = np.array([[2.0, 0.3, 0.1], [0.3, 1.5, 0.2], [0.1, 0.2, 1.0]])
    mean = np.array([0.5, -0.5, 1.0])
    side = problem.rows
    pool = Pool(side, padded(p, np.dtype(float)), 1, np.dtype(float))
    pool.run(
        lambda f, chunks: [f(c) for c in chunks],
        lambda first, last, B, v, q, work, G: kernels.sweep_sample(
            first,
            last,
            side.indptr,
            side.indices,
            side.values,
            side.weights,
            table,
            k + 1,
            k,
            p,
            1.7,
            prior,
            prior @ mean,
            rng.standard_normal((n_rows, p)),
            out,
            B,
            v,
            q,
            work,
            G,
        ),
    )
    draws = out[:, [0, 1, k + 1]]
    design = table[:, : k + 1]
    precision = prior + 1.7 * design.T @ design
    target = values[:n_columns] - table[:, k + 1]
    expected = np.linalg.solve(precision, prior @ mean + 1.7 * design.T @ target)
    np.testing.assert_allclose(draws.mean(axis=0), expected, atol=0.05)
    np.testing.assert_allclose(np.cov(draws.T), np.linalg.inv(precision), atol=0.03)
