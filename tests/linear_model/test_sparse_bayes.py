"""SparseBayesRegressor, SparseBayesClassifier and the functions."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.special import expit
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning

from skalgos.datasets import make_ecg_like, make_sparse_recovery
from skalgos.linear_model import (
    SparseBayesClassifier,
    SparseBayesRegressor,
    complex_to_real,
    sparse_bayes,
)

ALGORITHMS = ["sequential", "em", "mm", "mackay"]


def _jaccard(found, coef):
    found = np.abs(found) > 1e-3 * np.abs(found).max()
    true = coef != 0
    return (found & true).sum() / (found | true).sum()


def _nmse(found, coef):
    return np.sum(np.abs(found - coef) ** 2) / np.sum(np.abs(coef) ** 2)


# ---- recovery ------------------------------------------------------------------------
@pytest.mark.slow
def test_defaults_recover_sparse_coefficients():
    results = []
    for seed in range(30):
        X, y, coef = make_sparse_recovery(random_state=seed)
        model = SparseBayesRegressor().fit(X, y)
        results.append((_jaccard(model.coef_, coef), _nmse(model.coef_, coef)))
    jaccard, nmse = np.mean(results, axis=0)
    assert jaccard >= 0.97
    assert nmse <= 0.0012


@pytest.mark.slow
def test_noise_alone_selects_next_to_nothing():
    counts = []
    for seed in range(60):
        X, y, _ = make_sparse_recovery(n_nonzero=0, random_state=seed)
        counts.append(len(SparseBayesRegressor().fit(X, y).active_))
    # 0.2 are expected; five standard errors above are 0.49.
    assert np.mean(counts) <= 0.5


@pytest.mark.slow
def test_intervals_cover_what_they_say():
    inside = []
    for seed in range(30):
        X, y, _ = make_sparse_recovery(
            1200, 600, n_nonzero=10, snr_db=10, random_state=seed
        )
        model = SparseBayesRegressor().fit(X[:200], y[:200])
        mean, std = model.predict(X[200:], return_std=True)
        inside.append(np.mean(np.abs(y[200:] - mean) < 1.96 * std))
    assert 0.92 <= np.mean(inside) <= 0.975


@pytest.mark.slow
def test_noise_starts_find_many_nonzeros():
    errors = []
    for seed in range(12):
        X, y, coef = make_sparse_recovery(
            300, 600, n_nonzero=100, snr_db=30, gaussian=True, random_state=seed
        )
        model = SparseBayesRegressor(n_noise_starts=4).fit(X, y)
        errors.append(_nmse(model.coef_, coef))
    assert np.mean(errors) <= 0.0015


def test_em_recovers_a_compressible_signal_and_sequential_does_not():
    from scipy.fft import idct

    signal = make_ecg_like(256, random_state=0)
    A = np.random.RandomState(0).standard_normal((128, 256)) / np.sqrt(128)
    basis = idct(np.eye(256), axis=0, norm="ortho")
    errors = {}
    for algorithm in ("em", "sequential"):
        result = sparse_bayes(A @ basis, A @ signal, algorithm=algorithm)
        errors[algorithm] = _nmse(basis @ result.coef, signal)
    assert errors["em"] < 0.03
    assert errors["em"] < errors["sequential"]


def test_several_targets_share_their_support():
    X, Y, coef = make_sparse_recovery(
        60, 400, n_nonzero=20, n_targets=10, random_state=0
    )
    model = SparseBayesRegressor().fit(X, Y)
    assert model.coef_.shape == (10, 400)
    assert set(model.active_) == set(np.flatnonzero(coef.any(axis=1)))
    assert _nmse(model.coef_.T, coef) < 0.02
    mean, std = model.predict(X[:5], return_std=True)
    assert mean.shape == std.shape == (5, 10)
    assert model.predict(X[:5], return_cov=True)[1].shape == (5, 5, 10)


def _time_courses(seed, correlation=0.95, n_nonzero=8):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((25, 80))
    lags = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    root = np.linalg.cholesky(correlation**lags)
    coef = np.zeros((80, 6))
    values = rng.standard_normal((n_nonzero, 6)) @ root.T
    coef[rng.permutation(80)[:n_nonzero]] = values
    signal = X @ coef
    return X, signal + 0.05 * signal.std() * rng.standard_normal(signal.shape), coef


@pytest.mark.parametrize("kind", ["ar1", "full"])
def test_correlation_between_targets_is_learned_and_helps(kind):
    errors = []
    for seed in range(6):
        X, Y, coef = _time_courses(seed, n_nonzero=14)
        noise = np.mean((Y - X @ coef) ** 2)
        plain = SparseBayesRegressor("mm", noise_variance=noise).fit(X, Y)
        assert not hasattr(plain, "output_correlation_")
        model = SparseBayesRegressor(
            "mm", noise_variance=noise, output_correlation=kind
        ).fit(X, Y)
        assert 0.7 < model.output_correlation_[0, 1] < 1.3
        errors.append((_nmse(model.coef_.T, coef), _nmse(plain.coef_.T, coef)))
    correlated, plain = np.mean(errors, axis=0)
    assert correlated < 0.8 * plain


@pytest.mark.parametrize("kind", ["ar1", "full"])
def test_uncertainty_with_correlated_targets(kind):
    X, Y, _ = _time_courses(0)
    model = SparseBayesRegressor("em", output_correlation=kind, max_iter=50, tol=1e-2)
    model.fit(X, Y)
    mean, std = model.predict(X[:4], return_std=True)
    cov = model.predict(X[:4], return_cov=True)[1]
    assert cov.shape == (4, 4, 6)
    assert_allclose(std**2, np.einsum("iit->it", cov), rtol=1e-9)
    draws = model.sample_coef(20_000, random_state=0)[..., model.active_]
    assert draws.shape[1:] == (6, len(model.active_))
    scale = np.sqrt(np.einsum("jjt->tj", model.sigma_))
    # Six standard errors of means and variances.
    gap = draws.mean(axis=0) - model.coef_[:, model.active_]
    assert np.abs(gap / scale).max() < 0.045
    assert np.abs(draws.std(axis=0) / scale - 1).max() < 0.03


def test_correlation_of_one_target_changes_nothing():
    X, y, _ = make_sparse_recovery(40, 60, n_nonzero=4, random_state=0)
    model = SparseBayesRegressor("em", output_correlation="ar1").fit(X, y)
    plain = SparseBayesRegressor("em").fit(X, y)
    assert model.output_correlation_.shape == (1, 1)
    assert_allclose(model.coef_, plain.coef_)
    std = model.predict(X, return_std=True)[1]
    assert_allclose(std, plain.predict(X, return_std=True)[1])


@pytest.mark.parametrize("algorithm", ["em", "mm", "mackay"])
def test_priors_of_precisions_do_not_depend_on_units(algorithm):
    X, y, _ = make_sparse_recovery(100, 30, n_nonzero=5, random_state=0)
    params = {"alpha_1": 2.0, "alpha_2": 0.1, "lambda_1": 0.3, "lambda_2": 0.02}
    model = SparseBayesRegressor(algorithm, **params).fit(X, y)
    plain = SparseBayesRegressor(algorithm).fit(X, y)
    assert np.abs(model.coef_ - plain.coef_).max() > 1e-3
    scales = 10 ** np.random.RandomState(0).uniform(-4, 4, 30)
    other = SparseBayesRegressor(algorithm, **params).fit(X * scales, y * 1e-6)
    assert_allclose(other.coef_ * scales * 1e6, model.coef_, rtol=1e-6)
    rows = np.repeat(np.arange(100), 2)
    twice = SparseBayesRegressor(algorithm, **params).fit(X[rows], y[rows])
    weighted = SparseBayesRegressor(algorithm, **params)
    weighted.fit(X, y, sample_weight=np.full(100, 2.0))
    assert_allclose(weighted.coef_, twice.coef_, rtol=1e-7)


def test_groups_find_whole_groups():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((40, 200))
    coef = np.zeros(200)
    coef[20:25], coef[100:105] = rng.standard_normal((2, 5))
    y = X @ coef + 0.05 * rng.standard_normal(40)
    labels = np.repeat(np.arange(40), 5)
    model = SparseBayesRegressor(groups=labels).fit(X, y)
    assert model.algorithm_ == "mm"
    assert _nmse(model.coef_, coef) < 0.01
    assert_allclose(
        model.lambda_[20:25] * X[:, 20:25].var(axis=0) ** -1,
        np.mean(model.lambda_[20:25] * X[:, 20:25].var(axis=0) ** -1),
        rtol=1e-9,
    )
    membership = labels == np.arange(40)[:, None]
    same = SparseBayesRegressor(groups=membership).fit(X, y)
    assert_allclose(same.coef_, model.coef_)


def test_coupling_and_shape_help_where_they_are_true():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((40, 144))
    coef = np.zeros((12, 12))
    coef[3:6, 7:10] = rng.standard_normal((3, 3))
    y = X @ coef.ravel() + 0.3 * rng.standard_normal(40)

    def error(**params):
        model = SparseBayesRegressor("mm", **params).fit(X, y)
        return _nmse(model.coef_, coef.ravel())

    plain, chain = error(), error(coupling=0.8)
    shaped = error(feature_shape=(12, 12))
    both = error(feature_shape=(12, 12), coupling=0.8)
    assert chain < plain
    assert shaped < plain
    assert both < plain


# ---- invariances ---------------------------------------------------------------------
@pytest.mark.parametrize("algorithm", ["sequential", "em", "mm"])
def test_scaling_scales_and_changes_nothing_else(algorithm):
    X, y, _ = make_sparse_recovery(100, 150, n_nonzero=5, random_state=0)
    model = SparseBayesRegressor(algorithm).fit(X, y)
    column_scales = 10 ** np.random.RandomState(0).uniform(-4, 4, 150)
    for scale in (1e-8, 1e-3, 1e5):
        other = SparseBayesRegressor(algorithm).fit(X * column_scales, y * scale)
        assert_allclose(other.active_, model.active_)
        expected = model.coef_ * scale / column_scales
        assert_allclose(other.coef_, expected, rtol=1e-6)
        shift = np.log(scale) * (len(y) - 1)
        assert_allclose(other.log_evidence_, model.log_evidence_ - shift, rtol=1e-8)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_weights_repeat_rows(algorithm):
    X, y, _ = make_sparse_recovery(50, 30, n_nonzero=4, random_state=0)
    counts = np.random.RandomState(0).randint(0, 4, 50)
    weighted = SparseBayesRegressor(algorithm).fit(X, y, sample_weight=counts)
    rows = np.repeat(np.arange(50), counts)
    repeated = SparseBayesRegressor(algorithm).fit(X[rows], y[rows])
    for name in ("coef_", "intercept_", "noise_variance_", "log_evidence_"):
        assert_allclose(getattr(weighted, name), getattr(repeated, name), rtol=1e-7)
    a = weighted.predict(X, return_std=True)[1]
    assert_allclose(a, repeated.predict(X, return_std=True)[1], rtol=1e-7)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_sparse_data_are_centred_implicitly(algorithm):
    X, y, _ = make_sparse_recovery(50, 80, n_nonzero=4, random_state=0)
    X = np.where(np.abs(X) < 0.7, 0, X + 1)
    dense = SparseBayesRegressor(algorithm).fit(X, y)
    for container in (sparse.csr_array, sparse.csc_matrix):
        model = SparseBayesRegressor(algorithm).fit(container(X), y)
        assert_allclose(model.coef_, dense.coef_, rtol=1e-6, atol=1e-10)
        std = model.predict(container(X), return_std=True)[1]
        assert_allclose(std, dense.predict(X, return_std=True)[1], rtol=1e-6)


# ---- uncertainty ---------------------------------------------------------------------
@pytest.mark.parametrize("algorithm", ["sequential", "em"])
def test_predictive_covariance_is_that_of_a_flat_intercept(algorithm):
    X, y, _ = make_sparse_recovery(20, 40, n_nonzero=3, random_state=0)
    X, y = X + 3, y + 5
    model = SparseBayesRegressor(algorithm, max_iter=5, tol=1.0).fit(X, y)
    active, gamma = model.active_, 1 / model.lambda_[model.active_]
    A, ones = X[:, active], np.ones(20)
    C = model.noise_variance_ * np.eye(20) + (A * gamma) @ A.T
    inverse = np.linalg.inv(C)
    information = ones @ inverse @ ones
    b = ones @ inverse @ y / information
    new = np.random.RandomState(1).standard_normal((4, 40)) * 3
    B = new[:, active]
    gain = (B * gamma) @ A.T @ inverse
    left = 1 - gain @ ones
    expected = (B * gamma) @ B.T - gain @ (A * gamma) @ B.T
    expected += np.outer(left, left) / information + model.noise_variance_ * np.eye(4)
    predicted, cov = model.predict(new, return_cov=True)
    assert_allclose(predicted, b + gain @ (y - b), rtol=1e-6)
    assert_allclose(cov, expected, rtol=1e-6, atol=1e-8 * np.abs(expected).max())
    std = model.predict(new, return_std=True)[1]
    assert_allclose(std**2, cov.diagonal(), rtol=1e-9)


@pytest.mark.parametrize("n_features", [10, 80])
def test_draws_have_the_posterior_moments(n_features):
    X, y, _ = make_sparse_recovery(30, n_features, n_nonzero=3, random_state=0)
    model = SparseBayesRegressor("em", max_iter=3, tol=1.0).fit(X, y)
    draws = model.sample_coef(40_000, random_state=0)[:, model.active_]
    deviation = np.sqrt(model.sigma_.diagonal())
    # Six standard errors of the mean, and of the covariance.
    assert np.abs((draws.mean(0) - model.coef_[model.active_]) / deviation).max() < 0.03
    gap = np.abs(np.cov(draws.T) - model.sigma_) / np.outer(deviation, deviation)
    assert gap.max() < 0.045


# ---- fitting -------------------------------------------------------------------------
def test_warm_start_goes_on_where_it_was():
    X, y, _ = make_sparse_recovery(random_state=0)
    model = SparseBayesRegressor(warm_start=True).fit(X, y)
    first, rounds = model.coef_.copy(), model.n_iter_
    model.fit(X, y)
    assert model.n_iter_ < rounds
    assert_allclose(model.coef_, first, rtol=1e-2)
    with pytest.raises(ValueError, match="number of features must stay the same"):
        model.fit(X[:, :50], y)
    em = SparseBayesRegressor("em", warm_start=True).fit(X[:, :100], y)
    before = em.log_evidence_
    assert em.fit(X[:, :100], y).log_evidence_ >= before - 1e-2


def test_a_budget_that_ran_out_is_reported():
    X, y, _ = make_sparse_recovery(random_state=0)
    for algorithm in ALGORITHMS:
        model = SparseBayesRegressor(algorithm, max_iter=1)
        with pytest.warns(ConvergenceWarning, match="max_iter=1"):
            model.fit(X, y)
        assert not model.converged_


def test_more_starts_share_no_state():
    X, y, _ = make_sparse_recovery(random_state=0)
    a = SparseBayesRegressor(n_noise_starts=3).fit(X, y)
    b = SparseBayesRegressor(n_noise_starts=1).fit(X, y)
    assert_allclose(a.coef_, b.coef_, rtol=1e-2, atol=1e-3)


def test_max_features_is_kept():
    X, y, _ = make_sparse_recovery(random_state=0)
    assert len(SparseBayesRegressor(max_features=3).fit(X, y).active_) <= 3


# ---- bad and odd input ---------------------------------------------------------------
@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_constant_targets(algorithm, value):
    X = np.random.RandomState(0).standard_normal((20, 5))
    model = SparseBayesRegressor(algorithm).fit(X, np.full(20, value))
    assert not model.coef_.any()
    assert model.noise_variance_ == 0
    assert np.isinf(model.alpha_)
    mean, std = model.predict(X, return_std=True)
    assert_allclose(mean, value, rtol=1e-12)
    assert not std.any()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_zero_constant_and_duplicate_columns(algorithm):
    X, y, coef = make_sparse_recovery(100, 20, n_nonzero=3, random_state=0)
    wide = np.column_stack([X, np.zeros(100), np.full(100, 7.0), X])
    model = SparseBayesRegressor(algorithm).fit(wide, y)
    assert not model.coef_[20:22].any()
    both = model.coef_[:20] + model.coef_[22:]
    assert _nmse(both, coef) < 0.01
    if algorithm == "sequential":
        assert not model.coef_[22:].any()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_data_without_noise(algorithm):
    X, _, coef = make_sparse_recovery(60, 40, n_nonzero=4, random_state=0)
    with warnings.catch_warnings():
        # The noise variance falls towards zero for as long as it may.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = SparseBayesRegressor(algorithm).fit(X, X @ coef)
    assert np.isfinite(model.coef_).all()
    assert np.isfinite(model.scores_).all()
    assert _nmse(model.coef_, coef) < 1e-6


def test_one_row():
    model = SparseBayesRegressor().fit([[1.0, 2.0]], [3.0])
    assert_allclose(model.predict([[5.0, 5.0]]), 3.0)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"groups": [0, 1]}, "groups must have a label for each of the 6 columns"),
        ({"groups": np.zeros((2, 6))}, "groups leaves out column 0"),
        ({"groups": np.full((1, 6), 2.0)}, "zeros and ones"),
        ({"groups": [0] * 6, "coupling": 0.5}, "groups and coupling exclude"),
        ({"groups": [0] * 6, "feature_shape": (2, 3)}, "groups and feature_shape"),
        ({"feature_shape": (2, 2)}, "2 x 2 = 4"),
        ({"feature_shape": (2.5, 2)}, "tuple of positive integers"),
        ({"feature_shape": (2, 3), "coupling": (0.5,)}, "each of the 2 axes"),
        ({"coupling": (2.0,)}, "coupling must be between 0 and 1"),
        ({"coupling": 2.0}, "coupling"),
        ({"algorithm": "sequential", "coupling": 0.5}, "takes no groups, coupling"),
        ({"algorithm": "mackay", "coupling": 0.5}, "takes no coupling"),
        ({"algorithm": "em", "inclusion_threshold": 1.0}, "inclusion_threshold=1.0 is"),
        ({"algorithm": "em", "n_noise_starts": 2}, "n_noise_starts=2 is for"),
        ({"algorithm": "em", "max_features": 2}, "max_features=2 is for"),
        ({"noise_variance": 1.0, "n_noise_starts": 2}, "a noise variance that is"),
        ({"algorithm": "sequential", "lambda_1": 1.0}, "takes no lambda_1"),
        (
            {"algorithm": "sequential", "output_correlation": "ar1"},
            "takes no output_correlation; got 'ar1'",
        ),
        ({"output_correlation": "ar2"}, "output_correlation"),
        ({"alpha_1": -1.0}, "alpha_1"),
        ({"warm_start": True, "coupling": 0.5}, "warm_start=True goes without"),
        ({"inclusion_threshold": 0.5}, "inclusion_threshold"),
        ({"noise_variance": 0.0}, "noise_variance"),
    ],
)
def test_bad_parameters_are_named(params, message):
    X, y, _ = make_sparse_recovery(20, 6, n_nonzero=2, random_state=0)
    model = SparseBayesRegressor(**params)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert not hasattr(model, "coef_")


def test_weights_that_leave_nothing_for_the_noise():
    X, y, _ = make_sparse_recovery(20, 6, n_nonzero=2, random_state=0)
    with pytest.raises(ValueError, match="sample_weight must sum to more than 1"):
        SparseBayesRegressor().fit(X, y, sample_weight=np.full(20, 0.01))


def test_complex_data_are_for_the_function():
    X, y, _ = make_sparse_recovery(20, 6, n_nonzero=2, random_state=0)
    with pytest.raises(ValueError, match="Complex data not supported"):
        SparseBayesRegressor().fit(X + 1j, y)


def test_both_uncertainties_at_once():
    X, y, _ = make_sparse_recovery(20, 6, n_nonzero=2, random_state=0)
    with pytest.raises(ValueError, match="return_std and return_cov"):
        SparseBayesRegressor().fit(X, y).predict(X, return_std=True, return_cov=True)


# ---- the functions -------------------------------------------------------------------
@pytest.mark.parametrize("algorithm", ["em", "mm", "mackay"])
@pytest.mark.parametrize("L", [1, 3])
def test_stacked_and_tied_reals_are_the_complex_solution(algorithm, L):
    rng = np.random.RandomState(0)
    A = rng.standard_normal((2, 30, 50)).T.T
    A = A[0] + 1j * A[1]
    X = np.zeros((50, L), complex)
    X[:4] = rng.standard_normal((4, L)) + 1j * rng.standard_normal((4, L))
    noise = rng.standard_normal((2, 30, L))
    Y = A @ X + 0.1 * (noise[0] + 1j * noise[1])
    settings = {"algorithm": algorithm, "tol": 1e-9, "max_iter": 3000}
    native = sparse_bayes(A, Y, **settings)
    real_A, real_Y, groups = complex_to_real(A, Y)
    real = sparse_bayes(real_A, real_Y, groups=groups, **settings)
    joined = real.coef[:50] + 1j * real.coef[50:]
    assert_allclose(joined, native.coef, atol=1e-7)
    assert_allclose(real.log_evidence, native.log_evidence, rtol=1e-7)
    assert_allclose(2 * real.noise_variance, native.noise_variance, rtol=1e-6)
    assert_allclose(2 * real.variance[:50], native.variance, atol=1e-8)


def test_complex_recovery_beats_untied_reals():
    errors = []
    for seed in range(5):
        rng = np.random.RandomState(seed)
        A = rng.standard_normal((100, 500)) + 1j * rng.standard_normal((100, 500))
        x = np.zeros(500, complex)
        x[:10] = np.exp(2j * np.pi * rng.uniform(size=10))
        e = rng.standard_normal(100) + 1j * rng.standard_normal(100)
        y = A @ x + 0.5 * e
        real_A, real_y, _ = complex_to_real(A, y)
        real = sparse_bayes(real_A, real_y).coef
        untied = real[:500] + 1j * real[500:]
        errors.append((_nmse(sparse_bayes(A, y).coef, x), _nmse(untied, x)))
    native, untied = np.mean(errors, axis=0)
    assert native < untied


@pytest.mark.parametrize(
    ("A", "Y", "message"),
    [
        ([["a"]], [1.0], "A must hold numbers"),
        ([1.0], [1.0], "A must be a 2D array"),
        ([[1.0]], [[[1.0]]], "Y must be a 1D or 2D array"),
        ([[np.nan]], [1.0], "A holds NaN"),
        ([[1.0]], [np.inf], "Y holds NaN or infinity"),
        ([[1.0]], [1.0, 2.0], "Y must have as many rows as A; got 2 and 1"),
        (np.empty((0, 3)), [1.0], "A is empty"),
    ],
)
def test_bad_arrays_are_named(A, Y, message):
    with pytest.raises(ValueError, match=message):
        sparse_bayes(A, Y)


def test_zero_measurements():
    result = sparse_bayes(np.eye(4), np.zeros(4))
    assert not result.coef.any()
    assert result.noise_variance == 0


# ---- the classifier ------------------------------------------------------------------
def test_classifier_finds_the_informative_features():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((400, 300))
    y = rng.uniform(size=400) < expit(3 * X[:, 5] - 2 * X[:, 100])
    model = SparseBayesClassifier().fit(X, y)
    assert {5, 100} <= set(model.active_)
    assert len(model.active_) <= 4


def test_classifier_ends_at_a_mode():
    X, y = make_classification(200, 10, random_state=0)
    model = SparseBayesClassifier(1.0).fit(X, y)
    active = model.active_
    pi = expit(X @ model.coef_[0] + model.intercept_[0])
    prior = model.lambda_[0, active] * model.coef_[0, active]
    gradient = X[:, active].T @ (y - pi) - prior
    assert_allclose(gradient, 0, atol=1e-4)
    assert_allclose((y - pi).sum(), 0, atol=1e-4)


def test_classifier_probabilities_are_calibrated():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((23_000, 20))
    truth = expit(2 * X[:, 0] - X[:, 1])
    y = (rng.uniform(size=len(X)) < truth).astype(int)
    model = SparseBayesClassifier().fit(X[:3000], y[:3000])
    p = model.predict_proba(X[3000:])[:, 1]
    for low in (0.0, 0.25, 0.5, 0.75):
        inside = (p >= low) & (p < low + 0.25)
        assert abs(p[inside].mean() - truth[3000:][inside].mean()) < 0.06


def test_classifier_on_separable_data_stays_finite():
    X = np.random.RandomState(0).standard_normal((60, 3))
    y = X[:, 0] > 0
    with warnings.catch_warnings():
        # Separable classes have no finite maximum but for the priors.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = SparseBayesClassifier().fit(X, y)
    assert np.isfinite(model.coef_).all()
    assert model.score(X, y) == 1.0


def test_classifier_is_scale_equivariant():
    X, y = make_classification(200, 10, random_state=0)
    scales = 10 ** np.random.RandomState(0).uniform(-4, 4, 10)
    a = SparseBayesClassifier().fit(X, y)
    b = SparseBayesClassifier().fit(X * scales, y)
    assert_allclose(b.coef_ * scales, a.coef_, rtol=1e-5, atol=1e-8)


def test_classifier_balances_by_weight():
    X, y = make_classification(300, 5, weights=[0.9], random_state=0)
    plain = SparseBayesClassifier().fit(X, y).predict(X).mean()
    balanced = SparseBayesClassifier(class_weight="balanced").fit(X, y)
    assert balanced.predict(X).mean() > plain
    counts = 0.5 / np.bincount(y)[y] * len(y)
    given = SparseBayesClassifier().fit(X, y, sample_weight=counts)
    assert_allclose(balanced.coef_, given.coef_, rtol=1e-6)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="1 class"):
        SparseBayesClassifier().fit([[1.0], [2.0]], [1, 1])
