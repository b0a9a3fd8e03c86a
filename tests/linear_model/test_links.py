import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_expit, softmax

from skalgos.linear_model import (
    checkoid,
    log_checkoid,
    log_multiclass_checkoid,
    multiclass_checkoid,
)
from tests.reference import checkered as reference

# -log P(y), from arithmetic of hundreds of digits.
TABLE = [
    ((0.5, -1.25, 2.0), 1, 0.80234697009072468),
    ((0.5, -1.25, 2.0), -1, 0.59470670347467283),
    ((40.0, 35.0), 1, 6.3476003026999033e-16),
    ((40.0, 35.0), -1, 34.993284651510883),
    ((700.0, -650.0, 3.0), 1, 3.0485873515737421),
    ((700.0, -650.0, 3.0), -1, 0.048587351573742059),
    ((300.0,) * 4, 1, 2.0592800889648055e-130),
    ((300.0,) * 4, -1, 298.61370563888011),
    ((0.0, 3.0), 1, 0.69314718055994531),
    ((0.0, 3.0), -1, 0.69314718055994531),
]


def log_label(z, y):
    """Return log P(y): the other class is that of one form with its sign changed."""
    z = np.array(z)
    z[0] *= y
    return float(log_checkoid(z))


@pytest.mark.parametrize(("z", "y", "loss"), TABLE)
def test_losses_have_all_their_digits(z, y, loss):
    assert -log_label(z, y) == pytest.approx(loss, rel=1e-14, abs=0)
    assert -reference.log_checkoid(z, y) == pytest.approx(loss, rel=1e-15, abs=0)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(-1200, 1200, allow_subnormal=False), min_size=1, max_size=4),
    st.sampled_from([-1, 1]),
)
def test_losses_equal_long_arithmetic(z, y):
    expected = reference.log_checkoid(z, y)
    assert log_label(z, y) == pytest.approx(expected, rel=2e-14, abs=1e-300)


def test_one_hyperplane_is_logistic():
    z = np.linspace(-700, 700, 301)[:, None]
    np.testing.assert_allclose(checkoid(z), expit(z[:, 0]), rtol=1e-15)
    np.testing.assert_allclose(log_checkoid(z), log_expit(z[:, 0]), rtol=1e-15)


def test_the_checkoid_is_symmetric_and_flips():
    Z = np.random.RandomState(0).normal(scale=5, size=(50, 4))
    p = checkoid(Z)
    np.testing.assert_allclose(checkoid(Z[:, ::-1]), p, rtol=1e-14)
    flipped = Z * [1, -1, -1, 1]
    np.testing.assert_allclose(checkoid(flipped), p, rtol=1e-15)
    np.testing.assert_allclose(checkoid(Z * [-1, 1, 1, 1]) + p, 1, rtol=1e-15)


def test_infinite_forms_are_certain():
    assert checkoid([np.inf, 2.0]) == pytest.approx(expit(2.0), rel=1e-15)
    assert checkoid([-np.inf, 2.0]) == pytest.approx(expit(-2.0), rel=1e-15)
    assert log_checkoid([np.inf, 1e4]) == 0
    assert log_checkoid([-np.inf, 1e4]) == -1e4
    assert log_checkoid([-np.inf, np.inf]) == -np.inf


def test_logarithms_are_finite_far_out():
    Z = np.array([[1e4, -3e4], [-1e4, -1e4], [1e4, 1e4]])
    np.testing.assert_allclose(log_checkoid(Z), [-1e4, 0, 0], rtol=1e-15, atol=1e-15)
    # Four equal forms: any one of them may be wrong.
    exact = np.log(4) - 1e4
    assert log_checkoid([1e4, 1e4, 1e4, -1e4]) == pytest.approx(exact, rel=1e-15)


def test_the_paper_s_counterexample_to_quasi_concavity():
    # Of an odd number of successes, in the paper's notation.
    assert 1 - checkoid([0.5, 0.5]) == pytest.approx(0.4700, abs=5e-5)
    assert 1 - checkoid([1.0, 0.0]) == 0.5


# ---- many classes --------------------------------------------------------------------
@pytest.mark.parametrize("K", [2, 3, 4, 7])
@pytest.mark.parametrize("m", [1, 2, 3, 4])
@pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
def test_circular_logarithms_equal_enumeration(K, m, scale):
    Z = np.random.RandomState(K + 10 * m).normal(scale=scale, size=(3, m, K))
    expected = [[reference.log_circular(z, c) for c in range(K)] for z in Z]
    actual = log_multiclass_checkoid(Z)
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)
    p = multiclass_checkoid(Z)
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-12)
    np.testing.assert_allclose(p, np.exp(expected), rtol=1e-11, atol=1e-300)


def test_one_factor_is_softmax():
    Z = np.random.RandomState(0).normal(size=(5, 1, 6))
    np.testing.assert_allclose(
        multiclass_checkoid(Z), softmax(Z[:, 0], axis=1), rtol=1e-14
    )


def test_two_residues_are_the_binary_model():
    Z = np.random.RandomState(0).normal(scale=20, size=(40, 3, 2))
    binary = log_checkoid(Z[..., 0] - Z[..., 1])
    np.testing.assert_allclose(
        log_multiclass_checkoid(Z)[:, 0], binary, rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("K", [64, 128])
def test_small_probabilities_of_many_classes_keep_their_digits(K):
    # A Fourier transform has errors of 1e-16 here, and even negative entries.
    Z = np.random.RandomState(0).normal(scale=60, size=(3, K))
    logs = log_multiclass_checkoid(Z)
    first = Z[0] - np.logaddexp.reduce(Z[0])
    second = Z[1] - np.logaddexp.reduce(Z[1])
    third = Z[2] - np.logaddexp.reduce(Z[2])
    law = first
    for other in (second, third):
        law = np.array(
            [np.logaddexp.reduce(law + other[(c - np.arange(K)) % K]) for c in range(K)]
        )
    assert np.exp(law.min()) < 1e-20
    np.testing.assert_allclose(logs, law, rtol=1e-11)
    np.testing.assert_allclose(multiclass_checkoid(Z), np.exp(law), rtol=1e-9)


@pytest.mark.parametrize(
    "function",
    [checkoid, log_checkoid, multiclass_checkoid, log_multiclass_checkoid],
)
def test_wrong_shapes_and_nan_are_refused(function):
    with pytest.raises(ValueError, match=r"Z must have shape \(\.\.\., m"):
        function(np.float64(1.0) if "multi" not in function.__name__ else [1.0, 2.0])
    with pytest.raises(ValueError, match="at least one hyperplane"):
        function(np.empty((3, 0)))
    with pytest.raises(ValueError, match="NaN"):
        function([[np.nan, 1.0]])
