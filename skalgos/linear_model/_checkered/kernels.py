"""The inner loops of checkered regression.

Notation, throughout: factor k of a sample has the logit ``z_k``, or K logits in the
multiclass model. Samples lie along the last axis, so that loops over them vectorise;
``s`` counts models that are evaluated together. Binary factors enter by

    t_k = tanh(z_k / 2),   e_k = sigmoid(-abs(z_k)),   abs(t_k) = 1 - 2 e_k.

With ``r <- r abs(t_k) + e_k``, from 0, ``r`` is the probability of an odd number of
errors of the factors: a sum of positive terms, never more than a half. A label is
wrong if its sign differs from that of the product of all t_k, and then has probability
r, else 1 - r.
"""

import math

import numpy as np

from skalgos._jit import helper, kernel

# Below this, probabilities are computed relative to their largest term.
TINY = 1e-280
BELOW_ONE = 1.0 - 2.0**-53
# Samples that are worked on at once, so that they stay in the nearest cache.
STRIP = 256


# ---- two classes ---------------------------------------------------------------------
@helper
def rescale_row(Z, U, P, G, w, s, i):
    """Redo a wrong label of vanishing probability, and return minus its log scale.

    P and U are then relative to the largest e_k, and U is negative to say so. All t_k
    are 1 or -1 here.
    """
    m = Z.shape[1]
    a = np.inf
    for k in range(m):
        a = min(a, abs(Z[s, k, i]))
    rho = 0.0
    small = math.exp(-a)
    for k in range(m):
        z = abs(Z[s, k, i])
        f = math.exp(a - z) / (1.0 + math.exp(-z))
        rho += f * (1.0 - 2.0 * small * rho)
        U[s, k, i] = -f
    P[s, i] = rho
    for k in range(m):
        g = w[i] * -U[s, k, i] / rho
        G[s, k, i] = g if Z[s, k, i] >= 0.0 else -g
    return a


@helper
def parity_strip(Z, U, y, w, P, L, suffix, G, s, start, stop):
    """Do what ``parity`` does for model s and a range of samples that stay in cache."""
    m, n = Z.shape[1], stop - start
    p, r = P[s, start:stop], L[s, start:stop]
    weight, label, after = w[start:stop], y[start:stop], suffix[start:stop]
    for i in range(n):
        p[i] = label[i]
        r[i] = 0.0
    for k in range(m):
        u, z, g = U[s, k, start:stop], Z[s, k, start:stop], G[s, k, start:stop]
        for i in range(n):
            q = 1.0 / (1.0 + u[i])
            e = u[i] * q
            t = (1.0 - u[i]) * q
            u[i] = e
            g[i] = p[i]
            r[i] = r[i] * t + e
            p[i] *= t if z[i] >= 0.0 else -t
    deep = 0
    for i in range(n):
        # log1p(-r) is r log(1 - r) / ((1 - r) - 1), to the last digits, also if the
        # difference is rounded to anything but 1.
        right = min(1.0 - r[i], BELOW_ONE)
        scale = r[i] / (1.0 - right)
        wrong = p[i] < 0.0
        p[i] = r[i] if wrong else right
        r[i] = weight[i] * (1.0 if wrong else scale)
        after[i] = -weight[i] / p[i]
        deep += p[i] < TINY
    for k in range(m - 1, -1, -1):
        e, z, g = U[s, k, start:stop], Z[s, k, start:stop], G[s, k, start:stop]
        for i in range(n):
            g[i] *= after[i] * e[i] * (1.0 - e[i])
            t = 1.0 - 2.0 * e[i]
            after[i] *= t if z[i] >= 0.0 else -t
    total = 0.0
    if deep > 0:
        for i in range(start, stop):
            if P[s, i] < TINY:
                total += w[i] * rescale_row(Z, U, P, G, w, s, i)
    return total


