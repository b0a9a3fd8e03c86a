"""NGBoost against ngboost, CatBoost and scikit-learn's histogram boosting."""

import tempfile
import warnings
from functools import lru_cache

import numpy as np
from catboost import CatBoostRegressor
from harness import Bench, Group, child_cpu, script
from ngboost import NGBRegressor
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
    "startup": Group(
        "Start-up",
        "CPU time of a fresh interpreter, less that of one that only imports "
        "scikit-learn's ensembles.",
    ),
}
FIT = {
    (500, 10, 500): 60,
    (2_000, 10, 200): 85,
    (10_000, 10, 50): 130,
    (10_000, 50, 20): 190,
    (100_000, 10, 10): 220,
}
CATBOOST = {(500, 10): 3, (2_000, 10): 3, (10_000, 10): 3, (100_000, 10): 3}
HGB = {(2_000, 10): 1 / 1.4, (10_000, 10): 1 / 1.4, (100_000, 10): 1 / 1.4}
PARITY = {
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
    startup(bench)
    return bench.finish()


if __name__ == "__main__":
    script(main)
