r"""Low-rank factors of a table with missing entries, by alternating minimisation.

With :math:`\Omega` the observed entries, the objective is

.. math:: \sum_\Omega r_i w_{ij}\,\rho(x_{ij} - u_i^T v_j - b_i - c_j)
    + \frac\alpha2 \Big(\sum_i r_i s_i \|u_i\|^2 + \sum_j t_j \|v_j\|^2\Big)
    + \frac\beta2 \Big(\sum_i r_i s_i b_i^2 + \sum_j t_j c_j^2\Big),

where row i counts :math:`r_i` times, and the scales :math:`s_i, t_j` are powers of the
total weights of rows and columns. Factors are tables with the factor in their first k
columns and, with biases, a column of ones and the bias behind it; so that the
regressors of the other side and its offset can be read from it.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse

from skalgos._low_rank import kernels
from skalgos._low_rank.problems import Pool, aligned, chunks_of, padded
from skalgos._threads import chunk_map

METHODS = {
    "pcg": kernels.PCG,
    "cholesky": kernels.CHOLESKY,
    "coordinate-descent": kernels.DESCENT,
}
# Up to this many coefficients a row is solved faster by Cholesky factorisation.
DIRECT_UP_TO = 12
MAX_STEPS = 50
# Rows of a factor that are converted to double precision at once.
BLOCK = 1 << 15
# 95 % efficient for normal noise; the third makes nearly the absolute error.
CUTS = {"huber": 1.345, "tukey": 4.685, "absolute_error": 0.1}
# The expected curvature of these losses under standard normal noise.
CURVATURES = {"huber": 0.8213748, "tukey": 0.7577759, "absolute_error": 0.0796557}
# The median absolute deviation of a standard normal variable is 1 / 1.4826.
MAD_TO_SIGMA = 1.4826
# What a search for the ridge tries: so many to a tenth, over three of them; after how
# many without a smaller error it ends; and for each at most so many sweeps, less if the
# training error changes by less than a share. Too few would leave small ridges
# unfinished, and make them look better than they are.
RIDGES_PER_DECADE = 6
DECADES = 3
PATIENCE = 5
SWEEPS_PER_RIDGE = 10
SETTLED = 1e-3


class Loss(NamedTuple):
    """A kernel's code of a loss, where it leaves the parabola, and its curvature.

    The loss is divided by the curvature: so one ridge fits all losses.
    """

    code: int
    cut: float
    curvature: float = 1.0


LEAST_SQUARES = Loss(kernels.SQUARED, 1.0)


class Factors(NamedTuple):
    """Tables of both sides, filled up with zeros to a whole number of vectors."""

    left: np.ndarray
    right: np.ndarray
    k: int
    bias: bool


class Sweep(NamedTuple):
    """What is known after a sweep.

    Its number from 1 on, the ridge, the training error of all sweeps so far (the root
    of twice the mean loss), and the factors, which the next sweep overwrites.
    """

    number: int
    alpha: float
    errors: list
    factors: Factors


class Fit(NamedTuple):
    """Where the alternation ended."""

    factors: Factors
    objectives: list
    errors: list
    n_iter: int
    converged: bool
    loss: Loss
    sigma: float
    solver: str


# ---- the metric of the ridge ---------------------------------------------------------
def gram(F, k, weights=None):
    """Return F^T diag(weights) F of the first k columns, in double precision."""
    total = np.zeros((k, k))
    for start in range(0, len(F), BLOCK):
        rows = slice(start, start + BLOCK)
        block = F[rows, :k].astype(np.float64)
        weighted = block if weights is None else block * weights[rows, None]
        total += block.T @ weighted
    return total


def rotate(F, k, T):
    """Multiply the first k columns by T, in place."""
    T = T.astype(F.dtype)
    for start in range(0, len(F), BLOCK):
        rows = slice(start, start + BLOCK)
        F[rows, :k] = F[rows, :k] @ T


def balancing(A, B):
    """Return T, S and D: T S^T is the identity, T^T A T and S^T B S are both diag(D).

    A and B are the Gram matrices of two factors. The product of the factors stays the
    same, and of all its factorisations this has the smallest sum of squares, twice the
    sum of D. Directions in which the product vanishes become zero.
    """
    eigenvalues, vectors = np.linalg.eigh([(G + G.T) / 2 for G in (A, B)])
    sizes = np.sqrt(np.maximum(eigenvalues, 0))
    roots = sizes[:, :, None] * vectors.transpose(0, 2, 1)
    P, D, Qt = np.linalg.svd(roots[0] @ roots[1].T)
    inverse = np.zeros_like(D)
    alive = 1e-12 * D[0] < D if len(D) else D > 0
    inverse[alive] = D[alive] ** -0.5
    T = roots[1].T @ Qt.T * inverse
    S = roots[0].T @ P * inverse
    return T, S, np.where(alive, D, 0.0)


# ---- one half-sweep ------------------------------------------------------------------
class HalfSweep:
    """Solves all rows of one side for a fixed table of the other.

    Parameters
    ----------
    side : Side
    k : int
    bias : bool
    solver : {"cholesky", "pcg", "coordinate-descent"}
    threads : int
    map_chunks : callable
        As :func:`skalgos._threads.chunk_map` gives it.
    """

    def __init__(self, side, k, bias, solver, threads, map_chunks):
        self.side, self.k, self.bias, self.solver = side, k, bias, solver
        self.p = k + bias
        width = padded(self.p, side.values.dtype)
        self._pool = Pool(side, width, threads, side.values.dtype)
        self._map = map_chunks
        self._losses = np.empty(side.shape[0])

    def __call__(
        self, table, totals, out, alpha, alpha_bias, loss, *, tol, max_steps=MAX_STEPS
    ):
        """Correct ``out`` and return the loss of each row.

        ``totals`` are the total weights of the rows of the table: by them its average
        row is taken, which is the preconditioner of "pcg".
        """
        side, k, p = self.side, self.k, self.p
        dtype = side.values.dtype
        diagonal = np.empty(p, dtype)
        if self.solver == "pcg":
            diagonal[:k] = np.diag(gram_diagonal(table, k, totals)) / totals.sum()
            diagonal[k:] = 1

        def solve(first, last, B, v, q, work, G):
            kernels.sweep(
                first,
                last,
                side.indptr,
                side.indices,
                side.values,
                side.weights,
                side.scales,
                table,
                k + 1 if self.bias else -1,
                k,
                p,
                float(alpha * loss.curvature),
                float(alpha_bias * loss.curvature),
                loss.code,
                float(loss.cut),
                METHODS[self.solver],
                diagonal,
                float(tol),
                max_steps,
                out,
                B,
                v,
                q,
                work,
                G,
                self._losses,
            )

        self._pool.run(self._map, solve)
        return self._losses / loss.curvature


def gram_diagonal(F, k, weights):
    """Return the diagonal matrix of the column sums of weights times F squared."""
    total = np.zeros(k)
    for start in range(0, len(F), BLOCK):
        rows = slice(start, start + BLOCK)
        block = F[rows, :k]
        total += np.einsum("ij,ij,i->j", block, block, weights[rows])
    return np.diag(total)


def choose_solver(solver, nonnegative, p):
    """Return the name of the solver that "auto" stands for."""
    if nonnegative:
        return "coordinate-descent"
    if solver != "auto":
        return solver
    return "cholesky" if p <= DIRECT_UP_TO else "pcg"


# ---- residuals -----------------------------------------------------------------------
def predict(side, factors):
    """Return the value of the factors at each entry of a side by rows."""
    out = np.empty_like(side.values)
    for first, last in chunks_of(side, 1):
        kernels.predict_rows(
            first,
            last,
            side.indptr,
            side.indices,
            factors.left,
            factors.right,
            factors.k,
            factors.bias,
            out,
        )
    return out


def predict_at(rows, columns, factors):
    """Return the value of the factors at entries given by row and column."""
    out = np.empty(len(rows))
    kernels.predict_entries(
        0,
        len(rows),
        np.asarray(rows, np.int64),
        np.asarray(columns, np.int64),
        factors.left,
        factors.right,
        factors.k,
        factors.bias,
        out,
    )
    return out


def all_weights(problem):
    """Return the weight of each entry, with that of its row; None if all are 1."""
    side = problem.rows
    own = side.weights if len(side.weights) else None
    if (problem.row_weights == 1).all():
        return own
    weights = np.repeat(problem.row_weights, np.diff(side.indptr))
    return weights if own is None else weights * own


def mean_square(problem):
    """Return the weighted mean of the squared values."""
    values, weights = problem.rows.values, all_weights(problem)
    weighted = values if weights is None else weights * values
    return float(weighted @ values) / problem.total


def weighted_median(values, weights):
    """Return the smallest value with at least half of the weight at or below it."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(below, below[-1] / 2)]])


