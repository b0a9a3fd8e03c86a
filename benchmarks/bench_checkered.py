"""Checkered regression against scikit-learn's classifiers."""

import warnings

import numpy as np
from harness import Bench, Group, script, timed
from sklearn._loss import HalfBinomialLoss
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model._linear_loss import LinearModelLoss
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import scale
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from skalgos.datasets import make_checkered
from skalgos.linear_model import CheckeredClassifier

PEERS = ()
TOLERANCE = 1e-6

GROUPS = {
    "logistic": Group(
        "One hyperplane, n x d",
        "CheckeredClassifier(1) against LogisticRegression(solver='newton-cholesky'), "
        "fits at default tolerances. CPU time of one thread. The penalised mean loss "
        "must be the peer's, or lower.",
        peer="LogisticRegression",
    ),
    "loss": Group(
        "Loss and gradient, n x d and m",
        "One evaluation, against that of scikit-learn's LinearModelLoss for logistic "
        "regression, which has one hyperplane. CPU time of one thread. With a ratio of "
        "1 / m each hyperplane takes as long.",
        peer="one hyperplane",
        unit="µs",
    ),
    "boards": Group(
        "Learning boards: fit",
        "CheckeredClassifier(m, C=1e4 / n) against scikit-learn's classifiers on the "
        "same samples, a new board for every repetition; grids are turned by 30 "
        "degrees. CPU time of one thread; the loss is the error on 4000 new samples, "
        "which must not exceed the peer's.",
    ),
    "descent": Group(
        "Time for a success on a board of four lines",
        "CPU time of one thread over the share of fits that err on less than 4% of new "
        "samples, against gradient descent (solver='xgd') from one random start for "
        "2000 steps.",
        peer="descent",
    ),
    "classes": Group(
        "Many classes: fit, n x d, m = 2",
        "CPU time of one thread; the loss is the error on 2000 new samples.",
    ),
    "predict": Group(
        "Probabilities, n x d",
        "predict_proba with four hyperplanes, against LogisticRegression, which has "
        "one, and what is left of its time without the product of matrices, which "
        "should be 8 ns for each sample and hyperplane. CPU time of one thread.",
        peer="LogisticRegression",
    ),
}


def quietly(function):
    """Return the function without warnings of convergence."""

    def run(argument):
        with warnings.catch_warnings():
            # Peers are timed as they are set, settled or not.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return function(argument)

    return run


def objective(model, X, y, C=1.0):
    """Return the penalised mean loss of a linear model."""
    z = model.decision_function(X) * (2 * y - 1)
    penalty = 0.5 * np.sum(model.coef_**2) / (C * len(y))
    return float(np.logaddexp(0, -z).mean() + penalty)


def logistic(bench):
    """Add the rows of one hyperplane."""
    sets = {"breast cancer": load_breast_cancer(return_X_y=True)}
    for n, d in ((1000, 10), (20000, 20), (100000, 20)):
        sets[f"{n} x {d}"] = make_classification(n, d, random_state=0)
    targets = {"breast cancer": 2.0, "1000 x 10": 2.0}
    for name, (X, y) in sets.items():
        if not bench.wants("logistic", name, len(y)):
            continue
        X = scale(X)

        bench.compare(
            "logistic",
            name,
            lambda _, X=X, y=y: (CheckeredClassifier(1).fit(X, y), X, y),
            lambda _, X=X, y=y: (
                LogisticRegression(solver="newton-cholesky").fit(X, y),
                X,
                y,
            ),
            [0] * 7,
            quality=lambda result: objective(*result),
            tolerance=TOLERANCE,
            target=targets.get(name, 1.0),
            calls=10 if len(y) < 5000 else 1,
        )


def losses(bench):
    """Add the rows of single evaluations."""
    from skalgos.linear_model._checkered.objectives import BinaryObjective, Design

    for n, d, m, target in ((2000, 2, 4, 1 / 1.2), (100000, 50, 4, 1 / 2.4)):
        name = f"{n} x {d}, {m}"
        if not bench.wants("loss", name, n):
            continue
        rng = np.random.RandomState(0)
        X = rng.standard_normal((n, d))
        y = (rng.uniform(size=n) < 0.5).astype(float)
        weights = np.full(n, 1 / n)
        design = Design(X, np.zeros(d), np.ones(d), True)
        ours = BinaryObjective(design, 2 * y - 1, weights, 1e-4, (m,))
        theirs = LinearModelLoss(HalfBinomialLoss(), fit_intercept=True)
        thetas = [rng.standard_normal((m, d + 1)) for _ in range(7)]
        # Exactly one hyperplane on both sides is the same loss.
        one = BinaryObjective(design, 2 * y - 1, weights, 1e-4, (1,))
        value = theirs.loss(thetas[0][0], X, y, weights, 1e-4)
        assert np.isclose(one(thetas[0][:1])[0][0], value, rtol=1e-10)
        bench.compare(
            "loss",
            name,
            lambda theta, f=ours: f(theta.reshape(1, -1)),
            lambda theta, f=theirs, X=X, y=y, w=weights: f.loss_gradient(
                theta[0], X, y, w, 1e-4
            ),
            thetas,
            quality=lambda result: 0.0,
            calls=200 if n < 5000 else 3,
            target=target,
        )


def peers():
    """Return the classifiers to compare with, and how they like their data."""
    return {
        "LogisticRegression": lambda: LogisticRegression(C=100),
        "SVC": lambda: SVC(C=100, gamma=2),
        "MLP": lambda: MLPClassifier(100, max_iter=500, random_state=0),
        "HistGradientBoosting": lambda: HistGradientBoostingClassifier(random_state=0),
    }


