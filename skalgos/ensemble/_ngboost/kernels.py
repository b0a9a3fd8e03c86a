"""Histogram regression trees, one row of codes (bins) for each sample.

Sums of gradients and weights are integers, so that they are exact: they depend neither
on the order of the rows nor on the number of threads, and the histogram of a child is
that of its parent minus its sibling's. Where weights are whole numbers, a gradient and
its weight share one integer, gradient * 2^24 + weight; else there are two.

A tree with m leaves is m - 1 splits in an order in which parents come before children.
Leaves are numbered from left to right, and a subtree goes by its leftmost leaf: split j
sends the samples at ``first[j]`` that do not go left on to ``first[j] + skip[j]``.
"""

import numpy as np

from skalgos._jit import helper, kernel

MISSING = 255


@kernel
def bin_columns(X, edges, n_edges, is_category, columns):
    """Write the bin of every value: how many edges are below it, 255 if it is NaN.

    A category is looked up among the edges, and is 255 if it is not there. There are
    255 edges, infinite behind the last one, so that halving needs no ends.
    """
    n, d = X.shape
    for i in range(n):
        for f in range(d):
            value = X[i, f]
            row = edges[f]
            below = np.uint64(0)
            for k in range(np.uint64(8)):
                # No branch: half of the guesses would be wrong.
                step = np.uint64(128) >> k
                below += np.uint64(row[below + step - np.uint64(1)] < value) * step
            code = np.int64(below)
            if is_category[f]:
                if code == n_edges[f] or row[code] != value:
                    code = MISSING
            elif value != value:
                code = MISSING
            columns[f, i] = code


@kernel
def hash_rows(columns, out):
    """Write a hash of the bins of each row; out must be zero."""
    d, n = columns.shape
    for f in range(d):
        column = columns[f]
        for i in range(n):
            h = out[i] ^ (np.uint64(column[i]) + np.uint64(0x9E3779B97F4A7C15))
            h *= np.uint64(0xBF58476D1CE4E5B9)
            out[i] = h ^ (h >> np.uint64(29))


@helper
def _quantise(gradient, weights, units, whole, cap, packed, bits):
    """Write gradient * weight as integers, the weights beside them if they are whole.

    bits is the memory of packed, as floats. Returns the scale, which takes the largest
    gradient to cap.
    """
    n = gradient.shape[0]
    # Four largest values side by side, since each comparison waits for the last.
    a = 0.0
    b = 0.0
    c = 0.0
    d = 0.0
    for i in range(0, n - 3, 4):
        a = max(a, abs(gradient[i]))
        b = max(b, abs(gradient[i + 1]))
        c = max(c, abs(gradient[i + 2]))
        d = max(d, abs(gradient[i + 3]))
    for i in range(n - n % 4, n):
        a = max(a, abs(gradient[i]))
    largest = max(max(a, b), max(c, d))
    scale = cap / largest if largest > 0.0 else cap
    # Adding 1.5 * 2^52 rounds to an integer, which then is in the lower bits.
    for i in range(n):
        bits[i] = gradient[i] * weights[i] * scale + 6755399441055744.0
    for i in range(n):
        packed[i] -= 4843621399236968448
    if whole:
        for i in range(n):
            packed[i] = packed[i] * 16777216 + units[i]
    return scale


