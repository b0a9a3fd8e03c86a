"""Histogram trees against a brute-force search, and what they promise."""

import numpy as np
import pytest

from skalgos.ensemble._ngboost.trees import Ensemble, Grower, Limits, encode, make_bins


def grown(X, g, weights=None, *, leaves=2, depth=30, min_weight=1, l2=0.0, **kwargs):
    """Return a tree fitted to g, its leaf for each row, and what it predicts."""
    is_category = np.zeros(X.shape[1], bool)
    is_category[kwargs.pop("categories", [])] = True
    weights = np.ones(len(X)) if weights is None else weights
    bins = make_bins(X, weights, is_category, 255)
    columns = encode(bins, X)
    gradient = np.ascontiguousarray(np.atleast_2d(g))
    limits = Limits(leaves, depth, min_weight, l2)
    grower = Grower(columns, bins, weights, limits, len(gradient))
    rows = kwargs.pop("rows", np.arange(len(X), dtype=np.int32))
    tree = grower.grow(gradient, rows, **kwargs)
    leaf = grower.leaf.copy()
    return tree, leaf, tree.values[:, leaf]


def squared_error(g, w):
    mean = w @ g / w.sum()
    return w @ (g - mean) ** 2


def best_split(X, g, w, min_weight):
    """Return the lowest squared error of any split, missing values on either side."""
    best = squared_error(g, w)
    for f in range(X.shape[1]):
        column = X[:, f]
        missing = np.isnan(column)
        for threshold in np.unique(column[~missing]):
            for to_left in (False, True):
                left = np.where(missing, to_left, column <= threshold)
                if min(w[left].sum(), w[~left].sum()) < min_weight:
                    continue
                error = squared_error(g[left], w[left])
                best = min(best, error + squared_error(g[~left], w[~left]))
    return best


@pytest.mark.parametrize("seed", range(12))
def test_a_split_is_the_best_there_is(seed):
    rng = np.random.RandomState(seed)
    n = rng.randint(10, 120)
    X = rng.normal(size=(n, 3)).round(rng.randint(0, 3))
    X[rng.uniform(size=X.shape) < 0.15 * (seed % 3)] = np.nan
    g = rng.normal(size=n) + (X[:, 0] > 0)
    weights = [np.ones(n), rng.randint(1, 5, n) * 1.0, rng.uniform(0.1, 2, n)][seed % 3]
    min_weight = [1, 5][seed % 2]
    _, _, fitted = grown(X, g, weights, min_weight=min_weight)
    error = weights @ (g - fitted[0]) ** 2
    np.testing.assert_allclose(error, best_split(X, g, weights, min_weight), rtol=1e-7)


def test_leaves_are_weighted_means():
    rng = np.random.RandomState(0)
    X, g, w = rng.normal(size=(200, 4)), rng.normal(size=200), rng.uniform(1, 2, 200)
    tree, leaf, _ = grown(X, g, w, leaves=16)
    assert tree.values.shape == (1, 16)
    for k in range(16):
        mine = leaf == k
        np.testing.assert_allclose(tree.values[0, k], w[mine] @ g[mine] / w[mine].sum())
        np.testing.assert_allclose(tree.cover[k], w[mine].sum())
    shrunk, _, _ = grown(X, g, w, leaves=2, l2=10.0)
    _, leaf, _ = grown(X, g, w, leaves=2, l2=10.0)
    mine = leaf == 0
    expected = w[mine] @ g[mine] / (w[mine].sum() + 10)
    np.testing.assert_allclose(shrunk.values[0, 0], expected)


def test_best_first_splits_what_gains_most():
    rng = np.random.RandomState(0)
    X, g = rng.normal(size=(300, 3)), rng.normal(size=300)
    errors = []
    for leaves in (2, 4, 8, 16, 32):
        tree, _, fitted = grown(X, g, leaves=leaves)
        assert tree.values.shape[1] == leaves
        errors.append(((g - fitted) ** 2).sum())
    assert (np.diff(errors) < 0).all()
    tree, leaf, _ = grown(X, g, leaves=256, depth=3)
    assert len(tree.cover) == 8
    tree, _, _ = grown(X, g, leaves=256, min_weight=40)
    assert tree.cover.min() >= 40


