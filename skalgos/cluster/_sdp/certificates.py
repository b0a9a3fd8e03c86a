"""Closed-form dual points: bounds, and proofs, for partitions from anywhere.

Both follow the construction of Iguchi, Mixon, Peterson and Villar: multipliers that
make a partition optimal are written down, and feasibility is what is left to check.
"""

import numpy as np

from skalgos.cluster._sdp.gaussians import CHUNK, Moments


def weighted_moments(X, weights, labels, n_groups):
    """Return the moments of groups; X has shape (n, p)."""
    p = X.shape[1]
    counts = np.bincount(labels, weights, minlength=n_groups)
    means = np.empty((n_groups, p))
    covariances = np.empty((n_groups, p, p))
    for k in range(n_groups):
        members = labels == k
        w, rows = weights[members], X[members]
        means[k] = w @ rows / counts[k]
        rows = rows - means[k]
        covariances[k] = (rows.T * w) @ rows / counts[k]
    return Moments(counts, means, covariances)


def certify_kmeans(X, weights, labels):
    """Return inertia, a lower bound on any partition's, the multiplier, and a verdict.

    For the objective <-D / 4, Z>, which is minus half the inertia, the dual point has a
    multiplier lambda of the trace, and rank-one blocks between groups. It is feasible
    if every row keeps a margin of 2 lambda (1 / n_l + 1 / n_k) to the other means, and
    if lambda is at least the largest eigenvalue of a matrix of p + K (K - 1) rows.

    Parameters
    ----------
    X : ndarray of shape (n, p)
    weights : ndarray of shape (n,)
        Positive.
    labels : ndarray of shape (n,)
        0 to K - 1, all used.

    Returns
    -------
    inertia, bound, multiplier : float
    certified : bool
    """
    n, p = X.shape
    X = X - np.average(X, axis=0, weights=weights)
    K = labels.max() + 1
    groups = weighted_moments(X, weights, labels, K)
    counts, means = groups.weights, groups.means
    scatters = groups.covariances * counts[:, None, None]
    inertia = np.einsum("kff->", scatters)
    total = np.tensordot(counts, means[:, :, None] * means[:, None, :], 1)
    total += scatters.sum(axis=0)
    # From the eigenvalues alone: Z less its mean part has K - 1 of them at most, of 1.
    spectrum = np.linalg.eigvalsh(total)
    spectral = spectrum[: max(p - K + 1, 0)].clip(0).sum()
    spectral -= n * np.finfo(float).eps * np.trace(total)
    if K == 1:
        return inertia, inertia, 0.0, True
    ceiling = np.inf
    harmonic = 2 * (1 / counts[:, None] + 1 / counts)
    squares = np.einsum("kf,kf->k", means, means)
    for start in range(0, n, CHUNK):
        rows = slice(start, start + CHUNK)
        own = labels[rows]
        distances = squares - 2 * X[rows] @ means.T
        margins = distances - np.take_along_axis(distances, own[:, None], 1)
        margins /= harmonic[own]
        np.put_along_axis(margins, own[:, None], np.inf, 1)
        ceiling = min(ceiling, margins.min())
    rounding = n * np.finfo(float).eps * np.trace(total)
    ceiling -= 1e-12 * squares.max()
    if ceiling <= 0:
        return inertia, min(max(spectral, 0.0), inertia), 0.0, False

    # Columns: the features, and the centred margins of l towards k as functions on l.
    pairs = [(a, b) for a in range(K) for b in range(K) if a != b]
    place = {pair: p + i for i, pair in enumerate(pairs)}
    m = p + len(pairs)
    gram = np.zeros((m, m))
    gram[:p, :p] = scatters.sum(axis=0)
    directions = {(a, b): -0.5 * counts[b] * (means[b] - means[a]) for a, b in pairs}
    for (a, b), i in place.items():
        image = scatters[a] @ directions[a, b]
        gram[:p, i] = gram[i, :p] = image
        for c in range(K):
            if c != a:
                gram[i, place[a, c]] = image @ directions[a, c]
    values, vectors = np.linalg.eigh((gram + gram.T) / 2)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T

    def slack(multiplier):
        core = np.zeros((m, m))
        core[:p, :p] = 0.5 * np.eye(p)
        for a, b in pairs:
            gap = np.sum((means[a] - means[b]) ** 2)
            t = counts[a] * counts[b] * gap / 4
            t -= multiplier * (counts[a] + counts[b]) / 2
            core[place[a, b], place[b, a]] = 1 / t
        return multiplier - np.linalg.eigvalsh(root @ core @ root)[-1]

    grid = ceiling * np.append(np.linspace(0, 1, 21)[1:-1], 1 - 1e-9)
    slacks = np.array([slack(multiplier) for multiplier in grid])
    best = int(np.argmax(slacks))
    certified = bool(slacks[best] >= rounding)
    bound = inertia
    if not certified:
        bound = inertia - 2 * (K - 1) * max(rounding, -slacks[best] + rounding)
    return inertia, min(max(bound, spectral, 0.0), inertia), grid[best], certified