def spread(problem, residuals):
    """Return a robust standard deviation of residuals around zero."""
    size = np.abs(residuals)
    weights = all_weights(problem)
    if weights is None:
        middle = (len(size) - 1) // 2
        return MAD_TO_SIGMA * float(np.partition(size, middle)[middle])
    return MAD_TO_SIGMA * weighted_median(size, weights)


def _scaled(problem, values):
    """Return the sparse matrix of weighted values in the metric of the ridge.

    Its largest singular value is the smallest ridge for which the factors are zero, if
    the values are those at zero factors; at other factors, with the residuals for
    values, it must not exceed the ridge (see :func:`optimality_ratio`).
    """
    rows, columns = problem.rows, problem.columns
    weights = all_weights(problem)
    if weights is not None:
        values = values * weights.astype(values.dtype, copy=False)
    with np.errstate(divide="ignore"):
        a = np.where(rows.scales > 0, (problem.row_weights * rows.scales) ** -0.5, 0)
        b = np.where(columns.scales > 0, columns.scales**-0.5, 0)
    if (a != 1).any():
        values = values * np.repeat(a.astype(values.dtype), np.diff(rows.indptr))
    if (b != 1).any():
        values = values * b.astype(values.dtype)[rows.indices]
    shape = (len(rows.scales), len(columns.scales))
    return sparse.csr_array((values, rows.indices, rows.indptr), shape)


