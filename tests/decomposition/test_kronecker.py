"""The Kronecker solver against the dense computation, its function and estimator."""

from functools import reduce

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skalgos._sparse_bayes.kronecker import _Problem, mode_products
from skalgos._sparse_bayes.priors import outer
from skalgos.datasets import make_irs_channel, make_kronecker_sparse
from skalgos.decomposition import KroneckerSparseCoder, kron_sparse_bayes
from tests.reference.sparse_bayes import posterior

M_STEPS = ["auto", "am", "kl", "mm", "svd"]
SHAPES = [
    ([6], [9]),
    ([9], [4]),
    ([3, 5], [6, 4]),
    ([4, 3, 5], [5, 6, 3]),
    ([2, 3, 2, 3], [3, 2, 4, 3]),
    ([2, 2, 3, 2, 2], [3, 2, 2, 3, 2]),
]


def _normal(rng, *shape, complex_valued=False):
    real = rng.standard_normal(shape)
    return real + 1j * rng.standard_normal(shape) if complex_valued else real


@pytest.mark.parametrize("complex_valued", [False, True])
@pytest.mark.parametrize("L", [1, 3])
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_posterior_is_that_of_the_dense_product(rows, columns, L, complex_valued):
    rng = np.random.RandomState(0)
    factors = [
        _normal(rng, m, n, complex_valued=complex_valued)
        for m, n in zip(rows, columns, strict=True)
    ]
    Y = _normal(rng, *rows, L, complex_valued=complex_valued)
    margins = [rng.uniform(0.1, 2, n) for n in columns]
    q, s, J, residual, effective = _Problem(factors, Y).posterior(margins, 0.3)
    A, gamma = reduce(np.kron, factors), outer(margins)
    flat = Y.reshape(-1, L)
    mean, covariance, evidence = posterior(A, flat, gamma, 0.3)
    scale = np.abs(mean).max()
    assert_allclose(gamma[:, None] * q, mean, atol=1e-9 * scale)
    variance = covariance.diagonal().real
    assert_allclose(gamma - gamma**2 * s, variance, atol=1e-9)
    ln = np.log(np.pi if complex_valued else 2 * np.pi)
    whole = -(J + len(flat) * L * ln) / (1 if complex_valued else 2)
    assert_allclose(whole, evidence, rtol=1e-9)
    assert_allclose(residual, np.sum(np.abs(flat - A @ mean) ** 2), rtol=1e-8)
    assert_allclose(effective, np.sum(1 - variance / gamma), rtol=1e-8)


@pytest.mark.parametrize("m_step", M_STEPS)
@pytest.mark.parametrize("complex_valued", [False, True])
def test_results_are_those_of_the_dense_formulas(m_step, complex_valued):
    problem = make_kronecker_sparse(
        (4, 5, 3),
        (6, 5, 4),
        n_nonzero=2,
        complex_valued=complex_valued,
        random_state=0,
    )
    found = kron_sparse_bayes(problem.factors, problem.Y, m_step=m_step, max_iter=12)
    A = reduce(np.kron, problem.factors)
    gamma = outer(found.factor_variances)
    mean, covariance, evidence = posterior(
        A, problem.Y.ravel(), gamma, found.noise_variance
    )
    assert_allclose(found.coef.ravel(), mean[:, 0], atol=1e-9 * np.abs(mean).max())
    assert_allclose(
        found.variance.ravel(), covariance.diagonal().real, atol=1e-9 * gamma.max()
    )
    assert_allclose(found.log_evidence, evidence, rtol=1e-9)


@pytest.mark.parametrize("m_step", M_STEPS)
@pytest.mark.parametrize("noise_variance", ["learn", 0.05])
def test_scores_never_fall(m_step, noise_variance):
    for seed in range(4):
        problem = make_kronecker_sparse(
            (6, 7), (12, 12), snr_db=12, kronecker_valued=False, random_state=seed
        )
        found = kron_sparse_bayes(
            problem.factors, problem.Y, m_step=m_step, noise_variance=noise_variance
        )
        assert np.diff(found.scores).min() > -1e-7 * np.abs(found.scores).max()


def test_a_step_of_svd_that_lowers_the_evidence_is_replaced():
    """On data where that happens, by the scores of plain steps of svd."""
    from skalgos._sparse_bayes.kronecker import Factors, starting_prior

    fell = 0
    for seed in range(3):
        problem = make_kronecker_sparse(
            n_nonzero=5, snr_db=10, kronecker_valued=False, random_state=seed
        )
        Y = problem.Y[..., None] / np.sqrt(np.mean(problem.Y**2))
        factors = Factors(problem.factors)
        prior, noise = starting_prior(factors.units), 0.1
        dense, costs = _Problem(factors.units, Y), []
        for _ in range(25):
            gamma = prior.gamma
            q, s, J, residual, effective = dense.posterior(prior.margins, noise)
            costs.append(J)
            variance = np.maximum(gamma - gamma**2 * s, 0)
            prior.step("svd", (gamma * q[:, 0]) ** 2, variance, s)
            noise = (residual + noise * effective) / Y.size
        fell += np.diff(costs).max() > 1
        found = kron_sparse_bayes(problem.factors, problem.Y, m_step="svd")
        assert np.diff(found.scores).min() > -1e-7 * np.abs(found.scores).max()
    assert fell


