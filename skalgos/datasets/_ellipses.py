"""Normal clusters of unequal covariances."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from skalgos._compat import Interval, StrOptions, validate_params


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "separation": [Interval(Real, 0, None, closed="left")],
        "shape": [StrOptions({"round", "mixed", "flat"})],
        "random_state": ["random_state", np.random.Generator],
        "return_covariances": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def make_ellipses(
    n_samples=200,
    n_features=4,
    *,
    n_clusters=3,
    separation=3.0,
    shape="mixed",
    random_state=None,
    return_covariances=False,
):
    """Draw normal clusters whose covariances differ, turned at random.

    The means are the corners of a regular simplex; clusters have the same number of
    samples, or one more.

    Parameters
    ----------
    n_samples : int, default=200
        The number of samples, at least ``n_clusters``.

    n_features : int, default=4
        The number of features, at least ``n_clusters``.

    n_clusters : int, default=3
        The number of clusters.

    separation : float, default=3.0
        The distance of any two means.

    shape : {"round", "mixed", "flat"}, default="mixed"
        The eigenvalues of the covariances: all 1; drawn for each cluster, with
        logarithms that are uniform between those of 0.2 and 3; or from 0.05 to 5 by
        constant factors, in every cluster.

    random_state : int, RandomState, Generator or None, default=None
        Determines the draw.

    return_covariances : bool, default=False
        Whether to return the covariances as well.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The samples.

    y : ndarray of shape (n_samples,), int64
        Their clusters.

    covariances : ndarray of shape (n_clusters, n_features, n_features)
        The covariances. Only if ``return_covariances``.

    Examples
    --------
    >>> from skalgos.datasets import make_ellipses
    >>> X, y, covariances = make_ellipses(
    ...     90, 5, random_state=0, return_covariances=True
    ... )
    >>> X.shape, y.shape, covariances.shape
    ((90, 5), (90,), (3, 5, 5))
    """
    K, p = n_clusters, n_features
    for name, value in (("n_samples", n_samples), ("n_features", p)):
        if value < K:
            raise ValueError(f"{name}={value} must be at least n_clusters={K}.")
    rng = random_state
    if not isinstance(rng, np.random.Generator):
        rng = check_random_state(rng)
    sizes = np.full(K, n_samples // K)
    sizes[: n_samples % K] += 1
    covariances = np.empty((K, p, p))
    for k in range(K):
        if shape == "round":
            covariances[k] = np.eye(p)
            continue
        Q = np.linalg.qr(rng.normal(size=(p, p))).Q
        if shape == "mixed":
            spectrum = np.exp(rng.uniform(np.log(0.2), np.log(3), p))
        else:
            spectrum = np.geomspace(0.05, 5, p)
        covariances[k] = (Q * spectrum) @ Q.T
    X = np.vstack(
        [
            rng.standard_normal((size, p)) @ factor.T
            for size, factor in zip(sizes, np.linalg.cholesky(covariances), strict=True)
        ]
    )
    y = np.repeat(np.arange(K), sizes)
    X[np.arange(n_samples), y] += separation / np.sqrt(2)
    order = rng.permutation(n_samples)
    X, y = X[order], y[order]
    return (X, y, covariances) if return_covariances else (X, y)
