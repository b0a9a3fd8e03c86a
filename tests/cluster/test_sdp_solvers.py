"""The solvers of the semidefinite programs against dense formulas and brute force."""

import numpy as np
import pytest
from scipy.cluster import hierarchy
from scipy.optimize import minimize

from skalgos.cluster._sdp.certificates import certify_kmeans, certify_lasdp
from skalgos.cluster._sdp.exact import (
    exact_kmeans,
    exact_lasdp,
    fantope,
    simplex,
)
from skalgos.cluster._sdp.gaussians import (
    Structure,
    likelihood,
    moments,
    nearest,
    normals,
    rematch,
    scores,
    structured,
)
from skalgos.cluster._sdp.kernels import lasdp_step
from skalgos.cluster._sdp.low_rank import low_rank_sdp, partition_factor
from skalgos.cluster._sdp.programs import lasdp_costs, relaxed_moments
from skalgos.cluster._sdp.rounding import memberships, ward_labels
from tests.reference.sdp import (
    inertia,
    likelihood_matrices,
    make_ellipses,
    partition_matrices,
    partitions,
    project_simplex,
)


def serial(function, chunks):
    return [function(chunk) for chunk in chunks]


def centred_gram(X):
    X = X - X.mean(axis=0)
    return X @ X.T


def feasible(factors, n, n_clusters, tol):
    """Check the constraints of the sum of the matrices, by hand."""
    Z = sum(F @ F.T for F in factors)
    assert abs(np.trace(Z) - n_clusters) < tol
    assert np.abs(Z.sum(axis=1) - 1).max() < tol * np.sqrt(n)
    assert np.minimum(Z, 0).min() > -tol
    return Z


# Optima to seven digits by an interior point solver, from the data of the design.
OPTIMA = [(60, 3, 205.45889, -76.17137), (60, 6, 732.7467, -80.65927)]


@pytest.mark.parametrize(("n", "sep", "kmeans", "lasdp"), OPTIMA)
def test_exact_solvers_reach_the_optimum(n, sep, kmeans, lasdp):
    X, _, S = make_ellipses(n, 3, 4, sep, "mixed", 3)
    q = np.full(n, 1 / np.sqrt(n))
    gram = centred_gram(X)
    fit = exact_kmeans(gram.copy(), q, 3, tol=1e-6, max_iter=20000)
    assert fit.converged
    assert fit.objective == pytest.approx(kmeans, rel=1e-5)
    assert kmeans * (1 - 1e-6) < fit.bound < kmeans * (1 + 1e-5)
    Z = feasible(fit.factors, n, 3, 1e-4)
    assert np.sum(gram * Z) == pytest.approx(fit.objective)

    A = likelihood_matrices(X, S)
    fit = exact_lasdp(-A, q, tol=1e-6, max_iter=20000)
    assert fit.converged
    assert fit.objective == pytest.approx(lasdp, rel=1e-5)
    assert lasdp * (1 + 1e-6) < fit.bound < lasdp * (1 - 1e-5)
    feasible(fit.factors, n, 3, 1e-4)
    by_hand = sum(np.sum(a * (F @ F.T)) for a, F in zip(A, fit.factors, strict=True))
    assert by_hand == pytest.approx(fit.objective)


def cone_optimum(matrices, n_clusters, solver, settings):
    """Maximise sum <A_k, Z_k> by a cone solver; one matrix is the K-means program."""
    cvxpy = pytest.importorskip("cvxpy")
    n = len(matrices[0])
    Zs = [cvxpy.Variable((n, n), PSD=True) for _ in matrices]
    rules = [Z >= 0 for Z in Zs]
    rules += [cvxpy.trace(Z) == n_clusters / len(Zs) for Z in Zs]
    rules.append(sum(cvxpy.sum(Z, axis=1) for Z in Zs) == 1)
    value = sum(
        cvxpy.sum(cvxpy.multiply(A, Z)) for A, Z in zip(matrices, Zs, strict=True)
    )
    problem = cvxpy.Problem(cvxpy.Maximize(value), rules)
    return problem.solve(solver=solver, **settings)


