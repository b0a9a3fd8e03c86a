"""Generators of sparse signals."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skalgos.datasets import (
    make_ecg_like,
    make_irs_channel,
    make_kronecker_sparse,
    make_sparse_recovery,
)


def test_sparse_recovery_has_what_it_says():
    X, y, coef = make_sparse_recovery(
        20_000, 30, n_nonzero=5, snr_db=10, random_state=0
    )
    assert np.count_nonzero(coef) == 5
    ratio = np.mean((X @ coef) ** 2) / np.mean((y - X @ coef) ** 2)
    assert abs(10 * np.log10(ratio) - 10) < 0.2
    X, Y, coef = make_sparse_recovery(20, 30, n_nonzero=4, n_targets=3)
    assert Y.shape == (20, 3)
    assert (coef != 0).any(axis=1).sum() == 4
    with pytest.raises(ValueError, match="n_nonzero=9 should be <= n_features=8"):
        make_sparse_recovery(5, 8, n_nonzero=9)


@pytest.mark.parametrize("complex_valued", [False, True])
def test_kronecker_sparse_is_measured_by_the_product(complex_valued):
    problem = make_kronecker_sparse(
        (30, 40), (15, 12), complex_valued=complex_valued, snr_db=6, random_state=0
    )
    A = np.kron(*problem.factors)
    rest = problem.Y.ravel() - A @ problem.coef.ravel()
    power = np.mean(np.abs(rest) ** 2)
    assert abs(power / problem.noise_variance - 1) < 0.2
    assert np.count_nonzero(problem.coef) == 9
    assert np.linalg.matrix_rank(problem.coef) == 1
    other = make_kronecker_sparse((4, 4), (9, 9), kronecker_valued=False)
    assert np.linalg.matrix_rank(other.coef) == 3
    with pytest.raises(ValueError, match="an entry for each dictionary"):
        make_kronecker_sparse((4, 4), (9,))
    with pytest.raises(ValueError, match="n_nonzero=20"):
        make_kronecker_sparse(n_nonzero=20)


def test_irs_channel_is_a_block():
    problem, steering = make_irs_channel(random_state=0)
    assert problem.Y.shape == (6, 3, 16)
    used = np.argwhere(problem.coef)
    assert len(used) == 9
    assert np.ptp(used, axis=0).tolist() == [2, 0, 2]
    for A in steering:
        assert_allclose(np.linalg.norm(A, axis=0), 1)
    with pytest.raises(ValueError, match="spread=20 should be <= n_grid=18"):
        make_irs_channel(spread=20)


def test_ecg_like_is_compressible_and_seeded():
    from scipy.fft import dct

    signal = make_ecg_like(1024, random_state=0)
    assert_allclose([signal.mean(), signal.std()], [0, 1], atol=1e-12)
    power = np.sort(dct(signal[:256], norm="ortho") ** 2)[::-1]
    assert power[:64].sum() > 0.97 * power.sum()
    assert np.count_nonzero(power > 1e-8) > 80
    assert_allclose(make_ecg_like(1024, random_state=0), signal)
