"""LowRankCompletion: forms of input, what it refuses, edges."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold

from skalgos.datasets import make_low_rank_table
from skalgos.decomposition import LowRankCompletion
from skalgos.recommendation import MatrixFactorizationRegressor

X, TRUTH = make_low_rank_table(60, 30, rank=3, missing=0.4, random_state=0)
GAPS = np.isnan(X)


def sparse_of(X, container=sparse.csr_array):
    rows, columns = np.nonzero(~np.isnan(X))
    return container((X[rows, columns], (rows, columns)), X.shape)


def full(model, X):
    return model.inverse_transform(model.transform(X))


# ---- the same problem in other forms -------------------------------------------------
@pytest.mark.parametrize(
    "container",
    [sparse.csr_array, sparse.csc_array, sparse.coo_array, sparse.csr_matrix],
)
def test_sparse_and_dense_tables_give_the_same_fit(container):
    dense = LowRankCompletion(3, random_state=0).fit(X)
    other = LowRankCompletion(3, missing_values="absent", random_state=0)
    data = sparse_of(X, container)
    W = other.fit_transform(data)
    np.testing.assert_allclose(other.components_, dense.components_, atol=1e-10)
    np.testing.assert_allclose(W, dense.transform(X), atol=1e-9)
    np.testing.assert_allclose(other.transform(X), W, atol=1e-9)


def test_64_bit_indices_and_unsorted_ones():
    data = sparse_of(X)
    data.indices, data.indptr = data.indices.astype("i8"), data.indptr.astype("i8")
    for row in range(len(X)):
        part = slice(data.indptr[row], data.indptr[row + 1])
        data.indices[part] = data.indices[part][::-1]
        data.data[part] = data.data[part][::-1]
    data.has_sorted_indices = False
    model = LowRankCompletion(3, missing_values="absent", random_state=0).fit(data)
    dense = LowRankCompletion(3, random_state=0).fit(X)
    np.testing.assert_allclose(model.components_, dense.components_, atol=1e-10)


def test_pairs_give_the_same_fit():
    options = {"alpha": 1.0, "tol": 1e-9, "max_iter": 500, "random_state": 0}
    model = LowRankCompletion(3, center="global", alpha_scaling=0.5, **options).fit(X)
    pairs = np.argwhere(~GAPS)
    other = MatrixFactorizationRegressor(3, fit_bias=False, clip=False, **options)
    other.fit(pairs, X[~GAPS])
    everywhere = np.argwhere(np.ones_like(X))
    np.testing.assert_allclose(
        full(model, X).ravel(), other.predict(everywhere), atol=1e-4
    )


def test_a_number_may_mark_what_is_missing():
    marked = np.where(GAPS, -999, X)
    model = LowRankCompletion(3, missing_values=-999, random_state=0).fit(marked)
    dense = LowRankCompletion(3, random_state=0).fit(X)
    np.testing.assert_array_equal(model.components_, dense.components_)


def test_stored_zeros_are_observed():
    zeroed = np.where(np.abs(X) < 0.3, 0, X)
    data = sparse_of(zeroed)
    assert (data.data == 0).any()
    model = LowRankCompletion(3, missing_values="absent", random_state=0).fit(data)
    dense = LowRankCompletion(3, random_state=0).fit(zeroed)
    np.testing.assert_allclose(model.components_, dense.components_, atol=1e-10)


def test_sparse_tables_are_not_made_dense():
    shape = (200_000, 100_000)
    rng = np.random.RandomState(0)
    places = rng.randint(0, shape[0], 2000), rng.randint(0, shape[1], 2000)
    data = sparse.csr_array((rng.standard_normal(2000), places), shape)
    model = LowRankCompletion(2, missing_values="absent", alpha=0.1, random_state=0)
    W = model.fit_transform(data)
    assert W.shape == (200_000, 2)
    assert np.isfinite(W).all()


# ---- fit, transform, inverse ---------------------------------------------------------
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"solver": "pcg"},
        {"loss": "tukey"},
        {"loss": "absolute_error"},
        {"nonnegative": True, "center": None},
        {"alpha_scaling": 1.0, "alpha": 0.1},
        {"n_components": "auto"},
    ],
)
# Wherever a fit ends, its rows are solved for its columns.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fit_transform_is_fit_and_transform(params):
    model = LowRankCompletion(**{"n_components": 4, "random_state": 0, **params})
    W = model.fit_transform(X)
    np.testing.assert_allclose(W, clone(model).fit(X).transform(X), atol=1e-9)
    np.testing.assert_allclose(model.transform(X[7:9]), W[7:9], atol=1e-9)


def test_components_are_singular_vectors_of_the_completed_table():
    model = LowRankCompletion(3, tol=1e-10, max_iter=2000, random_state=0)
    Z = model.fit_transform(X) @ model.components_
    sizes = np.linalg.svd(Z, compute_uv=False)[:3]
    np.testing.assert_allclose(model.singular_values_, sizes, rtol=1e-6)
    gram = model.components_ @ model.components_.T
    np.testing.assert_allclose(gram, np.eye(3), atol=1e-10)
    assert (model.components_.max(axis=1) >= -model.components_.min(axis=1)).all()


def test_the_table_is_completed():
    def error(model):
        return np.sqrt(np.mean((full(model.fit(X), X) - TRUTH)[GAPS] ** 2))

    chosen = LowRankCompletion(3, alpha="auto", random_state=0)
    found = error(chosen)
    assert chosen.alpha_path_.shape[1] == 2
    alphas = chosen.alpha_path_[:, 0]
    assert chosen.alpha_ in alphas
    # The best of all ridges, as only the truth can tell.
    best = min(error(LowRankCompletion(3, alpha=a, random_state=0)) for a in alphas)
    assert found < 1.05 * best
    assert found < 0.2 * error(LowRankCompletion(3, alpha=alphas[0], random_state=0))


def test_new_rows_are_folded_in():
    new, _ = np.split(np.arange(60), [15])
    model = LowRankCompletion(3, random_state=0).fit(X[15:])
    error = np.sqrt(np.mean((full(model, X[new]) - TRUTH[new])[GAPS[new]] ** 2))
    assert error < 0.25


def test_the_rank_is_found():
    table, truth = make_low_rank_table(120, 80, rank=4, missing=0.5, random_state=1)
    model = LowRankCompletion("auto", alpha=3.0, center=None, tol=1e-6, max_iter=1000)
    model.set_params(random_state=0).fit(table)
    assert model.n_components_ == 4
    assert model.components_.shape == (4, 80)
    assert model.optimality_ratio_ <= 1.001


def test_robust_losses_resist_where_squares_do_not():
    table, truth = make_low_rank_table(
        150, 100, rank=3, missing=0.3, outliers=0.2, random_state=0
    )
    gross = np.abs(table - truth) > 0.5

    def error(loss, data, alpha):
        model = LowRankCompletion(
            3, loss=loss, alpha=alpha, center=None, init="spectral", random_state=0
        )
        return np.sqrt(np.mean((full(model.fit(data), data) - truth) ** 2))

    for alpha in (0.5, "auto"):
        without = error("squared_error", np.where(gross, np.nan, table), alpha)
        assert error("huber", table, alpha) < 1.6 * without
        assert error("absolute_error", table, alpha) < 1.6 * without
        assert error("tukey", table, alpha) < 1.2 * without
    with pytest.warns(ConvergenceWarning):
        assert error("squared_error", table, 0.5) > 30 * without


# ---- weights -------------------------------------------------------------------------
def test_entries_of_weight_zero_are_missing():
    weight = np.random.RandomState(0).uniform(0.5, 2, X.shape)
    weight[:, ::4] *= np.arange(60)[:, None] % 2
    ours = LowRankCompletion(3, random_state=0, center="global").fit(
        X, entry_weight=weight
    )
    removed = np.where(weight == 0, np.nan, X)
    other = LowRankCompletion(3, random_state=0, center="global").fit(
        removed, entry_weight=weight
    )
    np.testing.assert_allclose(ours.components_, other.components_, atol=1e-6)


def test_sparse_weights():
    weight = np.random.RandomState(0).uniform(0.5, 2, X.shape)
    dense = LowRankCompletion(3, random_state=0).fit_transform(X, entry_weight=weight)
    model = LowRankCompletion(3, missing_values="absent", random_state=0)
    other = model.fit_transform(
        sparse_of(X), entry_weight=sparse_of(np.where(GAPS, np.nan, weight))
    )
    np.testing.assert_allclose(other, dense, atol=1e-9)


@pytest.mark.parametrize(
    ("weight", "match"),
    [
        (np.ones((2, 2)), "shape of X"),
        (np.full(X.shape, -1.0), "at least 0"),
        (np.full(X.shape, np.nan), "finite"),
        (np.zeros(X.shape), "zero at every"),
    ],
)
def test_entry_weights_that_are_refused(weight, match):
    with pytest.raises(ValueError, match=match):
        LowRankCompletion(3).fit(X, entry_weight=weight)


# ---- bad and odd input ---------------------------------------------------------------
@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"n_components": 0}, "n_components"),
        ({"n_components": "many"}, "n_components"),
        ({"alpha": -1.0}, "alpha"),
        ({"alpha_scaling": 1.5}, "alpha_scaling"),
        ({"loss": "absolute"}, "loss"),
        ({"center": "rows"}, "center"),
        ({"solver": "svd"}, "solver"),
        ({"inner_tol": 1.0}, "inner_tol"),
        ({"continuation": 1.0}, "continuation"),
        ({"max_iter": 0}, "max_iter"),
        ({"nonnegative": True}, "center=None"),
        ({"nonnegative": True, "center": None, "solver": "pcg"}, "solver"),
        ({"n_components": "auto", "loss": "tukey"}, "convex"),
        ({"n_components": "auto", "alpha": 0.0}, "positive alpha"),
    ],
)
def test_parameters_that_are_refused(params, match):
    model = LowRankCompletion(**params)
    with pytest.raises(ValueError, match=match):
        model.fit(X)
    assert not hasattr(model, "components_")
    assert not hasattr(model, "n_features_in_")


def test_sparse_input_needs_to_be_asked_for():
    with pytest.raises(TypeError, match="missing_values='absent'"):
        LowRankCompletion(3).fit(sparse_of(X))


def test_infinite_values_are_refused():
    bad = X.copy()
    bad[3, 4] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        LowRankCompletion(3).fit(bad)
    with pytest.raises(ValueError, match="NaN"):
        LowRankCompletion(3, missing_values=-999).fit(X)


def test_columns_that_are_not_numbers_are_named():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"], "c": [None, "z"]})
    with pytest.raises(ValueError, match=r"\['b', 'c'\]"):
        LowRankCompletion(1).fit(frame)


def test_a_table_without_entries_is_refused():
    with pytest.raises(ValueError, match="no observed entry"):
        LowRankCompletion(1).fit(np.full((3, 3), np.nan))


def test_rows_and_columns_without_entries():
    holes = X.copy()
    holes[5] = np.nan
    holes[:, 7] = np.nan
    model = LowRankCompletion(3, random_state=0).fit(holes)
    W = model.transform(holes)
    assert (W[5] == 0).all()
    Z = model.inverse_transform(W)
    np.testing.assert_allclose(Z[5], model.column_means_)
    np.testing.assert_allclose(Z[:, 7], model.mean_)
    np.testing.assert_array_equal(np.flatnonzero(model.empty_columns_), [7])


def test_one_entry_and_constant_tables():
    single = np.full((4, 3), np.nan)
    single[1, 2] = 5.0
    model = LowRankCompletion(2, random_state=0).fit(single)
    np.testing.assert_allclose(full(model, single), 5.0)
    constant = np.where(GAPS, np.nan, 2.5)
    model = LowRankCompletion(2, random_state=0).fit(constant)
    np.testing.assert_allclose(full(model, constant), 2.5)
    assert np.isfinite(model.components_).all()


def test_no_missing_entry_is_a_ridge_shrunk_svd():
    model = LowRankCompletion(
        3, alpha=2.0, center=None, tol=1e-10, max_iter=500, random_state=0
    ).fit(TRUTH)
    U, s, Vt = np.linalg.svd(TRUTH)
    expected = (U[:, :3] * np.maximum(s[:3] - 2, 0)) @ Vt[:3]
    np.testing.assert_allclose(full(model, TRUTH), expected, atol=1e-5)


def test_more_components_than_columns():
    model = LowRankCompletion(100, random_state=0).fit(X)
    assert model.n_components_ == 30
    assert np.isfinite(full(model, X)).all()


def test_without_a_ridge():
    with pytest.warns(ConvergenceWarning):
        model = LowRankCompletion(3, alpha=0.0, max_iter=5, random_state=0).fit(X)
    assert np.isfinite(full(model, X)).all()
    assert np.isnan(model.optimality_ratio_)


def test_single_precision():
    single = LowRankCompletion(3, random_state=0).fit(X.astype(np.float32))
    double = LowRankCompletion(3, random_state=0).fit(X)
    assert single.components_.dtype == np.float32
    np.testing.assert_allclose(single.components_, double.components_, atol=1e-2)


# ---- habits --------------------------------------------------------------------------
def test_warm_start_goes_on():
    model = LowRankCompletion(3, max_iter=15, tol=1e-12, random_state=0)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        model.fit(X)
    before = model.objective_curve_[-1]
    model.set_params(warm_start=True, max_iter=5)
    with warnings.catch_warnings():
        # What is tested holds after any number of sweeps.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X)
    assert model.objective_curve_[0] <= before * (1 + 1e-9)
    with pytest.raises(ValueError, match="n_components"):
        model.set_params(n_components=5).fit(X)


def test_the_ridge_chosen_does_not_depend_on_the_order_of_rows():
    order = np.random.RandomState(1).permutation(60)
    alphas = [
        LowRankCompletion(3, alpha="auto", random_state=0).fit(data).alpha_
        for data in (X, X[order])
    ]
    assert alphas[0] == pytest.approx(alphas[1], rel=1e-9)


def test_inverse_transform_checks_its_input():
    model = LowRankCompletion(3, random_state=0).fit(X)
    with pytest.raises(ValueError, match="3 components"):
        model.inverse_transform(np.ones((2, 4)))


def test_names_of_components():
    model = LowRankCompletion(2, random_state=0).fit(X)
    names = list(model.get_feature_names_out())
    assert names == ["lowrankcompletion0", "lowrankcompletion1"]
    frame = model.set_output(transform="pandas").transform(X)
    assert list(frame.columns) == names


def test_cross_validation_by_rows_runs():
    for train, test in KFold(3).split(X):
        model = LowRankCompletion(3, random_state=0).fit(X[train])
        assert model.transform(X[test]).shape == (20, 3)
