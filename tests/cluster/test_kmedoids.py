"""KMedoids as a user meets it."""

import pickle
import warnings

import joblib
import kmedoids
import numpy as np
import pandas as pd
import polars as pl
import pytest
import skops.io
from scipy import sparse
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_iris, load_wine, make_blobs
from sklearn.exceptions import (
    ConvergenceWarning,
    InconsistentVersionWarning,
    NotFittedError,
)
from sklearn.metrics import pairwise_distances
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from skalgos.cluster import KMedoids, k_medoids, swap_certificate
from tests.reference import kmedoids as reference

IRIS = load_iris().data
WINE = scale(load_wine().data)
FAST = ["euclidean", "sqeuclidean", "manhattan", "chebyshev", "cosine", "correlation"]


# ---- optima and peers ----------------------------------------------------------------
# Proven by integer programming of the p-median problem, solved to optimality.
@pytest.mark.parametrize(
    ("X", "metric", "k", "optimum", "medoids"),
    [
        (IRIS, "euclidean", 2, 129.3303885769, [7, 126]),
        (IRIS, "euclidean", 3, 98.1311548823, [7, 78, 112]),
        (IRIS, "euclidean", 4, 85.6629101976, None),
        (IRIS, "euclidean", 5, 79.0925271172, None),
        (IRIS, "euclidean", 8, 64.6368217429, None),
        (IRIS, "euclidean", 10, 59.5430905954, None),
        (IRIS, "manhattan", 3, 162.5, None),
        (IRIS, "manhattan", 10, 95.7, None),
        (WINE, "euclidean", 3, 500.9291954019, [35, 106, 148]),
        (WINE, "euclidean", 10, 403.8111481807, None),
    ],
)
def test_reaches_the_proven_optimum(X, metric, k, optimum, medoids):
    model = KMedoids(k, metric=metric, n_init=60, random_state=0).fit(X)
    assert model.inertia_ == pytest.approx(optimum, rel=1e-9)
    if medoids is not None:
        assert sorted(model.medoid_indices_) == medoids


def test_reaches_the_proven_optimum_of_an_asymmetric_matrix():
    # In both directions: which way the matrix is read makes a difference.
    D = np.random.RandomState(0).rand(60, 60) * 10
    np.fill_diagonal(D, 0)
    for X, optimum, medoids in (
        (D, 66.21782000, [2, 34, 43, 55]),
        (D.T, 68.01894114, [5, 11, 32, 58]),
    ):
        for layout in (np.ascontiguousarray, np.asfortranarray):
            model = KMedoids(4, metric="precomputed", n_init=60, random_state=0)
            model.fit(layout(X))
            assert model.inertia_ == pytest.approx(optimum, abs=1e-7)
            assert sorted(model.medoid_indices_) == medoids


