"""Groups of rows as normal distributions: moments, structures, and the nearest group.

The data have the features along the first axis here, as the kernels like them.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from skalgos.cluster._sdp.kernels import (
    LANES,
    group_moments,
    lower_inverses,
    nearest_groups,
    quadratic_forms,
)

# Rows of one task for a thread.
CHUNK = 1 << 14


class Moments(NamedTuple):
    """Weights, means and covariances (over the weight, not one less) of groups."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


def _chunks(n):
    return [(i, min(i + CHUNK, n)) for i in range(0, n, CHUNK)]


def moments(X, weights, labels, n_groups, pool_map):
    """Return the moments of each group; those of an empty group are 0."""
    p, n = X.shape
    chunks = _chunks(n)
    acc = np.empty((len(chunks), n_groups, 1 + p + p * (p + 1) // 2))

    def one(c):
        group_moments(X, weights, labels, *chunks[c], acc[c])

    pool_map(one, range(len(chunks)))
    total = acc.sum(axis=0)
    counts = total[:, 0]
    total = total / np.where(counts > 0, counts, 1)[:, None]
    means = total[:, 1 : p + 1]
    covariances = np.empty((n_groups, p, p))
    at = p + 1
    for f in range(p):
        covariances[:, f, : f + 1] = total[:, at : at + f + 1]
        covariances[:, : f + 1, f] = total[:, at : at + f + 1]
        at += f + 1
    covariances -= means[:, :, None] * means[:, None, :]
    return Moments(counts, means, covariances)


class Structure(NamedTuple):
    """How covariances are estimated: type, ridge (absolute), shrinkage."""

    covariance_type: str
    ridge: float
    shrinkage: float | str | None


def structured(groups, structure):
    """Return regularised covariances of groups, (K, p, p).

    Parameters
    ----------
    groups : Moments
    structure : Structure
    """
    weights, S = groups.weights, groups.covariances
    p = S.shape[1]
    kind = structure.covariance_type
    counts = weights
    if kind == "tied":
        S = np.broadcast_to(np.tensordot(weights / weights.sum(), S, 1), S.shape)
        counts = np.full(len(S), weights.sum())
    variances = np.einsum("kff->kf", S).clip(0)
    if kind == "diag":
        S = variances[:, :, None] * np.eye(p)
    elif kind == "spherical":
        S = variances.mean(axis=1)[:, None, None] * np.eye(p)
    if structure.shrinkage is not None and kind != "spherical":
        if structure.shrinkage == "oas":
            shares = _oas_shares(S, counts)
        else:
            shares = np.full(len(S), structure.shrinkage)
        target = variances.mean(axis=1)[:, None, None] * np.eye(p)
        shares = shares[:, None, None]
        S = (1 - shares) * S + shares * target
    return S + structure.ridge * np.eye(p)


def _oas_shares(S, counts):
    """Return the oracle approximating shrinkage of Chen et al. for each covariance."""
    p = S.shape[1]
    squares = np.einsum("kfg,kfg->k", S, S)
    traces = np.einsum("kff->k", S) ** 2
    excess = (counts + 1 - 2 / p) * (squares - traces / p)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = ((1 - 2 / p) * squares + traces) / excess
    return np.where(excess > 1e-12 * traces, shares, 1.0).clip(0, 1)


class Normals(NamedTuple):
    """Normal distributions, ready for :func:`scores`."""

    means: np.ndarray
    covariances: np.ndarray
    whitening: np.ndarray
    log_dets: np.ndarray


def normals(means, covariances):
    """Factorise covariances: whitening[k] is the inverse of the Cholesky factor."""
    L = np.linalg.cholesky(covariances)
    whitening = np.empty_like(L)
    lower_inverses(L, whitening)
    log_dets = 2 * np.log(np.einsum("kff->kf", L)).sum(axis=1)
    return Normals(means, covariances, whitening, log_dets)


def scores(X, model, pool_map):
    """Return log|S_k| + the squared Mahalanobis distance of each row, (K, n)."""
    p, n = X.shape
    out = np.empty((len(model.means), n))
    shift = np.einsum("kfg,kg->kf", model.whitening, model.means)
    chunks = _chunks(n)

    def one(chunk):
        work = np.empty(LANES)
        quadratic_forms(X, model.whitening, shift, model.log_dets, *chunk, work, out)

    pool_map(one, chunks)
    return out


def nearest(all_scores, labels=None):
    """Return the group of the smallest score of each row, and how many differ."""
    n = all_scores.shape[1]
    labels = np.full(n, -1) if labels is None else labels.copy()
    changed = nearest_groups(all_scores, 0, n, labels)
    return labels, changed


def likelihood(groups, covariances):
    """Return the profile log-likelihood of groups under covariances.

    Up to the constant with pi: minus half the sum of W_k (log|S_k| + tr(S_k^-1 C_k)).
    """
    log_dets = np.linalg.slogdet(covariances)[1]
    traces = np.einsum("kfg,kfg->k", np.linalg.inv(covariances), groups.covariances)
    return -0.5 * float(groups.weights @ (log_dets + traces))


def _costs(groups, covariances):
    """Return W_g (log|S_k| + trace(S_k^-1 C_g)) for groups g and covariances k."""
    forms = np.linalg.inv(covariances)
    log_dets = np.linalg.slogdet(covariances)[1]
    traces = np.einsum("kfg,jfg->jk", forms, groups.covariances)
    return groups.weights[:, None] * (log_dets + traces)


def rematch(labels, groups, covariances):
    """Renumber groups so that covariance k fits group k best, over all pairings."""
    _, position = linear_sum_assignment(_costs(groups, covariances))
    order = np.argsort(position)
    return position[labels], Moments(*(part[order] for part in groups))


def filled(labels, n_groups, own_scores):
    """Give each empty group the row that fits its group worst, if that is not alone."""
    labels = labels.copy()
    counts = np.bincount(labels, minlength=n_groups)
    worst_first = iter(np.argsort(-own_scores, kind="stable"))
    for empty in np.flatnonzero(counts == 0):
        for i in worst_first:
            if counts[labels[i]] > 1:
                counts[labels[i]] -= 1
                labels[i] = empty
                break
    return labels


class Polished(NamedTuple):
    """A partition, its normals, and the profile likelihood under them."""

    labels: np.ndarray
    groups: Moments
    model: Normals
    likelihood: float
    n_iter: int


def polish(X, weights, labels, n_groups, pool_map, *, estimate, max_iter=100):
    """Move each row to its best group and re-estimate, while the likelihood rises.

    Parameters
    ----------
    X : ndarray of shape (p, n)
    weights : ndarray of shape (n,)
    labels : ndarray of shape (n,), int64
    n_groups : int
    pool_map : callable
    estimate : callable
        ``estimate(groups) -> covariances``; constant if they are known.
    max_iter : int

    Returns
    -------
    polished : Polished
    """

    def fitted(labels):
        groups = moments(X, weights, labels, n_groups, pool_map)
        covariances = estimate(groups)
        return groups, covariances, likelihood(groups, covariances)

    groups, covariances, value = fitted(labels)
    n_iter = 0
    while True:
        model = normals(groups.means, covariances)
        all_scores = scores(X, model, pool_map)
        moved, changed = nearest(all_scores, labels)
        if np.bincount(moved, minlength=n_groups).min() == 0:
            moved = filled(moved, n_groups, all_scores.min(axis=0))
            changed = np.count_nonzero(moved != labels)
        if changed == 0 or n_iter == max_iter:
            break
        n_iter += 1
        new = fitted(moved)
        if new[2] <= value:
            break
        labels, (groups, covariances, value) = moved, new
    return Polished(labels, groups, model, value, n_iter)
