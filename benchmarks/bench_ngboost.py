"""NGBoost against ngboost, CatBoost and scikit-learn's histogram boosting."""

import tempfile
import time
import warnings
from functools import lru_cache

import numpy as np
from catboost import CatBoostRegressor
from harness import Bench, Group, child_cpu, script
from ngboost import NGBRegressor
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    load_wine,
)
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import mean_squared_error

from skalgos.distributions import Normal
from skalgos.ensemble import NGBoostRegressor
from skalgos.metrics import log_score

PEERS = ("ngboost", "catboost")
TOLERANCE = 0.01
_SAME = "Normal distribution, trees of depth 3, equal learning rate and iterations. "
_LOSS = f"The loss is the mean negative log likelihood on 20,000 new rows, at most \
{TOLERANCE:.0%} above the peer's. "
GROUPS = {
    "fit": Group(
        "Fit, n x d, iterations",
        f"{_SAME}All rows in every iteration, learning rate 0.01. {_LOSS}CPU time of "
        "one thread.",
        peer="ngboost",
    ),
    "catboost": Group(
        "Fit, n x d, iterations",
        f"{_SAME}Against CatBoost's RMSEWithUncertainty in one thread, learning rate "
        "0.05, both with the settings of their own otherwise. Wall time.",
        peer="catboost",
    ),
    "hgb": Group(
        "Fit of two parameters against one, n x d, iterations",
        "Against HistGradientBoostingRegressor, which predicts means alone: depth 3, "
        "learning rate 0.05, all rows. The loss is the mean squared error. CPU time of "
        "one thread.",
        peer="scikit-learn",
    ),
    "predict": Group(
        "Prediction of 20,000 rows, iterations",
        "Distributions of new rows by models fitted with equal settings, depth 3. CPU "
        "time of one thread.",
        peer="ngboost",
    ),
    "parity": Group(
        "Equal settings, real data",
        "Mean negative log likelihood on five random fifths of data sets that ship "
        "with scikit-learn: depth 3, all rows, learning rate 0.01, 150 iterations, "
        "before overfitting makes ngboost differ from itself with another seed. A row "
        "passes if the two differ by at most 0.02.",
        peer="ngboost",
    ),
    "defaults": Group(
        "Defaults of both, real data",
        "The same with the defaults of both packages. A row passes if ours is lower.",
        peer="ngboost",
    ),
    "smooth": Group(
        "Defaults, a smooth target, n x d",
        "Against CatBoost's RMSEWithUncertainty, depth 3, learning rate 0.05, 500 "
        "iterations, on data drawn from a smooth function. A row passes if ours is not "
        "higher.",
        peer="catboost",
    ),
    "startup": Group(
        "Start-up",
        "CPU time of a fresh interpreter, less that of one that only imports "
        "scikit-learn's ensembles.",
    ),
}
FIT = {
    (500, 10, 500): 60,
    (2_000, 10, 200): 85,
    (10_000, 10, 150): 130,
    (10_000, 50, 60): 190,
    (100_000, 10, 30): 220,
}
CATBOOST = {(500, 10): 3, (2_000, 10): 3, (10_000, 10): 3, (100_000, 10): 3}
HGB = {(2_000, 10): 1 / 1.4, (10_000, 10): 1 / 1.4, (100_000, 10): 1 / 1.4}
PARITY = {
    "spread_rate": 1.0,
    "line_search": True,
    "max_depth": 3,
    "max_leaf_nodes": 8,
    "min_samples_leaf": 1,
    "subsample": 1.0,
    "early_stopping": False,
}