def certify_lasdp(X, weights, labels, covariances):
    """Return likelihood, an upper bound on any partition's, multiplier and verdict.

    A common multiplier lambda of the traces is taken. Rows outside of a group are
    projected, which gives slack matrices whose smallest eigenvalues bound the gap. The
    memory is a matrix of n x n.

    Parameters
    ----------
    X, weights, labels :
        As in :func:`certify_kmeans`.
    covariances : ndarray of shape (K, p, p)

    Returns
    -------
    likelihood, bound, multiplier : float
    certified : bool
    """
    n, p = X.shape
    K = len(covariances)
    X = X - np.average(X, axis=0, weights=weights)
    h = np.sqrt(weights)
    groups = weighted_moments(X, weights, labels, K)
    counts = groups.weights
    whitened, q = [], np.empty((n, K))
    for k in range(K):
        L = np.linalg.cholesky(covariances[k])
        Y = np.linalg.solve(L, (X - groups.means[k]).T).T
        whitened.append(Y)
        q[:, k] = 2 * np.log(np.diag(L)).sum() + np.einsum("if,if->i", Y, Y)
    own = q[np.arange(n), labels]
    likelihood = -0.5 * weights @ own
    if K == 1:
        return likelihood, likelihood, 0.0, True
    margins = (q - own[:, None]) / (2 * (1 / counts[labels][:, None] + 1 / counts))
    margins[np.arange(n), labels] = np.inf
    multiplier = max(margins.min(), 0.0)
    gap, size = 0.0, 0.0
    for k in range(K):
        beta = 0.5 * (q[:, k] - own) - multiplier / counts[labels]
        S = -0.5 * whitened[k] @ whitened[k].T
        S += 0.5 * (beta[:, None] + beta)
        inside = labels == k
        outside = ~inside
        # Far from the group: what is positive is a multiplier of Z >= 0.
        far = np.ix_(outside, outside)
        S[far] = np.minimum(S[far], 0)
        near = np.ix_(outside, inside)
        total = 0.5 * counts[k] * (beta[outside] - multiplier / counts[k])
        S[near] -= _row_simplex(S[near], weights[inside], total.clip(0))
        S[np.ix_(inside, outside)] = S[near].T
        S[outside, outside] = beta[outside] - 0.5 * np.einsum(
            "if,if->i", whitened[k][outside], whitened[k][outside]
        )
        S *= h[:, None] * h
        S[np.diag_indices(n)] += multiplier
        gap += max(0.0, -np.linalg.eigvalsh(S)[0])
        size += np.linalg.norm(S)
    rounding = n * np.finfo(float).eps * size
    certified = bool(gap <= rounding)
    bound = likelihood + (rounding if certified else gap + rounding)
    return likelihood, bound, multiplier, certified


def _row_simplex(values, weights, totals):
    """Project each row on b >= 0 with sum(w b) = total, in the norm weighted by w."""
    order = np.argsort(-values, axis=1)
    v = np.take_along_axis(values, order, axis=1)
    w = weights[order]
    mass = np.cumsum(w, axis=1)
    theta = (np.cumsum(w * v, axis=1) - totals[:, None]) / mass
    last = np.maximum(np.count_nonzero(v > theta, axis=1) - 1, 0)
    level = np.take_along_axis(theta, last[:, None], axis=1)
    return np.maximum(values - level, 0)