@helper
def _add_rows(columns, features, packed, rows, start, end, out):
    """Add the packed gradients of some rows to the histograms of all features."""
    # Indices are unsigned: signed ones may be negative, which costs a comparison each.
    # Four features at a time share the reading of rows and gradients.
    d = features.shape[0]
    every = end - start == columns.shape[1]
    j = 0
    while j + 3 < d:
        a = columns[features[j]]
        b = columns[features[j + 1]]
        c = columns[features[j + 2]]
        e = columns[features[j + 3]]
        to_a = out[features[j]]
        to_b = out[features[j + 1]]
        to_c = out[features[j + 2]]
        to_e = out[features[j + 3]]
        if every:
            # In the order of memory, since sums do not depend on it.
            for i in range(np.uint64(columns.shape[1])):
                value = packed[i]
                to_a[a[i]] += value
                to_b[b[i]] += value
                to_c[c[i]] += value
                to_e[e[i]] += value
        else:
            for k in range(start, end):
                i = np.uint64(rows[k])
                value = packed[i]
                to_a[a[i]] += value
                to_b[b[i]] += value
                to_c[c[i]] += value
                to_e[e[i]] += value
        j += 4
    while j < d:
        a = columns[features[j]]
        to_a = out[features[j]]
        for k in range(start, end):
            i = np.uint64(rows[k])
            to_a[a[i]] += packed[i]
        j += 1


@helper
def _clear(table):
    for f in range(table.shape[0]):
        row = table[f]
        for b in range(256):
            row[b] = 0


@helper
def _subtract(table, other):
    for f in range(table.shape[0]):
        row = table[f]
        minus = other[f]
        for b in range(256):
            row[b] -= minus[b]


@helper
def _clamp(value, low, high):
    return min(max(value, low), high)


@helper
def _child_value(total, weight, l2, low, high):
    return _clamp(total / (weight + l2), low, high)


@helper
def _reduction(total, weight, value, l2):
    """Return how much a leaf with this value lowers the squared error."""
    return 2.0 * value * total - (weight + l2) * value * value


@helper
def _scan_plain(hist, n_bins, min_weight, C, G, order, best):
    """As ``_scan_feature``, for one output and numbers, whole weights, no more.

    C and G are work space; order are the same bits as G, which as integers have the
    order of the gains, and a largest one that is found several at a time.
    """
    total = np.int64(0)
    for b in range(n_bins):
        total += hist[b]
        C[b] = total
    missing = hist[MISSING]
    total += missing
    s = np.float64(total >> 24)
    n = np.float64(total & 16777215)
    # Missing to the right, then, if there are any, to the left.
    sides = 1 if missing == 0 else 2
    top = order[n_bins]
    found = False
    for side in range(sides):
        shift = missing if side == 1 else np.int64(0)
        # No branch, so that the compiler takes several bins at once. Empty bins have
        # the gain of the last one that is not.
        for b in range(n_bins):
            left = C[b] + shift
            sl = np.float64(left >> 24)
            nl = np.float64(left & 16777215)
            nr = n - nl
            # Exactly zero where the gradient is constant.
            cross = sl * n - nl * s
            gain = cross * cross / (nl * nr * n)
            G[b] = gain if (nl >= min_weight) & (nr >= min_weight) else 0.0
        highest = np.int64(0)
        for b in range(n_bins):
            highest = max(highest, order[b])
        if highest > top:
            top = highest
            found = True
            b = 0
            while order[b] != highest:
                b += 1
            left = C[b] + shift
            best[0] = G[b]
            best[1] = b
            best[4] = np.float64(left >> 24)
            best[5] = np.float64(left & 16777215)
            # A value missing in prediction alone goes with the larger child.
            best[2] = side if sides == 2 else np.float64(2.0 * best[5] > n)
            follow = b + 1
            while follow < n_bins and hist[follow] == 0:
                follow += 1
            best[3] = follow if follow < n_bins else b
    return found


