"""The solvers against dense formulas, and what they promise."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.optimize import minimize

from skalgos._sparse_bayes.design import Design
from skalgos._sparse_bayes.iterative import iterative, nearest_autoregression
from skalgos._sparse_bayes.kernels import sweep
from skalgos._sparse_bayes.priors import Free, Separable, Tied, neighbours, outer
from skalgos._sparse_bayes.recover import Settings, recover
from skalgos._sparse_bayes.solvers import (
    GammaPrior,
    Gram,
    _Model,
    universal_threshold,
)
from tests.reference.sparse_bayes import (
    best_single_precision,
    em,
    posterior,
    rank_one_am,
)

ALGORITHMS = ["sequential", "em", "mm", "mackay"]


def _normal(rng, *shape, complex_valued=False):
    if not complex_valued:
        return rng.standard_normal(shape)
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def _problem(n, p, k, L=1, seed=0, noise=0.1, complex_valued=False):
    rng = np.random.RandomState(seed)
    A = _normal(rng, n, p, complex_valued=complex_valued)
    X = np.zeros((p, L), A.dtype)
    X[rng.permutation(p)[:k]] = _normal(rng, k, L, complex_valued=complex_valued)
    Y = A @ X + noise * _normal(rng, n, L, complex_valued=complex_valued)
    return A, Y, X


def _solve(A, Y, algorithm, **settings):
    settings = {"threshold": 1.0} | settings
    return recover(Design(A), Y, Settings(algorithm=algorithm, **settings))


# ---- the design ----------------------------------------------------------------------
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array, sparse.csc_array])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_design_is_the_weighted_centred_scaled_matrix(container, dtype):
    rng = np.random.RandomState(0)
    X = (rng.standard_normal((20, 7)) * (rng.uniform(size=(20, 7)) < 0.5)).astype(dtype)
    X[:, 3] = 0
    weights = rng.uniform(0.5, 2, 20)
    design = Design(container(X), weights, centre=True)
    X = X.astype(float)
    centred = np.sqrt(weights)[:, None] * (X - weights @ X / weights.sum())
    norms = np.linalg.norm(centred, axis=0)
    assert_allclose(design.norms, norms, rtol=1e-6, atol=1e-12)
    expected = centred / np.where(norms > 0, norms, 1)
    assert_allclose(design.columns(np.arange(7)), expected, rtol=1e-6, atol=1e-12)
    R = design.columns(np.array([1, 4]))
    assert_allclose(design.adjoint(R), expected.T @ R, rtol=1e-6, atol=1e-12)


def test_columns_far_from_zero_keep_their_norms():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((50, 3)) + np.array([1e6, 0, -1e7])
    X = np.column_stack([X, np.full(50, 0.1)])
    design = Design(X, centre=True)
    assert_allclose(design.norms[:3], X[:, :3].std(axis=0) * np.sqrt(50), rtol=1e-8)
    assert design.scale[3] == 0


# ---- posterior and evidence ----------------------------------------------------------
@pytest.mark.parametrize("complex_valued", [False, True])
@pytest.mark.parametrize(("n", "p"), [(12, 30), (30, 12)])
@pytest.mark.parametrize("L", [1, 3])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_posterior_and_evidence_are_those_of_the_dense_formulas(
    algorithm, L, n, p, complex_valued
):
    A, Y, _ = _problem(n, p, 4, L, complex_valued=complex_valued)
    found = _solve(A, Y, algorithm, max_iter=6)
    gamma = np.zeros(p)
    gamma[found.active] = found.gamma
    mean, covariance, evidence = posterior(A, Y, gamma, found.noise)
    assert_allclose(found.mean, mean[found.active], atol=1e-9 * np.abs(mean).max())
    square = np.ix_(found.active, found.active)
    matrix = found.covariances[0].matrix()
    assert_allclose(matrix, covariance[square], atol=1e-9 * gamma.max())
    assert_allclose(found.log_evidence, evidence, rtol=1e-9)


def test_evidence_of_weighted_centred_data_is_that_of_the_contrasts():
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((10, 4)), rng.standard_normal(10)
    counts = rng.randint(1, 4, 10)
    design = Design(X, counts.astype(float), centre=True)
    Y, _ = design.response(y[:, None])
    found = recover(design, Y, Settings("em", 1.0, max_iter=3))
    rows = np.repeat(np.arange(10), counts)
    n = len(rows)
    contrasts = np.linalg.qr(np.column_stack([np.ones(n), np.eye(n)[:, 1:]]))[0][:, 1:]
    gamma = np.zeros(4)
    gamma[found.active] = found.gamma
    _, _, evidence = posterior(
        contrasts.T @ X[rows], contrasts.T @ y[rows], gamma, found.noise
    )
    assert_allclose(found.log_evidence, evidence, rtol=1e-9)


# ---- correlated outputs, priors of precisions ---------------------------------------
@pytest.mark.parametrize("complex_valued", [False, True])
@pytest.mark.parametrize(("n", "p"), [(8, 14), (14, 8)])
@pytest.mark.parametrize("correlation", ["full", "ar1"])
def test_correlated_outputs_are_those_of_the_dense_formulas(
    correlation, n, p, complex_valued
):
    A, Y, _ = _problem(n, p, 3, 4, complex_valued=complex_valued)
    found = _solve(A, Y, "em", correlation=correlation, max_iter=5, prune_tol=0.0)
    assert_allclose(np.trace(found.correlation), 4)
    if correlation == "ar1":
        first = found.correlation[0].real
        assert_allclose(first[1:], first[:-1] * first[1] / first[0])
    # All coefficients at once, a row of X after the other.
    gamma = np.zeros(p)
    gamma[found.active] = found.gamma
    prior = np.kron(np.diag(gamma), found.correlation)
    big = np.kron(A, np.eye(4))
    C = found.noise * np.eye(4 * n) + big @ prior @ big.conj().T
    inverse = np.linalg.inv(C)
    mean = (prior @ big.conj().T @ inverse @ Y.ravel()).reshape(p, 4)
    assert_allclose(found.mean, mean[found.active], atol=1e-9 * np.abs(mean).max())
    covariance = prior - prior @ big.conj().T @ inverse @ big @ prior
    variance = covariance.diagonal().real.reshape(p, 4)[found.active]
    diagonals = found.for_outputs([c.diagonal() for c in found.covariances])
    assert_allclose(diagonals, variance, atol=1e-9 * gamma.max())
    fit = (Y.ravel().conj() @ inverse @ Y.ravel()).real + np.linalg.slogdet(C)[1]
    if complex_valued:
        evidence = -fit - 4 * n * np.log(np.pi)
    else:
        evidence = -0.5 * (fit + 4 * n * np.log(2 * np.pi))
    assert_allclose(found.log_evidence, evidence, rtol=1e-9)


@pytest.mark.parametrize("algorithm", ["em", "mm"])
@pytest.mark.parametrize("correlation", ["full", "ar1"])
def test_scores_with_correlated_outputs_never_fall(algorithm, correlation):
    for seed in range(3):
        A, Y, _ = _problem(15, 30, 4, 6, seed=seed, noise=0.3)
        found = _solve(A, np.cumsum(Y, axis=1), algorithm, correlation=correlation)
        assert np.diff(found.scores).min() > -1e-9 * np.abs(found.scores).max()


def test_full_correlation_does_not_depend_on_the_basis_of_outputs():
    A, Y, _ = _problem(15, 30, 4, 3, noise=0.3)
    Q = np.linalg.qr(np.random.RandomState(1).standard_normal((3, 3)))[0]
    a = _solve(A, Y, "em", correlation="full", max_iter=50)
    b = _solve(A, Y @ Q, "em", correlation="full", max_iter=50)
    assert_allclose(a.active, b.active)
    assert_allclose(a.mean @ Q, b.mean, atol=1e-8)
    assert_allclose(Q.T @ a.correlation @ Q, b.correlation, atol=1e-7)


def test_nearest_autoregression_is_the_likeliest():
    rng = np.random.RandomState(0)
    half = rng.standard_normal((5, 12))
    M = half @ half.T / 12
    lags = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))

    def cost(B):
        return np.linalg.slogdet(B)[1] + np.trace(np.linalg.solve(B, M))

    best = nearest_autoregression(M)
    for r in np.linspace(-0.98, 0.98, 99):
        R = r**lags
        scale = np.trace(np.linalg.solve(R, M)) / 5
        assert cost(best) <= cost(scale * R) + 1e-9
    r = best[0, 1] / best[0, 0]
    for other in (r - 1e-4, r + 1e-4):
        R = other**lags
        assert cost(best) < cost(np.trace(np.linalg.solve(R, M)) / 5 * R)


@pytest.mark.parametrize("algorithm", ["em", "mm"])
@pytest.mark.parametrize("structure", ["free", "groups", "chain", "shape"])
def test_scores_with_priors_of_precisions_never_fall(algorithm, structure):
    A, Y, _ = _problem(25, 36, 5, 2, noise=0.5)
    settings = {
        "free": {},
        "groups": {"membership": sparse.csr_array(np.repeat(np.eye(12), 3, axis=0))},
        "chain": {"coupling": (0.5,)},
        "shape": {"shape": (4, 9)},
    }[structure]
    found = _solve(
        A,
        Y,
        algorithm,
        noise_prior=GammaPrior(3.0, 0.5),
        variance_prior=GammaPrior(0.5, 0.01),
        **settings,
    )
    assert np.diff(found.scores).min() > -1e-9 * np.abs(found.scores).max()


@pytest.mark.parametrize("algorithm", ["em", "mm", "mackay"])
def test_priors_of_precisions_reach_the_mode(algorithm):
    A, Y, _ = _problem(30, 5, 5, 2)
    A /= np.linalg.norm(A, axis=0)
    Y *= np.sqrt(60) / np.linalg.norm(Y)
    variances, noise = GammaPrior(1.5, 0.3), GammaPrior(4.0, 0.7)
    found = iterative(
        Design(A),
        Y,
        prior=Free(np.ones(5)),
        active=np.arange(5),
        update=algorithm,
        dof=30.0,
        noise=0.1,
        learn_noise=True,
        max_iter=100_000,
        tol=1e-12,
        prune_tol=0.0,
        noise_prior=noise,
        variance_prior=variances,
    )

    def cost(logs):
        gamma, s2 = np.exp(logs[:5]), np.exp(logs[5])
        score = posterior(A, Y, gamma, s2)[2]
        score -= np.sum(1.5 * np.log(gamma) + 0.3 / gamma)
        return -(score - 4 * np.log(s2) - 0.7 / s2)

    best = minimize(cost, np.zeros(6), tol=1e-12)
    assert_allclose(-found.scores[-1], best.fun, rtol=1e-9)
    assert_allclose(np.log([*found.gamma, found.noise]), best.x, atol=1e-4)


def test_a_prior_of_the_noise_holds_for_the_sequential_algorithm_too():
    A, Y, _ = _problem(30, 60, 3)
    prior = GammaPrior(1e6, 1e6 * 0.3)
    found = _solve(A, Y, "sequential", threshold="universal", noise_prior=prior)
    assert_allclose(found.noise, 0.3 * np.mean(Y**2), rtol=1e-3)
    assert np.diff(found.scores).min() > -1e-9 * np.abs(found.scores).max()


# ---- optima --------------------------------------------------------------------------
@pytest.mark.parametrize("L", [1, 4])
@pytest.mark.parametrize("complex_valued", [False, True])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_orthonormal_columns_have_a_closed_form(algorithm, complex_valued, L):
    rng = np.random.RandomState(0)
    A = np.linalg.qr(_normal(rng, 40, 15, complex_valued=complex_valued))[0]
    X = 3 * _normal(rng, 15, L, complex_valued=complex_valued)
    X[::2] *= 0.05
    Y = A @ X + 0.8 * _normal(rng, 40, L, complex_valued=complex_valued)
    noise = 0.64 * (2 if complex_valued else 1)
    found = _solve(A, Y, algorithm, noise_variance=noise, tol=1e-10, max_iter=100_000)
    projected = A.conj().T @ Y
    power = np.mean(np.abs(projected) ** 2, axis=1)
    gamma = np.maximum(power - noise, 0)
    expected = (gamma / power)[:, None] * projected
    coef = np.zeros_like(expected)
    coef[found.active] = found.mean
    assert 0 < np.count_nonzero(gamma) < 15
    assert_allclose(coef, expected, atol=1e-5)
    full = np.zeros(15)
    full[found.active] = found.gamma
    assert_allclose(full, gamma, atol=1e-4)


@pytest.mark.parametrize("learn_noise", [False, True])
def test_em_takes_the_steps_of_the_formula(learn_noise):
    A, Y, _ = _problem(15, 25, 3)
    A /= np.linalg.norm(A, axis=0)
    Y *= np.sqrt(15) / np.linalg.norm(Y)
    prior = Free(np.full(25, 15 / 25))
    found = iterative(
        Design(A),
        Y,
        prior=prior,
        active=np.arange(25),
        update="em",
        dof=15.0,
        noise=0.1,
        learn_noise=learn_noise,
        max_iter=8,
        tol=0.0,
        prune_tol=0.0,
    )
    gamma, noise, evidences = em(A, Y, 0.1, 9, np.full(25, 0.6), learn_noise)
    assert_allclose(found.scores, evidences, rtol=1e-9)
    gamma, noise, _ = em(A, Y, 0.1, 8, np.full(25, 0.6), learn_noise)
    assert_allclose(found.gamma, gamma, rtol=1e-7)
    assert_allclose(found.noise, noise, rtol=1e-9)


def test_sweep_sets_each_precision_to_its_optimum():
    A, Y, _ = _problem(20, 6, 6)
    A /= np.linalg.norm(A, axis=0)
    alpha = np.random.RandomState(1).uniform(0.1, 10, 6)
    noise = 0.05
    _, covariance, _ = posterior(A, Y, 1 / alpha, noise)
    mean = covariance @ A.T @ Y / noise
    changed, deleted = alpha.copy(), np.zeros(6, bool)
    sweep(covariance, mean, changed, 1.0, 0.0, np.empty(6), deleted)
    expected = alpha.copy()
    for j in range(6):
        expected[j] = best_single_precision(A, Y[:, 0], expected, noise, j)
    assert_allclose(np.where(deleted, np.inf, changed), expected, rtol=1e-6)
    gamma = np.where(deleted, 0.0, 1 / changed)
    assert_allclose(covariance, posterior(A, Y, gamma, noise)[1], atol=1e-10)


@pytest.mark.parametrize("complex_valued", [False, True])
def test_candidates_are_those_of_the_formula(complex_valued):
    A, Y, _ = _problem(15, 40, 4, 2, complex_valued=complex_valued)
    A /= np.linalg.norm(A, axis=0)
    model = _Model(Gram(Design(A), Y), 15.0, 1.0, 0.3, False)
    model.gram.add(np.array([3, 9, 30]))
    model.active, model.alpha = np.array([3, 9, 30]), np.array([0.5, 2.0, 1.0])
    model.gather()
    model.factor()
    s, square = model.candidates()
    gamma = np.zeros(40)
    gamma[model.active] = 1 / model.alpha
    inverse = np.linalg.inv(0.3 * np.eye(15) + (A * gamma) @ A.conj().T)
    expected = np.einsum("ij,ik,kj->j", A.conj(), inverse, A).real
    expected[model.active] = 0
    assert_allclose(s, expected, rtol=1e-9, atol=1e-12)
    q = A.conj().T @ inverse @ Y
    outside = expected > 0
    assert_allclose(
        square[outside], np.mean(np.abs(q) ** 2, axis=1)[outside], rtol=1e-8
    )
    assert_allclose(model.evidence, posterior(A, Y, gamma, 0.3)[2], rtol=1e-10)


def test_sequential_ends_where_no_single_change_helps():
    A, Y, _ = _problem(30, 60, 5)
    found = _solve(A, Y, "sequential", tol=1e-9, noise_variance=0.01)
    gamma = np.zeros(60)
    gamma[found.active] = found.gamma
    best = posterior(A, Y, gamma, 0.01)[2]
    for j in range(60):
        for factor in (0.0, 0.9, 1.1):
            other = gamma.copy()
            other[j] *= factor
            if not gamma[j]:
                other[j] = factor * np.mean(found.gamma) * 0.01
            assert posterior(A, Y, other, 0.01)[2] <= best + 1e-6


@pytest.mark.parametrize("algorithm", ["sequential", "em", "mm"])
@pytest.mark.parametrize("seed", range(5))
def test_scores_never_fall(algorithm, seed):
    A, Y, _ = _problem(25, 60, 6, seed=seed, noise=0.5)
    found = _solve(A, Y, algorithm, max_iter=300)
    assert np.diff(found.scores).min() > -1e-9 * np.abs(found.scores).max()


@pytest.mark.parametrize("threshold", ["universal", 1.0])
def test_noise_starts_do_not_do_worse_than_one(threshold):
    A, Y, _ = _problem(60, 120, 20, noise=0.05)
    one = _solve(A, Y, "sequential", threshold=threshold)
    four = _solve(A, Y, "sequential", threshold=threshold, n_noise_starts=4)
    assert four.scores[-1] >= one.scores[-1] - 1e-6


def test_universal_threshold_is_the_quantile_of_noise():
    rng = np.random.RandomState(0)
    for L in (1, 3):
        tau = universal_threshold(100, L, False, 0.2)
        ratios = np.mean(rng.standard_normal((20_000, 100, L)) ** 2, axis=2)
        # 20 000 repetitions of a mean of 0.2: five standard errors.
        assert abs((ratios > tau).sum(axis=1).mean() - 0.2) < 0.016
    assert universal_threshold(1, 1, False, 5.0) == 1.0


# ---- structured priors ---------------------------------------------------------------
def _bound(update, u, square, variance, s):
    if update == "mm":
        return np.sum(s * u + square / u)
    return np.sum(np.log(u) + (square + variance) / u)


@pytest.mark.parametrize("update", ["em", "mm"])
@pytest.mark.parametrize("kind", ["groups", "overlapping", "chain", "separable"])
def test_steps_of_structured_priors_lower_their_bounds(kind, update):
    rng = np.random.RandomState(0)
    square, variance, s = rng.uniform(0.1, 2, (3, 24))
    if kind == "groups":
        C = sparse.csr_array(np.eye(8)[np.repeat(np.arange(8), 3)])
        prior = Tied(C, np.ones(8))
    elif kind == "overlapping":
        C = sparse.csr_array((rng.uniform(size=(24, 6)) < 0.4) + np.eye(24, 6))
        C = sparse.csr_array((C.toarray() + (C.toarray().sum(1) == 0)[:, None]) > 0)
        prior = Tied(C.astype(float), np.ones(6))
    elif kind == "chain":
        prior = Tied(neighbours(24, 0.6), np.ones(24))
    else:
        couplings = [None, neighbours(3, 0.5).toarray(), None]
        prior = Separable([np.ones(4), np.ones(3), np.ones(2)], couplings)
    values = []
    for _ in range(30):
        values.append(_bound(update, prior.gamma, square, variance, s))
        prior.step(update, square, variance, s)
    assert np.diff(values).max() < 1e-9
    assert values[-1] < values[0]


def test_alternating_minimisation_reaches_the_convex_optimum():
    tensor = np.random.RandomState(0).uniform(0.1, 3, (3, 4, 2))
    prior = Separable([np.ones(3), np.ones(4), np.ones(2)])
    for _ in range(20):
        prior.step("em", tensor.ravel(), np.zeros(24), None)

    def cost(u):
        return np.sum(np.log(u) + tensor.ravel() / u)

    def of_logs(logs):
        parts = np.split(logs, [3, 7])
        return cost(np.exp(np.log(outer([np.exp(p) for p in parts]))))

    best = min(
        minimize(of_logs, np.random.RandomState(i).normal(size=9), tol=1e-12).fun
        for i in range(3)
    )
    assert_allclose(cost(prior.gamma), best, rtol=1e-9)
    assert_allclose(prior.gamma, outer(rank_one_am(tensor)), rtol=1e-5)


def test_heuristic_steps_return_an_outer_product_as_it_is():
    rng = np.random.RandomState(0)
    factors = [rng.uniform(0.1, 1, n) for n in (4, 3, 5)]
    for update in ("svd", "kl"):
        prior = Separable([np.ones(4), np.ones(3), np.ones(5)])
        prior.step(update, outer(factors), np.zeros(60), None)
        assert_allclose(prior.gamma, outer(factors), rtol=1e-8)


def test_memory_stays_below_one_square_matrix():
    import tracemalloc

    A, Y, _ = _problem(100, 20_000, 5)
    design = Design(A)
    _solve(A, Y, "sequential", threshold="universal")
    tracemalloc.start()
    found = recover(design, Y, Settings("sequential", "universal"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.active) == 5
    assert peak < 8 * 20_000 * (3 * 16 + 20)
