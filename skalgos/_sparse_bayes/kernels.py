"""The inner loop of sequential sparse Bayesian learning.

Notation: the active columns have prior precisions ``alpha``, the posterior of their
coefficients has mean ``mu``, of shape (k, L), and covariance ``sigma``. Without column
j the other ones leave

    s = 1 / sigma_jj - alpha_j,    q = mu_j / sigma_jj,

and as a function of alpha_j alone the evidence is largest at ``s^2 / (q^2 - s)``, with
q^2 the mean of ``|q|^2`` over the outputs, or at infinity if ``q^2 <= s``.
"""

import numpy as np

from skalgos._jit import kernel


@kernel(reassociate=True)
def sweep(sigma, mu, alpha, threshold, negligible, column, deleted):
    """Set each precision to its optimum given the others; return the largest change.

    A column with ``q^2 <= threshold s`` is marked in ``deleted`` and its row and column
    of sigma become zero. The posterior follows each change by a rank-one update.
    The change is measured in ``ln alpha``; below ``negligible`` nothing is updated.
    """
    k, n_outputs = mu.shape
    largest = 0.0
    for j in range(k):
        if deleted[j]:
            continue
        variance = sigma[j, j].real
        square = 0.0
        for i in range(n_outputs):
            square += mu[j, i].real * mu[j, i].real + mu[j, i].imag * mu[j, i].imag
        square /= n_outputs * variance * variance
        s = 1.0 / variance - alpha[j]
        if not (s > 1e-13 * alpha[j] and square > threshold * s):
            deleted[j] = True
            factor = 1.0 / variance
            largest = np.inf
        else:
            wanted = s * s / (square - s)
            change = np.abs(np.log(wanted / alpha[j]))
            largest = max(largest, change)
            if change < negligible:
                continue
            step = wanted - alpha[j]
            factor = step / (1.0 + step * variance)
            alpha[j] = wanted
        for a in range(k):
            column[a] = sigma[a, j]
        for i in range(n_outputs):
            scaled = factor * mu[j, i]
            for a in range(k):
                mu[a, i] -= scaled * column[a]
        for a in range(k):
            scaled = factor * column[a]
            for b in range(k):
                sigma[a, b] -= scaled * np.conj(column[b])
    return largest
