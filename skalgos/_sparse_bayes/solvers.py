"""Sparse Bayesian learning, one column at a time, starting from nothing.

The model, in units in which the columns of A and the responses have been standardised:

    Y = A X + noise,   x_j ~ N(0, gamma_j),   noise ~ N(0, sigma^2),

with one variance for each row of X, shared by the L columns of Y. With
``C = sigma^2 I + A Gamma A^H`` the cost is

    J = L ln det C + tr(Y^H C^-1 Y),

where C acts on ``dof`` dimensions: those of the weighted rows, less one for a mean that
was taken out. The log evidence is ``-(J + dof L ln(2 pi)) / 2`` for real data and
``-(J + dof L ln(pi))`` for complex. Throughout,

    q = A^H C^-1 Y,   s = diag(A^H C^-1 A),   mu = gamma q,
    diag(Sigma) = gamma - gamma^2 s.

The covariance Sigma of all p coefficients is never formed.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import blas, lapack
from scipy.stats import chi2

# The noise variance stays above this share of the mean square of the responses.
NOISE_FLOOR = 1e-12
# Where the noise starts if it is to be learned.
NOISE_START = 0.1
# A column with less than this share of itself outside the active ones is not a
# candidate: what is left of it is rounding.
DEPENDENT = 1e-9
# A start is given up when what it promises has not risen for so many rounds: more if
# little is explained so far, as what comes first may have to go again.
PATIENCE = {False: 6, True: 2}


# How many columns compete for a round.
POOL = 128
# Columns of one round overlap less, in the modulus of their inner product.
SEPARATE = 0.5
# So many runners-up, which overlap less than that, have their products computed along
# with those of the chosen ones: a pass over the data costs little more, and is saved
# if they are chosen later.
AHEAD = 20
REDUNDANT = 0.95
# That is done as long as all products take at most this share of the memory of X.
SHARE = 32
# Sweeps over the precisions between factorisations.
SWEEPS = 3


class Covariance(NamedTuple):
    """The posterior covariance of the active coefficients of an output.

    It is ``root root^H`` if ``root``, of shape (k, k), is not None, else
    ``G (I - W^H W) G`` with G the square roots of ``gamma`` on a diagonal and ``W`` of
    shape (n, k).
    """

    gamma: np.ndarray
    root: np.ndarray | None = None
    W: np.ndarray | None = None

    def scaled(self, units):
        """Return it for coefficients multiplied by ``units``."""
        root = None if self.root is None else units[:, None] * self.root
        return Covariance(self.gamma * units**2, root, self.W)

    def matrix(self):
        """Return it, shape (k, k)."""
        if self.root is not None:
            return self.root @ self.root.conj().T
        G = np.sqrt(self.gamma)
        return G[:, None] * (np.eye(len(G)) - self.W.conj().T @ self.W) * G

    def diagonal(self):
        """Return the variances."""
        if self.root is not None:
            return _square(self.root)
        return self.gamma * np.maximum(1.0 - _square(self.W.T), 0.0)

    def variance_of(self, X):
        """Return the variance of ``X coef`` for each row of active columns."""
        if self.root is not None:
            return _square(X @ self.root)
        scaled = X * np.sqrt(self.gamma)
        return np.maximum(_square(scaled) - _square(scaled @ self.W.T), 0.0)

    def covariance_of(self, X):
        """Return the covariance of ``X coef``; real data."""
        if self.root is not None:
            half = X @ self.root
            return half @ half.T
        scaled = X * np.sqrt(self.gamma)
        half = scaled @ self.W.T
        return scaled @ scaled.T - half @ half.T

    def draw(self, normals):
        """Turn standard normals (k, m) into deviations from the mean; real data."""
        if self.root is not None:
            return self.root @ normals
        # The root of I - W^T W is I - W^T U (1 - sqrt(1 - S)) / S U^T W, with the
        # eigenvalues S and eigenvectors U of W W^T.
        S, U = np.linalg.eigh(self.W @ self.W.T)
        S = np.clip(S, 0.0, 1.0)
        share = 1.0 / (1.0 + np.sqrt(1.0 - S))
        inner = U @ (share[:, None] * (U.T @ (self.W @ normals)))
        return np.sqrt(self.gamma)[:, None] * (normals - self.W.T @ inner)


class Recovery(NamedTuple):
    """Where a solver ended.

    ``mean`` (k, L) and ``gamma`` (k,) describe the columns that are left, ``active``.
    There is one covariance for all outputs, or with correlated outputs one for each of
    their combinations with the columns of ``rotation``, the orthonormal eigenvectors of
    their covariance ``correlation`` (L, L).
    """

    active: np.ndarray
    mean: np.ndarray
    gamma: np.ndarray
    covariances: tuple
    noise: float
    log_evidence: float
    scores: list
    n_iter: int
    converged: bool
    correlation: np.ndarray | None = None
    rotation: np.ndarray | None = None

    def for_outputs(self, values):
        """Turn what belongs to the covariances into what belongs to outputs.

        Of one for all outputs there is one result; else the last axis is the outputs.
        """
        if self.rotation is None:
            return values[0]
        return np.tensordot(np.stack(values, -1), np.abs(self.rotation.T) ** 2, axes=1)

    def draw(self, normals):
        """Turn standard normals (k, L, m) into deviations from the mean; real data."""
        k, L, m = normals.shape
        if self.rotation is None:
            flat = self.covariances[0].draw(normals.reshape(k, L * m))
            return flat.reshape(k, L, m)
        drawn = [c.draw(normals[:, i]) for i, c in enumerate(self.covariances)]
        return np.einsum("ti,ikm->ktm", self.rotation, np.stack(drawn))


class GammaPrior(NamedTuple):
    """A Gamma prior of a precision: ``shape ln(precision) - rate precision``."""

    shape: float = 0.0
    rate: float = 0.0

    def log_density(self, variances):
        """Return the sum over precisions, up to a constant."""
        if self == (0.0, 0.0):
            return 0.0
        variances = np.asarray(variances)
        return -float(np.sum(self.shape * np.log(variances) + self.rate / variances))

    def counts(self, n_outputs, is_complex):
        """Return by what it adds to degrees of freedom and squares of each output."""
        half = n_outputs * (1.0 if is_complex else 0.5)
        return self.shape / half, self.rate / half


FLAT = GammaPrior()


def log_evidence(J, dof, n_outputs, is_complex):
    """Return the log evidence that belongs to a cost."""
    if is_complex:
        return -(J + dof * n_outputs * np.log(np.pi))
    return -0.5 * (J + dof * n_outputs * np.log(2 * np.pi))


def universal_threshold(n_columns, n_outputs, is_complex, expected_false_inclusions):
    """Return the least ``mean |q|^2 / s`` at which a column enters.

    Were there nothing but noise, ``r L |q|^2 / s`` would have a chi-squared
    distribution with r L degrees of freedom, r = 2 for complex data: at this threshold
    so many of the columns would enter by chance.
    """
    freedom = n_outputs * (2 if is_complex else 1)
    share = min(expected_false_inclusions / max(n_columns, 1), 1.0)
    return max(1.0, float(chi2.isf(share, freedom)) / freedom)


def noise_steps(mean_square, noise, effective, dof, prior, floor=NOISE_FLOOR):
    """Return the fixed-point step of the noise variance, and the step of EM.

    Parameters
    ----------
    mean_square : float
        The squared residual of the posterior mean, for each output.
    noise : float
    effective : float
        The sum of ``gamma s``.
    dof : float
    prior : tuple of float
        What the prior adds to the degrees of freedom and to the squares.
    floor : float
    """
    rest, counted = mean_square + prior[1], dof + prior[0]
    fixed = rest / max(counted - effective, 1e-3 * counted)
    return max(fixed, floor), max((rest + noise * effective) / counted, floor)


def _cholesky(matrix):
    """Return the lower factor, or None if the matrix is not positive definite."""
    potrf = lapack.zpotrf if matrix.dtype.kind == "c" else lapack.dpotrf
    factor, info = potrf(matrix, lower=1, clean=1)
    return factor if info == 0 else None


def _inverse(factor):
    """Return the inverse of a lower factor."""
    if not factor.size:
        return factor
    trtri = lapack.ztrtri if factor.dtype.kind == "c" else lapack.dtrtri
    return trtri(factor, lower=1)[0]


def _square(values):
    """Return the sum of squared moduli of each row."""
    if values.dtype.kind == "c":
        return np.einsum("ij,ij->i", values.real, values.real) + np.einsum(
            "ij,ij->i", values.imag, values.imag
        )
    return np.einsum("ij,ij->i", values, values)


# ---- sequential ----------------------------------------------------------------------
class Gram:
    """Inner products of all columns with those that were active at some time.

    Parameters
    ----------
    design : Design
    Y : ndarray of shape (n, L)

    Attributes
    ----------
    correlation : ndarray of shape (p, L)
        Inner products with the responses.
    slot : ndarray of shape (p,)
        The place of each column among those computed, in their order; -1 if it is not.
    size : int
        How many are computed.
    """

    def __init__(self, design, Y):
        self.design = design
        self.Y = Y
        self.energy = float(_square(Y).sum())
        self.correlation = design.adjoint(Y)
        self.slot = np.full(design.shape[1], -1)
        self.size = 0
        # One array for each call of add, so that none is ever copied to make room.
        self._columns, self._products = [], []

    def add(self, indices, columns=None):
        """Compute what is missing for these columns; their slots are in ``slot``."""
        missing = self.slot[indices] < 0
        indices = indices[missing]
        if not len(indices):
            return
        if columns is None:
            columns = self.design.columns(indices)
        else:
            columns = columns[:, missing]
        self._columns.append(columns)
        self._products.append(self.design.adjoint(columns))
        self.slot[indices] = np.arange(self.size, self.size + len(indices))
        self.size += len(indices)

    def columns(self, slots):
        """Return columns, shape (n, len(slots))."""
        return self._side_by_side(self._columns, self.Y, slice(None), slots)

    def products(self, rows, slots):
        """Return inner products of some columns with those in the slots."""
        return self._side_by_side(self._products, self.correlation, rows, slots)

    def _side_by_side(self, arrays, like, rows, slots):
        """Return rows, a slice or indices, of the arrays side by side."""
        out = np.empty((len(slots), len(like[rows])), like.dtype)
        first = 0
        for array in arrays:
            end = first + array.shape[1]
            inside = np.flatnonzero((slots >= first) & (slots < end))
            if len(inside):
                out[inside] = array.T[slots[inside] - first][:, rows]
            first = end
        return out.T


class _Model:
    """The active columns, and their posterior."""

    def __init__(self, gram, dof, threshold, noise, learn_noise, noise_prior=FLAT):
        self.gram = gram
        self.dof = dof
        self.threshold = threshold
        self.n_outputs = gram.Y.shape[1]
        self.is_complex = gram.correlation.dtype.kind == "c"
        self.active = np.empty(0, np.intp)
        self.alpha = np.empty(0)
        self.noise = noise
        self.learn_noise = learn_noise
        self.noise_prior = noise_prior
        # What a column must add to the evidence to be let in by the threshold.
        per_column = threshold - 1 - np.log(threshold)
        self.penalty = self.n_outputs * per_column * (1.0 if self.is_complex else 0.5)

    def state(self):
        return self.active.copy(), self.alpha.copy(), self.noise

    def restore(self, state):
        self.active, self.alpha, self.noise = (
            state[0].copy(),
            state[1].copy(),
            state[2],
        )
        self.gather()
        self.factor()

    def gather(self):
        """Look up what belongs to the active columns."""
        slots = self.gram.slot[self.active]
        order = np.argsort(slots)
        self.active, self.alpha = self.active[order], self.alpha[order]
        self.slots = slots[order]
        self.columns = self.gram.columns(self.slots)
        self.inner = self.gram.products(self.active, self.slots)
        self.cross = self.gram.correlation[self.active]

    def factor(self):
        """Compute posterior, residual and evidence at the current parameters."""
        beta = 1.0 / self.noise
        k = len(self.active)
        if k == 0:
            self.root = self.sigma = np.empty((0, 0), self.inner.dtype)
            self.mu = np.empty((0, self.n_outputs), self.inner.dtype)
            residual = self.gram.energy
            log_det = 0.0
            prior = 0.0
        else:
            # With unit diagonal whatever the precisions are.
            units = 1.0 / np.sqrt(beta + self.alpha)
            precision = (beta * units[:, None]) * self.inner * units
            precision[np.diag_indices(k)] = 1.0
            factor = _cholesky(precision)
            while factor is None:
                precision[np.diag_indices(k)] += 1e-12 * k
                factor = _cholesky(precision)
            self.root = _inverse(factor).conj().T * units[:, None]
            self.sigma = np.ascontiguousarray(self.root @ self.root.conj().T)
            self.mu = beta * (self.sigma @ self.cross)
            residual = self.unexplained()
            prior = float(self.alpha @ _square(self.mu))
            log_det = (
                2 * np.log(factor.diagonal().real).sum()
                + np.log1p(beta / self.alpha).sum()
            )
        J = self.n_outputs * (log_det + self.dof * np.log(self.noise))
        J += beta * residual + prior
        self.evidence = log_evidence(J, self.dof, self.n_outputs, self.is_complex)
        self.score = self.evidence - self.penalty * k
        self.score += self.noise_prior.log_density(self.noise)

    def noise_steps(self):
        """Return the fixed-point step of the noise, and the EM step behind it."""
        effective = float(np.sum(1 - self.alpha * self.sigma.diagonal().real))
        return noise_steps(
            self.unexplained() / self.n_outputs,
            self.noise,
            effective,
            self.dof,
            self.noise_prior.counts(self.n_outputs, self.is_complex),
        )

    def unexplained(self):
        """Return the squared residual of the mean."""
        return float(_square(self.gram.Y - self.columns @ self.mu).sum())

    def settle(self, tol, max_sweeps):
        """Go to a local optimum of precisions and noise; only deletions, no additions.

        The score never falls: deletions and new precisions are optimal one by one, and
        a step of the noise that lowers it is replaced with the one of EM, which cannot.
        """
        from skalgos._sparse_bayes.kernels import sweep

        self.gather()
        self.factor()
        for _ in range(max_sweeps):
            score, before = self.score, self.noise
            change = 0.0
            for _ in range(SWEEPS):
                k = len(self.active)
                if k == 0:
                    break
                deleted = np.zeros(k, bool)
                last = sweep(
                    self.sigma,
                    self.mu,
                    self.alpha,
                    self.threshold,
                    0.1 * tol,
                    np.empty(k, self.sigma.dtype),
                    deleted,
                )
                change = max(change, last)
                if deleted.any():
                    self.shrink(~deleted)
                if last < tol:
                    break
            moved = 0.0
            if self.learn_noise:
                fixed, careful = self.noise_steps()
                moved = abs(np.log(fixed / before))
                if moved > 0.01 * tol:
                    self.noise = fixed
            if change > 0.0 or self.noise != before:
                self.factor()
                if self.score < score and self.noise != before:
                    self.noise = careful
                    self.factor()
            if change < tol and moved < 0.1 * tol:
                return

    def shrink(self, keep):
        """Forget active columns, whose rows and columns in the posterior are zero."""
        keep = np.flatnonzero(keep)
        self.active, self.alpha = self.active[keep], self.alpha[keep]
        self.slots, self.cross = self.slots[keep], self.cross[keep]
        self.columns = self.columns.T[keep].T
        square = np.ix_(keep, keep)
        self.inner = self.inner[square]
        self.sigma = np.ascontiguousarray(self.sigma[square])
        self.mu = np.ascontiguousarray(self.mu[keep])

    def released_score(self):
        """Return the score at the noise that fits, and that noise; change nothing."""
        frozen = self.noise
        for _ in range(4):
            self.noise = self.noise_steps()[0]
            self.factor()
        released = self.score, self.noise
        self.noise = frozen
        self.factor()
        return released

    def candidates(self):
        """Return s and the mean of |q|^2 of all columns; s = 0 for those ruled out."""
        beta = 1.0 / self.noise
        p = len(self.gram.correlation)
        s = np.full(p, beta)
        square = np.empty(p)
        trmm = blas.ztrmm if self.is_complex else blas.dtrmm
        step = max(256, (1 << 18) // max(len(self.active), 1))
        for i in range(0, p, step):
            part = slice(i, i + step)
            q = self.gram.correlation[part]
            if len(self.active):
                block = self.gram.products(part, self.slots)
                q = q - block @ self.mu
                # root is upper triangular up to its row scaling.
                block = trmm(1.0, self.root, block, side=1, overwrite_b=1)
                s[part] -= beta * beta * _square(block)
            square[part] = beta * beta * _square(q) / self.n_outputs
        s[s < DEPENDENT * beta] = 0.0
        s[self.active] = 0.0
        s[self.gram.design.scale == 0] = 0.0
        return s, square

    def propose(self, max_active, single, least_gain):
        """Return columns that would raise the score, and their precisions.

        The best one, and others that do nearly as well and are nearly orthogonal to
        those already taken: at most as many as are active, and at least four. Those
        whose products are known already come first. A column that would raise the
        score by no more than ``least_gain`` is not worth it.
        """
        s, square = self.candidates()
        ratio = np.divide(square, s, out=np.zeros(len(s)), where=s > 0)
        gain = ratio - 1 - np.log(np.maximum(ratio, 1.0))
        per_unit = self.n_outputs * (1.0 if self.is_complex else 0.5)
        worth = per_unit * gain > self.penalty + least_gain
        above = np.flatnonzero(worth & (ratio > self.threshold * (1 + 1e-9)))
        room = max_active - len(self.active)
        if not len(above) or room <= 0:
            return np.empty(0, np.intp), np.empty(0)
        above = above[gain[above] >= 0.25 * gain[above].max()]
        known = above[self.gram.slot[above] >= 0]
        if not self.learn_noise:
            # Rounds are counted there: each must take the best that there is.
            known = known[:0]
        above = known if len(known) else above
        size = 1 if single else min(max(4, len(self.active)), room)
        best = above[np.lexsort((above, -ratio[above]))[: POOL if size > 1 else 1]]
        if len(known):
            chosen, _ = _spread(self.gram.columns(self.gram.slot[best]), size)
        else:
            columns = self.gram.design.columns(best)
            chosen, ahead = _spread(columns, size)
            # By the weight of the rows: as many as if they were repeated.
            spare = max(int(self.dof) // SHARE - self.gram.size, 0)
            wanted = chosen + ahead[: min(AHEAD, spare)]
            self.gram.add(best[wanted], columns[:, wanted])
        best = best[chosen]
        return best, s[best] ** 2 / (square[best] - s[best])


def _spread(columns, size):
    """Choose columns that overlap little, at most so many, in order.

    Also return those that come next: not chosen, and not nearly the same as any that
    comes before.
    """
    overlap = np.abs(columns.conj().T @ columns)
    chosen, ahead = [0], []
    to_chosen, to_any = overlap[0].copy(), overlap[0].copy()
    for i in range(1, len(overlap)):
        if len(chosen) < size and to_chosen[i] < SEPARATE:
            chosen.append(i)
            to_chosen = np.maximum(to_chosen, overlap[i])
        elif to_any[i] < REDUNDANT:
            ahead.append(i)
        else:
            continue
        to_any = np.maximum(to_any, overlap[i])
    return chosen, ahead


def sequential(
    gram,
    *,
    dof,
    threshold,
    noise,
    learn_noise,
    max_active,
    max_iter,
    tol,
    noise_prior=FLAT,
    start=None,
    lookahead=False,
    on_round=None,
):
    """Add columns in batches while that raises the score, and drop those that do not.

    The score is the log evidence less a constant for each active column, such that one
    column alone raises it exactly if ``mean |q|^2 / s`` exceeds ``threshold``; with
    threshold 1 the constant is 0. It never falls from one round to the next.

    Parameters
    ----------
    gram : Gram
    dof : float
    threshold : float
        At least 1.
    noise : float
        The noise variance, or where it starts.
    learn_noise : bool
    max_active : int
    max_iter : int
        The largest number of rounds.
    tol : float
        A round settles when no log precision changes by more.
    noise_prior : GammaPrior
    start : (active, gamma) or None
    lookahead : bool
        With a noise variance that is not learned: watch the score that there would
        be if it were, stop when that rises no more, and go back to its maximum.
    on_round : callable or None
        ``on_round() -> end``; ``end(recovery) -> stop`` where ``recovery()`` returns
        the result so far.

    Returns
    -------
    recovery : Recovery
    """
    model = _Model(gram, dof, threshold, noise, learn_noise, noise_prior)
    if start is not None and len(start[0]):
        gram.add(start[0])
        model.active, model.alpha = start[0].copy(), 1.0 / start[1]
    model.settle(tol, 100)
    scores = [model.score]
    n_iter, converged, idle = 0, False, 0
    largest, kept, waited, patience = -np.inf, None, 0, 0

    def recovery():
        return Recovery(
            model.active,
            model.mu,
            1.0 / model.alpha,
            (Covariance(1.0 / model.alpha, model.root),),
            model.noise,
            model.evidence,
            scores,
            n_iter,
            converged,
        )

    while n_iter < max_iter:
        end = None if on_round is None else on_round()
        n_iter += 1
        single = False
        while True:
            before = model.state()
            new, alpha = model.propose(max_active, single, tol)
            if not len(new):
                converged = True
                break
            model.active = np.concatenate([model.active, new])
            model.alpha = np.concatenate([model.alpha, alpha])
            model.settle(tol, 20)
            if model.score > scores[-1]:
                break
            model.restore(before)
            # One column alone cannot lower the score, but for rounding.
            converged = single or len(new) == 1
            if converged:
                break
            single = True
        scores.append(model.score)
        idle = idle + 1 if scores[-1] - scores[-2] < 1e-3 * tol else 0
        converged |= idle >= 4
        if lookahead:
            score, released = model.released_score()
            waited += 1
            if score > largest:
                largest, kept, waited = score, model.state(), 0
                patience = PATIENCE[released < NOISE_START]
            elif waited == patience:
                break
        if (end is not None and end(recovery)) or converged:
            break
    if lookahead and kept is not None:
        model.restore(kept)
    elif converged:
        # Rounds end early; the last one need not.
        before = model.state(), model.score
        model.settle(tol, 1000)
        if model.score < before[1]:
            model.restore(before[0])
        scores[-1] = model.score
    return recovery()


class Watch:
    """Remembers over several runs whether a callback asked to stop.

    Parameters
    ----------
    on_round : callable or None
        As in :func:`sequential`; ``self.on_round`` is what to hand to the runs.
    """

    def __init__(self, on_round):
        self._on_round = on_round
        self.stopped = False
        self.on_round = None if on_round is None else self._watched

    def _watched(self):
        end = self._on_round()

        def watched_end(recovery):
            self.stopped = self.stopped or bool(end is not None and end(recovery))
            return self.stopped

        return watched_end


def noise_starts(
    gram,
    *,
    n_starts,
    dof,
    threshold,
    max_active,
    max_iter,
    tol,
    noise_prior=FLAT,
    on_round=None,
):
    """Run :func:`sequential` from several frozen noise variances, and keep the best.

    Where the non-zeros are a large share of the rows, what is not explained yet looks
    like noise, and a noise variance that is learned from the start stays too large. So
    after a run that learns it from the start, it is held at a hundredth, a thousandth,
    ... of the mean square until nothing is added, and learned from there. The run with
    the largest score is kept.

    Parameters
    ----------
    gram : Gram
        Its columns are shared by all starts.
    n_starts : int
    dof, threshold, max_active, max_iter, tol, noise_prior, on_round :
        As in :func:`sequential`.

    Returns
    -------
    recovery : Recovery
    """
    watch = Watch(on_round)
    common = {"dof": dof, "threshold": threshold, "max_iter": max_iter}
    common["noise_prior"] = noise_prior
    common["on_round"] = watch.on_round
    best = None
    for i in range(n_starts):
        if watch.stopped:
            break
        noise = NOISE_START * 10.0**-i
        start = None
        if i > 0:
            frozen = sequential(
                gram,
                noise=noise,
                learn_noise=False,
                max_active=min(max_active, int(dof) // 2),
                tol=max(tol, 0.1),
                lookahead=True,
                **common,
            )
            start = frozen.active, frozen.gamma
        run = sequential(
            gram,
            noise=noise,
            learn_noise=True,
            max_active=max_active,
            tol=tol,
            start=start,
            **common,
        )
        if best is None or run.scores[-1] > best.scores[-1]:
            best = run
    return best
