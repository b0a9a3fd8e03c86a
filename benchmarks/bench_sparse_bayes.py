"""Sparse Bayesian recovery against scikit-learn, fastrvm, MNE and dense matrices."""

import statistics
import time
import warnings
from functools import reduce

import numpy as np
import pywt
from fastrvm import RVR as FastRVR
from harness import Bench, Group, peak_memory, script
from mne.inverse_sparse._gamma_map import _gamma_map_opt
from scipy.fft import idct
from sklearn.linear_model import ARDRegression, LassoCV
from threadpoolctl import threadpool_limits

from skalgos.datasets import (
    make_irs_channel,
    make_kronecker_sparse,
    make_sparse_recovery,
)
from skalgos.decomposition import kron_sparse_bayes
from skalgos.linear_model import RVR, SparseBayesRegressor, sparse_bayes

PEERS = ("fastrvm", "mne", "PyWavelets")

_LOSS = "The loss is the squared error of the coefficients, relative to their squares"
_RECOVERY = (
    "Gaussian features, samples x features; 20 dB. CPU time of one thread. "
    f"{_LOSS}; it must not exceed the peer's."
)
GROUPS = {
    "ard": Group(
        "SparseBayesRegressor() against ARDRegression",
        _RECOVERY,
        peer="ARDRegression",
    ),
    "starts": Group(
        "SparseBayesRegressor(n_noise_starts=4) against ARDRegression",
        _RECOVERY,
        peer="ARDRegression",
    ),
    "lasso": Group("SparseBayesRegressor() against LassoCV", _RECOVERY, peer="LassoCV"),
    "rvr": Group(
        "RVR against fastrvm, samples",
        "A product of two sinc functions with noise, gamma=0.5. CPU time of one "
        "thread. The loss is the root mean square error against the clean function.",
        peer="fastrvm",
    ),
    "mmv": Group(
        "Several outputs against MNE, rows x columns x outputs",
        "sparse_bayes(A, Y) against MNE's gamma_map, which is given the true noise "
        f"variance. CPU time of one thread. {_LOSS}.",
        peer="MNE",
    ),
    "kronecker": Group(
        "Kronecker dictionaries against dense matrices",
        "kron_sparse_bayes(m_step='am') against the same iterations on the Kronecker "
        "product of the factors, with all covariances. CPU time of one thread. The "
        "loss is minus the log evidence.",
        peer="dense",
    ),
    "grid": Group(
        "Kronecker-structured recovery, the grid of He and Joseph",
        "kron_sparse_bayes with the noise variance given: median time, and as the loss "
        "the median relative squared error of 100 random problems with 15 columns and "
        "(8, 12, 15) rows for each factor, 25 dB and 3 non-zeros on each axis unless "
        "said otherwise; beside it the median of the better of their two algorithms, "
        "from 100 problems of another generator. A row fails if it is worse by more "
        "than the 95% bootstrap interval of the median.",
        peer="reference",
    ),
    "paired": Group(
        "Kronecker-structured recovery against the algorithm of He and Joseph",
        "The same grid: kron_sparse_bayes, and the SVD algorithm of their paper with "
        "matrix-free steps, on the same 40 problems. Median CPU time of one thread; "
        "the loss is the median relative squared error, which must not exceed the "
        "peer's by more than 2%.",
        peer="SVD algorithm",
    ),
    "channel": Group(
        "Channel estimation with a reflecting surface",
        "kron_sparse_bayes(coupling=(0.8, 0, 0.8)) on make_irs_channel, 25 problems: "
        "median time, and as the loss the median relative squared error of the "
        "channel; beside it that of a pattern-coupled prototype, from 25 problems of "
        "another generator.",
        peer="reference",
    ),
    "compressible": Group(
        "A compressible signal: an electrocardiogram in a cosine basis",
        "PyWavelets' electrocardiogram, standardised; blocks of 256 values from 128 "
        "Gaussian measurements each, without noise. "
        "SparseBayesRegressor(algorithm='em') and the peer; the loss is the relative "
        "squared error of the signal, the mean of four draws of the measurements.",
        peer="other",
    ),
    "scale": Group(
        "Large problems",
        "One fit each. CPU time of one thread, and the largest extra memory in a fit "
        "of its own, beside the limit: 8 (3 k + 20) bytes a feature, or 0.19 GB.",
        peer="limit",
    ),
}