def test_nothing_to_split():
    X = np.random.RandomState(0).normal(size=(50, 2))
    tree, _, fitted = grown(X, np.full(50, 3.7), leaves=8)
    assert len(tree.feature) == 0
    np.testing.assert_allclose(fitted, 3.7)
    tree, _, _ = grown(np.full((50, 2), np.nan), X[:, 0], leaves=8)
    assert len(tree.feature) == 0


def test_thresholds_are_in_the_middle_of_the_gap():
    # In the node the values 4 to 7 do not occur; a new row at 5 belongs with 3.
    X = np.array([[0.0], [1], [2], [3], [8], [9], [10], [4], [5], [6], [7]])
    g = np.array([0.0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0])
    _, leaf, _ = grown(X, g, rows=np.arange(7, dtype=np.int32))
    assert leaf[7] == leaf[8] == leaf[0]
    assert leaf[9] == leaf[10] == leaf[4]


def test_categories_are_grouped_by_their_means():
    rng = np.random.RandomState(0)
    X = rng.randint(0, 12, (400, 1)).astype(float)
    high = np.isin(X[:, 0], [1, 4, 7, 11])
    tree, leaf, fitted = grown(X, high.astype(float), categories=[0])
    np.testing.assert_allclose(fitted[0], high)
    assert len(tree.feature) == 1
    bins = make_bins(X, np.ones(400), np.array([True]), 255)
    assert encode(bins, np.array([[3.0], [99.0], [np.nan], [2.5]]))[0].tolist() == [
        3, 255, 255, 255
    ]  # fmt: skip


@pytest.mark.parametrize("sign", [1, -1])
def test_monotonic_constraints_hold_everywhere(sign):
    rng = np.random.RandomState(0)
    X = rng.uniform(size=(500, 3))
    g = sign * X[:, 0] + np.sin(12 * X[:, 0]) + X[:, 1] + rng.normal(size=500)
    cst = np.array([sign, 0, 0])
    bins = make_bins(X, np.ones(500), np.zeros(3, bool), 255)
    grower = Grower(encode(bins, X), bins, np.ones(500), Limits(32, 30, 1, 0.0))
    rows = np.arange(500, dtype=np.int32)
    tree = grower.grow(g[None], rows, constraints=cst)
    assert len(tree.feature) > 10
    ensemble = Ensemble([tree], [0])
    for _ in range(30):
        line = np.repeat(rng.uniform(size=(1, 3)), 200, axis=0)
        line[:, 0] = np.linspace(0, 1, 200)
        out = np.zeros((1, 200))
        ensemble.add(encode(bins, line), out, np.array([0]), 0)
        assert (sign * np.diff(out[0]) >= 0).all()


def test_a_shared_tree_serves_all_outputs():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(300, 3))
    g = np.array([(X[:, 0] > 0) * 1.0, (X[:, 0] > 0) * -3.0 + (X[:, 1] > 0)])
    tree, leaf, fitted = grown(X, g, leaves=4, importance=np.ones(2))
    np.testing.assert_allclose(fitted, g, atol=1e-9)
    assert tree.values.shape == (2, 4)


def test_trees_do_not_depend_on_the_order_of_rows():
    rng = np.random.RandomState(0)
    X, g, w = rng.normal(size=(300, 3)), rng.normal(size=300), rng.uniform(1, 2, 300)
    order = rng.permutation(300)
    _, _, fitted = grown(X, g, w, leaves=16)
    _, _, shuffled = grown(X[order], g[order], w[order], leaves=16)
    np.testing.assert_allclose(shuffled, fitted[:, order], rtol=1e-12)


def test_bins_hold_equal_weight():
    rng = np.random.RandomState(0)
    X = rng.lognormal(size=(5000, 1))
    bins = make_bins(X, np.ones(5000), np.array([False]), 50)
    counts = np.bincount(encode(bins, X)[0])
    assert len(counts) == 50
    assert counts.min() >= 99
    assert counts.max() <= 101
    w = rng.randint(0, 3, 5000) + 1.0
    again = make_bins(np.repeat(X, w.astype(int), axis=0), np.ones(int(w.sum())),
                      np.array([False]), 50)  # fmt: skip
    np.testing.assert_array_equal(
        make_bins(X, w, np.array([False]), 50).edges, again.edges
    )