# The reduced accuracy, of which it warns, is still far below what is asked here.
@pytest.mark.filterwarnings("ignore:Solution may be inaccurate:UserWarning")
@pytest.mark.parametrize(
    ("solver", "settings"), [("CLARABEL", {}), ("SCS", {"eps": 1e-7})]
)
@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("sep", [1.0, 8.0])
@pytest.mark.parametrize(
    "K", [2, 3, *(pytest.param(K, marks=pytest.mark.slow) for K in (4, 5, 6))]
)
def test_exact_solvers_agree_with_cvxpy(K, sep, balanced, solver, settings):
    X, y, S = make_ellipses(6 * K, K, K, sep, "mixed", 0)
    if not balanced:
        # Six of the first cluster, two of each other.
        rank = np.array([np.count_nonzero(y[:i] == y[i]) for i in range(len(y))])
        X = X[(y == 0) | (rank < 2)]
    n = len(X)
    q = np.full(n, 1 / np.sqrt(n))
    gram, A = centred_gram(X), likelihood_matrices(X, S)
    best = cone_optimum([gram], K, solver, settings)
    fit = exact_kmeans(gram.copy(), q, K, tol=1e-6, max_iter=20000)
    assert fit.objective == pytest.approx(best, rel=1e-5)
    best = cone_optimum(list(A), K, solver, settings)
    fit = exact_lasdp(-A, q, tol=1e-6, max_iter=20000)
    assert fit.objective == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("max_iter", [1, 2, 5, 20, 60])
def test_bounds_are_valid_however_early_the_solver_stops(max_iter):
    n, K = 7, 3
    for seed in range(3):
        X, _, S = make_ellipses(n, K, 3, 1.5, "mixed", seed)
        q = np.full(n, 1 / np.sqrt(n))
        gram, A = centred_gram(X), likelihood_matrices(X, S)
        values, likelihoods = [], []
        for labels in partitions(n, K):
            Z = partition_matrices(labels, K)
            values.append(np.sum(gram * Z.sum(axis=0)))
            likelihoods.append(np.sum(A * Z))
        fit = exact_kmeans(gram.copy(), q, K, tol=1e-12, max_iter=max_iter)
        assert fit.bound >= max(values) - 1e-9
        fit = exact_lasdp(-A, q, tol=1e-12, max_iter=max_iter)
        assert fit.bound >= max(likelihoods) - 1e-9


def test_weights_are_repetitions_in_the_exact_solvers():
    X, _, S = make_ellipses(20, 3, 3, 2, "mixed", 1)
    weights = np.random.RandomState(0).randint(1, 4, 20).astype(float)
    repeated = np.repeat(X, weights.astype(int), axis=0)
    values = []
    for rows, w in ((X, weights), (repeated, np.ones(len(repeated)))):
        h = np.sqrt(w)
        centred = (rows - np.average(rows, axis=0, weights=w)).T
        Y = centred * h
        q = h / np.linalg.norm(h)
        one = exact_kmeans(Y.T @ Y, q, 3, tol=1e-6, max_iter=20000)
        two = exact_lasdp(lasdp_costs(centred, h, S), q, tol=1e-6, max_iter=20000)
        values.append((one.objective, two.objective))
    assert values[0] == pytest.approx(values[1], rel=3e-5)


def test_projections():
    rng = np.random.RandomState(0)
    for _ in range(20):
        values = rng.standard_normal(8) * 2
        w = fantope(values, 3.0)
        assert w.sum() == pytest.approx(3)
        assert w.min() >= 0
        assert w.max() <= 1
        # Variational inequality against the corners of the set.
        corner = np.zeros(8)
        corner[rng.permutation(8)[:3]] = 1
        assert (values - w) @ (corner - w) <= 1e-12
        expected = project_simplex(values, np.ones(8), 2.0)
        np.testing.assert_allclose(simplex(values, 2.0), expected, atol=1e-10)


