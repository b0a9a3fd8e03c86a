"""Semidefinite clustering against cone solvers and scikit-learn."""

import time
import warnings

import cvxpy
import numpy as np
from harness import Bench, Group, script, timed
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from skalgos.cluster import LASDP, SDPKMeans, kmeans_certificate
from skalgos.cluster._sdp.exact import exact_kmeans, exact_lasdp
from skalgos.cluster._sdp.low_rank import low_rank_sdp, partition_factor
from skalgos.cluster._sdp.programs import lasdp_costs
from skalgos.datasets import make_ellipses

PEERS = ("cvxpy", "scs", "clarabel")
GROUPS = {
    "kmeans": Group(
        "The K-means program",
        "Ours and SCS at tolerances of 1e-4, wall time. The loss is the distance "
        "of the objective to the optimum, relative to it.",
        peer="cone solver",
    ),
    "lasdp": Group(
        "The likelihood-adjusted program",
        "Three known covariances; ours and SCS at tolerances of 1e-4, wall time. "
        "The loss is the distance of the objective to the optimum, relative to it.",
        peer="cone solver",
    ),
    "pass": Group(
        "The low-rank solver: seconds for a row and pass",
        "Five known covariances, 10 features, two columns a cluster, one thread.",
        unit="µs",
    ),
    "scale": Group(
        "A million samples",
        "Five ellipses in 10 dimensions. The loss is the share of wrong labels.",
        peer="scikit-learn",
    ),
    "separation": Group(
        "Share of wrong labels against separation",
        "200 samples, unequal covariances; times are of LASDP and of a GaussianMixture "
        "with ten starts, losses the means over seeds.",
        peer="scikit-learn",
    ),
    "dimension": Group(
        "Share of wrong labels against dimension",
        "200 samples in three clusters, separation 5; times are of "
        "LASDP and of a GaussianMixture with ten starts, losses the means over seeds.",
        peer="scikit-learn",
    ),
    "certificate": Group(
        "The K-means certificate",
        "Against KMeans with ten starts on the same data; the loss is 0 if the labels "
        "are proved optimal.",
        peer="scikit-learn",
    ),
}


def ellipses(n, K, p, sep, shape, seed):
    """Return rows, labels and covariances of normal clusters."""
    return make_ellipses(
        n,
        p,
        n_clusters=K,
        separation=sep,
        shape=shape,
        random_state=np.random.default_rng(seed),
        return_covariances=True,
    )


def error(truth, labels):
    """Return the share of wrong labels under the best matching."""
    table = np.zeros((truth.max() + 1, labels.max() + 1))
    np.add.at(table, (truth, labels), 1)
    rows, columns = linear_sum_assignment(-table)
    return 1 - table[rows, columns].sum() / len(truth)


def cone(costs, n, solver):
    """Maximise minus <costs[k], Z_k> with a cone solver; one matrix is K-means."""
    settings = {"SCS": {"eps": 1e-4}, "CLARABEL": {}}[solver]
    n_clusters = costs["n_clusters"]
    matrices = costs["matrices"]
    Zs = [cvxpy.Variable((n, n), PSD=True) for _ in matrices]
    rules = [Z >= 0 for Z in Zs]
    rules += [cvxpy.trace(Z) == n_clusters / len(Zs) for Z in Zs]
    rules.append(sum(cvxpy.sum(Z, axis=1) for Z in Zs) == 1)
    value = sum(
        cvxpy.sum(cvxpy.multiply(A, Z)) for A, Z in zip(matrices, Zs, strict=True)
    )
    problem = cvxpy.Problem(cvxpy.Maximize(value), rules)
    return problem.solve(solver=solver, **settings)


