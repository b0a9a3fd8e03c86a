import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import approx_fprime, minimize

from skalgos.linear_model._checkered import search, solvers
from skalgos.linear_model._checkered.objectives import (
    BinaryObjective,
    CircularObjective,
    Design,
    SoftObjective,
    canonical_order,
)
from tests.reference import checkered as reference

NOISE = [None, 2.0, "fit"]


def problem(K, m, noise=None, n=40, d=3, seed=0, intercept=True, make=np.asarray):
    rng = np.random.RandomState(seed)
    X = 1 + rng.normal(size=(n, d)) * [1, 10, 0.1][:d]
    X[rng.uniform(size=X.shape) < 0.3] = 0
    codes = np.sort(rng.randint(K, size=n))
    weights = rng.uniform(0.1, 2, n)
    design = Design.standardised(make(X), weights, intercept)
    if K == 2:
        args = design, 2.0 * codes - 1, weights, 0.03, (m,), noise
        return X, codes, weights, BinaryObjective(*args)
    args = design, codes, weights, 0.03, (m, K), noise
    return X, codes, weights, CircularObjective(*args, residues=np.arange(K))


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("m", [1, 2, 3, 4])
@pytest.mark.parametrize("K", [2, 3, 4])
def test_objective_and_derivatives(K, m, noise):
    X, codes, weights, objective = problem(K, m, noise)
    theta = np.random.RandomState(1).normal(size=objective.size)
    value, gradient, H = objective(theta[None], hessian=True)
    V, logit = objective.unpack(theta)
    coef, intercept = objective.design.to_units(V.reshape(*objective.shape, -1))
    rate = 0.0 if logit is None else (K - 1) / (np.exp(logit) + K - 1)
    C = 1 / (0.03 * weights.sum())
    expected = reference.objective(X, codes, weights, C, coef, intercept, rate)
    assert value[0] == pytest.approx(expected, rel=1e-13)

    slope = approx_fprime(theta, lambda x: objective(x[None])[0][0], 1e-6)
    np.testing.assert_allclose(gradient[0], slope, atol=1e-5)
    objective._pin = lambda curvature: None
    H = objective(theta[None], hessian=True)[2]
    bend = approx_fprime(theta, lambda x: objective(x[None])[1][0], 1e-6)
    np.testing.assert_allclose(H, bend, atol=1e-5)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("K", [2, 3])
def test_sparse_rows_give_the_same(K, intercept):
    arguments = {"intercept": intercept, "noise": 1.5}
    *_, dense = problem(K, 2, **arguments)
    *_, thin = problem(K, 2, make=sparse.csr_array, **arguments)
    theta = np.random.RandomState(1).normal(size=(1, dense.size))
    for a, b in zip(dense(theta, True), thin(theta, True), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-11)


def test_models_evaluated_together_equal_single_ones():
    for K in (2, 3):
        *_, objective = problem(K, 3)
        theta = np.random.RandomState(1).normal(size=(5, objective.size))
        values, gradients = objective(theta)
        for row, value, gradient in zip(theta, values, gradients, strict=True):
            one = objective(row[None])
            assert one[0][0] == pytest.approx(value, rel=1e-14)
            np.testing.assert_allclose(one[1][0], gradient, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("m", [1, 2, 3])
def test_gradients_are_finite_far_out(K, m):
    X, codes, weights, objective = problem(K, m)
    theta = 1e4 * np.random.RandomState(2).normal(size=objective.size)
    objective.penalty[:] = 0
    value, gradient, H = objective(theta[None], hessian=True)
    assert np.isfinite(H).all()
    Z = objective.logits(objective.unpack(theta)[0])
    assert np.abs(Z).max() > 1e4
    if K == 2:  # an even number of failures is label 1
        Z, codes = np.stack([np.zeros_like(Z), -Z], axis=1), 1 - codes
    logs = [reference.log_circular(Z[..., i], c) for i, c in enumerate(codes)]
    share = weights / weights.sum()
    assert value[0] == pytest.approx(-share @ logs, rel=1e-12)
    # One factor has all the blame, so that the gradient is bounded by the features.
    assert np.abs(gradient).max() <= np.abs(objective.design.columns).max() + 1e-9
    assert np.abs(gradient).max() > 1e-3


def test_two_classes_far_out_equal_long_arithmetic():
    z = np.array(
        [[700.0, 650, -3], [1200, -900, 1e3], [900, 900, -900], [-5, 1e3, 1e3]]
    )
    design = Design(np.eye(4), np.zeros(4), np.ones(4), False)
    for y in (-1.0, 1.0):
        objective = BinaryObjective(design, np.full(4, y), np.ones(4), 0.0, (3,))
        value, gradient = objective(z.T.reshape(1, -1).copy())
        logs = [reference.log_checkoid(row, y) for row in z]
        assert value[0] == pytest.approx(-np.mean(logs), rel=1e-13)
        assert np.isfinite(gradient).all()


# ---- rows ----------------------------------------------------------------------------
@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6))
def test_the_order_of_rows_depends_on_their_values_alone(seed):
    rng = np.random.RandomState(seed)
    X = rng.randint(0, 2, (20, 3)).astype(float)
    codes = rng.randint(0, 2, 20)
    shuffle = rng.permutation(20)
    for make in (np.asarray, sparse.csr_array):
        order, first = canonical_order(make(X), codes)
        again, first_again = canonical_order(make(X[shuffle]), codes[shuffle])
        table = np.column_stack([X, codes])
        np.testing.assert_array_equal(table[order], table[shuffle][again])
        np.testing.assert_array_equal(first, first_again)
        assert first.sum() == len(np.unique(table, axis=0))


