"""The alternation: against references, optimality conditions, and recovery."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from skalgos._low_rank import solvers
from skalgos._low_rank.problems import make_problem
from skalgos._low_rank.solvers import (
    alternate,
    balancing,
    complete,
    fold_in,
    gram,
    optimality_ratio,
    ridge_path,
    spectral_norm,
)
from tests.reference.low_rank import (
    curvature,
    nuclear_norm_optimum,
    objective,
    penalised,
)

LOSSES = ("squared_error", "huber", "absolute_error", "tukey")


def table(n_rows=30, n_columns=20, rank=3, missing=0.4, noise=0.1, seed=0):
    rng = np.random.RandomState(seed)
    truth = rng.standard_normal((n_rows, rank)) @ rng.standard_normal((rank, n_columns))
    X = truth + noise * rng.standard_normal(truth.shape)
    return X, rng.uniform(size=X.shape) >= missing, truth


def problem_of(X, observed, weights=None, row_weights=None, scaling=0.0):
    rows, columns = np.nonzero(observed)
    indptr = np.concatenate([[0], np.cumsum(observed.sum(axis=1))])
    return make_problem(
        indptr,
        columns,
        X[observed],
        X.shape[1],
        weights=None if weights is None else weights[observed],
        row_weights=row_weights,
        scaling=scaling,
    )


def product(factors):
    k = factors.k
    Z = factors.left[:, :k] @ factors.right[:, :k].T
    if factors.bias:
        Z = Z + factors.left[:, k + 1, None] + factors.right[:, k + 1]
    return Z


def solve(problem, k, **options):
    options = {"max_iter": 500, "tol": 1e-10, "inner_tol": 1e-4} | options
    return alternate(problem, k, rng=np.random.RandomState(0), **options)


# ---- the nuclear norm ----------------------------------------------------------------
# Objectives of an independent accelerated proximal method.
OPTIMA = {2: 1224.010669, 5: 2452.698678, 8: 3245.735339}


@pytest.fixture(scope="module")
def published():
    rng = np.random.default_rng(0)
    U, V = rng.standard_normal((200, 4)), rng.standard_normal((150, 4))
    X = U @ V.T / 2 + 0.5 * rng.standard_normal((200, 150))
    observed = rng.random((200, 150)) < 0.3
    return X, observed, problem_of(X, observed)


def test_the_spectral_norm(published):
    X, observed, problem = published
    assert problem.total == 8998
    matrix = solvers._scaled(problem, problem.rows.values)
    norm = spectral_norm(matrix, np.random.RandomState(0), 1e-10, 1000)
    assert norm == pytest.approx(31.33092, abs=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (40, 25), (200, 300)])
@pytest.mark.parametrize("clustered", [False, True])
def test_the_largest_singular_value(shape, clustered):
    rng = np.random.RandomState(0)
    A = rng.standard_normal(shape)
    if clustered:
        P, s, Qt = np.linalg.svd(A, full_matrices=False)
        A = (P * np.minimum(s, np.median(s)) * (1 + 1e-6 * np.arange(len(s)))) @ Qt
    for scale in (1.0, 1e-12, 0.0):
        matrix = sparse.csr_array(scale * A)
        found = solvers.largest_singular_value(matrix, rng)
        expected = np.linalg.norm(scale * A, 2)
        assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", OPTIMA)
@pytest.mark.parametrize("solver", ["cholesky", "pcg"])
def test_the_optimum_of_the_nuclear_norm(published, alpha, solver):
    X, observed, problem = published
    fit = solve(problem, 60, alpha=alpha, solver=solver, max_iter=200, tol=1e-8)
    value = objective(X, observed, alpha, product(fit.factors))
    assert value == pytest.approx(OPTIMA[alpha], rel=2e-6)
    assert fit.objectives[-1] == pytest.approx(value, rel=2e-6)
    ratio = optimality_ratio(
        problem, fit.factors, alpha, fit.loss, np.random.RandomState(0)
    )
    assert ratio <= 1.001


@pytest.mark.slow
def test_the_certificate_sees_that_components_are_missing(published):
    X, observed, problem = published
    fit = solve(problem, 10, alpha=2.0, max_iter=100, tol=1e-6)
    ratio = optimality_ratio(
        problem, fit.factors, 2.0, fit.loss, np.random.RandomState(0)
    )
    assert ratio == pytest.approx(2.58, abs=0.1)
    assert fit.objectives[-1] > 1.15 * OPTIMA[2]


@pytest.mark.parametrize("alpha", [0.5, 2.0, 6.0])
def test_growing_reaches_the_convex_optimum(alpha):
    X, observed, _ = table(rank=4, noise=0.5)
    problem = problem_of(X, observed)
    expected = nuclear_norm_optimum(X, observed, alpha)
    fit = complete(
        problem,
        limit=20,
        alpha=alpha,
        rng=np.random.RandomState(0),
        tol=1e-8,
        max_iter=3000,
    )
    value = objective(X, observed, alpha, expected)
    assert objective(X, observed, alpha, product(fit.factors)) == pytest.approx(
        value, rel=1e-5
    )
    np.testing.assert_allclose(product(fit.factors), expected, atol=0.02)


@pytest.mark.parametrize("loss", ["huber", "absolute_error"])
def test_the_certificate_of_robust_losses(loss):
    X, observed, _ = table(20, 15, rank=2, noise=0.3)
    problem = problem_of(X, observed, scaling=0.5)
    ratios = []
    for k in (1, 15):
        fit = solve(problem, k, alpha=0.3, loss=loss, tol=1e-12, max_iter=20000)
        ratio = optimality_ratio(
            problem, fit.factors, 0.3, fit.loss, np.random.RandomState(0)
        )
        ratios.append(ratio)
    assert ratios[0] > 1.5
    assert ratios[1] == pytest.approx(1, abs=1e-3)


def test_a_ridge_above_the_spectral_norm_gives_zero():
    X, observed, _ = table()
    problem = problem_of(X, observed)
    norm = np.linalg.norm(np.where(observed, X, 0), 2)
    above = solve(problem, 5, alpha=1.01 * norm)
    below = solve(problem, 5, alpha=0.9 * norm)
    assert np.abs(product(above.factors)).max() < 1e-3 * np.abs(X).max()
    assert np.abs(product(below.factors)).max() > 1e-2 * np.abs(X).max()


# ---- optimality conditions -----------------------------------------------------------
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("solver", ["cholesky", "pcg"])
@pytest.mark.parametrize("bias", [False, True])
def test_fixed_points_are_stationary(loss, solver, bias):
    X, observed, _ = table()
    rng = np.random.RandomState(1)
    X = np.where(rng.uniform(size=X.shape) < 0.05, 20.0, X)
    weights = rng.uniform(0.5, 2, X.shape)
    problem = problem_of(X, observed, weights=weights, scaling=0.5)
    fit = solve(
        problem,
        4,
        alpha=0.3,
        alpha_bias=0.2,
        bias=bias,
        loss=loss,
        solver=solver,
        max_iter=3000,
        tol=1e-13,
        inner_tol=1e-6,
    )
    left, right, k, _ = fit.factors
    zeros = np.zeros(len(left)), np.zeros(len(right))
    b, c = (left[:, k + 1], right[:, k + 1]) if bias else zeros
    value, gradient = penalised(
        X,
        np.where(observed, weights, 0),
        left[:, :k],
        right[:, :k],
        b,
        c,
        0.3,
        0.2,
        0.5,
        loss,
        fit.loss.cut,
        fit.loss.curvature,
    )
    assert fit.objectives[-1] == pytest.approx(value, rel=1e-9)
    for part in gradient if bias else gradient[:2]:
        assert np.abs(part).max() < 2e-4 * np.abs(X).max()


@pytest.mark.parametrize("bias", [False, True])
def test_nonnegative_factors_meet_the_conditions_of_kuhn_and_tucker(bias):
    X, observed, _ = table()
    X = np.abs(X)
    problem = problem_of(X, observed)
    fit = solve(
        problem,
        4,
        alpha=0.3,
        alpha_bias=0.2,
        bias=bias,
        nonnegative=True,
        max_iter=5000,
        tol=1e-12,
    )
    left, right, k, _ = fit.factors
    U, V = left[:, :k], right[:, :k]
    zeros = np.zeros(len(U)), np.zeros(len(V))
    b, c = (left[:, k + 1], right[:, k + 1]) if bias else zeros
    _, gradient = penalised(
        X, observed * 1.0, U, V, b, c, 0.3, 0.2, 0.0, "squared_error", 1.0
    )
    assert U.min() == 0
    assert V.min() >= 0
    for F, slope in zip((U, V), gradient[:2], strict=True):
        assert np.abs(slope[F > 0]).max() < 1e-3
        assert slope[F == 0].min() > -1e-3


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_objective_never_rises(loss, nonnegative, dtype):
    X, observed, _ = table()
    fit = solve(
        problem_of(X.astype(dtype), observed),
        4,
        alpha=0.3,
        loss=loss,
        nonnegative=nonnegative,
        max_iter=80,
        tol=0.0,
        inner_tol=1e-2,
    )
    rises = np.diff(fit.objectives)
    assert rises.max() <= 20 * np.finfo(dtype).eps * fit.objectives[0]
    assert len(fit.objectives) > 20


# ---- the same problem in other words -------------------------------------------------
@pytest.mark.parametrize("loss", ["squared_error", "huber"])
def test_row_weights_are_repetitions(loss):
    X, observed, _ = table()
    counts = np.random.RandomState(0).randint(1, 4, len(X)).astype(float)
    rows = np.repeat(np.arange(len(X)), counts.astype(int))
    one = solve(
        problem_of(X, observed, row_weights=counts, scaling=0.5),
        3,
        alpha=0.5,
        loss=loss,
        max_iter=50,
    )
    other = solve(
        problem_of(X[rows], observed[rows], scaling=0.5),
        3,
        alpha=0.5,
        loss=loss,
        max_iter=50,
    )
    np.testing.assert_allclose(
        product(one.factors)[rows], product(other.factors), atol=1e-9
    )
    np.testing.assert_allclose(one.objectives, other.objectives, rtol=1e-10)


@pytest.mark.parametrize("solver", ["cholesky", "pcg"])
def test_threads_change_nothing(solver):
    X, observed, _ = table(200, 50)
    fits = [
        solve(
            problem_of(X, observed), 4, alpha=0.5, solver=solver, threads=n, max_iter=20
        )
        for n in (1, 2)
    ]
    np.testing.assert_array_equal(fits[0].factors.left, fits[1].factors.left)
    assert fits[0].objectives == fits[1].objectives


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 100), st.integers(1, 6))
def test_scaling_values_scales_the_product(seed, factor, k):
    X, observed, _ = table(12, 9, seed=seed)
    if not observed.any(axis=1).all() or not observed.any(axis=0).all():
        observed[:, 0] = observed[0] = True
    plain = solve(problem_of(X, observed), k, alpha=1.0, max_iter=15, solver="cholesky")
    scaled = solve(
        problem_of(factor * X, observed),
        k,
        alpha=factor,
        max_iter=15,
        solver="cholesky",
    )
    np.testing.assert_allclose(
        product(scaled.factors), factor * product(plain.factors), atol=1e-5 * factor
    )


# ---- pieces --------------------------------------------------------------------------
@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(0, 3))
def test_balancing(seed, k, lost):
    rng = np.random.RandomState(seed)
    U, V = rng.standard_normal((9, k)), rng.standard_normal((8, k))
    U[:, : min(lost, k - 1)] = 0
    T, S, D = balancing(U.T @ U, V.T @ V)
    np.testing.assert_allclose((U @ T) @ (V @ S).T, U @ V.T, atol=1e-8)
    np.testing.assert_allclose((U @ T).T @ (U @ T), np.diag(D), atol=1e-7)
    np.testing.assert_allclose((V @ S).T @ (V @ S), np.diag(D), atol=1e-7)
    sizes = np.linalg.svd(U @ V.T, compute_uv=False)[:k]
    np.testing.assert_allclose(np.sort(D)[::-1], sizes, atol=1e-7)


def test_gram_adds_up_blocks(monkeypatch):
    monkeypatch.setattr(solvers, "BLOCK", 4)
    rng = np.random.RandomState(0)
    F = rng.standard_normal((11, 5))
    w = rng.uniform(size=11)
    np.testing.assert_allclose(gram(F, 3), F[:, :3].T @ F[:, :3])
    np.testing.assert_allclose(
        gram(F, 3, w), F[:, :3].T @ (w[:, None] * F[:, :3]), atol=1e-12
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("k", [1, 7, 8, 13, 33])
@pytest.mark.parametrize("solver", ["cholesky", "pcg"])
def test_half_sweeps_are_ridge_regressions(dtype, k, solver):
    X, observed, _ = table(15, 60)
    rng = np.random.RandomState(0)
    weights = rng.uniform(0.5, 2, X.shape).astype(dtype)
    problem = problem_of(X.astype(dtype), observed, weights=weights, scaling=0.5)
    factors = solvers._start(problem, k, True, "random", False, rng)
    factors.right[:, k + 1] = rng.standard_normal(60)
    half = solvers.HalfSweep(
        problem.rows, k, True, solver, 1, lambda f, chunks: [f(c) for c in chunks]
    )
    losses = half(
        factors.right,
        problem.columns.totals,
        factors.left,
        0.7,
        0.3,
        solvers.LEAST_SQUARES,
        tol=1e-7,
        max_steps=500,
    )
    design = np.hstack([factors.right[:, :k], np.ones((60, 1))]).astype(float)
    for i in range(15):
        w = np.where(observed[i], weights[i], 0).astype(float)
        ridge = np.diag([0.7] * k + [0.3]) * w.sum() ** 0.5
        y = X[i] - factors.right[:, k + 1]
        x = np.linalg.solve(design.T * w @ design + ridge, design.T @ (w * y))
        found = np.r_[factors.left[i, :k], factors.left[i, k + 1]]
        tolerance = 1e-6 if dtype == np.float64 else 1e-5
        np.testing.assert_allclose(found, x, atol=tolerance * np.abs(x).max())
        loss = 0.5 * w @ (y - design @ x) ** 2
        assert losses[i] == pytest.approx(loss, rel=10 * tolerance)


@pytest.mark.parametrize("loss", solvers.CUTS)
def test_the_curvatures_of_losses(loss):
    expected = curvature(loss, solvers.CUTS[loss])
    assert solvers.CURVATURES[loss] == pytest.approx(expected, abs=1e-6)


def test_kernels_of_losses_match_the_formulas():
    X, observed, _ = table()
    rng = np.random.RandomState(0)
    for loss, code, cut in (("huber", 1, 0.7), ("tukey", 2, 1.5)):
        problem = problem_of(X, observed)
        start = solvers._start(problem, 3, False, "random", False, rng)
        start.left[:, :3] = 0.3 * rng.standard_normal((30, 3))
        before = start.left[:, :3].copy()
        half = solvers.HalfSweep(
            problem.rows, 3, False, "cholesky", 1, lambda f, c: [f(x) for x in c]
        )
        args = (start.right, problem.columns.totals, start.left, 0.5, 0.0)
        losses = half(*args, solvers.Loss(code, cut), tol=1e-9).sum()
        V = start.right[:, :3]
        values = []
        for U in (before, start.left[:, :3]):
            value, _ = penalised(
                X,
                observed * 1.0,
                U,
                0 * V,
                np.zeros(30),
                np.zeros(20),
                0.5,
                0.0,
                0.0,
                loss,
                cut,
            )
            fitted, _ = penalised(
                X - U @ V.T,
                observed * 1.0,
                U,
                0 * V,
                np.zeros(30),
                np.zeros(20),
                0.5,
                0.0,
                0.0,
                loss,
                cut,
            )
            values.append(fitted)
        ridge = 0.25 * np.sum(start.left[:, :3] ** 2)
        assert losses + ridge == pytest.approx(values[1], rel=1e-9)
        assert values[1] < values[0]


def test_the_path_of_ridges():
    assert ridge_path(1.0, 100.0, None, 100) == []
    assert ridge_path(60.0, 100.0, 0.9, 100) == []
    slow = ridge_path(1.0, 100.0, 0.9, 100)
    assert slow[0] == pytest.approx(50)
    assert np.all(np.diff(slow) < 0)
    assert slow[-1] * 0.9 == pytest.approx(1.0, rel=0.05)
    assert len(ridge_path(1e-9, 100.0, 0.9, 30)) == 15
    assert ridge_path(1.0, 100.0, 0.3, 1) == []


def test_zero_factors_grow_again_while_the_ridge_falls():
    X, observed, _ = table()
    problem = problem_of(X, observed)
    start = solvers._start(problem, 3, False, "random", False, np.random.RandomState(0))
    start.right[:] = 0
    state = solvers._Alternation(
        problem, start, "cholesky", 1, lambda f, c: [f(x) for x in c]
    )
    state.balance(1.0, np.random.RandomState(0))
    state.rows(1.0, 0.0, solvers.LEAST_SQUARES, 1e-2)
    assert np.abs(start.left).max() > 0.1


@pytest.mark.parametrize("nonnegative", [False, True])
def test_folding_in_is_independent_of_the_other_rows(nonnegative):
    X, observed, _ = table()
    fit = solve(problem_of(X, observed), 3, alpha=0.5)
    right = np.abs(fit.factors.right)
    options = dict(
        bias=False,
        alpha=0.5,
        alpha_bias=0.0,
        loss=fit.loss,
        nonnegative=nonnegative,
        threads=1,
    )
    whole = fold_in(problem_of(X, observed).rows, right, 3, **options)
    part = fold_in(problem_of(X[5:8], observed[5:8]).rows, right, 3, **options)
    np.testing.assert_allclose(part, whole[5:8], atol=1e-12)


# ---- recovery ------------------------------------------------------------------------
def recover(n, k, density, condition, seed):
    """Return whether a table is recovered; None where no method could.

    ``density`` is the number of entries for each degree of freedom. Factors of a row
    or column with less than k entries are not determined.
    """
    rng = np.random.default_rng(seed)
    U, _ = np.linalg.qr(rng.standard_normal((n, k)))
    V, _ = np.linalg.qr(rng.standard_normal((n, k)))
    sizes = np.geomspace(1, 1 / condition, k)
    M = (U * (sizes * n / np.linalg.norm(sizes))) @ V.T
    places = np.sort(rng.choice(n * n, int(density * k * (2 * n - k)), replace=False))
    observed = np.zeros(n * n, bool)
    observed[places] = True
    observed = observed.reshape(n, n)
    if min(observed.sum(axis).min() for axis in (0, 1)) < k:
        return None
    fit = alternate(
        problem_of(M, observed),
        k,
        alpha=1e-8,
        max_iter=600,
        tol=1e-7,
        rng=np.random.RandomState(0),
    )
    return np.sqrt(np.mean((product(fit.factors) - M) ** 2)) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("density", "condition", "share"),
    [
        (1.5, 1, 1.0),
        (1.6, 1, 0.8),
        (1.75, 1, 1.0),
        (1.6, 10, 0.8),
        (1.75, 10, 1.0),
        (1.75, 100, 0.8),
        (2.0, 100, 0.8),
        (2.5, 100, 1.0),
    ],
)
def test_exact_recovery_near_the_limit(density, condition, share):
    found = [recover(500, 5, density, condition, seed) for seed in range(202, 208)]
    found = [success for success in found if success is not None]
    assert len(found) >= 3
    assert np.mean(found) >= share


@pytest.mark.parametrize("condition", [1, 100])
def test_exact_recovery(condition):
    assert recover(150, 4, 4.0, condition, 0)


def test_a_fixed_number_of_steps_would_stall_where_the_tolerance_does_not():
    # kappa = 100: three steps of conjugate gradients are not enough, by far.
    rng = np.random.default_rng(0)
    n, k = 400, 10
    U, V = (np.linalg.qr(rng.standard_normal((n, k)))[0] for _ in range(2))
    sizes = np.geomspace(1, 0.01, k)
    M = (U * (sizes * n / np.linalg.norm(sizes))) @ V.T
    observed = rng.random((n, n)) < 0.4
    sweeps = {}
    for solver in ("cholesky", "pcg"):
        fit = alternate(
            problem_of(M, observed),
            k,
            alpha=1e-6,
            solver=solver,
            max_iter=40,
            tol=1e-6,
            rng=np.random.RandomState(0),
        )
        error = np.sqrt(np.mean((product(fit.factors) - M) ** 2))
        assert error < 1e-4
        sweeps[solver] = fit.n_iter
    assert sweeps["pcg"] <= sweeps["cholesky"] + 3


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("k", [5, 10])
def test_robust_recovery_with_gross_errors(share, k):
    rng = np.random.default_rng(3)
    n, rank = 500, 5
    M = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, n)) / rank**0.5
    X = M + 0.1 * rng.standard_normal((n, n))
    gross = rng.random((n, n)) < share
    X += np.where(gross, 10 * rng.standard_normal((n, n)), 0)
    observed = rng.random((n, n)) < 0.3

    def error(loss, observed=observed, init="spectral"):
        fit = alternate(
            problem_of(X, observed),
            k,
            alpha=2.0,
            loss=loss,
            init=init,
            max_iter=150,
            rng=np.random.RandomState(0),
        )
        return np.sqrt(np.mean((product(fit.factors) - M) ** 2))

    # As good as squares on those entries alone that have no gross error.
    clean = error("squared_error", observed & ~gross)
    assert error("tukey") < 1.05 * clean
    assert error("tukey", init="random") < 1.05 * clean
    assert error("absolute_error") < 1.4 * clean
    assert error("squared_error") > 20 * clean
    if k == rank:
        assert error("huber") < 1.4 * clean
