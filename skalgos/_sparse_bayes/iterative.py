"""Sparse Bayesian learning from all columns at once.

The model and its notation are those of :mod:`skalgos._sparse_bayes.solvers`. Outputs
may be correlated in addition: the rows of X are then N(0, gamma_j B) with one
covariance B for all. With the eigenvectors ``B = U diag(b) U^H`` the outputs ``Y U``
are independent, the l-th one with prior variances ``b_l gamma``, so that with

    num_j = sum_l |mu_jl|^2 / (b_l L),   den_j = sum_l b_l s_jl / L,

and the posterior variances over b_l in the same way, all steps of the variances stay as
they are.
"""

import numpy as np
from scipy.optimize import minimize_scalar

from skalgos._sparse_bayes.solvers import (
    FLAT,
    Covariance,
    Recovery,
    _cholesky,
    _inverse,
    _square,
    log_evidence,
    noise_steps,
)

# The noise variance stays above this share of the mean square of the responses where C
# itself is factored, whose condition is one over this: below, rounding would show in
# the coefficients.
NOISE_FLOOR = 1e-7
# The prior of the covariance between outputs counts as so many columns without any.
PRIOR_COLUMNS = 1.0
# Neighbouring outputs are correlated by less than this.
MOST_CORRELATED = 0.99


class _Posterior:
    """What follows for outputs whose prior variances are ``gamma``.

    Attributes
    ----------
    mean : ndarray of shape (k, L)
    variance, s : ndarray of shape (k,)
    residual, effective, log_det, fit : float
    covariance : callable
        Returns the :class:`Covariance`.
    """


class _Columns:
    """The columns that are left of all.

    C is factored if more columns are left than rows, and the k x k matrix
    ``I + G A^H A G / sigma^2`` with G the square roots of gamma if not. Which one is
    decided again after each pruning.
    """

    def __init__(self, design, n_rows, active):
        self.design = design
        self.n = n_rows
        self.active = active
        self.dense = not hasattr(design.X, "toarray")
        self.inner = None
        self.A = design.columns(active) if self.dense else None
        self._prepare()

    def _prepare(self):
        if self.inner is None and len(self.active) < self.n:
            if self.A is None:
                self.A = self.design.columns(self.active)
            self.inner = self.A.conj().T @ self.A

    def restrict(self, keep):
        self.active = self.active[keep]
        if self.A is not None:
            self.A = np.asfortranarray(self.A[:, keep])
        if self.inner is not None:
            self.inner = self.inner[np.ix_(keep, keep)]
        self._prepare()

    def _blocks(self):
        """Yield slices and columns; sparse data become dense a block at a time."""
        if self.A is not None:
            yield slice(None), self.A
            return
        for part in self.design._parts(np.arange(len(self.active))):
            yield slice(part[0], part[-1] + 1), self.design.columns(self.active[part])

    def posterior(self, Y, gamma, noise):
        """Return the :class:`_Posterior` for some outputs."""
        found = _Posterior()
        if self.inner is not None:
            self._small(found, Y, gamma, noise)
        else:
            self._large(found, Y, gamma, noise)
        return found

    def _small(self, found, Y, gamma, noise):
        root = np.sqrt(gamma)
        k = len(gamma)
        B = (root[:, None] / noise) * self.inner * root
        B[np.diag_indices(k)] += 1.0
        factor = _cholesky(B)
        inverse = _inverse(factor)
        diagonal = _square(inverse.conj().T)
        found.variance = gamma * diagonal
        found.s = (1.0 - diagonal) / gamma
        scaled = root[:, None] * (self.A.conj().T @ Y) / noise
        found.mean = root[:, None] * (inverse.conj().T @ (inverse @ scaled))
        found.residual = float(_square(Y - self.A @ found.mean).sum())
        found.effective = float(np.sum(1.0 - diagonal))
        found.log_det = 2 * float(np.log(factor.diagonal().real).sum())
        found.fit = found.residual / noise + float(_square(found.mean) @ (1 / gamma))
        found.covariance = lambda: Covariance(gamma, root[:, None] * inverse.conj().T)

    def _large(self, found, Y, gamma, noise):
        C = np.zeros((self.n, self.n), self.design.dtype)
        for part, block in self._blocks():
            C += (block * (gamma[part] / noise)) @ block.conj().T
        C[np.diag_indices(self.n)] += 1.0
        factor = _cholesky(C)
        inverse = _inverse(factor) / np.sqrt(noise)
        z = inverse @ Y
        k = len(gamma)
        q = np.empty((k, Y.shape[1]), Y.dtype)
        found.s = np.empty(k)
        for part, block in self._blocks():
            V = inverse @ block
            q[part] = V.conj().T @ z
            found.s[part] = _square(V.T)
        found.mean = gamma[:, None] * q
        found.variance = gamma * np.maximum(1.0 - gamma * found.s, 0.0)
        rest = noise * (inverse.conj().T @ z)
        found.residual = float(_square(rest).sum())
        found.effective = float(gamma @ found.s)
        found.log_det = 2 * float(np.log(factor.diagonal().real).sum())
        found.fit = float(_square(z).sum())

        def covariance():
            W = np.empty((self.n, k), self.design.dtype)
            for part, block in self._blocks():
                W[:, part] = inverse @ block * np.sqrt(gamma[part])
            return Covariance(gamma, W=W)

        found.covariance = covariance