def test_digits_is_as_good_as_known():
    X = load_digits().data
    model = KMedoids(10, n_init=5, random_state=0).fit(X)
    assert model.inertia_ == pytest.approx(51194.6998, abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_no_worse_than_the_reference_package(seed):
    X, _ = make_blobs(600, n_features=4, centers=12, random_state=seed)
    D = pairwise_distances(X)
    ours = [k_medoids(D, 12, random_state=s).inertia for s in range(10)]
    theirs = [
        kmedoids.fasterpam(D, 12, random_state=s, n_cpu=1).loss for s in range(10)
    ]
    assert np.mean(ours) <= np.mean(theirs) * 1.01
    assert min(ours) <= min(theirs) * (1 + 1e-9)


def test_ends_in_a_certified_local_optimum():
    X, _ = make_blobs(300, centers=8, random_state=1)
    model = KMedoids(8, n_init=1, random_state=0).fit(X)
    D = pairwise_distances(X)
    assert model.converged_
    assert swap_certificate(D, model.medoid_indices_).change >= -1e-9
    best = reference.best_swap(D, model.medoid_indices_.tolist())
    assert best >= model.inertia_ - 1e-9


# ---- what the attributes say ---------------------------------------------------------
@pytest.mark.parametrize("metric", [*FAST, "canberra", "precomputed"])
def test_attributes_fit_together(metric):
    X = WINE if metric != "precomputed" else pairwise_distances(WINE)
    model = KMedoids(5, metric=metric, random_state=0).fit(X)
    D = X if metric == "precomputed" else pairwise_distances(WINE, metric=metric)
    to_medoids = D[:, model.medoid_indices_]
    np.testing.assert_array_equal(model.labels_, to_medoids.argmin(axis=1))
    np.testing.assert_allclose(model.distances_, to_medoids.min(axis=1), atol=1e-12)
    two = np.sort(to_medoids, axis=1)[:, 1]
    np.testing.assert_allclose(model.second_distances_, two, atol=1e-12)
    second = np.argsort(to_medoids, axis=1)[:, 1]
    np.testing.assert_array_equal(model.second_labels_, second)
    assert model.inertia_ == pytest.approx(model.distances_.sum())
    assert model.loss_history_[-1] == pytest.approx(model.inertia_)
    assert len(model.loss_history_) == model.n_iter_ + 1
    silhouette = np.mean(1 - model.distances_ / model.second_distances_)
    assert model.medoid_silhouette_ == pytest.approx(silhouette)
    assert model.labels_.dtype == np.int32
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    np.testing.assert_allclose(model.transform(X), to_medoids, atol=1e-12)
    assert model.score(X) == pytest.approx(-model.inertia_)
    np.testing.assert_array_equal(model.labels_[model.medoid_indices_], np.arange(5))
    if metric == "precomputed":
        assert not hasattr(model, "cluster_centers_")
    else:
        np.testing.assert_array_equal(model.cluster_centers_, X[model.medoid_indices_])


def test_clusters_are_numbered_from_the_heaviest():
    centers = [[0, 0], [20, 0], [0, 20]]
    X, _ = make_blobs([10, 40, 20], centers=centers, random_state=0)
    model = KMedoids(3, random_state=0).fit(X)
    np.testing.assert_array_equal(np.bincount(model.labels_), [40, 20, 10])
    weights = np.where(model.labels_ == 2, 10.0, 1.0)
    model.fit(X, sample_weight=weights)
    np.testing.assert_array_equal(np.bincount(model.labels_), [10, 40, 20])


def test_the_solver_follows_the_documented_rule():
    rng = np.random.RandomState(0)
    few, many = rng.rand(1500, 4), rng.rand(1500, 5)
    small = rng.rand(1499, 4)

    def chosen(X, **params):
        return KMedoids(2, n_init=1, tol=1.0, **params).fit(X).solver_

    assert chosen(small) == "matrix"
    assert chosen(few) == "matrix-free"
    assert chosen(many) == "matrix"
    assert chosen(many, memory_limit=2) == "matrix-free"  # 1500**2 bytes are 2.1 MiB
    assert chosen(many, memory_limit=2.2) == "matrix"
    assert chosen(small[:400], metric="canberra") == "matrix"
    assert chosen(small[:400], metric="canberra", memory_limit=1) == "matrix-free"
    assert chosen(few, solver="matrix") == "matrix"


# ---- the same problem, said otherwise ------------------------------------------------
@pytest.mark.parametrize("metric", [*FAST, "hamming", "canberra", "minkowski"])
@pytest.mark.parametrize("n", [100, 1600])
def test_solvers_agree(metric, n):
    X, _ = make_blobs(n, n_features=5, centers=6, random_state=0)
    if metric == "hamming":
        X = np.round(X)
    models = [
        KMedoids(6, metric=metric, solver=solver, n_init=1, max_iter=2, random_state=0)
        for solver in ("matrix", "matrix-free")
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        a, b = (model.fit(X) for model in models)
    np.testing.assert_array_equal(a.medoid_indices_, b.medoid_indices_)
    np.testing.assert_array_equal(a.labels_, b.labels_)
    np.testing.assert_allclose(a.loss_history_, b.loss_history_, rtol=1e-9)


@pytest.mark.parametrize("metric", [*FAST, "canberra"])
def test_features_and_their_matrix_agree(metric):
    X = WINE
    D = pairwise_distances(X, metric=metric)
    a = KMedoids(4, metric=metric, random_state=0).fit(X)
    b = KMedoids(4, metric="precomputed", random_state=0).fit(D)
    np.testing.assert_array_equal(a.medoid_indices_, b.medoid_indices_)
    np.testing.assert_array_equal(a.labels_, b.labels_)


@pytest.mark.parametrize("init", ["random", "build", "lab", "k-medoids++", "first"])
def test_the_function_is_the_estimator(init):
    D = pairwise_distances(WINE)
    a = KMedoids(4, metric="precomputed", init=init, n_init=1, random_state=0).fit(D)
    b = k_medoids(D, 4, init=init, random_state=0)
    np.testing.assert_array_equal(a.medoid_indices_, b.medoid_indices)
    np.testing.assert_array_equal(a.labels_, b.labels)
    assert (a.n_iter_, a.n_swaps_) == (b.n_iter, b.n_swaps)
    assert a.inertia_ == pytest.approx(b.inertia)
    weights = np.arange(len(D)) % 3
    a.fit(D, sample_weight=weights)
    b = k_medoids(D, 4, init=init, random_state=0, sample_weight=weights)
    np.testing.assert_array_equal(a.medoid_indices_, b.medoid_indices)


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "cosine"])
@pytest.mark.parametrize("solver", ["matrix", "matrix-free"])
@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csc_matrix])
def test_sparse_and_dense_agree(metric, solver, container):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((120, 8)) * (rng.uniform(size=(120, 8)) < 0.4)
    X[np.all(X == 0, axis=1), 0] = 1
    dense = KMedoids(5, metric=metric, solver=solver, random_state=0).fit(X)
    other = KMedoids(5, metric=metric, solver=solver, random_state=0).fit(container(X))
    np.testing.assert_array_equal(dense.medoid_indices_, other.medoid_indices_)
    np.testing.assert_array_equal(dense.labels_, other.labels_)
    assert sparse.issparse(other.cluster_centers_)
    np.testing.assert_allclose(
        other.transform(container(X)), dense.transform(X), atol=1e-7
    )