@helper
def _scan_feature(
    hist,
    heavy_hist,
    f,
    n_bins,
    whole,
    is_category,
    cst,
    min_weight,
    l2,
    importance,
    low,
    high,
    S,
    N,
    B,
    best,
):
    """Find the best split of a node by one feature.

    hist[p] are the histograms of output p. S, N and B are work space: cumulative sums
    over the non-empty bins. best holds, if it beats best[0]: gain, number of the bin
    that is the last to go left, whether missing values go left, next non-empty bin, and
    the sum and weight of output 0 on the left. Returns whether it does.
    """
    P = hist.shape[0]
    found = False
    # Missing values: their sums are in bin 255.
    miss_n = 0.0
    h = hist[0, f, MISSING]
    if whole:
        miss_n = np.float64(h & 16777215)
    else:
        miss_n = np.float64(heavy_hist[f, MISSING])
    used = 0
    for b in range(n_bins):
        h = hist[0, f, b]
        if whole:
            w = h & 16777215
        else:
            w = heavy_hist[f, b]
        B[used] = b
        used += w != 0
    if used < 1 or (used < 2 and miss_n == 0.0):
        return False
    if is_category:
        # Order the categories by their mean gradient, that of output 0.
        for j in range(used):
            b = B[j]
            h = hist[0, f, b]
            if whole:
                g = np.float64(h >> 24)
                w0 = np.float64(h & 16777215)
            else:
                g = np.float64(h)
                w0 = np.float64(heavy_hist[f, b])
            N[0, j] = g / (w0 + l2)
        for j in range(1, used):
            key = N[0, j]
            bin_ = B[j]
            k = j - 1
            while k >= 0 and N[0, k] > key:
                N[0, k + 1] = N[0, k]
                B[k + 1] = B[k]
                k -= 1
            N[0, k + 1] = key
            B[k + 1] = bin_
    for p in range(P):
        total_s = 0.0
        total_n = 0.0
        for j in range(used):
            h = hist[p, f, B[j]]
            if whole:
                total_s += np.float64(h >> 24)
                total_n += np.float64(h & 16777215)
            else:
                total_s += np.float64(h)
                total_n += np.float64(heavy_hist[f, B[j]])
            S[p, j] = total_s
            N[p, j] = total_n
    # Missing to the right, then, if there are any, to the left.
    for side in range(2):
        if side == 1 and miss_n == 0.0:
            break
        last = used - 1 if (miss_n == 0.0 or side == 1) else used
        for j in range(last):
            nl = N[0, j]
            n = N[0, used - 1] + miss_n
            if side == 1:
                nl += miss_n
            nr = n - nl
            if nl < min_weight or nr < min_weight:
                continue
            gain = 0.0
            for p in range(P):
                h = hist[p, f, MISSING]
                miss_s = np.float64(h >> 24) if whole else np.float64(h)
                s = S[p, used - 1] + miss_s
                sl = S[p, j]
                if side == 1:
                    sl += miss_s
                sr = s - sl
                if cst != 0 or low[p] > -np.inf or high[p] < np.inf:
                    vl = _child_value(sl, nl, l2, low[p], high[p])
                    vr = _child_value(sr, nr, l2, low[p], high[p])
                    if (cst == 1 and vl > vr) or (cst == -1 and vl < vr):
                        gain = -1.0
                        break
                    v = _child_value(s, n, l2, low[p], high[p])
                    gain += importance[p] * (
                        _reduction(sl, nl, vl, l2)
                        + _reduction(sr, nr, vr, l2)
                        - _reduction(s, n, v, l2)
                    )
                elif l2 > 0.0:
                    gain += importance[p] * (
                        sl * sl / (nl + l2) + sr * sr / (nr + l2) - s * s / (n + l2)
                    )
                else:
                    # Exactly zero where the gradient is constant.
                    cross = sl * nr - sr * nl
                    gain += importance[p] * (cross * cross / (nl * nr * n))
            if gain > best[0]:
                best[0] = gain
                best[1] = j if is_category else B[j]
                # A value missing in prediction alone goes with the larger child.
                best[2] = side if miss_n > 0.0 else np.int64(nl > nr)
                best[3] = B[j + 1] if j + 1 < used else B[j]
                best[4] = S[0, j] + (
                    (
                        np.float64(hist[0, f, MISSING] >> 24)
                        if whole
                        else np.float64(hist[0, f, MISSING])
                    )
                    if side == 1
                    else 0.0
                )
                best[5] = nl
                found = True
    return found


