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

from skalgos._jit import kernel

# Below this, probabilities have to be computed relative to their largest term.
TINY = 1e-280
BELOW_ONE = 1.0 - 2.0**-53
# Samples that are worked on at once, so that they stay in the nearest cache.
STRIP = 256


# ---- two classes ---------------------------------------------------------------------
@kernel
def parity(Z, U, y, w, P, L, suffix, deep, G):
    """Evaluate the loss and its gradient with respect to the logits.

    With P the probability of the label, the gradient is ``g_k = -y t'_k T_k / P``,
    where T_k is the product of the t_j of all other factors and ``t'_k`` is
    ``e_k (1 - e_k)``. Loss s is ``-sum_i L[s, i] log(P[s, i])``.

    Parameters
    ----------
    Z, U : (s, m, n)
        The logits and ``exp(-abs(Z))``; U returns as e.
    y, w : (n,)
        Labels -1 and 1, and weights.
    P, L : (s, n)
    suffix : (STRIP,)
    deep : (s,)
        On return how many probabilities are so small that they and their gradients have
        lost their digits.
    G : (s, m, n)
        On return ``w g``.
    """
    n_models, m, n = Z.shape
    for s in range(n_models):
        count = 0
        for start in range(0, n, STRIP):
            size = min(STRIP, n - start)
            stop = start + size
            p, r = P[s, start:stop], L[s, start:stop]
            weight, label = w[start:stop], y[start:stop]
            for i in range(size):
                p[i] = label[i]
                r[i] = 0.0
            for k in range(m):
                u, z, g = U[s, k, start:stop], Z[s, k, start:stop], G[s, k, start:stop]
                for i in range(size):
                    q = 1.0 / (1.0 + u[i])
                    e = u[i] * q
                    t = (1.0 - u[i]) * q
                    u[i] = e
                    g[i] = p[i]
                    r[i] = r[i] * t + e
                    p[i] *= t if z[i] >= 0.0 else -t
            for i in range(size):
                # log1p(-r) is r log(1 - r) / ((1 - r) - 1), to the last digits, also
                # if the difference is rounded to anything but 1.
                right = min(1.0 - r[i], BELOW_ONE)
                scale = r[i] / (1.0 - right)
                wrong = p[i] < 0.0
                p[i] = r[i] if wrong else right
                r[i] = weight[i] * (1.0 if wrong else scale)
                suffix[i] = -weight[i] / p[i]
                count += p[i] < TINY
            deep[s] = count
            for k in range(m - 1, -1, -1):
                e, z, g = U[s, k, start:stop], Z[s, k, start:stop], G[s, k, start:stop]
                for i in range(size):
                    g[i] *= suffix[i] * e[i] * (1.0 - e[i])
                    t = 1.0 - 2.0 * e[i]
                    suffix[i] *= t if z[i] >= 0.0 else -t


@kernel
def parity_hessian(Z, E, G, y, w, P, H):
    """Fill H with the second derivatives with respect to the logits, times w.

    With the products T_jk of the t of all factors but j and k,

        H_jk = -y t'_j t'_k T_jk / P^2,    H_kk = g_k (g_k - t_k).

    Parameters
    ----------
    Z, E : (m, n)
        The logits and e, after ``parity``, and negative where e is relative to the
        largest; on return t and ``t' / P``.
    G : (m, n)
        ``w g``.
    y, w, P : (n,)
    H : (m (m + 1) / 2, n)
        Pairs in the order of ``np.triu_indices(m)``.
    """
    m, n = Z.shape
    for k in range(m):
        e, z = E[k], Z[k]
        for i in range(n):
            inner = e[i] if e[i] > 0.0 else 0.0
            t = 1.0 - 2.0 * inner
            e[i] = abs(e[i]) * (1.0 - inner) / P[i]
            z[i] = t if z[i] >= 0.0 else -t
    row = 0
    for j in range(m):
        for k in range(j, m):
            h, t, g, d, f = H[row], Z[k], G[k], E[k], E[j]
            row += 1
            for i in range(n):
                if j == k:
                    h[i] = g[i] * (g[i] / w[i] - t[i])
                else:
                    h[i] = -w[i] * y[i] * f[i] * d[i]
            for other in range(m):
                if j != k and other != j and other != k:
                    t = Z[other]
                    for i in range(n):
                        h[i] *= t[i]


