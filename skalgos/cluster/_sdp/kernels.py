"""The passes over the data and over dense matrices that the SDP solvers repeat."""

import numpy as np

from skalgos._jit import helper, kernel

# Rows that are worked on together: their share of every array stays in the first cache.
LANES = 256


# ---- exact solvers -------------------------------------------------------------------
@kernel(reassociate=True)
def kmeans_step(Z, T, C, relax, rho, out):
    """Do the two elementwise steps of the K-means splitting, in one pass.

    With Y = max(T, 0) and U = min(T, 0) the new state is T = relax Z + (1 - relax) Y +
    U. Z is overwritten by Y - U - C / rho, and out gets the sums of squares of Z - Y
    and of the change of Y.
    """
    n = Z.shape[0]
    primal, dual = 0.0, 0.0
    scale = 1.0 / rho
    for i in range(n):
        for j in range(n):
            z, t = Z[i, j], T[i, j]
            y = max(t, 0.0)
            t = relax * z + (1.0 - relax) * y + (t - y)
            new = max(t, 0.0)
            primal += (z - new) * (z - new)
            dual += (new - y) * (new - y)
            T[i, j] = t
            Z[i, j] = abs(t) - C[i, j] * scale
    out[0], out[1] = primal, dual


@helper
def _row_level(T, i, q, ai):
    """Return the root of sum(q max(T_i - ai q, 0)) = q_i, by Newton steps from ai."""
    K, n = T.shape[0], T.shape[1]
    # From the left of the root the steps rise to it; one step gets there.
    for _ in range(60):
        value, slope = 0.0, 0.0
        for k in range(K):
            for j in range(n):
                qj = q[j]
                excess = T[k, i, j] - ai * qj
                active = 1.0 if excess > 0.0 else 0.0
                value += active * qj * excess
                slope += active * qj * qj
        value -= q[i]
        if slope == 0.0:
            # Right of all breakpoints: start again from the far left.
            least = T[0, i, 0] / q[0]
            for k in range(K):
                for j in range(n):
                    least = min(least, T[k, i, j] / q[j])
            ai = least - 1.0
            continue
        step = value / slope
        ai += step
        if abs(step) <= 1e-15 * (1.0 + abs(ai)):
            break
    return ai


@kernel(reassociate=True)
def lasdp_restart(T, C, q, a, rho, Z):
    """Find a for new T, and fill Z with what comes after a step."""
    K, n = T.shape[0], T.shape[1]
    scale = 1.0 / rho
    for i in range(n):
        ai = _row_level(T, i, q, a[i])
        a[i] = ai
        for k in range(K):
            for j in range(n):
                level = ai * q[j]
                Z[k, i, j] = abs(T[k, i, j] - level) - level - C[k, i, j] * scale


@kernel(reassociate=True)
def lasdp_step(Z, T, C, q, a, relax, rho, old, out):
    """Do the row-wise steps of the splitting for K matrices, in one pass.

    Y is the projection of the rows of T, over all K, on the simplex of y >= 0 with
    sum(q y) = q_i: Y = max(T - a_i q, 0), where a_i is found by Newton steps from its
    last value; U = min(T, a_i q). Z is overwritten by Y - U - C / rho, not symmetric.
    """
    K, n = Z.shape[0], Z.shape[1]
    primal, dual = 0.0, 0.0
    scale = 1.0 / rho
    for i in range(n):
        ai = a[i]
        for k in range(K):
            for j in range(n):
                t = T[k, i, j]
                y = max(t - ai * q[j], 0.0)
                old[k, j] = y
                T[k, i, j] = relax * Z[k, i, j] + (1.0 - relax) * y + (t - y)
        ai = _row_level(T, i, q, ai)
        a[i] = ai
        for k in range(K):
            for j in range(n):
                t, z = T[k, i, j], Z[k, i, j]
                level = ai * q[j]
                new = max(t - level, 0.0)
                primal += (z - new) * (z - new)
                dual += (new - old[k, j]) * (new - old[k, j])
                Z[k, i, j] = abs(t - level) - level - C[k, i, j] * scale
    out[0], out[1] = primal, dual


