"""Checkered regression by its definition, slowly."""

import itertools
from decimal import Decimal, localcontext

import numpy as np
from scipy.special import logsumexp


def log_checkoid(z, y):
    """Return log((1 + y prod tanh(z_k / 2)) / 2) for one sample, by long arithmetic."""
    with localcontext() as context:
        # The sum may cancel down to the smallest exp(-abs(z_k)).
        context.prec = int(np.abs(z).min() / np.log(10)) + 40
        product = Decimal(1)
        for value in map(Decimal, z):
            u = (-abs(value)).exp()
            product *= (1 - u) / (1 + u) * (1 if value >= 0 else -1)
        return float(((1 + int(y) * product) / 2).ln())


def log_circular(Z, y):
    """Return log P(y) for logits of shape (m, K), over all values of all factors."""
    m, K = Z.shape
    logs = Z - logsumexp(Z, axis=1, keepdims=True)
    terms = [
        logs[range(m), v].sum()
        for v in itertools.product(range(K), repeat=m)
        if sum(v) % K == y
    ]
    return logsumexp(terms)


def objective(X, codes, weights, C, coef, intercept, noise=0.0):
    """Return the mean loss plus the penalty divided by C and the sum of weights.

    ``coef`` has shape (m, d) for two classes, (m, K, d) for more.
    """
    total = 0.0
    for x, code, weight in zip(X, codes, weights, strict=True):
        Z = coef @ x + intercept
        if Z.ndim == 1:
            Z = np.stack([np.zeros_like(Z), -Z], axis=1)
            code = 1 - code
        K = Z.shape[1]
        p = np.array([np.exp(log_circular(Z, c)) for c in range(K)])
        p = (1 - noise) * p + noise / (K - 1) * (1 - p)
        total -= weight * np.log(p[code])
    penalty = 0.5 * np.sum(coef**2) / (C * np.sum(weights))
    return total / np.sum(weights) + penalty


def parity_terms(X, codes, weights, m):
    """Return ``log_terms`` of the mean loss of two classes, for ``minimize_xgd``.

    The terms of a sample are the values of all factors whose parity is the label.
    Coefficients are without intercepts; sample i has the weight of its mean.
    """
    n, d = X.shape
    values = np.array(list(itertools.product([0, 1], repeat=m)))
    failures = (1 - values).sum(axis=1)
    chosen = [values[(failures % 2 == 0) == code] for code in codes]

    def log_terms(x):
        W = x.reshape(m, d)
        logs, gradients = [], []
        for i in range(n):
            z = W @ X[i]
            v = chosen[i]
            log_p = -np.logaddexp(0, np.where(v == 1, -z, z)).sum(axis=1)
            residual = v - 1 / (1 + np.exp(-z))
            logs.append(log_p)
            gradients.append((residual[:, :, None] * X[i]).reshape(len(v), -1))
        return np.array(logs), np.array(gradients) * weights[:, None, None]

    return log_terms