@kernel
def parity(Z, U, y, w, P, L, suffix, extra, G):
    """Evaluate the loss and its gradient with respect to the logits.

    With P the probability of the label, the gradient is ``g_k = -y t'_k T_k / P``,
    where T_k is the product of the t_j of all other factors and ``t'_k`` is
    ``e_k (1 - e_k)``. Loss s is ``extra[s] - sum_i L[s, i] log(P[s, i])``.

    Parameters
    ----------
    Z, U : (s, m, n)
        The logits and ``exp(-abs(Z))``; U returns as e.
    y, w : (n,)
        Labels -1 and 1, and weights.
    P, L : (s, n)
    suffix : (n,)
    extra : (s,)
    G : (s, m, n)
        On return ``w g``.
    """
    n_models, m, n = Z.shape
    for s in range(n_models):
        extra[s] = 0.0
        for start in range(0, n, STRIP):
            stop = min(start + STRIP, n)
            extra[s] += parity_strip(Z, U, y, w, P, L, suffix, G, s, start, stop)


@kernel
def parity_hessian(Z, E, y, w, P, suffix, before, between, H):
    """Fill H with the second derivatives with respect to the logits, times w.

    With the products T_jk of the t of all factors but j and k,

        H_jk = -y t'_j t'_k T_jk / P^2,    H_kk = y t'_k T / P + g_k^2.

    Parameters
    ----------
    Z, E : (m, n)
        The logits and e, after ``parity``; on return t and ``t' / P``.
    y, w, P : (n,)
    suffix : (m + 1, n)
    before, between : (n,)
    H : (m (m + 1) / 2, n)
        Pairs in the order of ``np.triu_indices(m)``.
    """
    m, n = Z.shape
    for i in range(n):
        suffix[m, i] = 1.0
        before[i] = y[i]
    for k in range(m - 1, -1, -1):
        e, z, behind, ahead = E[k], Z[k], suffix[k], suffix[k + 1]
        for i in range(n):
            t = 1.0 - 2.0 * max(e[i], 0.0)
            e[i] = abs(e[i]) / P[i] * (0.5 + 0.5 * t)
            z[i] = t if z[i] >= 0.0 else -t
            behind[i] = ahead[i] * z[i]
    row = 0
    for j in range(m):
        d_j, t_j, ahead, h = E[j], Z[j], suffix[j + 1], H[row]
        for i in range(n):
            g = d_j[i] * before[i] * ahead[i]
            h[i] = w[i] * (g * t_j[i] + g * g)
            between[i] = -w[i] * d_j[i] * before[i]
            before[i] *= t_j[i]
        for k in range(j + 1, m):
            d_k, t_k, ahead, h = E[k], Z[k], suffix[k + 1], H[row + k - j]
            for i in range(n):
                h[i] = between[i] * d_k[i] * ahead[i]
                between[i] *= t_k[i]
        row += m - j


# ---- many classes --------------------------------------------------------------------
@helper
def rescale_circular(Z, y, w, F, B, G, s, i, j):
    """Redo a label of vanishing probability by logarithms, and return its own.

    G returns as ``w (softmax - posterior)``, given that it holds ``w softmax``. F and B
    are used as scratch, at place j.
    """
    m, K = Z.shape[1], Z.shape[2]
    # Z becomes log softmax.
    for k in range(m):
        top = -np.inf
        for c in range(K):
            top = max(top, Z[s, k, c, i])
        total = 0.0
        for c in range(K):
            total += math.exp(Z[s, k, c, i] - top)
        top += math.log(total)
        for c in range(K):
            Z[s, k, c, i] -= top
    for c in range(K):
        F[0, c, j] = Z[s, 0, c, i]
    for k in range(1, m):
        for c in range(K):
            top = -np.inf
            for a in range(K):
                top = max(top, F[k - 1, a, j] + Z[s, k, (c - a) % K, i])
            total = 0.0
            if top > -np.inf:
                for a in range(K):
                    total += math.exp(F[k - 1, a, j] + Z[s, k, (c - a) % K, i] - top)
            F[k, c, j] = top + math.log(total) if top > -np.inf else -np.inf
    log_p = F[m - 1, y, j]
    for c in range(K):
        B[0, c, j] = 0.0 if c == y else -np.inf
    for k in range(m - 1, -1, -1):
        for c in range(K):
            # The posterior of value c of factor k.
            posterior = 0.0
            for a in range(K):
                if k > 0:
                    before = F[k - 1, a, j]
                else:
                    before = 0.0 if a == 0 else -np.inf
                power = before + B[0, (a + c) % K, j] + Z[s, k, c, i] - log_p
                posterior += math.exp(power)
            G[s, k, c, i] -= w[i] * posterior
        for a in range(K):
            top = -np.inf
            for c in range(K):
                top = max(top, B[0, (a + c) % K, j] + Z[s, k, c, i])
            total = 0.0
            if top > -np.inf:
                for c in range(K):
                    total += math.exp(B[0, (a + c) % K, j] + Z[s, k, c, i] - top)
            B[1, a, j] = top + math.log(total) if top > -np.inf else -np.inf
        for a in range(K):
            B[0, a, j] = B[1, a, j]
    return log_p