@kernel
def symmetrize(B):
    """Replace B by (B + B') / 2, tile by tile."""
    n = B.shape[0]
    for i0 in range(0, n, 32):
        i1 = min(i0 + 32, n)
        for j0 in range(0, i1, 32):
            for i in range(i0, i1):
                for j in range(j0, min(j0 + 32, i)):
                    value = 0.5 * (B[i, j] + B[j, i])
                    B[i, j] = value
                    B[j, i] = value


# ---- low-rank solver -----------------------------------------------------------------
# The sums that a pass collects for R columns and p features, in the order of their
# places: U'h, U'd, U'y, U'U0, the squares of the columns (R each), three inner products
# of the last step, X'U (p R) and the lower triangle of U'U (R R).
# Views from 0 on, in all of them: an index that could be negative is not vectorised.
@helper
def _collect(X, d, h, y, block, V, lo, hi, acc):
    """Add the sums over the rows lo to hi of the columns V."""
    R, p, m = V.shape[0], X.shape[0], hi - lo
    at = 5 * R + 3
    hb, yb = h[lo:hi], y[lo:hi]
    for r in range(R):
        v, db = V[r, lo:hi], d[block[r], lo:hi]
        s, ud, uy, norm = 0.0, 0.0, 0.0, 0.0
        for i in range(m):
            s += hb[i] * v[i]
            ud += db[i] * v[i]
            uy += yb[i] * v[i]
            norm += v[i] * v[i]
        acc[r] += s
        acc[R + r] += ud
        acc[2 * R + r] += uy
        acc[4 * R + r] += norm
        # Four at a time, so that v is read once for them.
        for f in range(0, p - 3, 4):
            _four_products(X, f, lo, hi, v, acc, at + f * R + r, R)
        for f in range(p - p % 4, p):
            acc[at + f * R + r] += _product(X[f, lo:hi], v)
        row = at + p * R + r * R
        for t in range(0, r - 2, 4):
            _four_products(V, t, lo, hi, v, acc, row + t, 1)
        for t in range(r + 1 - (r + 1) % 4, r + 1):
            acc[row + t] += _product(V[t, lo:hi], v)


@helper
def _product(x, v):
    s = 0.0
    for i in range(v.shape[0]):
        s += x[i] * v[i]
    return s


@helper
def _four_products(X, f, lo, hi, v, acc, at, stride):
    """Add the inner products of v with four rows of X to places of acc."""
    x0, x1, x2, x3 = X[f, lo:hi], X[f + 1, lo:hi], X[f + 2, lo:hi], X[f + 3, lo:hi]
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    for i in range(v.shape[0]):
        s0 += x0[i] * v[i]
        s1 += x1[i] * v[i]
        s2 += x2[i] * v[i]
        s3 += x3[i] * v[i]
    acc[at] += s0
    acc[at + stride] += s1
    acc[at + 2 * stride] += s2
    acc[at + 3 * stride] += s3


@kernel(reassociate=True)
def low_rank_sums(X, d, h, y, block, V, start, stop, acc):
    """Collect the sums of columns V, over a range of rows."""
    acc[:] = 0.0
    for lo in range(start, stop, LANES):
        _collect(X, d, h, y, block, V, lo, min(lo + LANES, stop), acc)