def programs(bench):
    """Add the rows of both programs."""
    cases = [
        (n, sep, "SCS", target_k, target_l)
        for n, target_k, target_l in ((100, None, None), (300, 25, 30))
        for sep in (3, 6)
    ]
    cases += [(60, sep, "CLARABEL", None, 100) for sep in (3, 6)]
    for n, sep, solver, target_k, target_l in cases:
        X, _, S = ellipses(n, 3, 4, sep, "mixed", 3)
        columns = np.ascontiguousarray((X - X.mean(axis=0)).T)
        gram, h = columns.T @ columns, np.ones(n)
        q = h / np.sqrt(n)
        for group, target in (("kmeans", target_k), ("lasdp", target_l)):
            workload = f"n={n}, separation {sep}, {solver}"
            if not bench.wants(group, workload, n):
                continue
            kmeans = group == "kmeans"
            matrices = [gram] if kmeans else list(-lasdp_costs(columns, h, S))

            def ours(tol, gram=gram, matrices=matrices, q=q, kmeans=kmeans):
                settings = {"tol": tol, "max_iter": 20000}
                if kmeans:
                    return exact_kmeans(gram.copy(), q, 3, **settings)
                return exact_lasdp(-np.array(matrices), q, **settings)

            with threadpool_limits(1):
                best = ours(1e-6).bound
                first, _ = timed(ours, 1e-4, wall=True)
                seconds, fit = min(
                    (timed(ours, 1e-4, wall=True) for _ in range(3)),
                    key=lambda pair: pair[0],
                )
                data = {"n_clusters": 3, "matrices": matrices}
                theirs, value = timed(
                    lambda data, n=n, solver=solver: cone(data, n, solver),
                    data,
                    wall=True,
                )
            losses = [abs(v - best) / abs(best) for v in (fit.objective, value)]
            bench.add(
                group,
                workload,
                seconds,
                theirs,
                target=target,
                first_ours=first,
                first_peer=theirs,
                quality_ours=losses[0],
                quality_peer=losses[1],
                passed=bool(losses[0] <= max(losses[1], 1e-5)),
            )


def passes(bench):
    """Add the rows of the passes of the low-rank solver."""
    for n in (10_000, 100_000):
        if not bench.wants("pass", f"n={n}", n):
            continue
        X, y, S = ellipses(n, 5, 10, 4, "flat", 0)
        columns = np.ascontiguousarray((X - X.mean(axis=0)).T)
        h = np.ones(n)

        def run(max_iter, columns=columns, h=h, S=S, y=y):
            U, block = partition_factor(y, 5, 5, 2, h, np.random.RandomState(0))
            return low_rank_sdp(
                columns,
                h,
                np.linalg.inv(S),
                np.linalg.slogdet(S)[1],
                np.ones(5),
                U,
                block,
                tol=1e-12,
                max_iter=max_iter,
                pool_map=lambda function, chunks: [function(c) for c in chunks],
            )

        with threadpool_limits(1):
            run(2)
            few = min(timed(run, 10)[0] for _ in range(3))
            many = min(timed(run, 60)[0] for _ in range(3))
        bench.add("pass", f"n={n}", (many - few) / 50 / n, limit=80e-9)


def scale(bench):
    """Add the rows of a million samples."""
    for n in (100_000, 1_000_000):
        if not bench.wants("scale", f"n={n}", n):
            continue
        X, y, S = ellipses(n, 5, 10, 4, "flat", 0)
        with threadpool_limits(1):
            mixture = GaussianMixture(5, random_state=0)
            peer, labels = timed(mixture.fit_predict, X)
            small = LASDP(5, covariances=S, solver="sketch", random_state=0)
            small.fit(X[:5000])
            seconds, fitted = timed(small.fit, X)
        bench.add(
            "scale",
            f"n={n}, known covariances, sketch",
            seconds,
            peer,
            target=1 / 0.35,
            quality_ours=error(y, fitted.labels_),
            quality_peer=error(y, labels),
            passed=bool(error(y, fitted.labels_) <= error(y, labels) + 5e-4),
        )


