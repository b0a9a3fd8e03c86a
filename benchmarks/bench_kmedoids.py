"""K-medoids against the ``kmedoids`` package."""

import tempfile
from functools import lru_cache
from typing import NamedTuple

import kmedoids
import numpy as np
from harness import Bench, Group, child_cpu, script
from onebatch import OneBatchPAM
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import pairwise_distances

from skalgos.cluster import (
    KMedoids,
    MedoidSilhouette,
    k_medoids,
    medoid_silhouette_score,
)

PEERS = ("kmedoids", "onebatch")
TOLERANCE = 0.002
# With few medoids one start ends a percent above the next, and there are few starts.
SMALL_TOLERANCE = 0.01

_LOSS = "The mean loss must be at most {:.1%} above the peer's, {:.1%} with k=10."
GROUPS = {
    "fasterpam": Group(
        "FasterPAM on a float32 matrix, n x k",
        "k_medoids(D, k, init=start) against kmedoids.fasterpam(D, start, n_cpu=1); "
        "every repetition has a start of its own, the same for both. CPU time of one "
        f"thread. {_LOSS.format(TOLERANCE, SMALL_TOLERANCE)}",
        peer="kmedoids",
    ),
    "estimator": Group(
        "The estimators on a float32 matrix, n x k",
        "KMedoids(k, metric='precomputed', n_init=1) against kmedoids.KMedoids(k), "
        "which takes no array as its start and always uses its default number of "
        "threads (the table above has its time in one): both draw their starts, others "
        "in every repetition. Wall time; skalgos in one thread. "
        f"{_LOSS.format(TOLERANCE, SMALL_TOLERANCE)}",
        peer="kmedoids",
    ),
    "build": Group(
        "BUILD on a float32 matrix, n x k",
        "k_medoids(D, k, init='build', max_iter=0) against kmedoids.pam_build(D, k). "
        "CPU time of one thread. The medoids must be the same.",
        peer="kmedoids",
    ),
    "features": Group(
        "From float32 features, n x d",
        "KMedoids(k, init=start, n_init=1).fit(X) against kmedoids.fasterpam(D, start, "
        "n_cpu=1) with D = pairwise_distances(X) of scikit-learn included (for Fortran "
        "order D.T, which is no copy). CPU time of one thread; memory is the largest "
        "that Python and numpy hold beyond X. "
        f"{_LOSS.format(TOLERANCE, SMALL_TOLERANCE)}",
        peer="kmedoids",
    ),
    "threads": Group(
        "Two threads",
        "KMedoids(k, n_init=4) with n_jobs=2 against n_jobs=1. Wall time. The results "
        "must be identical.",
        ours="n_jobs=2",
        peer="n_jobs=1",
    ),
    "silhouette": Group(
        "The medoid silhouette on a float32 matrix, n x k",
        "MedoidSilhouette(k, metric='precomputed', init=start, n_init=1) against "
        "kmedoids.fastermsc(D, start). CPU time of one thread. The mean of one minus "
        f"the silhouette must be at most {SMALL_TOLERANCE:.1%} above the peer's.",
        peer="kmedoids",
    ),
    "dynmsc": Group(
        "The number of clusters on a float32 matrix, n x the largest k",
        "MedoidSilhouette('auto', metric='precomputed', max_clusters=k, init=start, "
        "n_init=1) against kmedoids.dynmsc(D, start). CPU time of one thread. The mean "
        f"of one minus the silhouette must be at most {SMALL_TOLERANCE:.1%} above the "
        "peer's.",
        peer="kmedoids",
    ),
    "sampled": Group(
        "The sampled solver on float32 features, n x d",
        "KMedoids(k, solver='sampled') against KMedoids(k, n_init=1, "
        "solver='matrix-free'), the exact search, from starts of their own. CPU time "
        "of one thread. The mean loss must be at most 0.5% above that of the exact "
        "search.",
        peer="exact",
    ),
    "million": Group(
        "A million rows of float32 features, n x d",
        "KMedoids(k, solver='sampled') against onebatch.OneBatchPAM(k), one fit each. "
        "CPU time of the process, and the largest extra memory that Python and numpy "
        "hold. The loss must be lower by a percent.",
        peer="onebatch",
    ),
    "small": Group(
        "Small matrices, n x k",
        "k_medoids(D, k, init=start) against kmedoids.fasterpam(D, start, n_cpu=1), "
        "float64. CPU time of one thread. The mean loss must be at most "
        f"{SMALL_TOLERANCE:.1%} above the peer's.",
        peer="kmedoids",
        unit="µs",
    ),
    "startup": Group(
        "Start-up",
        "CPU time of the step named in a fresh process, the least of ten processes; 50 "
        "rows are fitted, against KMeans of scikit-learn. The first fit includes the "
        "import of numba.",
        peer="scikit-learn",
    ),
}

