"""Dissimilarities: those that our kernels compute, and scikit-learn for the rest."""

import numpy as np
from scipy import sparse
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import PAIRWISE_BOOLEAN_FUNCTIONS

__all__ = ["PAIRWISE_BOOLEAN_FUNCTIONS", "Metric"]

# Block distance (see lane_kernels), whether its root is taken, and other names.
_FAST = {
    "euclidean": ("SQUARED", True),
    "sqeuclidean": ("SQUARED", False),
    "cosine": ("SQUARED", False),
    "correlation": ("SQUARED", False),
    "manhattan": ("ABSOLUTE", False),
    "chebyshev": ("MAXIMUM", False),
    "hamming": ("UNEQUAL", False),
}
_ALIASES = {"l2": "euclidean", "l1": "manhattan", "cityblock": "manhattan"}


class Metric:
    """A dissimilarity between rows, with everything that it needs fixed at fit time.

    Parameters
    ----------
    metric : str or callable
    params : dict or None
    X : {ndarray, sparse matrix} of shape (n_samples, n_features)
        The training data, for metrics that estimate a scale from it.
    weights : ndarray of shape (n_samples,)

    Attributes
    ----------
    name : str or callable
    params : dict
        The parameters in use, with those estimated from the data.
    """

    def __init__(self, metric, params, X, weights):
        self.name, self.params = metric, dict(params or {})
        if metric == "minkowski" and set(self.params) <= {"p"}:
            special = {1: "manhattan", 2: "euclidean", np.inf: "chebyshev"}
            power = self.params.get("p", 2)
            if power in special:
                self.name, self.params = special[power], {}
        if isinstance(self.name, str):
            self.name = _ALIASES.get(self.name, self.name)
        estimated = {"seuclidean": "V", "mahalanobis": "VI"}.get(metric)
        if estimated and not self.params.keys() & {"V", "VI"}:
            self.params[estimated] = _estimate(metric, X, weights)

    def points(self, *arrays):
        """Return arrays among whose rows kernels can compute this, and the geometry.

        Parameters
        ----------
        *arrays : {ndarray, sparse matrix} of shape (n, n_features)

        Returns
        -------
        geometry : Geometry or None
            None where the kernels do not have the metric, or not for these data.
        arrays : list of ndarray
        """
        from skalgos.cluster._kmedoids import lane_kernels
        from skalgos.cluster._kmedoids.solvers import Geometry

        known = isinstance(self.name, str) and self.name in _FAST and not self.params
        if not known or any(map(sparse.issparse, arrays)):
            return None, arrays
        code, root = _FAST[self.name]
        code = getattr(lane_kernels, code)
        if self.name == "hamming":
            return Geometry(code, root, 1 / arrays[0].shape[1]), arrays
        if self.name == "correlation":
            arrays = [X - X.mean(axis=1, keepdims=True) for X in arrays]
        # Powers of two lose nothing, and squares neither overflow nor vanish.
        largest = max(float(np.abs(X).max(initial=0)) for X in arrays)
        exponent = int(np.frexp(largest)[1]) - 1 if largest else 0
        arrays = [np.ldexp(X, -exponent) if exponent else X for X in arrays]
        if self.name in ("cosine", "correlation"):
            norms = [np.sqrt(np.einsum("ij,ij->i", X, X)) for X in arrays]
            tiny = 1e3 * np.finfo(arrays[0].dtype).tiny ** 0.5
            if any(norm.min(initial=1) < tiny for norm in norms):
                return None, arrays
            arrays = [X / norm[:, None] for X, norm in zip(arrays, norms, strict=True)]
            return Geometry(code, root, 0.5), arrays
        power = 2 if self.name == "sqeuclidean" else 1
        with np.errstate(over="ignore", under="ignore"):
            scale = np.ldexp(arrays[0].dtype.type(1), power * exponent)
        if not np.isfinite(scale):
            raise ValueError(
                f"The values of X, up to {largest:.3g}, are too large for "
                f"metric='{self.name}' in {arrays[0].dtype}. Scale them down."
            )
        return Geometry(code, root, float(scale)), arrays

    def between(self, X, Y):
        """Return the dissimilarities of the rows of X to the rows of Y.

        Parameters
        ----------
        X, Y : {ndarray, sparse matrix} of shape (n, n_features)

        Returns
        -------
        distances : ndarray of shape (n_X, n_Y)
            In single precision if the data are.
        """
        from skalgos.cluster._kmedoids.solvers import between

        geometry, arrays = self.points(X, Y)
        if geometry is not None:
            return between(geometry, *arrays)
        distances = pairwise_distances(
            _narrow(X), _narrow(Y), metric=self.name, **self.params
        )
        dtype = np.float32 if X.dtype == np.float32 else np.float64
        return np.asarray(distances, dtype=dtype)

    def check(self, distances):
        """Raise ValueError unless all are numbers, finite and not negative."""
        if not (distances >= 0).all() or not np.isfinite(distances).all():
            name = self.name if isinstance(self.name, str) else repr(self.name)
            raise ValueError(
                f"metric={name} gave a negative, infinite or undefined dissimilarity "
                "between rows of X; KMedoids needs finite numbers of at least 0."
            )


def _narrow(X):
    """Return sparse X with 32-bit indices if they do: scikit-learn may ask for them."""
    if not sparse.issparse(X) or X.indices.dtype == np.int32:
        return X
    if max(X.nnz, *X.shape) > np.iinfo(np.int32).max:
        return X
    parts = X.data, X.indices.astype(np.int32), X.indptr.astype(np.int32)
    return type(X)(parts, shape=X.shape)


def _estimate(metric, X, weights):
    """Return the feature variances, or the inverse of their covariance matrix."""
    total = weights.sum()
    if not total > 1:
        raise ValueError(
            f"metric='{metric}' estimates variances from X, for which the sample "
            f"weights must sum to more than 1; they sum to {total:g}. Pass "
            f"metric_params with {'V' if metric == 'seuclidean' else 'VI'} instead."
        )
    centred = X - np.average(X, axis=0, weights=weights)
    if metric == "seuclidean":
        return weights @ centred**2 / (total - 1)
    return np.linalg.inv((weights[:, None] * centred).T @ centred / (total - 1)).T
