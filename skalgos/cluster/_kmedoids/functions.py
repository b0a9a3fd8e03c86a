"""The solver bare, for a matrix of dissimilarities, and measures of its results."""

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array, check_random_state

from skalgos._compat import (
    Interval,
    StrOptions,
    check_sample_weight,
    validate_params,
)
from skalgos.cluster._kmedoids.problems import precomputed_problem
from skalgos.cluster._kmedoids.quotients import ratios


class KMedoidsResult(NamedTuple):
    """What :func:`k_medoids` found.

    Attributes
    ----------
    medoid_indices : ndarray of shape (n_clusters,)
        The medoids.
    labels : ndarray of shape (n_samples,), int32
        The cluster of each object.
    inertia : float
        The weighted sum of the dissimilarities to the nearest medoids.
    n_iter : int
        The number of sweeps.
    n_swaps : int
        The number of exchanges.
    converged : bool
        Whether no single exchange lowers the loss (or, with ``tol``, by enough).
    """

    medoid_indices: np.ndarray
    labels: np.ndarray
    inertia: float
    n_iter: int
    n_swaps: int
    converged: bool


def _checked(distances, sample_weight):
    distances = check_array(
        distances,
        dtype=[np.float64, np.float32, np.int32, np.int64, np.uint8, np.uint16],
        ensure_all_finite=False,
        input_name="distances",
    )
    n = len(distances)
    if distances.shape[1] != n:
        raise ValueError(
            f"distances must be a square matrix; got shape {distances.shape}."
        )
    if sample_weight is None:
        return distances, np.ones(n)
    return distances, check_sample_weight(sample_weight, distances, np.float64)