@pytest.mark.parametrize("init", ["random", "build", "lab", "k-medoids++"])
@pytest.mark.parametrize("metric", ["euclidean", "canberra", "precomputed"])
@pytest.mark.parametrize("n", [80, 1700])
def test_weights_repeat_rows_and_rows_have_no_order(init, metric, n):
    if n > 100 and metric == "canberra":
        n = 100  # the same code from features, in a tenth of the time
    rng = np.random.RandomState(0)
    X, _ = make_blobs(n, centers=6, n_features=3, random_state=0)
    weights = rng.randint(0, 3, n)
    shuffle = rng.permutation(n)

    def fit(rows, sample_weight=None):
        data = X[rows]
        if metric == "precomputed":
            data = cdist(data, data)  # exactly zero between equal rows
        model = KMedoids(4, metric=metric, init=init, n_init=2, random_state=0)
        model.fit(data, sample_weight=sample_weight)
        return X[rows[model.medoid_indices_]], model

    repeated, a = fit(np.repeat(np.arange(n), weights))
    weighted, b = fit(np.arange(n), weights)
    shuffled, c = fit(shuffle, weights[shuffle])
    scaled, d = fit(np.arange(n), 0.5 * weights)
    for medoids, model in ((weighted, b), (shuffled, c), (scaled, d)):
        np.testing.assert_array_equal(medoids, repeated)
        assert model.n_swaps_ == a.n_swaps_
        assert model.n_iter_ == a.n_iter_
    assert b.inertia_ == pytest.approx(a.inertia_)
    assert d.inertia_ == pytest.approx(a.inertia_ / 2)
    np.testing.assert_array_equal(b.labels_[shuffle], c.labels_)
    np.testing.assert_array_equal(np.repeat(b.labels_, weights), a.labels_)