def test_lasdp_step_is_the_projection_of_rows():
    rng = np.random.RandomState(0)
    K, n, rho, relax = 2, 6, 0.7, 1.7
    q = rng.uniform(0.5, 1, n)
    q /= np.linalg.norm(q)
    a = rng.standard_normal(n)
    T, C, Z = rng.standard_normal((3, K, n, n))
    level = np.outer(a, q)
    Y, U = np.maximum(T - level, 0), np.minimum(T, level)
    expected = relax * Z + (1 - relax) * Y + U
    new = np.empty_like(Y)
    for i in range(n):
        row = project_simplex(expected[:, i].ravel(), np.tile(q, K), q[i])
        new[:, i] = row.reshape(K, n)
    out, state, Z0 = np.empty(2), T.copy(), Z.copy()
    lasdp_step(Z, state, C, q, a, relax, rho, np.empty((K, n)), out)
    np.testing.assert_allclose(state, expected)
    np.testing.assert_allclose(out, [np.sum((Z0 - new) ** 2), np.sum((new - Y) ** 2)])
    np.testing.assert_allclose(Z, new - (expected - new) - C / rho, atol=1e-9)


# ---- low rank ------------------------------------------------------------------------
def dense_objective(X, weights, covariances, U, block):
    """Return sum_k <A_k, Z_k> and the row sums, from dense matrices."""
    A = likelihood_matrices(X.T, covariances)
    h = np.sqrt(weights)
    value, rows = 0.0, np.zeros(len(h))
    for k in range(len(covariances)):
        Z = U[block == k].T @ U[block == k]
        value += np.sum(A[k] * Z * np.outer(h, h))
        rows += Z @ h / h
    return value, rows


@pytest.mark.parametrize("weighted", [False, True])
def test_low_rank_value_is_that_of_its_matrices(weighted):
    X, y, S = make_ellipses(50, 3, 3, 4, "mixed", 0)
    rng = np.random.RandomState(0)
    weights = rng.randint(1, 4, 50).astype(float) if weighted else np.ones(50)
    X = np.ascontiguousarray((X - np.average(X, axis=0, weights=weights)).T)
    h = np.sqrt(weights)
    U, block = partition_factor(y, 3, 3, 2, h, rng)
    fit = low_rank_sdp(
        X * h,
        h,
        np.linalg.inv(S),
        np.linalg.slogdet(S)[1],
        np.ones(3),
        U,
        block,
        tol=1e-6,
        max_iter=5000,
        pool_map=serial,
    )
    value, rows = dense_objective(X, weights, S, fit.factor, block)
    assert fit.objective == pytest.approx(value, rel=1e-8)
    np.testing.assert_allclose(rows, 1, atol=1e-4)
    assert fit.factor.min() >= 0
    for k in range(3):
        assert np.sum(fit.factor[block == k] ** 2) == pytest.approx(1)
    exact = exact_lasdp(
        lasdp_costs(X, h, S), h / np.linalg.norm(h), tol=1e-5, max_iter=5000
    )
    # Nonnegative factors are a subset: never above, and near where clusters are clear.
    assert fit.objective <= exact.bound + 1e-3
    assert fit.objective >= exact.objective - 0.01 * abs(exact.objective)


def test_low_rank_kmeans_approaches_the_exact_value():
    X, y, _ = make_ellipses(60, 3, 4, 6, "mixed", 3)
    X = np.ascontiguousarray((X - X.mean(axis=0)).T)
    h, rng = np.ones(60), np.random.RandomState(0)
    total = np.sum(X**2)
    U, block = partition_factor(rng.randint(3, size=60), 3, 1, 2, h, rng)
    fit = low_rank_sdp(
        X,
        h,
        np.eye(4)[None] * 240 / total,
        np.zeros(1),
        np.array([3.0]),
        U,
        block,
        tol=1e-5,
        max_iter=5000,
        pool_map=serial,
    )
    value = total + 2 * fit.objective * total / 240
    assert value == pytest.approx(732.7467, rel=1e-4)