@helper
def add_products(a, b, out):
    """Add the products of two rows to a third."""
    for i in range(out.shape[0]):
        out[i] += a[i] * b[i]


@helper
def circular_strip(Z, S, y, w, P, F, B, G, s, start, stop):
    """Do what ``circular`` does for model s and samples of residue y, in the cache."""
    m, K, n = Z.shape[1], Z.shape[2], stop - start
    p, weight = P[s, start:stop], w[start:stop]
    scratch = B[0, 0, :n]
    for k in range(m):
        scratch[:] = 0.0
        for c in range(K):
            v = S[s, k, c, start:stop]
            for i in range(n):
                scratch[i] += v[i]
        for i in range(n):
            scratch[i] = 1.0 / scratch[i]
        for c in range(K):
            v = S[s, k, c, start:stop]
            for i in range(n):
                v[i] *= scratch[i]
    # Laws of the sums; the last factor's is only needed at the label.
    for k in range(m - 1):
        for c in range(K):
            f = F[k, c, :n]
            if k == 0:
                v = S[s, 0, c, start:stop]
                for i in range(n):
                    f[i] = v[i]
            else:
                f[:] = 0.0
                for a in range(K):
                    rest = c - a if c >= a else c - a + K
                    add_products(F[k - 1, a, :n], S[s, k, rest, start:stop], f)
    p[:] = 0.0
    last = m - 1
    for c in range(K):
        rest = y - c if y >= c else y - c + K
        v, g = S[s, last, c, start:stop], G[s, last, c, start:stop]
        if m > 1:
            f, b = F[m - 2, rest], B[last % 2, rest]
            for i in range(n):
                b[i] = v[i]
                g[i] = v[i] * f[i]
        else:
            for i in range(n):
                g[i] = v[i] if c == y else 0.0
        for i in range(n):
            p[i] += g[i]
    for k in range(m - 2, -1, -1):
        # B_(k+1) is in B[(k + 1) % 2].
        for c in range(K):
            v, g = S[s, k, c, start:stop], G[s, k, c, start:stop]
            if k == 0:
                b = B[1, c]
                for i in range(n):
                    g[i] = v[i] * b[i]
            else:
                g[:] = 0.0
                for a in range(K):
                    b = B[(k + 1) % 2, a + c if a + c < K else a + c - K, :n]
                    add_products(F[k - 1, a, :n], b, g)
                for i in range(n):
                    g[i] *= v[i]
        if k > 0:
            for a in range(K):
                h = B[k % 2, a, :n]
                h[:] = 0.0
                for c in range(K):
                    b = B[(k + 1) % 2, a + c if a + c < K else a + c - K, :n]
                    add_products(S[s, k, c, start:stop], b, h)
    deep = 0
    for i in range(n):
        deep += p[i] < TINY
        scratch[i] = 1.0 / p[i]
    for k in range(m):
        for c in range(K):
            v, g = S[s, k, c, start:stop], G[s, k, c, start:stop]
            for i in range(n):
                g[i] = weight[i] * (v[i] - g[i] * scratch[i])
    total = 0.0
    if deep > 0:
        for i in range(start, stop):
            if P[s, i] < TINY:
                for k in range(m):
                    for c in range(K):
                        G[s, k, c, i] = w[i] * S[s, k, c, i]
                j = i - start
                total -= w[i] * rescale_circular(Z, y, w, F, B, G, s, i, j)
                P[s, i] = 1.0
    return total