class _Everything:
    """All outputs: their posterior, and the covariance between them."""

    def __init__(self, design, Y, dof, active, correlation, priors):
        self.Y, self.dof = Y, dof
        self.n_outputs = Y.shape[1]
        self.is_complex = np.result_type(design.dtype, Y).kind == "c"
        self.half = 1.0 if self.is_complex else 0.5
        self.columns = _Columns(design, len(Y), active)
        self.priors = priors
        # What columns that were dropped had in the prior of the variances.
        self.dropped = 0.0
        self.correlation = None
        if correlation is not None:
            self._rotate(np.eye(self.n_outputs))

    def _rotate(self, B):
        self.correlation = B
        b, self.rotation = np.linalg.eigh(B)
        self.spectrum = np.maximum(b, 1e-12 * b[-1])
        self.rotated = self.Y @ self.rotation

    def posterior(self, gamma, noise):
        """Set the mean, the squares, variances and s that steps take, and the rest."""
        self.gamma, self.noise = gamma, noise
        L = self.n_outputs
        if self.correlation is None:
            groups = [(1.0, self.Y)]
        else:
            groups = [
                (b, self.rotated[:, i : i + 1]) for i, b in enumerate(self.spectrum)
            ]
        k = len(gamma)
        self.square, self.variance, self.s = np.zeros((3, k))
        self.residual = self.effective = J = 0.0
        self.parts = []
        for b, Y in groups:
            part = self.columns.posterior(Y, b * gamma, noise)
            self.parts.append(part)
            share = Y.shape[1] / L
            self.square += _square(part.mean) / (b * L)
            self.variance += part.variance * (share / b)
            self.s += part.s * (share * b)
            self.residual += part.residual
            self.effective += part.effective * share
            J += Y.shape[1] * (part.log_det + self.dof * np.log(noise)) + part.fit
        self.evidence = log_evidence(J, self.dof, L, self.is_complex)
        self.score = self.evidence + self.dropped
        self.score += self.priors[0].log_density(gamma)
        self.score += self.priors[1].log_density(noise)
        if self.correlation is not None:
            b = self.spectrum
            self.score -= self.half * PRIOR_COLUMNS * np.sum(np.log(b) + 1 / b)

    def correlate(self, kind):
        """Take the step of EM for the covariance between outputs."""
        mean = np.hstack([part.mean for part in self.parts])
        M = (mean.conj().T / self.gamma) @ mean
        M[np.diag_indices(self.n_outputs)] += [
            float(np.sum(part.variance / self.gamma)) for part in self.parts
        ]
        M = self.rotation @ M @ self.rotation.conj().T
        M[np.diag_indices(self.n_outputs)] += PRIOR_COLUMNS
        M = (M + M.conj().T) / (2 * (len(self.gamma) + PRIOR_COLUMNS))
        self._rotate(M if kind == "full" else nearest_autoregression(M))

    def restrict(self, keep):
        self.dropped += self.priors[0].log_density(self.gamma[~keep])
        self.columns.restrict(keep)

    def recovery(self, *progress):
        """Return the :class:`Recovery`."""
        mean = np.hstack([part.mean for part in self.parts])
        covariances = tuple(part.covariance() for part in self.parts)
        active, gamma = self.columns.active, self.gamma
        if self.correlation is None:
            correlation = rotation = None
        else:
            rotation = self.rotation
            mean = mean @ rotation.conj().T
            unit = np.trace(self.correlation).real / self.n_outputs
            correlation, gamma = self.correlation.conj() / unit, gamma * unit
        return Recovery(
            active,
            mean,
            gamma,
            covariances,
            self.noise,
            self.evidence,
            *progress,
            correlation,
            rotation,
        )


