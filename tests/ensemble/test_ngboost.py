"""The estimators: what they learn, what they promise, what they refuse."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.linear_model import LinearRegression
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score

from skalgos.distributions import (
    Distribution,
    MultivariateNormal,
    Normal,
    StudentT,
)
from skalgos.ensemble import (
    NGBoostClassifier,
    NGBoostRegressor,
    NGBoostSurvivalRegressor,
)
from skalgos.ensemble._ngboost import boosting
from skalgos.ensemble._ngboost.kernels import draw_features, draw_rows
from skalgos.ensemble._ngboost.normal_kernels import LEFT_TO_PYTHON
from skalgos.metrics import (
    concordance_index,
    crps_score,
    interval_coverage,
    log_score,
    neg_log_score_scorer,
)


def heteroscedastic(n, seed):
    rng = np.random.RandomState(seed)
    X = rng.uniform(size=(n, 3))
    scale = np.exp(2 * X[:, 1] - 1)
    return X, 4 * X[:, 0] + scale * rng.normal(size=n), scale


QUICK = {"n_estimators": 60, "early_stopping": False, "random_state": 0}


# ---- what is learned -----------------------------------------------------------------
def test_location_and_scale_are_found():
    X_fit, y_fit, _ = heteroscedastic(4000, 0)
    model = NGBoostRegressor(random_state=0).fit(X_fit, y_fit)
    X, y, scale = heteroscedastic(4000, 1)
    dist = model.predict_dist(X)
    truth = Normal()(loc=4 * X[:, 0], scale=scale)
    # Between the truth and a reference: boosting for the mean, then for the logarithms
    # of the squared residuals of rows left out, of which that of chi^2 has this mean.
    plain = HistGradientBoostingRegressor(learning_rate=0.05, early_stopping=True)
    left_out = cross_val_predict(plain, X_fit, y_fit)
    log_square = np.log((y_fit - left_out) ** 2) + np.log(2) + np.euler_gamma
    log_scale = clone(plain).fit(X_fit, log_square).predict(X) / 2
    reference = Normal()(
        loc=plain.fit(X_fit, y_fit).predict(X), scale=np.exp(log_scale)
    )
    # The truth may lose by chance: three standard errors.
    ahead = truth.nll(y) - dist.nll(y)
    assert ahead.mean() < 3 * ahead.std() / np.sqrt(4000)
    assert log_score(y, dist) < log_score(y, reference)
    known = r2_score(np.log(scale), log_scale)
    assert r2_score(np.log(scale), np.log(dist.std())) > known
    # 4000 rows: three standard errors of a share of 0.9.
    assert abs(interval_coverage(y, model.predict_interval(X)) - 0.9) < 0.02


@pytest.mark.parametrize(
    "distribution, draw",
    [
        ("laplace", lambda rng, m: rng.laplace(m, 1)),
        ("student_t", lambda rng, m: m + rng.standard_t(4, len(m))),
        (StudentT(df=4), lambda rng, m: m + rng.standard_t(4, len(m))),
        ("logistic", lambda rng, m: rng.logistic(m, 1)),
        ("gumbel", lambda rng, m: rng.gumbel(m, 1)),
        ("lognormal", lambda rng, m: rng.lognormal(m, 0.5)),
        ("gamma", lambda rng, m: rng.gamma(3, np.exp(m) / 3)),
        ("exponential", lambda rng, m: rng.exponential(np.exp(m))),
        ("weibull", lambda rng, m: np.exp(m) * rng.weibull(2, len(m))),
        ("half_normal", lambda rng, m: np.exp(m) * np.abs(rng.normal(size=len(m)))),
        ("beta", lambda rng, m: rng.beta(2 + m, 3)),
        ("poisson", lambda rng, m: rng.poisson(np.exp(m))),
        ("negative_binomial", lambda rng, m: rng.poisson(rng.gamma(2, np.exp(m) / 2))),
        ("zero_inflated_poisson", lambda rng, m: _zeros(rng, rng.poisson(np.exp(m)))),
        (
            "zero_inflated_negative_binomial",
            lambda rng, m: _zeros(rng, rng.poisson(rng.gamma(2, np.exp(m)))),
        ),
        ("hurdle_gamma", lambda rng, m: _zeros(rng, rng.gamma(3, np.exp(m) / 3))),
    ],
)
@pytest.mark.parametrize("rule", ["log", "crps"])
def test_every_family_learns(distribution, draw, rule):
    rng = np.random.RandomState(0)
    X = rng.uniform(size=(600, 3))
    y = draw(rng, 2 * X[:, 0]).astype(float)
    params = {**QUICK, "distribution": distribution, "scoring_rule": rule}
    params |= {"n_estimators": 25, "max_leaf_nodes": 4, "min_samples_leaf": 20}
    if rule == "crps" and distribution in ("beta", "student_t"):
        params["n_estimators"] = 8  # their metrics are quadratures
    model = NGBoostRegressor(**params)
    if rule not in model._family(y[None]).rules:
        with pytest.raises(ValueError, match="not available"):
            model.fit(X, y)
        return
    model.fit(X, y)
    assert model.train_score_[-1] < model.train_score_[0]
    assert np.isfinite(model.predict(X)).all()
    # Better than knowing nothing, on new rows.
    X_new = rng.uniform(size=(2000, 3))
    y_new = draw(rng, 2 * X_new[:, 0]).astype(float)
    family = model.distribution_
    start = np.repeat(model.init_params_[:, None], len(y_new), axis=1)
    before = family.score(start, y_new, rule).mean()
    after = family.score(model.predict_params(X_new).T, y_new, rule).mean()
    assert after < before


def _zeros(rng, y):
    return np.where(rng.uniform(size=len(y)) < 0.3, 0, y)


def test_multivariate_normal_finds_the_correlation():
    rng = np.random.RandomState(0)
    X = rng.uniform(size=(1500, 2))
    rho = np.where(X[:, 0] > 0.5, 0.8, -0.8)
    a, b = rng.normal(size=(2, 1500))
    Y = np.c_[3 * X[:, 1] + a, rho * a + 0.6 * b]
    model = NGBoostRegressor("multivariate_normal", **{**QUICK, "n_estimators": 150})
    dist = model.fit(X, Y).predict_dist(X)
    found = dist.covariance()
    found = found[:, 0, 1] / np.sqrt(found[:, 0, 0] * found[:, 1, 1])
    assert np.corrcoef(found, rho)[0, 1] > 0.95
    assert np.abs(found - rho).mean() < 0.15
    assert model.predict(X).shape == (1500, 2)
    assert r2_score(Y[:, 0], model.predict(X)[:, 0]) > 0.3
    assert dist.marginal(0).std().shape == (1500,)
    assert dist[3].mean().shape == (1, 2)
    draws = dist[0].rvs(20_000, random_state=0)[:, 0]
    np.testing.assert_allclose(np.cov(draws.T), dist[0].covariance()[0], atol=0.1)
    with pytest.raises(ValueError, match="n_outputs"):
        NGBoostRegressor(MultivariateNormal(3), **QUICK).fit(X, Y)


@pytest.mark.parametrize("rule", ["log", "brier"])
def test_classes_of_iris(rule):
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    model = NGBoostClassifier(rule, random_state=0).fit(X[::2], names[::2])
    new, truth = X[1::2], names[1::2]
    plain = HistGradientBoostingClassifier(random_state=0).fit(X[::2], names[::2])
    # Two shares of 75 rows: three standard errors.
    known = plain.score(new, truth)
    assert model.score(new, truth) > known - 3 * np.sqrt(known * (1 - known) / 75)
    expected = log_loss(truth, plain.predict_proba(new))
    assert log_loss(truth, model.predict_proba(new)) < expected
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)


def test_labels_of_any_kind_give_the_same_model():
    X, y = load_breast_cancer(return_X_y=True)
    model = NGBoostClassifier(**QUICK)
    expected = model.fit(X, y).predict_proba(X)
    for labels in (y + 1, np.array(["a", "b"])[y], y.astype(bool)):
        again = clone(model).fit(X, labels)
        np.testing.assert_array_equal(again.predict_proba(X), expected)
        assert set(again.predict(X)) <= set(labels)


# ---- survival ------------------------------------------------------------------------
def survival_data(n, seed):
    rng = np.random.RandomState(seed)
    X = rng.uniform(size=(n, 3))
    time = np.exp(2 * X[:, 0] + (0.2 + X[:, 1]) * rng.normal(size=n))
    end = rng.exponential(8, size=n)
    y = np.empty(n, dtype=[("event", bool), ("time", float)])
    y["event"], y["time"] = time <= end, np.minimum(time, end)
    return X, y, time


@pytest.mark.parametrize("distribution", ["lognormal", "weibull", "exponential"])
def test_survival_sees_censoring(distribution):
    X, y, _ = survival_data(1500, 0)
    assert 0.2 < 1 - y["event"].mean() < 0.5
    model = NGBoostSurvivalRegressor(distribution, random_state=0).fit(X, y)
    X, y, time = survival_data(3000, 1)
    assert model.score(X, y) > 0.7
    # The true times, uncensored: as if censoring were known to carry no news.
    naive = NGBoostRegressor(distribution, random_state=0).fit(X, y["time"])
    X, _, time = survival_data(3000, 2)
    assert log_score(time, model.predict_dist(X)) < log_score(
        time, naive.predict_dist(X)
    )


def test_forms_of_survival_targets_agree():
    X, y, _ = survival_data(300, 0)
    bounds = np.c_[y["time"], np.where(y["event"], y["time"], np.inf)]
    model = NGBoostSurvivalRegressor(**QUICK)
    expected = model.fit(X, y).predict(X)
    np.testing.assert_array_equal(clone(model).fit(X, bounds).predict(X), expected)
    assert model.score(X, y) == model.score(X, bounds)
    survival = model.predict_survival_function(X, [0.0, 1.0, 5.0, 50.0])
    assert survival.shape == (300, 4)
    assert (np.diff(survival) <= 0).all()
    np.testing.assert_allclose(survival[:, 0], 1)


def test_without_censoring_it_is_the_regressor():
    X, _, time = survival_data(300, 0)
    a = NGBoostSurvivalRegressor("lognormal", **QUICK).fit(X, time)
    b = NGBoostRegressor("lognormal", **QUICK).fit(X, time)
    np.testing.assert_allclose(a.predict(X), b.predict(X), rtol=1e-6)


@pytest.mark.parametrize("distribution", ["lognormal", "weibull", "exponential"])
def test_left_and_interval_censoring(distribution):
    X, _, time = survival_data(1200, 0)
    lower, upper = time.copy(), time.copy()
    third = np.arange(len(time)) % 3
    upper[third == 1] = np.ceil(time[third == 1])
    lower[third == 1] = np.floor(time[third == 1])
    early = (third == 2) & (time < 2)
    lower[early], upper[early] = 0, 2
    model = NGBoostSurvivalRegressor(distribution, random_state=0)
    model.fit(X, np.c_[lower, upper])
    known = NGBoostRegressor(distribution, random_state=0).fit(X, time)
    X, _, time = survival_data(2000, 5)
    loss = log_score(time, model.predict_dist(X))
    assert loss < log_score(time, known.predict_dist(X)) + 0.05


def test_late_entry_is_seen():
    X, y, _ = survival_data(3000, 0)
    entry = np.random.RandomState(1).exponential(2, len(y))
    seen = y["time"] > entry
    X, y, entry = X[seen], y[seen], entry[seen]
    late = np.empty(len(y), [("event", bool), ("time", float), ("entry", float)])
    late["event"], late["time"], late["entry"] = y["event"], y["time"], entry
    model = NGBoostSurvivalRegressor(**QUICK).fit(X, late)
    blind = clone(model).fit(X, y)
    X_new, _, time = survival_data(3000, 2)
    found = log_score(time, model.predict_dist(X_new))
    assert found < log_score(time, blind.predict_dist(X_new))
    columns = np.c_[y["time"], np.where(y["event"], y["time"], np.inf), entry]
    again = clone(model).fit(X, columns)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert model.score(X, late) == model.score(X, columns) > 0.6
    with pytest.raises(ValueError, match="scoring_rule='log'"):
        clone(model).set_params(scoring_rule="crps").fit(X, late)
    columns[7, 2] = 1e9
    with pytest.raises(ValueError, match=r"time of entry must be before .* row 7"):
        clone(model).fit(X, columns)


# ---- targets that break things -------------------------------------------------------
@pytest.mark.parametrize("early_stopping", [False, "auto"])
def test_constant_target(early_stopping):
    X = np.random.RandomState(0).normal(size=(80, 2))
    model = NGBoostRegressor(early_stopping=early_stopping, random_state=0)
    with pytest.warns(UserWarning, match="All values of y are the same"):
        model.fit(X, np.full(80, 7.0))
    np.testing.assert_allclose(model.predict(X), 7.0)
    assert np.isfinite(model.predict_dist(X).std()).all()


@pytest.mark.parametrize("distribution", ["normal", "laplace", "student_t"])
@pytest.mark.parametrize("size", [1e6, 1e12])
def test_one_huge_outlier(distribution, size):
    X, y, _ = heteroscedastic(300, 0)
    y[17] = size
    model = NGBoostRegressor(distribution, **{**QUICK, "n_estimators": 300})
    model.fit(X, y)
    assert np.isfinite(model.predict_params(X)).all()
    assert np.isfinite(model.train_score_).all()


def test_separable_classes_for_2000_trees():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(300, 2))
    y = (X[:, 0] > 0).astype(int)
    for rule in ("log", "brier"):
        for subsample in (0.5, 1.0):
            model = NGBoostClassifier(
                rule,
                n_estimators=2000,
                learning_rate=0.3,
                early_stopping=False,
                subsample=subsample,
                random_state=0,
            )
            proba = model.fit(X, y).predict_proba(X)
            assert np.isfinite(np.log(proba)).all()
        # One split of all rows tells the classes apart.
        assert model.score(X, y) == 1


def test_a_fit_without_noise_stays_finite():
    rng = np.random.RandomState(0)
    X = rng.uniform(size=(200, 2))
    model = NGBoostRegressor(
        n_estimators=1500, early_stopping=False, min_samples_leaf=1, learning_rate=0.2
    ).fit(X, np.floor(4 * X[:, 0]))
    assert np.isfinite(model.predict_dist(X).std()).all()
    assert (model.predict_dist(X).std() > 0).all()


@pytest.mark.parametrize("distribution", ["normal", "laplace", "student_t", "gamma"])
@pytest.mark.parametrize("rule", ["log", "crps"])
@pytest.mark.parametrize("factor", [2.0**-40, 1e-12, 1e12])
def test_predictions_scale_with_the_target(distribution, rule, factor):
    X, y, _ = heteroscedastic(200, 0)
    y = np.exp(y / 4) if distribution == "gamma" else y
    model = NGBoostRegressor(
        distribution,
        scoring_rule=rule,
        n_estimators=30,
        early_stopping=False,
        random_state=0,
    )
    expected = clone(model).fit(X, y).predict_dist(X)
    scaled = clone(model).fit(X, factor * y).predict_dist(X)
    np.testing.assert_allclose(scaled.mean(), factor * expected.mean(), rtol=1e-5)
    spread = [dist.ppf(0.9) - dist.ppf(0.1) for dist in (scaled, expected)]
    np.testing.assert_allclose(spread[0], factor * spread[1], rtol=1e-5)


def test_the_training_loss_falls_without_subsampling():
    X, y, _ = heteroscedastic(400, 0)
    model = NGBoostRegressor(n_estimators=200, early_stopping=False, subsample=1.0)
    model.fit(X, y)
    assert (np.diff(model.train_score_) < 0).all()


def test_a_stalled_search_is_rescued(monkeypatch):
    # Deterministic shallow trees: the mean of natural gradients stops descending.
    rescues, rescue = [], boosting.Booster._rescue

    def counted(*args):
        rescues.append(rescue(*args))
        return rescues[-1]

    monkeypatch.setattr(boosting.Booster, "_rescue", counted)
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(1500, 6))
    scale = np.exp(-0.5 + 2 * X[:, 5] * X[:, 0])
    y = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + scale * rng.normal(size=1500)
    model = NGBoostRegressor(
        n_estimators=600, max_depth=2, subsample=1.0, early_stopping=False,
        spread_rate=1.0,
    ).fit(X, y)  # fmt: skip
    assert rescues
    assert all(scale > 0 for _, scale in rescues)
    assert model.n_iter_ == 600
    assert (np.diff(model.train_score_) < 0).all()


def test_steps_are_scaled_as_asked():
    X, y, _ = heteroscedastic(300, 0)
    common = {**QUICK, "n_estimators": 1, "subsample": 1.0}
    change = {}
    for rate in (1.0, 0.25):
        model = NGBoostRegressor(**common, spread_rate=rate, line_search=False)
        change[rate] = model.fit(X, y).predict_params(X) - model.init_params_
    np.testing.assert_allclose(change[0.25], [1.0, 0.25] * change[1.0], rtol=1e-12)
    common["n_estimators"] = 40
    fits = {
        search: NGBoostRegressor(**common, line_search=search).fit(X, y).scales_
        for search in (False, "backtracking", True)
    }
    assert (fits[False] == 1).all()
    assert fits["backtracking"].max() == 1
    assert fits[True].max() > 1


# ---- early stopping, continuation ----------------------------------------------------
@pytest.mark.parametrize("mode", ["cv", "holdout"])
def test_early_stopping_truncates(mode):
    X, y, _ = heteroscedastic(300, 0)
    model = NGBoostRegressor(early_stopping=mode, random_state=0).fit(X, y)
    assert model.early_stopping_ == mode
    assert 0 < model.n_iter_ < 500
    curve = model.validation_score_
    assert curve[model.n_iter_] <= curve.min() + model.tol
    assert len(model.trees_["output"]) == 2 * model.n_iter_
    assert len(model.train_score_) == model.n_iter_ + 1


def test_validation_data_of_ones_own():
    X, y, _ = heteroscedastic(500, 0)
    model = NGBoostRegressor(random_state=0)
    model.fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
    assert model.early_stopping_ == "given"
    found = log_score(y[300:], model.predict_dist(X[300:]))
    np.testing.assert_allclose(found, model.validation_score_[model.n_iter_])
    assert found <= model.validation_score_.min() + model.tol
    with pytest.raises(ValueError, match="X_val and y_val must be passed together"):
        model.fit(X, y, X_val=X)


def test_warm_start_continues_as_if_never_stopped():
    X, y, _ = heteroscedastic(300, 0)
    whole = NGBoostRegressor(**QUICK).fit(X, y)
    parts = NGBoostRegressor(**QUICK, warm_start=True).set_params(n_estimators=25)
    parts.fit(X, y).set_params(n_estimators=60).fit(X, y)
    assert parts.n_iter_ == 60
    np.testing.assert_allclose(parts.predict(X), whole.predict(X), rtol=1e-6)
    np.testing.assert_allclose(parts.train_score_, whole.train_score_, rtol=1e-6)
    with pytest.raises(ValueError, match="n_estimators=10 must be at least the 60"):
        parts.set_params(n_estimators=10).fit(X, y)
    assert parts.n_iter_ == 60


def test_partial_fit_adds_iterations():
    X, y, _ = heteroscedastic(600, 0)
    model = NGBoostRegressor(n_estimators=40, random_state=0)
    model.partial_fit(X[:300], y[:300])
    first = log_score(y[300:], model.predict_dist(X[300:]))
    model.partial_fit(X[300:], y[300:])
    assert model.n_iter_ == 80
    assert log_score(y[300:], model.predict_dist(X[300:])) < first
    X, y = load_iris(return_X_y=True)
    classifier = NGBoostClassifier(n_estimators=20, random_state=0)
    classifier.partial_fit(X[::2], y[::2], classes=[0, 1, 2])
    classifier.partial_fit(X, y)
    assert classifier.score(X, y) > 0.95


def test_stages_lead_to_the_prediction():
    X, y, _ = heteroscedastic(200, 0)
    model = NGBoostRegressor(**QUICK).fit(X, y)
    *_, last = model.staged_predict(X)
    np.testing.assert_allclose(last, model.predict(X), rtol=1e-12)
    losses = list(model.staged_score(X, y))
    np.testing.assert_allclose(losses, model.train_score_[1:], rtol=1e-9)
    *_, last = model.staged_predict_dist(X)
    np.testing.assert_allclose(last.std(), model.predict_dist(X).std(), rtol=1e-12)


def test_calibration_finds_the_width():
    X, y, _ = heteroscedastic(600, 0)
    for model in (NGBoostRegressor(**QUICK), NGBoostRegressor("student_t", **QUICK)):
        model.fit(X, y)
        before = model.predict_dist(X).params["scale"]
        held_out, wide, _ = heteroscedastic(3000, 1)
        wide = model.predict(held_out) + 3 * (wide - model.predict(held_out))
        loss = log_score(wide, model.predict_dist(held_out))
        model.calibrate(held_out, wide)
        assert log_score(wide, model.predict_dist(held_out)) < loss
        assert 0.7 < model.calibration_ < 1.5
        ratio = model.predict_dist(X).params["scale"] / before
        np.testing.assert_allclose(ratio, np.exp(model.calibration_))
    with pytest.raises(ValueError, match="no one parameter of width"):
        NGBoostRegressor("poisson", **QUICK).fit(X, np.ones(600).cumsum()).calibrate(
            X, np.ones(600)
        )


# ---- explanations --------------------------------------------------------------------
def test_shap_values_add_up_and_are_shapley_values():
    X, y, _ = heteroscedastic(300, 0)
    model = NGBoostRegressor(**{**QUICK, "n_estimators": 10}).fit(X, y)
    for k, name in enumerate(model.distribution_.theta_names):
        values, base = model.shap_values(X, name)
        total = values.sum(axis=1) + base
        np.testing.assert_allclose(total, model.predict_params(X)[:, k], rtol=1e-10)
    values, _ = model.shap_values(X, "log_scale")
    assert np.abs(values[:, 1]).mean() > 3 * np.abs(values[:, 2]).mean()
    with pytest.raises(ValueError, match="parameter must be one of"):
        model.shap_values(X, "df")


def test_shap_values_of_a_known_tree():
    # One split by each of two features, which do not interact.
    rng = np.random.RandomState(0)
    X = rng.randint(0, 2, (4000, 2)).astype(float)
    y = 3 * X[:, 0] + 1 * X[:, 1] + 0.01 * rng.normal(size=4000)
    model = NGBoostRegressor(
        n_estimators=1,
        learning_rate=1.0,
        subsample=1.0,
        line_search=False,
        early_stopping=False,
    ).fit(X, y)
    values, _ = model.shap_values(X, "loc")
    effect = [3 * (X[:, 0] - X[:, 0].mean()), X[:, 1] - X[:, 1].mean()]
    np.testing.assert_allclose(values, np.transpose(effect), atol=0.1)


def test_importances_name_the_features_of_each_parameter():
    X, y, _ = heteroscedastic(2000, 0)
    model = NGBoostRegressor(random_state=0).fit(X, y)
    shares = model.feature_importances_per_parameter_
    assert shares[0].argmax() == 0
    assert shares[1].argmax() == 1
    np.testing.assert_allclose(model.feature_importances_.sum(), 1)


# ---- tables --------------------------------------------------------------------------
def test_categories_of_a_dataframe():
    rng = np.random.RandomState(0)
    colour = rng.choice(["red", "green", "blue", "grey"], 500)
    X = pd.DataFrame({"colour": pd.Categorical(colour), "x": rng.uniform(size=500)})
    y = np.isin(colour, ["red", "grey"]) * 2.0 + 0.1 * rng.normal(size=500)
    model = NGBoostRegressor(**QUICK).fit(X, y)
    assert r2_score(y, model.predict(X)) > 0.95
    shuffled = X.assign(colour=X["colour"].cat.reorder_categories(list("x"[:0]) or
                        ["grey", "blue", "red", "green"]))  # fmt: skip
    np.testing.assert_array_equal(model.predict(shuffled), model.predict(X))
    new = pd.DataFrame({"colour": ["violet"], "x": [0.5]})
    missing = pd.DataFrame({"colour": [None], "x": [0.5]})
    np.testing.assert_array_equal(model.predict(new), model.predict(missing))
    codes = X.assign(colour=X["colour"].cat.codes.astype(float)).to_numpy()
    for given in ([0], [True, False]):
        again = NGBoostRegressor(**QUICK, categorical_features=given).fit(codes, y)
        np.testing.assert_allclose(again.predict(codes), model.predict(X))
    strings = X.astype({"colour": object})
    named = NGBoostRegressor(**QUICK, categorical_features=["colour"]).fit(strings, y)
    assert r2_score(y, named.predict(strings)) > 0.95


def test_missing_values_may_tell_something():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(500, 2))
    gone = rng.uniform(size=500) < 0.3
    y = np.where(gone, 5, X[:, 0]) + 0.1 * rng.normal(size=500)
    X[gone, 0] = np.nan
    X = np.c_[X, np.full(500, np.nan)]
    model = NGBoostRegressor(**QUICK, subsample=1.0, line_search=False).fit(X, y)
    # Whole steps of the mean are those of least squares boosting, up to the bins.
    plain = HistGradientBoostingRegressor(
        learning_rate=0.05, max_iter=60, max_leaf_nodes=8, min_samples_leaf=10
    ).fit(X[:, :2], y)
    known = r2_score(y, plain.predict(X[:, :2]))
    assert abs(r2_score(y, model.predict(X)) - known) < 1e-3
    assert model.feature_importances_[2] == 0


def test_monotonic_constraints_by_parameter():
    X, y, _ = heteroscedastic(600, 0)
    cst = {"loc": [1, 0, 0], "log_scale": [0, -1, 0]}
    model = NGBoostRegressor(**QUICK, monotonic_cst=cst).fit(X, y)
    line = np.full((100, 3), 0.5)
    line[:, 0] = np.linspace(0, 1, 100)
    assert (np.diff(model.predict(line)) >= 0).all()
    line = np.full((100, 3), 0.5)
    line[:, 1] = np.linspace(0, 1, 100)
    assert (np.diff(model.predict_dist(line).std()) <= 1e-12).all()
    first = NGBoostRegressor(**QUICK, monotonic_cst=[1, 0, 0]).fit(X, y)
    assert first.n_iter_ == 60


@pytest.mark.parametrize(
    "given, allowed",
    [
        ("no_interactions", [{0}, {1}, {2}]),
        ("pairwise", [{0, 1}, {0, 2}, {1, 2}]),
        ([[0, 1]], [{0, 1}, {2}]),
    ],
)
@pytest.mark.parametrize("structure", ["separate", "shared"])
def test_interactions_stay_within_their_sets(given, allowed, structure):
    X, y, _ = heteroscedastic(600, 0)
    y = y * (1 + X[:, 2])
    params = {"interaction_cst": given, "tree_structure": structure}
    model = NGBoostRegressor(**QUICK, **params).fit(X, y)
    trees = model.trees_
    used = set()
    for begin, end in zip(trees["splits_at"], trees["splits_at"][1:], strict=False):
        paths = {0: set()}
        for j in range(begin, end):
            first, skip = int(trees["first"][j]), int(trees["skip"][j])
            path = paths[first] | {int(trees["feature"][j])}
            paths[first], paths[first + skip] = path, set(path)
        used |= {frozenset(path) for path in paths.values()}
    assert all(any(path <= group for group in allowed) for path in used)
    assert max(map(len, used)) == max(map(len, allowed))


# ---- the same model again ------------------------------------------------------------
@pytest.mark.parametrize(
    "params", [{}, {"distribution": "gamma"}, {"subsample": 1.0, "max_features": 0.5}]
)
def test_threads_change_nothing(params, monkeypatch):
    # Trees in threads, and not the kernel that makes whole iterations.
    monkeypatch.setattr("skalgos.ensemble._ngboost.base.WORTH_THREADS", 0)
    X, y, _ = heteroscedastic(500, 0)
    y = np.exp(y / 4) if "distribution" in params else y
    models = [
        NGBoostRegressor(**params, random_state=0, n_jobs=n).fit(X, y) for n in (1, 2)
    ]
    assert models[0].n_iter_ == models[1].n_iter_
    for name in ("train_score_", "validation_score_"):
        np.testing.assert_array_equal(*[getattr(m, name) for m in models])
    np.testing.assert_array_equal(*[m.predict_params(X) for m in models])


@pytest.mark.parametrize("early_stopping", ["cv", "holdout", False])
def test_iterations_one_by_one_are_those_of_the_kernel(early_stopping, monkeypatch):
    X, y, _ = heteroscedastic(300, 0)
    X = np.where(X < 0.1, np.nan, X)
    model = NGBoostRegressor(
        early_stopping=early_stopping, n_estimators=150, random_state=0
    )
    whole = clone(model).fit(X, y)
    monkeypatch.setattr("skalgos.ensemble._ngboost.boosting.CHUNK", 1)
    single = clone(model).fit(X, y)
    monkeypatch.setattr(
        "skalgos.ensemble._ngboost.boosting.Booster._run_normal",
        lambda self, seeds: (0, LEFT_TO_PYTHON),
    )
    python = clone(model).fit(X, y)
    for other in (single, python):
        for name in ("train_score_", "validation_score_", "scales_"):
            np.testing.assert_array_equal(getattr(other, name), getattr(whole, name))
        np.testing.assert_array_equal(other.predict_params(X), whole.predict_params(X))


def test_draws_are_fair():
    rows, features = np.empty(10_000, np.int32), np.empty(8, np.int64)
    counts, seen = [], np.zeros(8)
    for seed in range(200):
        n = draw_rows(seed, 0.3, rows)
        assert (np.diff(rows[:n]) > 0).all()
        counts.append(n)
        draw_features(seed, seed % 3, features, 3)
        assert (np.diff(features[:3]) > 0).all()
        assert sorted(features) == list(range(8))
        seen[features[:3]] += 1
    # Five standard errors of the means.
    assert abs(np.mean(counts) - 3000) < 5 * np.sqrt(2100 / 200)
    assert np.std(counts) < 1.3 * np.sqrt(2100)
    assert (np.abs(seen - 75) < 5 * np.sqrt(200 * 3 / 8 * 5 / 8)).all()
    assert draw_rows(0, 1.0, rows) == 10_000
    assert draw_rows(0, 1e-12, rows[:5]) == 5


@pytest.mark.parametrize("early_stopping", ["cv", "holdout"])
def test_weights_are_repetitions_with_draws_and_folds(early_stopping):
    X, y, _ = heteroscedastic(200, 0)
    rng = np.random.RandomState(0)
    w = rng.randint(0, 4, 200)
    rows = rng.permutation(np.repeat(np.arange(200), w))
    model = NGBoostRegressor(early_stopping=early_stopping, random_state=0)
    a = clone(model).fit(X, y, sample_weight=w.astype(float))
    b = clone(model).fit(X[rows], y[rows])
    assert a.n_iter_ == b.n_iter_
    np.testing.assert_allclose(a.predict_params(X), b.predict_params(X), rtol=1e-9)


def test_pickles_hold_arrays_and_are_small():
    X, y, _ = heteroscedastic(500, 0)
    model = NGBoostRegressor(
        n_estimators=500, max_leaf_nodes=8, early_stopping=False, random_state=0
    ).fit(X, y)
    stored = pickle.dumps(model)
    assert len(stored) < 350_000
    again = pickle.loads(stored)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert all(isinstance(value, np.ndarray) for value in model.trees_.values())


def test_a_grid_search_picks_the_better_model():
    X, y = load_diabetes(return_X_y=True)
    grid = {"learning_rate": [1e-4, 0.05]}
    model = NGBoostRegressor(n_estimators=50, early_stopping=False, random_state=0)
    for scoring in (None, neg_log_score_scorer):
        search = GridSearchCV(model, grid, scoring=scoring, cv=3).fit(X, y)
        assert search.best_params_ == {"learning_rate": 0.05}
    search = GridSearchCV(
        NGBoostRegressor(StudentT(df=3), **QUICK),
        {"distribution__df": [3, 30.0]},
        scoring=neg_log_score_scorer,
        cv=2,
    ).fit(X[:150], y[:150])
    assert search.best_estimator_.distribution_.df in (3, 30.0)
    X, y = load_breast_cancer(return_X_y=True)
    scores = cross_val_score(
        NGBoostClassifier(**QUICK), X, y, scoring=neg_log_score_scorer, cv=2
    )
    assert (scores > -0.4).all()


def test_a_family_of_ones_own_is_boosted():
    class Rayleigh(Distribution):
        param_names = ("scale",)
        theta_names = ("log_scale",)
        bounded = (True,)

        def to_params(self, theta):
            return (np.exp(theta[0]),)

        def log_score(self, theta, y):
            return 2 * theta[0] - np.log(y) + y**2 * np.exp(-2 * theta[0]) / 2

        def log_gradient(self, theta, y):
            return 2 - y**2 * np.exp(-2 * theta)

        def log_metric(self, theta):
            return np.full_like(theta, 4.0)

        def _start(self, y, w):
            return np.log([np.average(y, weights=w)])

        def to_scipy(self, theta):
            return stats.rayleigh(scale=np.exp(theta[0]))

    rng = np.random.RandomState(0)
    X = rng.uniform(size=(800, 2))
    y = rng.rayleigh(np.exp(X[:, 0]))
    model = NGBoostRegressor(Rayleigh(), random_state=0).fit(X, y)
    found = np.log(model.predict_dist(X).params["scale"])
    # Least squares for log y knows less: its variance is pi^2 / 24, above 1 / 4, the
    # inverse of the information. The mean of log y is known too.
    plain = HistGradientBoostingRegressor(learning_rate=0.05, early_stopping=True)
    known = plain.fit(X, np.log(y)).predict(X) - (np.log(2) - np.euler_gamma) / 2
    assert r2_score(X[:, 0], found) > r2_score(X[:, 0], known)


# ---- what is refused -----------------------------------------------------------------
@pytest.mark.parametrize(
    "params, change, message",
    [
        ({}, {"X": np.inf}, "infinity"),
        ({}, {"y": np.inf}, "infinity"),
        ({}, {"y": np.nan}, "NaN"),
        ({"distribution": "gamma"}, {"y": -1.0}, "must be positive .* row 3"),
        ({"distribution": "poisson"}, {"y": 1.5}, "integer of at least 0 .* rows"),
        ({"distribution": "beta"}, {"y": 1.0}, "strictly between 0 and 1"),
        ({"distribution": StudentT(df=1), "scoring_rule": "crps"}, {}, "infinite"),
        ({"interaction_cst": [[0, 7]]}, {}, "interaction_cst must be .* from 0 to 2"),
        ({"interaction_cst": "some"}, {}, "interaction_cst"),
        ({"monotonic_cst": [1, 0]}, {}, "monotonic_cst must have -1, 0 or 1"),
        ({"monotonic_cst": {"rate": [1, 0, 0]}}, {}, "internal parameters are"),
        (
            {"monotonic_cst": [1, 0, 0], "tree_structure": "shared"},
            {},
            "needs a tree for each parameter",
        ),
        ({"categorical_features": [7]}, {}, "as indices must be from 0 to 2"),
        ({"categorical_features": ["a"]}, {}, "names, but X has none"),
        ({"max_leaf_nodes": 1000}, {}, "max_leaf_nodes"),
    ],
)
def test_bad_input_is_named(params, change, message):
    X, y, _ = heteroscedastic(60, 0)
    if params.get("distribution") in ("gamma", "hurdle_gamma"):
        y = np.abs(y) + 0.1
    if "X" in change:
        X[3, 1] = change["X"]
    if "y" in change:
        y[3] = change["y"]
    model = NGBoostRegressor(**{**QUICK, **params})
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert not hasattr(model, "trees_")


def test_too_many_categories_are_refused():
    X = np.arange(300.0)[:, None]
    with pytest.raises(ValueError, match="feature 0 has 300 categories"):
        NGBoostRegressor(categorical_features=[0]).fit(X, X[:, 0])


@pytest.mark.parametrize(
    "y, message",
    [
        (np.array([[1.0, 2.0], [3.0, 1.0]] * 10), "rows 1, 3, 5, 7, 9 and 5 more"),
        (np.array([[1.0, 2.0], [-np.inf, np.inf]] * 10), "a finite bound in each row"),
        (np.array([[1.0, 2.0], [-3.0, -1.0]] * 10), "Times must be positive"),
        (np.array([1.0, 0.0] * 10), "Times must be positive"),
        (np.array([[1.0, np.nan]] * 20), "NaN"),
        (
            np.array([(2, 1.0)] * 20, dtype=[("e", int), ("t", float)]),
            "must be boolean",
        ),
    ],
)
def test_bad_survival_targets_are_named(y, message):
    X = np.random.RandomState(0).normal(size=(20, 2))
    with pytest.raises(ValueError, match=message):
        NGBoostSurvivalRegressor().fit(X, y)


def test_survival_families_are_those_that_take_censored_values():
    X, y, _ = survival_data(60, 0)
    from skalgos.distributions import Gamma, Laplace

    with pytest.raises(ValueError, match="no scoring_rule='log' for censored"):
        NGBoostSurvivalRegressor(Gamma()).fit(X, y)
    with pytest.raises(ValueError, match="no scoring_rule='crps' for censored"):
        NGBoostSurvivalRegressor(Laplace(), scoring_rule="crps").fit(X, y)
    assert NGBoostSurvivalRegressor(Normal(), **QUICK).fit(X, y).score(X, y) > 0.6


def test_one_class_is_refused():
    X = np.random.RandomState(0).normal(size=(20, 2))
    with pytest.raises(ValueError, match="at least 2 classes"):
        NGBoostClassifier().fit(X, np.zeros(20))


def test_fits_raise_no_warning():
    X, y, _ = heteroscedastic(100, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NGBoostRegressor(random_state=0).fit(X, y).predict_dist(X).interval()
        NGBoostClassifier(random_state=0).fit(X, y > 2).predict_proba(X)


def test_it_beats_a_linear_model_in_log_score_and_crps():
    X, y, _ = heteroscedastic(1000, 0)
    model = NGBoostRegressor(random_state=0).fit(X[:700], y[:700])
    line = LinearRegression().fit(X[:700], y[:700])
    sigma = np.std(y[:700] - line.predict(X[:700]))
    plain = Normal()(loc=line.predict(X[700:]), scale=sigma)
    dist = model.predict_dist(X[700:])
    assert log_score(y[700:], dist) < log_score(y[700:], plain) - 0.1
    assert crps_score(y[700:], dist) < crps_score(y[700:], plain)


def test_concordance_is_the_share_of_ordered_pairs():
    rng = np.random.RandomState(0)
    time = rng.uniform(size=50)
    event = rng.uniform(size=50) < 0.6
    y = np.c_[time, np.where(event, time, np.inf)]
    guess = time + 0.3 * rng.normal(size=50)
    guess[:5] = guess[5]
    right = pairs = 0.0
    for i in range(50):
        for j in range(50):
            if event[i] and time[i] < time[j]:
                pairs += 1
                right += (guess[i] < guess[j]) + 0.5 * (guess[i] == guess[j])
    np.testing.assert_allclose(concordance_index(y, guess), right / pairs)
