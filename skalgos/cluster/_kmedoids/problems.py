"""From checked data to what the solver works on: objects that differ and weigh."""

import warnings

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import assert_all_finite

from skalgos.cluster._kmedoids.canonical import (
    merge_objects,
    merge_rows,
    order_by_total,
)

# Up to so many features a candidate's neighbourhood is found faster than its row of
# a matrix is read.
_FEW_FEATURES = 4


class Problem:
    """What the solver works on, and how its objects are rows of X.

    Parameters
    ----------
    source : Matrix, Rows or Points
    first : ndarray of shape (n_objects,)
        The first of the rows that are equal to each object.
    object_of : ndarray of shape (n_samples,)
        The object that each row is equal to; -1 for rows without weight.
    n_clusters : int
    solver : str
    """

    def __init__(self, source, first, object_of, n_clusters, solver):
        self.source = source
        self.first = first
        self.object_of = object_of
        self.n_clusters = n_clusters
        self.solver = solver
        if len(first) < n_clusters:
            warnings.warn(
                f"X has {len(first)} distinct rows, fewer than n_clusters="
                f"{n_clusters}: some medoids are equal to each other.",
                ConvergenceWarning,
                stacklevel=6,
            )

    def rows_of(self, objects, n_clusters=None):
        """Return objects as rows of X, in canonical order and n_clusters of them.

        Where there are fewer distinct rows than clusters, repeats of rows make up.
        """
        rank = np.empty(self.source.n, np.intp)
        rank[self.source.canonical] = np.arange(self.source.n)
        rows = self.first[objects[np.argsort(rank[objects])]]
        n_missing = (n_clusters or self.n_clusters) - len(rows)
        if n_missing > 0:
            repeated = self.object_of >= 0
            repeated[self.first] = False
            repeats = np.flatnonzero(repeated)
            by_value = np.argsort(rank[self.object_of[repeats]], kind="stable")
            rows = np.append(rows, repeats[by_value[:n_missing]])
        return rows

    def first_start(self):
        """Return a start at the first distinct rows of X."""
        rows = np.sort(self.first)[: self.n_clusters]
        return self.object_of[rows]

    def start_at_rows(self, rows):
        """Return a start at rows of X, checked, with others for equal ones."""
        n_samples, n_clusters = len(self.object_of), self.n_clusters
        if rows.dtype.kind not in "iu" or rows.shape != (n_clusters,):
            raise ValueError(
                f"init must have shape (n_clusters,)=({n_clusters},) and be integers, "
                f"indices of rows; got {rows.dtype} of shape {rows.shape}."
            )
        if rows.min() < 0 or rows.max() >= n_samples:
            raise ValueError(
                f"init must be indices of rows, from 0 to {n_samples - 1}; got "
                f"{rows.min()} to {rows.max()}."
            )
        objects = self.object_of[rows]
        if objects.min() < 0:
            raise ValueError(
                f"init names row {rows[np.argmin(objects)]}, whose sample_weight is 0."
            )
        chosen = list(dict.fromkeys(objects.tolist()))
        if len(chosen) < n_clusters:
            chosen += np.setdiff1d(self.source.canonical, objects).tolist()
        return np.array(chosen[: min(n_clusters, self.source.n)])

    def start_at_points(self, distances):
        """Return the nearest objects of points, each time among those not yet taken."""
        taken = []
        for row in distances[: self.source.n]:
            row = row.astype(np.float64)
            row[taken] = np.inf
            taken.append(int(np.argmin(row)))
        return np.array(taken)


def features_problem(
    X, weights, n_clusters, metric, solver, memory_limit, screened=True, threads=1
):
    """Merge equal rows of features, and choose how dissimilarities are known.

    Parameters
    ----------
    X : {ndarray, csr matrix} of shape (n_samples, n_features)
    weights : ndarray of shape (n_samples,)
    n_clusters : int
    metric : Metric
    solver, memory_limit : as in KMedoids
    screened : bool
        Whether the algorithm can do with one byte for most dissimilarities.
    threads : int

    Returns
    -------
    problem : Problem
    """
    from skalgos.cluster._kmedoids.solvers import (
        SCREEN_FROM,
        Matrix,
        Points,
        Rows,
        between,
    )

    first, merged, object_of = merge_rows(X, weights)
    rows = X[first]
    n = len(first)
    geometry, (points, *_) = metric.points(rows)
    fast, large = geometry is not None, n >= SCREEN_FROM
    itemsize = 4 if X.dtype == np.float32 else 8
    if screened:
        itemsize = 1 if fast and large else itemsize + large
    n_bytes = n * n * itemsize
    if solver == "auto":
        pruned = fast and large and X.shape[1] <= _FEW_FEATURES
        fits = n_bytes <= in_bytes(memory_limit)
        solver = "matrix" if fits and not pruned else "matrix-free"

    k = n_clusters if screened else None
    if solver == "sampled":
        if not fast:
            raise ValueError(
                f"solver='sampled' has no metric={metric.name!r} for such X: use "
                "another solver, CLARA or OneBatchKMedoids."
            )
        from skalgos.cluster._kmedoids.sampled import Shards

        # Which points share a shard is no part of the randomness that users control.
        source = Shards(points, geometry, merged, np.random.RandomState(0))
    elif fast and (solver == "matrix-free" or (large and screened)):
        screen_for = k if solver == "matrix" and min(n_clusters, n) > 1 else None
        source = Points(points, geometry, merged, screen_for, threads)
    elif fast:
        distances = between(geometry, points, points)
        totals = np.einsum("ij,j->i", distances, merged)
        source = Matrix(distances, merged, k, totals, threads=threads)
    elif solver == "matrix":
        distances = np.ascontiguousarray(metric.between(rows, rows).T)
        metric.check(distances)
        np.fill_diagonal(distances, 0)
        source = Matrix(distances, merged, k, threads=threads)
    else:
        source = Rows(_RowsOnDemand(metric, rows), merged)
    if not large:
        source.canonical = order_by_total(source.totals)
    return Problem(source, first, object_of, n_clusters, solver)