def test_rows_of_equal_projection_are_told_apart():
    # The second feature is lost in the rounding of the projection.
    X = np.array([[1e20, 1.0], [1e20, 2.0], [1e20, 1.0], [1e20, 3.0]])
    order, first = canonical_order(X, np.zeros(4, int))
    np.testing.assert_array_equal(X[order, 1], [1, 1, 2, 3])
    np.testing.assert_array_equal(first, [True, False, True, True])


def test_systematic_samples_know_no_difference_between_weights_and_repetition():
    weights = np.random.RandomState(0).randint(1, 5, 30)
    index = search.systematic_sample(weights.astype(float), 17)
    repeated = np.repeat(np.arange(30), weights)
    again = repeated[search.systematic_sample(np.ones(len(repeated)), 17)]
    np.testing.assert_array_equal(index, again)


# ---- minimisers ----------------------------------------------------------------------
@pytest.mark.parametrize("K", [2, 3])
def test_solvers_meet_at_a_minimum(K):
    *_, objective = problem(K, 2, n=120)
    start = 0.5 * np.random.RandomState(3).normal(size=objective.size)
    if K == 3:
        V = start.reshape(2, 3, -1)
        start = (V - V.mean(axis=1, keepdims=True)).ravel()
    start = solvers.lbfgs(objective, start, max_iter=30, tol=1e-3).theta
    expected = minimize(
        lambda x: tuple(part[0] for part in objective(x[None])),
        start,
        jac=True,
        method="BFGS",
        options={"gtol": 1e-9},
    )
    budget = {"max_iter": 3000, "tol": 1e-7}
    slow = {"max_iter": 3000, "tol": 1e-4}
    xgd = solvers.xgd(objective, start, targets=None, refresh=1, **slow)
    fits = {
        "newton": (1e-10, solvers.newton(objective, start, **budget)),
        "lbfgs": (1e-10, solvers.lbfgs(objective, start, **budget)),
        "em": (1e-3, solvers.em(objective, start, **slow)),
        "xgd": (1e-3, xgd),
    }
    for name, (rtol, fit) in fits.items():
        assert fit.converged, name
        assert fit.loss == pytest.approx(expected.fun, rel=rtol), name
        losses = np.array(fit.losses)
        assert (np.diff(losses) <= 1e-12 * losses[0]).all(), name


def test_newton_takes_no_saddle_for_a_minimum():
    # Four points of exclusive or: W = 0 is stationary.
    X = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    design = Design.standardised(X, np.ones(4), True)
    objective = BinaryObjective(design, X[:, 0] * X[:, 1], np.ones(4), 0.01, (2,))
    start = 1e-3 * np.random.RandomState(0).normal(size=objective.size)
    fit = solvers.newton(objective, start, max_iter=200, tol=1e-8)
    assert fit.converged
    assert fit.loss < 0.5 * math.log(2)


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("m", [1, 2, 4])
def test_the_default_step_never_raises_the_loss(K, m):
    for seed in range(5):
        *_, objective = problem(K, m, seed=seed)
        start = 3 * np.random.RandomState(seed).normal(size=objective.size)
        fit = solvers.xgd(
            objective, start, targets=None, refresh=1, max_iter=200, tol=0
        )
        assert len(fit.losses) == 201
        assert (np.diff(fit.losses) <= 1e-14).all()