def test_rows_without_weight_get_a_label_and_nothing_else():
    X, _ = make_blobs(50, centers=3, random_state=0)
    far = np.vstack([X, [[1e3, 1e3]]])
    weights = np.r_[np.ones(50), 0]
    model = KMedoids(3, random_state=0).fit(far, sample_weight=weights)
    plain = KMedoids(3, random_state=0).fit(X)
    np.testing.assert_array_equal(model.medoid_indices_, plain.medoid_indices_)
    assert model.inertia_ == pytest.approx(plain.inertia_)
    assert model.labels_[-1] == model.predict(far[-1:])[0]


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, np.int32, np.int64, np.uint8, np.uint16]
)
def test_types_of_a_precomputed_matrix(dtype):
    rng = np.random.RandomState(0)
    D = rng.randint(1, 200, (80, 80))
    D = np.minimum(D, D.T)
    np.fill_diagonal(D, 0)
    model = KMedoids(5, metric="precomputed", random_state=0).fit(D.astype(dtype))
    other = KMedoids(5, metric="precomputed", random_state=0).fit(D.astype(float))
    np.testing.assert_array_equal(model.medoid_indices_, other.medoid_indices_)
    assert model.inertia_ == other.inertia_
    assert model.transform(D.astype(dtype)).dtype == dtype


@pytest.mark.parametrize("metric", FAST)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("power", [-100, -20, 20, 100])
def test_scale_does_not_matter(metric, dtype, power):
    if dtype == "float32" and abs(power) > 20:
        power = np.sign(power) * 30
    if metric == "sqeuclidean":
        power = power // 2 - power // 4 * (dtype == "float32")
    factor = 2.0 ** (power * 3)
    X = WINE.astype(dtype)
    plain = KMedoids(4, metric=metric, random_state=0).fit(X)
    scaled = KMedoids(4, metric=metric, random_state=0).fit((X * factor).astype(dtype))
    np.testing.assert_array_equal(plain.medoid_indices_, scaled.medoid_indices_)
    np.testing.assert_array_equal(plain.labels_, scaled.labels_)


@pytest.mark.parametrize("n_jobs", [2, -1])
def test_n_jobs_changes_nothing(n_jobs):
    X, _ = make_blobs(400, centers=8, random_state=0)
    one = KMedoids(8, n_init=6, random_state=0).fit(X)
    two = KMedoids(8, n_init=6, random_state=0, n_jobs=n_jobs).fit(X)
    np.testing.assert_array_equal(one.medoid_indices_, two.medoid_indices_)
    np.testing.assert_array_equal(one.loss_history_, two.loss_history_)


def test_callable_metric_is_that_metric():
    def taxi(a, b):
        return np.abs(a - b).sum()

    by_name = KMedoids(3, metric="manhattan", random_state=0).fit(IRIS[:60])
    by_function = KMedoids(3, metric=taxi, random_state=0).fit(IRIS[:60])
    np.testing.assert_array_equal(by_name.labels_, by_function.labels_)
    np.testing.assert_array_equal(
        by_name.predict(IRIS[60:]), by_function.predict(IRIS[60:])
    )


@pytest.mark.parametrize(
    ("power", "name"), [(1, "manhattan"), (2, "euclidean"), (np.inf, "chebyshev")]
)
def test_minkowski_has_the_special_cases(power, name):
    params = {"p": power}
    a = KMedoids(3, metric="minkowski", metric_params=params, random_state=0).fit(IRIS)
    b = KMedoids(3, metric=name, random_state=0).fit(IRIS)
    assert a.inertia_ == b.inertia_