def in_bytes(memory_limit):
    """Return a parameter ``memory_limit`` as a number of bytes."""
    if memory_limit == "auto":
        memory_limit = sklearn.get_config()["working_memory"]
    return memory_limit * 2**20


class _RowsOnDemand:
    """Compute rows of dissimilarities by a metric, exactly zero to oneself."""

    def __init__(self, metric, rows):
        self.metric = metric
        self.rows = rows

    def __call__(self, candidates, objects):
        objects = np.arange(self.rows.shape[0])[objects]
        distances = self.metric.between(self.rows[candidates], self.rows[objects])
        self.metric.check(distances)
        distances[np.equal.outer(candidates, objects)] = 0
        return distances


def precomputed_problem(D, weights, n_clusters, screened=True, threads=1):
    """Turn a precomputed matrix into rows by candidate, and merge equal objects.

    Parameters
    ----------
    D : ndarray of shape (n_samples, n_samples)
        Checked here for everything but its shape and type.
    weights : ndarray of shape (n_samples,)
    n_clusters : int
    screened : bool
        Whether the algorithm can do with one byte for most dissimilarities.
    threads : int

    Returns
    -------
    problem : Problem
    """
    from skalgos.cluster._kmedoids.kernels import reorder
    from skalgos.cluster._kmedoids.solvers import SCREEN_FROM, Matrix, digest

    present = np.flatnonzero(weights)
    if len(present) < len(D):
        D = D[np.ix_(present, present)]
    weighs = weights[present]
    if np.any(np.diagonal(D) != 0):
        assert_all_finite(D, input_name="X")
        warnings.warn(
            "The diagonal of the precomputed X is not zero; it is taken as zero, the "
            "dissimilarity of an object to itself.",
            UserWarning,
            stacklevel=6,
        )
        D = D.copy()
        np.fill_diagonal(D, 0)

    k = n_clusters if screened else None

    def read(rows, compare):
        if len(rows) < SCREEN_FROM:
            return None, digest(rows, weighs, compare=compare)
        source = Matrix(rows, weighs, k, compare=compare, threads=threads)
        return source, source.digest

    # The solver reads the row of a candidate; D has it as a column.
    may_be_symmetric = D.flags.c_contiguous and np.array_equal(D[0], D[:, 0])
    if may_be_symmetric:
        rows = D
        source, known = read(rows, compare=True)
    if not (may_be_symmetric and known.symmetric):
        rows = np.ascontiguousarray(D.T)
        source, known = read(rows, compare=False)
    totals = known.totals
    if not np.isfinite(totals).all():
        assert_all_finite(D, input_name="X")
        raise ValueError("The sums of the dissimilarities in X overflow; scale X down.")
    if known.n_negative:
        raise ValueError(
            "Negative values in data passed to KMedoids: with metric='precomputed' X "
            "must hold dissimilarities of at least 0; "
            f"{known.n_negative} entries are below."
        )
    canonical = order_by_total(totals)
    first, merged, object_of = merge_objects(rows, canonical, weighs)
    if source is None or len(first) < len(present):
        # Small enough to copy: stored in canonical order, not even rounding depends
        # on the order that the objects came in.
        ordered = np.empty((len(first), len(first)), rows.dtype)
        reorder(rows, first, ordered)
        source = Matrix(ordered, merged, k, totals[first], threads=threads)
    else:
        source.canonical = canonical
        first = object_of = np.arange(len(present))
    of_all = np.full(len(weights), -1)
    of_all[present] = object_of
    return Problem(source, present[first], of_all, n_clusters, "matrix")
