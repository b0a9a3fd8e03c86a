"""Clustering by the medoid silhouette, against brute force."""

import itertools

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_score

from skalgos.cluster._kmedoids import silhouette
from skalgos.cluster._kmedoids.lane_kernels import SQUARED
from skalgos.cluster._kmedoids.silhouette import METHODS, dynmsc
from skalgos.cluster._kmedoids.solvers import Geometry, Matrix, Points, Rows
from tests.reference import kmedoids as reference


def _problem(seed, n=40, d=3, k=4):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, d))
    w = rng.uniform(0.1, 3, n)
    return rng, X, w, rng.permutation(n)[:k], rng.permutation(n)


def _best_swap(loss, medoids, n):
    others = np.setdiff1d(np.arange(n), medoids)
    return min(
        loss([*medoids[:i], j, *medoids[i + 1 :]])
        for i, j in itertools.product(range(len(medoids)), others)
    )


@pytest.mark.parametrize("k", [2, 3, 4, 7])
@pytest.mark.parametrize("method", ["fastermsc", "fastmsc", "pammedsil"])
@pytest.mark.parametrize("seed", range(6))
def test_no_exchange_raises_the_medoid_silhouette(method, k, seed):
    _, X, w, start, order = _problem(seed, n=30, k=k)
    D = cdist(X, X)
    fit = METHODS[method](Matrix(D, w, None), start, order)
    assert fit.converged
    assert np.all(np.diff(fit.losses) <= 0)

    def loss(medoids):
        return 1 - reference.medoid_silhouette(D, medoids, w)

    assert fit.loss == pytest.approx(loss(fit.medoids), abs=1e-12)
    assert fit.losses[0] == pytest.approx(loss(start), abs=1e-12)
    assert _best_swap(loss, list(fit.medoids), 30) >= fit.loss - 1e-10


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("seed", range(6))
def test_fastmsc_makes_the_exchanges_of_pammedsil(k, seed):
    _, X, w, start, _ = _problem(seed, n=35, k=k)
    source = Matrix(cdist(X, X), w, None)
    fast, slow = (METHODS[name](source, start) for name in ("fastmsc", "pammedsil"))
    np.testing.assert_array_equal(fast.medoids, slow.medoids)
    assert fast.n_swaps == slow.n_swaps
    np.testing.assert_allclose(fast.losses, slow.losses, rtol=1e-12)


@pytest.mark.parametrize("k", [2, 3, 6])
@pytest.mark.parametrize("n", [10, 63, 64, 65, 130])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_every_source_makes_the_same_exchanges(n, k, dtype):
    _, X, w, start, order = _problem(n, n=n, k=k)
    D = cdist(X, X)
    X = X.astype(dtype)
    sources = [
        Matrix(D.astype(dtype), w, None),
        Rows(lambda candidates, objects: D[objects][:, candidates].T.astype(dtype), w),
        Points(X, Geometry(SQUARED, True, 1.0), w),
    ]
    fits = [METHODS["fastermsc"](source, start, order) for source in sources]
    for fit in fits[1:]:
        np.testing.assert_array_equal(fit.medoids, fits[0].medoids)
        assert fit.n_swaps == fits[0].n_swaps
        np.testing.assert_allclose(fit.losses, fits[0].losses, rtol=1e-6)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("method", ["fastermsc", "fastmsc", "pammedsil", "pamsil"])
def test_weights_are_repetitions(method, seed):
    rng, X, _, start, order = _problem(seed, n=16, k=3)
    w = rng.randint(1, 4, 16)
    weighted = METHODS[method](Matrix(cdist(X, X), w.astype(float), None), start, order)
    rows = np.repeat(np.arange(16), w)
    first = np.cumsum(w) - w
    D = cdist(X[rows], X[rows])
    loss = METHODS[method](
        Matrix(D, np.ones(len(rows)), None), first[weighted.medoids], max_iter=0,
        order=np.arange(len(rows)),
    ).loss  # fmt: skip
    assert weighted.loss == pytest.approx(loss, abs=1e-12)


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("seed", range(4))
def test_pamsil_raises_the_full_silhouette_as_far_as_exchanges_go(k, seed):
    _, X, _, start, order = _problem(seed, n=18, k=k)
    D = cdist(X, X)
    fit = METHODS["pamsil"](Matrix(D, np.ones(18), None), start, order)

    def loss(medoids):
        labels = D[:, medoids].argmin(axis=1)
        return 1 - silhouette_score(D, labels, metric="precomputed")

    assert fit.loss == pytest.approx(loss(fit.medoids), abs=1e-12)
    assert _best_swap(loss, list(fit.medoids), 18) >= fit.loss - 1e-10


def test_equal_objects_have_no_silhouette():
    D = np.array([[0, 0, 5.0], [0, 0, 5], [5, 5, 0]])
    search = silhouette._Search(Matrix(D, np.ones(3), None), [0, 1])
    assert search.refresh() == 1.0
    search = silhouette._Search(Matrix(D, np.ones(3), None), [0, 2])
    assert search.refresh() == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_ties_end(seed):
    rng = np.random.RandomState(seed)
    D = rng.randint(0, 3, (40, 40)).astype(float)
    D = np.minimum(D, D.T)
    np.fill_diagonal(D, 0)
    w = np.ones(40)
    for method in ("fastermsc", "fastmsc"):
        fit = METHODS[method](Matrix(D, w, None), np.arange(5), rng.permutation(40))
        assert fit.converged

        def loss(medoids):
            return 1 - reference.medoid_silhouette(D, medoids, w)

        assert fit.loss == pytest.approx(loss(fit.medoids), abs=1e-12)
        assert _best_swap(loss, list(fit.medoids), 40) >= fit.loss - 1e-10


@pytest.mark.parametrize("seed", range(5))
def test_dynmsc_drops_the_medoid_that_is_missed_the_least(seed):
    _, X, w, start, order = _problem(seed, n=50, k=7)
    D = cdist(X, X)
    source = Matrix(D, w, None)
    fits = dynmsc(source, start, order, 2)
    assert [len(fit.medoids) for fit in fits] == [7, 6, 5, 4, 3, 2]
    for fit, fewer in itertools.pairwise(fits):
        assert fit.loss == pytest.approx(
            1 - reference.medoid_silhouette(D, fit.medoids, w), abs=1e-12
        )
        left = [
            1 - reference.medoid_silhouette(D, np.delete(fit.medoids, i), w)
            for i in range(len(fit.medoids))
        ]
        assert fewer.losses[0] == pytest.approx(min(left), abs=1e-12)


def test_blocks_of_rows_give_what_whole_matrices_give(monkeypatch):
    _, X, w, start, order = _problem(3, n=90, k=4)
    D = cdist(X, X)
    whole = METHODS["fastermsc"](Matrix(D, w, None), start, order)
    best = METHODS["fastmsc"](Matrix(D, w, None), start, order)
    monkeypatch.setattr("skalgos.cluster._kmedoids.solvers.ENTRIES_AT_ONCE", 7 * 90)
    rows = Rows(lambda candidates, objects: D[objects][:, candidates].T, w)
    for method, expected in (("fastermsc", whole), ("fastmsc", best)):
        fit = METHODS[method](rows, start, order)
        np.testing.assert_array_equal(fit.medoids, expected.medoids)
        assert fit.n_swaps == expected.n_swaps
