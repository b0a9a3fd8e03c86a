"""The rows of a half-sweep: regressions that share one table of regressors.

Notation, throughout. Row i has the values ``data[t]`` at the columns ``indices[t]``,
``t`` from ``indptr[i]`` to ``indptr[i + 1]``. Its regressors are the first p entries
of ``table[indices[t]]``, gathered into B, and with ``offset >= 0`` that entry of the
table is subtracted from the value first. With weights w the coefficients x minimise

    sum of w rho(data - offset - B x) + 1/2 sum_a ridge_a x_a^2,

by a correction to those found in ``out[i]``: q are the residuals there, ``v`` the
weights w rho'(q) / q of iteratively reweighted least squares, and the correction
solves ``(B^T diag(v) B + ridge) step = B^T (v q) - ridge x``. The first k coefficients
live in ``out[i, :k]``; a last one, the bias, in ``out[i, k + 1]``, for the table has a
column of ones in place k.
"""

import numpy as np

from skalgos._jit import helper, kernel

SQUARED, HUBER, TUKEY = 0, 1, 2

# Corrections smaller than this many units in the last place are rounding.
_ULPS = 4.0


@helper
def reweight(q, loss, cut):
    """Return rho'(q) / q."""
    size = abs(q)
    if loss == HUBER:
        return 1.0 if size <= cut else cut / size
    if loss == TUKEY:
        ratio = size / cut
        return (1.0 - ratio * ratio) ** 2 if ratio < 1.0 else 0.0
    return 1.0


@helper
def rho(q, loss, cut):
    """Return the loss of one residual: q^2 / 2 where q is small."""
    size = abs(q)
    if loss == HUBER and size > cut:
        return cut * (size - 0.5 * cut)
    if loss == TUKEY:
        ratio = min(size / cut, 1.0)
        return cut * cut / 6.0 * (1.0 - (1.0 - ratio * ratio) ** 3)
    return 0.5 * size * size


# ---- products with B -----------------------------------------------------------------
@kernel(reassociate=True)
def add_normal_product(B, v, n, p, x, out):
    """Add B^T diag(v) B x to ``out``, four rows of B at a time."""
    t = 0
    while t + 4 <= n:
        B0, B1, B2, B3 = B[t], B[t + 1], B[t + 2], B[t + 3]
        s0 = s1 = s2 = s3 = B.dtype.type(0)
        for a in range(p):
            s0 += B0[a] * x[a]
            s1 += B1[a] * x[a]
            s2 += B2[a] * x[a]
            s3 += B3[a] * x[a]
        s0 *= v[t]
        s1 *= v[t + 1]
        s2 *= v[t + 2]
        s3 *= v[t + 3]
        for a in range(p):
            out[a] += s0 * B0[a] + s1 * B1[a] + s2 * B2[a] + s3 * B3[a]
        t += 4
    while t < n:
        B0 = B[t]
        s0 = B.dtype.type(0)
        for a in range(p):
            s0 += B0[a] * x[a]
        s0 *= v[t]
        for a in range(p):
            out[a] += s0 * B0[a]
        t += 1


@kernel(reassociate=True)
def add_gram(B, v, n, p, G):
    """Add B^T diag(v) B to the lower triangle of G, four rows of B at a time."""
    t = 0
    while t + 4 <= n:
        B0, B1, B2, B3 = B[t], B[t + 1], B[t + 2], B[t + 3]
        for a in range(p):
            s0 = B0[a] * v[t]
            s1 = B1[a] * v[t + 1]
            s2 = B2[a] * v[t + 2]
            s3 = B3[a] * v[t + 3]
            Ga = G[a]
            for b in range(a + 1):
                Ga[b] += s0 * B0[b] + s1 * B1[b] + s2 * B2[b] + s3 * B3[b]
        t += 4
    while t < n:
        B0 = B[t]
        for a in range(p):
            s0 = B0[a] * v[t]
            Ga = G[a]
            for b in range(a + 1):
                Ga[b] += s0 * B0[b]
        t += 1


@kernel(reassociate=True)
def residuals(B, n, p, x, q):
    """Subtract B x from q."""
    for t in range(n):
        Bt = B[t]
        s = B.dtype.type(0)
        for a in range(p):
            s += Bt[a] * x[a]
        q[t] -= s