def spectral_norm(matrix, rng, tol=1e-3, max_steps=100):
    """Return the largest singular value, from below, by the power method."""
    v = rng.standard_normal(matrix.shape[1]).astype(matrix.dtype)
    norm = 0.0
    for _ in range(max_steps):
        size = np.linalg.norm(v)
        if size == 0:
            return 0.0
        u = matrix @ (v / size)
        before, norm = norm, float(np.linalg.norm(u))
        if norm - before <= tol * norm:
            break
        v = matrix.T @ u
    return norm


def largest_singular_value(matrix, rng, tol=1e-6, max_steps=100):
    """Return the largest singular value by the method of Lanczos.

    The power method would take a plateau for it: at an optimum all singular values that
    belong to the factors are equal. For the same reason single vectors never settle, so
    it ends when ten steps add less than a share to the value.
    """
    if matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.T
    n = matrix.shape[1]
    # In double precision whatever the matrix is: small products of single precision
    # report invalid values where there are none, in some builds of BLAS.
    basis = np.empty((min(max_steps, n), n))
    diagonal, above = [], []
    v = rng.standard_normal(n)
    v /= np.linalg.norm(v)
    before = 0.0
    for step in range(len(basis)):
        basis[step] = v
        v = (matrix.T @ (matrix @ v.astype(matrix.dtype))).astype(np.float64)
        diagonal.append(float(v @ basis[step]))
        for _ in range(2):  # once is not enough to keep the basis orthogonal
            v -= basis[: step + 1].T @ (basis[: step + 1] @ v)
        size = np.linalg.norm(v)
        last = size <= 1e-12 * max(diagonal) or step == len(basis) - 1
        if last or step % 10 == 9:
            (value,) = linalg.eigvalsh_tridiagonal(
                np.array(diagonal), np.array(above), "i", (step, step)
            )
            if last or value - before <= 2 * tol * value:
                break
            before = value
        above.append(size)
        v /= size
    return math.sqrt(max(value, 0.0))


def optimality_ratio(problem, factors, alpha, loss, rng):
    r"""Return how far convex optimality is missed: 1 or less proves the optimum.

    For a convex loss the objective, minimised over factors of any width, is a convex
    function of their product Z: the loss plus alpha times a nuclear norm. Where the
    factors are stationary, Z is its global minimum if and only if the gradient of the
    loss has a spectral norm of at most alpha, in the metric of the ridge.

    Parameters
    ----------
    problem : Problem
    factors : Factors
    alpha : float
        Positive.
    loss : Loss
    rng : RandomState

    Returns
    -------
    ratio : float
    """
    matrix = gradient_matrix(problem, factors, loss)
    return largest_singular_value(matrix, rng) / alpha