#: Columns, the largest value of ours to peer's time that is aimed at.
REGRESSION = {(200, 1000, 10): None, (500, 2000, 25): 150, (1000, 5000, 40): 300}
STARTS = {(500, 2000, 25): 20, (1000, 5000, 40): 20}
GRID = {
    "5 dB": ({"snr_db": 5}, 0.0156),
    "10 dB": ({"snr_db": 10}, 0.0047),
    "15 dB": ({"snr_db": 15}, 0.0014),
    "20 dB": ({"snr_db": 20}, 0.00041),
    "25 dB": ({}, 0.00015),
    "30 dB": ({"snr_db": 30}, 0.00005),
    "6 rows": ({"n_rows": (6, 12, 15)}, 0.0003),
    "10 rows": ({"n_rows": (10, 12, 15)}, 0.00011),
    "12 rows": ({"n_rows": (12, 12, 15)}, 0.00009),
    "14 rows": ({"n_rows": (14, 12, 15)}, 0.00007),
    "2 non-zeros": ({"n_nonzero": 2}, 0.00002),
    "4 non-zeros": ({"n_nonzero": 4}, 0.00055),
    "5 non-zeros": ({"n_nonzero": 5}, 0.0028),
    "6 non-zeros": ({"n_nonzero": 6}, 0.139),
}
#: Decibels, the median relative squared error of the reference.
CHANNEL = {4: 0.081, 8: 0.029, 12: 0.014, 16: 0.0036, 20: 0.0010}


def nmse(found, true):
    """Return the relative squared error."""
    return float(np.sum(np.abs(found - true) ** 2) / np.sum(np.abs(true) ** 2))


def quiet(function):
    """Return a function that does not warn: peers do not always converge."""

    def silent(argument):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(argument)

    return silent


def regression(bench, group, size, target, ours, peer):
    """Add the row of two regressors on sparse problems."""
    n, p, k = size
    workload = f"{n} x {p}, {k} non-zeros"
    if not bench.wants(group, workload, p):
        return
    repetitions = 5 if p <= 2000 else 2
    problems = [
        make_sparse_recovery(n, p, n_nonzero=k, random_state=seed)
        for seed in range(repetitions)
    ]

    def fitted(make):
        return quiet(lambda problem: (make().fit(*problem[:2]).coef_, problem[2]))

    bench.compare(
        group,
        workload,
        fitted(ours),
        fitted(peer),
        problems,
        quality=lambda pair: nmse(*pair),
        target=target,
        headline=size == (1000, 5000, 40) and group in ("ard", "lasso"),
    )


def relevance(bench, n, target):
    """Add the row of the relevance vector machines."""
    if not bench.wants("rvr", str(n), n):
        return

    def problem(seed):
        rng = np.random.RandomState(seed)
        X = rng.uniform(-5, 5, (n, 2))
        clean = np.sinc(X / np.pi).prod(axis=1)
        return X, clean + 0.1 * rng.standard_normal(n), clean

    def fitted(make):
        def run(data):
            X, y, clean = data
            return np.sqrt(np.mean((make().fit(X, y).predict(X) - clean) ** 2))

        return quiet(run)

    bench.compare(
        "rvr",
        str(n),
        fitted(lambda: RVR(gamma=0.5)),
        fitted(lambda: FastRVR(gamma=0.5, fit_intercept=True)),
        [problem(seed) for seed in range(5)],
        quality=float,
        tolerance=0.05,
        target=target,
        headline=n == 2000,
    )


