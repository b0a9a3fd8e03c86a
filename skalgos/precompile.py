"""Compile every kernel into numba's cache, for images and continuous integration.

Run ``python -m skalgos.precompile``, or call :func:`skalgos.precompile`.
"""

import sys
import time
from types import ModuleType

import numpy as np


def _kmedoids(dtype):
    """Fit k-medoids on each path that compiles kernels of its own."""
    from skalgos.cluster import (
        CLARA,
        CLARANS,
        KMedoids,
        MedoidSilhouette,
        OneBatchKMedoids,
        k_medoids,
        swap_certificate,
    )
    from skalgos.cluster._kmedoids.solvers import (
        LISTS_FROM,
        SCREEN_FROM,
        Lists,
        Matrix,
        digest,
        fasterpam,
    )

    rng = np.random.RandomState(0)
    for n_samples, n_features in ((100, 2), (SCREEN_FROM, 2), (SCREEN_FROM, 6)):
        X = rng.standard_normal((n_samples, n_features)).astype(dtype)
        KMedoids(2, init="build", max_iter=2, tol=1.0).fit(X)
    X = rng.standard_normal((100, 2)).astype(dtype)
    KMedoids(2, n_init=1, solver="matrix-free", metric="canberra", tol=1.0).fit(X)
    KMedoids(2, method="fastpam2", n_init=1, tol=1.0).fit(X)
    for n_samples in (100, SCREEN_FROM):
        x = rng.standard_normal(n_samples).astype(dtype)
        distances = np.abs(x[:, None] - x)
        result = k_medoids(distances, 2, init="build", tol=1.0)
    swap_certificate(distances, result.medoid_indices)
    # What large matrices compile, on a small one.
    n_samples, weights = len(distances), np.ones(len(distances))
    source = Matrix(distances, weights, None)
    source.screen, steps = Lists.empty(distances, LISTS_FROM)
    digest(distances, weights, screen=source.screen, steps=steps)
    fasterpam(source, np.arange(LISTS_FROM), np.arange(n_samples), max_iter=1)
    X = rng.standard_normal((100, 2)).astype(dtype)
    KMedoids(2, solver="sampled").fit(X)
    for solver in ("matrix", "matrix-free"):
        MedoidSilhouette(2, solver=solver, n_init=1, tol=1.0).fit(X)
    MedoidSilhouette(2, method="fastmsc", n_init=1, tol=1.0).fit(X)
    CLARA(2).fit(X)
    CLARANS(2).fit(X)
    OneBatchKMedoids(2, batch_size=80).fit(X)


def _sparse_bayes(dtype):
    """Recover a sparse vector; only the sequential algorithm compiles anything."""
    from skalgos.linear_model import sparse_bayes

    A = np.random.RandomState(0).standard_normal((20, 30)).astype(dtype)
    sparse_bayes(A, A[:, 0] + A[:, 1])


def _checkered(n_classes):
    """Fit a checkered model."""
    from skalgos.linear_model import CheckeredClassifier

    X = np.random.RandomState(0).standard_normal((200, 2))
    y = (X > 0).sum(axis=1) % n_classes
    CheckeredClassifier(2, C=10, n_init=2, random_state=0).fit(X, y)


def _low_rank(dtype):
    """Complete a table by each solver."""
    from skalgos.recommendation import (
        BayesianMatrixFactorizationRegressor,
        MatrixFactorizationRegressor,
    )

    rng = np.random.RandomState(0)
    X = rng.randint(0, 20, (100, 2))
    y = rng.standard_normal(100).astype(dtype)
    quick = {"max_iter": 2, "tol": 1e9, "alpha": 1.0, "continuation": None}
    for solver in ("pcg", "cholesky"):
        MatrixFactorizationRegressor(2, solver=solver, **quick).fit(X, y)
    early = {"early_stopping": True, "n_iter_no_change": 1, "loss": "huber"}
    MatrixFactorizationRegressor(2, max_iter=20, tol=1e9, **early).fit(X, y)
    if dtype == np.float64:
        BayesianMatrixFactorizationRegressor(2, n_samples=1, burn_in=1).fit(X, y)


def _sdp(solver):
    """Cluster by semidefinite programs."""
    from skalgos.cluster import LASDP, SDPKMeans

    X = np.random.RandomState(0).standard_normal((30, 2))
    X[::2] += 9
    SDPKMeans(2, solver=solver, tol=0.1).fit(X)
    quick = {"solver": solver, "tol": 0.1, "init": "ward", "max_iter_solver": 500}
    LASDP(2, covariances=np.eye(2), **quick).fit(X)


def _ngboost(dtype):
    """Fit and apply boosted trees."""
    from skalgos.ensemble import NGBoostRegressor

    rng = np.random.RandomState(0)
    X = rng.uniform(size=(60, 2)).astype(dtype)
    for distribution in ("normal", "negative_binomial"):
        model = NGBoostRegressor(distribution, n_estimators=2, leaf_estimation="fisher")
        model.fit(X, np.floor(5 * X[:, 0]))
    NGBoostRegressor(n_estimators=2, random_state=0).fit(X, X[:, 0]).predict(X)


_TASKS = {
    f"k-medoids, {dtype.__name__}": (_kmedoids, dtype)
    for dtype in (np.float64, np.float32)
}
_TASKS |= {
    f"sparse Bayes, {dtype.__name__}": (_sparse_bayes, dtype)
    for dtype in (np.float64, np.complex128)
}
_TASKS |= {
    f"checkered regression, {n_classes} classes": (_checkered, n_classes)
    for n_classes in (2, 3)
}
_TASKS |= {
    f"semidefinite programs, {solver}": (_sdp, solver) for solver in ("admm", "nlr")
}
_TASKS |= {
    f"low-rank completion, {dtype.__name__}": (_low_rank, dtype)
    for dtype in (np.float64, np.float32)
}
_TASKS["boosted trees"] = (_ngboost, np.float64)


def precompile(progress=True):
    """Compile every kernel and keep the result on disk.

    The first fit of each kind is then as fast as the ones after it. What is compiled
    already is left alone.

    Parameters
    ----------
    progress : bool, default=True
        Whether to draw a progress bar on the standard error stream.

    Examples
    --------
    >>> import skalgos
    >>> skalgos.precompile(progress=False)
    """
    start = time.perf_counter()
    for done, (name, (task, argument)) in enumerate(_TASKS.items()):
        if progress:
            _draw(done, name)
        task(argument)
    if progress:
        _draw(len(_TASKS), f"done in {time.perf_counter() - start:.1f} s")
        sys.stderr.write("\n")


def _draw(done, text):
    width = 24
    filled = width * done // len(_TASKS)
    bar = "#" * filled + "." * (width - filled)
    sys.stderr.write(f"\r[{bar}] {text:<40}")
    sys.stderr.flush()


class _CallableModule(ModuleType):
    """Python binds ``skalgos.precompile`` to this module once it is imported."""

    def __call__(self, progress=True):
        return precompile(progress)


sys.modules[__name__].__class__ = _CallableModule

if __name__ == "__main__":
    precompile()