@kernel
def grow(
    columns,
    features,
    packed,
    bits,
    units,
    whole,
    rows,
    scratch,
    n_bins,
    is_category,
    bin_low,
    bin_high,
    constraints,
    groups,
    alive,
    settings,
    importance,
    scales,
    hist,
    heavy_hist,
    S,
    N,
    C,
    B,
    node_float,
    node_int,
    tables,
    bounds,
    children,
    feature_out,
    code_out,
    missing_out,
    first_out,
    skip_out,
    table_out,
    gain_out,
    gradient,
    weights,
    cover_out,
    value_out,
):
    """Grow one tree best-first and return its number of leaves.

    Parameters
    ----------
    columns : the bins of all rows, by feature
    features : the features to choose from
    packed, bits : (P, n) work space for gradients, as integers and the same as floats
    units : (n,) the weights as integers; whole: whether they are so anyway
    rows : the rows to grow on; they are permuted. scratch: as many
    n_bins, bin_low, bin_high : by feature, and the range of the values in each bin
    constraints : by feature, 1 if the tree must rise with it, -1 if it must fall
    groups : (n_groups, n_features) which features may meet on a path; alive: work
    settings : max_leaves, max_depth, and smallest weight of a leaf, l2, both in units
        of quantised weights, and that unit
    importance : (P,) what the gain of each output counts; it is changed
    scales : (P,) the units of gradients are written here
    hist, heavy_hist, S, N, C, B, node_float, node_int, tables, bounds, children : work;
        B are the bits of S[0]
    feature_out, ... : the splits; the gain of each beside them
    gradient, weights : (P, n) and (n,)
    cover_out : (max_leaves,) the weight of each leaf
    value_out : (P, max_leaves) the values of the leaves, from exact gradients

    The node table has, as floats, what ``_scan_feature`` calls best, and the sum of
    output 0 and the weight of the node; as integers,
    start, end, depth, slot of the histogram, feature, last bin to the left, missing to
    the left, next non-empty bin (later the number of leaves), leftmost leaf.
    """
    P = packed.shape[0]
    max_leaves = np.int64(settings[0])
    max_depth = np.int64(settings[1])
    min_weight = settings[2]
    l2 = settings[3]
    weight_scale = settings[4]
    for p in range(P):
        scales[p] = _quantise(
            gradient[p], weights, units, whole, settings[5], packed[p], bits[p]
        )
        # One output alone is compared with itself: in its quantised unit.
        importance[p] = importance[p] / scales[p] ** 2 if P > 1 else 1.0
        bounds[0, p, 0] = -np.inf
        bounds[0, p, 1] = np.inf
    gain_unit = 1.0 if P > 1 else 1.0 / scales[0] ** 2
    node_int[0, 0] = 0
    node_int[0, 1] = rows.shape[0]
    node_int[0, 2] = 0
    children[0, 0] = -1
    for g in range(groups.shape[0]):
        alive[0, g] = 1
    n_nodes = 1
    n_leaves = 1
    # The nodes to be scanned: one whose histogram is yet to be made, and its sibling,
    # whose histogram is what is left of their parent's.
    fresh = 0
    sibling = -1
    while True:
        if fresh >= 0:
            slot = n_leaves - 1
            node_int[fresh, 3] = slot
            begin = node_int[fresh, 0]
            stop = node_int[fresh, 1]
            kept = node_int[sibling, 3] if sibling >= 0 else -1
            for p in range(P + (not whole)):
                # Behind the gradients come the weights.
                source = packed[p] if p < P else units
                table = hist[slot, p] if p < P else heavy_hist[slot]
                _clear(table)
                _add_rows(columns, features, source, rows, begin, stop, table)
                if kept >= 0:
                    _subtract(hist[kept, p] if p < P else heavy_hist[kept], table)
            if sibling < 0:
                _node_sums(
                    hist[slot, 0], heavy_hist[slot], features[0], n_bins, whole,
                    node_float[0],
                )  # fmt: skip
            for node in (fresh, sibling):
                if node >= 0:
                    _scan_node(
                        hist, heavy_hist, node, node_int[node, 3], features, n_bins,
                        whole, is_category, constraints, groups, alive, min_weight, l2,
                        importance, bounds, S, N, C, B, node_float, node_int, tables,
                    )  # fmt: skip
        if n_leaves == max_leaves:
            break
        node = -1
        gain = 0.0
        for j in range(n_nodes):
            if children[j, 0] < 0 and node_float[j, 0] > gain:
                gain = node_float[j, 0]
                node = j
        if node < 0:
            break
        start = node_int[node, 0]
        end = node_int[node, 1]
        f = node_int[node, 4]
        last = node_int[node, 5]
        miss_left = node_int[node, 6]
        category = is_category[f]
        if not category:
            # The threshold is the middle of the gap between the values of the node:
            # bins that are empty here but not elsewhere go to the nearer side.
            middle = 0.5 * (bin_high[f, last] + bin_low[f, node_int[node, 7]])
            while last + 1 < node_int[node, 7] and bin_high[f, last + 1] <= middle:
                last += 1
            node_int[node, 5] = last
        column = columns[f]
        left = start
        right = 0
        if category:
            table = tables[node]
            for k in range(start, end):
                i = rows[k]
                goes = np.int64(table[column[np.uint64(i)]])
                rows[left] = i
                scratch[right] = i
                left += goes
                right += 1 - goes
        else:
            # The wrap-around puts missing values, 255, below all others.
            shift = np.uint8(miss_left)
            limit = np.uint8(last + miss_left)
            for k in range(start, end):
                i = rows[k]
                goes = np.int64(np.uint8(column[np.uint64(i)] + shift) <= limit)
                rows[left] = i
                scratch[right] = i
                left += goes
                right += 1 - goes
        for k in range(right):
            rows[left + k] = scratch[k]
        a = n_nodes
        b = n_nodes + 1
        n_nodes += 2
        children[node, 0] = a
        children[node, 1] = b
        depth = node_int[node, 2] + 1
        for child in (a, b):
            children[child, 0] = -1
            node_float[child, 0] = 0.0
            node_int[child, 2] = depth
            # One of the two keeps the histogram.
            node_int[child, 3] = node_int[node, 3]
            for p in range(P):
                bounds[child, p, 0] = bounds[node, p, 0]
                bounds[child, p, 1] = bounds[node, p, 1]
            for g in range(groups.shape[0]):
                alive[child, g] = alive[node, g] & groups[g, f]
        node_int[a, 0] = start
        node_int[a, 1] = left
        node_int[b, 0] = left
        node_int[b, 1] = end
        for j in range(2):
            node_float[a, 6 + j] = node_float[node, 4 + j]
            node_float[b, 6 + j] = node_float[node, 6 + j] - node_float[node, 4 + j]
        n_leaves += 1
        cst = constraints[f]
        if cst != 0:
            low = bounds[node, 0, 0]
            high = bounds[node, 0, 1]
            vl = _child_value(node_float[a, 6], node_float[a, 7], l2, low, high)
            vr = _child_value(node_float[b, 6], node_float[b, 7], l2, low, high)
            middle = 0.5 * (vl + vr)
            upper = 1 if cst > 0 else 0
            bounds[a, 0, upper] = middle
            bounds[b, 0, 1 - upper] = middle
        # Histogram of the smaller child; the larger one keeps what is left.
        fresh = a
        sibling = b
        if left - start > end - left:
            fresh = b
            sibling = a
        if n_leaves == max_leaves or depth >= max_depth:
            fresh = -1
    _number_leaves(n_nodes, node_int, children)
    # Parents come before children in the order of creation.
    out = 0
    for node in range(n_nodes):
        if children[node, 0] < 0:
            leaf = node_int[node, 8]
            mass = node_float[node, 7] / weight_scale
            cover_out[leaf] = mass
            mass += l2 / weight_scale
            for p in range(P):
                total = _row_sum(
                    gradient[p], weights, rows, node_int[node, 0], node_int[node, 1]
                )
                # Bounds of monotonic constraints are in units of quantised sums.
                unit = weight_scale / scales[p]
                low = bounds[node, p, 0] * unit
                high = bounds[node, p, 1] * unit
                value_out[p, leaf] = _clamp(total / mass, low, high)
            continue
        f = node_int[node, 4]
        feature_out[out] = f
        code_out[out] = node_int[node, 5]
        missing_out[out] = node_int[node, 6]
        first_out[out] = node_int[node, 8]
        skip_out[out] = node_int[children[node, 1], 8] - node_int[node, 8]
        gain_out[out] = node_float[node, 0] * gain_unit
        if is_category[f]:
            code_out[out] = 255
            for c in range(256):
                table_out[out, c] = tables[node, c]
        out += 1
    return n_leaves