def test_recovery_of_a_sparse_tensor():
    errors = []
    for seed in range(10):
        problem = make_kronecker_sparse(random_state=seed)
        coef = kron_sparse_bayes(problem.factors, problem.Y).coef
        errors.append(np.sum((coef - problem.coef) ** 2) / np.sum(problem.coef**2))
    assert np.median(errors) < 5e-4


def test_several_outputs_share_their_variances():
    rng = np.random.RandomState(0)
    factors = [rng.standard_normal((5, 10)), rng.standard_normal((6, 12))]
    coef = np.zeros((10, 12, 8))
    coef[np.ix_([1, 5], [3, 7, 9])] = rng.standard_normal((2, 3, 8))
    Y = mode_products(coef, factors) + 0.05 * rng.standard_normal((5, 6, 8))
    found = kron_sparse_bayes(factors, Y)
    assert [a.tolist() for a in found.active] == [[1, 5], [3, 7, 9]]
    assert np.sum((found.coef - coef) ** 2) < 0.01 * np.sum(coef**2)


def test_coupling_helps_with_blocks():
    errors = []
    for seed in range(8):
        problem, steering = make_irs_channel(
            10, n_surface=32, n_pilots=3, snr_db=4, random_state=seed
        )
        channel = mode_products(problem.coef[..., None], steering)

        def error(coef, steering=steering, channel=channel):
            gap = mode_products(coef[..., None], steering) - channel
            return np.sum(np.abs(gap) ** 2) / np.sum(np.abs(channel) ** 2)

        plain = kron_sparse_bayes(problem.factors, problem.Y, m_step="mm")
        coupled = kron_sparse_bayes(problem.factors, problem.Y, coupling=(0.8, 0, 0.8))
        errors.append((error(plain.coef), error(coupled.coef)))
    plain, coupled = np.median(errors, axis=0)
    assert coupled < plain


@pytest.mark.parametrize("m_step", M_STEPS)
def test_scaling_scales_and_changes_nothing_else(m_step):
    problem = make_kronecker_sparse((5, 6), (8, 9), random_state=0)
    base = kron_sparse_bayes(problem.factors, problem.Y, m_step=m_step)
    rng = np.random.RandomState(1)
    scales = [10 ** rng.uniform(-3, 3, A.shape[1]) for A in problem.factors]
    factors = [A * d for A, d in zip(problem.factors, scales, strict=True)]
    for scale in (1e-7, 1e4):
        other = kron_sparse_bayes(factors, problem.Y * scale, m_step=m_step)
        expected = base.coef * scale / np.multiply.outer(*scales)
        assert_allclose(
            other.coef, expected, rtol=1e-6, atol=1e-9 * np.abs(expected).max()
        )
        shift = problem.Y.size * np.log(scale)
        assert_allclose(other.log_evidence, base.log_evidence - shift, rtol=1e-7)


def test_flat_and_tensor_measurements():
    problem = make_kronecker_sparse((5, 6), (8, 9), random_state=0)
    tensor = kron_sparse_bayes(problem.factors, problem.Y)
    flat = kron_sparse_bayes(problem.factors, problem.Y.ravel())
    assert tensor.coef.shape == (8, 9)
    assert_allclose(flat.coef, tensor.coef.ravel())
    column = kron_sparse_bayes(problem.factors, problem.Y.reshape(-1, 1))
    assert_allclose(column.coef[:, 0], flat.coef)


def test_zero_measurements_and_dictionaries():
    factors = [np.eye(3), np.eye(4)]
    found = kron_sparse_bayes(factors, np.zeros((3, 4)))
    assert not found.coef.any()
    assert found.noise_variance == 0
    zero = kron_sparse_bayes([np.zeros((3, 2)), np.eye(4)], np.ones((3, 4)))
    assert not zero.coef.any()
    assert zero.noise_variance == 1


@pytest.mark.parametrize("m_step", M_STEPS)
def test_measurements_without_noise(m_step):
    problem = make_kronecker_sparse((7, 8), (10, 10), n_nonzero=2, random_state=0)
    Y = mode_products(problem.coef[..., None], problem.factors)[..., 0]
    found = kron_sparse_bayes(problem.factors, Y, m_step=m_step, max_iter=500)
    assert np.isfinite(found.scores).all()
    gap = np.sum((found.coef - problem.coef) ** 2)
    assert gap < 1e-6 * np.sum(problem.coef**2)


