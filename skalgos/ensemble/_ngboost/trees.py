"""Bins, trees on bins, and ensembles of them as plain arrays."""

from typing import NamedTuple

import numpy as np

from skalgos.ensemble._ngboost import kernels

MISSING = 255


class Bins(NamedTuple):
    """How each feature is cut into bins.

    Attributes
    ----------
    edges : ndarray of shape (n_features, 255)
        The upper ends of the bins of numbers, the values of categories; inf beyond.
    n_edges : ndarray of shape (n_features,)
    is_category : ndarray of bool of shape (n_features,)
    n_bins : ndarray of shape (n_features,)
    low, high : ndarray of shape (n_features, 255)
        The smallest and largest value in each bin.
    """

    edges: np.ndarray
    n_edges: np.ndarray
    is_category: np.ndarray
    n_bins: np.ndarray
    low: np.ndarray
    high: np.ndarray


def make_bins(X, weights, is_category, max_bins):
    """Cut features into at most ``max_bins`` bins of about equal weight.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float64
        NaN is missing.
    weights : ndarray of shape (n_samples,)
    is_category : ndarray of bool of shape (n_features,)
    max_bins : int

    Returns
    -------
    bins : Bins
    """
    d = X.shape[1]
    edges = np.full((d, 255), np.inf)
    low, high = np.zeros((d, 255)), np.zeros((d, 255))
    n_edges, n_bins = np.zeros(d, np.int64), np.zeros(d, np.int64)
    equal = weights.min() == weights.max()
    for f in range(d):
        column = X[:, f]
        there = ~np.isnan(column)
        ordered = there.all() and equal
        if ordered:
            values = np.sort(column)
            starts = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])
            values, mass = values[starts], np.diff(np.r_[starts, len(values)])
        else:
            values, place = np.unique(column[there], return_inverse=True)
            mass = np.bincount(place, weights[there], len(values))
        if len(values) == 0:
            continue
        if is_category[f]:
            k = len(values)
            edges[f, :k], n_edges[f], n_bins[f] = values, k, k
            continue
        if len(values) <= max_bins:
            last = np.arange(len(values))
        else:
            # The last value of each bin: where the weight passes a share of it.
            total = np.cumsum(mass, dtype=float)
            shares = total[-1] * np.arange(1, max_bins + 1) / max_bins
            last = np.searchsorted(total, shares * (1 - 1e-12))
            last = np.unique(np.minimum(last, len(values) - 1))
        k = len(last)
        first = np.r_[0, last[:-1] + 1]
        low[f, :k], high[f, :k] = values[first], values[last]
        # A half of each, so that the sum of huge values stays finite.
        middle = values[last[:-1]] / 2 + values[last[:-1] + 1] / 2
        middle = np.where(middle >= values[last[:-1] + 1], values[last[:-1]], middle)
        edges[f, : k - 1] = middle
        n_edges[f], n_bins[f] = k - 1, k
    return Bins(edges, n_edges, is_category, n_bins, low, high)


def encode(bins, X):
    """Return the bins of X by feature, uint8 of shape (n_features, n_samples)."""
    columns = np.empty(X.shape[::-1], np.uint8)
    kernels.bin_columns(X, bins.edges, bins.n_edges, bins.is_category, columns)
    return columns


class Limits(NamedTuple):
    """What bounds the size of a tree."""

    max_leaves: int
    max_depth: int
    min_weight: float
    l2: float


class Tree(NamedTuple):
    """One tree: its splits as ``kernels`` describes them, and the values of its leaves.

    Attributes
    ----------
    feature, code, missing, first, skip : ndarray of shape (n_leaves - 1,)
    tables : ndarray of shape (n_leaves - 1, 256), or (0, 256) without categories
    gain : ndarray of shape (n_leaves - 1,)
    cover : ndarray of shape (n_leaves,)
        The weight of each leaf.
    values : ndarray of shape (n_outputs, n_leaves)
    """

    feature: np.ndarray
    code: np.ndarray
    missing: np.ndarray
    first: np.ndarray
    skip: np.ndarray
    tables: np.ndarray
    gain: np.ndarray
    cover: np.ndarray
    values: np.ndarray