@kernel(reassociate=True)
def add_transposed_product(B, v, q, n, p, out):
    """Add B^T (v q) to ``out``."""
    for t in range(n):
        Bt = B[t]
        s = v[t] * q[t]
        for a in range(p):
            out[a] += s * Bt[a]


# ---- one row -------------------------------------------------------------------------
@helper
def gather(start, n, indices, table, p, B):
    """Copy the regressors of a row."""
    for t in range(n):
        row = table[indices[start + t]]
        Bt = B[t]
        for a in range(p):
            Bt[a] = row[a]


@helper
def load(i, indptr, indices, data, weights, table, offset, k, p, loss, cut, x, B, v, q):
    """Gather row i, and fill its residuals q at x and its weights v."""
    start = indptr[i]
    n = indptr[i + 1] - start
    gather(start, n, indices, table, p, B)
    for t in range(n):
        q[t] = data[start + t]
    if offset >= 0:
        for t in range(n):
            q[t] -= table[indices[start + t], offset]
    residuals(B, n, p, x, q)
    if weights.shape[0] > 0:
        for t in range(n):
            v[t] = weights[start + t]
    else:
        for t in range(n):
            v[t] = B.dtype.type(1)
    if loss != SQUARED:
        for t in range(n):
            v[t] *= reweight(q[t], loss, cut)
    return n


@helper
def loss_of(start, n, weights, loss, cut, q):
    """Return the sum of weights times rho(q), in double precision."""
    total = 0.0
    for t in range(n):
        w = np.float64(weights[start + t]) if weights.shape[0] > 0 else 1.0
        total += w * rho(np.float64(q[t]), loss, cut)
    return total


@helper
def current(i, out, k, p, x):
    """Copy the coefficients of row i into x."""
    for a in range(k):
        x[a] = out[i, a]
    if p > k:
        x[k] = out[i, k + 1]


@helper
def store(i, out, k, p, x):
    """Copy x into the coefficients of row i."""
    for a in range(k):
        out[i, a] = x[a]
    if p > k:
        out[i, k + 1] = x[k]


@helper
def ridges(scale, alpha, alpha_bias, k, p, ridge):
    """Fill the ridge of each coefficient."""
    for a in range(p):
        ridge[a] = scale * (alpha if a < k else alpha_bias)


@helper
def gradient(B, v, q, n, p, ridge, x, r):
    """Fill r with B^T (v q) - ridge x."""
    for a in range(p):
        r[a] = -ridge[a] * x[a]
    add_transposed_product(B, v, q, n, p, r)


