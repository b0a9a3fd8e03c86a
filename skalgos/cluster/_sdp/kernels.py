"""The passes over the data and over dense matrices that the SDP solvers repeat."""

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
        for f in range(p):
            x = X[f, lo:hi]
            s = 0.0
            for i in range(m):
                s += x[i] * v[i]
            acc[at + f * R + r] += s
        for t in range(r + 1):
            x = V[t, lo:hi]
            s = 0.0
            for i in range(m):
                s += x[i] * v[i]
            acc[at + p * R + r * R + t] += s


@kernel(reassociate=True)
def low_rank_sums(X, d, h, y, block, V, start, stop, acc):
    """Collect the sums of columns V, over a range of rows."""
    acc[:] = 0.0
    for lo in range(start, stop, LANES):
        _collect(X, d, h, y, block, V, lo, min(lo + LANES, stop), acc)


@kernel(reassociate=True)
def low_rank_pass(
    X,
    d,
    h,
    y,
    block,
    U,
    scale,
    V,
    old_scale,
    G,
    M,
    ahead,
    s,
    beta,
    step,
    fresh,
    start,
    stop,
    work,
    acc,
):
    """Do one projected gradient step, and collect the sums that belong to its end.

    The columns are U times scale; V holds those before them, times old_scale, and gets
    max(U - step G, 0). If fresh is not 0 the gradient
    G = h ahead' + (y + beta c + d / 2) s' - X' M with c = U s - h is computed first,
    and the inner products of the last change of the columns and of the gradient.
    """
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
                u, sr = U[r, lo:hi], beta * s[r] * scale[r]
                for i in range(m):
                    w[i] += sr * u[i]
        for r in range(R):
            u, v, g = U[r, lo:hi], V[r, lo:hi], G[r, lo:hi]
            up = scale[r]
            if fresh != 0:
                hb, db = h[lo:hi], d[block[r], lo:hi]
                down, ar, sr = old_scale[r], ahead[r], s[r]
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
                for f in range(p):
                    x, c = X[f, lo:hi], M[f, r]
                    for i in range(m):
                        g[i] -= c * x[i]
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


# ---- Gaussians -----------------------------------------------------------------------
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