@kernel
def circular(Z, S, codes, residues, w, P, F, B, extra, G):
    """Evaluate the multiclass loss and its gradient with respect to the logits.

    The label is the sum modulo K of one categorical value for each factor, so its
    probabilities are the circular convolution of the softmaxes. Forward, F_k is the law
    of the sum of the first k factors; backward, ``B_k[a]`` is the probability that the
    factors after k lead from a to the label. The posterior of factor k is

        q_k[c] = softmax_k[c] sum_a F_(k-1)[a] B_k[a + c] / P,

    and the gradient softmax minus posterior. All terms are positive. Loss s is
    ``extra[s] - sum_i w[i] log(P[s, i])``.

    Parameters
    ----------
    Z, S : (s, m, K, n)
        The logits, changed where a probability vanishes, and their exponentials over a
        common factor, which return as softmaxes.
    codes : (n,)
        The class of each sample, in runs that are as long as possible.
    residues : (s, K)
        Model s takes class c as residue ``residues[s, c]``.
    w : (n,)
    P : (s, n)
    F : (m, K, STRIP)
    B : (2, K, STRIP)
    extra : (s,)
    G : (s, m, K, n)
        On return ``w (softmax - posterior)``.
    """
    n_models, n = Z.shape[0], Z.shape[3]
    for s in range(n_models):
        extra[s] = 0.0
    start = np.int64(0)  # a literal 0 would be a type, and a compilation, of its own
    while start < n:
        stop = start + 1
        while stop < n and stop < start + STRIP and codes[stop] == codes[start]:
            stop += 1
        for s in range(n_models):
            y = residues[s, codes[start]]
            extra[s] += circular_strip(Z, S, y, w, P, F, B, G, s, start, stop)
        start = stop


@helper
def convolve(a, b, out):
    """Fill out with the circular convolution of a and b."""
    K = a.shape[0]
    for c in range(K):
        total = 0.0
        for j in range(c + 1):
            total += a[j] * b[c - j]
        for j in range(c + 1, K):
            total += a[j] * b[c - j + K]
        out[c] = total


@kernel
def circular_hessian(S, G, codes, residues, w, suffix, before, between, rest, H):
    """Fill H with the second derivatives with respect to the logits, times w.

    They are the prior minus the posterior covariance of the one-hot values of all
    factors. Where the probability of the label vanishes, one configuration has all of
    the posterior, and that covariance between factors is zero.

    Parameters
    ----------
    S, G : (m, K, n)
        The softmaxes, and the weighted gradient of ``circular``.
    codes, w : (n,)
    residues : (K,)
    suffix : (m + 1, K)
    before, between : (2, K)
    rest : (K,)
    H : (m K (m K + 1) / 2, n)
        Pairs in the order of ``np.triu_indices(m K)``.
    """
    m, K, n = S.shape
    R = m * K
    for i in range(n):
        y = residues[codes[i]]
        for c in range(K):
            suffix[m, c] = 1.0 if c == 0 else 0.0
        for k in range(m - 1, -1, -1):
            convolve(suffix[k + 1], S[k, :, i], suffix[k])
        p = suffix[0, y]
        for c in range(K):
            before[0, c] = 1.0 if c == 0 else 0.0
        for j in range(m):
            for a in range(K):
                first = j * K + a
                row = first * R - first * (first - 1) // 2
                s_a = S[j, a, i]
                q_a = s_a - G[j, a, i] / w[i]
                for b in range(a, K):
                    s_b = S[j, b, i]
                    q_b = s_b - G[j, b, i] / w[i]
                    cross = q_a * q_b - s_a * s_b
                    H[row, i] = w[i] * (cross + (s_a - q_a if a == b else 0.0))
                    row += 1
            for c in range(K):
                between[0, c] = before[0, c]
            for k in range(j + 1, m):
                convolve(between[0], suffix[k + 1], rest)
                inverse = 1.0 / p if p >= TINY else 0.0
                for a in range(K):
                    first = j * K + a
                    row = first * R - first * (first - 1) // 2 + k * K - first
                    s_a = S[j, a, i]
                    q_a = s_a - G[j, a, i] / w[i]
                    for b in range(K):
                        cov = 0.0
                        if p >= TINY:
                            left = y - a - b
                            while left < 0:
                                left += K
                            joint = s_a * S[k, b, i] * rest[left] * inverse
                            cov = joint - q_a * (S[k, b, i] - G[k, b, i] / w[i])
                        H[row + b, i] = -w[i] * cov
                convolve(between[0], S[k, :, i], between[1])
                for c in range(K):
                    between[0, c] = between[1, c]
            convolve(before[0], S[j, :, i], before[1])
            for c in range(K):
                before[0, c] = before[1, c]


