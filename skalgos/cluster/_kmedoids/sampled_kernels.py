"""FasterPAM that looks at a part of the points first.

Points are stored in shards, each a random sample of all, and within a shard in blocks
of 64. After some shards, t of n points, the price of a candidate for slot i is
estimated by ``R[i] + n / t (shared + P[i])``, with a standard error from the squares of
what single points add. Only a candidate that may pay goes on to twice as many shards,
and only one that was priced on all of them is exchanged.
"""

import numpy as np

from skalgos._jit import helper, kernel
from skalgos.cluster._kmedoids.kernels import (
    EVERY,
    cheapest,
    finish,
    read_point,
    swap_point,
)
from skalgos.cluster._kmedoids.lane_kernels import (
    LANES,
    block_below,
    box_below,
    lowest_bit,
)

# After an eighth of all points, and after so many blocks, the estimate alone decides.
BLOCKS_IN_DOUBT = 1024
# So many candidates in a row begin with the same shard, which stays in the cache. If
# all did, its errors would hide exchanges from all of them.
SAME_SHARD = 128


@helper
def add_shard(space, first, stop, point, near, d1, d2, w, P, V, out):
    """Add blocks [first, stop) to P and V; return the shared sum and its squares."""
    code, root, scale, blocks, boxes, medoid_blocks, q1, q2, reach = space
    shared = squares = 0.0
    for group in range(first // LANES, (stop + LANES - 1) // LANES):
        mask = box_below(code, boxes, group, point, reach)
        start = LANES * group
        if first > start:
            mask &= EVERY << np.uint64(first - start)
        if stop < start + LANES:
            mask &= EVERY >> np.uint64(start + LANES - stop)
        while mask != np.uint64(0):
            b = np.uint64(start) + lowest_bit(mask)
            mask &= mask - np.uint64(1)
            hits = block_below(code, blocks, np.int64(b), point, q2, out)
            while hits != np.uint64(0):
                lane = lowest_bit(hits)
                hits &= hits - np.uint64(1)
                o = np.uint64(LANES) * b + lane
                exact = finish(out[lane], root, scale)
                x = np.float64(exact)
                capped = np.float64(exact if exact > d1[o] else d1[o])
                own = w[o] * (capped - np.float64(d2[o]))
                all_slots = w[o] * (x - capped)
                i = np.uint64(near[o])
                P[i] += own
                V[i] += own * (own + 2.0 * all_slots)
                shared += all_slots
                squares += all_slots * all_slots
    return shared, squares


@helper
def change_of_shards(
    space, per_shard, turn, z, threshold, point, near, d1, d2, w, R, P, V, out
):
    """Price a candidate on ever more shards, beginning with ``turn``.

    Returns the change of the loss and leaves its prices in P, less the shared term, if
    it was priced on all; zero if it was given up.
    """
    n_blocks = space[3].shape[0]
    n_shards = (n_blocks + per_shard - 1) // per_shard
    k = R.shape[0]
    P[:] = 0.0
    V[:] = 0.0
    shared = squares = 0.0
    n_seen = shards = 0
    target = 1
    while True:
        while shards < target:
            shard = (turn + shards) % n_shards
            first = shard * per_shard
            stop = min(first + per_shard, n_blocks)
            more = add_shard(space, first, stop, point, near, d1, d2, w, P, V, out)
            shared += more[0]
            squares += more[1]
            n_seen += stop - first
            shards += 1
        grow = n_blocks / n_seen
        best, at = R[0] + grow * P[0], 0
        for i in range(1, k):
            price = R[i] + grow * P[i]
            if price < best:
                best, at = price, i
        change = best + grow * shared
        if shards == n_shards:
            for i in range(k):
                P[i] += R[i]
            return change
        # The benefit of the doubt costs as much as the points that are left.
        spread = 0.0
        if grow > 8.0 or n_seen < BLOCKS_IN_DOUBT:
            spread = max(squares + V[at], 0.0) * (1.0 - 1.0 / grow)
        if change - z * grow * np.sqrt(spread) > -threshold:
            return 0.0
        target = min(2 * target, n_shards)


@kernel
def sweep_shards(
    space, per_shard, turn, z, order, start, stop, threshold,
    medoids, slot_of, near, sec, d1, d2, w, R, P, V, point, buffers,
):  # fmt: skip
    """Try the candidates order[start:stop] in turn, exchanging those known to pay.

    The first begin with shard ``turn``. Returns the number of exchanges.
    """
    n_swaps = 0
    n_blocks = space[3].shape[0]
    n_shards = (n_blocks + per_shard - 1) // per_shard
    for t in range(start, stop):
        j = order[t]
        if slot_of[j] >= 0:
            continue
        read_point(space[3], j, point)
        first = (turn + t // SAME_SHARD) % n_shards
        change = change_of_shards(
            space, per_shard, first, z, threshold, point, near, d1, d2, w, R, P, V,
            buffers[0],
        )  # fmt: skip
        if change < -threshold:
            slot = cheapest(P)
            slot_of[medoids[slot]] = -1
            slot_of[j] = slot
            medoids[slot] = j
            swap_point(space, slot, j, point, near, sec, d1, d2, w, R, buffers, None)
            n_swaps += 1
    return n_swaps