# ---- half-sweeps ---------------------------------------------------------------------
@kernel(reassociate=True)
def sweep_iterative(
    first,
    last,
    indptr,
    indices,
    data,
    weights,
    scales,
    table,
    offset,
    k,
    p,
    alpha,
    alpha_bias,
    loss,
    cut,
    diagonal,
    tol,
    max_steps,
    out,
    B,
    v,
    q,
    work,
    losses,
):
    """Solve rows by preconditioned conjugate gradients, warm and up to a tolerance.

    The preconditioner of a row is the diagonal of ``weight * diagonal + ridge``, with
    the total weight of the row: the table's columns are orthogonal, as the caller sees
    to, and a random sample of its rows nearly keeps them so. ``tol`` is relative to
    the preconditioned residual at the start. ``losses[i]`` is the loss of the row.

    Returns
    -------
    steps : int
        The steps taken, summed over the rows.
    """
    x, r, z, d, step, product, ridge = (
        work[0],
        work[1],
        work[2],
        work[3],
        work[4],
        work[5],
        work[6],
    )
    steps = 0
    tiny = (_ULPS * np.finfo(B.dtype).eps) ** 2
    for i in range(first, last):
        current(i, out, k, p, x)
        n = load(
            i, indptr, indices, data, weights, table, offset, k, p, loss, cut, x, B, v, q
        )
        if n == 0:
            for a in range(p):
                x[a] = 0
            store(i, out, k, p, x)
            losses[i] = 0.0
            continue
        ridges(scales[i], alpha, alpha_bias, k, p, ridge)
        gradient(B, v, q, n, p, ridge, x, r)
        total = 0.0
        for t in range(n):
            total += v[t]
        value = loss_of(indptr[i], n, weights, loss, cut, q)
        rz = 0.0
        size = 0.0
        for a in range(p):
            value += 0.5 * ridge[a] * np.float64(x[a]) * x[a]
            curvature = total * diagonal[a] + ridge[a]
            product[a] = curvature
            size += curvature * np.float64(x[a]) * x[a]
        for a in range(p):
            d[a] = 1.0 / product[a] if product[a] > 0 else 0.0
            z[a] = d[a] * r[a]
            step[a] = z[a]
            rz += np.float64(r[a]) * z[a]
        enough = max(tol * tol * rz, tiny * size)
        taken = 0
        while rz > enough and taken < max_steps:
            for a in range(p):
                product[a] = ridge[a] * step[a]
            add_normal_product(B, v, n, p, step, product)
            curvature = 0.0
            for a in range(p):
                curvature += np.float64(step[a]) * product[a]
            if not curvature > 0:
                break
            length = rz / curvature
            value -= 0.5 * length * rz
            before = rz
            rz = 0.0
            for a in range(p):
                x[a] += length * step[a]
                r[a] -= length * product[a]
                z[a] = d[a] * r[a]
                rz += np.float64(r[a]) * z[a]
            momentum = rz / before
            for a in range(p):
                step[a] = z[a] + momentum * step[a]
            taken += 1
        steps += taken
        if loss == SQUARED:
            for a in range(p):
                value -= 0.5 * ridge[a] * np.float64(x[a]) * x[a]
            losses[i] = max(value, 0.0)
        else:
            current(i, out, k, p, z)
            for a in range(p):
                z[a] = x[a] - z[a]
            residuals(B, n, p, z, q)
            losses[i] = loss_of(indptr[i], n, weights, loss, cut, q)
        store(i, out, k, p, x)
    return steps


@kernel(reassociate=True)
def sweep_direct(
    first,
    last,
    indptr,
    indices,
    data,
    weights,
    scales,
    table,
    offset,
    k,
    p,
    alpha,
    alpha_bias,
    loss,
    cut,
    jitter,
    nonnegative,
    tol,
    max_steps,
    out,
    B,
    v,
    q,
    work,
    G,
    losses,
):
    """Solve rows by their normal equations: Cholesky, or coordinate descent.

    ``jitter``, relative to the largest diagonal entry, keeps the factorisation possible
    without a ridge; the correction vanishes at an exact solution all the same. With
    ``nonnegative`` coordinate descent keeps the first k coefficients at least zero; it
    ends when a pass changes none by more than ``tol`` times the largest.
    """
    x, r, ridge = work[0], work[1], work[6]
    for i in range(first, last):
        current(i, out, k, p, x)
        n = load(
            i, indptr, indices, data, weights, table, offset, k, p, loss, cut, x, B, v, q
        )
        if n == 0:
            for a in range(p):
                x[a] = 0
            store(i, out, k, p, x)
            losses[i] = 0.0
            continue
        ridges(scales[i], alpha, alpha_bias, k, p, ridge)
        gradient(B, v, q, n, p, ridge, x, r)
        for a in range(p):
            for b in range(a + 1):
                G[a, b] = 0
        add_gram(B, v, n, p, G)
        largest = G.dtype.type(0)
        for a in range(p):
            G[a, a] += ridge[a]
            largest = max(largest, G[a, a])
        if nonnegative:
            descend(G, r, k, p, tol, max_steps, x)
        else:
            for a in range(p):
                G[a, a] += jitter * largest
            factorise(G, p)
            solve_lower(G, p, r)
            solve_upper(G, p, r)
            for a in range(p):
                x[a] += r[a]
        current(i, out, k, p, r)
        for a in range(p):
            r[a] = x[a] - r[a]
        residuals(B, n, p, r, q)
        losses[i] = loss_of(indptr[i], n, weights, loss, cut, q)
        store(i, out, k, p, x)