def several_outputs(bench, n, p, k, L, target):
    """Add the row of several outputs."""
    workload = f"{n} x {p} x {L}, {k} non-zeros"
    if not bench.wants("mmv", workload, p):
        return
    problems = [
        make_sparse_recovery(n, p, n_nonzero=k, n_targets=L, random_state=seed)
        for seed in range(3)
    ]

    def peer(problem):
        A, Y, X = problem
        noise = float(np.mean((Y - A @ X) ** 2))
        coef, active = _gamma_map_opt(Y, A, alpha=noise, verbose="ERROR")[:2]
        full = np.zeros_like(X)
        full[active] = coef
        return full, X

    bench.compare(
        "mmv",
        workload,
        lambda problem: (sparse_bayes(*problem[:2]).coef, problem[2]),
        quiet(peer),
        problems,
        quality=lambda pair: nmse(*pair),
        target=target,
    )


def _dense_am(problem, n_iter):
    """Run the alternating minimisation of the paper on the whole dictionary."""
    A = reduce(np.kron, problem.factors)
    y, shape = problem.Y.ravel(), problem.coef.shape
    level = np.mean(y**2) / np.mean(np.sum(A**2, axis=1))
    factors = [np.full(size, level ** (1 / len(shape))) for size in shape]
    for _ in range(n_iter + 1):
        gamma = reduce(np.kron, factors)
        AG = A * gamma
        C = AG @ A.T
        C[np.diag_indices(len(y))] += problem.noise_variance
        solved = np.linalg.solve(C, np.column_stack([y, AG]))
        mean = AG.T @ solved[:, 0]
        covariance = np.diag(gamma) - AG.T @ solved[:, 1:]
        fit = y @ solved[:, 0] + np.linalg.slogdet(C)[1]
        evidence = -0.5 * (fit + len(y) * np.log(2 * np.pi))
        moments = (mean**2 + covariance.diagonal()).reshape(shape)
        for _ in range(100):
            before = reduce(np.kron, factors)
            for i in range(len(shape)):
                axes = [j for j in range(len(shape)) if j != i]
                scaled = moments
                for j in axes:
                    factor = 1 / factors[j]
                    scaled = scaled * factor.reshape(
                        [-1 if a == j else 1 for a in range(len(shape))]
                    )
                factors[i] = scaled.mean(axis=tuple(axes))
            after = reduce(np.kron, factors)
            if np.abs(after - before).max() < 1e-6 * after.max():
                break
    return evidence


def kronecker(bench, size, target):
    """Add the row of dense matrices."""
    workload = f"{size}^3 unknowns"
    if not bench.wants("kronecker", workload):
        return
    problem = make_kronecker_sparse(
        (8, 12, 15), (size,) * 3, kronecker_valued=False, random_state=0
    )
    # As many iterations on either side, none dropped: the same numbers. Standardised
    # columns change where it starts, so the peer gets them too.
    factors = [A / np.linalg.norm(A, axis=0) for A in problem.factors]
    problem = problem._replace(factors=factors)

    def ours(n_iter):
        return kron_sparse_bayes(
            factors,
            problem.Y,
            m_step="am",
            noise_variance=problem.noise_variance,
            max_iter=n_iter,
            tol=0.0,
            prune_tol=0.0,
        ).log_evidence

    bench.compare(
        "kronecker",
        workload,
        ours,
        lambda n_iter: _dense_am(problem, n_iter),
        [3],
        quality=lambda evidence: -evidence,
        tolerance=1e-6,
        same=lambda evidence: round(evidence, 2),
        target=target,
        headline=True,
    )


def _medians(problems, solve):
    """Return seconds and errors of a solver on problems."""
    seconds, errors = [], []
    with threadpool_limits(1):
        for problem in problems:
            start = time.thread_time()
            error = solve(problem)
            seconds.append(time.thread_time() - start)
            errors.append(error)
    return statistics.median(seconds), np.array(errors)


