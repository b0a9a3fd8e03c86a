"""FasterPAM and its initialisations, on arrays: objects are rows 0 to n - 1.

A *source* knows the dissimilarities: a whole matrix of them, a function that computes
rows of one, or points among which they are computed where they are needed. Entry o of
row j is the dissimilarity of object o to candidate j, and zero for o = j. Objects are
distinct and weigh something.
"""

import math
from copy import deepcopy
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from skalgos._threads import chunk_map
from skalgos.cluster._kmedoids import kernels
from skalgos.cluster._kmedoids.lane_kernels import LANES

# An exchange must gain this share of the loss: rounding alone could exchange for ever.
SMALLEST_GAIN = 1e-12
# Distances per kernel call, a few tenths of a second: Ctrl-C is seen in between.
WORK_PER_CALL = 1 << 28
# Entries of the temporary arrays that hold rows computed for a while.
ENTRIES_AT_ONCE = 1 << 21
# And per thread where several share them: a thread takes a while to wake up.
WORK_AHEAD = 1 << 22
# Entries of those arrays that are read again at once.
ENTRIES_PER_PART = 1 << 17
NOTHING = np.empty(0, np.int64)
NO_LEVELS = np.empty((0, 0), np.uint8)
# From this many objects on the matrix leaves the caches, and one byte each pays.
SCREEN_FROM = 1500
N_LEVELS = 255
# With this many medoids few distances can matter, and among this many distances a list
# of those takes less than a byte for each: the time is that of handing out memory.
LISTS_FROM = 48
LISTED_FROM = 1 << 27
# Entries from which a loop is worth its compilation where numpy can do the same.
COMPILED_FROM = 1 << 16


class Geometry(NamedTuple):
    """How points become dissimilarities: ``finish(block distance)``.

    The block distance ``code`` is one of the codes in ``lane_kernels``; the
    dissimilarity is ``scale`` times its square root if ``root``, else times itself.
    """

    code: int
    root: bool
    scale: float


PLAIN = Geometry(0, False, 1.0)


class Fit(NamedTuple):
    """Where FasterPAM ended: the medoids, by index, and how it got there."""

    medoids: np.ndarray
    loss: float
    losses: list
    n_iter: int
    n_swaps: int
    converged: bool
    start: np.ndarray


def nearest_two(distances):
    """Return for each row the columns of its two smallest entries, ties to the first.

    Parameters
    ----------
    distances : ndarray of shape (n, k), C-contiguous
        Left as it was, but written to in between.

    Returns
    -------
    near, sec : ndarray of shape (n,), int32
        With k = 1, ``sec`` is -1.
    d1, d2 : ndarray of shape (n,)
        With k = 1, ``d2`` is infinite.
    """
    n, k = distances.shape
    rows = np.arange(n)
    near = distances.argmin(axis=1).astype(np.int32)
    d1 = distances[rows, near]
    if k == 1:
        return near, np.full(n, -1, np.int32), d1, np.full(n, np.inf)
    integers = distances.dtype.kind in "iu"
    distances[rows, near] = np.iinfo(distances.dtype).max if integers else np.inf
    sec = distances.argmin(axis=1).astype(np.int32)
    hidden = sec == near  # everything else is as large as the largest integer
    sec[hidden] = near[hidden] == 0
    distances[rows, near] = d1
    return near, sec, d1, distances[rows, sec]


def two_nearest(rows, near, sec, d1, d2):
    """Do for columns what ``nearest_two`` does for rows; there are at least two rows.

    Parameters
    ----------
    rows : ndarray of shape (k, n), C-contiguous
    near, sec : ndarray of shape (n,), int32
        Filled, as are the distances; they may be longer.
    d1, d2 : ndarray of shape (n,)
    """
    if rows.size < COMPILED_FROM:
        n = rows.shape[1]
        near[:n], sec[:n], d1[:n], d2[:n] = nearest_two(np.ascontiguousarray(rows.T))
        return
    integers = rows.dtype.kind in "iu"
    top = np.iinfo(rows.dtype).max if integers else np.inf
    for start in range(0, rows.shape[1], 2048):  # stays in cache
        stop = min(start + 2048, rows.shape[1])
        part = slice(start, stop)
        near[part], sec[part], d1[part], d2[part] = 0, 1, rows[0, part], top
        kernels.two_nearest(rows, start, near[part], sec[part], d1[part], d2[part])


class Assignment(NamedTuple):
    """Medoids from the heaviest cluster to the lightest, and who is near to which."""

    medoids: np.ndarray
    near: np.ndarray
    sec: np.ndarray
    d1: np.ndarray
    d2: np.ndarray


