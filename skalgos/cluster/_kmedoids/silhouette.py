"""Clustering by the medoid silhouette, on the sources of ``solvers``.

The loss is the weighted mean of ``r(d1, d2)``, the distance of an object to its medoid
over that to the next, which is one minus the mean medoid silhouette.
"""

import numpy as np

from skalgos.cluster._kmedoids import silhouette_kernels as kernels
from skalgos.cluster._kmedoids.lane_kernels import LANES
from skalgos.cluster._kmedoids.quotients import ratios
from skalgos.cluster._kmedoids.solvers import (
    SMALLEST_GAIN,
    Fit,
    candidate_rows,
    grouped,
    row_blocks,
)


class _Search:
    """Medoids by slot, and for every object its nearest three: see the kernels."""

    def __init__(self, source, medoids):
        n, k = source.n, len(medoids)
        size = max(n, LANES)
        self.source, self.n = source, n
        self.total = source.weights.sum()
        self.medoids = np.array(medoids, dtype=np.int64)
        self.slot_of = np.full(size, -1, np.int32)
        self.slot_of[self.medoids] = np.arange(k)
        to_medoids = np.ascontiguousarray(source.rows(self.medoids))
        ordered = to_medoids.copy()
        ordered[np.arange(k), self.medoids] = -1  # each medoid is its own first
        slots = np.argsort(ordered, axis=0, kind="stable")[:3].astype(np.int32)
        self.i = [np.full(size, -1, np.int32) for _ in range(3)]
        self.d = [np.zeros(size, to_medoids.dtype) for _ in range(3)]
        self.d[2][:n] = np.inf
        for i, d, nearest in zip(self.i, self.d, slots, strict=False):
            i[:n], d[:n] = nearest, to_medoids[nearest, np.arange(n)]
        self.to_medoids = grouped(to_medoids, size)
        self.S = _aligned(size)
        self.S[:n, kernels.W] = source.weights
        self.G, self.P = np.zeros(k), np.zeros(k)
        self.hits = np.zeros((2, -(-size // LANES) + 1), np.uint64)

    def refresh(self):
        """Sum everything anew, and return the loss."""
        kernels.summarise_all(*self.i, *self.d, self.S, self.G)
        return float(self.S[: self.n, kernels.A] @ self.source.weights / self.total)

    def sweep(self, order, start, stop, last, threshold):
        """Try the candidates order[start:stop]: see ``kernels.sweep``."""
        rows, gathered, stop = candidate_rows(self.source, order, start, stop)
        return kernels.sweep(
            rows, gathered, order, start, stop, last, threshold * self.total,
            self.medoids, self.slot_of, *self.i, *self.d, self.S, self.G, self.P,
            self.hits, self.to_medoids,
        )  # fmt: skip

    def best_exchange(self, candidates, tie):
        """Return the gain of the best exchange, its slot and its candidate.

        Of gains that differ by ``tie`` or less the first counts as the best.
        """
        best, tie = (-np.inf, -1, -1), tie * self.total
        for part, rows in row_blocks(self.source, candidates):
            gains = np.empty(len(rows))
            slots = np.empty(len(rows), np.int64)
            kernels.gains_of_rows(
                rows, self.d[2], self.S, self.G, self.P, self.hits, gains, slots
            )
            t = int(np.argmax(gains >= gains.max() - tie))
            if gains[t] > best[0] + tie:
                best = float(gains[t]), int(slots[t]), int(candidates[part][t])
        gain, slot, candidate = best
        return gain / self.total, slot, candidate

    def exchange(self, slot, candidate):
        """Make a candidate the medoid of a slot."""
        ((_, rows),) = row_blocks(self.source, np.array([candidate]))
        self.slot_of[self.medoids[slot]] = -1
        self.slot_of[candidate] = slot
        self.medoids[slot] = candidate
        kernels.make_exchange(
            slot, candidate, rows[0], *self.i, *self.d, self.S, self.G,
            self.to_medoids,
        )  # fmt: skip


def _aligned(size):
    """Return an array of shape (size, 8) whose rows are cache lines."""
    room = np.zeros(8 * size + 7)
    skip = -(room.ctypes.data // 8) % 8
    return room[skip : skip + 8 * size].reshape(size, 8)


def _iterate(source, medoids, step, *, max_iter, tol, on_sweep, search=_Search):
    """Take steps until one makes no exchange.

    ``step(search, least) -> int, bool`` makes exchanges that gain at least ``least``
    and returns their number, and whether they are known to be the last.
    """
    start = np.array(medoids)
    state = search(source, start)
    losses = [state.refresh()]
    n_iter = n_swaps = 0
    converged = False
    while n_iter < max_iter and not converged:
        n_iter += 1
        before = losses[-1]
        if before == 0:
            converged = True
            break
        end_sweep = on_sweep() if on_sweep is not None else None
        swaps, proved = step(state, SMALLEST_GAIN)
        n_swaps += swaps
        losses.append(state.refresh())
        converged = proved or swaps == 0 or before - losses[-1] <= tol * before
        if end_sweep is not None and end_sweep(state.medoids.copy(), losses[-1]):
            break
    fit = Fit(
        state.medoids.copy(), losses[-1], losses, n_iter, n_swaps, converged, start
    )
    return fit, state


def fastermsc(source, medoids, order, *, max_iter=300, tol=0.0, on_sweep=None):
    """Make every exchange that raises the mean medoid silhouette, until none does.

    Parameters
    ----------
    source : Matrix, Rows or Points
    medoids : ndarray of shape (k,)
        At least two distinct objects to start from.
    order : ndarray of shape (n,), int64
        The order in which candidates are tried.
    max_iter, tol, on_sweep :
        As in ``solvers.fasterpam``.

    Returns
    -------
    fit : Fit
        Its losses are one minus the mean medoid silhouette.
    """
    return _fastermsc(source, medoids, order, max_iter, tol, on_sweep)[0]


def _fastermsc(source, medoids, order, max_iter, tol, on_sweep):
    order = np.ascontiguousarray(order, dtype=np.int64)
    last = -1

    def step(search, least):
        nonlocal last
        t, n_swaps = 0, 0
        while t < source.n and t != last:
            t, last, swaps = search.sweep(order, t, source.n, last, least)
            n_swaps += swaps
        return n_swaps, t == last

    return _iterate(
        source, medoids, step, max_iter=max_iter, tol=tol, on_sweep=on_sweep
    )


def fastmsc(source, medoids, order=None, *, max_iter=300, tol=0.0, on_sweep=None):
    """Make the best of all exchanges, again and again: the exchanges of PAMMEDSIL.

    Parameters
    ----------
    source, medoids, max_iter, tol, on_sweep :
        As in ``fastermsc``; a sweep is one exchange.
    order : None
        Not used: nothing here depends on an order.

    Returns
    -------
    fit : Fit
    """

    def step(search, least):
        others = source.canonical[search.slot_of[source.canonical] < 0]
        if len(others) == 0:
            return 0, True
        gain, slot, candidate = search.best_exchange(others, least)
        if gain <= least:
            return 0, True
        search.exchange(slot, candidate)
        return 1, False

    return _iterate(
        source, medoids, step, max_iter=max_iter, tol=tol, on_sweep=on_sweep
    )[0]


class _Plain:
    """Medoids, priced anew from all dissimilarities for every exchange."""

    def __init__(self, source, medoids, loss):
        self.source = source
        self.medoids = np.array(medoids)
        self.rows = source.rows(np.arange(source.n)).astype(np.float64)
        self._loss = loss

    def refresh(self):
        """Return the loss."""
        return self._loss(self, self.medoids)

    def step(self, least):
        """Make the best of all exchanges."""
        others = self.source.canonical
        others = others[~np.isin(others, self.medoids)]
        if len(others) == 0:
            return 0, True
        losses = np.empty((len(others), len(self.medoids)))
        for t, candidate in enumerate(others):
            for slot in range(len(self.medoids)):
                trial = self.medoids.copy()
                trial[slot] = candidate
                losses[t, slot] = self._loss(self, trial)
        now = self.refresh()
        first = np.argmax(losses <= losses.min() + least)
        t, slot = np.unravel_index(first, losses.shape)
        if losses[t, slot] >= now - least:
            return 0, True
        self.medoids[slot] = others[t]
        return 1, False


def _medoid_loss(search, medoids):
    w = search.source.weights
    to_medoids = search.rows[medoids]
    d1, d2 = np.partition(to_medoids, 1, axis=0)[:2]
    return float(w @ ratios(d1, d2) / w.sum())


def _full_loss(search, medoids):
    """Return one minus the mean silhouette, an object of weight w standing for w."""
    w = search.source.weights
    to_medoids = search.rows[medoids]
    to_medoids[np.arange(len(medoids)), medoids] = -1
    labels = to_medoids.argmin(axis=0)
    member = (labels[:, None] == np.arange(len(medoids))) * w[:, None]
    sizes = member.sum(axis=0)
    sums = search.rows.T @ member
    own = labels[:, None] == np.arange(len(medoids))
    others = sizes[labels] - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        a = sums[own] / others
        b = np.where(own, np.inf, sums / sizes).min(axis=1)
        silhouettes = np.where(others > 0, (b - a) / np.maximum(a, b), 0.0)
    silhouettes[np.maximum(a, b) == 0] = 0.0
    return float(1 - w @ silhouettes / w.sum())


def pammedsil(source, medoids, order=None, *, max_iter=300, tol=0.0, on_sweep=None):
    """Do what ``fastmsc`` does, pricing each pair of a medoid and a candidate anew.

    As published; for reference.
    """
    return _by_pairs(source, medoids, _medoid_loss, max_iter, tol, on_sweep)


def pamsil(source, medoids, order=None, *, max_iter=300, tol=0.0, on_sweep=None):
    """Make the exchange that raises the mean of the full silhouette the most.

    As published: every price takes n * n dissimilarities.
    """
    return _by_pairs(source, medoids, _full_loss, max_iter, tol, on_sweep)


def _by_pairs(source, medoids, loss, max_iter, tol, on_sweep):
    return _iterate(
        source,
        medoids,
        _Plain.step,
        max_iter=max_iter,
        tol=tol,
        on_sweep=on_sweep,
        search=lambda source, start: _Plain(source, start, loss),
    )[0]


METHODS = {
    "fastermsc": fastermsc,
    "fastmsc": fastmsc,
    "pammedsil": pammedsil,
    "pamsil": pamsil,
}


def dynmsc(source, medoids, order, n_least, *, max_iter=300, tol=0.0, on_sweep=None):
    """Optimise with ever fewer medoids, dropping the one that is missed the least.

    Parameters
    ----------
    source, order, max_iter, tol, on_sweep :
        As in ``fastermsc``; ``max_iter`` is for each number of medoids.
    medoids : ndarray of shape (k,)
        To start from.
    n_least : int
        The number of medoids to end with, at least two.

    Returns
    -------
    fits : list of Fit
        For k, k - 1, ... n_least medoids.
    """
    fits = []
    while True:
        fit, state = _fastermsc(source, medoids, order, max_iter, tol, on_sweep)
        fits.append(fit)
        if len(fit.medoids) == n_least:
            return fits
        medoids = np.delete(fit.medoids, np.argmax(state.G))
