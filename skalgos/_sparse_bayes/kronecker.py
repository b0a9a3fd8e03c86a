"""Sparse Bayesian learning for a Kronecker product of dictionaries, matrix-free.

The model is that of :mod:`skalgos._sparse_bayes.solvers` with ``A = A_1 x ... x A_I``,
the first factor with the slowest index, and variances that are an outer product too.
With ``A_i Gamma_i A_i^H = U_i P_i U_i^H``,

    D = 1 / (sigma^2 + P_1 x ... x P_I),   Z = Y x_i U_i^H,   W_i = A_i^H U_i,
    q = (D Z) x_i W_i,   s = D x_i |W_i|^2,
    J = -L sum ln D + sum D |Z|^2,   |Y - A mu|^2 = sigma^4 sum |D Z|^2,

where x_i is the product along mode i. Nothing larger than a tensor of the coefficients
or of the measurements is ever stored.
"""

from copy import copy
from math import prod
from typing import NamedTuple

import numpy as np

from skalgos._sparse_bayes.priors import Separable, neighbours, outer
from skalgos._sparse_bayes.solvers import (
    NOISE_FLOOR,
    NOISE_START,
    Watch,
    log_evidence,
)

# How many iterations of a head start come first, at most.
HEAD_START = 60
# What a column of a factor may lower the cost by and still be dropped. It is part of
# the score, which therefore never falls.
PRICE = 10.0
# The steps that may lower the evidence.
HEURISTIC = ("svd", "kl")


class KroneckerRecovery(NamedTuple):
    """Where the solver ended, in standardised units.

    ``active`` holds for each factor the columns that are left, ``margins`` their
    variances; ``mean`` (k_1 ... k_I, L) and ``variance`` (k_1 ... k_I) are flat.
    """

    active: list
    margins: list
    mean: np.ndarray
    variance: np.ndarray
    noise: float
    log_evidence: float
    scores: list
    n_iter: int
    converged: bool


def mode_products(tensor, matrices):
    """Multiply a tensor of shape (d_1, ..., d_I, L) by a matrix along each mode."""
    shape = list(tensor.shape)
    if len(matrices) == 1:
        return matrices[0] @ tensor
    # The largest reduction first keeps what is in between small.
    growth = [matrix.shape[0] / matrix.shape[1] for matrix in matrices]
    for i in sorted(range(len(matrices)), key=growth.__getitem__):
        after = prod(shape[i + 1 :])
        matrix = matrices[i]
        if after == 1:
            tensor = tensor.reshape(-1, shape[i]) @ matrix.T
        else:
            tensor = matrix @ tensor.reshape(-1, shape[i], after)
        shape[i] = matrix.shape[0]
    return tensor.reshape(shape)