@pytest.mark.parametrize("metric", ["seuclidean", "mahalanobis"])
def test_estimated_parameters_are_those_of_the_training_data(metric):
    model = KMedoids(3, metric=metric, random_state=0).fit(IRIS)
    D = pairwise_distances(IRIS, metric=metric)
    np.testing.assert_allclose(
        model.transform(IRIS), D[:, model.medoid_indices_], atol=1e-9
    )
    # New rows are measured as the training data were.
    np.testing.assert_allclose(
        model.transform(IRIS[:3]), D[:3, model.medoid_indices_], atol=1e-9
    )
    twice = np.repeat(IRIS, 2, axis=0)
    repeated = KMedoids(3, metric=metric, random_state=0).fit(twice)
    weighted = KMedoids(3, metric=metric, random_state=0)
    weighted.fit(IRIS, sample_weight=np.full(150, 2))
    np.testing.assert_allclose(repeated.inertia_, weighted.inertia_)


def test_boolean_and_nan_metrics():
    rng = np.random.RandomState(0)
    X = rng.uniform(size=(60, 10)) < 0.4
    X[:, 0] = True
    D = pairwise_distances(X, metric="jaccard")
    model = KMedoids(3, metric="jaccard", random_state=0).fit(X)
    assert model.inertia_ == pytest.approx(D[:, model.medoid_indices_].min(1).sum())
    X = IRIS.copy()
    X[::7, 1] = np.nan
    model = KMedoids(3, metric="nan_euclidean", random_state=0).fit(X)
    D = pairwise_distances(X, metric="nan_euclidean")
    assert model.inertia_ == pytest.approx(D[:, model.medoid_indices_].min(1).sum())
    assert model.__sklearn_tags__().input_tags.allow_nan


def test_cosine_of_zero_rows_is_that_of_sklearn():
    X = np.vstack([WINE, np.zeros((2, WINE.shape[1]))])
    model = KMedoids(3, metric="cosine", random_state=0).fit(X)
    D = pairwise_distances(X, metric="cosine")
    np.testing.assert_allclose(
        model.transform(X)[-1], D[-1, model.medoid_indices_], atol=1e-12
    )


# ---- initialisation ------------------------------------------------------------------
@pytest.mark.parametrize(
    "init",
    [
        [3, 70, 120],
        IRIS[[3, 70, 120]],
        IRIS[[3, 70, 120]] + 1e-4,
        lambda X, n_clusters, random_state: np.array([3, 70, 120]),
    ],
)
def test_given_starts(init):
    model = KMedoids(3, init=init, max_iter=0).fit(IRIS)
    assert sorted(model.init_indices_) == [3, 70, 120]
    assert sorted(model.medoid_indices_) == [3, 70, 120]


def test_first_takes_the_first_distinct_rows():
    X = IRIS[[5, 5, 9, 9, 20, 30]]
    model = KMedoids(3, init="first", max_iter=0).fit(X)
    assert sorted(model.init_indices_) == [0, 2, 4]


def test_starts_at_equal_rows_are_made_distinct():
    X = np.repeat(IRIS[::10], 2, axis=0)
    model = KMedoids(3, init=[0, 1, 2], max_iter=0).fit(X)
    assert len(np.unique(X[model.init_indices_], axis=0)) == 3
    model = KMedoids(3, init=X[[0, 0, 0]], max_iter=0).fit(X)
    assert len(np.unique(X[model.init_indices_], axis=0)) == 3


def test_build_starts_where_pam_does():
    model = KMedoids(6, init="build", random_state=0).fit(WINE)
    expected = reference.greedy(pairwise_distances(WINE), 6)
    assert sorted(model.init_indices_) == sorted(expected)
    assert model.loss_history_[0] == pytest.approx(
        reference.loss(pairwise_distances(WINE), expected)
    )


def test_warm_start_goes_on_from_the_last_fit():
    X, _ = make_blobs(300, centers=8, random_state=0)
    model = KMedoids(8, n_init=1, max_iter=1, warm_start=True, random_state=0)
    with pytest.warns(ConvergenceWarning):
        model.fit(X)
    halfway = model.inertia_
    model.set_params(max_iter=300).fit(X)
    assert model.loss_history_[0] == pytest.approx(halfway)
    model.fit(X)
    assert model.n_swaps_ == 0
    with pytest.raises(ValueError, match="warm_start"):
        model.set_params(n_clusters=5).fit(X)