def assign(to_medoids, medoids, weights):
    """Find the nearest two medoids of every row, and number clusters by their size.

    Clusters whose weights differ by rounding alone keep the order of the medoids.

    Parameters
    ----------
    to_medoids : callable
        ``to_medoids(rows) -> ndarray of shape (n_rows, k)``, the distances of rows, a
        slice or indices, to the medoids.
    medoids : ndarray of shape (k,)
        Rows.
    weights : ndarray of shape (n,)

    Returns
    -------
    assignment : Assignment
        ``near`` and ``sec`` are positions in its ``medoids``. Of medoids that are
        equally near the first counts, but a medoid is always nearest to itself.
    """
    n, k = len(weights), len(medoids)

    def read(rows, order):
        distances = to_medoids(rows)
        rows = np.arange(n)[rows]
        own = np.flatnonzero(np.isin(medoids, rows))
        distances[np.searchsorted(rows, medoids[own]), own] = 0
        return np.ascontiguousarray(distances[:, order])

    near, sec, d1, d2, tied = [], [], [], [], []
    slots = np.arange(k)
    for rows in in_parts(n, k):
        distances = read(rows, slice(None))
        two = nearest_two(distances)
        for whole, part in zip((near, sec, d1, d2), two, strict=True):
            whole.append(part)
        within = np.sum(distances <= two[3][:, None], axis=1)
        tied.append(rows.start + np.flatnonzero((within > 2) | (two[2] == two[3])))
    near, sec, d1, d2, tied = map(np.concatenate, (near, sec, d1, d2, tied))
    order = by_size(near, weights, k)
    if np.any(order != slots):
        rank = np.empty(k, np.int32)
        rank[order] = slots
        near, sec = rank[near], rank[sec]
        for part in in_parts(len(tied), k):
            rows = tied[part]
            near[rows], sec[rows], *_ = nearest_two(read(rows, order))
    medoids = medoids[order]
    displaced = medoids[near[medoids] != slots]
    sec[displaced] = near[displaced]
    d2[displaced] = d1[displaced]
    near[medoids] = slots
    return Assignment(medoids, near, sec, d1, d2)


