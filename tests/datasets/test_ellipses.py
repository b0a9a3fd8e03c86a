import numpy as np
import pytest
from scipy.spatial.distance import pdist

from skalgos.datasets import make_ellipses


@pytest.mark.parametrize("shape", ["round", "mixed", "flat"])
def test_moments_are_those_told(shape):
    X, y, S = make_ellipses(
        30001,
        4,
        n_clusters=3,
        separation=5,
        shape=shape,
        random_state=0,
        return_covariances=True,
    )
    np.testing.assert_array_equal(np.bincount(y), [10001, 10000, 10000])
    means = np.array([X[y == k].mean(axis=0) for k in range(3)])
    np.testing.assert_allclose(pdist(means), 5, atol=0.15)
    for k in range(3):
        np.testing.assert_allclose(np.cov(X[y == k].T), S[k], atol=0.15)
    spectra = np.linalg.eigvalsh(S)
    if shape == "round":
        np.testing.assert_array_equal(S, np.broadcast_to(np.eye(4), S.shape))
    elif shape == "flat":
        np.testing.assert_allclose(spectra, [np.geomspace(0.05, 5, 4)] * 3)
    else:
        assert spectra.min() >= 0.2
        assert spectra.max() <= 3
        assert np.ptp(spectra, axis=0).min() > 0.01


def test_draws_depend_on_the_state_alone():
    first = make_ellipses(20, random_state=1)
    second = make_ellipses(20, random_state=1)
    np.testing.assert_array_equal(first[0], second[0])
    X, y = make_ellipses(20, random_state=np.random.default_rng(1))
    same, _ = make_ellipses(20, random_state=np.random.default_rng(1))
    np.testing.assert_array_equal(X, same)
    assert not np.array_equal(X, first[0])


def test_too_few_samples_or_features_are_named():
    with pytest.raises(ValueError, match="n_features=2 must be at least n_clusters=3"):
        make_ellipses(20, 2)
    with pytest.raises(ValueError, match="n_samples=2 must be at least n_clusters=3"):
        make_ellipses(2)
