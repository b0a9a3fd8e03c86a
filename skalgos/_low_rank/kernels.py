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
from skalgos._low_rank.lane_kernels import (
    TILE_ROWS,
    WIDTH,
    axpy4,
    copy,
    dot4,
    gram_tile,
)

SQUARED, HUBER, TUKEY = 0, 1, 2
PCG, CHOLESKY, DESCENT = 0, 1, 2

# Rows that are gathered at once, a multiple of four: they stay in the first cache, and
# are many enough that their loads overlap.
GATHERED = 32

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
# B is flat, its rows ``width`` apart, and n a multiple of four. Rows beyond those of
# the table are zero. Entries from p to the width may hold other columns of the table:
# they meet zeros in x, and what they leave in ``out`` is not read.
@helper
def add_normal_product(B, v, n, width, x, out):
    """Add B^T diag(v) B x to ``out``."""
    for t in range(0, n, 4):
        at = t * width
        s0, s1, s2, s3 = dot4(B, at, width, x, 0, width)
        s0 *= v[t]
        s1 *= v[t + 1]
        s2 *= v[t + 2]
        s3 *= v[t + 3]
        axpy4(B, at, width, s0, s1, s2, s3, out, 0, width)


@helper
def add_gram(B, v, n, p, width, G):
    """Add B^T diag(v) B to the upper triangle of G, which is flat like B."""
    lanes = WIDTH // B.itemsize
    for row in range(0, p, TILE_ROWS):
        for column in range(row // lanes * lanes, width, lanes):
            gram_tile(B, v, n, width, row, column, G)


@helper
def subtract_product(B, start, stop, width, x, q):
    """Subtract B x from q, from row ``start`` to row ``stop``."""
    for t in range(start, stop, 4):
        s0, s1, s2, s3 = dot4(B, t * width, width, x, 0, width)
        q[t] -= s0
        q[t + 1] -= s1
        q[t + 2] -= s2
        q[t + 3] -= s3


@helper
def add_transposed_product(B, v, q, start, stop, width, out):
    """Add B^T (v q) to ``out``, from row ``start`` to row ``stop``."""
    for t in range(start, stop, 4):
        axpy4(
            B,
            t * width,
            width,
            v[t] * q[t],
            v[t + 1] * q[t + 1],
            v[t + 2] * q[t + 2],
            v[t + 3] * q[t + 3],
            out,
            0,
            width,
        )


# ---- one row -------------------------------------------------------------------------
@helper
def load(
    i, indptr, indices, data, weights, table, offset, width, loss, cut, x, B, v, q, r
):
    """Gather row i, fill its residuals q at x and its weights v, add B^T (v q) to r.

    Returns the number of its entries, and that number rounded up to a multiple of four.
    """
    start = indptr[i]
    n = indptr[i + 1] - start
    padded = (n + 3) // 4 * 4
    table_width = table.shape[1]
    flat = table.reshape(-1)
    for t in range(n, padded):
        for a in range(width):
            B[t * width + a] = 0
    for first in range(0, padded, GATHERED):
        stop = min(first + GATHERED, padded)
        last = min(stop, n)
        for t in range(first, last):
            copy(flat, indices[start + t] * table_width, B, t * width, width)
        for t in range(first, last):
            q[t] = data[start + t]
        if offset >= 0:
            for t in range(first, last):
                q[t] -= table[indices[start + t], offset]
        for t in range(last, stop):
            q[t] = 0
            v[t] = 0
        subtract_product(B, first, stop, width, x, q)
        if weights.shape[0] > 0:
            for t in range(first, last):
                v[t] = weights[start + t]
        else:
            for t in range(first, last):
                v[t] = 1
        if loss != SQUARED:
            for t in range(first, last):
                v[t] *= reweight(q[t], loss, cut)
        add_transposed_product(B, v, q, first, stop, width, r)
    return n, padded


@helper(reassociate=True)
def loss_of(start, n, weights, loss, cut, q):
    """Return the sum of weights times rho(q), in double precision."""
    total = 0.0
    if loss == SQUARED and weights.shape[0] == 0:
        for t in range(n):
            total += np.float64(q[t]) * q[t]
        return 0.5 * total
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
    for a in range(p, x.shape[0]):
        x[a] = 0


@helper
def store(i, out, k, p, x):
    """Copy x into the coefficients of row i."""
    for a in range(k):
        out[i, a] = x[a]
    if p > k:
        out[i, k + 1] = x[k]


@helper
def clear(i, out, k, p):
    """Set the coefficients of row i to zero."""
    for a in range(k):
        out[i, a] = 0
    if p > k:
        out[i, k + 1] = 0


@helper
def ridges(scale, alpha, alpha_bias, k, p, ridge):
    """Fill the ridge of each coefficient."""
    for a in range(p):
        ridge[a] = scale * (alpha if a < k else alpha_bias)


@helper
def loss_after(i, n, padded, width, weights, start, loss, cut, k, p, out, x, B, q, z):
    """Return the loss of row i at x, given its residuals q at ``out[i]``."""
    current(i, out, k, p, z)
    for a in range(p):
        z[a] = x[a] - z[a]
    subtract_product(B, 0, padded, width, z, q)
    return loss_of(start, n, weights, loss, cut, q)


# ---- half-sweeps ---------------------------------------------------------------------
@kernel(reassociate=True)
def sweep(
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
    method,
    diagonal,
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
    """Solve rows from their last solutions, and fill ``losses`` with the loss of each.

    PCG takes preconditioned conjugate gradients. The preconditioner of a row is the
    diagonal of ``weight * diagonal + ridge``, with the total weight of the row: the
    table's columns are orthogonal, as the caller sees to, and a random sample of its
    rows nearly keeps them so. ``tol`` is relative to the preconditioned residual at
    the start.

    CHOLESKY solves the normal equations. DESCENT does so by coordinate descent, which
    keeps the first k coefficients at least zero; it ends when a pass changes none by
    more than ``tol`` times the largest.
    """
    width = work.shape[1]
    x, r, ridge = work[0], work[1], work[2]
    for i in range(first, last):
        current(i, out, k, p, x)
        ridges(scales[i], alpha, alpha_bias, k, p, ridge)
        penalty = 0.0
        for a in range(p):
            r[a] = -ridge[a] * x[a]
            penalty -= 0.5 * np.float64(r[a]) * x[a]
        n, padded = load(
            i,
            indptr,
            indices,
            data,
            weights,
            table,
            offset,
            width,
            loss,
            cut,
            x,
            B,
            v,
            q,
            r,
        )
        if n == 0:
            clear(i, out, k, p)
            losses[i] = 0.0
            continue
        value = loss_of(indptr[i], n, weights, loss, cut, q) + penalty
        if method == PCG:
            total = 0.0
            for t in range(n):
                total += v[t]
            value -= conjugate_gradients(
                B, v, padded, p, total, diagonal, ridge, tol, max_steps, x, r, work
            )
        else:
            for a in range(width * width):
                G[a] = 0
            add_gram(B, v, padded, p, width, G)
            for a in range(p):
                G[a * width + a] += ridge[a]
            if method == DESCENT:
                descend(G, r, k, p, width, tol, max_steps, x)
            else:
                factorise(G, p, width)
                solve_lower(G, p, width, r)
                for a in range(p):
                    value -= 0.5 * np.float64(r[a]) * r[a]
                solve_upper(G, p, width, r)
                for a in range(p):
                    x[a] += r[a]
        if loss == SQUARED and method != DESCENT:
            for a in range(p):
                value -= 0.5 * ridge[a] * np.float64(x[a]) * x[a]
            losses[i] = max(value, 0.0)
        else:
            losses[i] = loss_after(
                i,
                n,
                padded,
                width,
                weights,
                indptr[i],
                loss,
                cut,
                k,
                p,
                out,
                x,
                B,
                q,
                r,
            )
        store(i, out, k, p, x)


@helper(reassociate=True)
def conjugate_gradients(B, v, n, p, total, diagonal, ridge, tol, max_steps, x, r, work):
    """Correct x until the residual r is small, and return what the objective loses."""
    width = work.shape[1]
    z, d, step, product = work[3], work[4], work[5], work[6]
    decrease = 0.0
    rz = 0.0
    size = 0.0
    for a in range(p):
        curvature = total * diagonal[a] + ridge[a]
        size += curvature * np.float64(x[a]) * x[a]
        d[a] = 1.0 / curvature if curvature > 0 else 0.0
        z[a] = d[a] * r[a]
        step[a] = z[a]
        rz += np.float64(r[a]) * z[a]
    for a in range(p, width):
        step[a] = 0
    tiny = (_ULPS * np.finfo(B.dtype).eps) ** 2
    enough = max(tol * tol * rz, tiny * size)
    taken = 0
    while rz > enough and taken < max_steps:
        for a in range(p):
            product[a] = ridge[a] * step[a]
        add_normal_product(B, v, n, width, step, product)
        curvature = 0.0
        for a in range(p):
            curvature += np.float64(step[a]) * product[a]
        if not curvature > 0:
            break
        length = rz / curvature
        decrease += 0.5 * length * rz
        before = rz
        rz = 0.0
        stride = B.dtype.type(length)
        for a in range(p):
            x[a] += stride * step[a]
            r[a] -= stride * product[a]
            z[a] = d[a] * r[a]
            rz += np.float64(r[a]) * z[a]
        momentum = B.dtype.type(rz / before)
        for a in range(p):
            step[a] = z[a] + momentum * step[a]
        taken += 1
    return decrease


@helper
def factorise(G, p, width):
    """Replace the upper triangle of G by U with U^T U = G, its diagonal inverted.

    Four rows at a time; below the diagonal G is not read. A pivot that rounding made
    zero or negative leaves its coordinate out.
    """
    lanes = WIDTH // G.itemsize
    tiny = p * np.finfo(G.dtype).eps
    for a in range(p):
        # As much as rounding: without a ridge G may be singular.
        G[a * width + a] *= 1 + tiny
    for first in range(0, p, 4):
        last = min(first + 4, p)
        for a in range(first, last):
            at = a * width
            if a > first:
                start = a // lanes * lanes
                above = G.dtype.type(0)
                axpy4(
                    G,
                    first * width + start,
                    width,
                    -G[first * width + a],
                    -G[(first + 1) * width + a] if a > first + 1 else above,
                    -G[(first + 2) * width + a] if a > first + 2 else above,
                    above,
                    G,
                    at + start,
                    width - start,
                )
            pivot = G[at + a]
            inverse = 1 / np.sqrt(pivot) if pivot > 0 else G.dtype.type(0)
            for b in range(a + 1, p):
                G[at + b] *= inverse
            G[at + a] = inverse
        at = first * width
        for a in range(last, p):
            start = a // lanes * lanes
            axpy4(
                G,
                at + start,
                width,
                -G[at + a],
                -G[at + width + a],
                -G[at + 2 * width + a],
                -G[at + 3 * width + a],
                G,
                a * width + start,
                width - start,
            )


@helper
def solve_lower(G, p, width, r):
    """Replace r by the solution of U^T s = r."""
    for a in range(p):
        at = a * width
        s = r[a] * G[at + a]
        r[a] = s
        for b in range(a + 1, p):
            r[b] -= s * G[at + b]


@helper(reassociate=True)
def solve_upper(G, p, width, r):
    """Replace r by the solution of U x = r."""
    for a in range(p - 1, -1, -1):
        at = a * width
        s = r[a]
        for b in range(a + 1, p):
            s -= G[at + b] * r[b]
        r[a] = s * G[at + a]


@helper
def descend(G, r, k, p, width, tol, max_steps, x):
    """Minimise 1/2 x^T G x - linear x over x[:k] >= 0; r is minus the gradient at x."""
    for _ in range(max_steps):
        largest = 0.0
        moved = 0.0
        for a in range(p):
            diagonal = G[a * width + a]
            if diagonal <= 0:
                continue
            new = x[a] + r[a] / diagonal
            if a < k and new < 0:
                new = x.dtype.type(0)
            change = new - x[a]
            if change != 0:
                x[a] = new
                for b in range(a):
                    r[b] -= change * G[b * width + a]
                for b in range(a, p):
                    r[b] -= change * G[a * width + b]
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
    width = work.shape[1]
    x, r = work[0], work[1]
    for i in range(first, last):
        for a in range(width):
            x[a] = 0
            r[a] = 0
        n, padded = load(
            i,
            indptr,
            indices,
            data,
            weights,
            table,
            offset,
            width,
            SQUARED,
            1.0,
            x,
            B,
            v,
            q,
            r,
        )
        for t in range(n):
            v[t] *= precision
        for a in range(width * width):
            G[a] = 0
        for a in range(p):
            r[a] = precision * r[a] + prior_linear[a]
            for b in range(p):
                G[a * width + b] = prior_precision[a, b]
        add_gram(B, v, padded, p, width, G)
        factorise(G, p, width)
        solve_lower(G, p, width, r)
        for a in range(p):
            r[a] += noise[i, a]
        solve_upper(G, p, width, r)
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
    """Fill ``out[t]`` with the value of the factors at each entry t by rows."""
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