@helper
def _row_sum(gradient, weights, rows, start, end):
    """Return the sum of weight * gradient, in four parts side by side."""
    a = 0.0
    b = 0.0
    c = 0.0
    d = 0.0
    k = start
    while k + 3 < end:
        i = np.uint64(rows[k])
        a += weights[i] * gradient[i]
        i = np.uint64(rows[k + 1])
        b += weights[i] * gradient[i]
        i = np.uint64(rows[k + 2])
        c += weights[i] * gradient[i]
        i = np.uint64(rows[k + 3])
        d += weights[i] * gradient[i]
        k += 4
    while k < end:
        i = np.uint64(rows[k])
        a += weights[i] * gradient[i]
        k += 1
    return (a + b) + (c + d)


@helper
def _number_leaves(n_nodes, node_int, children):
    for back in range(n_nodes):
        node = n_nodes - 1 - back
        if children[node, 0] < 0:
            node_int[node, 7] = 1
        else:
            both = node_int[children[node, 0], 7] + node_int[children[node, 1], 7]
            node_int[node, 7] = both
    node_int[0, 8] = 0
    for node in range(n_nodes):
        a = children[node, 0]
        if a >= 0:
            node_int[a, 8] = node_int[node, 8]
            node_int[children[node, 1], 8] = node_int[node, 8] + node_int[a, 7]


