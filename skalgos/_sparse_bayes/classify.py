"""Sparse Bayesian classification: the sequential solver around Laplace's approximation.

With labels t in {0, 1}, ``pi = 1 / (1 + exp(-f))`` and ``f = Phi w + b``, the posterior
of w is approximated at its mode by that of a linear model with the working responses

    z = f + (t - pi) / W,   W = pi (1 - pi),

and noise of variance 1 / W: weighted regression with known noise of variance 1. The
intercept b has a flat prior, and taking the weighted mean out of columns and responses
integrates it out.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit, log_expit

from skalgos._sparse_bayes.design import Design
from skalgos._sparse_bayes.solvers import Gram, _Model, universal_threshold

# Beyond this, classes are separated as far as any number can tell.
LARGEST_LOGIT = 30.0
NEWTON_STEPS = 100


class Separation(NamedTuple):
    """A classifier of two classes, in the units of the data.

    The posterior of the active coefficients has mean ``coef`` and covariance
    ``root root^T``; the logit at ``offset`` has variance ``offset_variance`` and is not
    correlated with them.
    """

    active: np.ndarray
    coef: np.ndarray
    gamma: np.ndarray
    root: np.ndarray
    intercept: float
    offset: np.ndarray
    offset_variance: float
    log_evidence: float
    threshold: float
    n_iter: int
    converged: bool

    def log_odds(self, X):
        """Return the log odds of rows of active columns, their variance included.

        The logistic function averaged over a Gaussian logit of mean m and variance v
        is close to that of ``m / sqrt(1 + pi v / 8)``.
        """
        centred = X - self.offset
        half = centred @ self.root
        variance = np.einsum("ij,ij->i", half, half) + self.offset_variance
        logit = X @ self.coef + self.intercept
        return logit / np.sqrt(1 + np.pi * variance / 8)


class _Mode:
    """The mode of the posterior of active columns, and what follows from it."""

    def __init__(self, X, labels, counts, intercept):
        self.X, self.labels, self.counts = X, labels, counts
        self.with_intercept = intercept
        self.w = np.empty(0)
        self.b = 0.0
        if intercept:
            share = counts @ labels / counts.sum()
            self.b = float(np.log(share / (1 - share)))

    def _objective(self, Phi, w, b, precision):
        f = np.clip(Phi @ w + b, -LARGEST_LOGIT, LARGEST_LOGIT)
        likelihood = self.counts @ log_expit(np.where(self.labels, f, -f))
        return likelihood - 0.5 * precision @ w**2

    def find(self, Phi, w, precision):
        """Newton's method from w, with halved steps where a full one goes too far."""
        k = len(w)
        b = self.b
        value = self._objective(Phi, w, b, precision)
        for _ in range(NEWTON_STEPS):
            f = np.clip(Phi @ w + b, -LARGEST_LOGIT, LARGEST_LOGIT)
            pi = expit(f)
            W = self.counts * np.maximum(pi * (1 - pi), 1e-12)
            error = self.counts * (self.labels - pi)
            H = np.zeros((k + 1, k + 1))
            weighted = Phi * W[:, None]
            H[:k, :k] = Phi.T @ weighted
            H[np.arange(k), np.arange(k)] += precision
            gradient = np.append(Phi.T @ error - precision * w, 0.0)
            H[k, k] = 1.0
            if self.with_intercept:
                H[k, :k] = H[:k, k] = weighted.sum(axis=0)
                H[k, k] = W.sum()
                gradient[k] = error.sum()
            units = 1 / np.sqrt(H.diagonal())
            H = units[:, None] * H * units
            H[np.diag_indices(k + 1)] += 1e-12
            step = units * cho_solve(cho_factor(H), units * gradient)
            gain = gradient @ step
            if gain < 1e-12 * (1 + abs(value)):
                break
            size = 1.0
            while True:
                new_w, new_b = w + size * step[:k], b + size * step[k]
                new = self._objective(Phi, new_w, new_b, precision)
                if new >= value or size < 1e-10:
                    break
                size *= 0.5
            if new < value:
                break
            w, b, value = new_w, new_b, new
        self.w, self.b = w, b
        self.logits = Phi @ w + b
        self.value = value

    def working(self):
        """Return the working weights and responses."""
        f = np.clip(self.logits, -LARGEST_LOGIT, LARGEST_LOGIT)
        pi = expit(f)
        W = np.maximum(pi * (1 - pi), 1e-12)
        return self.counts * W, f + (self.labels - pi) / W


