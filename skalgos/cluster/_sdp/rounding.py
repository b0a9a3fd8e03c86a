"""From matrices to partitions, and partitions to start from."""

import numpy as np

from skalgos.cluster._sdp.gaussians import (
    filled,
    moments,
    polish,
    rematch,
)
from skalgos.cluster._sdp.kernels import ward_merges


def spectral_labels(factor, h, n_clusters, pool_map):
    """Cluster the rows of the leading eigenvectors of factor @ factor.T by K-means.

    Parameters
    ----------
    factor : ndarray of shape (n, R)
        Of a matrix that was scaled by h on both sides.
    h : ndarray of shape (n,)
        Square roots of the weights.
    n_clusters : int
    pool_map : callable

    Returns
    -------
    labels : ndarray of shape (n,), int64
    """
    left, values, _ = np.linalg.svd(factor, full_matrices=False)
    points = left[:, :n_clusters] * values[:n_clusters]
    # Signs that do not depend on the library.
    points = points * np.where(points.sum(axis=0) < 0, -1.0, 1.0)
    return spread_kmeans((points / h[:, None]).T, h**2, n_clusters, pool_map)


def spread_kmeans(X, weights, n_clusters, pool_map):
    """Do K-means from points that are far from each other; X has features first."""
    X = np.ascontiguousarray(X - np.average(X, axis=1, weights=weights)[:, None])
    distances = np.full(X.shape[1], np.inf)
    labels = np.zeros(X.shape[1], np.int64)
    chosen = int(np.argmin(np.einsum("fi,fi->i", X, X)))
    for k in range(n_clusters):
        to_chosen = np.sum((X - X[:, [chosen]]) ** 2, axis=0)
        labels[to_chosen < distances] = k
        np.minimum(distances, to_chosen, out=distances)
        chosen = int(np.argmax(distances))
    if np.bincount(labels, minlength=n_clusters).min() == 0:
        labels = filled(labels, n_clusters, distances)
    return lloyd(X, weights, labels, n_clusters, pool_map).labels


def lloyd(X, weights, labels, n_clusters, pool_map):
    """Polish with unit covariances: K-means."""
    eyes = np.broadcast_to(np.eye(len(X)), (n_clusters, len(X), len(X)))
    return polish(
        X, weights, labels, n_clusters, pool_map, estimate=lambda groups: eyes.copy()
    )


def memberships(factor, block, h, n_clusters):
    """Return (Z_k h)_i / h_i, which add up to about 1 over k; factor is (R, n)."""
    shares = np.empty((n_clusters, len(h)))
    for k in range(n_clusters):
        part = factor[block == k]
        shares[k] = (part @ h) @ part / h
    return shares


def round_blocks(X, weights, factor, block, covariances, pool_map):
    """Round the matrices of the likelihood-adjusted program.

    Two partitions are tried, by the largest share and by the eigenvectors; each is
    matched to the covariances and polished with them.

    Parameters
    ----------
    X : ndarray of shape (p, n)
    weights : ndarray of shape (n,)
    factor : ndarray of shape (R, n)
        Scaled by the square roots of the weights.
    block : ndarray of shape (R,)
    covariances : ndarray of shape (K, p, p)
    pool_map : callable

    Returns
    -------
    polished : Polished
        That of the higher likelihood.
    """
    K, h = len(covariances), np.sqrt(weights)
    shares = memberships(factor, block, h, K)
    by_share = np.argmax(shares, axis=0)
    by_share = filled(by_share, K, -shares.max(axis=0))
    by_vectors = spectral_labels(factor.T, h, K, pool_map)
    found = [
        matched(X, weights, labels, covariances, pool_map)
        for labels in (by_share, by_vectors)
    ]
    return max(found, key=lambda polished: polished.likelihood)


def matched(X, weights, labels, covariances, pool_map):
    """Match groups to known covariances and polish with these."""
    K = len(covariances)
    groups = moments(X, weights, labels, K, pool_map)
    labels, _ = rematch(labels, groups, covariances)
    return polish(X, weights, labels, K, pool_map, estimate=lambda groups: covariances)


def ward_labels(X, weights, n_clusters):
    """Return the groups of Ward's hierarchy of weighted rows; X has features first."""
    n = X.shape[1]
    squares = np.einsum("fi,fi->i", X, X)
    D = squares[:, None] + squares - 2 * (X.T @ X)
    D *= 2 * np.multiply.outer(weights, weights) / np.add.outer(weights, weights)
    D = (D + D.T) / 2
    left, right = np.empty(n - 1, np.int64), np.empty(n - 1, np.int64)
    height = np.empty(n - 1)
    ward_merges(D, weights.copy(), np.empty(n, np.int64), left, right, height)
    parent = np.arange(n)

    def root(i):
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for m in np.argsort(height, kind="stable")[: n - n_clusters]:
        parent[root(left[m])] = root(right[m])
    roots = np.array([root(i) for i in range(n)])
    return np.unique(roots, return_inverse=True)[1].astype(np.int64)