@helper
def _node_sums(hist, heavy_hist, f, n_bins, whole, out):
    """Write the sum of gradients and the weight of a node behind its best split."""
    out[6] = 0.0
    out[7] = 0.0
    for b in range(n_bins[f] + 1):
        c = b if b < n_bins[f] else MISSING
        if whole:
            out[6] += np.float64(hist[f, c] >> 24)
            out[7] += np.float64(hist[f, c] & 16777215)
        else:
            out[6] += np.float64(hist[f, c])
            out[7] += np.float64(heavy_hist[f, c])


@helper
def _may_interact(groups, alive, f):
    """Return whether a feature is in a group that no split above has left."""
    for g in range(groups.shape[0]):
        if alive[g] and groups[g, f]:
            return True
    return groups.shape[0] == 0


@helper
def _scan_node(
    hist, heavy_hist, node, slot, features, n_bins, whole, is_category, constraints,
    groups, alive, min_weight, l2, importance, bounds, S, N, C, B, node_float,
    node_int, tables,
):  # fmt: skip
    """Find the best split of a node and note it in the node tables."""
    best = node_float[node]
    best[0] = 0.0
    plain = whole and hist.shape[1] == 1 and bounds[node, 0, 0] == -bounds[node, 0, 1]
    for j in range(features.shape[0]):
        f = features[j]
        if not _may_interact(groups, alive[node], f):
            continue
        free = not is_category[f] and constraints[f] == 0 and l2 == 0.0
        if plain and free:
            # The gain to beat stands behind the gains of the bins.
            S[0, n_bins[f]] = best[0]
            found = _scan_plain(
                hist[slot, 0, f], n_bins[f], min_weight, C, S[0], B, best
            )
        else:
            found = _scan_feature(
                hist[slot], heavy_hist[slot], f, n_bins[f], whole, is_category[f],
                constraints[f], min_weight, l2, importance, bounds[node, :, 0],
                bounds[node, :, 1], S, N, C, best,
            )  # fmt: skip
        if found:
            node_int[node, 4] = f
            node_int[node, 5] = np.int64(best[1])
            node_int[node, 6] = np.int64(best[2])
            node_int[node, 7] = np.int64(best[3])
            if is_category[f]:
                for c in range(256):
                    tables[node, c] = 0
                for k in range(np.int64(best[1]) + 1):
                    tables[node, C[k]] = 1
                tables[node, MISSING] = best[2] > 0