# ---- second moments ------------------------------------------------------------------
@kernel(reassociate=True)
def grams(columns, first, H, scratch, out):
    """Fill out[p] with the sums of ``H[p, i] x_i x_i'``.

    Parameters
    ----------
    columns : (width, n)
    first : int
        The sample that the first weights belong to.
    H : (p, k)
    scratch : (STRIP,)
    out : (p, width, width)
    """
    n_pairs, n = H.shape
    width = columns.shape[0]
    out[:] = 0.0
    for start in range(0, n, STRIP):
        size = min(STRIP, n - start)
        low, high = first + start, first + start + size
        for p in range(n_pairs):
            h = H[p, start : start + size]
            for j in range(width):
                x, row = columns[j, low:high], out[p, j]
                for i in range(size):
                    scratch[i] = h[i] * x[i]
                k = 0
                while k + 4 <= j + 1:
                    a, b = columns[k, low:high], columns[k + 1, low:high]
                    c, d = columns[k + 2, low:high], columns[k + 3, low:high]
                    sum_a = sum_b = sum_c = sum_d = 0.0
                    for i in range(size):
                        sum_a += scratch[i] * a[i]
                        sum_b += scratch[i] * b[i]
                        sum_c += scratch[i] * c[i]
                        sum_d += scratch[i] * d[i]
                    row[k] += sum_a
                    row[k + 1] += sum_b
                    row[k + 2] += sum_c
                    row[k + 3] += sum_d
                    k += 4
                while k <= j:
                    a = columns[k, low:high]
                    sum_a = 0.0
                    for i in range(size):
                        sum_a += scratch[i] * a[i]
                    row[k] += sum_a
                    k += 1
    for p in range(n_pairs):
        for j in range(width):
            for k in range(j):
                out[p, k, j] = out[p, j, k]


# ---- descent -------------------------------------------------------------------------
@helper
def dot(a, b):
    """Return the inner product, in four chains so that the additions overlap."""
    n = a.shape[0]
    p = q = r = t = 0.0
    i = 0
    while i + 4 <= n:
        p += a[i] * b[i]
        q += a[i + 1] * b[i + 1]
        r += a[i + 2] * b[i + 2]
        t += a[i + 3] * b[i + 3]
        i += 4
    while i < n:
        p += a[i] * b[i]
        i += 1
    return (p + q) + (r + t)


