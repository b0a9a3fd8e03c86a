"""Observed entries, by rows and by columns, as the half-sweeps read them."""

import math
from itertools import pairwise
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
from scipy import sparse

from skalgos._low_rank.lane_kernels import WIDTH

# Entries per kernel call, about a second: Ctrl-C is seen in between.
ENTRIES_PER_CALL = 1 << 25


def padded(n, dtype):
    """Return the smallest length of at least n that is a whole number of vectors."""
    lanes = WIDTH // dtype.itemsize
    return -(-n // lanes) * lanes


def aligned(shape, dtype):
    """Return zeros that start at a multiple of a vector's size."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(n_bytes + WIDTH, np.uint8)
    start = -memory.ctypes.data % WIDTH
    return memory[start : start + n_bytes].view(dtype).reshape(shape)


class Side(NamedTuple):
    """The entries in compressed form: those of row i are indptr[i] to indptr[i + 1].

    Parameters
    ----------
    indptr : ndarray of shape (n_rows + 1,), int64
    indices : ndarray of shape (n_entries,), int32
    values : ndarray of shape (n_entries,)
    weights : ndarray of shape (n_entries,) or (0,)
        Empty if all are one.
    totals : ndarray of shape (n_rows,), float64
        The total weight of each row.
    scales : ndarray of shape (n_rows,), float64
        What multiplies the ridge of each row: a power of its total weight.
    """

    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    weights: np.ndarray
    totals: np.ndarray
    scales: np.ndarray

    @property
    def shape(self):
        return len(self.indptr) - 1, len(self.values)


class Problem(NamedTuple):
    """A table with missing entries.

    Parameters
    ----------
    rows, columns : Side
        The same entries twice. The weights of ``columns`` contain ``row_weights``.
    row_weights : ndarray of shape (n_rows,), float64
        How often each row counts.
    """

    rows: Side
    columns: Side
    row_weights: np.ndarray

    @property
    def dtype(self):
        return self.rows.values.dtype

    @property
    def total(self):
        """The weight of all entries."""
        return float(self.row_weights @ self.rows.totals)


def _totals(indptr, weights):
    if not len(weights):
        return np.diff(indptr).astype(np.float64)
    sums = np.concatenate([[0.0], np.cumsum(weights, dtype=np.float64)])
    return sums[indptr[1:]] - sums[indptr[:-1]]


def make_side(indptr, indices, values, weights, scaling):
    """Return a side of which the totals and the scales follow from the weights."""
    indptr = np.asarray(indptr, np.int64)
    if weights is None:
        weights = np.empty(0, values.dtype)
    totals = _totals(indptr, weights)
    scales = np.ones_like(totals) if scaling == 0 else totals**scaling
    return Side(indptr, np.asarray(indices, np.int32), values, weights, totals, scales)


def make_problem(
    indptr, indices, values, n_columns, *, scaling=0.0, weights=None, row_weights=None
):
    """Return the problem of entries in compressed rows.

    Parameters
    ----------
    indptr, indices : ndarray
        As in :class:`scipy.sparse.csr_array`, without duplicates.
    values : ndarray of shape (n_entries,), float32 or float64
    n_columns : int
    scaling : float, default=0.0
        The power of the total weight by which ridges grow.
    weights : ndarray of shape (n_entries,), default=None
        Of the type of the values.
    row_weights : ndarray of shape (n_rows,), default=None

    Returns
    -------
    problem : Problem
    """
    shape = (len(indptr) - 1, n_columns)
    rows = make_side(indptr, indices, values, weights, scaling)
    by_columns = sparse.csr_array((values, rows.indices, indptr), shape).tocsc()
    if row_weights is None:
        row_weights = np.ones(shape[0])
        column_weights = weights
    else:
        column_weights = np.repeat(row_weights, np.diff(indptr)).astype(values.dtype)
        if weights is not None:
            column_weights *= weights
    if column_weights is not None:
        column_weights = (
            sparse.csr_array((column_weights, rows.indices, indptr), shape).tocsc().data
        )
    columns = make_side(
        by_columns.indptr,
        by_columns.indices,
        by_columns.data,
        column_weights,
        scaling,
    )
    return Problem(rows, columns, row_weights)


def chunks_of(side, threads):
    """Return where chunks of rows of about equal work begin and end."""
    n_rows, n_entries = side.shape
    cost = side.indptr + 4 * np.arange(n_rows + 1)
    n_chunks = 1 if threads == 1 else 8 * threads
    n_chunks = max(n_chunks, -(-n_entries // ENTRIES_PER_CALL))
    cuts = np.searchsorted(cost, np.linspace(0, cost[-1], n_chunks + 1)[1:-1])
    bounds = np.unique([0, *cuts.tolist(), n_rows]).tolist()
    return list(pairwise(bounds))


class Pool:
    """Chunks of rows of about equal work, and a set of buffers for each thread.

    Parameters
    ----------
    side : Side
    width : int
        Numbers kept for the coefficients of a row.
    threads : int
    dtype : dtype
    """

    def __init__(self, side, width, threads, dtype):
        self.chunks = chunks_of(side, threads)
        longest = int(np.diff(side.indptr).max(initial=1)) + 3
        self._free = SimpleQueue()
        for _ in range(min(threads, max(len(self.chunks), 1))):
            self._free.put(
                (
                    aligned((longest * width,), dtype),
                    np.empty(longest, dtype),
                    np.empty(longest, dtype),
                    aligned((7, width), dtype),
                    aligned((width * width,), dtype),
                )
            )

    def run(self, chunk_map, function):
        """Return function(first, last, B, v, q, work, G) of every chunk, as a list."""

        def on_chunk(chunk):
            buffers = self._free.get()
            try:
                return function(*chunk, *buffers)
            finally:
                self._free.put(buffers)

        return chunk_map(on_chunk, self.chunks)
