"""The inner loops of FasterPAM.

Notation, throughout: object o has its nearest medoid in slot ``near[o]`` at distance
``d1[o]`` and the second nearest in slot ``sec[o]`` at ``d2[o]``; it weighs ``w[o]``.
``R[i]`` is what removing the medoid of slot i costs, the sum of ``w (d2 - d1)`` over
its objects. Exchanging the medoid of slot i for candidate j changes the loss by
``shared + P[i]``, where over the objects o with ``x = d(o, j) < d2[o]``

    shared = sum of w (x - max(x, d1)),
    P[i]   = R[i] + sum of w (max(x, d1) - d2) over those with near[o] = i,

so that one pass over the objects prices all k removals. Sums are kept in float64
whatever the distances are: in float32 they change sign near convergence.
"""

import numpy as np

from skalgos._jit import helper, kernel
from skalgos.cluster._kmedoids.lane_kernels import (
    LANES,
    block_below,
    box_below,
    fetch,
    lowest_bit,
    mask_below,
    mask_equal,
)

# Objects whose distances to the same medoid are neighbours in memory: a new medoid
# writes whole cache lines, and all distances of one object stay close together.
GROUP = 16
#: How far ahead within a row to fetch: a page, because the hardware's own prefetching
#: stops at the end of one.
PAGE = 1024
TOP_LEVEL = np.float32(254)
# A bound costs about a third of a price. Of so many candidates it must settle a third,
# else the next are priced without it: as long as exchanges are frequent, or for good
# where distances are such that levels say little.
TRIAL, TOO_MANY, REST = 64, 42, 448
EVERY = np.uint64(0xFFFFFFFFFFFFFFFF)
LOW_HALF = np.uint64(0xFFFFFFFF)
# An entry of a list is an object times 256 plus a level.
EIGHT, TOP_BYTE = np.uint64(8), np.uint64(255)


# ---- the price of a candidate --------------------------------------------------------
@helper
def smallest(P):
    """Return the minimum, in two chains so that the comparisons overlap."""
    a = b = P[0]
    last = np.uint64(P.shape[0] - 1)
    i = np.uint64(0)
    while i < last:
        j = i + np.uint64(1)
        a = P[i] if P[i] < a else a
        b = P[j] if P[j] < b else b
        i += np.uint64(2)
    a = b if b < a else a
    return P[last] if P[last] < a else a