@helper
def two_loop(g, steps, changes, inverse, count, scratch, d):
    """Fill d with the L-BFGS direction: minus an inverse Hessian times g."""
    h, p = steps.shape
    for i in range(p):
        d[i] = -g[i]
    used = min(count, h)
    for back in range(used):
        j = (count - 1 - back) % h
        a = dot(steps[j], d) * inverse[j]
        scratch[j] = a
        for i in range(p):
            d[i] -= a * changes[j, i]
    if used > 0:
        j = (count - 1) % h
        scale = 1.0 / (inverse[j] * dot(changes[j], changes[j]))
        for i in range(p):
            d[i] *= scale
    for back in range(used - 1, -1, -1):
        j = (count - 1 - back) % h
        b = scratch[j] - dot(changes[j], d) * inverse[j]
        for i in range(p):
            d[i] += b * steps[j, i]


@kernel
def advance(
    theta,
    f,
    g,
    trial,
    new_f,
    new_g,
    d,
    lengths,
    steps,
    changes,
    inverse,
    count,
    scratch,
):
    """Accept or reject the trial point of each model, and set the next one.

    A point is accepted if the value falls by enough; near the minimum, where values are
    equal up to rounding, if the slope shrinks. Else the step goes to the minimum of the
    parabola through what is known.

    Parameters
    ----------
    theta, g, trial, new_g, d : (s, p)
        Current points, their gradients, trial points, their gradients, directions.
    f, new_f : (s,)
        Values.
    lengths : (s,)
        Of the steps, as shares of the directions; 0 for models that are done with, and
        on return negative where the trial was rejected.
    steps, changes : (s, h, p)
        The last h steps and the changes of the gradient over them, in rings.
    inverse : (s, h)
        One over their products.
    count : (s,)
        How many there have been.
    scratch : (h,)
    """
    n_models, h, p = steps.shape
    for s in range(n_models):
        length = abs(lengths[s])
        if length == 0.0:
            continue
        slope = dot(g[s], d[s])
        good = new_f[s] <= f[s] + 1e-4 * length * slope
        if abs(new_f[s] - f[s]) <= 1e-14 * abs(f[s]):
            good = good or abs(dot(new_g[s], d[s])) <= 0.9 * abs(slope)
        if good:
            j = count[s] % h
            for i in range(p):
                steps[s, j, i] = trial[s, i] - theta[s, i]
                changes[s, j, i] = new_g[s, i] - g[s, i]
                theta[s, i] = trial[s, i]
                g[s, i] = new_g[s, i]
            f[s] = new_f[s]
            product = dot(steps[s, j], changes[s, j])
            square = dot(steps[s, j], steps[s, j]) * dot(changes[s, j], changes[s, j])
            if product > 1e-12 * math.sqrt(square):
                inverse[s, j] = 1.0 / product
                count[s] += 1
            two_loop(g[s], steps[s], changes[s], inverse[s], count[s], scratch, d[s])
            length = lengths[s] = 1.0
        else:
            excess = new_f[s] - f[s] - length * slope
            ratio = 0.1
            if excess > 0.0:
                ratio = min(max(-0.5 * length * slope / excess, 0.1), 0.5)
            length *= ratio
            lengths[s] = -length
        for i in range(p):
            trial[s, i] = theta[s, i] + length * d[s, i]


# ---- neighbourhoods ------------------------------------------------------------------
@helper
def select(values, rank):
    """Return the value of this rank, from 0; the order of values is lost."""
    low, high = 0, values.shape[0] - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            return values[rank]
    return values[rank]


