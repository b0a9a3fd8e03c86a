"""Certificates for the labels of any estimator, and the bound alone."""

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skalgos._compat import Interval, check_sample_weight, validate_params


class SDPCertificate(NamedTuple):
    """What :func:`kmeans_certificate` and :func:`lasdp_certificate` found.

    Attributes
    ----------
    certified : bool
        Whether no other partition is better.
    objective : float
        The inertia, or the profile log-likelihood, of the labels.
    bound : float
        No partition has less inertia, or a higher likelihood.
    gap : float
        The distance of the two, relative to the objective.
    multiplier : float
        The multiplier of the trace in the dual point.
    """

    certified: bool
    objective: float
    bound: float
    gap: float
    multiplier: float


class SDPLowerBound(NamedTuple):
    """What :func:`sdp_lower_bound` found.

    Attributes
    ----------
    bound : float
        No partition in so many clusters has less inertia.
    objective : float
        The inertia of the relaxed matrix, which is near the optimum of the program.
    primal_residual, dual_residual : float
        How far the solution is from satisfying the constraints, relative to its size.
    n_iter : int
        The number of iterations.
    converged : bool
        Whether the residuals, and the gap of the two values, are below tol.
    """

    bound: float
    objective: float
    primal_residual: float
    dual_residual: float
    n_iter: int
    converged: bool


def _checked(X, labels, sample_weight):
    X = check_array(X, dtype=np.float64, input_name="X")
    labels = column_or_1d(labels)
    check_consistent_length(X, labels)
    weights = check_sample_weight(sample_weight, X, np.float64)
    present = weights > 0
    return X[present], labels[present], weights[present]


def _certificate(objective, bound, multiplier, certified):
    gap = abs(bound - objective)
    if objective != 0:
        gap /= abs(objective)
    return SDPCertificate(
        certified, float(objective), float(bound), float(gap), float(multiplier)
    )


