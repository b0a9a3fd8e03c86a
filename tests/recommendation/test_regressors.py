"""The regressors on pairs: ids, weights, recommendations, distributions."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score

from skalgos.recommendation import (
    BayesianMatrixFactorizationRegressor,
    MatrixFactorizationRegressor,
)


def ratings(n_rows=60, n_columns=40, n=1200, noise=0.3, seed=0):
    rng = np.random.RandomState(seed)
    U, V = rng.standard_normal((n_rows, 2)), rng.standard_normal((n_columns, 2))
    b, c = rng.standard_normal(n_rows), rng.standard_normal(n_columns)
    places = rng.permutation(n_rows * n_columns)[:n]
    X = np.column_stack(np.divmod(places, n_columns))
    y = 3 + b[X[:, 0]] + c[X[:, 1]] + np.sum(U[X[:, 0]] * V[X[:, 1]], axis=1)
    return X, y + noise * rng.standard_normal(n)


X, y = ratings()
CLASSES = [
    lambda **p: MatrixFactorizationRegressor(2, random_state=0, **p),
    lambda **p: BayesianMatrixFactorizationRegressor(2, random_state=0, **p),
]


@pytest.mark.parametrize("make", CLASSES)
def test_held_out_pairs_are_predicted(make):
    scores = cross_val_score(make(), X, y, cv=3)
    assert scores.mean() > 0.75


@pytest.mark.parametrize("make", CLASSES)
def test_ids_may_be_anything(make):
    expected = make().fit(X, y).predict(X)
    names = np.array([f"id{i:03}" for i in range(100)])
    forms = {
        "strings": names[X],
        "objects": names[X].astype(object),
        "large": X * 10**12 - 5,
        "floats": X / 2,
        "frame": pd.DataFrame({"user": names[X[:, 0]], "item": X[:, 1]}),
    }
    for name, ids in forms.items():
        found = make().fit(ids, y).predict(ids)
        np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("make", CLASSES)
def test_unseen_ids_fall_back(make):
    model = make().fit(X, y)
    both, row, column = model.predict([[999, 999], [999, 3], [3, 999]])
    assert np.isfinite([both, row, column]).all()
    assert both == pytest.approx(model.intercept_, abs=0.5)
    if hasattr(model, "row_bias_"):
        assert both == pytest.approx(model.intercept_)
        assert row == pytest.approx(model.intercept_ + model.column_bias_[3])
        assert column == pytest.approx(model.intercept_ + model.row_bias_[3])


@pytest.mark.parametrize("make", CLASSES)
def test_duplicates_and_weights(make):
    weights = np.random.RandomState(0).randint(0, 3, len(y))
    rows = np.repeat(np.arange(len(y)), weights)
    order = np.random.RandomState(1).permutation(len(rows))
    one = make().fit(X, y, sample_weight=weights.astype(float))
    other = make().fit(X[rows][order], y[rows][order])
    np.testing.assert_allclose(one.predict(X), other.predict(X), rtol=1e-6)
    differing = np.r_[X, X[:50]], np.r_[y, y[:50] + 1]
    assert np.isfinite(make().fit(*differing).predict(X)).all()


@pytest.mark.parametrize("make", CLASSES)
def test_other_columns_are_not_used(make):
    wide = np.column_stack([X, np.random.RandomState(0).uniform(size=len(X))])
    np.testing.assert_array_equal(
        make().fit(wide, y).predict(wide), make().fit(X, y).predict(X)
    )


@pytest.mark.parametrize("make", CLASSES)
def test_recommendations_are_the_largest_predictions(make):
    model = make(clip=False).fit(X, y)
    ids, scores = model.recommend([5, 999], 4)
    assert ids.shape == scores.shape == (2, 4)
    seen = set(X[X[:, 0] == 5, 1])
    assert not seen & set(ids[0])
    pairs = np.array([[5, j] for j in range(40)])
    values = model.predict(pairs)
    values[sorted(seen)] = -np.inf
    np.testing.assert_array_equal(ids[0], np.argsort(-values, kind="stable")[:4])
    np.testing.assert_allclose(scores[0], values[ids[0]], rtol=1e-6)
    everything, all_scores = model.recommend([5], 40)
    assert np.isneginf(all_scores[0, -len(seen) :]).all()
    best, _ = model.recommend([5], 1, exclude_seen=False)
    assert best[0, 0] == np.argmax(model.predict(pairs))
    for bad in (0, 41, 2.5):
        with pytest.raises(ValueError, match="n_columns"):
            model.recommend([5], bad)
    with pytest.raises(ValueError, match="one dimension"):
        model.recommend([[5]])


@pytest.mark.parametrize("make", CLASSES)
def test_clipping(make):
    low, high = y.min(), y.max()
    clipped = make().fit(X, y)
    everywhere = np.argwhere(np.ones((60, 40)))
    inside = clipped.predict(everywhere)
    assert inside.min() >= low
    assert inside.max() <= high
    free = make(clip=False).fit(X, y).predict(everywhere)
    np.testing.assert_allclose(inside, np.clip(free, low, high), rtol=1e-6)


@pytest.mark.parametrize("make", CLASSES)
def test_what_is_refused(make):
    with pytest.raises(ValueError, match="NaN"):
        make().fit([[1.0, np.nan], [2.0, 3.0]], [1, 2])
    with pytest.raises(ValueError, match="strings and numbers"):
        make().fit(np.array([["a", 1], [2, 3]], object), [1, 2])
    with pytest.raises(ValueError, match="minimum of 2"):
        make().fit([[1], [2]], [1, 2])
    with pytest.raises(ValueError, match="those seen in fit are strings"):
        make().fit([["a", "b"], ["c", "d"]], [1, 2]).predict([[1, 2]])
    with pytest.raises(ValueError, match="infinity"):
        make().fit([[1, 2], [2, 3]], [1, np.inf])


@pytest.mark.parametrize("make", CLASSES)
def test_one_pair_and_constant_values(make):
    assert make().fit([[1, 2]], [4.0]).predict([[1, 2], [7, 8]]) == pytest.approx(4)
    constant = make().fit(X, np.full(len(y), 2.0))
    np.testing.assert_allclose(constant.predict(X), 2.0)


def test_refused_parameters():
    with pytest.raises(ValueError, match="solver"):
        MatrixFactorizationRegressor(nonnegative=True, solver="pcg").fit(X, y)
    with pytest.raises(ValueError, match="n_samples"):
        BayesianMatrixFactorizationRegressor(n_samples=0).fit(X, y)


def test_early_stopping_keeps_the_best_sweep():
    model = MatrixFactorizationRegressor(
        10, alpha=1e-3, early_stopping=True, continuation=None, random_state=0
    ).fit(X, y)
    best = np.argmin(model.validation_curve_) + 1
    assert model.n_iter_ == len(model.validation_curve_) == best + 5
    overfitted = MatrixFactorizationRegressor(
        10, alpha=1e-3, continuation=None, tol=1e-2, random_state=0
    ).fit(X, y)
    X_new, y_new = X[::5], y[::5]
    assert np.mean((model.predict(X_new) - y_new) ** 2) > np.mean(
        (overfitted.predict(X_new) - y_new) ** 2
    )


def test_nonnegative_factors():
    model = MatrixFactorizationRegressor(
        3, alpha=1.0, nonnegative=True, random_state=0
    ).fit(X, y)
    assert model.solver_ == "coordinate-descent"
    assert model.row_factors_.min() >= 0
    assert model.column_factors_.min() >= 0
    assert model.row_bias_.min() < 0


def test_robust_losses():
    rng = np.random.RandomState(0)
    bad = np.where(rng.uniform(size=len(y)) < 0.15, 50.0, y)
    errors = {
        loss: np.median(
            np.abs(
                MatrixFactorizationRegressor(
                    2, loss=loss, max_iter=1000, random_state=0
                )
                .fit(X, bad)
                .predict(X)
                - y
            )
        )
        for loss in ("squared_error", "huber", "tukey")
    }
    assert errors["huber"] < 0.4 * errors["squared_error"]
    assert errors["tukey"] < 0.2 * errors["squared_error"]


def test_warm_start_keeps_known_columns():
    model = MatrixFactorizationRegressor(2, alpha=1.0, random_state=0, tol=1e-6)
    model.fit(X, y)
    again = model.set_params(warm_start=True).fit(np.r_[X, [[99, 99]]], np.r_[y, 3.0])
    assert again.n_iter_ < 30
    with pytest.raises(ValueError, match="n_components"):
        model.set_params(n_components=3).fit(X, y)


def test_the_ridge_is_chosen():
    rows = np.random.RandomState(0).permutation(len(y))
    train, test = rows[:900], rows[900:]

    def error(alpha):
        model = MatrixFactorizationRegressor(
            6, alpha=alpha, max_iter=1000, random_state=0
        ).fit(X[train], y[train])
        return np.mean((model.predict(X[test]) - y[test]) ** 2), model

    found, chosen = error("auto")
    alphas, errors = chosen.alpha_path_.T
    assert np.all(np.diff(alphas) < 0)
    assert chosen.alpha_ == alphas[np.argmin(errors)]
    best, worst = (f(error(alpha)[0] for alpha in alphas) for f in (min, max))
    assert found < 1.1 * best < 0.7 * worst
    # Ids that occur once tell nothing.
    once = np.column_stack([np.arange(9), np.arange(9)])
    lost = MatrixFactorizationRegressor(2, max_iter=1000, random_state=0)
    lost.fit(once, np.arange(9))
    assert lost.alpha_ == 1.0
    assert lost.alpha_path_.shape == (0, 2)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_curves_of_errors(early_stopping):
    model = MatrixFactorizationRegressor(
        2, alpha=0.5, early_stopping=early_stopping, clip=False, random_state=0
    ).fit(X, y)
    assert len(model.error_curve_) == model.n_iter_
    if not early_stopping:
        error = np.sqrt(np.mean((model.predict(X) - y) ** 2))
        assert model.error_curve_[-1] == pytest.approx(error, rel=1e-6)


def test_grid_search():
    search = GridSearchCV(
        MatrixFactorizationRegressor(2, random_state=0), {"alpha": [0.3, 100]}, cv=3
    ).fit(X, y)
    assert search.best_params_["alpha"] == 0.3


# ---- the Bayesian form ---------------------------------------------------------------
@pytest.mark.slow
def test_intervals_cover_what_they_say():
    inside, total = 0, 0
    for seed in range(8):
        X, y = ratings(80, 60, 2400, seed=seed)
        model = BayesianMatrixFactorizationRegressor(4, random_state=seed)
        model.fit(X[:2000], y[:2000])
        mean, std = model.predict(X[2000:], return_std=True)
        inside += np.sum(np.abs(mean - y[2000:]) <= 1.6449 * std)
        total += len(mean)
    # 3200 draws of a share of 0.9 have a standard error of about 0.005.
    assert 0.87 < inside / total < 0.925


def test_the_standard_deviation_knows_what_it_has_not_seen():
    model = BayesianMatrixFactorizationRegressor(2, random_state=0).fit(X, y)

    def spread(rows, columns):
        pairs = np.column_stack([np.resize(rows, 40), np.resize(columns, 40)])
        return np.mean(model.predict(pairs, return_std=True)[1])

    known, new = np.arange(40), [999]
    both, neither = spread(known, known), spread(new, new)
    assert both < 0.5 * spread(new, known)
    assert both < 0.5 * spread(known, new)
    assert max(spread(new, known), spread(known, new)) < neither
    assert neither == pytest.approx(y.std(), rel=0.4)
    assert model.noise_std_ == pytest.approx(0.3, rel=0.25)
    assert model.error_curve_.shape == (150,)


def test_a_seed_and_threads():
    fits = [
        BayesianMatrixFactorizationRegressor(3, n_jobs=n, random_state=0).fit(X, y)
        for n in (1, 2)
    ]
    np.testing.assert_array_equal(fits[0].predict(X), fits[1].predict(X))