def gradient_matrix(problem, factors, loss):
    """Return the gradient of a convex loss with its sign changed, as ``_scaled`` does.

    Without factors it is that at zero.
    """
    residuals = problem.rows.values
    if factors is not None:
        residuals = residuals - predict(problem.rows, factors)
    if loss.code != kernels.SQUARED:
        residuals = np.clip(residuals, -loss.cut, loss.cut) / loss.curvature
    return _scaled(problem, residuals)


# ---- where to start ------------------------------------------------------------------
def _start(problem, k, bias, init, robust, rng):
    """Return first factors: the right one random or spectral, the left one zero."""
    n_rows, n_columns = len(problem.rows.scales), len(problem.columns.scales)
    width = padded(k + 2 * bias, problem.dtype)
    left = aligned((n_rows, width), problem.dtype)
    right = aligned((n_columns, width), problem.dtype)
    if bias:
        left[:, k] = right[:, k] = 1
    directions = rng.standard_normal((n_columns, k)).astype(problem.dtype)
    if init == "spectral":
        # Signs bear gross errors: the sub-gradient of the absolute error at zero.
        values = problem.rows.values
        matrix = _scaled(problem, np.sign(values) if robust else values)
        for _ in range(4):
            directions, _ = np.linalg.qr(directions)
            directions = matrix.T @ (matrix @ directions)
    directions, _ = np.linalg.qr(directions)
    # Both factors as large as the square root of the values: then the units of the
    # values do not matter.
    size = (mean_square(problem) or 1.0) ** 0.25 * np.sqrt(
        n_columns / directions.shape[1]
    )
    right[:, : directions.shape[1]] = directions * size
    return Factors(left, right, k, bias)