# n, k: the ratios aimed at, for a C-ordered and a Fortran-ordered matrix.
FASTERPAM = {
    (1000, 10): (2, 1.5),
    (1000, 100): (2, 1.5),
    (5000, 10): (None, None),
    (5000, 100): (5, 2.3),
    (10000, 100): (8, 2.5),
    (20000, 10): (None, None),
    (20000, 100): (15, 3),
}
BUILD = {(1000, 100): None, (3000, 100): None, (6000, 100): 30}
# n, d, k: the ratio aimed at.
FEATURES = {
    (2000, 16, 10): None,
    (2000, 2, 100): None,
    (10000, 16, 10): 12,
    (10000, 16, 100): 12,
    (10000, 2, 10): None,
    (10000, 2, 100): 50,
}


@lru_cache(maxsize=1)
def blobs(n, d=16):
    """Return 50 overlapping Gaussian clusters of points."""
    X, _ = make_blobs(n, d, centers=50, cluster_std=3.0, random_state=0)
    return X.astype(np.float32)


@lru_cache(maxsize=1)
def c_matrix(n):
    """Return the distances among blobs, in C order."""
    return pairwise_distances(blobs(n))


def matrix(n, order):
    """Return the distances among blobs, in C or Fortran order."""
    return c_matrix(n) if order == "C" else c_matrix(n).T


def repetitions(n):
    """Return how often a workload of n samples is run."""
    # Losses from the same start differ by some 0.2% either way (n=2000, k=10): where it
    # is cheap, enough repetitions to tell that from a difference of TOLERANCE.
    return 61 if n <= 2000 else 7 if n <= 10000 else 3


def tolerance_for(k):
    """Return by how much our mean loss may exceed the peer's."""
    return TOLERANCE if k > 10 else SMALL_TOLERANCE


def _calls(n):
    # What takes milliseconds is otherwise measured with whatever the caches hold.
    return 5 if n <= 1000 else 1


class Start(NamedTuple):
    """Medoids to start from, and the seed of the order in which ours tries others."""

    medoids: np.ndarray
    seed: int


def starts(n, k):
    """Return a start for each repetition, of the type that kmedoids takes."""
    return [
        Start(np.random.RandomState(seed).permutation(n)[:k].astype(np.uint64), seed)
        for seed in range(repetitions(n))
    ]


def matrix_loss(distances):
    """Return a function: the loss of medoids, summed in double precision."""

    def loss(medoids):
        return distances[:, medoids].min(axis=1).sum(dtype=np.float64)

    return loss


def features_loss(X):
    """Return a function: the loss of medoids, computed in double precision."""
    X = X.astype(np.float64)

    def loss(medoids):
        return pairwise_distances(X, X[medoids]).min(axis=1).sum()

    return loss


# ---- tables --------------------------------------------------------------------------
def fasterpam(bench, n, k, order, target):
    """Add the row of the functions, from the same starts."""
    workload = f"{n} x {k}, {order} order"
    if not bench.wants("fasterpam", workload, n):
        return
    D = matrix(n, order)

    def ours(start):
        result = k_medoids(D, k, init=start.medoids, random_state=start.seed)
        return result.medoid_indices

    bench.compare(
        "fasterpam",
        workload,
        ours,
        lambda start: kmedoids.fasterpam(D, start.medoids, n_cpu=1).medoids,
        starts(n, k),
        quality=matrix_loss(D),
        tolerance=tolerance_for(k),
        calls=_calls(n),
        target=target,
        headline=(n, k) == (20000, 100),
    )


def estimator(bench, n, k, order, target):
    """Add the row of the estimators, each with its own starts."""
    workload = f"{n} x {k}, {order} order"
    if n > 10000 or not bench.wants("estimator", workload, n):
        return
    D = matrix(n, order)

    def ours(seed):
        model = KMedoids(k, metric="precomputed", n_init=1, random_state=seed)
        return model.fit(D).medoid_indices_

    def peer(seed):
        model = kmedoids.KMedoids(k, method="fasterpam", random_state=seed)
        return model.fit(D).medoid_indices_

    bench.compare(
        "estimator",
        workload,
        ours,
        peer,
        range(repetitions(n)),
        quality=matrix_loss(D),
        tolerance=tolerance_for(k),
        wall=True,
        calls=_calls(n),
        target=target,
    )