# ---- many classes --------------------------------------------------------------------
@kernel
def circular(S, codes, residues, w, P, F, B, ends, deep, G):
    """Evaluate the multiclass loss and its gradient with respect to the logits.

    The label is the sum modulo K of one categorical value for each factor, so its
    probabilities are the circular convolution of the softmaxes. Forward, F_k is the law
    of the sum of the first k factors; backward, ``B_k[a]`` is the probability that the
    factors from k on lead from a to the label. The posterior of factor k is

        q_k[c] = softmax_k[c] sum_a F_k[a] B_(k+1)[a + c] / P,

    and the gradient softmax minus posterior. All terms are positive. Loss s is
    ``-sum_i w[i] log(P[s, i])``.

    Parameters
    ----------
    S : (s, m, K, n)
        The exponentials of the logits over a common factor, which return as softmaxes.
    codes : (n,)
        The class of each sample, in runs that are as long as possible.
    residues : (s, K)
        Model s takes class c as residue ``residues[s, c]``.
    w : (n,)
    P : (s, n)
    F : (m, K, STRIP)
        F_1 is the first softmax and is not stored, nor is B_(m-1), which is the last.
    B : (2, K, STRIP)
    ends : (2, STRIP)
        Zeros and ones.
    deep : (s,)
        On return how many probabilities are so small that they and their gradients have
        lost their digits.
    G : (s, m, K, n)
        On return ``w (softmax - posterior)``.
    """
    n_models, m, K, n = S.shape
    for s in range(n_models):
        deep[s] = 0
    start = np.int64(0)  # a literal 0 would be a type, and a compilation, of its own
    while start < n:
        stop = start + 1
        while stop < n and stop < start + STRIP and codes[stop] == codes[start]:
            stop += 1
        size = stop - start
        weight = w[start:stop]
        for s in range(n_models):
            y = residues[s, codes[start]]
            p = P[s, start:stop]
            for k in range(m):
                p[:] = 0.0
                for c in range(K):
                    v = S[s, k, c, start:stop]
                    for i in range(size):
                        p[i] += v[i]
                for i in range(size):
                    p[i] = 1.0 / p[i]
                for c in range(K):
                    v = S[s, k, c, start:stop]
                    for i in range(size):
                        v[i] *= p[i]
            for k in range(2, m):
                for c in range(K):
                    f = F[k, c, :size]
                    f[:] = 0.0
                    for a in range(K):
                        b = S[s, k - 1, c - a if c >= a else c - a + K, start:stop]
                        e = S[s, 0, a, start:stop] if k == 2 else F[k - 1, a, :size]
                        for i in range(size):
                            f[i] += e[i] * b[i]
            p[:] = 0.0
            for k in range(m - 1, -1, -1):
                inner = 0 < k < m - 1
                for c in range(K):
                    v, g = S[s, k, c, start:stop], G[s, k, c, start:stop]
                    back = B[k % 2, c, :size]
                    rest = y - c if y >= c else y - c + K
                    if not inner:
                        if m == 1:
                            e = ends[1 if c == y else 0, :size]
                        elif m == 2:
                            e = S[s, 1 - k, rest, start:stop]
                        elif k == 0:
                            e = B[1, c, :size]
                        else:
                            e = F[k, rest, :size]
                        for i in range(size):
                            g[i] = v[i] * e[i]
                            p[i] += g[i] if k == 0 else 0.0
                        continue
                    g[:] = 0.0
                    back[:] = 0.0
                    for a in range(K):
                        # Value a of the factors before k, then of k itself.
                        total = a + c if a + c < K else a + c - K
                        e = S[s, 0, a, start:stop] if k == 1 else F[k, a, :size]
                        u = S[s, k, a, start:stop]
                        if k == m - 2:
                            rest = y - total if y >= total else y - total + K
                            b = S[s, m - 1, rest, start:stop]
                        else:
                            b = B[(k + 1) % 2, total, :size]
                        for i in range(size):
                            g[i] += e[i] * b[i]
                            back[i] += u[i] * b[i]
                    for i in range(size):
                        g[i] *= v[i]
            count = 0
            for i in range(size):
                count += p[i] < TINY
            deep[s] += count
            for k in range(m):
                for c in range(K):
                    v, g = S[s, k, c, start:stop], G[s, k, c, start:stop]
                    for i in range(size):
                        g[i] = weight[i] * (v[i] - g[i] / p[i])
        start = stop


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
    scratch : (2, STRIP)
    out : (p, width, width)
        Filled in the lower triangle only.
    """
    n_pairs, n = H.shape
    width = columns.shape[0]
    out[:] = 0.0
    for start in range(0, n, STRIP):
        size = min(STRIP, n - start)
        low, high = first + start, first + start + size
        a, b = scratch[0, :size], scratch[1, :size]
        for p in range(n_pairs):
            h = H[p, start : start + size]
            # Two rows and two columns at a time; of an odd number the last is its own
            # neighbour.
            for j in range(0, width, 2):
                second = min(j + 1, width - 1)
                c, d = columns[j, low:high], columns[second, low:high]
                for i in range(size):
                    a[i] = h[i] * c[i]
                    b[i] = h[i] * d[i]
                for k in range(0, j + 1, 2):
                    c = columns[k, low:high]
                    d = columns[min(k + 1, width - 1), low:high]
                    aa = ab = ba = bb = 0.0
                    for i in range(size):
                        aa += a[i] * c[i]
                        ab += a[i] * d[i]
                        ba += b[i] * c[i]
                        bb += b[i] * d[i]
                    out[p, j, k] += aa
                    if k < j:
                        out[p, j, k + 1] += ab
                    if second > j:
                        out[p, second, k] += ba
                        out[p, second, k + 1] += bb


# ---- descent -------------------------------------------------------------------------
@kernel(reassociate=True)
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
    scales,
    count,
    scratch,
):
    """Accept or reject the trial point of each model, and set the next one.

    A point is accepted if the value falls by enough; near the minimum, where values are
    equal up to rounding, if the slope shrinks. Else the step goes to the minimum of the
    parabola through what is known. After an accepted step the direction is that of
    L-BFGS.

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
    scales : (s,)
        Of the Hessian before it is corrected, from the last pair; at first one.
    count : (s,)
        How many pairs there have been.
    scratch : (h,)
    """
    n_models, h, p = steps.shape
    for s in range(n_models):
        length = abs(lengths[s])
        if length == 0.0:
            continue
        x, t, a, b, v = theta[s], trial[s], g[s], new_g[s], d[s]
        slope = new_slope = 0.0
        for i in range(p):
            slope += a[i] * v[i]
            new_slope += b[i] * v[i]
        gain = f[s] - new_f[s]
        good = gain >= -1e-4 * length * slope
        if abs(gain) <= 1e-14 * abs(f[s]):
            good = good or abs(new_slope) <= 0.9 * abs(slope)
        if not good:
            excess = -gain - length * slope
            ratio = 0.1
            if excess > 0.0:
                ratio = min(max(-0.5 * length * slope / excess, 0.1), 0.5)
            length *= ratio
            lengths[s] = -length
        else:
            length = lengths[s] = 1.0
            f[s] = new_f[s]
            j = count[s] % h
            step, change = steps[s, j], changes[s, j]
            product = step_square = change_square = 0.0
            for i in range(p):
                step[i] = t[i] - x[i]
                change[i] = b[i] - a[i]
                x[i], a[i], v[i] = t[i], b[i], -b[i]
                product += step[i] * change[i]
                step_square += step[i] * step[i]
                change_square += change[i] * change[i]
            if product > 1e-12 * math.sqrt(step_square * change_square):
                inverse[s, j] = 1.0 / product
                scales[s] = product / change_square
                count[s] += 1
            else:
                inverse[s, j] = 0.0  # and so its place counts for nothing
            used = min(count[s], h)
            for turn in range(2 * used):
                # From the last pair to the first, and back.
                back = turn if turn < used else 2 * used - 1 - turn
                j = (count[s] - 1 - back) % h
                first = turn < used
                one = steps[s, j] if first else changes[s, j]
                other = changes[s, j] if first else steps[s, j]
                scale = scales[s] if turn == used else 1.0
                total = 0.0
                for i in range(p):
                    v[i] *= scale
                    total += one[i] * v[i]
                total *= inverse[s, j]
                if first:
                    scratch[j] = total
                    total = -total
                else:
                    total = scratch[j] - total
                for i in range(p):
                    v[i] += total * other[i]
        for i in range(p):
            t[i] = x[i] + length * v[i]


# ---- parity matching -----------------------------------------------------------------
ONE, TWO, FOUR, LAST = (np.uint64(shift) for shift in (1, 2, 4, 56))
ODD, LOW = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333)
NIBBLES, BYTES = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0x0101010101010101)


@kernel
def match(signs, target, n, drops, picks, trial, row, scores):
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
        At least two candidates to start from; on return the best found.
    trial : (m,)
    row : (words,), uint64
    scores : (sets,)
        On return ``abs(n - 2 errors)``.
    """
    n_candidates, n_words = signs.shape
    n_sets, m = picks.shape
    for s in range(n_sets):
        scores[s] = -1
        for turn in range(drops.shape[1]):
            for k in range(m):
                trial[k] = picks[s, k]
            best, vain = np.int64(-1), np.int64(0)
            move = np.int64(-1)
            while vain < m:
                # The first move tries all pairs, others keep their first position.
                pair = move < 0
                first = drops[s, turn, 0] if pair else (move + 1) % m
                second = drops[s, turn, 1] if pair else move
                low = np.int64(0) if pair else trial[first]
                high = n_candidates if pair else low + 1
                vain += 1
                for c in range(low, high):
                    for i in range(n_words):
                        row[i] = target[i] ^ signs[c, i]
                    for k in range(m):
                        if k != first and k != second:
                            for i in range(n_words):
                                row[i] ^= signs[trial[k], i]
                    for d in range(c + 1 if pair else n_candidates):
                        errors = np.int64(0)
                        for i in range(n_words):
                            # The number of set bits.
                            x = row[i] ^ signs[d, i]
                            x -= (x >> ONE) & ODD
                            x = (x & LOW) + ((x >> TWO) & LOW)
                            x = (x + (x >> FOUR)) & NIBBLES
                            errors += np.int64((x * BYTES) >> LAST)
                        score = abs(n - 2 * errors)
                        if score > best:
                            best, vain = score, 0
                            trial[first], trial[second] = c, d
                move = (move + 1) % m
                if m == 2:
                    break
            if best > scores[s]:
                scores[s] = best
                for k in range(m):
                    picks[s, k] = trial[k]