def board(m, n, d, seed):
    """Return training and test data: a turned grid in the plane, else random."""
    layout = {"angle": 30} if d == 2 else {"layout": "random"}
    X, y = make_checkered(n + 4000, d, n_hyperplanes=m, random_state=seed, **layout)
    X = (X - X[:n].mean(axis=0)) / X[:n].std(axis=0)
    return X[:n], y[:n], X[n:], y[n:]


def boards(bench):
    """Add the rows of boards."""
    targets = {
        (4, 2000, 2, "HistGradientBoosting"): 6.0,
        (4, 2000, 2, "MLP"): 80.0,
        (3, 100000, 20, "HistGradientBoosting"): 5.0,
    }
    cases = [(4, 2000, 2), (6, 2000, 2), (3, 5000, 20), (3, 100000, 20)]
    for m, n, d in cases:
        for name, make in peers().items():
            workload = f"m={m}, {n} x {d}, {name}"
            large = n > 5000 and name in ("SVC", "MLP")
            if large or not bench.wants("boards", workload, n):
                continue
            inputs = [board(m, n, d, seed) for seed in range(5 if n < 5000 else 3)]

            def error(result):
                model, data = result
                return 1 - model.score(data[2], data[3])

            def ours(data, m=m, n=n):
                model = CheckeredClassifier(m, C=1e4 / n, random_state=0)
                return model.fit(*data[:2]), data

            def theirs(data, make=make):
                return make().fit(*data[:2]), data

            bench.compare(
                "boards",
                workload,
                ours,
                quietly(theirs),
                inputs,
                quality=error,
                target=targets.get((m, n, d, name)),
                headline=(m, n, d, name) in targets,
            )


def descent(bench):
    """Add the row of descent from random starts."""
    if not bench.wants("descent", "m=4", 2000):
        return
    inputs = [board(4, 2000, 2, seed) for seed in range(20)]
    sides = {
        "ours": CheckeredClassifier(4, C=5, random_state=0),
        "peer": CheckeredClassifier(
            4,
            C=5,
            solver="xgd",
            init="random",
            n_init=1,
            max_iter=2000,
            prune=False,
            random_state=0,
        ),
    }
    cost = {}
    with threadpool_limits(1):
        for name, model in sides.items():
            quietly(lambda data, model=model: model.fit(*data[:2]))(inputs[0])
            total, good = 0.0, 0
            for data in inputs:
                seconds, fitted = timed(
                    quietly(lambda data, model=model: model.fit(*data[:2])), data
                )
                total += seconds
                good += fitted.score(*data[2:]) >= 0.96
            # At most one success in that many, where there is none.
            cost[name] = total / max(good, 1), 1 - good / len(inputs)
    bench.add(
        "descent",
        "m=4",
        cost["ours"][0],
        cost["peer"][0],
        target=50.0,
        quality_ours=cost["ours"][1],
        quality_peer=cost["peer"][1],
        passed=cost["ours"][1] <= cost["peer"][1],
    )


def classes(bench):
    """Add the rows of many classes."""
    for K, n, limit in ((3, 2000, None), (4, 2000, None), (5, 3000, 0.2)):
        name = f"K={K}, {n} x 2"
        if not bench.wants("classes", name, n):
            continue
        seconds, errors = [], []
        for seed in range(6):
            X, y = make_checkered(
                n + 2000,
                n_hyperplanes=2,
                n_classes=K,
                layout="random",
                random_state=seed,
            )
            model = CheckeredClassifier(2, C=1e4 / n, random_state=0)
            with threadpool_limits(1):
                elapsed, _ = timed(
                    lambda _, m=model, X=X, y=y, n=n: m.fit(X[:n], y[:n]), 0
                )
            seconds.append(elapsed)
            errors.append(1 - model.score(X[n:], y[n:]))
        bench.add(
            "classes",
            name,
            float(np.median(seconds)),
            limit=limit,
            quality_ours=float(np.mean(errors)),
        )


def predictions(bench):
    """Add the row of probabilities."""
    n, d, m = 100000, 20, 4
    if not bench.wants("predict", f"{n} x {d}", n):
        return
    X, y = make_checkered(n, d, n_hyperplanes=m, layout="random", random_state=0)
    ours = CheckeredClassifier(m, init="random", n_init=1, max_iter=1, random_state=0)
    quietly(lambda _: ours.fit(X[:2000], y[:2000]))(0)
    theirs = LogisticRegression().fit(X[:2000], y[:2000])
    bench.compare(
        "predict",
        f"{n} x {d}",
        ours.predict_proba,
        theirs.predict_proba,
        [X] * 5,
        quality=lambda p: float(np.abs(p.sum(axis=1) - 1).max() > 1e-12),
    )
    parts = {"whole": ours.predict_proba, "product": lambda X: X @ ours.coef_.T}
    with threadpool_limits(1):
        seconds = {
            name: np.median([timed(part, X)[0] for _ in range(7)])
            for name, part in parts.items()
        }
    rest = float(seconds["whole"] - seconds["product"])
    bench.add("predict", f"{n} x {d}, rest", rest, limit=8e-9 * n * m)


def main(argv):
    """Run the benchmark and return its rows."""
    bench = Bench(argv, GROUPS, PEERS)
    for part in (logistic, losses, boards, descent, classes, predictions):
        part(bench)
    return bench.finish()


if __name__ == "__main__":
    script(main)