# ---- Gaussians -----------------------------------------------------------------------
def test_moments_and_scores_are_those_of_numpy():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((3, 400)) + 1
    labels, weights = rng.randint(2, size=400), rng.uniform(size=400)
    groups = moments(X, weights, labels, 2, serial)
    for k in range(2):
        rows = labels == k
        S = np.cov(X[:, rows], aweights=weights[rows], ddof=0)
        np.testing.assert_allclose(groups.covariances[k], S)
    model = normals(groups.means, groups.covariances)
    got = scores(X, model, serial)
    for k in range(2):
        away = X - groups.means[k][:, None]
        S = groups.covariances[k]
        expected = np.einsum("fi,fg,gi->i", away, np.linalg.inv(S), away)
        expected += np.linalg.slogdet(S)[1]
        np.testing.assert_allclose(got[k], expected)
    np.testing.assert_array_equal(nearest(got)[0], got.argmin(axis=0))


def test_likelihood_is_linear_in_the_matrices():
    X, y, S = make_ellipses(40, 3, 3, 3, "mixed", 0)
    groups = moments(np.ascontiguousarray(X.T), np.ones(40), y, 3, serial)
    Z = partition_matrices(y, 3)
    expected = np.sum(likelihood_matrices(X, S) * Z)
    assert likelihood(groups, S) == pytest.approx(expected)
    U = np.array([np.sqrt(z.diagonal()) for z in Z])
    same = relaxed_moments(X.T.copy(), np.ones(40), U, np.arange(3), 3)
    np.testing.assert_allclose(same.covariances, groups.covariances, atol=1e-12)
    shares = memberships(U, np.arange(3), np.ones(40), 3)
    np.testing.assert_allclose(shares.T, y[:, None] == np.arange(3), atol=1e-12)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_structures(kind):
    X, y, _ = make_ellipses(60, 2, 3, 5, "mixed", 0)
    groups = moments(np.ascontiguousarray(X.T), np.ones(60), y, 2, serial)
    S = structured(groups, Structure(kind, 0.5, None))
    raw = groups.covariances
    expected = {
        "full": raw,
        "tied": np.repeat(raw.mean(axis=0)[None], 2, axis=0),
        "diag": raw * np.eye(3),
        "spherical": np.trace(raw, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3),
    }[kind]
    np.testing.assert_allclose(S, expected + 0.5 * np.eye(3))
    whole = structured(groups, Structure(kind, 0.0, 1.0))
    assert np.count_nonzero(whole - whole * np.eye(3)) == 0


def test_rematch_finds_the_pairing():
    X, y, S = make_ellipses(90, 3, 3, 6, "flat", 0)
    permuted = (y + 1) % 3
    groups = moments(np.ascontiguousarray(X.T), np.ones(90), permuted, 3, serial)
    labels, again = rematch(permuted, groups, S)
    np.testing.assert_array_equal(labels, y)
    np.testing.assert_allclose(again.weights, 30)


def test_ward_is_that_of_scipy_and_takes_weights():
    X, _, _ = make_ellipses(70, 4, 4, 3, "mixed", 2)
    weights = np.random.RandomState(0).randint(1, 4, 70)
    repeated = np.repeat(X, weights, axis=0)
    tree = hierarchy.linkage(repeated, "ward")
    expected = hierarchy.fcluster(tree, 4, "maxclust")
    columns = np.ascontiguousarray(X.T - X.T.mean(axis=1)[:, None])
    labels = np.repeat(ward_labels(columns, weights.astype(float), 4), weights)
    pairs = len(set(zip(labels.tolist(), expected.tolist(), strict=True)))
    assert pairs == 4