@helper
def _rescaled(acc, block, forms, logs, traces, beta, n_total, yh, point, M, value):
    """Rescale each block to its trace, which is the projection with the clipping.

    The rows of ``point`` get U'h, U'd, U'y, the scale of each column, and what h
    multiplies in the gradient; M gets what X' does. ``value`` gets the objective (to be
    minimised), the Lagrangian, |c|^2 and the trace of U'U0. Returns False for a block
    that was clipped away altogether.
    """
    R, p, B = block.shape[0], forms.shape[1], traces.shape[0]
    each = R // B
    at = 5 * R + 3
    for b in range(B):
        total = 0.0
        for r in range(b * each, (b + 1) * each):
            total += acc[4 * R + r]
        if not total > 0.0:
            return False
        for r in range(b * each, (b + 1) * each):
            point[3, r] = np.sqrt(traces[b] / total)
    objective, linear, cross, squares = 0.0, -yh, 0.0, 0.0
    for r in range(R):
        scale, b = point[3, r], block[r]
        s, ud, uy = scale * acc[r], scale * acc[R + r], scale * acc[2 * R + r]
        point[0, r], point[1, r], point[2, r] = s, ud, uy
        objective += 0.5 * (logs[b] * s + ud) * s
        linear += uy * s
        cross += scale * acc[3 * R + r]
        squares += s * s
        for f in range(p):
            m = 0.0
            for g in range(p):
                m += forms[b, f, g] * acc[at + g * R + r]
            m *= scale
            objective -= 0.5 * scale * acc[at + f * R + r] * m
            M[f, r] = m
    at += p * R
    miss = n_total - squares
    for r in range(R):
        uc = 0.0
        for t in range(R):
            entry = at + (r * R + t if t <= r else t * R + r)
            uc += acc[entry] * point[3, t] * point[0, t]
        uc = uc * point[3, r] - point[0, r]
        miss += point[0, r] * uc
        ahead = logs[block[r]] * point[0, r] + 0.5 * point[1, r] + point[2, r]
        point[4, r] = ahead + beta * uc
    miss = max(miss, 0.0)
    value[0], value[1] = objective, objective + linear + 0.5 * beta * miss
    value[2], value[3] = miss, cross
    return True


@kernel
def low_rank_point(acc, block, forms, logs, traces, beta, n_total, yh, point, M, value):
    """Do what a stage does first: see :func:`_rescaled`."""
    for c in range(1, acc.shape[0]):
        for j in range(acc.shape[1]):
            acc[0, j] += acc[c, j]
    _rescaled(acc[0], block, forms, logs, traces, beta, n_total, yh, point, M, value)


@helper
def _pass(
    X, d, h, y, block, U, point, M, V, old_scale, G, beta, step, fresh, start, stop,
    work, acc,
):  # fmt: skip
    R, p = U.shape[0], X.shape[0]
    acc[:] = 0.0
    for lo in range(start, stop, LANES):
        hi = min(lo + LANES, stop)
        m = hi - lo
        w, before = work[0, 0:m], work[1, 0:m]
        if fresh != 0:
            hb, yb = h[lo:hi], y[lo:hi]
            for i in range(m):
                w[i] = yb[i] - beta * hb[i]
            for r in range(R):
                u, sr = U[r, lo:hi], beta * point[0, r] * point[3, r]
                for i in range(m):
                    w[i] += sr * u[i]
        for r in range(R):
            u, v, g = U[r, lo:hi], V[r, lo:hi], G[r, lo:hi]
            up = point[3, r]
            if fresh != 0:
                hb, db = h[lo:hi], d[block[r], lo:hi]
                down, ar, sr = old_scale[r], point[4, r], point[0, r]
                ug, uu, gg = 0.0, 0.0, 0.0
                # V is free to hold the change once its content is used.
                for i in range(m):
                    change = up * u[i] - down * v[i]
                    v[i] = change
                    uu += change * change
                    ug -= change * g[i]
                for i in range(m):
                    before[i] = g[i]
                    g[i] = hb[i] * ar + (w[i] + 0.5 * db[i]) * sr
                for f in range(0, p - 3, 4):
                    x0, x1 = X[f, lo:hi], X[f + 1, lo:hi]
                    x2, x3 = X[f + 2, lo:hi], X[f + 3, lo:hi]
                    c0, c1, c2, c3 = M[f, r], M[f + 1, r], M[f + 2, r], M[f + 3, r]
                    for i in range(m):
                        g[i] -= c0 * x0[i] + c1 * x1[i] + c2 * x2[i] + c3 * x3[i]
                for f in range(p - p % 4, p):
                    x0, c0 = X[f, lo:hi], M[f, r]
                    for i in range(m):
                        g[i] -= c0 * x0[i]
                for i in range(m):
                    change = g[i] - before[i]
                    ug += v[i] * g[i]
                    gg += change * change
                acc[5 * R] += uu
                acc[5 * R + 1] += ug
                acc[5 * R + 2] += gg
            cross = 0.0
            for i in range(m):
                value = up * u[i]
                new = max(value - step * g[i], 0.0)
                cross += value * new
                v[i] = new
            acc[3 * R + r] += cross
        _collect(X, d, h, y, block, V, lo, hi, acc)