def compared(bench, group, workload, K, data, limit, seconds):
    """Add a row of the mean share of wrong labels over data sets."""
    ours, theirs, spent, plain, relaxed = [], [], [0.0, 0.0], [], []
    for X, y in data:
        with threadpool_limits(1), warnings.catch_warnings():
            # Both sides are judged by where they stop, settled or not.
            warnings.simplefilter("ignore", ConvergenceWarning)
            start = time.thread_time()
            ours.append(error(y, LASDP(K, random_state=0).fit(X).labels_))
            spent[0] += time.thread_time() - start
            start = time.thread_time()
            mixture = GaussianMixture(K, n_init=10, random_state=0)
            theirs.append(error(y, mixture.fit_predict(X)))
            spent[1] += time.thread_time() - start
            centers = KMeans(K, n_init=10, random_state=0).fit(X)
            plain.append(error(y, centers.labels_))
            sdp = SDPKMeans(K, tol=1e-3, random_state=0).fit(X)
            relaxed.append(error(y, sdp.labels_))
    print(
        f"{workload}: LASDP {np.mean(ours):.3f} (reference {limit}), mixture "
        f"{np.mean(theirs):.3f}, K-means {np.mean(plain):.3f}, SDPKMeans "
        f"{np.mean(relaxed):.3f}",
        flush=True,
    )
    margin = 2 * np.std(ours) / np.sqrt(len(ours))
    bench.add(
        group,
        workload,
        spent[0] / len(ours),
        spent[1] / len(ours),
        limit=seconds,
        quality_ours=np.mean(ours),
        quality_peer=np.mean(theirs),
        passed=bool(np.mean(ours) <= limit + max(margin, 0.002)),
    )


def separation(bench):
    """Add the rows of the share of wrong labels."""
    reference = {
        ("flat", 3, 4): {2.0: 0.068, 2.5: 0.060, 3.0: 0.029, 4.0: 0.016, 6.0: 0.001},
        ("mixed", 4, 6): {2.5: 0.228, 3.0: 0.128, 4.0: 0.046, 6.0: 0.003},
    }
    seeds = range(1000, 1005 if bench.quick else 1020)
    for (shape, K, p), values in reference.items():
        for sep, limit in values.items():
            workload = f"{shape}, K={K}, p={p}, separation {sep}"
            if bench.wants("separation", workload, 200):
                data = [ellipses(200, K, p, sep, shape, seed)[:2] for seed in seeds]
                compared(bench, "separation", workload, K, data, limit, 0.5)


def dimension(bench):
    """Add the rows of the share of wrong labels in more and more dimensions."""
    reference = {
        "mixed": {5: 0.008, 10: 0.013, 20: 0.010, 40: 0.012, 80: 0.016},
        "flat": {5: 0.0, 10: 0.001, 20: 0.0, 40: 0.018, 80: 0.025},
    }
    seeds = range(500, 502 if bench.quick else 506)
    for shape, values in reference.items():
        for p, limit in values.items():
            workload = f"{shape}, p={p}"
            if bench.wants("dimension", workload, 200):
                data = [ellipses(200, 3, p, 5, shape, seed)[:2] for seed in seeds]
                compared(bench, "dimension", workload, 3, data, limit, None)


def certificates(bench):
    """Add the rows of the certificate."""
    for n in (100_000, 1_000_000):
        if not bench.wants("certificate", f"n={n}", n):
            continue
        X, y, _ = ellipses(n, 4, 10, 12, "round", 0)
        with threadpool_limits(1):
            peer, _ = timed(KMeans(4, n_init=10, random_state=0).fit, X)
            seconds, found = timed(lambda X, y=y: kmeans_certificate(X, y), X)
        bench.add(
            "certificate",
            f"n={n}",
            seconds,
            peer,
            target=1 / 0.35,
            quality_ours=float(not found.certified),
            quality_peer=0.0,
            passed=found.certified,
        )


def main(argv=()):
    """Run the rows that the command line selects, and return them."""
    bench = Bench(argv, GROUPS, PEERS)
    programs(bench)
    passes(bench)
    scale(bench)
    separation(bench)
    dimension(bench)
    certificates(bench)
    return bench.finish()


if __name__ == "__main__":
    script(main)
