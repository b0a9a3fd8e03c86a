"""The K-means and the likelihood-adjusted semidefinite programs, to the optimum.

Both are split in two sets whose projections are closed: matrices that are positive
semidefinite with a given trace, and matrices that are nonnegative (and, for LA-SDP,
have the given row sums). The operator splitting is ADMM with over-relaxation and
Anderson's acceleration.
Weights enter through q = sqrt(w / sum(w)): the program for repeated rows has the
same optimum.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from skalgos.cluster._sdp.kernels import (
    kmeans_step,
    lasdp_restart,
    lasdp_step,
    symmetrize,
)

RELAX = 1.7
# The first penalties, times the root of the number of clusters.
KMEANS_PENALTY, LASDP_PENALTY = 8.0, 2.0
# Iterations between looks at the residuals, and between accelerated steps.
PERIOD = 10
MIX_PERIOD = 5
# Steps that an accelerated one combines.
MEMORY = 5


class ExactFit(NamedTuple):
    """What an exact solver found.

    ``factors[k] @ factors[k].T`` is Z_k; ``bound`` is an upper bound on the objective
    of every feasible point, whatever the residuals.
    """

    factors: list
    objective: float
    bound: float
    primal_residual: float
    dual_residual: float
    n_iter: int
    converged: bool


class _Leading:
    """Leading eigenpairs of a slowly changing symmetric matrix, from the last ones."""

    def __init__(self, n, size, complement=None):
        self.n, self.size, self.complement = n, size, complement
        self.least = size
        self.basis = None

    def _project(self, V):
        if self.complement is not None:
            q = self.complement
            V = V - np.outer(q, q @ V)
        return V

    def __call__(self, B, wanted, error):
        """Return all eigenpairs that ``wanted(values)`` counts, and some more.

        The subspace grows by the residuals until those wanted have residuals of less
        than ``error`` in all, or three times.
        """
        n = self.n
        if self.basis is None or 5 * self.size >= n:
            return self._from_scratch(B, wanted)
        V = np.linalg.qr(self._project(self.basis))[0]
        m = V.shape[1]
        BV = self._project(B @ V)
        for growth in range(4):
            values, mix = np.linalg.eigh(V.T @ BV)
            values, mix = values[-m:], mix[:, -m:]
            Q, BQ = V @ mix, BV @ mix
            count = wanted(values)
            if count >= m - 1:
                self.size = min(n, m + m // 2 + 4)
                return self._from_scratch(B, wanted)
            R = BQ - Q * values
            if growth and (growth == 3 or np.linalg.norm(R[:, -count:]) < error):
                break
            R = R[:, -(count + 3) :]
            for _ in range(2):
                R = np.linalg.qr(self._project(R - V @ (V.T @ R)))[0]
            V = np.hstack((V, R))
            BV = np.hstack((BV, self._project(B @ R)))
        # The rank is high at the start only.
        self.size = max(self.least, count + 6)
        self.basis = Q[:, -self.size :]
        return values, Q

    def _from_scratch(self, B, wanted):
        n = self.n
        q = self.complement
        if q is not None:
            # Far down with q, which would mix with other eigenvectors of value 0.
            B = self._project(self._project(B).T) - np.linalg.norm(B) * np.outer(q, q)
        while True:
            few = 5 * self.size < n
            values, vectors = eigh(
                B, subset_by_index=[n - self.size if few else 0, n - 1]
            )
            count = wanted(values)
            if not few or count < len(values) - 1:
                self.size = min(n, max(self.least, count + 6))
                self.basis = vectors[:, -self.size :]
                # All of them are there where not few, and the last of these is q.
                return (
                    (values, vectors)
                    if few or q is None
                    else (
                        values[1:],
                        vectors[:, 1:],
                    )
                )
            self.size = min(n, 2 * self.size)


class _Anderson:
    """Anderson's acceleration of a fixed-point iteration x -> F(x), in place.

    A step to the combination of the last images that makes the residual F(x) - x least.
    Where the residual has doubled after it, the iteration goes on from the plain image.
    """

    def __init__(self, x):
        self.x = x.ravel()
        self.images, self.residuals = np.empty((2, MEMORY + 1, x.size))
        self.plain, self.start = np.empty((2, x.size))
        self.restart()

    def restart(self):
        """Forget all steps; the iteration goes on from what x is now."""
        self.start[:] = self.x
        self.last = self.start
        self.count = 0
        self.limit = np.inf

    def __call__(self):
        """Look at x, which has become its image; return whether x was changed."""
        x, slot = self.x, self.count % (MEMORY + 1)
        residual = self.residuals[slot]
        np.subtract(x, self.last, out=residual)
        size = np.sqrt(residual @ residual)
        if size > self.limit:
            x[:] = self.plain
            self.restart()
            return True
        self.limit = np.inf
        self.images[slot] = x
        self.last = self.images[slot]
        self.count += 1
        changed = self.count % MIX_PERIOD == 0 and self.count > 2 and size > 0
        if changed:
            used = min(self.count, MEMORY + 1)
            gram = self.residuals[:used] @ self.residuals[:used].T
            gram.flat[:: used + 1] += 1e-12 * np.trace(gram)
            shares = np.linalg.solve(gram, np.ones(used))
            self.plain[:] = x
            np.matmul(shares / shares.sum(), self.images[:used], out=x)
            self.limit = 2 * size
            self.start[:] = x
            self.last = self.start
        return changed


def fantope(values, total):
    """Project on 0 <= w <= 1 with the given sum; smaller values may be left out."""
    points = np.sort(np.append(values, values - 1))
    sums = np.clip(values - points[:, None], 0, 1).sum(axis=1)
    i = np.searchsorted(-sums, -total, side="right") - 1
    if i < 0:
        return np.ones_like(values)
    active = (values > points[i]) & (values - 1 <= points[i])
    n_active = np.count_nonzero(active)
    theta = points[i] + ((sums[i] - total) / n_active if n_active else 0.0)
    return np.clip(values - theta, 0, 1)


def simplex(values, total):
    """Project on w >= 0 with the given sum."""
    descending = np.sort(values)[::-1]
    theta = (np.cumsum(descending) - total) / np.arange(1, len(values) + 1)
    return np.maximum(values - theta[np.count_nonzero(descending > theta) - 1], 0)


def _lowest(S, count):
    """Return the sum of the smallest eigenvalues, less what rounding may have added."""
    n = len(S)
    values = eigh(S, eigvals_only=True, subset_by_index=[0, count - 1])
    return values.sum() - count * n * np.finfo(float).eps * np.linalg.norm(S)


def _balanced(rho, primal, dual):
    if primal > 10 * dual:
        return rho * 1.5
    if dual > 10 * primal:
        return rho / 1.5
    return rho


def exact_kmeans(gram, q, n_clusters, *, tol, max_iter, on_iter=None):
    """Maximise <gram, Z> over Z >= 0, Z psd, Z q = q, trace Z = n_clusters.

    Parameters
    ----------
    gram : ndarray of shape (n, n)
        Symmetric, with ``gram @ q == 0``; overwritten.
    q : ndarray of shape (n,)
        Positive, of length 1.
    n_clusters : int
        From 2 to n - 1.
    tol : float
        For the residuals, with Z and the matrix scaled to length 1, and for the gap
        between objective and bound, relative to the objective.
    max_iter : int
    on_iter : callable, default=None
        ``on_iter(n_iter, objective, primal, dual, factors)`` at each look; stops the
        solver by returning True.

    Returns
    -------
    fit : ExactFit
    """
    n = len(q)
    unit = np.linalg.norm(gram)
    C = np.divide(gram, -unit, out=gram)
    rho = KMEANS_PENALTY / np.sqrt(n_clusters)
    leading = _Leading(n, n_clusters + 7, q)
    T = np.multiply.outer(q, q)
    B = T - C / rho
    out = np.zeros(2)
    accelerate = _Anderson(T)
    bound, n_iter, converged, checked = np.inf, 0, False, np.inf
    while True:
        n_iter += 1
        values, vectors = leading(
            B,
            lambda v: np.count_nonzero(fantope(v, n_clusters - 1.0)),
            0.1 * np.sqrt(out.min()),
        )
        values = fantope(values, n_clusters - 1.0)
        used = values > 0
        factor = vectors[:, used] * np.sqrt(values[used])
        factor = np.column_stack((q, factor))
        np.matmul(factor, factor.T, out=B)
        kmeans_step(B, T, C, RELAX, rho, out)
        if accelerate():
            np.abs(T, out=B)
            B -= C / rho
        last = n_iter == max_iter
        if n_iter % PERIOD and not last:
            continue
        size = np.sqrt(n_clusters)
        primal, dual = np.sqrt(out[0]) / size, rho * np.sqrt(out[1])
        objective = -np.sum(factor * (C @ factor))
        worst = max(primal, dual)
        stop = on_iter is not None and on_iter(
            n_iter, objective * unit, primal, dual, [factor]
        )
        if last or stop or (worst < tol and worst < 0.7 * checked):
            checked = worst
            bound = min(bound, _kmeans_bound(T, C, q, rho, n_clusters))
            converged = worst < tol and bound - objective <= tol * abs(objective)
        if converged or last or stop:
            break
        if n_iter % PERIOD == 0:
            new = _balanced(rho, primal, dual)
            if new != rho:
                # The multipliers are rho min(T, 0).
                np.multiply(T, rho / new, out=T, where=T < 0)
                rho = new
                np.abs(T, out=B)
                B -= C / rho
                accelerate.restart()
    return ExactFit(
        [factor], objective * unit, bound * unit, primal, dual, n_iter, converged
    )


def _kmeans_bound(T, C, q, rho, n_clusters):
    """Return an upper bound on -<C, Z>, from the multipliers of Z >= 0.

    What is added to C is at most 0, so <C, Z> is no less for it. Z = qq' + W, where the
    eigenvalues of W lie between 0 and 1 and add up to K - 1: <S, W> is at least the sum
    of the K - 1 smallest eigenvalues of S on the complement of q.
    """
    S = np.minimum(T, 0)
    S *= rho
    S += C
    S = (S + S.T) / 2
    Sq = S @ q
    corner = q @ Sq
    S -= np.outer(q, Sq) + np.outer(Sq, q) - corner * np.outer(q, q)
    # Out of the way: q itself gets the largest eigenvalue.
    S += np.linalg.norm(S) * np.outer(q, q)
    return -(corner + _lowest(S, n_clusters - 1))


def exact_lasdp(costs, q, *, tol, max_iter, on_iter=None):
    """Minimise the sum of <costs[k], Z_k> over Z_k >= 0, Z_k psd, trace Z_k = 1.

    The row sums are tied: the sum of all Z_k q is q.

    Parameters
    ----------
    costs : ndarray of shape (K, n, n)
        Symmetric; overwritten. K is at least 2.
    q, tol, max_iter, on_iter :
        As in :func:`exact_kmeans`.

    Returns
    -------
    fit : ExactFit
        With the sign of a maximum, as in :func:`exact_kmeans`.
    """
    K, n, _ = costs.shape
    C = costs
    # What all matrices have in common along q changes the objective by a constant.
    common = C.mean(axis=0) @ q
    common -= 0.5 * q * (q @ common)
    C -= np.outer(common, q) + np.outer(q, common)
    constant = 2 * common @ q
    unit = np.linalg.norm(C)
    C /= unit
    constant /= unit
    rho = LASDP_PENALTY / np.sqrt(K)
    leading = [_Leading(n, 8) for _ in range(K)]
    T = np.repeat(np.multiply.outer(q, q)[None] / K, K, axis=0)
    a = np.zeros(n)
    B = T - C / rho
    old, out = np.empty((K, n)), np.zeros(2)
    accelerate = _Anderson(T)
    bound, n_iter, converged, checked = np.inf, 0, False, np.inf
    while True:
        n_iter += 1
        factors = []
        for k in range(K):
            values, vectors = leading[k](
                B[k],
                lambda v: np.count_nonzero(simplex(v, 1.0)),
                0.1 * np.sqrt(out.min() / K),
            )
            values = simplex(values, 1.0)
            used = values > 0
            factors.append(vectors[:, used] * np.sqrt(values[used]))
            np.matmul(factors[k], factors[k].T, out=B[k])
        lasdp_step(B, T, C, q, a, RELAX, rho, old, out)
        if accelerate():
            lasdp_restart(T, C, q, a, rho, B)
        last = n_iter == max_iter
        if n_iter % PERIOD == 0 or last:
            primal, dual = np.sqrt(out[0]), rho * np.sqrt(out[1])
            objective = -constant - sum(
                np.sum(F * (c @ F)) for F, c in zip(factors, C, strict=True)
            )
            worst = max(primal, dual)
            stop = on_iter is not None and on_iter(
                n_iter, objective * unit, primal, dual, factors
            )
            if last or stop or (worst < tol and worst < 0.7 * checked):
                checked = worst
                bound = min(bound, _lasdp_bound(T, C, q, a, rho) - constant)
                converged = worst < tol and bound - objective <= tol * abs(objective)
            if converged or last or stop:
                break
            new = _balanced(rho, primal, dual)
            if new != rho:
                # T = Y + U with U = a q' + min(T - a q', 0), which are over rho.
                level = np.outer(a, q)
                T -= level
                np.multiply(T, rho / new, out=T, where=T < 0)
                a *= rho / new
                T += level * (rho / new)
                rho = new
                lasdp_restart(T, C, q, a, rho, B)
                accelerate.restart()
        for k in range(K):
            symmetrize(B[k])
    return ExactFit(
        factors, objective * unit, bound * unit, primal, dual, n_iter, converged
    )


def _lasdp_bound(T, C, q, a, rho):
    """Return an upper bound on minus the sum of <C_k, Z_k>.

    U = min(T, a q') is at most a q', so that <U, Z> is at most a'q for every feasible
    Z; and <C_k + rho U_k, Z_k> is at least the smallest eigenvalue.
    """
    value = -rho * (a @ q)
    for k in range(len(C)):
        S = rho * np.minimum(T[k], np.outer(a, q)) + C[k]
        value += _lowest((S + S.T) / 2, 1)
    return -value