@pytest.mark.parametrize("K", [2, 3])
def test_refresh_1_is_gradient_descent_step_for_step(K):
    *_, objective = problem(K, 3)
    theta = np.random.RandomState(0).normal(size=objective.size)
    rate = 0.3
    expected = theta.copy()
    for steps in range(1, 6):
        expected -= rate * objective(expected[None])[1][0]
        fit = solvers.xgd(
            objective,
            theta,
            targets=None,
            refresh=1,
            rate=rate,
            max_iter=steps,
            tol=0,
        )
        np.testing.assert_allclose(fit.theta, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("K", [2, 3])
def test_fixed_mu_is_separate_regressions_and_refreshing_is_em(K):
    *_, objective = problem(K, 2)
    theta = np.random.RandomState(0).normal(size=objective.size)
    q = objective.posterior(theta)
    soft = SoftObjective(objective, q)
    # Seen from the current point the cross-gradient is the gradient.
    np.testing.assert_allclose(
        soft(theta[None])[1], objective(theta[None])[1], rtol=1e-9, atol=1e-13
    )
    # The loss is the soft one, less an entropy and a divergence: it lies below any soft
    # one that it touches, so steps between refreshes do not end above their start.
    gap = soft(theta[None])[0] - objective(theta[None])[0]
    for seed in range(20):
        other = theta + np.random.RandomState(seed).normal(size=objective.size)
        assert soft(other[None])[0] - objective(other[None])[0] >= gap - 1e-12
    fit = solvers.xgd(objective, theta, targets=q, refresh=None, max_iter=60, tol=0)
    assert fit.losses[-1] < fit.losses[0]


def test_posteriors_equal_enumeration():
    for K, m in itertools.product([2, 3], [2, 3]):
        *_, objective = problem(K, m, n=8)
        theta = np.random.RandomState(0).normal(size=objective.size)
        q = objective.posterior(theta)
        Z = objective.logits(objective.unpack(theta)[0])
        if K == 2:
            Z = np.stack([np.zeros_like(Z), Z], axis=1)
            labels = (objective.labels > 0).astype(int)
        else:
            labels = objective.labels
        for i, label in enumerate(labels):
            logs = Z[..., i] - np.logaddexp.reduce(Z[..., i], axis=1, keepdims=True)
            total = np.zeros((m, K))
            for v in itertools.product(range(K), repeat=m):
                zeros = m - sum(v)
                good = zeros % 2 == 0 if K == 2 else sum(v) % K == label
                if K == 2 and label == 0:
                    good = not good
                if good:
                    p = np.exp(logs[range(m), v].sum())
                    total[range(m), v] += p
            total /= total.sum(axis=1, keepdims=True)
            expected = total[:, 1] if K == 2 else total
            np.testing.assert_allclose(q[..., i], expected, rtol=1e-9)


# ---- search --------------------------------------------------------------------------
def test_matching_equals_brute_force():
    rng = np.random.RandomState(0)
    for _ in range(20):
        sides = rng.uniform(size=(12, 90)) < 0.5
        y = np.where(rng.uniform(size=90) < 0.5, 1.0, -1.0)
        signs = np.where(sides, 1, -1)
        picks = search.matched_sets(sides, y, 2, 1, 1, rng)
        best = max(abs(signs[i] * signs[j] @ y) for i in range(12) for j in range(12))
        assert abs(signs[picks[0]].prod(axis=0) @ y) == best


def test_matching_finds_planted_sets():
    rng = np.random.RandomState(0)
    found = 0
    for _ in range(20):
        sides = rng.uniform(size=(60, 300)) < 0.5
        signs = np.where(sides, 1, -1)
        y = signs[[3, 17, 40]].prod(axis=0) * 1.0
        # Here candidates are independent: a set is found if one of three is drawn.
        picks = search.matched_sets(sides, y, 3, 100, 1, rng)
        found += abs(signs[picks[0]].prod(axis=0) @ y) == 300
    assert found >= 19


@pytest.mark.parametrize(("K", "count"), [(3, 1), (4, 3), (5, 6), (6, 60)])
def test_orders_of_classes(K, count):
    orders = list(search.inequivalent_orders(K))
    assert (
        len(orders)
        == count
        == math.factorial(K) / K / sum(math.gcd(a, K) == 1 for a in range(1, K))
    )
    reached = set()
    for order in orders:
        for a in range(1, K):
            if math.gcd(a, K) == 1:
                for c in range(K):
                    moved = [0] * K
                    for place, label in enumerate(order):
                        moved[(a * place + c) % K] = label
                    reached.add(tuple(moved))
    assert reached == set(itertools.permutations(range(K)))


def test_local_hyperplanes_are_ridge_regressions():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(60, 2))
    y = np.sign(X[:, 0])
    design = Design.standardised(X, np.ones(60), True)
    V = search.local_hyperplanes(design, y, 8, np.random.RandomState(5))
    centers = np.random.RandomState(5).randint(60, size=8)
    points = design.columns.T
    for v, center, size in zip(V, centers, [12, 24, 48, 60] * 2, strict=True):
        distances = ((points - points[center]) ** 2).sum(axis=1)
        near = np.argsort(distances)[:size]
        A = points[near].T @ points[near] + 1e-2 * size * np.eye(3)
        expected = np.linalg.solve(A, points[near].T @ y[near])
        np.testing.assert_allclose(v, expected, rtol=1e-9)