@helper
def mark(row, ahead, bound, hits):
    """Find the runs of 64 objects in which ``row[o] < bound[o]`` for some o.

    Meanwhile ``ahead``, which is needed next, comes from memory.

    ``hits[0]`` gets their masks and ``hits[1]`` where they start, then an end mark. To
    collect them first takes no branch that depends on the data, and neither does it to
    walk through all bits in one loop afterwards; wrong guesses would cost the most.
    """
    n = row.shape[0]
    count = np.uint64(0)
    for b in range((n + LANES - 1) // LANES):
        start = min(LANES * b, n - LANES)
        fetch(ahead, start)
        mask = mask_below(row, start, bound)
        mask &= EVERY << np.uint64(LANES * b - start)
        hits[0, count] = mask
        hits[1, count] = np.uint64(start)
        count += np.uint64(mask != np.uint64(0))
    hits[0, count] = np.uint64(1)
    return count


@helper
def change_of_row(row, ahead, bound, scale, near, d1, d2, w, R, P, hits):
    """Fill P, less the shared term, and return the change of the best exchange.

    ``row`` holds the distances of all objects and ``bound`` is ``d2``; or, with a
    ``scale`` (table, unit), one-byte levels: ``table[row[o]] * unit[o]`` never exceeds
    the distance of object o, and ``row[o] < bound[o]`` where it is below ``d2[o]``. As
    the change only grows with the distances, the result is then a lower bound.
    ``ahead`` is fetched.
    """
    for i in range(R.shape[0]):
        P[i] = R[i]
    shared = 0.0
    count = mark(row, ahead, bound, hits)
    at = np.uint64(0)
    mask = hits[0, 0]
    while at < count:
        o = hits[1, at] + lowest_bit(mask)
        mask &= mask - np.uint64(1)
        is_done = np.uint64(mask == np.uint64(0))
        at += is_done
        mask |= hits[0, at] & (np.uint64(0) - is_done)
        if scale is None:
            x = np.float64(row[o])
            capped = np.float64(row[o] if row[o] > d1[o] else d1[o])
        else:
            table, unit = scale
            x = table[row[o]] * unit[o]
            capped = x if x > d1[o] else np.float64(d1[o])
        P[np.uint64(near[o])] += w[o] * (capped - np.float64(d2[o]))
        shared += w[o] * (x - capped)
    return shared + smallest(P)


@helper
def change_of_list(j, following, nearby, near, w, P, hits):
    """Return a lower bound of what ``change_of_row`` returns for candidate j.

    The distances of its list are known up to a level, and all others are at least
    ``cut``: with d1 and d2 cut there too, these change nothing. What that takes off the
    losses is ``base``. The list of the candidate ``following`` is fetched.
    """
    spans, entries, level_bound, table, unit, cut, c1, c2, R, base = nearby
    first, last = spans[0, j], spans[1, j]
    if first < 0:
        return -np.inf
    ahead = max(spans[0, following], 0) - first
    count = np.uint64(0)
    for start in range(first, last, LANES):
        fetch(entries, start + ahead)
        for t in range(start, min(start + LANES, last)):
            entry = np.uint64(entries[t])
            hits[0, count] = entry
            is_below = (entry & TOP_BYTE) < level_bound[entry >> EIGHT]
            count += np.uint64(is_below)
    for i in range(R.shape[0]):
        P[i] = R[i]
    shared = base[0]
    for t in range(count):
        o = hits[0, t] >> EIGHT
        x = table[hits[0, t] & TOP_BYTE] * unit[o]
        capped = x if x > c1[o] else np.float64(c1[o])
        P[np.uint64(near[o])] += w[o] * (capped - np.float64(c2[o]))
        shared += w[o] * (x - capped)
    return shared + smallest(P)


@helper
def finish(q, root, scale):
    """Turn a block distance into the dissimilarity."""
    if root:
        q = np.sqrt(q)
    return q * scale


@helper
def change_of_point(space, point, near, d1, d2, w, R, P, out):
    """Do what ``change_of_row`` does, computing distances as it goes.

    A block of 64 points is looked at only if the box around it is within ``reach`` of
    the point: else no object of the block is nearer to the point than to its second
    medoid.
    """
    code, root, scale, blocks, boxes, medoid_blocks, q1, q2, reach = space
    for i in range(R.shape[0]):
        P[i] = R[i]
    shared = 0.0
    for group in range(boxes.shape[0]):
        near_blocks = box_below(code, boxes, group, point, reach)
        while near_blocks != np.uint64(0):
            b = np.uint64(LANES * group) + lowest_bit(near_blocks)
            near_blocks &= near_blocks - np.uint64(1)
            mask = block_below(code, blocks, np.int64(b), point, q2, out)
            while mask != np.uint64(0):
                lane = lowest_bit(mask)
                mask &= mask - np.uint64(1)
                o = np.uint64(LANES) * b + lane
                exact = finish(out[lane], root, scale)
                x = np.float64(exact)
                capped = np.float64(exact if exact > d1[o] else d1[o])
                P[np.uint64(near[o])] += w[o] * (capped - np.float64(d2[o]))
                shared += w[o] * (x - capped)
    return shared + smallest(P)


# ---- the exchange --------------------------------------------------------------------
@helper
def cheapest(P):
    """Return the first slot of the smallest price."""
    best = 0
    for i in range(1, P.shape[0]):
        if P[i] < P[best]:
            best = i
    return best


@helper
def settle(o, x, slot, own, near, sec, d1, d2):
    """Give object o its nearest two after slot's medoid became one at distance x.

    Returns whether the second nearest is now unknown. An object that is itself the
    new medoid belongs to it, even where another medoid is at distance zero too. Any
    increasing function of the distances does as well.
    """
    if near[o] == slot:
        if own or x < d2[o]:
            d1[o] = x
            return False
        near[o] = sec[o]
        d1[o] = d2[o]
        return True
    if own or x < d1[o]:
        sec[o] = near[o]
        d2[o] = d1[o]
        near[o] = slot
        d1[o] = x
        return False
    if sec[o] == slot and x > d2[o]:
        return True
    if sec[o] == slot or x < d2[o]:
        sec[o] = slot
        d2[o] = x
    return False


@helper
def nearest_but(distances, k, skip):
    """Return the first slot of the smallest of k distances, leaving out one slot."""
    best = 0 if skip != 0 else 1
    for i in range(best + 1, k):
        if distances[i] < distances[best] and i != skip:
            best = i
    return best


@helper
def n_below(table, value):
    """Return how many entries of an increasing table are below ``value``.

    One less than a power of two of them allows a search without a branch.
    """
    low = 0
    half = (table.shape[0] + 1) >> 1
    while half > 0:
        low += half if table[low + half - 1] < value else 0
        half >>= 1
    return low


@helper
def keep_row(slot, row, to_medoids):
    """Write the distances to slot's new medoid."""
    n = row.shape[0]
    for g in range((n + GROUP - 1) // GROUP):
        for lane in range(min(GROUP, n - GROUP * g)):
            to_medoids[g, slot, lane] = row[GROUP * g + lane]


@helper
def count_in(o, sign, nearby, near, d1, w):
    """Add object o to what lists keep of all objects, or take it out with sign -1."""
    _, _, _, _, _, _, c1, c2, R, base = nearby
    R[near[o]] += sign * w[o] * (np.float64(c2[o]) - np.float64(c1[o]))
    base[0] += sign * w[o] * (np.float64(c1[o]) - np.float64(d1[o]))


@helper
def swap_row(slot, j, row, near, sec, d1, d2, w, R, to_medoids, screen, nearby):
    """Put candidate j, at distances ``row``, in the place of slot's medoid."""
    keep_row(slot, row, to_medoids)
    n = row.shape[0]
    for b in range((n + LANES - 1) // LANES):
        start = min(LANES * b, n - LANES)
        mask = mask_below(row, start, d2)
        mask |= mask_equal(near, start, np.int32(slot))
        mask |= mask_equal(sec, start, np.int32(slot))
        mask &= EVERY << np.uint64(LANES * b - start)
        while mask != np.uint64(0):
            o = start + np.int64(lowest_bit(mask))
            mask &= mask - np.uint64(1)
            before = d2[o]
            R[near[o]] -= w[o] * (np.float64(before) - np.float64(d1[o]))
            if nearby is not None:
                count_in(o, -1.0, nearby, near, d1, w)
            if settle(o, row[o], slot, o == j, near, sec, d1, d2):
                distances = to_medoids[o // GROUP, :, o % GROUP]
                i = nearest_but(distances, R.shape[0], near[o])
                sec[o] = i
                d2[o] = distances[i]
            R[near[o]] += w[o] * (np.float64(d2[o]) - np.float64(d1[o]))
            if screen is not None and d2[o] != before:
                level_bound, table, unit = screen
                level_bound[o] = n_below(table, d2[o] / unit[o])
            if nearby is not None:
                _, _, level_bound, table, unit, cut, c1, c2, _, _ = nearby
                c1[o], c2[o] = min(d1[o], cut[o]), min(d2[o], cut[o])
                level_bound[o] = n_below(table, c2[o] / unit[o])
                count_in(o, 1.0, nearby, near, d1, w)


@helper
def read_point(blocks, o, point):
    """Copy the coordinates of object o out of its block."""
    for feature in range(blocks.shape[1]):
        point[feature] = blocks[o // LANES, feature, o % LANES]


@helper
def to_all(code, blocks, point, unbounded, out):
    """Fill ``out`` with the block distances of all points to ``point``."""
    for b in range(blocks.shape[0]):
        block_below(code, blocks, b, point, unbounded, out[LANES * b :])


@helper
def reach_of(q2, b):
    """Return how near block b must be for one of its points to matter."""
    reach = q2[LANES * b]
    for lane in range(1, LANES):
        reach = max(reach, q2[LANES * b + lane])
    return reach


@helper
def swap_point(space, slot, j, point, near, sec, d1, d2, w, R, buffers, screen):
    """Put point j in the place of slot's medoid.

    ``q1`` and ``q2`` are the block distances behind ``d1`` and ``d2``.
    """
    code, root, scale, blocks, boxes, medoid_blocks, q1, q2, reach = space
    out, other, to_medoids = buffers
    for feature in range(blocks.shape[1]):
        medoid_blocks[slot // LANES, feature, slot % LANES] = point[feature]
    for b in range(blocks.shape[0]):
        if b % LANES == 0:
            near_blocks = box_below(code, boxes, b // LANES, point, reach)
        mask = mask_equal(near, LANES * b, np.int32(slot)) | mask_equal(
            sec, LANES * b, np.int32(slot)
        )
        reached = (near_blocks >> np.uint64(b % LANES)) & np.uint64(1)
        if mask == np.uint64(0) and reached == np.uint64(0):
            continue
        mask |= block_below(code, blocks, b, point, q2, out)
        while mask != np.uint64(0):
            lane = np.int64(lowest_bit(mask))
            mask &= mask - np.uint64(1)
            o = LANES * b + lane
            R[near[o]] -= w[o] * (np.float64(d2[o]) - np.float64(d1[o]))
            if settle(o, out[lane], slot, o == j, near, sec, q1, q2):
                read_point(blocks, o, other)
                to_all(code, medoid_blocks, other, q2, to_medoids)
                i = nearest_but(to_medoids, R.shape[0], near[o])
                sec[o] = i
                q2[o] = to_medoids[i]
            d1[o] = finish(q1[o], root, scale)
            d2[o] = finish(q2[o], root, scale)
            R[near[o]] += w[o] * (np.float64(d2[o]) - np.float64(d1[o]))
            if screen is not None:
                level_bound, table, unit = screen
                level_bound[o] = n_below(table, d2[o] / unit[o])
        reach[b] = reach_of(q2, b)


# ---- sweeps --------------------------------------------------------------------------
@helper
def rest_until(t, failed):
    """Return until when to do without a bound that failed so often in a trial."""
    return t + REST if failed > TOO_MANY else t


@kernel
def sweep_rows(
    rows, gathered, levels, screen, nearby, order, start, stop, last, patience, found,
    threshold, medoids, slot_of, near, sec, d1, d2, w, R, P, hits, to_medoids,
):  # fmt: skip
    """Try the candidates order[start:stop] in turn, exchanging wherever it pays.

    Candidate j's distances are ``rows[j]``, or ``rows[t - start]`` for the t-th of the
    order if ``gathered``. With a screen, a lower bound read from one byte a distance
    comes first, or with lists one read from these. ``last`` is the position of the last
    exchange: reaching it again means that no exchange improves the loss. Stops also
    after ``patience`` candidates in a row without an exchange. Unless ``found`` is
    empty it only looks for an exchange: it writes the position there and stops, or
    stops once there is an earlier one, with nothing but P and ``hits`` changed. Returns
    where it stopped, the new ``last`` and the number of exchanges.
    """
    n_swaps = idle = tried = failed = 0
    rested = start
    looks = found.shape[0] > 0
    for t in range(start, stop):
        if t == last or idle == patience or (looks and found[0] < t):
            return t, last, n_swaps
        j = order[t]
        if slot_of[j] >= 0:
            continue
        idle += 1
        if t >= rested:
            bound = -np.inf
            following = order[min(t + 1, stop - 1)]
            if screen is not None:
                level_bound, table, unit = screen
                bound = change_of_row(
                    levels[j], levels[following], level_bound, (table, unit), near, d1,
                    d2, w, R, P, hits,
                )  # fmt: skip
            if nearby is not None:
                bound = change_of_list(j, following, nearby, near, w, P, hits)
            tried += 1
            if tried == TRIAL:
                rested = rest_until(t, failed)
                tried = failed = 0
            if bound >= 0.0:
                continue
            failed += 1
        row = rows[t - start] if gathered else rows[j]
        change = change_of_row(row, row[PAGE:], d2, None, near, d1, d2, w, R, P, hits)
        if change < -threshold:
            if looks:
                found[0] = t
                return t, last, n_swaps
            slot = cheapest(P)
            slot_of[medoids[slot]] = -1
            slot_of[j] = slot
            medoids[slot] = j
            swap_row(slot, j, row, near, sec, d1, d2, w, R, to_medoids, screen, nearby)
            last = t
            n_swaps += 1
            idle = 0
    return stop, last, n_swaps


@kernel
def sweep_points(
    space, levels, screen, order, start, stop, last, patience, found, threshold,
    medoids, slot_of, near, sec, d1, d2, w, R, P, hits, point, buffers,
):  # fmt: skip
    """Do what ``sweep_rows`` does, with distances computed where they are needed.

    Looking changes ``point`` and ``buffers`` too.
    """
    n_swaps = idle = tried = failed = 0
    rested = start
    looks = found.shape[0] > 0
    for t in range(start, stop):
        if t == last or idle == patience or (looks and found[0] < t):
            return t, last, n_swaps
        j = order[t]
        if slot_of[j] >= 0:
            continue
        idle += 1
        if screen is not None and t >= rested:
            level_bound, table, unit = screen
            ahead = levels[order[min(t + 1, stop - 1)]]
            bound = change_of_row(
                levels[j], ahead, level_bound, (table, unit), near, d1, d2, w, R, P,
                hits,
            )  # fmt: skip
            tried += 1
            if tried == TRIAL:
                rested = rest_until(t, failed)
                tried = failed = 0
            if bound >= 0.0:
                continue
            failed += 1
        read_point(space[3], j, point)
        change = change_of_point(space, point, near, d1, d2, w, R, P, buffers[0])
        if change < -threshold:
            if looks:
                found[0] = t
                return t, last, n_swaps
            slot = cheapest(P)
            slot_of[medoids[slot]] = -1
            slot_of[j] = slot
            medoids[slot] = j
            swap_point(space, slot, j, point, near, sec, d1, d2, w, R, buffers, screen)
            last = t
            n_swaps += 1
            idle = 0
    return stop, last, n_swaps


@kernel
def changes_of_rows(rows, near, d1, d2, w, R, P, hits, changes, slots):
    """Price the best exchange for each row, and name the slot that it frees."""
    for t in range(rows.shape[0]):
        row = rows[t]
        changes[t] = change_of_row(
            row, row[PAGE:], d2, None, near, d1, d2, w, R, P, hits
        )
        slots[t] = cheapest(P)


@kernel
def changes_of_slots(rows, candidates, near, d1, d2, w, R, P, hits, tie, changes, best):
    """Keep the candidate and the price of the best exchange that frees each slot.

    Of prices that differ by less than ``tie`` the first counts as the best.
    """
    for t in range(rows.shape[0]):
        row = rows[t]
        change = change_of_row(row, row[PAGE:], d2, None, near, d1, d2, w, R, P, hits)
        shared = change - smallest(P)
        for i in range(P.shape[0]):
            if shared + P[i] < changes[i] - tie:
                changes[i] = shared + P[i]
                best[i] = candidates[t]


@kernel
def exchange(slot, j, row, near, sec, d1, d2, w, R, to_medoids):
    """Put candidate j, at distances ``row``, in the place of slot's medoid."""
    swap_row(slot, j, row, near, sec, d1, d2, w, R, to_medoids, None, None)


# ---- set-up --------------------------------------------------------------------------
@kernel
def distances_to(geometry, blocks, points, out):
    """Fill row i of ``out`` with the dissimilarities of all objects to points[i].

    Its rows are as long as the blocks are wide, so the last lanes may be padding.
    """
    code, root, scale = geometry
    for b in range(blocks.shape[0]):
        start = LANES * b
        for i in range(points.shape[0]):
            block_below(code, blocks, b, points[i], out[i], out[i, start:])
            for lane in range(start, start + LANES):
                out[i, lane] = finish(out[i, lane], root, scale)


@kernel
def two_nearest(rows, start, near, sec, d1, d2):
    """Find for each object the first two of the smallest entries in its column.

    They are some of the columns, from ``start`` on. Comes with what there is to say of
    the first row: ``near`` 0, ``d1`` the row, ``sec`` 1 and ``d2`` as large as can be.
    """
    for i in range(1, rows.shape[0]):
        row, slot = rows[i, start:], np.int32(i)
        for o in range(near.shape[0]):
            x, a, b, now = row[o], d1[o], d2[o], near[o]
            sec[o] = now if x < a else (slot if x < b else sec[o])
            near[o] = slot if x < a else now
            d2[o] = a if x < a else (x if x < b else b)
            d1[o] = x if x < a else a


@kernel
def levels_of(code, blocks, points, steps, out, levels):
    """Fill row i of ``levels`` with one-byte levels of the distances to points[i].

    Level q says that the block distance is at least q / steps[o], up to rounding.
    """
    n_blocks = blocks.shape[0]
    for first in range(0, n_blocks, 8):  # these stay in cache, and are written in runs
        for i in range(points.shape[0]):
            for b in range(first, min(first + 8, n_blocks)):
                block_below(code, blocks, b, points[i], out, out)
                row = levels[i, LANES * b :]
                for lane in range(LANES):
                    level = np.float32(out[lane]) * steps[LANES * b + lane]
                    row[lane] = np.int32(level if level < TOP_LEVEL else TOP_LEVEL)


@helper
def list_row(row, steps, cut, hits, entries, at):
    """Write an entry for each object o with ``row[o] < cut[o]``, and return the end."""
    count = mark(row, row[PAGE:], cut, hits)
    run = np.uint64(0)
    mask = hits[0, 0]
    while run < count:
        o = hits[1, run] + lowest_bit(mask)
        mask &= mask - np.uint64(1)
        is_done = np.uint64(mask == np.uint64(0))
        run += is_done
        mask |= hits[0, run] & (np.uint64(0) - is_done)
        level = np.float32(row[o]) * steps[o]
        level = np.int32(level if level < TOP_LEVEL else TOP_LEVEL)
        entries[at] = (o << EIGHT) | np.uint64(level)
        at += 1
    return at


@kernel(reassociate=True)
def digest(
    rows,
    first,
    w,
    steps,
    levels,
    listed,
    totals,
    bits,
    low,
    high,
    row_sums,
    column_sums,
):
    """Read every distance once, for all that has to be known of it.

    ``totals[j]`` is the sum of ``w[o] rows[j, o]``. Level q in ``levels``, unless that
    is empty, says that the distance is at least q / steps[o], up to rounding. The lists
    in ``listed``, unless that is None, have such a level for each distance below the
    cut of its object; a row that may find no place any more has -1 instead. Unless
    ``column_sums`` is empty, ``row_sums[j]`` becomes the sum of what ``low[o]`` and
    ``high[o]`` make of the bits of ``rows[j, o]``, and ``column_sums[o]`` grows by what
    ``low`` and ``high`` of row ``first + j`` make of them. Returns the number of
    negative entries.
    """
    n_negative = 0
    at = 0
    for j in range(rows.shape[0]):
        row = rows[j]
        total = 0.0
        here = np.int32(0)  # as wide as the distances, for as many lanes
        for o in range(row.shape[0]):
            total += w[o] * np.float64(row[o])
            here = np.int32(here + (row[o] < 0))
        totals[j] = total
        n_negative += here
        if levels.shape[0]:
            for o in range(row.shape[0]):
                level = np.float32(row[o]) * steps[o]
                levels[j, o] = np.int32(level if level < TOP_LEVEL else TOP_LEVEL)
        if listed is not None:
            cut, entries, offset, spans, hits = listed
            spans[0, j] = spans[1, j] = -1
            if at + row.shape[0] <= entries.shape[0]:
                spans[0, j] = offset + at
                at = list_row(row, steps, cut, hits, entries, at)
                spans[1, j] = offset + at
        if column_sums.shape[0]:
            words = bits[j]
            own_low, own_high = np.uint64(low[first + j]), np.uint64(high[first + j])
            row_sum = np.uint64(0)
            for o in range(row.shape[0]):
                head = np.uint64(words[o]) & LOW_HALF
                tail = np.uint64(words[o]) >> np.uint64(32)
                row_sum += head * np.uint64(low[o]) + tail * np.uint64(high[o])
                column_sums[o] += head * own_low + tail * own_high
            row_sums[j] = row_sum
    return n_negative


@kernel
def reorder(rows, order, out):
    """Fill a square ``out`` with rows and columns of ``rows`` in another order."""
    for i in range(order.shape[0]):
        row = rows[order[i]]
        for j in range(order.shape[0]):
            out[i, j] = row[np.uint64(order[j])]


@kernel(reassociate=True)
def gains_of_rows(rows, d1, w, gains):
    """Fill ``gains`` with what each row would take off the loss as one more medoid."""
    for t in range(rows.shape[0]):
        gain = 0.0
        for o in range(d1.shape[0]):
            gain += w[o] * max(np.float64(d1[o]) - np.float64(rows[t, o]), 0.0)
        gains[t] = gain
