"""Matrix completion as the formulas have it, on dense arrays."""

import numpy as np
from scipy import integrate, stats


def nuclear_norm_optimum(X, observed, alpha, n_iter=5000, tol=1e-12):
    """Return the minimiser of the squared error plus alpha times the nuclear norm.

    Accelerated proximal gradient with restarts: each step is a soft-thresholded SVD.
    """
    Z = Y = np.zeros_like(X)
    t, before = 1.0, np.inf
    for _ in range(n_iter):
        U, s, Vt = np.linalg.svd(Y + np.where(observed, X - Y, 0), full_matrices=False)
        new = (U * np.maximum(s - alpha, 0)) @ Vt
        value = objective(X, observed, alpha, new)
        if value > before:
            Y, t = Z, 1.0
            continue
        later = (1 + np.sqrt(1 + 4 * t * t)) / 2
        Y = new + (t - 1) / later * (new - Z)
        if before - value <= tol * value:
            return new
        Z, t, before = new, later, value
    return Z


def objective(X, observed, alpha, Z):
    """Return half the squared error plus alpha times the nuclear norm."""
    errors = np.where(observed, X - Z, 0)
    return 0.5 * np.sum(errors**2) + alpha * np.linalg.svd(Z, compute_uv=False).sum()


def rho(residuals, loss, cut):
    """Return the loss of each residual, and its derivative."""
    if loss == "squared_error":
        return 0.5 * residuals**2, residuals
    size = np.abs(residuals)
    if loss in ("huber", "absolute_error"):
        inside = size <= cut
        value = np.where(inside, 0.5 * size**2, cut * (size - 0.5 * cut))
        return value, np.clip(residuals, -cut, cut)
    share = np.minimum(size / cut, 1)
    value = cut**2 / 6 * (1 - (1 - share**2) ** 3)
    return value, residuals * (1 - share**2) ** 2


def curvature(loss, cut):
    """Return the expected second derivative under standard normal residuals.

    By parts, that is the expectation of the residual times the derivative.
    """

    def integrand(q):
        return q * rho(np.array(q), loss, cut)[1] * stats.norm.pdf(q)

    return 2 * integrate.quad(integrand, 0, 10, points=[min(cut, 9)])[0]


def penalised(X, W, U, V, b, c, alpha, alpha_bias, scaling, loss, cut, curvature=1.0):
    """Return the objective and its gradient for factors and biases.

    W has the weights, zero where X is missing. The loss is divided by its curvature.
    """
    residuals = np.where(W > 0, X - U @ V.T - b[:, None] - c, 0)
    value, slope = (part / curvature for part in rho(residuals, loss, cut))
    s, t = W.sum(axis=1) ** scaling, W.sum(axis=0) ** scaling
    total = np.sum(W * value)
    total += 0.5 * alpha * (s @ (U**2).sum(axis=1) + t @ (V**2).sum(axis=1))
    total += 0.5 * alpha_bias * (s @ b**2 + t @ c**2)
    pull = W * slope
    gradient = (
        alpha * s[:, None] * U - pull @ V,
        alpha * t[:, None] * V - pull.T @ U,
        alpha_bias * s * b - pull.sum(axis=1),
        alpha_bias * t * c - pull.sum(axis=0),
    )
    return total, gradient