def test_more_starts_are_no_worse():
    X = load_digits().data[:500]
    one = KMedoids(30, n_init=1, random_state=0).fit(X)
    ten = KMedoids(30, n_init=10, random_state=0).fit(X)
    assert ten.inertia_ <= one.inertia_


def test_random_state_instances_are_consumed_and_kept():
    state = np.random.RandomState(0)
    model = KMedoids(3, random_state=state).fit(IRIS)
    assert model.random_state is state
    assert state.randint(2**30) != np.random.RandomState(0).randint(2**30)


# ---- bad input -----------------------------------------------------------------------
def test_more_clusters_than_rows():
    with pytest.raises(ValueError, match="n_samples=5 should be >= n_clusters=6"):
        KMedoids(6).fit(IRIS[:5])
    with pytest.raises(ValueError, match="n_clusters=4 is more than the 3 samples"):
        KMedoids(4).fit(IRIS[:5], sample_weight=[1, 1, 1, 0, 0])
    with pytest.raises(ValueError, match="n_clusters=6"):
        k_medoids(np.zeros((5, 5)), 6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_undefined_numbers(bad):
    X = IRIS.copy()
    X[3, 1] = bad
    with pytest.raises(ValueError, match="NaN" if np.isnan(bad) else "infinity"):
        KMedoids(3).fit(X)
    D = pairwise_distances(IRIS)
    D[3, 4] = bad
    with pytest.raises(ValueError, match="NaN" if np.isnan(bad) else "infinity"):
        KMedoids(3, metric="precomputed").fit(D)
    with pytest.raises(ValueError, match="NaN" if np.isnan(bad) else "infinity"):
        k_medoids(D, 3)


@pytest.mark.parametrize("n", [20, 1600])
def test_negative_dissimilarities(n):
    rng = np.random.RandomState(0)
    D = np.abs(rng.standard_normal((n, n)))
    np.fill_diagonal(D, 0)
    D[3, 4] = -1
    for layout in (np.ascontiguousarray, np.asfortranarray):
        with pytest.raises(ValueError, match="at least 0; 1 entries are"):
            KMedoids(3, metric="precomputed").fit(layout(D))


def test_matrices_that_are_not_square():
    with pytest.raises(ValueError, match="square"):
        KMedoids(2, metric="precomputed").fit(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="square"):
        k_medoids(np.zeros((4, 3)), 2)


def test_a_diagonal_that_is_not_zero_is_taken_as_zero():
    D = pairwise_distances(IRIS)
    expected = KMedoids(3, metric="precomputed", random_state=0).fit(D)
    odd = D + np.diag(np.full(150, 7.0))
    with pytest.warns(UserWarning, match="diagonal"):
        model = KMedoids(3, metric="precomputed", random_state=0).fit(odd)
    np.testing.assert_array_equal(model.medoid_indices_, expected.medoid_indices_)
    assert model.inertia_ == pytest.approx(expected.inertia_)
    assert odd[0, 0] == 7  # the caller's matrix is left alone


def test_overflowing_sums():
    D = np.full((5, 5), 1e308)
    np.fill_diagonal(D, 0)
    with pytest.raises(ValueError, match="overflow"):
        KMedoids(2, metric="precomputed").fit(D)
    with pytest.raises(ValueError, match="too large"):
        KMedoids(2, metric="sqeuclidean").fit(IRIS * 1e300)


def test_metrics_that_are_not_dissimilarities():
    with pytest.raises(ValueError, match="at least 0"):
        KMedoids(2, metric=lambda a, b: -1.0).fit(IRIS[:20])
    with pytest.raises(ValueError, match="at least 0"):
        KMedoids(2, metric=lambda a, b: np.nan, solver="matrix-free").fit(IRIS[:20])


def test_matrix_free_needs_features():
    with pytest.raises(ValueError, match="matrix-free"):
        KMedoids(2, metric="precomputed", solver="matrix-free").fit(np.zeros((4, 4)))


@pytest.mark.parametrize(
    ("init", "match"),
    [
        ([0, 1], "shape"),
        ([0, 1, 150], "0 to 149"),
        ([-1, 1, 2], "0 to 149"),
        ([0.0, 1.0, 2.0], "integers"),
        (np.zeros((3, 3)), "shape"),
        (np.full((3, 4), np.nan), "NaN"),
        ("nearest", "init"),
    ],
)
def test_bad_starts(init, match):
    with pytest.raises(ValueError, match=match):
        KMedoids(3, init=init).fit(IRIS)


def test_a_start_at_a_row_without_weight():
    weights = np.ones(150)
    weights[1] = 0
    with pytest.raises(ValueError, match="row 1, whose sample_weight is 0"):
        KMedoids(3, init=[0, 1, 2]).fit(IRIS, sample_weight=weights)


@pytest.mark.parametrize("weights", [-np.ones(150), np.zeros(150), np.ones(149)])
def test_bad_weights(weights):
    with pytest.raises(ValueError, match=r"[Ww]eight"):
        KMedoids(3).fit(IRIS, sample_weight=weights)


def test_nothing_is_half_fitted():
    model = KMedoids(3, metric="precomputed")
    with pytest.raises(ValueError, match="infinity"):
        model.fit(np.full((5, 5), np.inf))
    assert not [name for name in vars(model) if name.startswith(("medoid", "label"))]
    with pytest.raises(NotFittedError):
        model.predict(np.zeros((2, 5)))


def test_predict_needs_the_columns_of_the_fit():
    D = pairwise_distances(IRIS)
    model = KMedoids(3, metric="precomputed", random_state=0).fit(D[:100, :100])
    np.testing.assert_array_equal(
        model.predict(D[100:, :100]),
        D[100:, :100][:, model.medoid_indices_].argmin(axis=1),
    )
    with pytest.raises(ValueError, match="features"):
        model.predict(D[100:])


# ---- degenerate data -----------------------------------------------------------------
@pytest.mark.parametrize("metric", ["euclidean", "canberra", "precomputed"])
@pytest.mark.parametrize("init", ["random", "build", "lab", "k-medoids++", "first"])
def test_fewer_distinct_rows_than_clusters(metric, init):
    X = np.repeat([[0.0, 0.0], [1.0, 5.0]], 6, axis=0)
    data = pairwise_distances(X) if metric == "precomputed" else X
    model = KMedoids(4, metric=metric, init=init, random_state=0)
    with pytest.warns(ConvergenceWarning, match="2 distinct rows"):
        model.fit(data)
    assert len(set(model.medoid_indices_.tolist())) == 4
    assert model.inertia_ == 0
    np.testing.assert_array_equal(model.labels_[model.medoid_indices_], np.arange(4))


@pytest.mark.parametrize("metric", ["euclidean", "precomputed"])
def test_equal_rows(metric):
    X = np.ones((7, 7) if metric == "euclidean" else (7, 1))
    data = np.zeros((7, 7)) if metric == "precomputed" else X
    model = KMedoids(1, metric=metric).fit(data)
    assert model.inertia_ == 0
    assert model.medoid_silhouette_ == 0
    assert (model.labels_ == 0).all()


@pytest.mark.parametrize("k", [1, 2, 30])
@pytest.mark.parametrize("solver", ["matrix", "matrix-free"])
def test_extreme_numbers_of_clusters(k, solver):
    X = WINE[:30]
    model = KMedoids(k, solver=solver, random_state=0).fit(X)
    D = pairwise_distances(X)
    assert model.inertia_ == pytest.approx(reference.loss(D, model.medoid_indices_))
    if k == 1:
        assert model.inertia_ == pytest.approx(reference.optimum(D, 1)[0])
        assert (model.second_labels_ == -1).all()
        assert np.isinf(model.second_distances_).all()
    if k == 30:
        assert model.inertia_ == 0
        assert model.medoid_silhouette_ == 1
    assert model.converged_


def test_one_row():
    model = KMedoids(1).fit([[1.0, 2.0]])
    assert model.inertia_ == 0
    np.testing.assert_array_equal(model.medoid_indices_, [0])


# ---- at home in scikit-learn ---------------------------------------------------------
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_in_and_out(frame):
    data = frame(dict(zip("abcd", IRIS.T, strict=True)))
    model = KMedoids(3, random_state=0)
    model.set_output(transform="pandas" if frame is pd.DataFrame else "polars")
    out = model.fit_transform(data)
    assert isinstance(out, frame)
    assert list(out.columns) == ["kmedoids0", "kmedoids1", "kmedoids2"]
    # Which kinds of frames have names that it knows is up to scikit-learn.
    known = hasattr(StandardScaler().fit(data), "feature_names_in_")
    assert hasattr(model, "feature_names_in_") == known
    if frame is pd.DataFrame:
        np.testing.assert_array_equal(model.feature_names_in_, list("abcd"))


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_pipeline_and_grid_search(n_jobs):
    pipe = make_pipeline(StandardScaler(), KMedoids(random_state=0))
    grid = {
        "kmedoids__n_clusters": [2, 3],
        "kmedoids__metric": ["euclidean", "manhattan"],
    }
    search = GridSearchCV(pipe, grid, cv=3, n_jobs=n_jobs).fit(IRIS)
    assert search.best_params_["kmedoids__n_clusters"] == 3
    assert search.best_estimator_.predict(IRIS).max() == 2


def test_cross_validation_cuts_rows_and_columns_of_a_matrix():
    D = pairwise_distances(IRIS)
    by_matrix = cross_val_score(
        KMedoids(3, metric="precomputed", random_state=0), D, cv=3
    )
    by_features = cross_val_score(KMedoids(3, random_state=0), IRIS, cv=3)
    np.testing.assert_allclose(by_matrix, by_features)


def test_same_partition_as_kmeans_where_clusters_are_plain():
    X, _ = make_blobs(300, centers=4, cluster_std=0.3, random_state=0)
    ours = KMedoids(4, random_state=0).fit_predict(X)
    theirs = KMeans(4, n_init=10, random_state=0).fit_predict(X)
    pairs = set(zip(ours.tolist(), theirs.tolist(), strict=True))
    assert len(pairs) == 4


def test_pickles_say_which_version_made_them(tmp_path):
    model = KMedoids(3, random_state=0).fit(IRIS)
    joblib.dump(model, tmp_path / "model.joblib")
    again = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(again.predict(IRIS), model.labels_)
    state = pickle.dumps(model).replace(b"0.1.0", b"0.0.9")
    with pytest.warns(InconsistentVersionWarning, match="KMedoids from version 0.0.9"):
        pickle.loads(state)


def test_skops_round_trip():
    model = KMedoids(3, random_state=0).fit(IRIS)
    data = skops.io.dumps(model)
    trusted = skops.io.get_untrusted_types(data=data)
    assert all(name.startswith("skalgos.") for name in trusted)
    again = skops.io.loads(data, trusted=trusted)
    np.testing.assert_array_equal(again.predict(IRIS), model.labels_)


def test_html_links_to_our_page():
    link = KMedoids()._get_doc_link()
    assert link.endswith("/generated/skalgos.cluster.KMedoids.html")
    assert link in KMedoids()._repr_html_()


def test_read_only_and_memory_mapped_input(tmp_path):
    D = pairwise_distances(IRIS)
    np.save(tmp_path / "D.npy", D)
    mapped = np.load(tmp_path / "D.npy", mmap_mode="r")
    a = KMedoids(3, metric="precomputed", random_state=0).fit(mapped)
    b = KMedoids(3, metric="precomputed", random_state=0).fit(D)
    np.testing.assert_array_equal(a.medoid_indices_, b.medoid_indices_)


def test_clone_keeps_every_parameter():
    model = KMedoids(3, metric="cosine", init="lab", tol=0.1, n_jobs=2, dtype="float32")
    assert clone(model).get_params() == model.get_params()
