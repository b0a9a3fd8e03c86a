"""LowRankImputer: what it fills, and what it leaves alone."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, SimpleImputer

from skalgos.datasets import make_low_rank_table
from skalgos.impute import LowRankImputer

X, TRUTH = make_low_rank_table(80, 25, rank=3, missing=0.4, random_state=0)
GAPS = np.isnan(X)


def test_observed_entries_stay_to_the_last_bit():
    filled = LowRankImputer(3, random_state=0).fit_transform(X)
    np.testing.assert_array_equal(filled[~GAPS], X[~GAPS])
    assert np.isfinite(filled).all()


def test_it_beats_other_imputers_where_the_table_is_of_low_rank():
    def error(imputer):
        return np.sqrt(np.mean((imputer.fit_transform(X) - TRUTH)[GAPS] ** 2))

    ours = error(LowRankImputer(5, alpha="auto", random_state=0))
    assert ours < 0.15
    assert ours < 0.2 * error(SimpleImputer())
    others = IterativeImputer(max_iter=3, tol=1.0, random_state=0)
    assert ours < error(others)


def test_new_rows_and_empty_ones():
    imputer = LowRankImputer(3, random_state=0).fit(X[:60])
    new = X[60:].copy()
    new[0] = np.nan
    filled = imputer.transform(new)
    np.testing.assert_allclose(filled[0], imputer.column_means_)
    np.testing.assert_allclose(filled[3:5], imputer.transform(new[3:5]))


@pytest.mark.parametrize("keep", [False, True])
def test_columns_without_entries(keep):
    holes = X.copy()
    holes[:, 4] = np.nan
    imputer = LowRankImputer(3, keep_empty_features=keep, random_state=0)
    filled = imputer.fit_transform(holes)
    assert filled.shape == (80, 25 if keep else 24)
    names = list(imputer.get_feature_names_out())
    assert ("x4" in names) == keep
    if keep:
        np.testing.assert_allclose(filled[:, 4], imputer.mean_)


def test_the_indicator():
    imputer = LowRankImputer(3, add_indicator=True, random_state=0)
    out = imputer.set_output(transform="pandas").fit_transform(X)
    np.testing.assert_array_equal(out.to_numpy()[:, 25:], GAPS[:, GAPS.any(axis=0)])
    assert out.columns[25] == "missingindicator_x0"


def test_sparse_tables_become_dense():
    rows, columns = np.nonzero(~GAPS)
    data = sparse.csr_array((X[rows, columns], (rows, columns)), X.shape)
    imputer = LowRankImputer(3, missing_values="absent", random_state=0)
    filled = imputer.fit_transform(data)
    expected = LowRankImputer(3, random_state=0).fit_transform(X)
    np.testing.assert_allclose(filled, expected, atol=1e-9)


def test_values_are_kept_in_range():
    imputer = LowRankImputer(3, min_value=-0.1, max_value=0.2, random_state=0)
    filled = imputer.fit_transform(X)
    assert filled[GAPS].min() == -0.1
    assert filled[GAPS].max() == 0.2
    np.testing.assert_array_equal(filled[~GAPS], X[~GAPS])
    with pytest.raises(ValueError, match="min_value"):
        LowRankImputer(3, min_value=1, max_value=0).fit(X)


def test_nothing_to_fill():
    filled = LowRankImputer(3, random_state=0).fit_transform(TRUTH)
    np.testing.assert_array_equal(filled, TRUTH)


def test_entries_of_little_weight_count_little():
    rng = np.random.RandomState(0)
    gross = ~GAPS & (rng.uniform(size=X.shape) < 0.1)
    bad = np.where(gross, X + 5, X)
    weight = np.where(gross, 1e-6, 1.0)

    def error(data, **weights):
        imputer = LowRankImputer(3, alpha=0.3, random_state=0)
        return np.sqrt(
            np.mean((imputer.fit_transform(data, **weights) - TRUTH)[GAPS] ** 2)
        )

    clean = error(np.where(gross, np.nan, X))
    assert error(bad, entry_weight=weight) == pytest.approx(clean, rel=1e-2)
    assert error(bad) > 3 * clean


def test_weights_of_rows_are_repetitions():
    counts = np.random.RandomState(0).randint(0, 3, len(X))
    imputer = LowRankImputer(3, random_state=0)
    weighted = imputer.fit(X, sample_weight=counts).transform(X)
    repeated = imputer.fit(np.repeat(X, counts, axis=0)).transform(X)
    np.testing.assert_allclose(weighted, repeated, atol=1e-7)