@validate_params(
    {
        "distances": ["array-like"],
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "sample_weight": ["array-like", None],
        "method": [
            StrOptions({"fasterpam", "fastpam1", "fastpam2", "pam", "alternate"})
        ],
        "init": [
            StrOptions({"random", "build", "lab", "k-medoids++", "first"}),
            "array-like",
        ],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def k_medoids(
    distances: ArrayLike,
    n_clusters: int,
    *,
    sample_weight: ArrayLike | None = None,
    method: str = "fasterpam",
    init: str | ArrayLike = "random",
    max_iter: int = 300,
    tol: float = 0.0,
    random_state: int | np.random.RandomState | None = None,
) -> KMedoidsResult:
    """Find medoids in a matrix of dissimilarities, from one start.

    The same as ``KMedoids(metric="precomputed", n_init=1)``, without the estimator
    around it.

    Parameters
    ----------
    distances : array-like of shape (n_samples, n_samples)
        Entry (i, j) is the dissimilarity of object i to object j as its medoid, at
        least 0; floats or integers. In Fortran order, or symmetric, it is not copied.

    n_clusters : int
        The number of medoids.

    sample_weight : array-like of shape (n_samples,), default=None
        How much each object counts; None is 1 for all.

    method : {"fasterpam", "fastpam1", "fastpam2", "pam", "alternate"}, \
            default="fasterpam"
        The algorithm: see :class:`KMedoids`.

    init : {"random", "build", "lab", "k-medoids++", "first"} or array-like of shape \
            (n_clusters,), default="random"
        The medoids to start from: see :class:`KMedoids`.

    max_iter : int, default=300
        The largest number of sweeps over all candidates.

    tol : float, default=0.0
        Stop after a sweep that lowers the loss by this share of it or less.

    random_state : int, RandomState instance or None, default=None
        Determines the start and the order of the candidates.

    Returns
    -------
    result : KMedoidsResult
        A named tuple of medoid_indices, labels, inertia, n_iter, n_swaps, converged.

    Raises
    ------
    ValueError
        If distances are not square, negative, NaN or infinite, or n_clusters is not
        between 1 and their number.

    See Also
    --------
    KMedoids : The estimator, for features too and with several starts.

    References
    ----------
    .. [1] E. Schubert and P. J. Rousseeuw, "Fast and eager k-medoids clustering:
       O(k) runtime improvement of the PAM, CLARA, and CLARANS algorithms",
       Information Systems 101, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from skalgos.cluster import k_medoids
    >>> x = np.array([0.0, 1.0, 2.0, 10.0, 11.0, 12.0])
    >>> result = k_medoids(np.abs(x[:, None] - x), 2, random_state=0)
    >>> sorted(result.medoid_indices.tolist()), result.inertia
    ([1, 4], 4.0)
    """
    from skalgos.cluster._kmedoids.solvers import INITIALISATIONS, by_size
    from skalgos.cluster._kmedoids.variants import METHODS

    distances, weights = _checked(distances, sample_weight)
    n_present = np.count_nonzero(weights)
    if n_clusters > n_present:
        raise ValueError(
            f"n_clusters={n_clusters} is more than the {n_present} objects that have "
            "weight."
        )
    problem = precomputed_problem(distances, weights, n_clusters, method == "fasterpam")
    source, k = problem.source, min(n_clusters, problem.source.n)
    # As in the estimator, whose starts have seeds of their own.
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max, size=1)[0]
    rng = np.random.RandomState(seed)
    if not isinstance(init, str):
        start = problem.start_at_rows(np.asarray(init))
    elif init == "first":
        start = problem.first_start()
    else:
        start = INITIALISATIONS[init](source, k, rng)
    order = source.canonical[rng.permutation(source.n)]
    fit = METHODS[method](source, start, order, max_iter=max_iter, tol=tol)
    medoids = problem.rows_of(fit.medoids)
    to_medoids = distances[:, medoids]
    near = to_medoids.argmin(axis=1)
    order = by_size(near, weights, n_clusters)
    medoids = medoids[order]
    is_least = to_medoids == to_medoids[np.arange(len(near)), near][:, None]
    if np.count_nonzero(is_least) > len(near):  # of several the first counts
        labels = is_least[:, order].argmax(axis=1).astype(np.int32)
    else:
        labels = np.argsort(order).astype(np.int32)[near]
    labels[medoids] = np.arange(n_clusters)
    return KMedoidsResult(
        medoids, labels, fit.loss, fit.n_iter, fit.n_swaps, fit.converged
    )


class SwapCertificate(NamedTuple):
    """What :func:`swap_certificate` found.

    Attributes
    ----------
    change : float
        The change of the loss by the best single exchange; negative if one improves.
        Infinite if there is none to make.
    removed, added : int
        The exchange: the medoid that goes and the object that comes, as indices; -1 if
        there is none to make.
    """

    change: float
    removed: int
    added: int


@validate_params(
    {
        "distances": ["array-like"],
        "medoid_indices": ["array-like"],
        "sample_weight": ["array-like", None],
    },
    prefer_skip_nested_validation=True,
)
def swap_certificate(
    distances: ArrayLike,
    medoid_indices: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
) -> SwapCertificate:
    """Find the best exchange of a medoid for another object.

    A change of at least 0 proves that the medoids are a local optimum of PAM's
    neighbourhood, whatever algorithm they come from.

    Parameters
    ----------
    distances : array-like of shape (n_samples, n_samples)
        Entry (i, j) is the dissimilarity of object i to object j as its medoid.

    medoid_indices : array-like of shape (n_clusters,)
        Distinct indices.

    sample_weight : array-like of shape (n_samples,), default=None
        How much each object counts; None is 1 for all. Objects of weight zero do not
        come in as medoids.

    Returns
    -------
    certificate : SwapCertificate
        A named tuple of change, removed, added.

    Examples
    --------
    >>> import numpy as np
    >>> from skalgos.cluster import swap_certificate
    >>> x = np.array([0.0, 1.0, 2.0, 10.0, 11.0, 12.0])
    >>> distances = np.abs(x[:, None] - x)
    >>> swap_certificate(distances, [1, 4]).change
    1.0
    >>> swap_certificate(distances, [0, 4])
    SwapCertificate(change=-1.0, removed=0, added=1)
    """
    from skalgos.cluster._kmedoids.solvers import Matrix, best_exchange

    distances, weights = _checked(distances, sample_weight)
    medoids = np.asarray(medoid_indices)
    n = len(distances)
    if medoids.ndim != 1 or medoids.dtype.kind not in "iu" or not len(medoids):
        raise ValueError("medoid_indices must be a non-empty array of indices.")
    if (
        medoids.min() < 0
        or medoids.max() >= n
        or len(set(medoids.tolist())) < len(medoids)
    ):
        raise ValueError(f"medoid_indices must be distinct, from 0 to {n - 1}.")
    source = Matrix(np.ascontiguousarray(distances.T), weights, len(medoids))
    change, slot, added = best_exchange(source, medoids)
    return SwapCertificate(change, int(medoids[slot]) if slot >= 0 else -1, added)


@validate_params(
    {"distances": ["array-like"]},
    prefer_skip_nested_validation=True,
)
def medoid_silhouette_samples(distances: ArrayLike) -> np.ndarray:
    """Compute the medoid silhouette of each object.

    Parameters
    ----------
    distances : array-like of shape (n_samples, n_clusters)
        The dissimilarity of each object to each medoid, at least two of them: what
        ``transform`` of the estimators gives.

    Returns
    -------
    silhouettes : ndarray of shape (n_samples,)
        ``1 - d1 / d2`` with the smallest and second smallest of a row, between 0 and 1;
        0 where both are 0.

    Raises
    ------
    ValueError
        If there are fewer than two medoids, or a dissimilarity is negative, NaN or
        infinite.

    See Also
    --------
    MedoidSilhouette : The estimator that maximises their mean.
    sklearn.metrics.silhouette_samples : The full silhouette.

    References
    ----------
    .. [1] L. Lenssen and E. Schubert, "Medoid Silhouette clustering with automatic
       cluster number selection", Information Systems 120, 2024.

    Examples
    --------
    >>> from skalgos.cluster import medoid_silhouette_samples
    >>> medoid_silhouette_samples([[0.0, 4.0], [1.0, 4.0], [2.0, 2.0]])
    array([1.  , 0.75, 0.  ])
    """
    distances = check_array(
        distances, dtype=[np.float64, np.float32], input_name="distances"
    )
    if distances.shape[1] < 2:
        raise ValueError(
            "distances must have a column for each of at least 2 medoids; got "
            f"{distances.shape[1]}."
        )
    if distances.min() < 0:
        raise ValueError("Negative values in distances: they must be at least 0.")
    d1, d2 = np.partition(distances, 1, axis=1)[:, :2].T
    return 1 - ratios(d1, d2)


@validate_params(
    {"distances": ["array-like"], "sample_weight": ["array-like", None]},
    prefer_skip_nested_validation=True,
)
def medoid_silhouette_score(
    distances: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Compute the mean medoid silhouette.

    Parameters
    ----------
    distances : array-like of shape (n_samples, n_clusters)
        The dissimilarity of each object to each medoid, at least two of them: what
        ``transform`` of the estimators gives.

    sample_weight : array-like of shape (n_samples,), default=None
        How much each object counts; None is 1 for all.

    Returns
    -------
    score : float
        The weighted mean of :func:`medoid_silhouette_samples`.

    Examples
    --------
    >>> from skalgos.cluster import medoid_silhouette_score
    >>> float(medoid_silhouette_score([[0.0, 4.0], [1.0, 4.0], [2.0, 2.0], [4.0, 1.0]]))
    0.625
    """
    silhouettes = medoid_silhouette_samples(distances)
    if sample_weight is not None:
        sample_weight = check_sample_weight(sample_weight, silhouettes, np.float64)
    return float(np.average(silhouettes, weights=sample_weight))
