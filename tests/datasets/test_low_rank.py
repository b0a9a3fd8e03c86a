import numpy as np
import pytest

from skalgos.datasets import make_low_rank_table


def test_the_table_is_what_was_asked_for():
    X, table = make_low_rank_table(
        300, 200, rank=4, condition=10, missing=0.3, random_state=0
    )
    sizes = np.linalg.svd(table, compute_uv=False)
    assert np.linalg.matrix_rank(table) == 4
    assert sizes[0] / sizes[3] == pytest.approx(10)
    assert np.mean(table**2) == pytest.approx(1)
    assert np.isnan(X).mean() == pytest.approx(0.3, abs=0.01)
    assert np.nanstd(X - table) == pytest.approx(0.1, rel=0.02)
    again, _ = make_low_rank_table(
        300, 200, rank=4, condition=10, missing=0.3, random_state=0
    )
    np.testing.assert_array_equal(X, again)


def test_gross_errors():
    X, table = make_low_rank_table(300, 200, outliers=0.2, random_state=0)
    errors = np.abs(X - table)[~np.isnan(X)]
    assert np.mean(errors > 1) == pytest.approx(0.2 * 0.92, abs=0.01)


def test_what_is_refused():
    with pytest.raises(ValueError, match="rank=5"):
        make_low_rank_table(10, 4)
    with pytest.raises(ValueError, match="missing"):
        make_low_rank_table(missing=1.0)