# ---- using trees ---------------------------------------------------------------------
BLOCK = 1024


@helper
def _leaf_block(
    columns, start, size, feature, code, missing, first, skip, tables, begin, end, leaf
):
    """Write the leaf of each row of a block, for the tree of splits begin to end."""
    for i in range(size):
        leaf[i] = 0
    for j in range(begin, end):
        here = first[j]
        step = skip[j]
        column = columns[feature[j], start : start + size]
        if code[j] == 255:
            table = tables[j]
            for i in range(size):
                if leaf[i] == here and table[column[i]] == 0:
                    leaf[i] = here + step
        else:
            # The wrap-around puts missing values, 255, below all others.
            shift = missing[j]
            limit = np.uint8(code[j] + shift)
            there = np.uint8(here + step)
            for i in range(size):
                right = np.uint8(column[i] + shift) > limit
                leaf[i] = there if (leaf[i] == here) & right else leaf[i]


@kernel
def find_leaves(columns, feature, code, missing, first, skip, tables, n_splits, leaf):
    """Write the number of the leaf of each row in one tree."""
    n = columns.shape[1]
    start = 0
    while start < n:
        size = min(BLOCK, n - start)
        _leaf_block(
            columns, start, size, feature, code, missing, first, skip, tables, 0,
            n_splits, leaf[start : start + size],
        )  # fmt: skip
        start += size


@kernel
def add_trees(
    columns, feature, code, missing, first, skip, tables, splits_at, leaves_at, trees,
    values, leaf, out,
):  # fmt: skip
    """Add the values of some trees to out[k, i], for all their outputs k.

    splits_at and leaves_at say where the splits and the values of each tree begin.
    """
    n = columns.shape[1]
    K = values.shape[0]
    start = 0
    while start < n:
        size = min(BLOCK, n - start)
        for t in trees:
            _leaf_block(
                columns, start, size, feature, code, missing, first, skip, tables,
                splits_at[t], splits_at[t + 1], leaf,
            )  # fmt: skip
            for k in range(K):
                value = values[k, leaves_at[t] : leaves_at[t + 1]]
                row = out[k, start : start + size]
                for i in range(size):
                    row[i] += value[leaf[i]]
        start += size


@kernel
def leaf_sums(leaf, gradient, weights, chosen, sums, mass):
    """Add up weight * gradient, and the weight, of the chosen rows in each leaf."""
    for k in range(chosen.shape[0]):
        i = np.uint64(chosen[k])
        mass[leaf[i]] += weights[i]
    for p in range(gradient.shape[0]):
        out = sums[p]
        row = gradient[p]
        for k in range(chosen.shape[0]):
            i = np.uint64(chosen[k])
            out[leaf[i]] += weights[i] * row[i]


@kernel
def spread_values(leaf, values, out):
    """Write the value of its leaf for each row and output."""
    for p in range(values.shape[0]):
        row = out[p]
        value = values[p]
        for i in range(leaf.shape[0]):
            row[i] = value[leaf[i]]


# ---- draws ---------------------------------------------------------------------------
@helper
def _mixed(x):
    """Return 64 bits that look random, and differ for different x (SplitMix64)."""
    x += np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@kernel
def draw_rows(seed, share, rows):
    """Write the numbers of the rows drawn, each with probability share; all if none.

    Returns how many they are.
    """
    n = rows.shape[0]
    if share < 1.0:
        start = _mixed(np.uint64(seed))
        limit = np.uint64(share * 9007199254740992.0)
        count = 0
        for i in range(n):
            rows[count] = i
            count += np.int64(_mixed(start + np.uint64(i)) >> np.uint64(11) < limit)
        if count > 0:
            return count
    for i in range(n):
        rows[i] = i
    return n


