import numpy as np
import pytest
from scipy.special import softmax

from skalgos.linear_model import CheckeredClassifier, minimize_xgd
from tests.reference import checkered as reference


def random_problem(seed, dim=3, S=4):
    """Return log p_s(x) = -log(1 + exp(a_s . x + b_s)), and its Lipschitz constant."""
    rng = np.random.RandomState(seed)
    A, b = rng.normal(size=(S, dim)), rng.normal(size=S)

    def log_terms(x):
        z = A @ x + b
        return -np.logaddexp(0, z), -A / (1 + np.exp(-z))[:, None]

    return log_terms, np.linalg.norm(A, axis=1).max(), rng


def value(log_terms, x):
    return -np.logaddexp.reduce(log_terms(x)[0])


@pytest.mark.parametrize("seed", range(40))
def test_the_bound_of_the_paper_holds(seed):
    log_terms, B, rng = random_problem(seed)
    eta = rng.normal(size=3)
    x0 = eta + rng.normal(size=3)
    radius = np.linalg.norm(x0 - eta)
    result = minimize_xgd(
        log_terms,
        x0,
        mu=("point", eta),
        step="theory",
        lipschitz=B,
        radius=radius,
        max_iter=300,
        tol=0,
    )
    np.testing.assert_allclose(result.mu, softmax(log_terms(eta)[0]), rtol=1e-12)
    steps = result.step_history
    np.testing.assert_allclose(steps, radius / (B * np.sqrt(np.arange(1, 301))))
    gain = steps * (result.fun_history[:-1] - value(log_terms, eta))
    total = np.cumsum(steps)
    bound = (radius**2 + B**2 * np.cumsum(steps**2)) / (2 * total)
    assert (np.cumsum(gain) / total <= bound + 1e-12).all()


def test_refresh_1_is_gradient_descent():
    log_terms, _, rng = random_problem(0)
    x = rng.normal(size=3)
    result = minimize_xgd(log_terms, x, step=0.2, max_iter=10, tol=0)
    for _ in range(10):
        logs, gradients = log_terms(x)
        x = x + 0.2 * softmax(logs) @ gradients
    np.testing.assert_allclose(result.x, x, rtol=1e-12)
    assert (np.diff(result.fun_history) < 0).all()


def test_fixed_and_refreshed_mu_differ():
    log_terms, _, rng = random_problem(1)
    x0, mu = rng.normal(size=3), np.array([0.7, 0.1, 0.1, 0.1])
    fixed = minimize_xgd(log_terms, x0, mu=mu, step=0.1, max_iter=6, tol=0)
    np.testing.assert_array_equal(fixed.mu, mu)
    again = minimize_xgd(log_terms, x0, mu=mu, refresh=3, step=0.1, max_iter=6, tol=0)
    np.testing.assert_allclose(again.fun_history[:4], fixed.fun_history[:4])
    assert abs(again.fun - fixed.fun) > 1e-6


def test_it_runs_checkered_regression():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(12, 2))
    codes = (X.prod(axis=1) > 0).astype(int)
    weights = np.full(12, 1.0)
    log_terms = reference.parity_terms(X, codes, weights, 2)
    start = rng.normal(size=(2, 2))
    result = minimize_xgd(log_terms, start.ravel(), step=0.05, max_iter=20, tol=0)
    model = CheckeredClassifier(
        2,
        C=1e12,
        fit_intercept=False,
        solver="xgd",
        init=start,
        max_iter=20,
        tol=0,
        prune=False,
    )
    # The same step, for mean losses and features of unit mean square.
    size = np.sqrt((X**2).mean(axis=0))
    terms = reference.parity_terms(X / size, codes, weights, 2)
    result = minimize_xgd(
        terms, (start * size).ravel(), step=0.6 / 12, max_iter=20, tol=0
    )
    with pytest.warns(match="max_iter=20"):
        model.set_params(learning_rate=0.6).fit(X, codes)
    np.testing.assert_allclose(model.loss_curve_, result.fun_history / 12, rtol=1e-8)


def test_callback_and_tol_stop():
    log_terms, _, rng = random_problem(2)
    seen = []

    def callback(x, fun):
        seen.append(fun)
        return len(seen) == 4

    result = minimize_xgd(log_terms, np.zeros(3), step=0.1, callback=callback)
    assert result.nit == 4
    assert result.success
    centre = np.array([1.0, -2.0])

    def quadratic(x):
        return np.array([-((x - centre) ** 2).sum()]), -2 * (x - centre)[None]

    result = minimize_xgd(quadratic, np.zeros(2), step=0.25, tol=1e-9)
    assert result.success
    np.testing.assert_allclose(result.x, centre, atol=1e-8)
    assert not minimize_xgd(quadratic, np.zeros(2), step=0.01, max_iter=3).success


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "step='theory' needs lipschitz and radius"),
        ({"step": 0.1, "mu": [0.5, 0.5]}, "mu must have the shape"),
        ({"step": 0.1, "mu": [0.5, 0.5, 0.5, 0.5]}, "sum to 1"),
        ({"step": 0.1, "mu": ("centre", np.zeros(3))}, "mu must be 'posterior'"),
        ({"step": -1.0}, "'step' parameter"),
        ({"step": 0.1, "refresh": 0}, "'refresh' parameter"),
    ],
)
def test_bad_arguments(arguments, message):
    log_terms, _, _ = random_problem(0)
    with pytest.raises(ValueError, match=message):
        minimize_xgd(log_terms, np.zeros(3), **arguments)


def test_bad_functions():
    with pytest.raises(ValueError, match="x0 must be finite"):
        minimize_xgd(lambda x: (x, x), [[0.0]], step=0.1)
    with pytest.raises(ValueError, match="log_terms must return"):
        minimize_xgd(lambda x: (x, x), [0.0, 1.0], step=0.1)
    with pytest.raises(ValueError, match="NaN"):
        minimize_xgd(lambda x: (x * np.nan, np.eye(2)), [0.0, 1.0], step=0.1)