class _Problem:
    """Factors and measurements, reduced to what can be explained."""

    def __init__(self, factors, Y):
        self.factors = list(factors)
        self.Y = Y
        self.n_outputs = Y.shape[-1]
        self.size = prod(Y.shape[:-1])
        self.lost_size = 0
        self.lost_energy = 0.0
        self.reduce()

    def reduce(self):
        """Rotate measurements so that no factor has more rows than columns.

        What is orthogonal to the columns of a factor is noise alone.
        """
        tall = [A.shape[0] > A.shape[1] for A in self.factors]
        if not any(tall):
            return
        before = float(np.vdot(self.Y, self.Y).real)
        for i, A in enumerate(self.factors):
            if tall[i]:
                Q, self.factors[i] = np.linalg.qr(A)
                moved = np.moveaxis(self.Y, i, 0)
                rotated = np.tensordot(Q.conj().T, moved, axes=1)
                self.Y = np.moveaxis(rotated, 0, i)
        self.Y = np.ascontiguousarray(self.Y)
        after = float(np.vdot(self.Y, self.Y).real)
        size = prod(self.Y.shape[:-1])
        self.lost_energy += max(before - after, 0.0)
        self.lost_size += self.size - size
        self.size = size

    def restricted(self, keeps):
        """Return the problem with some of the columns of each factor."""
        other = copy(self)
        other.factors = [
            A[:, keep] for A, keep in zip(self.factors, keeps, strict=True)
        ]
        other.reduce()
        return other

    def posterior(self, margins, noise):
        """Return q, s, the cost, the squared residual and the effective parameters."""
        values, vectors = [], []
        for A, u in zip(self.factors, margins, strict=True):
            P, U = np.linalg.eigh((A * u) @ A.conj().T)
            values.append(np.maximum(P, 0.0))
            vectors.append(U)
        P = outer(values)
        D = 1.0 / (noise + P)
        Z = mode_products(self.Y, [U.conj().T for U in vectors])
        shape = Z.shape[:-1]
        Z = Z.reshape(-1, self.n_outputs)
        DZ = D[:, None] * Z
        W = [A.conj().T @ U for A, U in zip(self.factors, vectors, strict=True)]
        q = mode_products(DZ.reshape(*shape, -1), W).reshape(-1, self.n_outputs)
        power = [_power(w) for w in W]
        s = mode_products(D.reshape(*shape, 1), power).ravel()
        energy = _power(Z) @ np.ones(self.n_outputs)
        J = (
            self.n_outputs * (self.lost_size * np.log(noise) - np.log(D).sum())
            + D @ energy
            + self.lost_energy / noise
        )
        residual = noise**2 * float((D * D) @ energy) + self.lost_energy
        return q, s, float(J), residual, float(P @ D)


def _power(values):
    if values.dtype.kind == "c":
        return values.real**2 + values.imag**2
    return values**2


def kronecker(
    factors,
    Y,
    *,
    prior,
    m_step,
    noise,
    learn_noise,
    max_iter,
    tol,
    prune_tol,
    head_start=None,
    on_iteration=None,
):
    """Recover a sparse tensor from its Kronecker-structured measurements.

    Parameters
    ----------
    factors : list of ndarray of shape (M_i, N_i)
    Y : ndarray of shape (M_1, ..., M_I, L)
    prior : Separable
        Changed in place.
    m_step : {"am", "mm", "svd", "kl"}
        A step of "svd" or "kl" that lowers the evidence is taken back, and one of "mm"
        put in its place.
    noise : float
        The noise variance, or where it starts.
    learn_noise : bool
    max_iter : int
    tol : float
        Stop when the variances change by a smaller share.
    prune_tol : float
        Variances of a factor below this share of its largest are dropped.
    head_start : {"svd", "kl"} or None
        The step of some iterations that come first, in which nothing is taken back or
        dropped. Scores begin after them.
    on_iteration : callable or None
        As ``on_round`` of :func:`skalgos._sparse_bayes.solvers.sequential`.

    Returns
    -------
    recovery : KroneckerRecovery
    """
    problem = _Problem(factors, Y)
    dof = problem.size + problem.lost_size
    n_outputs = problem.n_outputs
    is_complex = np.result_type(Y, *factors).kind == "c"
    active = [np.arange(A.shape[1]) for A in factors]

    def evidence(J):
        return log_evidence(J, dof, n_outputs, is_complex)

    gamma = prior.gamma
    state = problem.posterior(prior.margins, noise)
    ahead = head_start is not None
    n_columns = sum(len(a) for a in active)
    scores, converged, n_iter = [evidence(state[2] + PRICE * n_columns)], False, 0

    def recovery():
        q, s, J = state[:3]
        return KroneckerRecovery(
            active,
            prior.margins,
            gamma[:, None] * q,
            np.maximum(gamma - gamma**2 * s, 0.0),
            noise,
            evidence(J),
            scores,
            n_iter,
            converged,
        )

    while n_iter < max_iter:
        end = None if on_iteration is None else on_iteration()
        n_iter += 1
        q, s, J, residual, effective = state
        square = gamma**2 * (_power(q) @ np.full(n_outputs, 1.0 / n_outputs))
        variance = np.maximum(gamma - gamma**2 * s, 0.0)
        step = head_start if ahead else m_step
        before = prior.factors, gamma, noise
        for step_taken in (step, "mm"):
            prior.step("em" if step_taken == "am" else step_taken, square, variance, s)
            if learn_noise:
                share = residual / n_outputs
                if step_taken == "mm":
                    # The bound that "mm" lowers, lowered in the noise variance too.
                    fixed = share / max(dof - effective, 1e-3 * dof)
                    noise = np.sqrt(before[2] * fixed)
                else:
                    noise = (share + before[2] * effective) / dof
                noise = max(noise, NOISE_FLOOR)
            new = prior.gamma
            after = problem.posterior(prior.margins, noise)
            if ahead or step_taken not in HEURISTIC or after[2] <= J:
                break
            prior.factors, noise = before[0], before[2]
        state, gamma = after, new
        change = np.linalg.norm(new - before[1]) / max(np.linalg.norm(new), 1e-300)
        finished = change < tol
        if ahead:
            ahead = n_iter < HEAD_START and not finished
            finished = False
            scores.clear()
        else:
            unpruned = prior.factors, prior.couplings
            for share in (1.0, 0.1):
                keeps = prior.prune_factors(prune_tol * share)
                dropped = sum(np.count_nonzero(~keep) for keep in keeps)
                if not dropped:
                    break
                smaller = problem.restricted(keeps)
                pruned = smaller.posterior(prior.margins, noise)
                if pruned[2] <= state[2] + PRICE * dropped:
                    problem, state, gamma = smaller, pruned, prior.gamma
                    active = [a[keep] for a, keep in zip(active, keeps, strict=True)]
                    finished = False
                    break
                prior.factors, prior.couplings = unpruned
        n_columns = sum(len(a) for a in active)
        scores.append(evidence(state[2] + PRICE * n_columns))
        converged = finished
        if (end is not None and end(recovery)) or finished or not len(gamma):
            break
    return recovery()