@lru_cache(maxsize=4)
def problem(n, d, seed):
    """Draw features, and values whose mean and spread depend on them."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(size=(n, d))
    mean = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2
    mean += 10 * X[:, 3] + 5 * X[:, 4]
    scale = np.exp(-0.5 + 2 * X[:, 5] * X[:, 0])
    return X, mean + scale * rng.normal(size=n)


def seeds(n, slow=False):
    return range(1 if slow or n > 20_000 else 3)


def ours(n, d, **params):
    def fit(seed):
        model = NGBoostRegressor(**{**PARITY, **params}, random_state=0)
        return model.fit(*problem(n, d, seed))

    return fit


def nll(model):
    """Return the loss on new rows."""
    X, y = problem(20_000, model.n_features_in_, 1_000)
    return log_score(y, model.predict_dist(X))


def any_nll(fitted):
    """Return the loss of a model of ours or of a peer."""
    if isinstance(fitted, NGBoostRegressor):
        return nll(fitted)
    d = fitted.n_features if isinstance(fitted, NGBRegressor) else fitted.n_features_in_
    X, y = problem(20_000, d, 1_000)
    if isinstance(fitted, NGBRegressor):
        loc, scale = (fitted.pred_dist(X).params[name] for name in ("loc", "scale"))
    else:
        loc, variance = fitted.predict(X).T
        scale = np.sqrt(variance)
    return log_score(y, Normal()(loc=loc, scale=scale))


def fits(bench):
    """Compare fits with ngboost at its own learning rate."""
    for (n, d, iterations), target in FIT.items():
        workload = f"{n:,} x {d}, {iterations}"
        if not bench.wants("fit", workload, n):
            continue

        def peer(seed, n=n, d=d, iterations=iterations):
            model = NGBRegressor(
                n_estimators=iterations, learning_rate=0.01, verbose=False
            )
            return model.fit(*problem(n, d, seed))

        bench.compare(
            "fit",
            workload,
            ours(n, d, n_estimators=iterations, learning_rate=0.01),
            peer,
            seeds(n, slow=n > 5_000),
            quality=any_nll,
            tolerance=TOLERANCE,
            target=target,
            headline=n == 10_000 and d == 10,
        )


def against_catboost(bench):
    """Compare fits with CatBoost's normal distribution."""
    for (n, d), target in CATBOOST.items():
        workload = f"{n:,} x {d}, 500"
        if not bench.wants("catboost", workload, n):
            continue

        def peer(seed, n=n, d=d):
            return catboost_fit(n, d, seed)

        # CatBoost's symmetric trees overfit less at so many iterations: no check.
        bench.compare(
            "catboost",
            workload,
            ours(n, d, n_estimators=500),
            peer,
            seeds(n),
            quality=any_nll,
            tolerance=np.inf,
            wall=True,
            target=target,
        )


def against_hgb(bench):
    """Compare the fit of two parameters with that of a mean."""
    for (n, d), target in HGB.items():
        workload = f"{n:,} x {d}, 500"
        if not bench.wants("hgb", workload, n):
            continue

        def peer(seed, n=n, d=d):
            model = HistGradientBoostingRegressor(
                max_iter=500, learning_rate=0.05, max_depth=3, early_stopping=False
            )
            return model.fit(*problem(n, d, seed))

        def error(model, d=d):
            X, y = problem(20_000, d, 1_000)
            return mean_squared_error(y, model.predict(X))

        bench.compare(
            "hgb",
            workload,
            ours(n, d, n_estimators=500),
            peer,
            seeds(n),
            quality=error,
            tolerance=0.1,
            target=target,
        )


def predictions(bench):
    """Compare the predictions of 20,000 rows."""
    workload = "500"
    if not bench.wants("predict", workload, 2_000):
        return
    X, y = problem(500, 10, 0)
    model = ours(500, 10, n_estimators=500, learning_rate=0.01)(0)
    peer = NGBRegressor(n_estimators=500, learning_rate=0.01, verbose=False).fit(X, y)
    X, y = problem(20_000, 10, 1_000)

    def peer_theta(_):
        params = peer.pred_dist(X).params
        return Normal()(loc=params["loc"], scale=params["scale"])

    bench.compare(
        "predict",
        workload,
        lambda _: model.predict_dist(X),
        peer_theta,
        range(3),
        quality=lambda dist: log_score(y, dist),
        tolerance=TOLERANCE,
        target=50,
    )


def real_problems():
    """Return regression problems of real data: name, features, target."""
    diabetes, wine = load_diabetes(), load_wine()
    cancer, iris = load_breast_cancer(), load_iris()
    return {
        "diabetes, progression": (diabetes.data, diabetes.target),
        "wine, alcohol": (wine.data[:, 1:], wine.data[:, 0]),
        "breast cancer, texture": (np.delete(cancer.data, 1, 1), cancer.data[:, 1]),
        "breast cancer, smoothness": (np.delete(cancer.data, 4, 1), cancer.data[:, 4]),
        "iris, petal width": (iris.data[:, :3], iris.data[:, 3]),
    }