class Grower:
    """Grows trees on the same rows, with its own work space: one for each thread.

    Parameters
    ----------
    columns : ndarray of uint8 of shape (n_features, n_samples)
        As ``encode`` returns them.
    bins : Bins
    weights : ndarray of shape (n_samples,)
        Positive.
    limits : Limits
    n_outputs : int
        How many values a leaf has.
    groups : ndarray of uint8 of shape (n_groups, n_features), default=None
        Features that may meet on a path from the root; None or no groups: all may.
    """

    def __init__(self, columns, bins, weights, limits, n_outputs=1, groups=None):
        d, n = columns.shape
        groups = np.empty((0, d), np.uint8) if groups is None else groups
        m, P = limits.max_leaves, n_outputs
        self.columns, self.bins = columns, bins
        self.weights, self.limits = weights, limits
        total = weights.sum()
        # Whole weights share an integer with the gradient: 24 bits for them, 38 left.
        self.whole = bool(total < 2**24 and (weights == np.floor(weights)).all())
        self.total = total
        self.weight_scale = 1.0 if self.whole else 2.0**50 / total
        unit = self.weight_scale
        # Sums must fit into 38 bits beside a weight, or 62 without, and what one row
        # adds into the 51 that a float has for whole numbers.
        if self.whole:
            cap = min(2.0**30, 2.0**37 / total)
        else:
            cap = min(2.0**50 / weights.max(), 2.0**61 / total)
        settings = np.array(
            [
                m,
                limits.max_depth,
                limits.min_weight * unit * (1 - 1e-9),
                limits.l2 * unit,
                unit,
                cap,
            ]
        )
        heavy_d = 0 if self.whole else d
        self.rows, self.leaf = np.empty(n, np.int32), np.empty(n, np.uint8)
        self.importance = np.empty(P)
        self.unconstrained, self.everything = np.zeros(d, np.int64), np.arange(d)
        sums, packed = np.empty((2, P, 256)), np.empty((P, n), np.int64)
        tables = 2 * m if bins.is_category.any() else 0
        # The work space of the kernel, in its order: before and after the constraints.
        self.work = (
            packed, packed.view(float),
            np.rint(weights * self.weight_scale).astype(np.int64), self.whole,
            self.rows, np.empty(n, np.int32), bins.n_bins, bins.is_category, bins.low,
            bins.high,
        )  # fmt: skip
        self.rest = (
            groups, np.empty((2 * m, len(groups)), np.uint8), settings, self.importance,
            np.empty(P), np.empty((m, P, d, 256), np.int64),
            np.empty((m, heavy_d, 256), np.int64), *sums, np.empty(257, np.int64),
            sums[0, 0].view(np.int64), np.empty((2 * m, 8)),
            np.empty((2 * m, 9), np.int64), np.zeros((tables, 256), np.uint8),
            np.empty((2 * m, P, 2)), np.empty((2 * m, 2), np.int64),
        )  # fmt: skip
        self.out = Tree(
            np.empty(m, np.int32), *np.empty((4, m), np.uint8),
            np.zeros((m if tables else 0, 256), np.uint8), np.empty(m),
            np.empty(m), np.empty((P, m)),
        )  # fmt: skip

    def grow(self, gradient, rows, features=None, constraints=None, importance=None):
        """Fit a tree to the means of the gradients by weighted least squares.

        Parameters
        ----------
        gradient : ndarray of shape (n_outputs, n_samples)
        rows : ndarray of int32
            The rows to fit to.
        features : ndarray of int64, default=None
            The features to choose from; None is all.
        constraints : ndarray of int64 of shape (n_features,), default=None
            1 where the value of the tree must rise with the feature, -1 fall.
        importance : ndarray of shape (n_outputs,), default=None
            What the gain of each output counts.

        Returns
        -------
        tree : Tree
        """
        out = self.out
        if features is None:
            features = self.everything
        if constraints is None:
            constraints = self.unconstrained
        self.importance[:] = 1.0 if importance is None else importance
        *packed, whole, in_use, bins_etc = (*self.work[:5], self.work[5:])
        in_use = in_use[: len(rows)]
        in_use[:] = rows
        n_leaves = kernels.grow(
            self.columns, features, *packed, whole, in_use, *bins_etc, constraints,
            *self.rest, *out[:-2], gradient, self.weights, *out[-2:],
        )  # fmt: skip
        *splits, cover, values = out
        k = n_leaves - 1
        tree = Tree(
            *(part[:k].copy() for part in splits),
            cover[:n_leaves].copy(),
            values[:, :n_leaves].copy(),
        )
        find(self.columns, tree, self.leaf)
        return tree


def find(columns, tree, leaf):
    """Write the leaf of every row in a tree."""
    kernels.find_leaves(
        columns, tree.feature, tree.code, tree.missing, tree.first, tree.skip,
        tree.tables, len(tree.feature), leaf,
    )  # fmt: skip


