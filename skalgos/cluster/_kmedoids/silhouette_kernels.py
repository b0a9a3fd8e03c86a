"""The inner loops of clustering by the medoid silhouette.

Notation: object o has its nearest three medoids in slots ``i1[o]``, ``i2[o]`` and
``i3[o]``, at distances ``d1[o] <= d2[o] <= d3[o]``, and weighs ``w[o]``. With the ratio
``r(x, y) = x / y``, and 1 for 0 / 0, its silhouette is ``1 - r(d1, d2)``. What it adds
to the loss is ``a = r(d1, d2)``, and becomes ``b = r(d2, d3)`` or ``c = r(d1, d3)``
without the nearest or the second nearest medoid. ``G[i]`` is what removing the medoid
of slot i takes off the loss, the sum of ``w (a - b)`` and ``w (a - c)`` over its
objects. Exchanging it for candidate j takes off ``shared + P[i]``, where objects with
``x = d(o, j) < d3[o]`` add to ``shared`` what they gain if neither of their two goes,
and to ``P`` of these two the rest. Without a third medoid ``d3`` is the largest number
there is, and b is 0. As ``c = a b`` even where a distance is zero, it is not stored.

``S[o]`` holds what the price needs side by side, for one cache line to have it all: d1,
d2, a, b, w, the inverses of d1 and d2 (0 of 0), and i1 and i2 in one number.
"""

import numpy as np

from skalgos._jit import helper, kernel
from skalgos.cluster._kmedoids.kernels import EVERY, keep_row, mark
from skalgos.cluster._kmedoids.lane_kernels import (
    LANES,
    lowest_bit,
    mask_below,
    mask_equal,
)

D1, D2, A, B, W, INVERSE1, INVERSE2, PAIR = range(8)
HALF = np.uint64(26)  # bits of a slot: a pair is a whole number that float64 can hold
LOW_HALF = np.uint64((1 << 26) - 1)


@helper
def ratio(x, y):
    """Return x / y, and 1 for 0 / 0."""
    return x / y if y > 0 else 1.0


@helper
def gain_of_row(row, ahead, d3, S, G, P, hits):
    """Fill P, less the shared term, and return the gain of the best exchange.

    An object nearer to the candidate than to its third medoid takes one division and
    no branch: what does not apply is computed too. With r = 1 / x, the products that
    should be 0 / 0 where x = 0 become 1 by ``zero``. ``ahead`` is fetched.
    """
    for i in range(G.shape[0]):
        P[i] = G[i]
    shared = 0.0
    count = mark(row, ahead, d3, hits)
    at = np.uint64(0)
    mask = hits[0, 0]
    while at < count:
        o = hits[1, at] + lowest_bit(mask)
        mask &= mask - np.uint64(1)
        is_done = np.uint64(mask == np.uint64(0))
        at += is_done
        mask |= hits[0, at] & (np.uint64(0) - is_done)
        x = np.float64(row[o])
        d1, d2, a, b = S[o, D1], S[o, D2], S[o, A], S[o, B]
        zero = np.float64(x == 0.0)
        r = 1.0 / (x + zero)
        shrunk, over1, over2 = x * S[o, INVERSE1], d1 * r + zero, d2 * r + zero
        within = x < d2
        now = shrunk if x < d1 else over1
        saved, kept = a - now, -x * S[o, INVERSE2]
        kept -= saved
        none = 0.0
        saved = saved if within else none
        kept = kept if within else -over2
        second = a if within else over1
        w = S[o, W]
        pair = np.uint64(np.int64(S[o, PAIR]))
        shared += w * saved
        P[pair >> HALF] += w * (b + kept)
        P[pair & LOW_HALF] += w * (a * b - second)
    return shared + largest(P)


@helper
def largest(P):
    """Return the maximum."""
    best = P[0]
    for i in range(1, P.shape[0]):
        best = max(best, P[i])
    return best


@helper
def dearest(P):
    """Return the first slot of the largest gain."""
    best = 0
    for i in range(1, P.shape[0]):
        if P[i] > P[best]:
            best = i
    return best


@helper
def summarise(o, i1, i2, i3, d1, d2, d3, S, G):
    """Renew S[o] after a change of the nearest three, and add object o to G."""
    first, second = np.float64(d1[o]), np.float64(d2[o])
    third = np.float64(d3[o])
    last = i3[o] < 0
    a = ratio(first, second)
    b = 0.0 if last else ratio(second, third)
    S[o, D1], S[o, D2], S[o, A], S[o, B] = first, second, a, b
    S[o, INVERSE1] = 1.0 / first if first > 0.0 else 0.0
    S[o, INVERSE2] = 1.0 / second if second > 0.0 else 0.0
    S[o, PAIR] = (np.uint64(i1[o]) << HALF) | np.uint64(i2[o])
    G[i1[o]] += S[o, W] * (a - b)
    G[i2[o]] += S[o, W] * (a - a * b)


