"""RVR and RVC."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import make_blobs, make_moons
from sklearn.metrics.pairwise import rbf_kernel

from skalgos.linear_model import RVC, RVR, SparseBayesRegressor


def _sinc(n, seed=0):
    rng = np.random.RandomState(seed)
    X = rng.uniform(-5, 5, (n, 2))
    clean = np.sinc(X[:, 0] / np.pi) * np.sinc(X[:, 1] / np.pi)
    return X, clean + 0.05 * rng.standard_normal(n), clean


def test_few_vectors_and_a_small_error():
    X, y, clean = _sinc(400)
    model = RVR(gamma=0.5).fit(X, y)
    assert len(model.relevance_indices_) < 60
    assert np.sqrt(np.mean((model.predict(X) - clean) ** 2)) < 0.03
    assert 0.04 < np.sqrt(model.noise_variance_) < 0.06
    assert np.diff(model.scores_).min() >= 0


def test_it_is_the_linear_model_of_the_kernels():
    X, y, _ = _sinc(100)
    order = np.lexsort(X.T[::-1])
    X, y = X[order], y[order]
    K = rbf_kernel(X, gamma=0.5)
    machine = RVR(gamma=0.5).fit(X, y)
    linear = SparseBayesRegressor(inclusion_threshold=1.0, tol=1e-2).fit(K, y)
    assert_allclose(machine.relevance_indices_, linear.active_)
    assert_allclose(machine.dual_coef_, linear.coef_[linear.active_], rtol=1e-6)
    new = _sinc(10, seed=1)[0]
    expected = linear.predict(rbf_kernel(new, X, gamma=0.5), return_cov=True)
    for a, b in zip(machine.predict(new, return_cov=True), expected, strict=True):
        assert_allclose(a, b, rtol=1e-6, atol=1e-10)


def test_vectors_are_rows_of_the_data():
    X, y, _ = _sinc(100)
    model = RVR().fit(X, y)
    assert_allclose(X[model.relevance_indices_], model.relevance_vectors_)
    K = rbf_kernel(X, model.relevance_vectors_, gamma=model.gamma_)
    assert_allclose(K @ model.dual_coef_ + model.intercept_, model.predict(X))


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_scaling_the_targets_scales_the_predictions(scale):
    X, y, _ = _sinc(150)
    a, b = RVR().fit(X, y), RVR().fit(X, y * scale)
    assert_allclose(b.predict(X), a.predict(X) * scale, rtol=1e-6, atol=1e-9 * scale)


def test_gamma_as_in_support_vector_machines():
    X, y, _ = _sinc(50)
    assert_allclose(RVR().fit(X, y).gamma_, 1 / (2 * X.var()))
    assert RVR(gamma="auto").fit(X, y).gamma_ == 0.5


def test_callable_kernels():
    X, y, _ = _sinc(60)

    def kernel(a, b, width=1.0):
        return np.exp(-np.sum((a - b) ** 2) / width)

    a = RVR(kernel, kernel_params={"width": 2.0}).fit(X, y)
    b = RVR(gamma=0.5).fit(X, y)
    assert_allclose(a.predict(X), b.predict(X), rtol=1e-5, atol=1e-8)


def test_constant_targets_need_no_vector():
    X, _, _ = _sinc(20)
    model = RVR().fit(X, np.full(20, 3.0))
    assert len(model.relevance_indices_) == 0
    mean, std = model.predict(X, return_std=True)
    assert_allclose(mean, 3.0)
    assert not std.any()


def test_classification_in_two_and_three_classes():
    X, y = make_moons(300, noise=0.2, random_state=0)
    model = RVC(gamma=1.0).fit(X[:200], y[:200])
    assert model.score(X[200:], y[200:]) > 0.92
    assert len(model.relevance_indices_) < 20
    X, y = make_blobs(150, centers=3, random_state=0)
    model = RVC().fit(X, y)
    assert model.dual_coef_.shape == (3, len(model.relevance_indices_))
    assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    K = rbf_kernel(X, model.relevance_vectors_, gamma=model.gamma_)
    raw = K @ model.dual_coef_.T + model.intercept_
    assert np.mean(raw.argmax(axis=1) == model.predict(X)) > 0.98


def test_probabilities_far_away_are_less_sure():
    X, y = make_moons(200, noise=0.2, random_state=0)
    model = RVC("linear").fit(X, y)
    odds = model.decision_function([[2.0, -1.0], [20.0, -10.0]])
    raw = [
        X_ @ (model.dual_coef_ @ model.relevance_vectors_)[0] for X_ in ([2.0, -1.0],)
    ]
    assert np.isfinite(odds).all()
    assert abs(odds[1]) < 10 * abs(odds[0])
    assert abs(odds[0]) <= abs(raw[0] + model.intercept_[0]) + 1e-9