def split_losses(fit, X, y, splits=5):
    """Return the seconds of fits to four fifths, and the mean loss on the rest."""
    seconds, losses = 0.0, []
    for seed in range(splits):
        order = np.random.RandomState(seed).permutation(len(y))
        cut = len(y) // 5
        test, train = order[:cut], order[cut:]
        start = time.process_time()
        model = fit(X[train], y[train])
        seconds += time.process_time() - start
        if isinstance(model, NGBRegressor):
            params = model.pred_dist(X[test]).params
            dist = Normal()(loc=params["loc"], scale=params["scale"])
        else:
            dist = model.predict_dist(X[test])
        losses.append(log_score(y[test], dist))
    return seconds / splits, float(np.mean(losses))


def real_data(bench):
    """Compare losses with ngboost on real data, at equal settings and at defaults."""
    equal = {**PARITY, "learning_rate": 0.01, "n_estimators": 150}
    for name, (X, y) in real_problems().items():
        for group, params in (("parity", equal), ("defaults", {})):
            if not bench.wants(group, name, len(y)):
                continue
            # The first fit compiles, or loads what was compiled.
            NGBoostRegressor(n_estimators=1, early_stopping=False).fit(X, y)
            ours_is = split_losses(NGBoostRegressor(**params, random_state=0).fit, X, y)
            peer = NGBRegressor(verbose=False, random_state=0)
            if group == "parity":
                peer.set_params(n_estimators=150)
            peer_is = split_losses(peer.fit, X, y)
            gap = ours_is[1] - peer_is[1]
            bench.add(
                group,
                name,
                ours_is[0],
                peer_is[0],
                quality_ours=ours_is[1],
                quality_peer=peer_is[1],
                passed=bool(abs(gap) <= 0.02 if group == "parity" else gap < 0),
            )


def smooth(bench):
    """Compare our defaults with CatBoost where it is at home."""
    for n in (2_000, 10_000):
        workload = f"{n:,} x 10"
        if not bench.wants("smooth", workload, n):
            continue

        def peer(seed, n=n):
            return catboost_fit(n, 10, seed)

        bench.compare(
            "smooth",
            workload,
            lambda seed, n=n: NGBoostRegressor(random_state=0).fit(
                *problem(n, 10, seed)
            ),
            peer,
            seeds(n),
            quality=any_nll,
            wall=True,
        )


def catboost_fit(n, d, seed):
    """Fit CatBoost's normal distribution."""
    model = CatBoostRegressor(
        iterations=500,
        learning_rate=0.05,
        depth=3,
        loss_function="RMSEWithUncertainty",
        thread_count=1,
        verbose=False,
        allow_writing_files=False,
    )
    return model.fit(*problem(n, d, seed))


def startup(bench):
    """Time the first fit of a process, compiled before or not."""
    if not bench.wants("startup", "first fit"):
        return
    imports = "import numpy as np; from sklearn.ensemble import *;"
    fit = (
        "from skalgos.ensemble import NGBoostRegressor; X = np.eye(60);"
        "NGBoostRegressor(n_estimators=2).fit(X, np.arange(60.0)).predict(X)"
    )
    base = child_cpu(imports)
    with tempfile.TemporaryDirectory() as cache:
        cold = child_cpu(imports + fit, {"NUMBA_CACHE_DIR": cache})
        warm = child_cpu(imports + fit, {"NUMBA_CACHE_DIR": cache})
    bench.add("startup", "first fit, not compiled", cold - base, limit=20)
    bench.add("startup", "first fit, compiled before", warm - base, limit=0.5)


def main(argv=None):
    """Run the rows that the command line selects, print and return them."""
    # ngboost makes a column of y.
    warnings.simplefilter("ignore", DataConversionWarning)
    bench = Bench(argv, GROUPS, PEERS)
    fits(bench)
    against_catboost(bench)
    against_hgb(bench)
    predictions(bench)
    real_data(bench)
    smooth(bench)
    startup(bench)
    return bench.finish()


if __name__ == "__main__":
    script(main)