def grid(bench, name):
    """Add a row of the paper's grid."""
    params, reference = GRID[name]
    if not bench.wants("grid", name):
        return

    def solve(problem):
        found = kron_sparse_bayes(
            problem.factors,
            problem.Y,
            noise_variance=problem.noise_variance,
            max_iter=150,
        )
        return nmse(found.coef, problem.coef)

    problems = (make_kronecker_sparse(random_state=i, **params) for i in range(100))
    seconds, errors = _medians(problems, solve)
    draws = np.random.RandomState(0).choice(errors, (2000, len(errors)))
    lower = np.quantile(np.median(draws, axis=1), 0.025)
    bench.add(
        "grid",
        name,
        seconds,
        quality_ours=float(np.median(errors)),
        quality_peer=reference,
        passed=bool(lower <= reference),
    )


def _along(tensor, matrices):
    """Multiply a tensor by a matrix along each mode."""
    for i, matrix in enumerate(matrices):
        tensor = np.moveaxis(np.tensordot(matrix, tensor, axes=(1, i)), 0, i)
    return tensor


def _svd_algorithm(problem):
    """Recover coefficients as He and Joseph do: variances by singular vectors."""
    noise = problem.noise_variance
    active = [np.arange(A.shape[1]) for A in problem.factors]
    margins = [np.ones(A.shape[1]) for A in problem.factors]
    for _ in range(150):
        factors = [A[:, a] for A, a in zip(problem.factors, active, strict=True)]
        gamma = reduce(np.multiply.outer, margins)
        pairs = [
            np.linalg.eigh((A * u) @ A.T) for A, u in zip(factors, margins, strict=True)
        ]
        D = 1 / (noise + reduce(np.multiply.outer, [P for P, _ in pairs]))
        Z = D * _along(problem.Y.reshape(D.shape), [U.T for _, U in pairs])
        W = [A.T @ U for A, (_, U) in zip(factors, pairs, strict=True)]
        mean = gamma * _along(Z, W)
        rest = mean**2 + gamma - gamma**2 * _along(D, [w**2 for w in W])
        margins = []
        while rest.ndim > 1:
            left, size, right = np.linalg.svd(
                rest.reshape(len(rest), -1), full_matrices=False
            )
            margins.append(np.abs(left[:, 0]))
            rest = (size[0] * np.abs(right[0])).reshape(rest.shape[1:])
        margins.append(rest)
        change = np.linalg.norm(reduce(np.multiply.outer, margins) - gamma)
        coef = np.zeros([A.shape[1] for A in problem.factors])
        coef[np.ix_(*active)] = mean
        if change < 1e-4 * np.linalg.norm(gamma):
            break
        keeps = [u >= 1e-3 * u.max() for u in margins]
        active = [a[keep] for a, keep in zip(active, keeps, strict=True)]
        margins = [u[keep] for u, keep in zip(margins, keeps, strict=True)]
    return coef


def paired(bench, name):
    """Add a row of the paper's grid, with its algorithm on the same problems."""
    if not bench.wants("paired", name):
        return
    problems = [
        make_kronecker_sparse(random_state=i, **GRID[name][0]) for i in range(40)
    ]

    def ours(problem):
        found = kron_sparse_bayes(
            problem.factors, problem.Y, noise_variance=problem.noise_variance
        )
        return nmse(found.coef, problem.coef)

    seconds, errors = _medians(problems, ours)
    theirs, peer_errors = _medians(
        problems, lambda problem: nmse(_svd_algorithm(problem), problem.coef)
    )
    bench.add(
        "paired",
        name,
        seconds,
        theirs,
        quality_ours=float(np.median(errors)),
        quality_peer=float(np.median(peer_errors)),
        passed=bool(np.median(errors) <= 1.02 * np.median(peer_errors)),
    )


def channel(bench, snr_db, reference):
    """Add a row of channel estimation."""
    workload = f"{snr_db} dB"
    if not bench.wants("channel", workload):
        return

    def solve(made):
        problem, steering = made
        found = kron_sparse_bayes(problem.factors, problem.Y, coupling=(0.8, 0, 0.8))
        # A product with orthonormal factors of the same inner products.
        roots = [np.linalg.qr(A)[1] for A in steering]

        def channel(coef):
            for i, R in enumerate(roots):
                coef = np.moveaxis(np.tensordot(R, coef, axes=(1, i)), 0, i)
            return coef

        return nmse(channel(found.coef), channel(problem.coef))

    problems = [make_irs_channel(snr_db=snr_db, random_state=i) for i in range(25)]
    seconds, errors = _medians(problems, solve)
    bench.add(
        "channel",
        workload,
        seconds,
        quality_ours=float(np.median(errors)),
        quality_peer=reference,
        passed=bool(np.median(errors) <= reference),
    )