def nearest_autoregression(M):
    """Return the covariance ``c r^|i-j|`` that is likeliest for second moments M."""
    L = len(M)
    if L == 1:
        return M
    diagonal = M.diagonal().real
    whole, inside = diagonal.sum(), diagonal[1:-1].sum()
    beside = np.diagonal(M, 1).real.sum()

    def trace(r):
        # Of the inverse of r^|i-j|, which is tridiagonal, times M.
        return (whole + r * r * inside - 2 * r * beside) / (1 - r * r)

    def cost(r):
        return (L - 1) * np.log(1 - r * r) + L * np.log(trace(r))

    bounds = (-MOST_CORRELATED, MOST_CORRELATED)
    r = minimize_scalar(
        cost, bounds=bounds, method="bounded", options={"xatol": 1e-10}
    ).x
    lags = np.abs(np.subtract.outer(np.arange(L), np.arange(L)))
    return (trace(r) / L) * r**lags


def iterative(
    design,
    Y,
    *,
    prior,
    active,
    update,
    dof,
    noise,
    learn_noise,
    max_iter,
    tol,
    prune_tol,
    noise_prior=FLAT,
    variance_prior=FLAT,
    correlation=None,
    on_round=None,
):
    """Start with all columns, and let the variances of most go to zero.

    Parameters
    ----------
    design : Design
    Y : ndarray of shape (n, L)
    prior : Free, Tied or Separable
        The variances of the active columns; changed in place.
    active : ndarray of int
    update : {"em", "mm", "mackay"}
        "em" and "mm" never lower the score, the log evidence and the logarithms of the
        priors of what is learned; "mackay" promises nothing.
    dof, noise, learn_noise, max_iter, on_round :
        As in ``sequential``.
    tol : float
        Stop when the variances change by a smaller share of them.
    prune_tol : float
        Only variances below this share of the largest are dropped.
    noise_prior, variance_prior : GammaPrior
        Of the precision of the noise, and of those of the columns.
    correlation : {"ar1", "full"} or None
        What kind of covariance between outputs is learned.

    Returns
    -------
    recovery : Recovery
    """
    model = _Everything(
        design, Y, dof, active, correlation, (variance_prior, noise_prior)
    )
    n_outputs = model.n_outputs
    noise_counts = noise_prior.counts(n_outputs, model.is_complex)
    counts = variance_prior.counts(n_outputs, model.is_complex)
    gamma = prior.gamma
    model.posterior(gamma, noise)
    scores, n_iter, converged = [model.score], 0, False

    def recovery():
        return model.recovery(scores, n_iter, converged)

    while n_iter < max_iter and len(gamma):
        end = None if on_round is None else on_round()
        n_iter += 1
        square, s = model.square, model.s
        prior.step(update, square, model.variance, s, counts)
        if learn_noise:
            fixed, careful = noise_steps(
                model.residual / n_outputs, noise, model.effective, dof, noise_counts, 0
            )
            # That of "mm" lowers the bound that "mm" lowers.
            steps = {"em": careful, "mm": np.sqrt(noise * fixed), "mackay": fixed}
            noise = max(steps[update], NOISE_FLOOR)
        new = prior.gamma
        change = np.linalg.norm(new - gamma) / max(np.linalg.norm(new), 1e-300)
        model.gamma = new
        keep = prior.prune(prune_tol, gamma, square, s)
        if not keep.all():
            model.restrict(keep)
        gamma = prior.gamma
        model.posterior(gamma, noise)
        if correlation is not None and len(gamma):
            model.correlate(correlation)
            model.posterior(gamma, noise)
        scores.append(model.score)
        converged = bool(change < tol)
        if (end is not None and end(recovery)) or converged:
            break
    converged |= not len(gamma)
    return recovery()