def in_parts(n, k):
    """Return slices of n rows, of some that fit a cache with k numbers each."""
    step = max(1, ENTRIES_PER_PART // k)
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def by_size(near, weights, k):
    """Order clusters from the heaviest to the lightest.

    Weights that differ by rounding alone count as equal, and keep their order.

    Parameters
    ----------
    near : ndarray of shape (n,)
        The cluster of each row.
    weights : ndarray of shape (n,)
    k : int

    Returns
    -------
    order : ndarray of shape (k,)
    """
    sizes = np.bincount(near, weights, k)
    return np.argsort(-np.round(sizes / weights.sum(), 10), kind="stable")


# ---- the screen ----------------------------------------------------------------------
class Screen(NamedTuple):
    """A second copy of the distances, in one byte each and rounded down.

    A candidate is priced with these first, at a quarter or an eighth of the memory
    traffic; as the price only grows with the distances this bounds it, and the
    distances themselves are needed for the few candidates that the bound leaves.
    """

    levels: np.ndarray
    table: np.ndarray
    unit: np.ndarray

    @classmethod
    def empty(cls, sample, n_rows, n_clusters, geometry=PLAIN):
        """Return a screen without levels yet, and the levels per unit of distance.

        An object's top level should be about the largest distance that its second
        medoid may have: with medoids at random, the quantile that leaves one in a
        hundred above. Any scale is right, this one leaves few candidates. Without a
        usable scale the screen is None.

        Parameters
        ----------
        sample : ndarray of shape (n_sampled, n)
            The distances to some candidates.
        n_rows : int
        n_clusters : int
        geometry : Geometry
            How these become what ``bounds`` is given.
        """
        quantiles = np.arange(1, 1000) / 1000
        above = (1 - quantiles) ** (n_clusters - 1) * (1 + (n_clusters - 1) * quantiles)
        quantile = quantiles[min(np.count_nonzero(above > 0.01), 998)]
        tops = _ranked(sample, math.ceil(quantile * (len(sample) - 1)))
        steps, table, unit = _scales(tops, geometry)
        if not unit.any():
            return None, steps
        return cls(np.empty((n_rows, len(tops)), np.uint8), table, unit), steps

    def part(self, rows):
        """Return what a kernel fills for some rows: levels, and no lists."""
        return self.levels[rows], None

    def bounds(self, d2):
        """Return what a search keeps of it: limits on the levels, and what they say."""
        return _levels_below(d2, self.table, self.unit), self.table, self.unit


class Lists(NamedTuple):
    """A screen of those distances alone that can matter, in four bytes each.

    With many medoids most objects are farther from a candidate than from their second
    medoid. The entries ``spans[0, j]`` to ``spans[1, j]`` are of those that are nearer
    to candidate j than their ``cut``: 256 times the object, plus the level.
    """

    spans: np.ndarray
    entries: np.ndarray
    table: np.ndarray
    unit: np.ndarray
    cut: np.ndarray

    @classmethod
    def empty(cls, rows, n_clusters):
        """Return lists without entries yet, and the levels per unit of distance.

        An object's cut is about where the fourth nearest of as many objects as there
        are medoids would be. That leaves one second medoid in ten beyond, for which the
        bound is less sharp. Lists are None if many cuts are zero, as among few distinct
        distances, or have no usable scale.
        """
        n, size = len(rows), 128
        rank = max(3, round(4 * size / n_clusters))
        cut = _ranked(rows[_sample(n, size)], rank - 1)
        steps, table, unit = _scales(cut)
        cut[unit == 0] = 0
        if np.count_nonzero(unit) < 0.9 * n:
            return None, steps
        entries = np.empty(n * math.ceil(1.5 * rank / size * n), np.uint32)
        return cls(np.empty((2, n), np.int64), entries, table, unit, cut), steps

    def part(self, rows):
        """Return what a kernel fills for some rows: no levels, and lists."""
        each = len(self.entries) // len(self.cut)
        entries = self.entries[each * rows.start : each * rows.stop]
        hits = np.empty((2, -(-len(self.cut) // LANES) + 1), np.uint64)
        spans = self.spans[:, rows]
        return NO_LEVELS, (self.cut, entries, each * rows.start, spans, hits)

    def state(self, d1, d2, R):
        """Return what a search keeps of it, to be filled by ``update``."""
        return (
            self.spans, self.entries, np.empty(len(d1), np.uint8), self.table,
            self.unit, self.cut, d1.copy(), d2.copy(), R.copy(), np.zeros(1),
        )  # fmt: skip

    @staticmethod
    def update(state, near, d1, d2, w):
        """Compute the state anew."""
        _, _, level_bound, table, unit, cut, c1, c2, R, base = state
        np.minimum(d1, cut, out=c1)
        np.minimum(d2, cut, out=c2)
        level_bound[:] = _levels_below(c2, table, unit)
        c1 = c1.astype(np.float64)
        R[:] = np.bincount(near, w * (c2 - c1), len(R))
        base[0] = w @ (c1 - d1)


def _ranked(sample, rank):
    """Return for each column the entry of this rank, from 0, as a new array."""
    columns = np.ascontiguousarray(sample.T)
    return np.partition(columns, rank, axis=1)[:, rank].copy()


def _scales(tops, geometry=PLAIN):
    """Return the scale on which the levels of each object reach up to its top.

    Returns
    -------
    steps : ndarray of shape (n,), float32
        Levels per unit of distance; zero where no usable number would do.
    table : ndarray of shape (N_LEVELS,)
    unit : ndarray of shape (n,)
        At level q the distance is at least ``table[q] * unit``, after ``finish``.
    """
    with np.errstate(divide="ignore", over="ignore"):
        steps = (N_LEVELS - 1) / tops.astype(np.float64)
    usable = (np.finfo(np.float32).tiny < steps) & (steps < 1e30)
    steps = np.where(usable, steps, 0).astype(np.float32)
    unit = np.zeros(len(steps))
    unit[usable] = _finished(1 / steps[usable].astype(np.float64), geometry)
    # A level may be one too high by rounding in single precision, which stays far below
    # a thousandth of a level: the table errs to the other side.
    table = np.maximum(np.arange(N_LEVELS) - 1e-3, 0)
    return steps, np.sqrt(table) if geometry.root else table, unit


def _levels_below(distances, table, unit):
    """Return how many levels of each object say less than its distance."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = distances / unit
    # Nothing is less than zero, also where there is no scale: in lanes that only fill
    # the last block of points.
    ratios[np.isnan(ratios)] = 0
    return np.searchsorted(table, ratios).astype(np.uint8)


def _widened(rows):
    """Return rows filled up with zeros to the number of lanes."""
    wide = np.zeros((len(rows), LANES), rows.dtype)
    wide[:, : rows.shape[1]] = rows
    return wide


def _sample(n, size):
    return np.linspace(0, n - 1, size).astype(np.intp)


# ---- sources -------------------------------------------------------------------------
class Digest(NamedTuple):
    """What one reading of a matrix tells: see ``digest``."""

    totals: np.ndarray
    n_negative: int
    symmetric: bool


def digest(rows, weights, *, screen=None, steps=None, compare=False, threads=1):
    """Read every distance once, for all that has to be known of it.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n), C-contiguous
    weights : ndarray of shape (n,)
    screen : Screen, Lists or None
        It is filled.
    steps : ndarray of shape (n,), float32
        Its levels per unit of distance.
    compare : bool
        Whether to compare the matrix with its transpose. Random sums of the bits along
        the rows are held against those along the columns: equal matrices are always
        told, and of 2**62 others one may be taken for equal.
    threads : int

    Returns
    -------
    digest : Digest
        The weighted sum of each row, the number of negative entries, and whether the
        matrix was found to be symmetric.
    """
    n = rows.shape[1]
    totals = np.empty(len(rows))
    low, high = _mixers(n if compare else 0)
    row_sums = np.zeros(len(low), np.uint64)
    if steps is None:
        steps = np.empty(0, np.float32)

    def read(part):
        column_sums = np.zeros(len(low), np.uint64)
        levels, listed = (NO_LEVELS, None) if screen is None else screen.part(part)
        n_negative = kernels.digest(
            rows[part], part.start, weights, steps, levels, listed,
            totals[part],
            rows[part].view(f"u{rows.itemsize}"), low, high, row_sums[part],
            column_sums,
        )  # fmt: skip
        return n_negative, column_sums

    with chunk_map(threads) as chunks:
        n_negative, column_sums = zip(
            *chunks(read, _shares(len(rows), threads)), strict=True
        )
    symmetric = compare and np.array_equal(row_sums, sum(column_sums))
    return Digest(totals, sum(n_negative), symmetric)


def _shares(n, threads):
    """Return slices of n rows, one for each thread."""
    edges = np.linspace(0, n, threads + 1).astype(int)
    return [slice(*pair) for pair in pairwise(edges)]


def _mixers(n):
    """Return two arrays of fixed random 32-bit numbers, by the splitmix64 generator."""
    z = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z.astype(np.uint32), (z >> np.uint64(32)).astype(np.uint32)


class Matrix:
    """A whole matrix of dissimilarities, with a screen from ``SCREEN_FROM`` on.

    Parameters
    ----------
    distances : ndarray of shape (n, n), C-contiguous
        Row j holds the dissimilarities to candidate j; any float or integer type.
    weights : ndarray of shape (n,), float64
    n_clusters : int or None
        How many medoids are to come: it scales the screen, and changes no result. None
        for no screen.
    totals : ndarray of shape (n,) or None
        The weighted sum of each row, if it is known and the entries have been seen.
    compare : bool
        Whether to find out if the matrix is symmetric.
    threads : int
        Nothing depends on it.

    Attributes
    ----------
    totals : ndarray of shape (n,)
        The weighted sum of each row, the loss of its candidate as the only medoid.
    digest : Digest
        What reading the matrix told, where ``totals`` was not given.
    canonical : ndarray of shape (n,)
        An order of the objects that does not depend on how they are stored: random
        choices are made over it, and of equal candidates the first in it is taken.
    """

    def __init__(
        self, distances, weights, n_clusters, totals=None, compare=False, threads=1
    ):
        self.n = len(distances)
        self.canonical = np.arange(self.n)
        self.weights = weights
        self.screen = steps = None
        if self.n >= SCREEN_FROM and n_clusters is not None:
            if n_clusters >= LISTS_FROM and distances.size >= LISTED_FROM:
                self.screen, steps = Lists.empty(distances, n_clusters)
            if self.screen is None:
                sample = distances[_sample(self.n, 64)]
                self.screen, steps = Screen.empty(sample, self.n, n_clusters)
        self.totals = totals
        if totals is None or self.screen is not None:
            self.digest = digest(
                distances, weights, screen=self.screen, steps=steps, compare=compare,
                threads=threads,
            )  # fmt: skip
            self.totals = self.digest.totals
        if self.n < LANES:  # kernels read 64 entries at a time
            distances = _widened(distances)
        self.whole = distances

    def rows(self, candidates):
        """Return the rows of some candidates, shape (n_candidates, n)."""
        return self.whole[candidates, : self.n]

    def block(self, candidates, objects):
        """Return the dissimilarities of some objects to some candidates."""
        return self.whole[np.ix_(candidates, objects)]

    def search(self, medoids):
        """Return the state of a search that starts at these medoids."""
        return _MatrixSearch(self, medoids)


class Rows:
    """Rows of dissimilarities that a function computes each time they are needed.

    Parameters
    ----------
    compute : callable
        ``compute(candidates, objects) -> ndarray``, the dissimilarities of objects to
        candidates, a row a candidate; both are arrays of indices or slices.
    weights : ndarray of shape (n,), float64
    """

    whole = None

    def __init__(self, compute, weights):
        self.n = len(weights)
        self.canonical = np.arange(self.n)
        self.weights = weights
        self._compute = compute

    @property
    def totals(self):
        """The weighted sum of each row, computed anew."""
        return _totals(self)

    def rows(self, candidates):
        """Return the rows of some candidates, shape (n_candidates, n)."""
        return self.block(candidates, slice(None))

    def block(self, candidates, objects):
        """Return the dissimilarities of some objects to some candidates."""
        return np.ascontiguousarray(self._compute(candidates, objects))

    def search(self, medoids):
        """Return the state of a search that starts at these medoids."""
        return StreamSearch(self, medoids)


class Points:
    """Points among which dissimilarities are computed where they are needed.

    Points that are close together are stored together, 64 to a block, so that most
    blocks are out of a candidate's reach in few dimensions.

    Parameters
    ----------
    X : ndarray of shape (n, d), floats
    geometry : Geometry
    weights : ndarray of shape (n,), float64
    screen_for : int or None
        The number of medoids to come, for a screen of n * n bytes; None for none.
    threads : int
        Nothing depends on it.
    object_at : ndarray of shape (n,) or None
        The order to store them in, if another.
    """

    whole = None

    def __init__(
        self, X, geometry, weights, screen_for=None, threads=1, object_at=None
    ):
        self.n, n_features = X.shape
        self.canonical = np.arange(self.n)
        self.geometry = geometry
        self.weights = weights
        self.object_at = bisected(X) if object_at is None else object_at
        self.place_of = np.empty(self.n, np.intp)
        self.place_of[self.object_at] = np.arange(self.n)
        self.blocks = blocked(X[self.object_at])
        n_blocks = len(self.blocks)
        at = np.arange(n_blocks * LANES).reshape(n_blocks, 1, LANES)
        filled = np.where(at < self.n, self.blocks, self.blocks[:, :, :1])
        corners = np.stack([filled.min(axis=2), filled.max(axis=2)], axis=2)
        self.boxes = blocked(corners.reshape(n_blocks, -1))
        self.screen = None
        if screen_for is not None:
            self.screen = self._screen(screen_for, threads)

    def _screen(self, n_clusters, threads):
        """Compute a screen, without a root: its levels are of block distances."""
        raw = self.geometry._replace(root=False, scale=1.0)
        points = self.points(_sample(self.n, 64))
        sample = dissimilarities(raw, self.blocks, points)
        sample[:, self.n :] = 0
        screen, steps = Screen.empty(sample, self.n, n_clusters, self.geometry)
        if screen is None:
            return None

        def fill(share):
            out = np.empty(LANES, self.blocks.dtype)
            for start in range(share.start, share.stop, LANES):
                part = slice(start, min(start + LANES, share.stop))
                points = self.points(self.object_at[part])
                kernels.levels_of(
                    raw.code, self.blocks, points, steps, out, screen.levels[part],
                )  # fmt: skip

        with chunk_map(threads) as chunks:
            chunks(fill, _shares(self.n, threads))
        return screen

    @property
    def totals(self):
        """The weighted sum of each row, computed anew."""
        return _totals(self)

    def points(self, candidates):
        """Return the coordinates of some candidates, shape (n_candidates, d)."""
        place = self.place_of[candidates]
        return np.ascontiguousarray(self.blocks[place // LANES, :, place % LANES])

    def rows(self, candidates):
        """Return the rows of some candidates, shape (n_candidates, n)."""
        points = self.points(candidates)
        return dissimilarities(self.geometry, self.blocks, points)[:, self.place_of]

    def block(self, candidates, objects):
        """Return the dissimilarities of some objects to some candidates."""
        return between(self.geometry, self.points(objects), self.points(candidates)).T

    def search(self, medoids):
        """Return the state of a search that starts at these medoids."""
        return PointsSearch(self, medoids)


def bisected(X):
    """Order points by halving them along their widest feature, down to blocks."""
    order = np.arange(len(X))
    features = np.ascontiguousarray(X.T)
    pending = [(0, len(X))]
    while pending:
        start, stop = pending.pop()
        n_blocks = -(-(stop - start) // LANES)
        if n_blocks == 1:
            continue
        members = order[start:stop]
        part = features[:, members]
        widest = np.argmax(np.ptp(part, axis=1))
        half = LANES * (n_blocks // 2)
        order[start:stop] = members[np.argpartition(part[widest], half)]
        pending += [(start, start + half), (start + half, stop)]
    return order


def blocked(X):
    """Lay out points as (n_blocks, n_features, 64), filled up with zeros."""
    n, n_features = X.shape
    n_blocks = max(-(-n // LANES), 1)
    padded = np.zeros((n_blocks * LANES, n_features), X.dtype)
    padded[:n] = X
    return np.ascontiguousarray(
        padded.reshape(n_blocks, LANES, n_features).transpose(0, 2, 1)
    )


def dissimilarities(geometry, blocks, points):
    """Return rows of dissimilarities from each point to all points in blocks.

    The rows, of shape (n_points, 64 n_blocks), end in what the last block's padding
    happens to give.
    """
    out = np.empty((len(points), len(blocks) * LANES), blocks.dtype)
    kernels.distances_to(_typed(geometry, blocks.dtype), blocks, points, out)
    return out


def _typed(geometry, dtype):
    """Return a geometry as kernels take it: a single-precision scale stays one."""
    return geometry.code, geometry.root, dtype.type(geometry.scale)


def between(geometry, X, Y):
    """Return the dissimilarities of the rows of X to the rows of Y, (n_X, n_Y)."""
    Y = np.ascontiguousarray(Y)
    out = np.empty((len(X), len(Y)), X.dtype)
    step = max(LANES, ENTRIES_AT_ONCE // max(len(Y), 1))
    for start in range(0, len(X), step):
        part = X[start : start + step]
        rows = dissimilarities(geometry, blocked(part), Y)
        out[start : start + step] = rows[:, : len(part)].T
    return out


def _finished(q, geometry):
    """Turn block distances into dissimilarities, in their own precision."""
    q = np.sqrt(np.maximum(q, 0)) if geometry.root else q
    return q * q.dtype.type(geometry.scale)


def _at_once(source):
    return max(1, ENTRIES_AT_ONCE // source.n)


def _totals(source):
    totals = np.empty(source.n)
    step = _at_once(source)
    for start in range(0, source.n, step):
        stop = min(start + step, source.n)
        rows = source.rows(np.arange(start, stop))
        totals[start:stop] = digest(rows, source.weights).totals
    return totals


# ---- the search ----------------------------------------------------------------------
class _Search:
    """Medoids by slot, and for every object its nearest two: see ``kernels``."""

    #: Whether threads may look for exchanges ahead.
    ahead = True

    def __init__(self, source, medoids, size, n_candidates=None):
        k = len(medoids)
        self.source = source
        self.n = source.n
        self.medoids = np.array(medoids, dtype=np.int64)
        self.slot_of = np.full(n_candidates or size, -1, np.int32)
        self.slot_of[self.medoids] = np.arange(k)
        self.near = np.full(size, -1, np.int32)
        self.sec = np.full(size, -1, np.int32)
        self.w = np.zeros(size)
        self.R = np.zeros(k)
        self.P = np.zeros(k)
        self.hits = np.zeros((2, -(-size // LANES) + 1), np.uint64)

    def _own(self, d1, d2):
        """Give each medoid to itself, also where another is at distance zero."""
        for slot, o in enumerate(self.medoids):
            if o >= self.n or self.near[o] == slot:
                continue
            self.sec[o], d2[o] = self.near[o], d1[o]
            self.near[o], d1[o] = slot, 0

    def objects(self):
        """Return the medoids, by slot, as the source numbers its objects."""
        return self.medoids.copy()

    def refresh(self):
        """Sum the loss and the removal costs anew, and return the loss."""
        d1 = self.d1[: self.n].astype(np.float64)
        w = self.w[: self.n]
        cost = w * (self.d2[: self.n] - d1)
        self.R[:] = np.bincount(self.near[: self.n], cost, len(self.R))
        return float(w @ d1)


class RowSearch(_Search):
    """A search that reads rows of dissimilarities."""

    levels = screen = nearby = None

    def __init__(self, source, medoids, n_candidates=None):
        size = max(source.n, LANES)
        super().__init__(source, medoids, size, n_candidates)
        n = self.n
        to_medoids = np.ascontiguousarray(source.rows(self.medoids))
        self.d1 = np.zeros(size, to_medoids.dtype)
        self.d2 = np.zeros(size, to_medoids.dtype)
        two_nearest(to_medoids, self.near, self.sec, self.d1, self.d2)
        self._own(self.d1, self.d2)
        self.w[:n] = source.weights
        self.to_medoids = grouped(to_medoids, size)

    def best_exchange(self, candidates, tie=0.0):
        """Return the change of the best exchange, its slot and its candidate.

        Of changes that differ by ``tie`` or less the first counts as the best.
        """
        best = (np.inf, -1, -1)
        for part, rows in row_blocks(self.source, candidates):
            changes = np.empty(len(rows))
            slots = np.empty(len(rows), np.int64)
            kernels.changes_of_rows(
                rows, self.near, self.d1, self.d2, self.w, self.R, self.P, self.hits,
                changes, slots,
            )  # fmt: skip
            t = int(np.argmax(changes <= changes.min() + tie))
            if changes[t] < best[0] - tie:
                candidate = candidates[part][t]
                best = (float(changes[t]), int(slots[t]), int(candidate))
        return best

    def change_of(self, slot, candidate):
        """Return the change of the loss by one exchange."""
        d1 = self.d1[: self.n].astype(np.float64)
        left = np.where(self.near[: self.n] == slot, self.d2[: self.n], d1)
        row = self.source.rows(np.array([candidate]))[0]
        return float((np.minimum(row, left) - d1) @ self.w[: self.n])

    def exchange(self, slot, candidate):
        """Make a candidate the medoid of a slot."""
        ((_, rows),) = row_blocks(self.source, np.array([candidate]))
        self.slot_of[self.medoids[slot]] = -1
        self.slot_of[candidate] = slot
        self.medoids[slot] = candidate
        kernels.exchange(
            slot, candidate, rows[0], self.near, self.sec, self.d1, self.d2, self.w,
            self.R, self.to_medoids,
        )  # fmt: skip

    def _sweep(self, rows, gathered, order, first, stop, limits, found=NOTHING):
        P, hits = self.P, self.hits
        if len(found):
            P, hits = np.empty_like(P), np.empty_like(hits)
        return kernels.sweep_rows(
            rows, gathered, self.levels, self.screen, self.nearby, order, first, stop,
            limits.last, limits.patience, found, limits.threshold, self.medoids,
            self.slot_of, self.near, self.sec, self.d1, self.d2, self.w, self.R, P,
            hits, self.to_medoids,
        )  # fmt: skip


def row_blocks(source, candidates):
    """Yield slices of the candidates, and their rows as kernels take them."""
    step = _at_once(source)
    for start in range(0, len(candidates), step):
        part = slice(start, min(start + step, len(candidates)))
        rows = np.ascontiguousarray(source.rows(candidates[part]))
        yield part, _widened(rows) if source.n < LANES else rows


def candidate_rows(source, order, start, stop):
    """Return rows for a sweep over order[start:stop].

    Returns
    -------
    rows : ndarray
        Those of the candidates in turn, or of all objects.
    gathered : bool
        Which of the two.
    stop : int
        Smaller than asked for where rows are computed: so many at once.
    """
    if source.whole is not None:
        return source.whole, False, stop
    part, rows = next(row_blocks(source, order[start:stop]))
    return rows, True, start + part.stop


def grouped(rows, size):
    """Lay out C-contiguous rows, shape (k, n), as (n_groups, k, objects of a group)."""
    k, n = rows.shape
    groups = np.zeros((-(-size // kernels.GROUP), k * kernels.GROUP), rows.dtype)
    whole = n // kernels.GROUP
    stop = whole * kernels.GROUP
    as_one = f"V{kernels.GROUP * rows.itemsize}"  # a group is copied in one piece
    groups.view(as_one)[:whole] = rows[:, :stop].view(as_one).T
    groups = groups.reshape(len(groups), k, kernels.GROUP)
    groups[whole:][:1, :, : n - stop] = rows[:, stop:]
    return groups


class _MatrixSearch(RowSearch):
    def __init__(self, source, medoids):
        super().__init__(source, medoids)
        screen = source.screen
        if isinstance(screen, Lists):
            longest = int((screen.spans[1] - screen.spans[0]).max())
            self.hits = np.zeros((2, max(longest, self.hits.shape[1])), np.uint64)
            self.nearby = screen.state(self.d1, self.d2, self.R)
        elif screen is not None:
            self.levels, self.screen = screen.levels, screen.bounds(self.d2)

    def refresh(self):
        """Sum the loss and the removal costs anew, and return the loss."""
        if self.nearby is not None:
            Lists.update(self.nearby, self.near, self.d1, self.d2, self.w)
        return super().refresh()

    def sweep(self, order, start, stop, limits, found=NOTHING):
        """Try the candidates order[start:stop]: see ``kernels.sweep_rows``."""
        return self._sweep(self.source.whole, False, order, start, stop, limits, found)


class StreamSearch(RowSearch):
    """A search that reads rows in turn, stored or not."""

    ahead = False

    def sweep(self, order, start, stop, limits, found=NOTHING):
        """Try the candidates order[start:stop]: see ``kernels.sweep_rows``."""
        rows, gathered, stop = candidate_rows(self.source, order, start, stop)
        return self._sweep(rows, gathered, order, start, stop, limits, found)


class PointsSearch(_Search):
    """A search among points, with objects renamed to their places in the blocks."""

    def __init__(self, source, medoids):
        n_blocks, n_features, _ = source.blocks.shape
        size = n_blocks * LANES
        super().__init__(source, source.place_of[medoids], size)
        self._order = self._places = None
        dtype = source.blocks.dtype
        code, root, scale = source.geometry
        points = source.points(medoids)
        medoid_blocks = blocked(points)
        q1, q2 = np.full((2, size), -1, dtype)
        raw = Geometry(code, False, 1.0)
        step = max(1, ENTRIES_AT_ONCE // (LANES * len(medoids)))
        for start in range(0, n_blocks, step):
            part = slice(LANES * start, LANES * (start + step))
            rows = dissimilarities(raw, source.blocks[start : start + step], points)
            two_nearest(rows, self.near[part], self.sec[part], q1[part], q2[part])
        self._own(q1, q2)
        # No object is ever among the lanes that only fill the last block.
        self.near[self.n :] = self.sec[self.n :] = q2[self.n :] = -1
        self.d1 = _finished(q1, source.geometry)
        self.d2 = _finished(q2, source.geometry)
        self.w[: self.n] = source.weights[source.object_at]
        reach = np.full(len(source.boxes) * LANES, -1, dtype)
        reach[:n_blocks] = q2.reshape(n_blocks, LANES).max(axis=1)
        self.space = (
            code, root, dtype.type(scale), source.blocks, source.boxes, medoid_blocks,
            q1, q2, reach,
        )  # fmt: skip
        self.levels = self.screen = None
        if source.screen is not None:
            self.levels = source.screen.levels
            self.screen = source.screen.bounds(self.d2)
        self.point = np.empty(n_features, dtype)
        self.buffers = (
            np.empty(LANES, dtype),
            np.empty(n_features, dtype),
            np.empty(len(medoid_blocks) * LANES, dtype),
        )

    def objects(self):
        """Return the medoids, by slot, as the source numbers its objects."""
        return self.source.object_at[self.medoids]

    def sweep(self, order, start, stop, limits, found=NOTHING):
        """Try the candidates order[start:stop]: see ``kernels.sweep_points``."""
        if self._order is not order:
            self._order, self._places = order, self.source.place_of[order]
        buffers = self.P, self.hits, self.point, self.buffers
        if len(found):
            buffers = deepcopy(buffers)
        P, hits, point, buffers = buffers
        return kernels.sweep_points(
            self.space, self.levels, self.screen, self._places, start, stop,
            limits.last, limits.patience, found, limits.threshold, self.medoids,
            self.slot_of, self.near, self.sec, self.d1, self.d2, self.w, self.R, P,
            hits, point, buffers,
        )  # fmt: skip


def single_medoid(source, start):
    """Return the one medoid with the smallest total, which is the optimum."""
    totals = source.totals
    best = int(source.canonical[np.argmin(totals[source.canonical])])
    loss = float(totals[best])
    n_swaps = int(best != start[0])
    return Fit(np.array([best]), loss, [loss], 1, n_swaps, True, start)


class Limits(NamedTuple):
    """Where a sweep ends: see ``kernels.sweep_rows``."""

    last: int
    patience: int
    threshold: float


def _sweep(search, order, start, stop, last, threshold, threads, chunks):
    """Try the candidates order[start:stop]; where exchanges are rare, in threads.

    Each thread looks for an exchange among candidates of its own, ahead. Only the first
    of all is made, so that the result is that of trying one after the other.

    Returns
    -------
    reached, last, n_swaps : int
        ``reached`` is ``stop``, or ``last`` after trying all since the last exchange.
    """
    n_ahead = max(WORK_AHEAD // search.n, search.n // 16)
    patience = n_ahead if threads > 1 else len(order)
    t, n_swaps = start, 0
    while t < stop and t != last:
        limits = Limits(last, patience, threshold)
        t, last, swaps = search.sweep(order, t, stop, limits)
        n_swaps += swaps
        size, looking = n_ahead, threads > 1
        while looking and t < stop and t != last:
            limits = Limits(last, len(order), threshold)
            edges = np.minimum(t + size * np.arange(threads + 1), stop)
            found = np.array([len(order)])

            def look(i, edges=edges, limits=limits, found=found):
                return search.sweep(order, edges[i], edges[i + 1], limits, found)[0]

            reached = np.array(chunks(look, range(threads)))
            early = np.flatnonzero(reached < edges[1:])
            looking = len(early) == 0
            t = int(edges[-1] if looking else reached[early[0]])
            size *= 2
    return t, last, n_swaps


def fasterpam(
    source, medoids, order, *, max_iter=300, tol=0.0, on_sweep=None, threads=1
):
    """Exchange medoids for other objects, eagerly, until no exchange pays.

    Parameters
    ----------
    source : Matrix, Rows or Points
    medoids : ndarray of shape (k,)
        Distinct objects to start from.
    order : ndarray of shape (n,), int64
        The order in which candidates are tried.
    max_iter : int
        Sweeps over all candidates.
    tol : float
        Stop once a sweep lowers the loss by this share of it or less; 0 goes on to the
        proof that no single exchange improves.
    on_sweep : callable or None
        Called before each sweep; returns what is called after it, with the medoids and
        the loss, and returns whether to stop there.
    threads : int
        The result does not depend on it.

    Returns
    -------
    fit : Fit
    """
    start = np.array(medoids)
    if len(start) == 1:
        return single_medoid(source, start)
    search = source.search(start)
    threads = threads if search.ahead else 1
    order = np.ascontiguousarray(order, dtype=np.int64)
    step = max(1, WORK_PER_CALL // source.n)
    losses = [search.refresh()]
    n_iter = n_swaps = 0
    last, converged = -1, False
    with chunk_map(threads) as chunks:
        while n_iter < max_iter and not converged:
            n_iter += 1
            before, swaps_before = losses[-1], n_swaps
            if before == 0:
                converged = True
                break
            end_sweep = on_sweep() if on_sweep is not None else None
            for first in range(0, len(order), step):
                stop = min(first + step, len(order))
                reached, last, swaps = _sweep(
                    search, order, first, stop, last, SMALLEST_GAIN * before, threads,
                    chunks,
                )  # fmt: skip
                n_swaps += swaps
                converged = reached == last
                if converged:
                    break
            losses.append(search.refresh())
            converged |= n_swaps == swaps_before or before - losses[-1] <= tol * before
            if end_sweep is not None and end_sweep(search.objects(), losses[-1]):
                break
    medoids = search.objects()
    return Fit(medoids, losses[-1], losses, n_iter, n_swaps, converged, start)


def best_exchange(source, medoids):
    """Return the largest gain of any single exchange, and which one it is.

    Parameters
    ----------
    source : Matrix, Rows or Points
    medoids : ndarray of shape (k,)

    Returns
    -------
    change : float
        The change of the loss, negative where an exchange improves it; infinite where
        every object that weighs something is a medoid.
    slot, candidate : int
        The exchange: the position in ``medoids`` that it frees, and the object.
    """
    others = np.setdiff1d(np.flatnonzero(source.weights), medoids)
    best = (np.inf, -1, -1)
    if len(others) == 0:
        return best
    if len(medoids) == 1:
        totals = source.totals
        added = others[np.argmin(totals[others])]
        return float(totals[added] - totals[medoids[0]]), 0, int(added)
    search = RowSearch(source, medoids)
    search.refresh()
    return search.best_exchange(others)


# ---- initialisations -----------------------------------------------------------------
def random_medoids(source, k, rng):
    """Draw k objects, all alike."""
    return source.canonical[rng.permutation(source.n)[:k]]


def build(source, k, rng=None):
    """Add k medoids greedily, each the one that lowers the loss the most (BUILD).

    A gain can only shrink as medoids are added, so that old gains are upper bounds:
    each round computes anew only the gains whose bounds reach the best of the round.

    Parameters
    ----------
    source : Matrix, Rows or Points
    k : int
    rng : None
        Nothing here is random.

    Returns
    -------
    medoids : ndarray of shape (k,)
        The same as with all gains computed in every round.
    """
    objects = source.canonical
    medoids = [objects[np.argmin(source.totals[objects])]]
    if k == 1:
        return np.array(medoids)
    d1 = source.rows(medoids)[0].astype(np.float64)
    bounds = _gains(source, objects, d1)
    fresh = np.ones(source.n, bool)
    while True:
        bounds[objects == medoids[-1]] = -np.inf
        n_next = 4
        while not fresh[best := np.argmax(bounds)]:
            least = bounds[fresh].max(initial=np.finfo(float).min)
            reached = bounds >= least  # which no medoid does
            stale = np.flatnonzero(reached & ~fresh)
            if len(stale) > n_next:
                largest = np.argpartition(-bounds[stale], n_next - 1)[:n_next]
                stale = stale[largest]
            bounds[stale] = _gains(source, objects[stale], d1)
            fresh[stale] = True
            n_next *= 2
        medoids.append(objects[best])
        if len(medoids) == k:
            return np.array(medoids)
        np.minimum(d1, source.rows(medoids[-1:])[0], out=d1)
        fresh[:] = False


def _gains(source, candidates, d1):
    gains = np.empty(len(candidates))
    step = _at_once(source)
    for start in range(0, len(candidates), step):
        rows = source.rows(candidates[start : start + step])
        part = gains[start : start + step]
        kernels.gains_of_rows(rows, d1, source.weights, part)
    return gains


def lab(source, k, rng):
    """Add k medoids greedily, each from a small sample of its own (LAB).

    Parameters
    ----------
    source : Matrix, Rows or Points
    k : int
    rng : RandomState

    Returns
    -------
    medoids : ndarray of shape (k,)
    """
    size = min(source.n, 10 + math.ceil(math.sqrt(source.n)))
    medoids = []
    is_left = np.ones(source.n, bool)
    d1 = np.full(source.n, np.inf)
    for _ in range(k):
        others = source.canonical[is_left[source.canonical]]
        sample = rng.choice(others, min(size, len(others)), replace=False)
        distances = np.minimum(source.block(sample, sample), d1[sample])
        best = sample[np.argmin(distances @ source.weights[sample])]
        medoids.append(best)
        is_left[best] = False
        np.minimum(d1, source.rows(medoids[-1:])[0], out=d1)
    return np.array(medoids)


def plus_plus(source, k, rng):
    """Draw k medoids with probability proportional to weight times distance.

    This is k-means++ seeding for the k-median loss, in its greedy form: of 2 + ln k
    draws the one that lowers the loss the most is kept.

    Parameters
    ----------
    source : Matrix, Rows or Points
    k : int
    rng : RandomState

    Returns
    -------
    medoids : ndarray of shape (k,)
    """
    n_trials = 2 + int(math.log(k))
    objects, w = source.canonical, source.weights
    medoids = list(_draw(objects, w, rng.uniform(size=1)))
    d1 = source.rows(medoids)[0].astype(np.float64)
    while len(medoids) < k:
        if not np.any(w * d1 > 0):
            others = objects[~np.isin(objects, medoids)]
            more = rng.choice(others, k - len(medoids), replace=False)
            return np.concatenate([medoids, more])
        draws = _draw(objects, w * d1, rng.uniform(size=n_trials))
        rows = np.minimum(source.rows(draws), d1)
        best = np.argmin(rows @ w)
        medoids.append(draws[best])
        d1 = rows[best]
    return np.array(medoids)


def _draw(objects, mass, uniform):
    """Return objects at uniform numbers of the cumulated mass, never one without."""
    objects = objects[mass[objects] > 0]
    total = np.cumsum(mass[objects])
    at = np.searchsorted(total, uniform * total[-1], side="right")
    return objects[np.minimum(at, len(objects) - 1)]


INITIALISATIONS = {
    "random": random_medoids,
    "build": build,
    "lab": lab,
    "k-medoids++": plus_plus,
}
