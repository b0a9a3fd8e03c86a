"""Sparse Bayesian learning as the formulas say, with matrices of full size."""

import numpy as np


def posterior(A, Y, gamma, noise):
    """Return mean, covariance and log evidence for given variances."""
    Y = Y.reshape(len(Y), -1)
    n, L = Y.shape
    C = noise * np.eye(n) + (A * gamma) @ A.conj().T
    inverse = np.linalg.inv(C)
    mean = gamma[:, None] * (A.conj().T @ inverse @ Y)
    covariance = np.diag(gamma) - (gamma[:, None] * A.conj().T) @ inverse @ (A * gamma)
    log_det = np.linalg.slogdet(C)[1]
    fit = np.trace(Y.conj().T @ inverse @ Y).real
    if np.result_type(A, Y).kind == "c":
        evidence = -L * log_det - fit - n * L * np.log(np.pi)
    else:
        evidence = -0.5 * (L * log_det + fit + n * L * np.log(2 * np.pi))
    return mean, covariance, evidence


def em(A, Y, noise, n_iter, gamma, learn_noise):
    """Return variances, noise and the evidence before each iteration."""
    Y = Y.reshape(len(Y), -1)
    evidences = []
    for _ in range(n_iter):
        mean, covariance, evidence = posterior(A, Y, gamma, noise)
        evidences.append(evidence)
        variance = covariance.diagonal().real
        effective = np.sum(1 - variance / gamma)
        residual = np.mean(np.sum(np.abs(Y - A @ mean) ** 2, axis=0))
        gamma = np.mean(np.abs(mean) ** 2, axis=1) + variance
        if learn_noise:
            noise = (residual + noise * effective) / len(Y)
    return gamma, noise, np.array(evidences)


def best_single_precision(A, y, alpha, noise, j):
    """Return the precision of column j with the largest evidence, others fixed."""
    others = np.delete(np.arange(A.shape[1]), j)
    C = noise * np.eye(len(y)) + (A[:, others] / alpha[others]) @ A[:, others].T
    s = A[:, j] @ np.linalg.solve(C, A[:, j])
    q = A[:, j] @ np.linalg.solve(C, y)
    return s**2 / (q**2 - s) if q**2 > s else np.inf


def rank_one_am(tensor, sweeps=5000):
    """Return factors that minimise sum(log u + tensor / u) over outer products u."""
    factors = [np.ones(n) for n in tensor.shape]
    for _ in range(sweeps):
        for i in range(tensor.ndim):
            weights = np.ones(())
            for j, g in enumerate(factors):
                weights = np.multiply.outer(
                    weights, np.ones(len(g)) if j == i else 1 / g
                )
            axes = tuple(j for j in range(tensor.ndim) if j != i)
            factors[i] = (tensor * weights).sum(axis=axes) / np.prod(
                [tensor.shape[j] for j in axes]
            )
    return factors
