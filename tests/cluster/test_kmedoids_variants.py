"""PAM and its descendants against brute force."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from skalgos.cluster import KMedoids, k_medoids, swap_certificate
from skalgos.cluster._kmedoids.lane_kernels import SQUARED
from skalgos.cluster._kmedoids.solvers import Geometry, Matrix, Points, Rows
from skalgos.cluster._kmedoids.variants import METHODS
from tests.reference import kmedoids as reference

EXCHANGING = sorted(set(METHODS) - {"alternate"})


def _problem(seed, n=40, d=3, k=4):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, d))
    return rng, X, rng.uniform(0.1, 3, n), rng.permutation(n)[:k], rng.permutation(n)


def _losses_of_pam(D, medoids, w):
    """Return the losses of PAM, each exchange found by trying all."""
    losses = [reference.loss(D, medoids, w)]
    while True:
        trials = [
            [*medoids[:i], j, *medoids[i + 1 :]]
            for i in range(len(medoids))
            for j in range(len(D))
            if j not in medoids
        ]
        best = min(trials, key=lambda trial: reference.loss(D, trial, w))
        if reference.loss(D, best, w) >= losses[-1] * (1 - 1e-12):
            return losses, medoids
        medoids = best
        losses.append(reference.loss(D, medoids, w))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("method", ["pam", "fastpam1"])
def test_they_make_the_exchanges_of_pam(method, seed):
    _, X, w, start, order = _problem(seed, n=25, k=2 + seed % 3)
    D = cdist(X, X)
    expected, medoids = _losses_of_pam(D, start.tolist(), w)
    fit = METHODS[method](Matrix(D, w, len(start)), start, order)
    np.testing.assert_allclose(fit.losses[: len(expected)], expected, rtol=1e-12)
    assert fit.medoids.tolist() == medoids
    assert fit.n_swaps == len(expected) - 1
    assert fit.converged


@pytest.mark.parametrize("n", [9, 64, 200])
@pytest.mark.parametrize("method", METHODS)
def test_every_source_makes_the_same_exchanges(method, n):
    _, X, w, start, order = _problem(n, n=n)
    D = cdist(X, X)
    sources = [
        Matrix(D, w, 4),
        Matrix(D, w, None),
        Rows(lambda candidates, objects: D[candidates][:, objects], w),
        Points(X, Geometry(SQUARED, True, 1.0), w),
    ]
    fits = [METHODS[method](source, start, order) for source in sources]
    for fit in fits[1:]:
        np.testing.assert_array_equal(fit.medoids, fits[0].medoids)
        np.testing.assert_allclose(fit.losses, fits[0].losses, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["f8", "f4", "i4", "u1"])
@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("method", EXCHANGING)
def test_any_matrix_ends_in_a_local_optimum(method, asymmetric, dtype):
    for seed in range(3):
        rng = np.random.RandomState(seed)
        # Few values, and so many ties.
        D = rng.randint(1, 12, (20, 20)).astype(dtype)
        D = D if asymmetric else np.maximum(D, D.T)
        np.fill_diagonal(D, 0)
        result = k_medoids(D, 3, method=method, random_state=seed)
        found = reference.loss(D.astype(float), result.medoid_indices)
        assert result.inertia == pytest.approx(found)
        assert found <= reference.best_swap(D.astype(float), result.medoid_indices)
        assert result.converged
        assert swap_certificate(D, result.medoid_indices).change >= 0


@pytest.mark.parametrize("seed", range(5))
def test_alternate_ends_with_the_best_medoid_of_each_cluster(seed):
    _, X, w, start, order = _problem(seed, n=60, k=5)
    D = cdist(X, X)
    fit = METHODS["alternate"](Matrix(D, w, 5), start, order)
    near = D[:, fit.medoids].argmin(axis=1)
    for slot, medoid in enumerate(fit.medoids):
        members = np.flatnonzero(near == slot)
        totals = w[members] @ D[np.ix_(members, members)]
        assert totals[members == medoid][0] <= totals.min() * (1 + 1e-12)
    assert fit.converged
    assert fit.losses == sorted(fit.losses, reverse=True)


@pytest.mark.parametrize("method", EXCHANGING)
def test_losses_fall_and_are_those_of_the_medoids(method):
    _, X, w, start, order = _problem(3, n=300, k=12)
    D = cdist(X, X)
    fit = METHODS[method](Matrix(D, w, 12), start, order)
    assert (np.diff(fit.losses) <= 0).all()
    assert fit.loss == pytest.approx(reference.loss(D, fit.medoids, w), rel=1e-12)


def test_exchanges_find_lower_losses_than_alternation():
    losses = {method: 0.0 for method in METHODS}
    for seed in range(10):
        _, X, _, start, _ = _problem(seed, n=300, k=10)
        D = cdist(X, X)
        for method in METHODS:
            result = k_medoids(D, 10, method=method, init=start, random_state=0)
            losses[method] += result.inertia
    assert losses["pam"] == pytest.approx(losses["fastpam1"], rel=1e-12)
    for method in EXCHANGING:
        assert losses[method] < 0.99 * losses["alternate"]


@pytest.mark.parametrize("metric", ["euclidean", "precomputed"])
@pytest.mark.parametrize("method", METHODS)
def test_weights_are_repetitions(method, metric):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((50, 2))
    weights = rng.randint(0, 4, 50)
    repeated = np.repeat(X, weights, axis=0)
    if metric == "precomputed":
        X, repeated = cdist(X, X), cdist(repeated, repeated)
    model = KMedoids(4, metric=metric, method=method, random_state=0)
    weighted = model.fit(X, sample_weight=weights).inertia_
    assert model.fit(repeated).inertia_ == pytest.approx(weighted, rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_limits_and_callbacks_are_those_of_fasterpam(method):
    _, X, w, start, order = _problem(1, n=100, k=5)
    source = Matrix(cdist(X, X), w, 5)
    none = METHODS[method](source, start, order, max_iter=0)
    assert none.medoids.tolist() == start.tolist()
    assert not none.converged
    seen = []

    def on_sweep():
        return lambda medoids, loss: seen.append((sorted(medoids), loss)) or True

    one = METHODS[method](source, start, order, on_sweep=on_sweep)
    assert one.n_iter == 1
    assert seen == [(sorted(one.medoids), one.loss)]
    single = METHODS[method](source, start[:1], order)
    assert single.medoids.tolist() == [int(np.argmin(source.totals))]
    assert METHODS[method](source, start, order, tol=0.5).converged