def build(bench, n, k, order, target):
    """Add the row of BUILD."""
    workload = f"{n} x {k}, {order} order"
    if not bench.wants("build", workload, n):
        return
    D = matrix(n, order)
    bench.compare(
        "build",
        workload,
        lambda _: k_medoids(D, k, init="build", max_iter=0).medoid_indices,
        lambda _: kmedoids.pam_build(D, k).medoids,
        range(3),
        quality=matrix_loss(D),
        same=lambda medoids: sorted(medoids.tolist()),
        target=target,
        headline=(n, k) == (6000, 100),
    )


def features(bench, name, X, k, target):
    """Add the rows from features: the peer's matrix in either order."""
    n = len(X)
    for order in "CF":
        workload = f"{name}, k={k}, {order} order"
        if not bench.wants("features", workload, n):
            continue

        def ours(start):
            model = KMedoids(k, init=start.medoids, n_init=1, random_state=start.seed)
            return model.fit(X).medoid_indices_

        def peer(start, order=order):
            D = pairwise_distances(X)
            D = D if order == "C" else D.T
            return kmedoids.fasterpam(D, start.medoids, n_cpu=1).medoids

        bench.compare(
            "features",
            workload,
            ours,
            peer,
            starts(n, k),
            quality=features_loss(X),
            tolerance=tolerance_for(k),
            memory=True,
            # As people call it, pairwise_distances gives C order.
            target=target if order == "C" else None,
            headline=n == 10000 and k == 100,
        )


def threads(bench, n, k):
    """Add the rows with two threads."""
    for metric in ("precomputed", "euclidean"):
        workload = f"{n} x {k}, {metric}"
        if not bench.wants("threads", workload, n):
            continue
        X = matrix(n, "C") if metric == "precomputed" else blobs(n)

        def fit(seed, n_jobs, X=X, metric=metric):
            model = KMedoids(
                k, metric=metric, n_init=4, n_jobs=n_jobs, random_state=seed
            )
            return model.fit(X)

        bench.compare(
            "threads",
            workload,
            lambda seed, fit=fit: fit(seed, n_jobs=2),
            lambda seed, fit=fit: fit(seed, n_jobs=1),
            range(7),
            quality=lambda model: model.inertia_,
            same=lambda model: (model.medoid_indices_.tolist(), model.labels_.tolist()),
            wall=True,
            target=1.2,
        )


def small(bench, n, k, order, limit):
    """Add the row of a matrix so small that the call itself counts."""
    workload = f"{n} x {k}, {order} order"
    if not bench.wants("small", workload, n):
        return
    D = pairwise_distances(np.random.RandomState(0).uniform(size=(n, 2)))
    D = D if order == "C" else D.T

    def ours(start):
        result = k_medoids(D, k, init=start.medoids, random_state=start.seed)
        return result.medoid_indices

    bench.compare(
        "small",
        workload,
        ours,
        lambda start: kmedoids.fasterpam(D, start.medoids, n_cpu=1).medoids,
        starts(n, k),
        quality=matrix_loss(D),
        tolerance=SMALL_TOLERANCE,
        calls=20,
        limit=limit,
    )


def silhouette(bench, group, n, k, order, target):
    """Add a row of the medoid silhouette, with k medoids or at most so many."""
    workload = f"{n} x {k}, {order} order"
    if not bench.wants(group, workload, n):
        return
    D = matrix(n, order)
    n_clusters = k if group == "silhouette" else "auto"

    def ours(start):
        model = MedoidSilhouette(
            n_clusters,
            metric="precomputed",
            max_clusters=k,
            init=start.medoids.astype(int),
            n_init=1,
            random_state=start.seed,
        )
        return model.fit(D).medoid_indices_

    def peer(start):
        if group == "silhouette":
            return kmedoids.fastermsc(D, start.medoids).medoids
        return kmedoids.dynmsc(D, start.medoids).medoids

    bench.compare(
        group,
        workload,
        ours,
        peer,
        starts(n, k)[:15],
        quality=lambda medoids: 1 - medoid_silhouette_score(D[:, medoids]),
        tolerance=SMALL_TOLERANCE,
        target=target,
    )


