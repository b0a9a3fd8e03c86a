import numpy as np
import pytest
from scipy.stats import multivariate_normal

from skalgos.datasets import make_checkered, make_checkered_gmm
from skalgos.linear_model import checkoid


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 6])
def test_a_grid_alternates(m):
    X, y, truth = make_checkered(
        500, n_hyperplanes=m, random_state=0, return_truth=True
    )
    columns, rows = (m + 1) // 2 + 1, m // 2 + 1
    tile = (X[:, 0] * columns).astype(int) + (X[:, 1] * rows).astype(int)
    np.testing.assert_array_equal(y, tile % 2 == 0)
    signs = np.sign(X @ truth.coef.T + truth.intercept)
    np.testing.assert_array_equal(y, signs.prod(axis=1) > 0)
    np.testing.assert_array_equal(truth.proba[:, 1], y)


def test_a_turned_grid_is_the_same_board():
    X, y = make_checkered(300, 3, random_state=0)
    turned, same, truth = make_checkered(
        300, 3, angle=30, random_state=0, return_truth=True
    )
    np.testing.assert_array_equal(y, same)
    np.testing.assert_allclose(
        ((turned[:, :2] - 0.5) ** 2).sum(axis=1), ((X[:, :2] - 0.5) ** 2).sum(axis=1)
    )
    signs = np.sign(turned @ truth.coef.T + truth.intercept)
    np.testing.assert_array_equal(y, signs.prod(axis=1) > 0)


@pytest.mark.parametrize("K", [2, 3, 5])
def test_labels_have_the_probabilities_told(K):
    X, y, truth = make_checkered(
        20000,
        4,
        n_hyperplanes=3,
        n_classes=K,
        layout="random",
        sharpness=3.0,
        flip_y=0.1,
        random_state=0,
        return_truth=True,
    )
    np.testing.assert_allclose(truth.proba.sum(axis=1), 1)
    assert truth.coef.shape == ((3, 4) if K == 2 else (3, K, 4))
    for c in range(K):
        p = truth.proba[:, c]
        assert p.min() >= 0.1 / (K - 1) - 1e-12
        z = ((y == c) - p).sum() / np.sqrt((p * (1 - p)).sum())
        assert abs(z) < 4


def test_flips():
    X, clean = make_checkered(5000, random_state=0)
    _, noisy = make_checkered(5000, flip_y=0.2, random_state=0)
    assert (clean != noisy).mean() == pytest.approx(0.2, abs=0.025)


def test_gaussian_clusters_have_the_posterior_told():
    X, y, truth = make_checkered_gmm(
        2000,
        3,
        n_hyperplanes=2,
        separation=1.5,
        scale=0.7,
        return_truth=True,
        random_state=0,
    )
    density = np.zeros((2, 2000))
    for a in (-0.75, 0.75):
        for b in (-0.75, 0.75):
            law = multivariate_normal([a, b, 0], 0.49 * np.eye(3))
            density[int(a * b > 0)] += law.pdf(X)
    np.testing.assert_allclose(truth.proba[:, 1], density[1] / density.sum(axis=0))
    np.testing.assert_allclose(truth.proba[:, 1], checkoid(X @ truth.coef.T))
    assert abs(y.mean() - 0.5) < 0.05


@pytest.mark.parametrize("make", [make_checkered, make_checkered_gmm])
def test_seeds(make):
    for a, b in zip(make(20, random_state=3), make(20, random_state=3), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (make(20, random_state=3)[0] != make(20, random_state=4)[0]).all()


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (make_checkered, {"n_classes": 3}, "layout='grid' is for n_classes=2"),
        (make_checkered, {"n_features": 1}, "n_features of at least 2"),
        (make_checkered, {"layout": "random", "angle": 3.0}, "angle turns the grid"),
        (make_checkered, {"flip_y": 1.5}, "'flip_y' parameter"),
        (make_checkered, {"sharpness": 0}, "'sharpness' parameter"),
        (make_checkered_gmm, {"n_hyperplanes": 3}, "n_features=2 must be at least"),
        (make_checkered_gmm, {"scale": 0.0}, "'scale' parameter"),
    ],
)
def test_bad_parameters(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(10, **arguments)
