"""FasterPAM for many points: most candidates are priced on a sample of them.

The nearest two medoids of all points are kept exactly, and so is the loss; only the
choice of exchanges is up to chance.
"""

import numpy as np

from skalgos.cluster._kmedoids import sampled_kernels as kernels
from skalgos.cluster._kmedoids.lane_kernels import LANES
from skalgos.cluster._kmedoids.sampling import draw
from skalgos.cluster._kmedoids.solvers import (
    Fit,
    Points,
    PointsSearch,
    bisected,
    fasterpam,
    single_medoid,
)

# A candidate is given up once its price exceeds zero by so many standard errors.
Z = 1.0
# An exchange must gain this share of the loss, a sweep this one.
SMALLEST_GAIN = 1e-6
LEAST_PER_SWEEP = 1e-4
# Samples for a start: a tenth each time, down to so many points.
SAMPLE_SHARE = 10
SMALLEST_SAMPLE = 4000
# Candidates of a sweep: this share, and not fewer than so many.
CANDIDATE_SHARE = 10
FEWEST_CANDIDATES = 50_000
CANDIDATES_PER_CALL = 1 << 14
# Blocks of 64 points in a shard.
PER_SHARD = 16
# Up to so many features the points of a shard are close together in blocks.
FLAT = 4


class Shards(Points):
    """Points stored in shards, each of them a random sample.

    Parameters
    ----------
    X : ndarray of shape (n, d), floats
    geometry : Geometry
    weights : ndarray of shape (n,), float64
    rng : RandomState
    """

    def __init__(self, X, geometry, weights, rng):
        order = rng.permutation(len(X))
        size = LANES * PER_SHARD
        if X.shape[1] <= FLAT:
            for start in range(0, len(X), size):
                members = order[start : start + size]
                order[start : start + size] = members[bisected(X[members])]
        super().__init__(X, geometry, weights, object_at=order)


class _ShardsSearch(PointsSearch):
    def __init__(self, source, medoids):
        super().__init__(source, medoids)
        self.V = np.empty_like(self.P)

    def sweep_all(self, order, turn, threshold):
        """Try all candidates once, and return the number of exchanges."""
        n_swaps = 0
        places = self.source.place_of[order]
        for start in range(0, len(order), CANDIDATES_PER_CALL):
            stop = min(start + CANDIDATES_PER_CALL, len(order))
            n_swaps += kernels.sweep_shards(
                self.space, PER_SHARD, turn, Z, places, start, stop,
                threshold, self.medoids, self.slot_of, self.near, self.sec, self.d1,
                self.d2, self.w, self.R, self.P, self.V, self.point, self.buffers,
            )  # fmt: skip
        return n_swaps


def sampled(source, medoids, rng, *, max_iter=300, tol=0.0, on_sweep=None):
    """Exchange medoids for other objects that are known to pay.

    Parameters
    ----------
    source : Shards
    medoids : ndarray of shape (k,)
        Distinct objects to start from.
    rng : RandomState
    max_iter, tol, on_sweep :
        As in ``solvers.fasterpam``; ``tol`` is at least ``LEAST_PER_SWEEP``.

    Returns
    -------
    fit : Fit
        Converged where a sweep gained little.
    """
    start = np.array(medoids)
    if len(start) == 1:
        return single_medoid(source, start)
    search = _ShardsSearch(source, start)
    n_shards = -(-len(source.blocks) // PER_SHARD)
    n_candidates = max(source.n // CANDIDATE_SHARE, FEWEST_CANDIDATES)
    losses = [search.refresh()]
    n_iter = n_swaps = 0
    converged = False
    while n_iter < max_iter and not converged:
        n_iter += 1
        before = losses[-1]
        if before == 0:
            converged = True
            break
        end_sweep = on_sweep() if on_sweep is not None else None
        order = source.canonical[rng.permutation(source.n)[:n_candidates]]
        n_swaps += search.sweep_all(
            order, rng.randint(n_shards), SMALLEST_GAIN * before
        )
        losses.append(search.refresh())
        converged = before - losses[-1] <= max(tol, LEAST_PER_SWEEP) * before
        if end_sweep is not None and end_sweep(search.objects(), losses[-1]):
            break
    return Fit(search.objects(), losses[-1], losses, n_iter, n_swaps, converged, start)


def start_from_samples(source, k, rng, init, n_init):
    """Find medoids of a small sample, and of larger ones from these.

    Parameters
    ----------
    source : Shards
    k : int
    rng : RandomState
    init : callable
        ``init(source, k, rng) -> medoids``, for the smallest sample.
    n_init : int
        How many times to start there, exactly; the best is kept.

    Returns
    -------
    medoids : ndarray of shape (k,)
        Objects of ``source``.
    """
    least = max(SMALLEST_SAMPLE, 4 * k)
    size = source.n // SAMPLE_SHARE
    smallest = size < SAMPLE_SHARE * least
    objects, weights = draw(source, max(size, least), rng, k)
    rows, weights = source.points(objects), weights.astype(np.float64)
    if not smallest:
        sample = Shards(rows, source.geometry, weights, rng)
        start = start_from_samples(sample, k, rng, init, n_init)
        return objects[sampled(sample, start, rng).medoids]
    sample = Points(rows, source.geometry, weights, screen_for=k if k > 1 else None)
    fits = [
        fasterpam(sample, init(sample, k, rng), rng.permutation(sample.n))
        for _ in range(n_init)
    ]
    return objects[min(fits, key=lambda fit: fit.loss).medoids]
