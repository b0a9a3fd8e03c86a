"""Shapley values of trees.

In the game of a leaf the players are the features on its path. With a coalition S the
leaf has the weight prod over S of o_j times prod over the others of z_j: o_j is 1 if
the row passes all splits by feature j on the path, z_j the share of the training rows
that does. A tree is the sum of such games, of which the Shapley values are sums over
the sizes of coalitions.
"""

from math import factorial

import numpy as np


def tree_shap(ensemble, columns, output):
    """Return the Shapley values of all trees of an output.

    Parameters
    ----------
    ensemble : Ensemble
    columns : ndarray of uint8 of shape (n_features, n_samples)
    output : int

    Returns
    -------
    values : ndarray of shape (n_samples, n_features)
    base : float
        The mean of the trees over their training rows.
    """
    d, n = columns.shape
    out = np.zeros((d, n))
    base = 0.0
    shared = len(ensemble.values) > 1
    for t in range(len(ensemble)):
        if shared or ensemble.output[t] == output:
            base += _one_tree(ensemble, columns, t, output if shared else 0, out)
    return np.ascontiguousarray(out.T), base


def _one_tree(ensemble, columns, t, row, out):
    """Add the Shapley values of a tree to out, and return its mean."""
    begin, end = ensemble.splits_at[t], ensemble.splits_at[t + 1]
    leaves = slice(ensemble.leaves_at[t], ensemble.leaves_at[t + 1])
    values, cover = ensemble.values[row, leaves], ensemble.cover[leaves]
    total = cover.sum()
    # The leaves under each node that is to be split, and the path of each leaf: for a
    # feature, which rows pass and the share of the training rows.
    spans = {0: len(values)}
    paths = [{} for _ in values]
    for j in range(begin, end):
        first = int(ensemble.first[j])
        middle, stop = first + int(ensemble.skip[j]), spans[first]
        spans[first], spans[middle] = middle, stop
        f = int(ensemble.feature[j])
        left = _goes_left(ensemble, columns[f], j)
        here = cover[first:stop].sum()
        for span, passes in (
            (range(first, middle), left),
            (range(middle, stop), ~left),
        ):
            share = cover[span.start : span.stop].sum() / here
            for leaf in span:
                before, z = paths[leaf].get(f, (True, 1.0))
                paths[leaf][f] = (before & passes, z * share)
    for value, path in zip(values, paths, strict=True):
        _one_leaf(value, path, out)
    return float(values @ cover / total)


def _goes_left(ensemble, column, j):
    if ensemble.code[j] == 255:
        return ensemble.tables[j][column] > 0
    shift = ensemble.missing[j]
    # The wrap-around puts missing values, 255, below all others.
    return (column + shift).astype(np.uint8) <= ensemble.code[j] + shift


def _one_leaf(value, path, out):
    m = len(path)
    if m == 0 or value == 0:
        return
    weights = [factorial(s) * factorial(m - 1 - s) / factorial(m) for s in range(m)]
    players = list(path.items())
    for i, (f, (o, z)) in enumerate(players):
        # Coefficients, by the size of the coalition, of the product over the others.
        sizes = [np.ones(out.shape[1])]
        for k, (_, (o_k, z_k)) in enumerate(players):
            if k == i:
                continue
            grown = [z_k * c for c in sizes] + [np.zeros(out.shape[1])]
            for s, c in enumerate(sizes):
                grown[s + 1] = grown[s + 1] + o_k * c
            sizes = grown
        total = sum(w * c for w, c in zip(weights, sizes, strict=True))
        out[f] += value * (o - z) * total
