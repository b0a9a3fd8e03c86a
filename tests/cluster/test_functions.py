"""k_medoids and swap_certificate: what they refuse, and the edges."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from skalgos.cluster import k_medoids, swap_certificate
from tests.reference import kmedoids as reference

D = cdist(*[np.random.RandomState(0).standard_normal((30, 2))] * 2)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"n_clusters": 0}, "n_clusters"),
        ({"n_clusters": 31}, "n_clusters=31"),
        ({"max_iter": -1}, "max_iter"),
        ({"tol": -1.0}, "tol"),
        ({"init": "nearest"}, "init"),
        ({"init": [0, 1]}, "init"),
        ({"random_state": "zero"}, "random_state"),
        ({"sample_weight": np.ones(29)}, "weight"),
        ({"distances": D[:, :9]}, "square"),
        ({"distances": -D}, "at least 0"),
    ],
)
def test_what_k_medoids_refuses(params, match):
    with pytest.raises(ValueError, match=match):
        k_medoids(**{"distances": D, "n_clusters": 3, **params})


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_certificate_is_that_of_brute_force(k, weighted):
    rng = np.random.RandomState(k)
    w = rng.uniform(0.5, 2, 30) if weighted else None
    medoids = rng.permutation(30)[:k]
    certificate = swap_certificate(D, medoids, sample_weight=w)
    loss = reference.loss(D, medoids, w)
    best = reference.best_swap(D, medoids.tolist(), w)
    assert certificate.change == pytest.approx(best - loss)
    swapped = np.where(medoids == certificate.removed, certificate.added, medoids)
    assert reference.loss(D, swapped, w) == pytest.approx(best)


def test_the_certificate_of_a_fit_is_not_negative():
    for k in (1, 3, 8):
        result = k_medoids(D, k, random_state=0)
        certificate = swap_certificate(D, result.medoid_indices)
        assert certificate.change >= -1e-12
        assert result.converged


def test_nothing_to_exchange():
    certificate = swap_certificate(D, np.arange(30))
    assert certificate == (np.inf, -1, -1)
    weights = (np.arange(30) < 3).astype(float)
    certificate = swap_certificate(D, [0, 1, 2], sample_weight=weights)
    assert certificate == (np.inf, -1, -1)


@pytest.mark.parametrize(
    ("medoids", "match"),
    [([], "non-empty"), ([0, 0], "distinct"), ([0, 30], "0 to 29"), ([0.5], "indices")],
)
def test_medoids_that_are_not(medoids, match):
    with pytest.raises(ValueError, match=match):
        swap_certificate(D, medoids)