@kernel
def draw_features(seed, tree, features, n_drawn):
    """Order features so that the first n_drawn are a random choice, ascending."""
    d = features.shape[0]
    for f in range(d):
        features[f] = f
    if n_drawn == d:
        return
    start = _mixed(_mixed(np.uint64(seed)) ^ np.uint64(tree + 1))
    for j in range(n_drawn):
        other = j + np.int64(_mixed(start + np.uint64(j)) % np.uint64(d - j))
        f = features[other]
        features[other] = features[j]
        k = j - 1
        while k >= 0 and features[k] > f:
            features[k + 1] = features[k]
            k -= 1
        features[k + 1] = f


# ---- the normal distribution ---------------------------------------------------------
# Sums go into four parts in an order that is written out: whichever kernel a loop is
# compiled into, the result is the same to the last bit.
@helper
def _go_far(theta, start, moved):
    for k in range(2):
        far = moved[k]
        for i in range(theta.shape[1]):
            far = max(far, abs(theta[k, i] - start[k]))
        moved[k] = far


@kernel
def normal_refresh(theta, y, theta_val, start, precision, gradient, moved):
    """Write 1 / scale^2, the natural gradient, and how far theta came from its start.

    The validation rows count for the latter.
    """
    for i in range(y.shape[0]):
        p = np.exp(-2.0 * theta[1, i])
        r = theta[0, i] - y[i]
        precision[i] = p
        gradient[0, i] = r
        gradient[1, i] = 0.5 * (1.0 - r * r * p)
    moved[0] = 0.0
    moved[1] = 0.0
    _go_far(theta, start, moved)
    _go_far(theta_val, start, moved)


@kernel
def set_factors(by, n_leaves, factor):
    """Write the factors of 1 / scale^2 where by is added to the log scale."""
    for j in range(n_leaves):
        factor[j] = np.exp(-2.0 * by[j])


@kernel
def normal_score(theta, y, weights):
    """Return the weighted sum of log scores, up to a constant."""
    total = 0.0
    for i in range(y.shape[0]):
        r = theta[0, i] - y[i]
        total += weights[i] * (theta[1, i] + 0.5 * (r * r * np.exp(-2.0 * theta[1, i])))
    return total


@kernel
def normal_trial(theta, y, precision, weights, leaf, by, factor, lanes):
    """Return the sum of log scores after a step, up to a constant.

    by is what the leaves add to the location and the log scale, factor is
    exp(-2 by[1]), so that there is no exponential for each row. lanes are 4 sums.
    """
    lanes[:] = 0.0
    for i in range(np.uint64(y.shape[0])):
        b = leaf[1, i]
        r = theta[0, i] + by[0, leaf[0, i]] - y[i]
        q = r * r * (precision[i] * factor[b])
        lanes[i & np.uint64(3)] += weights[i] * (theta[1, i] + by[1, b] + 0.5 * q)
    return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])


@kernel
def normal_step(theta, y, precision, weights, leaf, by, factor, gradient, lanes):
    """Make a step, write the natural gradient, and return what ``normal_trial`` does.

    precision is 1 / scale^2 of each row, and is kept up.
    """
    lanes[:] = 0.0
    for i in range(np.uint64(y.shape[0])):
        b = leaf[1, i]
        loc = theta[0, i] + by[0, leaf[0, i]]
        log_scale = theta[1, i] + by[1, b]
        p = precision[i] * factor[b]
        r = loc - y[i]
        q = r * r * p
        theta[0, i] = loc
        theta[1, i] = log_scale
        precision[i] = p
        gradient[0, i] = r
        gradient[1, i] = 0.5 * (1.0 - q)
        lanes[i & np.uint64(3)] += weights[i] * (log_scale + 0.5 * q)
    return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