def ridge_path(alpha, norm, continuation, max_iter):
    """Return the ridges of the sweeps before the one that is asked for.

    Slow steps begin at half the spectral norm, above which the factors are zero, and
    go down by factors of ``continuation`` as far as small singular values may lie; fast
    ones only lead in. Steps are larger if they would take more than half of the sweeps.
    """
    slow = continuation is not None and continuation > 0.8
    top = (0.5 if slow else 0.1) * norm
    if continuation is None or top <= alpha:
        return []
    bottom = max(alpha, top * (1e-5 if slow else 0.1))
    n_steps = math.ceil(math.log(top / bottom) / -math.log(continuation) - 1e-9)
    n_steps = min(n_steps, max_iter // 2)
    return [top * (bottom / top) ** (i / n_steps) for i in range(n_steps)]


def automatic_continuation(problem, k):
    """Return slow steps where entries are scarce, else fast ones."""
    counts = problem.row_weights
    n_rows = counts @ (problem.rows.totals > 0)
    n_columns = np.count_nonzero(problem.columns.totals)
    n_entries = counts @ np.diff(problem.rows.indptr)
    width = min(k, n_rows, n_columns)
    scarce = n_entries < 2.5 * width * (n_rows + n_columns - width)
    return 0.9 if scarce else 0.3


# ---- the alternation -----------------------------------------------------------------
class _Alternation:
    """The state of the sweeps: factors, and their Gram matrices in the ridge's metric.

    Between sweeps A and B are the Gram matrices of the left and the right factor.
    """

    def __init__(self, problem, factors, solver, threads, map_chunks):
        self.problem, self.factors = problem, factors
        k, bias = factors.k, factors.bias
        self.rotates = solver != "coordinate-descent"
        self.aligns = solver == "pcg"
        self.row_half = HalfSweep(problem.rows, k, bias, solver, threads, map_chunks)
        self.column_half = HalfSweep(
            problem.columns, k, bias, solver, threads, map_chunks
        )
        self.row_metric = problem.row_weights * problem.rows.scales
        self.column_metric = problem.columns.scales
        self.row_totals = problem.row_weights * problem.rows.totals
        self.A = self._gram(factors.left, self.row_metric)
        self.B = self._gram(factors.right, self.column_metric)

    def _gram(self, F, metric):
        if not self.rotates:
            return gram_diagonal(F, self.factors.k, metric)
        return gram(F, self.factors.k, None if (metric == 1).all() else metric)

    def balance(self, floor=0.0, rng=None):
        """Make both Gram matrices the same diagonal one, without changing the product.

        Up to ``floor`` the right factor keeps its length at the cost of the left one:
        a direction with little in it can then grow again in the next half-sweep.
        """
        left, right, k, _ = self.factors
        if self.rotates:
            T, S, D = balancing(self.A, self.B)
        else:
            a, b = np.diag(self.A), np.diag(self.B)
            D = np.sqrt(a * b)
            alive = D > 0
            ratio = np.zeros(k)
            ratio[alive] = (b[alive] / a[alive]) ** 0.25
            T = np.diag(ratio)
            ratio[alive] = 1 / ratio[alive]
            S = np.diag(ratio)
        stretch = np.ones(k)
        small = (floor > D) & (D > 0)
        stretch[small] = np.sqrt(floor / D[small])
        rotate(left, k, T / stretch)
        rotate(right, k, S * stretch)
        dead = np.flatnonzero(D == 0)
        if floor > 0 and len(dead):
            draws = rng.standard_normal((len(right), len(dead)))
            if not self.rotates:
                draws = np.abs(draws)
            lengths = np.sqrt(np.einsum("ij,ij,i->j", draws, draws, self.column_metric))
            right[:, dead] = draws * (np.sqrt(floor) / np.maximum(lengths, 1e-300))
            left[:, dead] = 0
        self.A = np.diag(D / stretch**2)
        self.B = np.diag(np.where(D > 0, D * stretch**2, floor))

    def align(self, F, totals):
        """Rotate both factors: those of F that entries see become uncorrelated.

        That is what the preconditioner takes for granted. A rotation leaves product
        and ridge as they are; where all are seen equally often there is none to do.
        """
        left, right, k, _ = self.factors
        _, Q = np.linalg.eigh(gram(F, k, totals))
        rotate(left, k, Q)
        rotate(right, k, Q)
        self.A, self.B = Q.T @ self.A @ Q, Q.T @ self.B @ Q

    def rows(self, alpha, alpha_bias, loss, tol):
        left, right, _, _ = self.factors
        if self.aligns:
            self.align(right, self.problem.columns.totals)
        self.row_half(
            right, self.problem.columns.totals, left, alpha, alpha_bias, loss, tol=tol
        )
        self.A = self._gram(left, self.row_metric)

    def columns(self, alpha, alpha_bias, loss, tol):
        """Solve the columns and return the loss of all entries."""
        left, right, _, _ = self.factors
        if self.aligns:
            self.align(left, self.row_totals)
        losses = self.column_half(
            left, self.row_totals, right, alpha, alpha_bias, loss, tol=tol
        )
        self.B = self._gram(right, self.column_metric)
        return float(losses.sum())

    def ridge(self, alpha, alpha_bias):
        """Return the penalty of the factors."""
        left, right, k, _ = self.factors
        value = 0.5 * alpha * (np.trace(self.A) + np.trace(self.B))
        if self.factors.bias:
            b = left[:, k + 1].astype(np.float64)
            c = right[:, k + 1].astype(np.float64)
            value += 0.5 * alpha_bias * (b * b @ self.row_metric)
            value += 0.5 * alpha_bias * (c * c @ self.column_metric)
        return float(value)


def _change(new, old, row_weights):
    """Return the root mean square change of the product of factors, rows weighted."""
    k = new.k
    # By the triangles of the factors side by side, in which nothing cancels.
    left = np.hstack([new.left[:, :k], old.left[:, :k]])
    left *= np.sqrt(row_weights)[:, None].astype(left.dtype)
    right = np.hstack([new.right[:, :k], -old.right[:, :k]])
    R, S = (np.linalg.qr(F, mode="r").astype(np.float64) for F in (left, right))
    n_cells = row_weights.sum() * len(new.right)
    return float(np.linalg.norm(R @ S.T)) / math.sqrt(n_cells)


def alternate(
    problem,
    k,
    *,
    alpha,
    alpha_bias=None,
    bias=False,
    loss="squared_error",
    nonnegative=False,
    solver="auto",
    inner_tol=1e-2,
    continuation="auto",
    init="random",
    start=None,
    path=None,
    max_iter=100,
    tol=1e-4,
    rng,
    threads=1,
    on_sweep=None,
):
    """Minimise the objective at the top of this module.

    Rows and columns are solved in turn, each from its last solution and to a relative
    tolerance. Before each half-sweep the factors are balanced, which minimises the
    ridge over all factorisations of the same product and makes the columns of both
    orthogonal: the iterative solver then needs no more than a diagonal for its
    preconditioner. The ridge comes down to ``alpha`` from where the factors are zero.

    Parameters
    ----------
    problem : Problem
    k : int
    alpha : float
    alpha_bias : float, default=None
        A third of the ridge for None.
    bias : bool
    loss : {"squared_error", "huber", "absolute_error", "tukey"}
    nonnegative : bool
    solver : {"auto", "cholesky", "pcg"}
    inner_tol : float
    continuation : "auto", float or None
    init : {"random", "spectral"}
    start : Factors, default=None
        Factors to correct, in place, instead of new ones.
    path : list of float, default=None
        The ridges of all sweeps; ``on_sweep`` appends to it, and says when to stop.
    max_iter : int
    tol : float
        Stop once a sweep at the final ridge lowers the objective by less than this
        share of it, or of its value for zero factors squared, and changes the product
        of the factors by less than this share of the size of the values.
    rng : RandomState
    threads : int
    on_sweep : callable, default=None
        ``on_sweep(Sweep) -> bool``: whether to stop.

    Returns
    -------
    fit : Fit
        Its objectives are those of the sweeps at the final ridge, and for a robust
        loss at the final scale.
    """
    robust = loss != "squared_error"
    name = choose_solver(solver, nonnegative, k + bias)
    factors = start
    if start is None:
        factors = _start(problem, k, bias, init, robust, rng)
        if nonnegative:
            np.abs(factors.right[:, :k], out=factors.right[:, :k])
    sigma, lowest = 0.0, 0.0
    if robust:
        sigma = spread(problem, problem.rows.values - predict(problem.rows, factors))
        lowest = 1e-6 * sigma + np.finfo(problem.dtype).tiny
    now = _robust_loss(loss, sigma, lowest, True)
    ridges = [] if path is None else path
    if start is None and path is None:
        if continuation == "auto":
            continuation = automatic_continuation(problem, k)
        norm = spectral_norm(gradient_matrix(problem, None, now), rng, 0.02, 10)
        ridges = ridge_path(alpha, norm, continuation, max_iter)
    values = problem.rows.values
    null = 0.5 * problem.total * mean_square(problem)
    size = spread(problem, values) if robust else math.sqrt(mean_square(problem))
    # After the path a robust loss still settles its scale, and then is held fixed.
    # One that is not convex does so twice: its own small scale must come from itself,
    # or entries that the ridge shrinks would fall out of it one after the other.
    settling = len(ridges) + (min(10, max_iter // 4) if robust else 0)
    convex_until = settling
    if loss == "tukey":
        settling += min(10, max_iter // 4)
    if path is not None:
        settling = max_iter
    objectives, errors, converged, number = [], [], False, 0
    descent_tol = 1e-7 if nonnegative else inner_tol
    with chunk_map(threads) as map_chunks:
        state = _Alternation(problem, factors, name, threads, map_chunks)
        for number in range(1, max_iter + 1):
            leading = number <= len(ridges)
            current = ridges[number - 1] if leading else alpha
            if robust and number <= settling + 1:
                if number > 1:
                    residuals = problem.rows.values - predict(problem.rows, factors)
                    sigma = spread(problem, residuals)
                now = _robust_loss(loss, sigma, lowest, number <= convex_until)
            old = None
            if not leading:
                old = Factors(factors.left.copy(), factors.right.copy(), k, bias)
            floor = 0.1 * current if leading else 0.0
            if number > 1:
                state.balance(floor, rng)
            ridge = current, current / 3 if alpha_bias is None else alpha_bias
            state.rows(*ridge, now, descent_tol)
            state.balance()
            value = state.columns(*ridge, now, descent_tol)
            errors.append(math.sqrt(2 * value / problem.total))
            value += state.ridge(*ridge)
            stop = on_sweep is not None and on_sweep(
                Sweep(number, current, errors, factors)
            )
            if number > settling:
                objectives.append(value)
            if stop:
                break
            if len(objectives) > 1:
                decrease = objectives[-2] - value
                small = decrease <= tol * value or value <= tol * tol * null
                if small and _change(factors, old, problem.row_weights) <= tol * size:
                    converged = True
                    break
        state.balance()
    if not objectives:
        objectives.append(value)
    return Fit(factors, objectives, errors, number, converged, now, sigma, name)


def _robust_loss(name, sigma, lowest, early):
    """Return the loss at a scale: Tukey's begins as Huber's, which has one minimum."""
    if name == "squared_error":
        return LEAST_SQUARES
    if name == "tukey" and early:
        name = "huber"
    code = kernels.TUKEY if name == "tukey" else kernels.HUBER
    return Loss(code, CUTS[name] * max(sigma, lowest), CURVATURES[name])


class HeldOut(NamedTuple):
    """Entries to validate on: where they are, and their values and weights."""

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    weights: np.ndarray

    def mean(self, errors):
        return float(np.average(errors, weights=self.weights))

    def misses(self, factors):
        """Return what is missing to the values, in double precision."""
        return self.values - predict_at(self.rows, self.columns, factors)


def choose_ridge(problem, k, held_out, *, loss, rng, on_ridge=None, **options):
    """Choose the ridge by entries held out, along one path from large to small.

    Parameters
    ----------
    problem : Problem
        Without those entries.
    k : int
    held_out : HeldOut
    loss, rng, **options :
        As in :func:`alternate`.
    on_ridge : callable, default=None
        ``on_ridge(path) -> bool`` with the path so far: whether to stop.

    Returns
    -------
    alpha : float
        It is 1 if the held-out entries say nothing: all of unknown rows and columns.
    path : ndarray of shape (n_ridges, 2)
        The ridges, and the mean squared errors at the held-out entries, or the mean
        absolute ones for a robust loss: gross errors must not decide.
    """
    robust = loss != "squared_error"
    # Few sweeps leave no time for a loss that is not convex.
    loss = "huber" if loss == "tukey" else loss
    sigma = spread(problem, problem.rows.values) if robust else 0.0
    first = _robust_loss(loss, sigma, np.finfo(problem.dtype).tiny, True)
    top = spectral_norm(gradient_matrix(problem, None, first), rng)
    known = problem.rows.totals[held_out.rows] > 0
    known |= problem.columns.totals[held_out.columns] > 0
    if top == 0 or not known.any():
        return 1.0, np.empty((0, 2))
    n_ridges = DECADES * RIDGES_PER_DECADE
    ridges = (top * 10 ** (-np.arange(1, n_ridges + 1) / RIDGES_PER_DECADE)).tolist()
    errors, path = [], [ridges[0]]

    def on_sweep(sweep):
        ridge = ridges[len(errors)]
        last = sweep.errors[-2:]
        settled = (
            path[-2:] == [ridge, ridge] and abs(np.diff(last)) <= SETTLED * last[0]
        )
        if not settled and path.count(ridge) < SWEEPS_PER_RIDGE:
            path.append(ridge)
            return False
        misses = held_out.misses(sweep.factors)
        errors.append(held_out.mean(np.abs(misses) if robust else np.square(misses)))
        path.extend(ridges[len(errors) : len(errors) + 1])
        return (
            len(errors) == n_ridges
            or len(errors) - 1 - int(np.argmin(errors)) >= PATIENCE
            or (on_ridge is not None and on_ridge(curve()))
        )

    def curve():
        return np.column_stack([ridges[: len(errors)], errors])

    alternate(
        problem,
        k,
        alpha=ridges[-1],
        loss=loss,
        path=path,
        max_iter=n_ridges * SWEEPS_PER_RIDGE,
        rng=rng,
        on_sweep=on_sweep,
        **options,
    )
    return float(ridges[int(np.argmin(errors))]), curve()


# ---- after the alternation -----------------------------------------------------------
def fold_in(side, right, k, *, bias, alpha, alpha_bias, loss, nonnegative, threads):
    """Return the left table for given right factors, each row to full accuracy.

    A row's result depends on its entries and the right factors alone. For a robust
    loss that is a fixed number of reweighted regressions, the first half of them with
    Huber's loss, which has one minimum.

    Parameters
    ----------
    side : Side
        The entries by rows.
    right : ndarray
        A table of factors.
    k : int
    bias, alpha, alpha_bias, nonnegative, threads :
        As in :func:`alternate`.
    loss : Loss

    Returns
    -------
    left : ndarray
    """
    dtype = side.values.dtype
    left = aligned((len(side.scales), right.shape[1]), dtype)
    if bias:
        left[:, k] = 1
    steps = [loss]
    if loss.code != kernels.SQUARED:
        early = loss
        if loss.code == kernels.TUKEY:
            cut = loss.cut * CUTS["huber"] / CUTS["tukey"]
            early = Loss(kernels.HUBER, cut, CURVATURES["huber"])
        steps = [early] * 20 + [loss] * 20
    solver = "coordinate-descent" if nonnegative else "cholesky"
    accuracy = 10 * np.finfo(dtype).eps
    with chunk_map(threads) as map_chunks:
        half = HalfSweep(side, k, bias, solver, threads, map_chunks)
        for step in steps:
            half(
                right,
                None,
                left,
                alpha,
                alpha_bias,
                step,
                tol=accuracy,
                max_steps=1000,
            )
    return left


def principal_axes(right, k):
    """Return the singular values and the right singular vectors of a factor's table.

    Its columns come by falling length. Each vector's largest entry is positive.

    Returns
    -------
    axes : ndarray of shape (k, n)
        Orthonormal rows, but for zeros where the factor has no such direction.
    lengths : ndarray of shape (k,)
    """
    V = right[:, :k].astype(np.float64)
    Q, lengths, _ = np.linalg.svd(V, full_matrices=False)
    alive = lengths > 1e-12 * lengths.max(initial=0)
    axes, sizes = np.zeros((k, len(V))), np.zeros(k)
    axes[: len(lengths)] = np.where(alive, Q, 0.0).T
    sizes[: len(lengths)] = np.where(alive, lengths, 0.0)
    signs = np.sign(axes[np.arange(k), np.argmax(np.abs(axes), axis=1)])
    return axes * np.where(signs < 0, -1.0, 1.0)[:, None], sizes


def complete(problem, *, limit, alpha, rng, tol, max_iter, on_sweep=None, **options):
    """Grow the width of the factors until no wider ones would do better.

    Widths are doubled from 8 on, each from the last result with the leading singular
    vectors of the gradient added, until :func:`optimality_ratio` proves that the convex
    optimum is reached, or ``limit`` is.

    Parameters
    ----------
    problem, alpha, rng, tol, max_iter, on_sweep, **options :
        As in :func:`alternate`; the ridge must be positive.
    limit : int
        The largest width.

    Returns
    -------
    fit : Fit
    """
    k, start, errors, stopped = min(8, limit), None, [], False

    def shifted(sweep):
        nonlocal stopped
        number = len(errors) + sweep.number
        stopped = on_sweep(sweep._replace(number=number, errors=errors + sweep.errors))
        return stopped

    while True:
        fit = alternate(
            problem,
            k,
            alpha=alpha,
            start=start,
            rng=rng,
            tol=tol,
            max_iter=max_iter - len(errors),
            on_sweep=None if on_sweep is None else shifted,
            **options,
        )
        errors = errors + fit.errors
        fit = fit._replace(n_iter=len(errors), errors=errors)
        if stopped or k == limit or len(errors) >= max_iter:
            return fit
        ratio = optimality_ratio(problem, fit.factors, alpha, fit.loss, rng)
        if ratio <= 1 + 10 * tol:
            return fit
        start = _widened(problem, fit, min(2 * k, limit), alpha, rng)
        k = start.k


def _widened(problem, fit, k, alpha, rng):
    """Return factors of width k that begin with those of a fit."""
    old = fit.factors
    matrix = gradient_matrix(problem, old, fit.loss)
    new = k - old.k
    directions = rng.standard_normal((matrix.shape[1], new))
    for _ in range(3):
        directions, _ = np.linalg.qr(directions)
        directions = matrix.T @ (matrix @ directions)
    directions, _ = np.linalg.qr(directions)
    width = padded(k, problem.dtype)
    left = aligned((len(old.left), width), problem.dtype)
    right = aligned((len(old.right), width), problem.dtype)
    left[:, : old.k] = old.left[:, : old.k]
    right[:, : old.k] = old.right[:, : old.k]
    count = directions.shape[1]
    right[:, old.k : old.k + count] = directions * math.sqrt(alpha)
    return Factors(left, right, k, False)