def compressible(bench, name, peer):
    """Add a row of the electrocardiogram."""
    if not bench.wants("compressible", name):
        return
    signal = pywt.data.ecg().astype(float)
    signal = (signal - signal.mean()) / signal.std()
    basis = idct(np.eye(256), axis=0, norm="ortho")

    def recovered(make):
        def run(draw):
            error = 0.0
            for block, values in enumerate(signal.reshape(-1, 256)):
                rng = np.random.default_rng(4 * draw + block)
                A = rng.standard_normal((128, 256)) / np.sqrt(128)
                coef = make(fit_intercept=False).fit(A @ basis, A @ values).coef_
                error += np.sum((basis @ coef - values) ** 2)
            return error / np.sum(signal**2)

        return quiet(run)

    bench.compare(
        "compressible",
        name,
        recovered(lambda **params: SparseBayesRegressor("em", **params)),
        recovered(peer),
        list(range(4)),
        quality=float,
    )


def large(bench):
    """Add the rows of problems that other packages cannot hold."""

    def add(workload, fitted, problem, limit):
        seconds, errors = _medians([problem], fitted)
        used = peak_memory(fitted, problem)
        bench.add(
            "scale",
            workload,
            seconds,
            quality_ours=float(errors[0]),
            memory_ours=used,
            memory_peer=limit,
            passed=used <= limit,
        )

    workload = "1000 x 100000, 40 non-zeros"
    if bench.wants("scale", workload, 100_000):
        add(
            workload,
            lambda data: nmse(SparseBayesRegressor().fit(*data[:2]).coef_, data[2]),
            make_sparse_recovery(1000, 100_000, n_nonzero=40, random_state=0),
            8e-6 * 100_000 * (3 * 40 + 20),
        )
    workload = "Kronecker, 100^3 from 210 000"
    if bench.wants("scale", workload, 1_000_000):
        add(
            workload,
            lambda problem: nmse(
                kron_sparse_bayes(problem.factors, problem.Y).coef, problem.coef
            ),
            make_kronecker_sparse(
                (60, 50, 70),
                (100, 100, 100),
                n_nonzero=5,
                kronecker_valued=False,
                snr_db=20,
                random_state=0,
            ),
            190.0,
        )


def main(argv=None):
    """Run the rows that the command line selects, print and return them."""
    bench = Bench(argv, GROUPS, PEERS)
    for size, target in REGRESSION.items():
        regression(bench, "ard", size, target, SparseBayesRegressor, ARDRegression)
    for size, target in STARTS.items():
        regression(
            bench,
            "starts",
            size,
            target,
            lambda: SparseBayesRegressor(n_noise_starts=4),
            ARDRegression,
        )
    regression(bench, "lasso", (500, 2000, 25), None, SparseBayesRegressor, LassoCV)
    regression(bench, "lasso", (1000, 5000, 40), 30, SparseBayesRegressor, LassoCV)
    for n, target in ((500, None), (1000, None), (2000, 2)):
        relevance(bench, n, target)
    several_outputs(bench, 60, 400, 20, 10, None)
    several_outputs(bench, 100, 2000, 25, 20, 50)
    kronecker(bench, 15, 600)
    for name in GRID:
        grid(bench, name)
        paired(bench, name)
    for snr_db, reference in CHANNEL.items():
        channel(bench, snr_db, reference)
    compressible(bench, "ARDRegression", ARDRegression)
    compressible(bench, "LassoCV", LassoCV)
    large(bench)
    return bench.finish()


if __name__ == "__main__":
    script(main)