@helper
def place(o, x, slot, own, i1, i2, i3, d1, d2, d3):
    """Give object o its nearest three after slot's medoid became one at distance x.

    Returns whether the third is now unknown.
    """
    removed = True
    bound = d3[o]
    if i1[o] == slot:
        i1[o], d1[o] = i2[o], d2[o]
        i2[o], d2[o] = i3[o], d3[o]
    elif i2[o] == slot:
        i2[o], d2[o] = i3[o], d3[o]
    elif i3[o] != slot:
        removed = False
    if own or x < d1[o]:
        i3[o], d3[o] = i2[o], d2[o]
        i2[o], d2[o] = i1[o], d1[o]
        i1[o], d1[o] = slot, x
    elif x < d2[o]:
        i3[o], d3[o] = i2[o], d2[o]
        i2[o], d2[o] = slot, x
    elif x < bound or (removed and x == bound):
        i3[o], d3[o] = slot, x
    elif removed:
        return True
    return False


@helper
def exchange(slot, j, row, i1, i2, i3, d1, d2, d3, S, G, to_medoids):
    """Put candidate j, at distances ``row``, in the place of slot's medoid."""
    keep_row(slot, row, to_medoids)
    n = row.shape[0]
    for block in range((n + LANES - 1) // LANES):
        start = min(LANES * block, n - LANES)
        mask = mask_below(row, start, d3)
        mask |= mask_equal(i1, start, np.int32(slot))
        mask |= mask_equal(i2, start, np.int32(slot))
        mask |= mask_equal(i3, start, np.int32(slot))
        mask &= EVERY << np.uint64(LANES * block - start)
        while mask != np.uint64(0):
            o = start + np.int64(lowest_bit(mask))
            mask &= mask - np.uint64(1)
            a, b = S[o, A], S[o, B]
            G[i1[o]] -= S[o, W] * (a - b)
            G[i2[o]] -= S[o, W] * (a - a * b)
            if place(o, row[o], slot, o == j, i1, i2, i3, d1, d2, d3):
                group, lane = o // to_medoids.shape[2], o % to_medoids.shape[2]
                best = -1
                for i in range(G.shape[0]):
                    if i == i1[o] or i == i2[o]:
                        continue
                    if best < 0 or (
                        to_medoids[group, i, lane] < to_medoids[group, best, lane]
                    ):
                        best = i
                i3[o] = best
                d3[o] = to_medoids[group, best, lane]
            summarise(o, i1, i2, i3, d1, d2, d3, S, G)


@kernel
def sweep(
    rows, gathered, order, start, stop, last, threshold,
    medoids, slot_of, i1, i2, i3, d1, d2, d3, S, G, P, hits, to_medoids,
):  # fmt: skip
    """Try the candidates order[start:stop] in turn, exchanging wherever it pays.

    As ``kernels.sweep_rows``: returns where it stopped, the position of the last
    exchange and the number of exchanges.
    """
    n_swaps = 0
    for t in range(start, stop):
        if t == last:
            return t, last, n_swaps
        j = order[t]
        if slot_of[j] >= 0:
            continue
        following = min(t + 1, stop - 1)
        row = rows[t - start] if gathered else rows[j]
        ahead = rows[following - start] if gathered else rows[order[following]]
        if gain_of_row(row, ahead, d3, S, G, P, hits) > threshold:
            slot = dearest(P)
            slot_of[medoids[slot]] = -1
            slot_of[j] = slot
            medoids[slot] = j
            exchange(slot, j, row, i1, i2, i3, d1, d2, d3, S, G, to_medoids)
            last = t
            n_swaps += 1
    return stop, last, n_swaps


@kernel
def gains_of_rows(rows, d3, S, G, P, hits, gains, slots):
    """Price the best exchange for each row, and name the slot that it frees."""
    for t in range(rows.shape[0]):
        ahead = rows[min(t + 1, rows.shape[0] - 1)]
        gains[t] = gain_of_row(rows[t], ahead, d3, S, G, P, hits)
        slots[t] = dearest(P)


@kernel
def make_exchange(slot, j, row, i1, i2, i3, d1, d2, d3, S, G, to_medoids):
    """Put candidate j, at distances ``row``, in the place of slot's medoid."""
    exchange(slot, j, row, i1, i2, i3, d1, d2, d3, S, G, to_medoids)


@kernel
def summarise_all(i1, i2, i3, d1, d2, d3, S, G):
    """Renew all of S and G."""
    G[:] = 0.0
    for o in range(i1.shape[0]):
        if i1[o] >= 0:
            summarise(o, i1, i2, i3, d1, d2, d3, S, G)