@kernel(reassociate=True)
def factorise(G, p):
    """Replace the lower triangle of G by its Cholesky factor.

    A pivot that rounding made zero or negative leaves its coordinate out.
    """
    for a in range(p):
        Ga = G[a]
        for b in range(a):
            Gb = G[b]
            s = Ga[b]
            for c in range(b):
                s -= Ga[c] * Gb[c]
            Ga[b] = s * Gb[b]
        s = Ga[a]
        kept = s
        for c in range(a):
            s -= Ga[c] * Ga[c]
        # Diagonals are kept inverted, so that solving multiplies.
        Ga[a] = 1 / np.sqrt(s) if s > kept * np.finfo(G.dtype).eps else 0


@kernel(reassociate=True)
def solve_lower(G, p, r):
    """Replace r by the solution of L s = r, L a factor with inverted diagonal."""
    for a in range(p):
        Ga = G[a]
        s = r[a]
        for b in range(a):
            s -= Ga[b] * r[b]
        r[a] = s * Ga[a]


@kernel(reassociate=True)
def solve_upper(G, p, r):
    """Replace r by the solution of L^T s = r, L a factor with inverted diagonal."""
    for a in range(p - 1, -1, -1):
        Ga = G[a]
        s = r[a] * Ga[a]
        r[a] = s
        for b in range(a):
            r[b] -= s * Ga[b]


@helper
def descend(G, r, k, p, tol, max_steps, x):
    """Minimise 1/2 x^T G x - linear x over x[:k] >= 0; r is minus the gradient at x."""
    for _ in range(max_steps):
        largest = 0.0
        moved = 0.0
        for a in range(p):
            if G[a, a] <= 0:
                continue
            new = x[a] + r[a] / G[a, a]
            if a < k and new < 0:
                new = x.dtype.type(0)
            change = new - x[a]
            if change != 0:
                x[a] = new
                for b in range(a + 1):
                    r[b] -= change * G[a, b]
                for b in range(a + 1, p):
                    r[b] -= change * G[b, a]
            largest = max(largest, np.float64(abs(new)))
            moved = max(moved, np.float64(abs(change)))
        if moved <= tol * largest:
            break


@kernel(reassociate=True)
def sweep_sample(
    first,
    last,
    indptr,
    indices,
    data,
    weights,
    table,
    offset,
    k,
    p,
    precision,
    prior_precision,
    prior_linear,
    noise,
    out,
    B,
    v,
    q,
    work,
    G,
):
    """Draw the coefficients of rows from their conditional normal distribution.

    Its precision is ``prior_precision + precision B^T diag(w) B = L L^T``, its mean
    solves this against ``prior_linear + precision B^T (w (data - offset))``; a draw is
    the mean plus ``L^-T noise[i]``.
    """
    x, r = work[0], work[1]
    for i in range(first, last):
        for a in range(p):
            x[a] = 0
            r[a] = 0
        n = load(
            i, indptr, indices, data, weights, table, offset, k, p, 0, 1.0, x, B, v, q
        )
        for t in range(n):
            v[t] *= precision
        add_transposed_product(B, v, q, n, p, r)
        for a in range(p):
            r[a] += prior_linear[a]
            for b in range(a + 1):
                G[a, b] = prior_precision[a, b]
        add_gram(B, v, n, p, G)
        factorise(G, p)
        solve_lower(G, p, r)
        for a in range(p):
            r[a] += noise[i, a]
        solve_upper(G, p, r)
        store(i, out, k, p, r)


# ---- entries -------------------------------------------------------------------------
@kernel(reassociate=True)
def predict_entries(first, last, rows, columns, left, right, k, bias, out):
    """Fill ``out[t]`` with the value of the factors at (rows[t], columns[t])."""
    for t in range(first, last):
        u = left[rows[t]]
        w = right[columns[t]]
        s = 0.0
        for a in range(k):
            s += u[a] * w[a]
        if bias:
            s += u[k + 1] + w[k + 1]
        out[t] = s


@kernel(reassociate=True)
def predict_rows(first, last, indptr, indices, left, right, k, bias, out):
    """Fill ``out[t]`` with the value of the factors at each entry t of a CSR pattern."""
    for i in range(first, last):
        u = left[i]
        for t in range(indptr[i], indptr[i + 1]):
            w = right[indices[t]]
            s = 0.0
            for a in range(k):
                s += u[a] * w[a]
            if bias:
                s += u[k + 1] + w[k + 1]
            out[t] = s