class Ensemble:
    """Trees as arrays, in the order in which they were added.

    Attributes
    ----------
    feature : ndarray of int32 of shape (n_splits,)
    code, missing, first, skip : ndarray of uint8 of shape (n_splits,)
    tables : ndarray of uint8 of shape (n_splits or 0, 256)
    gain : ndarray of shape (n_splits,)
    splits_at, leaves_at : ndarray of shape (n_trees + 1,)
    cover : ndarray of shape (n_leaves,)
        The training weight of each leaf.
    values : ndarray of shape (n_outputs, n_leaves)
        What each leaf adds.
    output : ndarray of shape (n_trees,)
        Which parameter a tree is for.
    """

    def __init__(self, trees, outputs):
        P = len(trees[0].values) if trees else 1

        def join(name, dtype, axis=0, shape=(0,)):
            parts = [getattr(tree, name) for tree in trees]
            return np.concatenate([np.empty(shape, dtype), *parts], axis=axis)

        self.feature = join("feature", np.int32)
        for name in ("code", "missing", "first", "skip"):
            setattr(self, name, join(name, np.uint8))
        self.tables = join("tables", np.uint8, shape=(0, 256))
        self.gain = join("gain", float)
        self.cover = join("cover", float)
        self.values = join("values", float, axis=1, shape=(P, 0))
        self._index([len(tree.cover) for tree in trees], outputs)

    def _index(self, n_leaves, outputs):
        n_leaves = np.asarray(n_leaves, np.int64)
        self.leaves_at = np.r_[0, np.cumsum(n_leaves)]
        self.splits_at = np.r_[0, np.cumsum(n_leaves - 1)]
        self.output = np.array(outputs, np.int64)

    def __len__(self):
        return len(self.output)

    @classmethod
    def from_arrays(cls, tree, n_leaves, outputs):
        """Return trees that lie one after the other in the arrays of one.

        Parameters
        ----------
        tree : Tree
            Of which the beginnings are in use; ``values`` has one dimension.
        n_leaves : sequence of int
            Of each tree.
        outputs : sequence of int
        """
        out = cls([], [])
        out._index(n_leaves, outputs)
        n_splits, total = out.splits_at[-1], out.leaves_at[-1]
        for name, part in tree._asdict().items():
            length = total if name in ("cover", "values") else n_splits
            setattr(out, name, part[:length].copy())
        out.values = out.values[None]
        return out

    @classmethod
    def joined(cls, parts):
        """Return all trees of some ensembles, in order."""
        parts = [part for part in parts if len(part)]
        if not parts:
            return cls([], [])
        out = cls([], [])
        for name in vars(out):
            arrays = [getattr(part, name) for part in parts]
            if not name.endswith("_at"):
                out.__dict__[name] = np.concatenate(arrays, axis=int(name == "values"))
        n_leaves = [np.diff(part.leaves_at) for part in parts]
        out._index(np.concatenate(n_leaves), out.output)
        return out

    def head(self, n_trees):
        """Return the first trees."""
        out = Ensemble([], [])
        out._index(np.diff(self.leaves_at)[:n_trees], self.output[:n_trees])
        n_splits, total = out.splits_at[-1], out.leaves_at[-1]
        for name, part in vars(self).items():
            if name in ("cover", "values"):
                setattr(out, name, part[..., :total].copy())
            elif name not in ("leaves_at", "splits_at", "output"):
                setattr(out, name, part[:n_splits].copy())
        return out

    def add(self, columns, theta, trees, k=None):
        """Add the values of some trees to theta, in place.

        Parameters
        ----------
        columns : ndarray of uint8 of shape (n_features, n_samples)
        theta : ndarray of shape (n_theta, n_samples)
        trees : ndarray of int64
            All of one output, unless a leaf has values for all.
        k : int, default=None
            The row of theta; None for trees with values for all.
        """
        kernels.add_trees(
            columns, self.feature, self.code, self.missing, self.first, self.skip,
            self.tables, self.splits_at, self.leaves_at, trees, self.values,
            np.empty(kernels.BLOCK, np.uint8), theta if k is None else theta[k : k + 1],
        )  # fmt: skip

    def importances(self, n_features, n_outputs):
        """Return the total gain of each feature, shape (n_outputs, n_features)."""
        out = np.zeros((n_outputs, n_features))
        per_tree = np.diff(self.splits_at)
        shared = len(self.values) > 1
        where = np.repeat(
            np.zeros_like(self.output) if shared else self.output, per_tree
        )
        np.add.at(out, (where, self.feature), self.gain)
        return np.broadcast_to(out[:1], out.shape).copy() if shared else out
