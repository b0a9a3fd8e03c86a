"""K-medoids without all dissimilarities: CLARA, CLARANS and OneBatchPAM.

All of them take a source of ``solvers`` and price the medoids they return on all of its
objects.
"""

import numpy as np

from skalgos.cluster._kmedoids.lane_kernels import LANES
from skalgos.cluster._kmedoids.solvers import (
    ENTRIES_AT_ONCE,
    SMALLEST_GAIN,
    Fit,
    Limits,
    Matrix,
    StreamSearch,
    fasterpam,
    row_blocks,
    single_medoid,
)


def loss_of(source, medoids):
    """Return the weighted sum of the distances of all objects to the nearest medoid."""
    d1 = None
    step = max(1, ENTRIES_AT_ONCE // source.n)
    for start in range(0, len(medoids), step):
        rows = source.rows(medoids[start : start + step]).min(axis=0)
        d1 = rows if d1 is None else np.minimum(d1, rows)
    return float(d1.astype(np.float64) @ source.weights)


def draw(source, size, rng, least=0, include=()):
    """Draw objects for a sample, as often as their weights ask for.

    Objects are lined up in random order, as long as they weigh, and taken at equal
    distances: those that weigh the same are drawn without replacement, a heavy one
    counts several times, and what is expected of each is its share of the weight.

    Parameters
    ----------
    source : Matrix, Rows or Points
    size : int
    rng : RandomState
    least : int
        How many there must be at least, where heavy ones leave few others.
    include : array-like of shape (n_included,)
        Objects that are in the sample anyway, once each.

    Returns
    -------
    objects : ndarray of shape (n_objects,)
        Distinct.
    weights : ndarray of shape (n_objects,)
        How often each was drawn; their own weights where the sample is everything.
    """
    if size >= source.n:
        return source.canonical, source.weights[source.canonical]
    include = np.asarray(include, dtype=np.intp)
    line = source.canonical[rng.permutation(source.n)]
    line = line[~np.isin(line, include)]
    ends = np.cumsum(source.weights[line])
    n_drawn = size - len(include)
    at = (np.arange(n_drawn) + rng.uniform()) * (ends[-1] / max(n_drawn, 1))
    drawn = np.minimum(np.searchsorted(ends, at, side="right"), len(line) - 1)
    counts = np.bincount(drawn, minlength=len(line))
    n_more = max(least - len(include) - np.count_nonzero(counts), 0)
    counts[np.flatnonzero(counts == 0)[:n_more]] = 1
    drawn = np.flatnonzero(counts)
    objects = np.concatenate([include, line[drawn]])
    return objects, np.concatenate([np.ones(len(include)), counts[drawn]])


def sample_of(source, objects, weights, n_clusters):
    """Return the dissimilarities among some objects, which weigh something else."""
    rows = np.ascontiguousarray(source.block(objects, objects))
    return Matrix(rows, weights.astype(np.float64), n_clusters)


def clara(
    source, k, rng, *, size, n_samples, method, init, max_iter, tol, on_sample=None
):
    """Find medoids of samples, and keep those that are best for all objects.

    Parameters
    ----------
    source : Matrix, Rows or Points
    k : int
    rng : RandomState
    size : int
        Of a sample, at least k. Each has the best medoids so far among its objects.
    n_samples : int
    method : callable
        As ``solvers.fasterpam``.
    init : callable or ndarray of shape (k,)
        ``init(source, k, rng) -> medoids`` for a sample; or the first medoids, which
        are then in the first sample and where it starts.
    max_iter, tol :
        For ``method``.
    on_sample : callable or None
        Called before each sample; returns what is called after it, with the best
        medoids and their loss, and returns whether to stop there.

    Returns
    -------
    fit : Fit
        Its losses are those of the best medoids after each sample, over all objects;
        ``n_iter`` is the largest of a sample, ``n_swaps`` the sum, and it converged if
        all samples did.
    """
    best, fits, losses = None, [], []
    given = None if callable(init) else np.asarray(init)
    for _ in range(n_samples):
        end_sample = on_sample() if on_sample is not None else None
        kept = given if best is None else best.medoids
        objects, weights = draw(source, size, rng, k, () if kept is None else kept)
        sample = sample_of(source, objects, weights, k)
        if best is None and given is not None:
            start = np.flatnonzero(np.isin(objects, given))
        else:
            start = (init if given is None else _random)(sample, k, rng)
        fit = method(
            sample, start, rng.permutation(sample.n), max_iter=max_iter, tol=tol
        )
        fits.append(fit)
        loss = loss_of(source, objects[fit.medoids])
        if best is None or loss < best.loss:
            best = fit._replace(
                medoids=objects[fit.medoids], loss=loss, start=objects[fit.start]
            )
        losses.append(best.loss)
        if end_sample is not None and end_sample(best.medoids, best.loss):
            break
    return best._replace(
        losses=losses,
        n_iter=max(fit.n_iter for fit in fits),
        n_swaps=sum(fit.n_swaps for fit in fits),
        converged=all(fit.converged for fit in fits),
    )


def _random(sample, k, rng):
    return rng.permutation(sample.n)[:k]


def clarans(source, medoids, rng, *, patience, max_iter=300, on_sweep=None):
    """Try random candidates until many in a row are no better than any medoid.

    This is FastCLARANS: a candidate is priced for all medoids at once, and candidates
    are drawn without replacement until all have had their turn.

    Parameters
    ----------
    source : Matrix, Rows or Points
    medoids : ndarray of shape (k,)
    rng : RandomState
    patience : int
        How many candidates in a row without an exchange end it.
    max_iter : int
        The largest number of times that all objects have their turn.
    on_sweep : callable or None
        As in ``solvers.fasterpam``, once all objects had their turn.

    Returns
    -------
    fit : Fit
    """
    start = np.array(medoids)
    if len(start) == 1:
        return single_medoid(source, start)
    search = source.search(start)
    losses, n_iter, n_swaps, idle = [search.refresh()], 0, 0, 0
    patience = min(patience, source.n - len(start))
    while n_iter < max_iter and idle < patience:
        n_iter += 1
        end_sweep = on_sweep() if on_sweep is not None else None
        order = source.canonical[rng.permutation(source.n)].astype(np.int64)
        t = 0
        while t < source.n and idle < patience:
            limits = Limits(-1, patience - idle, SMALLEST_GAIN * losses[-1])
            first = t
            t, last, swaps = search.sweep(order, first, source.n, limits)
            n_swaps += swaps
            idle = 0 if swaps else idle
            tried = order[(last + 1 if swaps else first) : t]
            idle += len(tried) - np.isin(tried, search.objects()).sum()
        losses.append(search.refresh())
        if end_sweep is not None and end_sweep(search.objects(), losses[-1]):
            break
    return Fit(
        search.objects(), losses[-1], losses, n_iter, n_swaps, idle >= patience, start
    )


# ---- one batch -----------------------------------------------------------------------
class Batch:
    """A source whose candidates are all objects, priced on a batch of them.

    Candidates are numbered with the batch first.

    Parameters
    ----------
    source : Matrix, Rows or Points
    batch : ndarray of shape (m,)
    weights : ndarray of shape (m,)
        What the objects of the batch stand for.
    n_bytes : float
        What may be stored; else rows are computed anew in every sweep.
    """

    def __init__(self, source, batch, weights, n_bytes):
        rest = source.canonical[~np.isin(source.canonical, batch)]
        self.object_at = np.concatenate([batch, rest])
        self.place_of = np.empty(source.n, np.intp)
        self.place_of[self.object_at] = np.arange(source.n)
        self.canonical = self.place_of[source.canonical]
        self.n = len(batch)
        self.weights = weights
        self._source, self._batch = source, batch
        self.whole = None
        width = max(self.n, LANES)
        itemsize = self.rows(np.arange(1)).itemsize
        if source.n * width * itemsize <= n_bytes:
            parts = row_blocks(self, np.arange(source.n))
            self.whole = np.concatenate([rows for _, rows in parts])

    def rows(self, candidates):
        """Return the rows of some candidates, shape (n_candidates, m)."""
        if self.whole is not None:
            return self.whole[candidates, : self.n]
        return self._source.block(self.object_at[candidates], self._batch)

    @property
    def totals(self):
        """The weighted sum of each row."""
        parts = row_blocks(self, np.arange(self._source.n))
        return np.concatenate(
            [rows[:, : self.n].astype(np.float64) @ self.weights for _, rows in parts]
        )

    def search(self, medoids):
        """Return the state of a search that starts at these medoids."""
        return StreamSearch(self, medoids, self._source.n)


def one_batch(
    source, k, rng, *, size, weighting, n_bytes, init, max_iter, tol, on_sweep=None
):
    """Run FasterPAM with all objects as candidates, priced on a batch (OneBatchPAM).

    Parameters
    ----------
    source : Matrix, Rows or Points
    k : int
    rng : RandomState
    size : int
        Of the batch, at least k.
    weighting : {"nniw", "uniform"}
        What an object of the batch stands for: the weight of the objects that are
        nearer to it than to others of the batch, or as much as it was drawn for.
    n_bytes : float
        What may be stored; else rows are computed anew in every sweep.
    init : callable or ndarray of shape (k,)
        ``init(source, k, rng) -> medoids`` for the batch, or the medoids.
    max_iter, tol, on_sweep :
        As in ``solvers.fasterpam``; losses in between are those of the batch.

    Returns
    -------
    fit : Fit
        Its loss is that of all objects.
    """
    objects, weights = draw(source, size, rng, k)
    if weighting == "nniw":
        weights = _weight_around(source, objects)
    else:
        weights = weights * (source.weights.sum() / weights.sum())
    if callable(init):
        sample = sample_of(source, objects, weights, k)
        medoids = objects[init(sample, k, rng)]
    else:
        medoids = init
    batch = Batch(source, objects, weights, n_bytes)
    on_batch = None
    if on_sweep is not None:

        def on_batch():
            end_sweep = on_sweep()
            return lambda medoids, loss: end_sweep(batch.object_at[medoids], loss)

    order = batch.canonical[rng.permutation(source.n)]
    start = batch.place_of[medoids]
    fit = fasterpam(batch, start, order, max_iter=max_iter, tol=tol, on_sweep=on_batch)
    medoids = batch.object_at[fit.medoids]
    return fit._replace(
        medoids=medoids,
        loss=loss_of(source, medoids),
        start=batch.object_at[fit.start],
    )


def _weight_around(source, objects):
    """Return the weight of the objects that are nearer to each than to the others."""
    weights = np.zeros(len(objects))
    step = max(1, ENTRIES_AT_ONCE // len(objects))
    for start in range(0, source.n, step):
        part = np.arange(start, min(start + step, source.n))
        nearest = source.block(objects, part).argmin(axis=0)
        weights += np.bincount(nearest, source.weights[part], len(objects))
    return weights