# ---- certificates --------------------------------------------------------------------
@pytest.mark.parametrize("sep", [1.0, 4.0, 9.0])
def test_certificates_are_never_wrong(sep):
    n, K, proofs = 7, 3, 0
    for seed in range(4):
        kind = "mixed" if seed % 2 else "round"
        X, y, S = make_ellipses(n, K, 3, sep, kind, seed)
        S = S * 0.05
        A = likelihood_matrices(X, S)
        weights = np.ones(n)
        everything = list(partitions(n, K))
        inertias = np.array([inertia(X, labels) for labels in everything])
        likelihoods = np.array(
            [np.sum(A * partition_matrices(labels, K)) for labels in everything]
        )
        chosen = np.random.RandomState(seed).permutation(len(everything))[:15]
        best = (np.argmin(inertias), np.argmax(likelihoods))
        for i in {*chosen.tolist(), *map(int, best)}:
            value, bound, _, proved = certify_kmeans(X, weights, everything[i])
            assert value == pytest.approx(inertias[i])
            assert bound <= inertias.min() + 1e-9
            if proved:
                proofs += 1
                assert value == pytest.approx(inertias.min())
            value, bound, _, proved = certify_lasdp(X, weights, everything[i], S)
            assert value == pytest.approx(likelihoods[i])
            assert bound >= likelihoods.max() - 1e-9
            if proved:
                assert value == pytest.approx(likelihoods.max())
    assert proofs > 0 or sep < 9


def test_certificates_prove_separated_clusters_and_refuse_a_moved_row():
    X, y, _ = make_ellipses(300, 3, 5, 12, "round", 0)
    assert certify_kmeans(X, np.ones(300), y)[3]
    assert not certify_kmeans(X, np.ones(300), np.append((y[0] + 1) % 3, y[1:]))[3]
    X, y, S = make_ellipses(300, 3, 5, 8, "flat", 0)
    assert certify_lasdp(X, np.ones(300), y, S)[3]
    assert not certify_lasdp(X, np.ones(300), np.append((y[0] + 1) % 3, y[1:]), S)[3]


def test_certificates_take_weights_as_repetitions():
    X, y, S = make_ellipses(60, 3, 4, 5, "mixed", 0)
    weights = np.random.RandomState(0).randint(1, 4, 60)
    rows = np.repeat(np.arange(60), weights)
    ones = np.ones(len(rows))
    a = certify_kmeans(X, weights.astype(float), y)
    b = certify_kmeans(X[rows], ones, y[rows])
    np.testing.assert_allclose(a, b, rtol=1e-9)
    a = certify_lasdp(X, weights.astype(float), y, S)
    b = certify_lasdp(X[rows], ones, y[rows], S)
    assert a[0] == pytest.approx(b[0])
    assert a[1] >= a[0] - 1e-9
    assert b[1] >= b[0] - 1e-9


def test_low_rank_gradient_through_the_solution():
    """At the end no feasible direction of the penalised problem goes down."""
    X, y, S = make_ellipses(12, 2, 2, 1, "mixed", 0)
    X = np.ascontiguousarray((X - X.mean(axis=0)).T)
    h, rng = np.ones(12), np.random.RandomState(0)
    A = likelihood_matrices(X.T, S)
    U, block = partition_factor(y, 2, 2, 2, h, rng)
    fit = low_rank_sdp(
        X,
        h,
        np.linalg.inv(S),
        np.linalg.slogdet(S)[1],
        np.ones(2),
        U,
        block,
        tol=1e-7,
        max_iter=20000,
        pool_map=serial,
    )

    def violation(u):
        Zs = [u.reshape(2, 2, 12)[k].T @ u.reshape(2, 2, 12)[k] for k in range(2)]
        rows = sum(Z.sum(axis=1) for Z in Zs) - 1
        traces = np.array([np.trace(Z) for Z in Zs]) - 1
        return np.append(rows, traces)

    def loss(u):
        parts = u.reshape(2, 2, 12)
        return -sum(np.sum(A[k] * (parts[k].T @ parts[k])) for k in range(2))

    local = minimize(
        loss,
        fit.factor.ravel(),
        bounds=[(0, None)] * 48,
        constraints={"type": "eq", "fun": violation},
        method="SLSQP",
        options={"maxiter": 50},
    )
    assert -local.fun - fit.objective < 1e-3 * abs(fit.objective)