# Of the state of a stage, its counts: which of the two places holds the columns, passes
# in all, whether the gradient is due, steps of this stage, and whether it has settled;
# and its numbers: beta, step, the change that counts as none, the curvature, and the
# three inner products of the last step.
@helper
def _judged(
    acc, block, forms, logs, traces, n_total, yh, points, Ms, values, recent, numbers,
    counts,
):  # fmt: skip
    """Accept a step or shorten it, and choose the next one's length."""
    w = counts[0]
    R = block.shape[0]
    beta, step, inner_tol, curvature = numbers[0], numbers[1], numbers[2], numbers[3]
    counts[1] += 1
    if counts[2] != 0:
        numbers[4], numbers[5], numbers[6] = acc[5 * R], acc[5 * R + 1], acc[5 * R + 2]
        counts[2] = 0
    value = values[1 - w]
    if not _rescaled(
        acc, block, forms, logs, traces, beta, n_total, yh, points[1 - w], Ms[1 - w],
        value,
    ):  # fmt: skip
        numbers[1] = 0.3 * step
        return
    total = 0.0
    for b in range(traces.shape[0]):
        total += traces[b]
    moved = max(2.0 * (total - value[3]), 0.0)
    highest = recent[0]
    for i in range(1, recent.shape[0]):
        highest = max(highest, recent[i])
    # A step that is too short to be told from none ends the search for its length.
    if value[1] > highest - 1e-4 * moved / step and moved >= 1e-20 * total:
        numbers[1] = 0.3 * step
        return
    counts[0], counts[2] = 1 - w, 1
    recent[counts[3] % recent.shape[0]] = value[1]
    counts[3] += 1
    if np.sqrt(moved / total) < inner_tol * min(1.0, step * curvature):
        counts[4] = 1
    # The inner products are those of the step before: the length lags by one.
    if counts[3] > 1 and numbers[5] > 0.0:
        if counts[3] % 2 != 0:
            step = numbers[4] / numbers[5]
        else:
            step = numbers[5] / numbers[6]
        numbers[1] = min(max(step, 1e-4 / curvature), 1e4 / curvature)


@kernel(reassociate=True)
def low_rank_pass(
    X, d, h, y, block, pair, points, Ms, G, numbers, counts, start, stop, work, acc
):
    """Do one projected gradient step, and collect the sums that belong to its end.

    The columns are U times a scale; V holds those before them, times theirs, and gets
    max(U - step G, 0). If it is due the gradient
    G = h ahead' + (y + beta c + d / 2) s' - X' M with c = U s - h is computed first,
    and the inner products of the last change of the columns and of the gradient.
    """
    w = counts[0]
    _pass(
        X, d, h, y, block, pair[w], points[w], Ms[w], pair[1 - w], points[1 - w, 3], G,
        numbers[0], numbers[1], counts[2], start, stop, work, acc,
    )  # fmt: skip


@kernel
def low_rank_judge(
    acc, block, forms, logs, traces, n_total, yh, points, Ms, values, recent, numbers,
    counts,
):  # fmt: skip
    """Accept the step whose sums are in acc, one row for each chunk, or shorten it."""
    for c in range(1, acc.shape[0]):
        for j in range(acc.shape[1]):
            acc[0, j] += acc[c, j]
    _judged(
        acc[0], block, forms, logs, traces, n_total, yh, points, Ms, values, recent,
        numbers, counts,
    )  # fmt: skip


@kernel(reassociate=True)
def low_rank_stage(
    X, d, h, y, block, pair, points, Ms, G, forms, logs, traces, n_total, yh, values,
    recent, numbers, counts, work, acc, most, max_iter,
):  # fmt: skip
    """Do passes until the columns settle, with the multipliers as they are."""
    n = X.shape[1]
    while counts[4] == 0 and counts[3] < most and counts[1] < max_iter:
        w = counts[0]
        _pass(
            X, d, h, y, block, pair[w], points[w], Ms[w], pair[1 - w],
            points[1 - w, 3], G, numbers[0], numbers[1], counts[2], 0, n, work, acc,
        )  # fmt: skip
        _judged(
            acc, block, forms, logs, traces, n_total, yh, points, Ms, values, recent,
            numbers, counts,
        )  # fmt: skip