def sampled(bench, n, d, k, target):
    """Add the row of the sampled solver beside the exact search."""
    workload = f"{n} x {d}, k={k}"
    if not bench.wants("sampled", workload, n):
        return
    X = blobs(n, d)

    def fit(seed, **params):
        return KMedoids(k, random_state=seed, **params).fit(X).medoid_indices_

    bench.compare(
        "sampled",
        workload,
        lambda seed: fit(seed, solver="sampled"),
        lambda seed: fit(seed, solver="matrix-free", n_init=1),
        range(5),
        quality=features_loss(X),
        tolerance=0.005,
        target=target,
    )


def million(bench, n, d, k):
    """Add the row of a million rows."""
    workload = f"{n} x {d}, k={k}"
    if not bench.wants("million", workload, n):
        return
    X = blobs(n, d)

    def ours(_):
        return KMedoids(k, solver="sampled", random_state=0).fit(X).medoid_indices_

    def peer(_):
        return OneBatchPAM(k, random_state=0).fit(X).medoid_indices_

    bench.compare(
        "million",
        workload,
        ours,
        peer,
        range(1),
        quality=lambda medoids: (
            KMedoids(k, init=medoids, max_iter=0, n_init=1, solver="sampled")
            .fit(X)
            .inertia_
        ),
        tolerance=-0.01,
        memory=True,
        target=1 / 3,
    )


# ---- start-up ------------------------------------------------------------------------
_OURS = """
from skalgos.cluster import KMedoids as Model
import numpy as np
X = np.random.RandomState(0).uniform(size=(50, 2))
"""
_PEER = _OURS.replace(
    "skalgos.cluster import KMedoids", "sklearn.cluster import KMeans"
)
_FIT = "Model(3, random_state=0).fit(X)"
# What runs before, and what is timed. In this order: the warm fit finds what the cold
# one compiled.
_PROCESSES = {
    "package": ("", "import skalgos"),
    "import": ("", "from skalgos.cluster import KMedoids"),
    "import_peer": ("", "import sklearn.cluster"),
    "cold": (_OURS, _FIT),
    "warm": (_OURS, _FIT),
    "warm_peer": (_PEER, _FIT),
}


def startup(bench):
    """Add the rows of imports and first fits, which are measured together."""
    if not bench.wants("startup", ""):
        return
    rounds = []
    for _ in range(1 + (3 if bench.quick else 10)):
        with tempfile.TemporaryDirectory() as folder:
            env = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            env["NUMBA_CACHE_DIR"] = folder
            rounds.append(
                {name: child_cpu(*code, env) for name, code in _PROCESSES.items()}
            )
    # The first round writes bytecode and fills the file cache. Whatever else a machine
    # does only adds to the time of a process, so the least of each is kept.
    least = {name: min(spent[name] for spent in rounds[1:]) for name in _PROCESSES}
    ours, peer = least["import"], least["import_peer"]
    bench.add("startup", "import skalgos", least["package"], limit=0.02)
    bench.add("startup", "import cluster module", ours, peer, limit=1.15 * peer)
    bench.add("startup", "first fit, not compiled", least["cold"], limit=3)
    ours, peer = least["warm"], least["warm_peer"]
    bench.add("startup", "first fit, compiled before", ours, peer, limit=peer + 0.6)


def main(argv=None):
    """Run the rows that the command line selects, print and return them."""
    bench = Bench(argv, GROUPS, PEERS)
    for (n, k), targets in FASTERPAM.items():
        for order, target in zip("CF", targets, strict=True):
            fasterpam(bench, n, k, order, target)
            estimator(bench, n, k, order, target)
    for (n, k), target in BUILD.items():
        build(bench, n, k, "C", target)
        build(bench, n, k, "F", None)
    digits = load_digits().data.astype(np.float32)
    features(bench, "digits, 1797 x 64", digits, 40, 4)
    for (n, d, k), target in FEATURES.items():
        features(bench, f"{n} x {d}", blobs(n, d), k, target)
    threads(bench, 2000, 100)
    threads(bench, 5000, 100)
    for order, targets in {"C": (2, 3), "F": (1.5, 3)}.items():
        for n, k in ((1000, 10), (5000, 10), (5000, 50)):
            silhouette(bench, "silhouette", n, k, order, targets[0])
        for n, k in ((1000, 10), (5000, 10)):
            silhouette(bench, "dynmsc", n, k, order, targets[1])
    for d, k in ((16, 10), (16, 100), (2, 100)):
        sampled(bench, 50_000, d, k, 10 if d == 16 else None)
    million(bench, 1_000_000, 16, 100)
    for order in "CF":
        small(bench, 50, 3, order, 150e-6)
        small(bench, 200, 10, order, None)
    startup(bench)
    return bench.finish()


if __name__ == "__main__":
    script(main)