@validate_params(
    {
        "X": ["array-like"],
        "labels": ["array-like"],
        "sample_weight": ["array-like", None],
    },
    prefer_skip_nested_validation=True,
)
def kmeans_certificate(
    X: ArrayLike, labels: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> SDPCertificate:
    """Try to prove that a partition has the least inertia, from any estimator.

    The proof is a closed-form dual solution of the K-means semidefinite program [1]_,
    in time and memory linear in the number of samples. It succeeds where clusters are
    well separated; where it fails the labels can still be optimal.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The data.

    labels : array-like of shape (n_samples,)
        The clusters; any values.

    sample_weight : array-like of shape (n_samples,), default=None
        How much each sample counts, at least 0; None is 1 for all.

    Returns
    -------
    certificate : SDPCertificate
        A named tuple of certified, objective, bound, gap, multiplier.

    See Also
    --------
    sdp_lower_bound : A tighter bound where the proof fails, at a higher cost.

    References
    ----------
    .. [1] T. Iguchi, D. G. Mixon, J. Peterson and S. Villar, "Probably certifiably
       correct k-means clustering", Mathematical Programming 165, 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from skalgos.cluster import kmeans_certificate
    >>> X = np.array([[0.0], [1.0], [8.0], [9.0]])
    >>> kmeans_certificate(X, [0, 0, 1, 1]).certified
    True
    >>> kmeans_certificate(X, [0, 1, 0, 1]).certified
    False
    """
    from skalgos.cluster._sdp.certificates import certify_kmeans

    X, labels, weights = _checked(X, labels, sample_weight)
    codes = np.unique(labels, return_inverse=True)[1]
    return _certificate(*certify_kmeans(X, weights, codes))


@validate_params(
    {
        "X": ["array-like"],
        "labels": ["array-like"],
        "covariances": ["array-like"],
        "sample_weight": ["array-like", None],
    },
    prefer_skip_nested_validation=True,
)
def lasdp_certificate(
    X: ArrayLike,
    labels: ArrayLike,
    covariances: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
) -> SDPCertificate:
    """Try to prove that a partition has the highest likelihood for given covariances.

    The proof is a closed-form dual solution of the likelihood-adjusted semidefinite
    program [1]_. It takes a matrix of n_samples x n_samples, and its eigenvalues, for
    each cluster.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The data.

    labels : array-like of shape (n_samples,)
        0 to n_clusters - 1, all of them used, in the order of the covariances.

    covariances : array-like of shape (n_clusters, n_features, n_features)
        The covariances of the clusters, symmetric and positive definite.

    sample_weight : array-like of shape (n_samples,), default=None
        How much each sample counts, at least 0; None is 1 for all.

    Returns
    -------
    certificate : SDPCertificate
        A named tuple of certified, objective, bound, gap, multiplier. The objective is
        without the constant that contains pi.

    References
    ----------
    .. [1] Y. Zhuang, X. Chen and Y. Yang, "Likelihood adjusted semidefinite programs
       for clustering heterogeneous data", ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from skalgos.cluster import lasdp_certificate
    >>> X = np.array([[0.0], [1.0], [18.0], [23.0]])
    >>> covariances = np.array([[[1.0]], [[9.0]]])
    >>> lasdp_certificate(X, [0, 0, 1, 1], covariances).certified
    True
    """
    from skalgos.cluster._sdp.certificates import certify_lasdp
    from skalgos.cluster._sdp.estimators import checked_covariances

    X, labels, weights = _checked(X, labels, sample_weight)
    K = len(np.unique(labels))
    if not np.array_equal(np.unique(labels), np.arange(K)):
        raise ValueError(
            f"labels must be 0 to n_clusters - 1, all used; got {np.unique(labels)}."
        )
    S = checked_covariances(covariances, K, X.shape[1])
    return _certificate(*certify_lasdp(X, weights, labels.astype(np.int64), S))


@validate_params(
    {
        "X": ["array-like"],
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "sample_weight": ["array-like", None],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def sdp_lower_bound(
    X: ArrayLike,
    n_clusters: int,
    *,
    sample_weight: ArrayLike | None = None,
    tol: float = 1e-4,
    max_iter: int = 5000,
) -> SDPLowerBound:
    """Return a lower bound on the inertia of every partition in n_clusters.

    It is the optimum of the K-means semidefinite program [1]_, less what the residuals
    leave open: the bound holds however early the solver stops. The memory is 17
    matrices of n_samples x n_samples.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The data.

    n_clusters : int
        The number of clusters.

    sample_weight : array-like of shape (n_samples,), default=None
        How much each sample counts, at least 0; None is 1 for all.

    tol : float, default=1e-4
        The relative tolerance of the residuals and of the bound.

    max_iter : int, default=5000
        The largest number of iterations.

    Returns
    -------
    result : SDPLowerBound
        A named tuple of bound, objective, primal_residual, dual_residual, n_iter,
        converged.

    References
    ----------
    .. [1] J. Peng and Y. Wei, "Approximating K-means-type clustering via semidefinite
       programming", SIAM Journal on Optimization 18, 2007.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skalgos.cluster import sdp_lower_bound
    >>> X = load_iris().data
    >>> 149 < sdp_lower_bound(X, 2).bound < 152.35
    True
    """
    from skalgos.cluster._sdp.canonical import distinct_rows
    from skalgos.cluster._sdp.programs import Options, relax_kmeans

    X = check_array(X, dtype=np.float64, input_name="X")
    weights = check_sample_weight(sample_weight, X, np.float64)
    distinct = distinct_rows(X, weights)
    n = len(distinct.weights)
    mean = np.average(distinct.X, axis=1, weights=distinct.weights)
    columns = distinct.X - mean[:, None]
    spread = float(distinct.weights @ np.sum(columns**2, axis=0))
    if n_clusters == 1 or n_clusters >= n:
        value = spread if n_clusters == 1 else 0.0
        return SDPLowerBound(value, value, 0.0, 0.0, 0, True)
    options = Options("admm", 1, tol, max_iter)
    relaxed = relax_kmeans(columns, distinct.weights, n_clusters, options, None, map)
    return SDPLowerBound(
        max(spread - float(relaxed.bound), 0.0),
        spread - float(relaxed.objective),
        float(relaxed.primal_residual),
        float(relaxed.dual_residual),
        relaxed.n_iter,
        bool(relaxed.converged),
    )