# ---- Gaussians -----------------------------------------------------------------------
@kernel
def lower_inverses(L, out):
    """Fill out[k] with the inverse of the lower triangular L[k]; zeros above."""
    p = L.shape[1]
    out[:] = 0.0
    for k in range(L.shape[0]):
        for j in range(p):
            out[k, j, j] = 1.0 / L[k, j, j]
            for i in range(j + 1, p):
                value = 0.0
                for g in range(j, i):
                    value -= L[k, i, g] * out[k, g, j]
                out[k, i, j] = value / L[k, i, i]


@kernel
def quadratic_forms(X, W, shift, log_det, start, stop, work, out):
    """Fill out[k, i] with log|S_k| + |W_k x_i - shift_k|^2, W_k lower triangular.

    X has the features along the first axis. Every row has its own sums in the order of
    the features, so a result does not depend on the rows around it.
    """
    p, K = X.shape[0], W.shape[0]
    for lo in range(start, stop, LANES):
        hi = min(lo + LANES, stop)
        m = hi - lo
        for k in range(K):
            total = out[k, lo:hi]
            for i in range(m):
                total[i] = log_det[k]
            for f in range(p):
                for i in range(m):
                    work[i] = -shift[k, f]
                for g in range(f + 1):
                    w, x = W[k, f, g], X[g, lo:hi]
                    if w != 0.0:
                        for i in range(m):
                            work[i] += w * x[i]
                for i in range(m):
                    total[i] += work[i] * work[i]


@kernel
def nearest_groups(scores, start, stop, labels):
    """Fill labels with the first k of the smallest score; return how many changed."""
    changed = 0
    for i in range(start, stop):
        best = 0
        for k in range(1, scores.shape[0]):
            if scores[k, i] < scores[best, i]:
                best = k
        if labels[i] != best:
            changed += 1
            labels[i] = best
    return changed


@kernel
def group_moments(X, weights, labels, start, stop, acc):
    """Add weights, sums and lower triangles of X'X by label; X has features first."""
    p = X.shape[0]
    acc[:] = 0.0
    for i in range(start, stop):
        k, w = labels[i], weights[i]
        acc[k, 0] += w
        at = p + 1
        for f in range(p):
            wx = w * X[f, i]
            acc[k, 1 + f] += wx
            for g in range(f + 1):
                acc[k, at + g] += wx * X[g, i]
            at += f + 1


# ---- Ward ----------------------------------------------------------------------------
@kernel
def ward_merges(D, weights, chain, left, right, height):
    """Merge by Ward's criterion along chains of nearest neighbours.

    D holds twice the rise of the inertia by merging each pair, and is overwritten.
    Merge m joins left[m] into right[m]; the order of the heights is not that of the
    merges.
    """
    n = D.shape[0]
    size, first = 0, 0
    for m in range(n - 1):
        if size == 0:
            while weights[first] == 0.0:
                first += 1
            chain[0] = first
            size = 1
        while True:
            a = chain[size - 1]
            # On ties the one before in the chain, else chains could run in circles.
            b = chain[size - 2] if size > 1 else -1
            best = D[a, b] if size > 1 else 1e308
            for j in range(n):
                if weights[j] != 0.0 and j != a and D[a, j] < best:
                    best = D[a, j]
                    b = j
            if size > 1 and b == chain[size - 2]:
                break
            chain[size] = b
            size += 1
        size -= 2
        left[m], right[m], height[m] = a, b, best
        wa, wb = weights[a], weights[b]
        for j in range(n):
            wj = weights[j]
            if wj != 0.0 and j != a and j != b:
                value = (wa + wj) * D[a, j] + (wb + wj) * D[b, j] - wj * best
                value /= wa + wb + wj
                D[b, j] = value
                D[j, b] = value
        weights[b] = wa + wb
        weights[a] = 0.0
