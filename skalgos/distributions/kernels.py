"""Scores of classes, and sums over the support of the negative binomial."""

import numpy as np

from skalgos._jit import kernel


@kernel
def negative_binomial_sums(mean, size, y, tail, out):
    """Fill out[:, i] with sums over x = 0, 1, ... of row i.

    With p(x) the probabilities, F their cumulative sum, dF its derivatives by log mean
    and log size, and S = 1 - F: sum S(x) / (size + x)^2, the CRPS sum (F - 1{x>=y})^2,
    its two derivatives 2 sum (F - 1{x>=y}) dF, and the metric sums 2 dF_i dF_j for
    11, 12 and 22. The sum ends at y or where S falls below tail, whichever is later.
    """
    for i in range(mean.shape[0]):
        m = mean[i]
        r = size[i]
        odds = m / (r + m)
        p = np.exp(r * np.log1p(-odds)) if odds < 1 else 0.0
        # F is held as S where it is near 1: the sums need its small complement.
        S = 1.0 - p
        digamma_gap = 0.0
        base = np.log1p(-odds) + 1.0
        by_mean = -p * r * odds
        by_size = p * r * (base - r / (r + m))
        F1 = by_mean
        F2 = by_size
        information = 0.0
        score = 0.0
        g1 = 0.0
        g2 = 0.0
        m11 = 0.0
        m12 = 0.0
        m22 = 0.0
        x = 0.0
        while True:
            information += S / ((r + x) * (r + x))
            gap = -S if x >= y[i] else 1.0 - S
            score += gap * gap
            g1 += 2.0 * gap * F1
            g2 += 2.0 * gap * F2
            m11 += 2.0 * F1 * F1
            m12 += 2.0 * F1 * F2
            m22 += 2.0 * F2 * F2
            if x >= y[i] and x > m and min(S, 1e3 * p) < tail:
                break
            p *= (x + r) / (x + 1.0) * odds
            digamma_gap += 1.0 / (r + x)
            x += 1.0
            S = max(S - p, 0.0)
            F1 += p * r * (x - m) / (r + m)
            F2 += p * r * (digamma_gap + base - (x + r) / (r + m))
        out[0, i] = information
        out[1, i] = score
        out[2, i] = g1
        out[3, i] = g2
        out[4, i] = m11
        out[5, i] = m12
        out[6, i] = m22


@kernel
def class_scores(theta, y, out):
    """Write minus the log probabilities of the classes y, with logits theta."""
    for i in range(y.shape[0]):
        chosen = np.int64(y[i])
        top = 0.0
        best = 0
        for k in range(theta.shape[0]):
            if theta[k, i] > top:
                top = theta[k, i]
                best = k + 1
        others = np.exp(-top) if best > 0 else 0.0
        for k in range(theta.shape[0]):
            if k + 1 != best:
                others += np.exp(theta[k, i] - top)
        value = theta[chosen - 1, i] if chosen > 0 else 0.0
        out[i] = np.log1p(others) + (top - value)


@kernel
def class_directions(theta, y, floor, out):
    """Write the natural gradients of the log score, damped below the floor.

    The natural gradient is 1 / p_0 for all logits if the class is 0, else -1 / p_k for
    that of the class k. It is multiplied by the smaller of both p, over the floor.
    """
    for i in range(y.shape[0]):
        chosen = np.int64(y[i])
        top = 0.0
        for k in range(theta.shape[0]):
            top = max(top, theta[k, i])
        total = np.exp(-top)
        for k in range(theta.shape[0]):
            total += np.exp(theta[k, i] - top)
        first = np.exp(-top) / total
        for k in range(theta.shape[0]):
            p = np.exp(theta[k, i] - top) / total
            natural = 0.0
            if chosen == 0:
                natural = 1.0 / first
            elif chosen == k + 1:
                natural = -1.0 / p
            out[k, i] = natural * min(min(p, first) / floor, 1.0)