@pytest.mark.parametrize(
    ("factors", "Y", "params", "message"),
    [
        ([], [1.0], {}, "at least one dictionary"),
        ([np.eye(2), np.ones(3)], np.ones((2, 3)), {}, r"factors\[1\] must be a 2D"),
        ([np.eye(2), np.eye(3)], np.ones(5), {}, "2 x 3 = 6"),
        ([np.eye(2)], [1.0, np.nan], {}, "missing measurements"),
        ([np.eye(2)], np.ma.masked_array([1.0, 2], [0, 1]), {}, "missing measurements"),
        ([np.eye(2)], [1.0, np.inf], {}, "Y holds NaN or infinity"),
        ([np.eye(2)], [1.0, 2], {"m_step": "kl", "coupling": 0.5}, "takes no coupling"),
        ([np.eye(2)], [1.0, 2], {"coupling": (0.5, 1)}, "each of the 1 axes"),
    ],
)
def test_bad_input_is_named(factors, Y, params, message):
    with pytest.raises(ValueError, match=message):
        kron_sparse_bayes(factors, Y, **params)


# ---- the estimator -------------------------------------------------------------------
def _rows(n=6):
    rng = np.random.RandomState(0)
    factors = [rng.standard_normal((5, 10)), rng.standard_normal((6, 12))]
    codes = np.zeros((10, 12, n))
    codes[np.ix_([1, 5], [3, 7])] = rng.standard_normal((2, 2, n))
    clean = mode_products(codes, factors).reshape(30, n).T
    return factors, clean + 0.02 * rng.standard_normal((n, 30)), codes.reshape(120, n).T


def test_codes_of_rows_are_those_of_the_function():
    factors, X, codes = _rows()
    coder = KroneckerSparseCoder(factors).fit(X)
    for row, code, noise in zip(X, coder.codes_, coder.noise_variance_, strict=True):
        found = kron_sparse_bayes(factors, row)
        assert_allclose(code, found.coef)
        assert_allclose(noise, found.noise_variance)
    assert_allclose(coder.transform(X), coder.codes_)
    errors = np.sum((coder.codes_ - codes) ** 2, axis=1) / np.sum(codes**2, axis=1)
    assert np.median(errors) < 0.02


def test_shared_support_is_a_linear_map():
    factors, X, codes = _rows(10)
    coder = KroneckerSparseCoder(factors, shared_support=True).fit(X)
    assert_allclose(coder.transform(X), coder.codes_)
    assert np.sum((coder.codes_ - codes) ** 2) < 0.02 * np.sum(codes**2)
    A, gamma = np.kron(*factors), outer(coder.factor_variances_)
    new = np.random.RandomState(1).standard_normal((3, 30))
    mean, _, _ = posterior(A, new.T, gamma, coder.noise_variance_)
    assert_allclose(coder.transform(new), mean.T, atol=1e-9)
    together = kron_sparse_bayes(factors, X.T)
    assert_allclose(coder.log_evidence_, together.log_evidence)


def test_inverse_transform_multiplies():
    factors, X, _ = _rows()
    coder = KroneckerSparseCoder(factors).fit(X)
    expected = coder.codes_ @ np.kron(*factors).T
    assert_allclose(coder.inverse_transform(coder.codes_), expected, atol=1e-10)
    with pytest.raises(ValueError, match="120 columns, the number of codes; got 3"):
        coder.inverse_transform(np.ones((1, 3)))


def test_names_of_codes():
    factors, X, _ = _rows()
    coder = KroneckerSparseCoder(factors).fit(X)
    names = coder.get_feature_names_out()
    assert len(names) == 120
    assert names[0] == "kroneckersparsecoder0"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"dictionaries": [np.eye(5), np.eye(7)]}, "5 x 7 = 35 rows.*got 30"),
        ({"dictionaries": []}, "at least one"),
        ({"dictionaries": [np.full((30, 2), np.nan)]}, r"dictionaries\[0\]"),
        ({"m_step": "svd", "coupling": 0.5}, "takes no coupling"),
    ],
)
def test_bad_parameters_are_named(params, message):
    _, X, _ = _rows()
    coder = KroneckerSparseCoder(**params)
    with pytest.raises(ValueError, match=message):
        coder.fit(X)
    assert not hasattr(coder, "codes_")


def test_complex_data_are_for_the_function():
    factors, X, _ = _rows()
    with pytest.raises(ValueError, match="Complex data not supported"):
        KroneckerSparseCoder(factors).fit(X + 1j)


@pytest.mark.slow
def test_a_million_unknowns():
    problem = make_kronecker_sparse(
        (60, 60, 60),
        (100, 100, 100),
        n_nonzero=4,
        kronecker_valued=False,
        snr_db=20,
        random_state=0,
    )
    found = kron_sparse_bayes(problem.factors, problem.Y)
    gap = np.sum((found.coef - problem.coef) ** 2)
    assert gap < 1e-3 * np.sum(problem.coef**2)
    assert [len(a) for a in found.active] == [4, 4, 4]
