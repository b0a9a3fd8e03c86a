"""The estimators for many rows, and solver="sampled"."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import pairwise_distances

from skalgos.cluster import CLARA, CLARANS, KMedoids, OneBatchKMedoids
from skalgos.cluster._kmedoids import sampled
from skalgos.cluster._kmedoids.lane_kernels import SQUARED
from skalgos.cluster._kmedoids.sampling import Batch, draw
from skalgos.cluster._kmedoids.solvers import (
    Geometry,
    Matrix,
    fasterpam,
    random_medoids,
)
from tests.reference import kmedoids as reference

ESTIMATORS = [CLARA, CLARANS, OneBatchKMedoids]
X, _ = make_blobs(400, centers=6, n_features=3, random_state=0)
D = pairwise_distances(X)
EUCLIDEAN = Geometry(SQUARED, True, 1.0)


@pytest.mark.parametrize("metric", ["euclidean", "canberra", "precomputed"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_attributes_are_of_all_rows(estimator, metric):
    distances = D if metric == "precomputed" else pairwise_distances(X, metric=metric)
    model = estimator(6, metric=metric, random_state=0)
    model.fit(D if metric == "precomputed" else X)
    to_medoids = distances[:, model.medoid_indices_]
    np.testing.assert_array_equal(model.labels_, to_medoids.argmin(axis=1))
    assert model.inertia_ == pytest.approx(to_medoids.min(axis=1).sum())
    assert hasattr(model, "cluster_centers_") == (metric != "precomputed")


@pytest.mark.parametrize("params", [{"n_clusters": 1}, {"n_clusters": 400}])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_one_cluster_and_one_for_each_row(estimator, params):
    model = estimator(random_state=0, **params).fit(X)
    if params["n_clusters"] == 1 and estimator is not CLARA:
        assert model.inertia_ == pytest.approx(D.sum(axis=0).min())
    if params["n_clusters"] == 400:
        assert model.inertia_ == 0
    assert len(set(model.medoid_indices_)) == params["n_clusters"]


# ---- CLARA ---------------------------------------------------------------------------
def test_a_sample_of_everything_is_fasterpam():
    model = CLARA(6, n_sampling=400, n_sampling_iter=1, random_state=0).fit(X)
    best = reference.best_swap(D, model.medoid_indices_.tolist())
    assert best >= model.inertia_ - 1e-9
    assert model.converged_


def test_clara_keeps_what_is_best_for_all_rows():
    model = CLARA(6, n_sampling=30, n_sampling_iter=8, random_state=0).fit(X)
    assert np.all(np.diff(model.loss_history_) <= 0)
    assert len(model.loss_history_) == 8
    assert model.loss_history_[-1] == pytest.approx(model.inertia_)
    assert model.loss_history_[-1] < model.loss_history_[0]


def test_clara_starts_where_it_is_told():
    init = np.arange(6)
    model = CLARA(6, init=init, n_sampling=50, max_iter=0, n_sampling_iter=1)
    np.testing.assert_array_equal(np.sort(model.fit(X).medoid_indices_), init)


@pytest.mark.parametrize(
    ("estimator", "name"), [(CLARA, "n_sampling"), (OneBatchKMedoids, "batch_size")]
)
def test_samples_smaller_than_the_number_of_clusters_are_refused(estimator, name):
    with pytest.raises(ValueError, match=f"{name}=5 should be at least n_clusters=6"):
        estimator(6, **{name: 5}).fit(X)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_what_ends_too_early_is_reported(estimator):
    params = {"max_neighbor": 1.0} if estimator is CLARANS else {}
    with pytest.warns(ConvergenceWarning, match="max_iter=1 "):
        estimator(6, max_iter=1, random_state=0, **params).fit(X)


# ---- drawing -------------------------------------------------------------------------
def test_equal_weights_are_drawn_without_replacement():
    source = Matrix(D, np.ones(400), None)
    objects, counts = draw(source, 100, np.random.RandomState(0))
    assert len(objects) == len(set(objects)) == 100
    np.testing.assert_array_equal(counts, 1)


def test_draws_are_in_proportion_to_weights():
    w = np.random.RandomState(0).uniform(0, 3, 400)
    w[7] = 200.0
    source = Matrix(D, w, None)
    rng = np.random.RandomState(1)
    mean = np.zeros(400)
    for _ in range(2000):
        objects, counts = draw(source, 80, rng)
        assert counts.sum() == 80
        mean[objects] += counts / 2000
    expected = 80 * w / w.sum()
    # A count is one of two neighbouring integers: its variance is at most 1/4.
    assert np.abs(mean - expected).max() < 5 * np.sqrt(0.25 / 2000)


def test_a_heavy_object_leaves_room_for_others():
    w = np.full(400, 1e-9)
    w[3] = 1.0
    source = Matrix(D, w, None)
    objects, _ = draw(source, 50, np.random.RandomState(0), 10)
    assert 3 in objects
    assert len(set(objects)) == len(objects) == 10


def test_included_objects_are_in_the_sample_once():
    source = Matrix(D, np.ones(400), None)
    objects, counts = draw(source, 50, np.random.RandomState(0), 5, [1, 2, 3])
    np.testing.assert_array_equal(objects[:3], [1, 2, 3])
    assert len(set(objects)) == 50
    assert counts.sum() == 50


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_heavy_rows_decide(estimator):
    weights = np.full(400, 1e-6)
    weights[:3] = 1.0
    model = estimator(3, random_state=0).fit(X, sample_weight=weights)
    np.testing.assert_array_equal(np.sort(model.medoid_indices_), [0, 1, 2])


# ---- CLARANS -------------------------------------------------------------------------
def test_enough_patience_ends_in_a_local_optimum():
    model = CLARANS(6, max_neighbor=1.0, random_state=0).fit(X)
    assert model.converged_
    best = reference.best_swap(D, model.medoid_indices_.tolist())
    assert best >= model.inertia_ - 1e-9


def test_clarans_ends_near_the_local_optimum():
    exact = KMedoids(6, n_init=2, random_state=0).fit(X).inertia_
    losses = [CLARANS(6, random_state=seed).fit(X).inertia_ for seed in range(10)]
    assert np.mean(losses) < 1.1 * exact
    assert np.mean(losses) > exact


# ---- one batch -----------------------------------------------------------------------
def test_a_batch_of_everything_is_fasterpam():
    model = OneBatchKMedoids(6, batch_size=400, tol=0, random_state=0).fit(X)
    best = reference.best_swap(D, model.medoid_indices_.tolist())
    assert best >= model.inertia_ - 1e-9


@pytest.mark.parametrize("m", [20, 64, 100])
@pytest.mark.parametrize("weighting", ["nniw", "uniform"])
def test_no_exchange_improves_the_loss_of_the_batch(m, weighting):
    source = Matrix(D, np.ones(400), None)
    rng = np.random.RandomState(m)
    objects = rng.permutation(400)[:m]
    w = rng.uniform(0.1, 2, m)
    to_batch = D[objects]

    def loss(medoids):
        return float(w @ to_batch[:, medoids].min(axis=1))

    for n_bytes in (0, 1e9):
        batch = Batch(source, objects, w, n_bytes)
        start = rng.permutation(400)[:5]
        fit = fasterpam(batch, batch.place_of[start], rng.permutation(400))
        medoids = batch.object_at[fit.medoids].tolist()
        assert fit.loss == pytest.approx(loss(medoids))
        best = min(
            loss([*medoids[:i], j, *medoids[i + 1 :]])
            for i in range(5)
            for j in np.setdiff1d(np.arange(400), medoids)
        )
        assert best >= fit.loss - 1e-9


def test_storing_the_batch_changes_nothing():
    stored = OneBatchKMedoids(6, batch_size=90, random_state=0).fit(X)
    computed = OneBatchKMedoids(6, batch_size=90, memory_limit=0, random_state=0).fit(X)
    np.testing.assert_array_equal(stored.medoid_indices_, computed.medoid_indices_)
    np.testing.assert_array_equal(stored.loss_history_, computed.loss_history_)


# ---- the sampled solver --------------------------------------------------------------
def _points(n, d, seed=0, k=20):
    rng = np.random.RandomState(seed)
    points = (
        rng.standard_normal((n, d))
        + 4 * rng.standard_normal((k, d))[rng.randint(k, size=n)]
    )
    return points, rng.uniform(0.5, 2, n), rng


@pytest.mark.parametrize("d", [2, 6])
def test_the_sampled_loss_is_exact_and_never_rises(d):
    points, w, rng = _points(5000, d)
    source = sampled.Shards(points, EUCLIDEAN, w, rng)
    fit = sampled.sampled(source, rng.permutation(5000)[:10], rng)
    assert np.all(np.diff(fit.losses) <= 0)
    d1 = cdist(points, points[fit.medoids]).min(axis=1)
    assert fit.loss == pytest.approx(w @ d1, rel=1e-12)
    assert fit.converged


@pytest.mark.parametrize("d", [2, 6])
@pytest.mark.parametrize("seed", range(3))
def test_the_sampled_solver_leaves_little_to_the_exact_search(d, seed):
    points, w, rng = _points(8000, d, seed)
    source = sampled.Shards(points, EUCLIDEAN, w, rng)
    fit = sampled.sampled(source, rng.permutation(8000)[:20], rng)
    exact = fasterpam(source, fit.medoids, rng.permutation(8000))
    assert exact.loss >= fit.loss * (1 - 2e-3)


def test_one_shard_is_the_exact_search():
    points, w, rng = _points(900, 3)
    source = sampled.Shards(points, EUCLIDEAN, w, rng)
    fit = sampled.sampled(source, rng.permutation(900)[:8], rng)
    fit = sampled.sampled(source, fit.medoids, rng)
    again = fasterpam(source, fit.medoids, np.arange(900))
    assert again.loss >= fit.loss * (1 - 1e-3)


def test_shards_are_random_samples_of_neighbours():
    points, w, rng = _points(4096, 2)
    source = sampled.Shards(points, EUCLIDEAN, w, rng)
    assert sorted(source.object_at) == list(range(4096))
    size = 64 * sampled.PER_SHARD
    for start in range(0, 4096, size):
        shard = points[source.object_at[start : start + size]]
        assert np.abs(shard.mean(axis=0) - points.mean(axis=0)).max() < 0.6
        spread = np.ptp(shard.reshape(-1, 64, 2), axis=1).mean(axis=0)
        assert np.all(spread < 0.6 * np.ptp(shard, axis=0))


def test_starts_come_from_samples_of_samples(monkeypatch):
    monkeypatch.setattr(sampled, "SMALLEST_SAMPLE", 50)
    points, w, rng = _points(6000, 2)
    source = sampled.Shards(points, EUCLIDEAN, w, rng)
    start = sampled.start_from_samples(source, 5, rng, random_medoids, 2)
    assert len(set(start)) == 5
    random = rng.permutation(6000)[:5]
    assert (
        sampled.sampled(source, start, rng, max_iter=0).loss
        < sampled.sampled(source, random, rng, max_iter=0).loss
    )


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"metric": "canberra"}, "metric='canberra'"),
        ({"method": "pam"}, "method='pam'"),
        ({"metric": "precomputed"}, "metric='precomputed'"),
    ],
)
def test_what_the_sampled_solver_cannot_do(params, match):
    with pytest.raises(ValueError, match=match):
        KMedoids(3, solver="sampled", **params).fit(D)


@pytest.mark.slow
def test_sampled_is_within_half_a_percent_of_the_exact_search():
    ratios = []
    for seed in range(3):
        points, _, _ = _points(50000, 16, seed, k=50)
        points = points.astype(np.float32)
        exact = KMedoids(100, n_init=1, solver="matrix-free", random_state=seed)
        model = KMedoids(100, solver="sampled", random_state=seed)
        ratios.append(model.fit(points).inertia_ / exact.fit(points).inertia_)
    assert np.mean(ratios) <= 1.005
