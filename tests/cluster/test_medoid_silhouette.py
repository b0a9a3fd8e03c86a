"""MedoidSilhouette and the functions of the medoid silhouette."""

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import pairwise_distances, silhouette_score

from skalgos.cluster import (
    KMedoids,
    MedoidSilhouette,
    medoid_silhouette_samples,
    medoid_silhouette_score,
)
from tests.reference import kmedoids as reference

X, LABELS = make_blobs(240, centers=5, cluster_std=0.5, random_state=3)
D = pairwise_distances(X)


def _score(model):
    return reference.medoid_silhouette(D, model.medoid_indices_)


@pytest.mark.parametrize("method", ["fastermsc", "fastmsc", "pammedsil"])
def test_the_score_is_the_mean_of_the_definition(method):
    model = MedoidSilhouette(4, method=method, n_init=1, random_state=0).fit(X)
    assert model.medoid_silhouette_ == pytest.approx(_score(model))
    assert model.score_history_[-1] == pytest.approx(model.medoid_silhouette_)
    assert model.scores_per_k_ == {4: pytest.approx(model.medoid_silhouette_)}
    assert model.score(X) == pytest.approx(model.medoid_silhouette_)
    assert np.all(np.diff(model.score_history_) >= 0)
    assert model.n_clusters_ == 4
    np.testing.assert_array_equal(model.predict(X), model.labels_)


def test_pamsil_scores_the_full_silhouette():
    x = X[:40]
    model = MedoidSilhouette(3, method="pamsil", n_init=1, random_state=0).fit(x)
    score = silhouette_score(x, model.labels_)
    assert model.score_history_[-1] == pytest.approx(score)


def test_auto_finds_the_number_of_clusters():
    model = MedoidSilhouette("auto", random_state=0).fit(X)
    assert model.n_clusters_ == 5
    assert list(model.scores_per_k_) == list(range(2, 11))
    assert max(model.scores_per_k_, key=model.scores_per_k_.get) == 5
    for k in (3, 5, 8):
        fixed = MedoidSilhouette(k, n_init=1, random_state=0).fit(X)
        assert model.scores_per_k_[k] > fixed.medoid_silhouette_ - 0.05
    assert len(model.medoid_indices_) == len(model.init_indices_) == 5
    assert model.transform(X).shape == (240, 5)
    assert len(model.get_feature_names_out()) == 5


def test_iris_beats_the_medoids_of_the_loss():
    iris = load_iris().data
    loss = KMedoids(3, random_state=0).fit(iris)
    model = MedoidSilhouette(3, random_state=0).fit(iris)
    assert model.medoid_silhouette_ > loss.medoid_silhouette_
    assert model.inertia_ >= loss.inertia_


def test_a_minimum_size_that_no_number_of_clusters_has_is_reported():
    model = MedoidSilhouette("auto", min_cluster_size=200, random_state=0)
    with pytest.warns(ConvergenceWarning, match="min_cluster_size=200"):
        model.fit(X)
    assert model.n_clusters_ == 5


def test_a_minimum_size_changes_the_choice():
    x = np.repeat([0.0, 1.0, 10.0, 11.0, 30.0], [20, 20, 20, 20, 3])[:, None]
    x = x + 0.01 * np.random.RandomState(0).standard_normal(x.shape)
    free = MedoidSilhouette("auto", max_clusters=6, random_state=0).fit(x)
    assert np.bincount(free.labels_).min() == 3
    model = MedoidSilhouette("auto", max_clusters=6, min_cluster_size=4, random_state=0)
    assert np.bincount(model.fit(x).labels_).min() >= 4


def test_one_cluster_has_no_silhouette():
    model = MedoidSilhouette(1, random_state=0).fit(X)
    assert model.medoid_silhouette_ == 0
    assert model.score(X) == 0
    assert model.inertia_ == pytest.approx(D.sum(axis=0).min())


def test_every_row_its_own_medoid():
    model = MedoidSilhouette(12, random_state=0).fit(X[:12])
    assert model.medoid_silhouette_ == 1
    assert model.converged_


@pytest.mark.parametrize("n_clusters", [3, "auto"])
def test_equal_rows(n_clusters):
    x = np.ones((12, 2))
    with pytest.warns(ConvergenceWarning, match="distinct rows"):
        model = MedoidSilhouette(n_clusters, random_state=0).fit(x)
    assert model.medoid_silhouette_ == 0
    assert len(set(model.medoid_indices_)) == len(model.medoid_indices_)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"min_clusters": 5, "max_clusters": 4}, "min_clusters=5 should be at most"),
        ({"method": "fastmsc"}, "n_clusters='auto' needs method='fastermsc'"),
        ({"min_clusters": 1}, "min_clusters"),
        ({"metric": "precomputed", "solver": "matrix-free"}, "matrix-free"),
    ],
)
def test_what_auto_refuses(params, match):
    with pytest.raises(ValueError, match=match):
        MedoidSilhouette("auto", **params).fit(D)


def test_integer_dissimilarities_may_be_the_largest_there_are():
    x = np.array([[0, 255, 255], [255, 0, 255], [255, 255, 0]], dtype=np.uint8)
    model = MedoidSilhouette(2, metric="precomputed", random_state=0).fit(x)
    assert model.medoid_silhouette_ == pytest.approx(2 / 3)


def test_weights_are_repetitions():
    weights = np.random.RandomState(0).randint(0, 4, 240)
    weighted = MedoidSilhouette(5, random_state=0).fit(X, sample_weight=weights)
    repeated = MedoidSilhouette(5, random_state=0).fit(np.repeat(X, weights, axis=0))
    np.testing.assert_array_equal(weighted.cluster_centers_, repeated.cluster_centers_)
    assert weighted.medoid_silhouette_ == pytest.approx(repeated.medoid_silhouette_)


# ---- functions -----------------------------------------------------------------------
def test_samples_and_their_mean():
    model = KMedoids(4, random_state=0).fit(X)
    distances = model.transform(X)
    samples = medoid_silhouette_samples(distances)
    two = np.sort(distances, axis=1)
    np.testing.assert_allclose(samples, 1 - two[:, 0] / two[:, 1])
    assert medoid_silhouette_score(distances) == pytest.approx(model.medoid_silhouette_)
    w = np.random.RandomState(0).uniform(size=240)
    weighted = medoid_silhouette_score(distances, sample_weight=w)
    assert weighted == pytest.approx(np.average(samples, weights=w))
    assert medoid_silhouette_samples([[0.0, 0.0]]) == 0


@pytest.mark.parametrize(
    ("distances", "match"),
    [([[1.0], [2.0]], "at least 2 medoids"), ([[1.0, -1.0]], "Negative"),
     ([[1.0, np.nan]], "NaN")],
)  # fmt: skip
def test_what_the_functions_refuse(distances, match):
    with pytest.raises(ValueError, match=match):
        medoid_silhouette_score(distances)