def separate(
    X,
    labels,
    counts,
    *,
    intercept,
    threshold,
    expected_false_inclusions,
    max_active,
    max_iter,
    tol,
    on_round=None,
):
    """Fit a sparse classifier of two classes.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n, p)
    labels : ndarray of shape (n,), bool
    counts : ndarray of shape (n,)
        How often each row counts.
    intercept : bool
    threshold : "universal" or float
    expected_false_inclusions : float
    max_active : int or None
    max_iter : int
    tol : float
        Stop when no logarithm of a prior variance changes by more.
    on_round : callable or None
        ``on_round() -> end``; ``end(separation) -> stop`` where ``separation()``
        returns the result so far.

    Returns
    -------
    separation : Separation
    """
    plain = Design(X, counts, centre=intercept)
    usable = int(np.count_nonzero(plain.scale))
    if threshold == "universal":
        threshold = universal_threshold(usable, 1, False, expected_false_inclusions)
    most = (
        max(int(np.count_nonzero(counts)) - 1, 1) if max_active is None else max_active
    )
    mode = _Mode(X, labels.astype(np.float64), counts, intercept)
    penalty = 0.5 * (threshold - 1 - np.log(threshold))

    def columns(active):
        block = X[:, active]
        block = block.toarray() if hasattr(block, "toarray") else block
        return np.asarray(block, dtype=np.float64)

    def evaluate(active, gamma, start):
        """Go to the mode and return the model of the working responses there."""
        mode.find(columns(active), start, 1.0 / gamma)
        W, z = mode.working()
        design = Design(X, W, centre=intercept)
        Y, _ = design.response(z[:, None])
        model = _Model(Gram(design, Y), design.total, threshold, 1.0, False)
        # A column that varies nowhere under these weights has no say here.
        model.gram.add(active)
        model.active = active
        model.alpha = 1.0 / (gamma * np.maximum(design.norms[active], 1e-150) ** 2)
        model.gather()
        model.factor()
        covariance = model.root * design.scale[model.active][:, None]
        sign, log_det = np.linalg.slogdet(model.sigma)
        evidence = mode.value + 0.5 * (log_det + np.log(model.alpha).sum())
        if intercept:
            evidence += 0.5 * np.log(2 * np.pi / design.total)
        return model, design, covariance, float(evidence)

    active, gamma, w = np.empty(0, np.intp), np.empty(0), np.empty(0)
    model, design, covariance, evidence = evaluate(active, gamma, w)
    score = evidence
    n_iter, converged, single = 0, False, False

    def separation():
        order = model.active
        position = np.argsort(active)
        coef = mode.w[position[np.searchsorted(active, order, sorter=position)]]
        offset = np.zeros(len(order))
        if intercept:
            offset = design.mean[order]
        return Separation(
            order,
            coef,
            1.0 / (model.alpha * design.norms[order] ** 2),
            covariance,
            float(mode.b),
            offset,
            1.0 / design.total if intercept else 0.0,
            evidence,
            threshold,
            n_iter,
            converged,
        )

    while n_iter < max_iter:
        end = None if on_round is None else on_round()
        n_iter += 1
        new, alpha = model.propose(most, single, 0.0)
        trial = model
        before = np.zeros(X.shape[1])
        before[model.active] = model.alpha * design.norms[model.active] ** 2
        if len(new):
            trial.active = np.concatenate([trial.active, new])
            trial.alpha = np.concatenate([trial.alpha, alpha])
        trial.settle(tol, 3)
        chosen = trial.active
        wanted = 1.0 / (trial.alpha * design.norms[chosen] ** 2)
        start = np.zeros(X.shape[1])
        start[active] = mode.w
        kept = active, gamma, mode.w, mode.b, mode.logits, mode.value, score
        active, gamma = chosen, wanted
        after = np.zeros(X.shape[1])
        after[chosen] = 1.0 / wanted
        model, design, covariance, evidence = evaluate(active, gamma, start[active])
        score = evidence - penalty * len(active)
        if score < kept[-1]:
            # What the approximation promised did not come: take it back, and try less.
            active, gamma, w = kept[:3]
            mode.b = kept[3]
            model, design, covariance, evidence = evaluate(active, gamma, w)
            score = kept[-1]
            if single or len(new) <= 1:
                most = len(active)
            single = True
            converged = not len(new)
        else:
            single = False
            same = np.array_equal(before > 0, after > 0)
            if same and not len(new):
                moved = np.abs(np.log(after[active] / before[active]))
                converged = bool((moved < 10 * tol).all())
        if (end is not None and end(separation)) or converged:
            break
    return separation()