def starting_prior(factors, couplings=None):
    """Return constant variances with which the signal has mean square one."""
    level = np.prod([A.shape[0] / float(_power(A).sum()) for A in factors])
    share = level ** (1.0 / len(factors))
    couplings = couplings or [None] * len(factors)
    sums = [1.0 if C is None else float(C.sum(axis=1).mean()) for C in couplings]
    return Separable(
        [
            np.full(A.shape[1], share / total)
            for A, total in zip(factors, sums, strict=True)
        ],
        couplings,
    )


class Factors:
    """Dictionaries with columns of unit norm, and what they were.

    Parameters
    ----------
    dictionaries : list of ndarray of shape (M_i, N_i)
    coupling : tuple of (float or None), or None
    """

    def __init__(self, dictionaries, coupling=None):
        self.dictionaries = dictionaries
        self.rows = tuple(A.shape[0] for A in dictionaries)
        self.columns = tuple(A.shape[1] for A in dictionaries)
        norms = [np.sqrt(_power(A).sum(axis=0)) for A in dictionaries]
        self.scales = [
            np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0)
            for norm in norms
        ]
        self.units = [
            A * scale for A, scale in zip(dictionaries, self.scales, strict=True)
        ]
        self.coupling = coupling

    def recover(self, Y, *, m_step, noise_variance, on_iteration=None, **settings):
        """Solve for measurements of shape (M_1, ..., M_I, L), in their own units.

        With ``m_step="auto"`` from a head start of each heuristic and from none, of
        which the one that ends with the largest score is returned; with a coupling "mm"
        alone.

        Returns
        -------
        coef : ndarray of shape (N_1 ... N_I, L)
        recovery : KroneckerRecovery
            In the units of the data.
        """
        n_outputs = Y.shape[-1]
        dtype = np.result_type(Y.dtype, *[A.dtype for A in self.dictionaries])
        coef = np.zeros((prod(self.columns), n_outputs), dtype)
        scale = np.sqrt(float(_power(Y).mean()))
        usable = all(value.any() for value in self.scales)
        if scale == 0 or not usable:
            return coef, self._nothing(Y, noise_variance, dtype)
        noise = NOISE_START
        if noise_variance is not None:
            noise = max(noise_variance / scale**2, NOISE_FLOOR)
        couplings = None
        if self.coupling is not None:
            couplings = [
                None if c is None else neighbours(n, c).toarray()
                for n, c in zip(self.columns, self.coupling, strict=True)
            ]

        def outward(found):
            back = [v[a] for v, a in zip(self.scales, found.active, strict=True)]
            flat = outer(back) * scale
            shift = Y.size * np.log(scale) * (2 if dtype.kind == "c" else 1)
            margins = [
                u * (v * scale ** (1 / len(back))) ** 2
                for u, v in zip(found.margins, back, strict=True)
            ]
            return found._replace(
                margins=margins,
                mean=found.mean * flat[:, None],
                variance=found.variance * flat**2,
                noise=found.noise * scale**2,
                log_evidence=found.log_evidence - shift,
                scores=np.array(found.scores) - shift,
            )

        def wrapped():
            end = on_iteration()
            return lambda recovery: end(lambda: outward(recovery()))

        watch = Watch(None if on_iteration is None else wrapped)
        starts = [None]
        if m_step == "auto":
            m_step = "mm"
            # They know no couplings, and are the same for one factor.
            if couplings is None:
                starts = (*HEURISTIC, None) if len(self.units) > 1 else HEURISTIC[:1]
        found = None
        for head_start in starts:
            run = kronecker(
                self.units,
                Y / scale,
                prior=starting_prior(self.units, couplings),
                m_step=m_step,
                noise=noise,
                learn_noise=noise_variance is None,
                head_start=head_start,
                on_iteration=watch.on_round,
                **settings,
            )
            if found is None or run.scores[-1] > found.scores[-1]:
                found = run
            if watch.stopped:
                break
        found = outward(found)
        coef.reshape(*self.columns, -1)[np.ix_(*found.active)] = found.mean.reshape(
            *[len(a) for a in found.active], n_outputs
        )
        return coef, found

    def _nothing(self, Y, noise_variance, dtype):
        """Return the recovery from measurements that are zero, or dictionaries."""
        noise = noise_variance
        if noise is None:
            noise = float(_power(Y).mean())
        evidence = np.inf
        if noise > 0:
            J = Y.size * np.log(noise) + float(_power(Y).sum()) / noise
            evidence = log_evidence(
                J, Y.size / Y.shape[-1], Y.shape[-1], dtype.kind == "c"
            )
        empty = [np.empty(0, np.intp) for _ in self.columns]
        return KroneckerRecovery(
            empty,
            [np.empty(0) for _ in self.columns],
            np.empty((0, Y.shape[-1]), dtype),
            np.empty(0),
            noise,
            evidence,
            np.array([evidence]),
            1,
            True,
        )

    def posterior_mean(self, Y, active, margins, noise):
        """Return the mean for known variances, shape (N_1 ... N_I, L): linear in Y."""
        dtype = np.result_type(Y.dtype, *[A.dtype for A in self.dictionaries])
        coef = np.zeros((prod(self.columns), Y.shape[-1]), dtype)
        if all(len(a) for a in active) and noise > 0:
            factors = [A[:, a] for A, a in zip(self.dictionaries, active, strict=True)]
            q = _Problem(factors, Y).posterior(margins, noise)[0]
            mean = outer(margins)[:, None] * q
            coef.reshape(*self.columns, -1)[np.ix_(*active)] = mean.reshape(
                *[len(a) for a in active], -1
            )
        return coef