@kernel
def local_fits(points, y, d, centers, sizes, ridge, distances, sorted_, A, V):
    """Fill V with ridge regressions of the labels in neighbourhoods.

    Parameters
    ----------
    points : (n, width)
        The first d columns are features.
    y : (n,)
    centers, sizes : (c,)
        The middle of each neighbourhood, and how many samples it has, with ties.
    ridge : float
        The penalty for each sample.
    distances, sorted_ : (n,)
    A : (width, width)
    V : (c, width)
    """
    n, width = points.shape
    for c in range(centers.shape[0]):
        middle = points[centers[c]]
        for i in range(n):
            total = 0.0
            for j in range(d):
                difference = points[i, j] - middle[j]
                total += difference * difference
            distances[i] = sorted_[i] = total
        reach = select(sorted_, sizes[c] - 1)
        v = V[c]
        for j in range(width):
            v[j] = 0.0
            for k in range(width):
                A[j, k] = 0.0
            A[j, j] = ridge * sizes[c]
        for i in range(n):
            if distances[i] <= reach:
                x = points[i]
                for j in range(width):
                    v[j] += x[j] * y[i]
                    a, x_j = A[j], x[j]
                    for k in range(j + 1):
                        a[k] += x_j * x[k]
        # Cholesky's factor takes the place of A, and the solution that of v.
        for j in range(width):
            for k in range(j + 1):
                total = A[j, k]
                for q in range(k):
                    total -= A[j, q] * A[k, q]
                A[j, k] = math.sqrt(total) if j == k else total / A[k, k]
        for j in range(width):
            total = v[j]
            for k in range(j):
                total -= A[j, k] * v[k]
            v[j] = total / A[j, j]
        for j in range(width - 1, -1, -1):
            total = v[j]
            for k in range(j + 1, width):
                total -= A[k, j] * v[k]
            v[j] = total / A[j, j]


# ---- parity matching -----------------------------------------------------------------
@helper
def count_ones(x):
    """Return the number of set bits of a 64-bit word."""
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + (
        (x >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@helper
def agreement(a, b, n):
    """Return abs(n - 2 errors) for the bits of a against those of b."""
    errors = 0
    for i in range(a.shape[0]):
        errors += count_ones(a[i] ^ b[i])
    return abs(n - 2 * errors)


@helper
def leave_out(signs, target, pick, first, second, out):
    """Fill out with the target times the signs of all picks but two positions."""
    for i in range(target.shape[0]):
        out[i] = target[i]
    for k in range(pick.shape[0]):
        if k != first and k != second:
            other = signs[pick[k]]
            for i in range(out.shape[0]):
                out[i] ^= other[i]


@kernel
def match(signs, target, n, drops, picks, trial, row, partial, scores):
    """Improve sets of candidates until the product of their signs matches the target.

    Two positions of a set are replaced by the best pair, then single ones by the best
    candidate as long as that helps. This is repeated for other pairs of positions, and
    a result kept if it is better. A set with the wrong sign counts as much as its
    opposite.

    Parameters
    ----------
    signs : (c, words), uint64
        A bit for each sample, for each candidate.
    target : (words,), uint64
    n : int
        The number of samples.
    drops : (sets, rounds, 2)
        The positions to replace in each round.
    picks : (sets, m)
        Candidates to start from; on return the best found.
    trial : (m,)
    row, partial : (words,), uint64
    scores : (sets,)
        On return ``abs(n - 2 errors)``.
    """
    n_candidates = signs.shape[0]
    n_sets, m = picks.shape
    for s in range(n_sets):
        scores[s] = -1
        for turn in range(drops.shape[1]):
            for k in range(m):
                trial[k] = picks[s, k]
            first, second = drops[s, turn, 0], drops[s, turn, 1]
            leave_out(signs, target, trial, first, second, partial)
            best = np.int64(-1)
            if first == second:
                for c in range(n_candidates):
                    score = agreement(signs[c], partial, n)
                    if score > best:
                        best = score
                        trial[first] = c
            else:
                for c in range(n_candidates):
                    for i in range(row.shape[0]):
                        row[i] = partial[i] ^ signs[c, i]
                    for d in range(c + 1):
                        score = agreement(signs[d], row, n)
                        if score > best:
                            best = score
                            trial[first] = c
                            trial[second] = d
            improved = m > 2
            while improved:
                improved = False
                for k in range(m):
                    leave_out(signs, target, trial, k, k, partial)
                    for c in range(n_candidates):
                        score = agreement(signs[c], partial, n)
                        if score > best:
                            best = score
                            trial[k] = c
                            improved = True
            if best > scores[s]:
                scores[s] = best
                for k in range(m):
                    picks[s, k] = trial[k]
