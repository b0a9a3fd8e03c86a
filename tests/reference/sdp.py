"""Textbook versions of the semidefinite programs, on dense matrices."""

from itertools import product

import numpy as np

from skalgos import datasets


def make_ellipses(n, K, p, sep, shape, seed):
    """Return rows, labels and covariances: the data that optima are known of."""
    return datasets.make_ellipses(
        n,
        p,
        n_clusters=K,
        separation=sep,
        shape=shape,
        random_state=np.random.default_rng(seed),
        return_covariances=True,
    )


def likelihood_matrices(X, covariances):
    """Return A_k(i, j) = -(log|S_k| + (x_i - x_j)' S_k^-1 (x_i - x_j) / 2) / 2."""
    differences = X[:, None] - X[None]
    out = []
    for S in covariances:
        D = np.einsum("ijf,fg,ijg->ij", differences, np.linalg.inv(S), differences)
        out.append(-0.5 * (np.linalg.slogdet(S)[1] + 0.5 * D))
    return np.array(out)


def partition_matrices(labels, K):
    """Return Z_k = 1 1' / n_k for each group."""
    members = (labels[:, None] == np.arange(K)).astype(float)
    return np.array([np.outer(m, m) / m.sum() for m in members.T])


def inertia(X, labels):
    """Return the sum of squared distances to the means of groups."""
    return sum(
        np.sum((X[labels == k] - X[labels == k].mean(axis=0)) ** 2)
        for k in np.unique(labels)
    )


def partitions(n, K):
    """Yield all labellings of n rows that use all of K labels."""
    for labels in product(range(K), repeat=n):
        if len(set(labels)) == K:
            yield np.array(labels)


def project_simplex(t, q, total):
    """Project on y >= 0, q'y = total, by bisection."""
    low, high = (t / q).min() - total, (t / q).max()
    for _ in range(200):
        middle = (low + high) / 2
        if q @ np.maximum(t - middle * q, 0) > total:
            low = middle
        else:
            high = middle
    return np.maximum(t - (low + high) / 2 * q, 0)
