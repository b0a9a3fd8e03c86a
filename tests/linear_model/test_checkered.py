"""The estimators: what they find, what they promise, what they refuse."""

import math
import warnings

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import norm
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris, load_wine, make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import scale

from skalgos.datasets import make_checkered, make_checkered_gmm
from skalgos.linear_model import CheckeredClassifier, CheckeredClassifierCV
from tests.reference import checkered as reference


def board(m, seed, n=2000, angle=0.0, **more):
    """Return training and test data of a checkerboard of m lines."""
    X, y = make_checkered(
        n + 2000, n_hyperplanes=m, angle=angle, random_state=seed, **more
    )
    X = (X - X[:n].mean(axis=0)) / X[:n].std(axis=0)
    return X[:n], y[:n], X[n:], y[n:]


def xor(n=400, seed=0):
    X = np.random.RandomState(seed).uniform(-1, 1, (n, 2))
    return X, (X.prod(axis=1) > 0).astype(int)


# ---- one hyperplane ------------------------------------------------------------------
@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_iris])
def test_one_hyperplane_is_logistic_regression(load, C):
    X, y = load(return_X_y=True)
    X = scale(X)
    weights = np.random.RandomState(0).uniform(0.5, 2, len(y))
    ours = CheckeredClassifier(1, C=C).fit(X, y, weights)
    theirs = LogisticRegression(C=C, solver="newton-cholesky", tol=1e-12, max_iter=500)
    with warnings.catch_warnings():
        # What is tested holds for unfinished fits too.
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(X, y, weights)
    coef = ours.coef_.reshape(theirs.coef_.shape)
    np.testing.assert_allclose(coef, theirs.coef_, rtol=1e-8, atol=1e-8)
    intercept = ours.intercept_.reshape(theirs.intercept_.shape)
    np.testing.assert_allclose(intercept, theirs.intercept_, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(
        ours.predict_proba(X), theirs.predict_proba(X), atol=1e-8
    )
    if len(ours.classes_) == 2:
        scores = theirs.decision_function(X)
        np.testing.assert_allclose(ours.decision_function(X), scores, atol=1e-7)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 3.0}])
@pytest.mark.parametrize("intercept", [True, False])
def test_one_hyperplane_with_class_weights_and_raw_features(class_weight, intercept):
    X, y = load_breast_cancer(return_X_y=True)
    X = X[:, :5]
    arguments = {"class_weight": class_weight, "fit_intercept": intercept, "C": 0.5}
    ours = CheckeredClassifier(1, **arguments).fit(X, y)
    theirs = LogisticRegression(
        solver="newton-cholesky", tol=1e-11, max_iter=1000, **arguments
    )
    with warnings.catch_warnings():
        # What is tested holds for unfinished fits too.
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-7, atol=1e-8)


# ---- the objective -------------------------------------------------------------------
@pytest.mark.parametrize("noise", [None, 0.1, "fit"])
@pytest.mark.parametrize("K", [2, 3])
def test_loss_is_the_documented_objective(K, noise):
    X, y = make_blobs(60, 2, centers=K, cluster_std=4, random_state=0)
    weights = np.random.RandomState(0).uniform(0.5, 2, 60)
    model = CheckeredClassifier(2, C=0.7, noise=noise, prune=False, random_state=0).fit(
        X, y, weights
    )
    expected = reference.objective(
        X, y, weights, 0.7, model.coef_, model.intercept_, model.noise_
    )
    assert model.loss_ == pytest.approx(expected, rel=1e-6)
    logs = model.predict_log_proba(X)
    assert -np.average(logs[range(60), y], weights=weights) == pytest.approx(
        model.loss(X, y, weights), rel=1e-12
    )
    np.testing.assert_allclose(np.exp(logs), model.predict_proba(X), rtol=1e-10)
    np.testing.assert_allclose(np.exp(logs).sum(axis=1), 1, rtol=1e-12)


def test_probabilities_stay_exact_far_from_the_data():
    X, y = xor()
    model = CheckeredClassifier(2, random_state=0).fit(X, y)
    far = 1e5 * np.array([[1.0, 1.0], [1.0, -1.0]])
    logs = model.predict_log_proba(far)
    assert np.isfinite(logs).all()
    assert logs.min() < -1e4
    np.testing.assert_allclose(model.predict_proba(far).sum(axis=1), 1, rtol=1e-12)
    scores = model.decision_function(far)
    np.testing.assert_allclose(scores, logs[:, 1] - logs[:, 0], rtol=1e-14)


def test_the_published_minimum_of_exclusive_or():
    # The lowest of 30 random starts of an independent implementation.
    X = np.random.default_rng(12345).uniform(-1, 1, (3000, 2))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    model = CheckeredClassifier(2, C=1 / (1e-3 * 3000), random_state=0).fit(X, y)
    assert model.loss_ == pytest.approx(0.25268417, abs=5e-9)
    np.testing.assert_allclose(
        np.sort(np.abs(model.coef_).max(axis=1)), [8.9489, 9.0662], atol=1e-4
    )
    assert np.abs(model.intercept_).max() == pytest.approx(0.0414, abs=1e-4)


@pytest.mark.parametrize(("m", "loss"), [(3, 0.127659), (4, 0.162779), (5, 0.200513)])
def test_the_lowest_minima_known_of_checkerboards(m, loss):
    rng = np.random.default_rng(777)
    a, c = (m + 1) // 2, m // 2
    X = rng.uniform(0, 1, (2000, 2))
    tile = (X[:, 0] * (a + 1)).astype(int) + (X[:, 1] * (c + 1)).astype(int)
    X = scale(X)
    model = CheckeredClassifier(m, C=1 / (1e-4 * 2000), random_state=0)
    model.fit(X, tile % 2 == 0)
    assert model.loss_ <= loss + 1e-6


def test_gaussian_exclusive_or_reaches_the_bayes_risk():
    error = norm.cdf(-1 / math.sqrt(0.2))
    X, y, truth = make_checkered_gmm(
        40000, scale=math.sqrt(0.2), random_state=0, return_truth=True
    )
    model = CheckeredClassifier(2, C=100, random_state=0).fit(X[:20000], y[:20000])
    assert model.score(X[20000:], y[20000:]) == pytest.approx(
        1 - 2 * error * (1 - error), abs=0.004
    )
    bayes = -np.log(truth.proba[20000:][range(20000), y[20000:]]).mean()
    assert model.loss(X[20000:], y[20000:]) <= bayes + 0.002
    coef = np.abs(model.coef_[np.abs(model.coef_).argmax(axis=1).argsort()])
    np.testing.assert_allclose(coef, 10 * np.eye(2), atol=0.6)


# ---- finding the board ---------------------------------------------------------------
@pytest.mark.parametrize("angle", [0.0, 30.0])
@pytest.mark.parametrize("m", [2, 3, 4, 5, 6])
def test_one_fit_finds_the_checkerboard(m, angle):
    for seed in range(4):
        X, y, X_test, y_test = board(m, seed, angle=angle)
        model = CheckeredClassifier(m, C=5, random_state=seed).fit(X, y)
        assert model.score(X_test, y_test) >= 0.96


def successes(fits):
    good = [accuracy >= 0.96 for accuracy in fits]
    return np.mean(good)


@pytest.mark.slow
@pytest.mark.parametrize("angle", [0.0, 30.0])
@pytest.mark.parametrize("m", [2, 3, 4, 5, 6])
def test_success_on_checkerboards(m, angle):
    # Half of 40 boards were not looked at when the search was made.
    def accuracy(seed):
        X, y, X_test, y_test = board(m, 1000 + seed, angle=angle)
        model = CheckeredClassifier(m, C=5, random_state=seed).fit(X, y)
        return model.score(X_test, y_test)

    assert successes(map(accuracy, range(40))) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize(("m", "d", "n"), [(3, 20, 5000), (4, 10, 5000), (6, 5, 8000)])
def test_success_on_random_hyperplanes(m, d, n):
    def accuracy(seed):
        X, y = make_checkered(
            n + 2000, d, n_hyperplanes=m, layout="random", random_state=seed
        )
        model = CheckeredClassifier(m, C=1e4 / n, random_state=seed)
        return model.fit(X[:n], y[:n]).score(X[n:], y[n:])

    assert successes(map(accuracy, range(20))) >= 0.95


def test_coefficients_do_not_depend_on_the_seed():
    for m in (2, 3, 4):
        X, y, _, _ = board(m, 777)
        fits = [
            CheckeredClassifier(m, C=5, random_state=seed).fit(X, y)
            for seed in range(4)
        ]
        for fit in fits[1:]:
            np.testing.assert_allclose(fit.coef_, fits[0].coef_, atol=1e-6)
            np.testing.assert_allclose(fit.intercept_, fits[0].intercept_, atol=1e-6)


def test_a_worse_minimum_is_not_taken_for_fewer_hyperplanes():
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)
    losses = [CheckeredClassifier(m, random_state=0).fit(X, y).loss_ for m in (1, 2, 3)]
    assert losses[1] <= losses[0] + 1e-6
    assert losses[2] <= losses[0] + 1e-6


# ---- many classes --------------------------------------------------------------------
def mixed(K, seed, n=2000, order=None, m=2, d=2):
    X, y = make_checkered(
        n + 2000, d, n_hyperplanes=m, n_classes=K, layout="random", random_state=seed
    )
    if order is not None:
        y = np.asarray(order)[y]
    return X[:n], y[:n], X[n:], y[n:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("m", "K", "d", "n", "order"),
    [
        (2, 3, 2, 2000, None),
        (2, 4, 2, 2000, None),
        (2, 5, 2, 3000, None),
        (3, 3, 2, 3000, None),
        (2, 3, 5, 3000, None),
        (2, 5, 5, 4000, None),
        (2, 4, 2, 2000, "auto"),
        (2, 5, 2, 3000, "auto"),
    ],
)
def test_success_with_many_classes(m, K, d, n, order):
    found = []
    for seed in range(23):
        X, y, X_test, y_test = mixed(K, seed, n, m=m, d=d)
        if len(np.unique(y)) < K:
            continue  # random cells need not lead to all sums
        if order is not None:
            names = np.random.RandomState(seed).permutation(K)
            y, y_test = names[y], names[y_test]
        # With a penalty as on boards of two classes the very minimum errs more often.
        model = CheckeredClassifier(m, C=1e5 / n, class_order=order, random_state=seed)
        found.append(model.fit(X, y).score(X_test, y_test) >= 0.96)
    assert len(found) >= 19
    assert np.mean(found) >= 0.95


def test_folds_without_a_class_are_refused():
    X, y = xor(30)
    y[0] = 2
    with (
        pytest.warns(UserWarning, match="least populated class"),
        pytest.raises(ValueError, match=r"no sample of \[2\]: all folds need"),
    ):
        CheckeredClassifierCV((1,), Cs=[1.0]).fit(X, y)


def test_cross_validation_never_prefers_a_fit_that_is_worse():
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)
    model = CheckeredClassifierCV((1, 2, 3), Cs=(0.01, 1.0, 100.0), random_state=0)
    weights = np.ones(len(y))
    rows = model._path(
        X, y, weights, np.arange(2), (1, 2, 3), np.array([0.01, 1.0, 100.0]), 0
    )
    losses = np.array([[single.loss_ for single in row] for row in rows])
    assert (np.diff(losses, axis=0) <= 1e-6).all()


@pytest.mark.parametrize("K", [3, 4])
def test_many_classes(K):
    X, y, X_test, y_test = mixed(K, 1)
    model = CheckeredClassifier(2, C=5, random_state=0).fit(X, y)
    assert model.score(X_test, y_test) >= 0.96
    assert model.coef_.shape == (2, K, 2)
    np.testing.assert_allclose(model.coef_.sum(axis=1), 0, atol=1e-9)
    codes = model.tile_codes(X_test)
    rightly = (codes.sum(axis=1) % K == y_test).mean()
    assert rightly == pytest.approx(model.score(X_test, y_test), abs=0.03)


def test_the_order_of_classes_is_found():
    X, y, X_test, y_test = mixed(4, 5, order=[0, 2, 1, 3])
    model = CheckeredClassifier(2, C=5, class_order="auto", random_state=0).fit(X, y)
    given = CheckeredClassifier(2, C=5, class_order=[0, 2, 1, 3], random_state=0)
    given.fit(X, y)
    assert model.loss_ <= given.loss_ + 1e-6
    assert model.score(X_test, y_test) >= 0.96
    natural = CheckeredClassifier(2, C=5, random_state=0).fit(X, y)
    assert natural.loss_ > model.loss_ + 0.02
    np.testing.assert_array_equal(natural.class_order_, [0, 1, 2, 3])
    np.testing.assert_array_equal(given.class_order_, [0, 2, 1, 3])


@pytest.mark.slow
def test_exchanges_find_an_order_of_seven_classes():
    X, y, _, _ = mixed(7, 0, order=[0, 2, 1, 3, 4, 5, 6])
    model = CheckeredClassifier(2, C=5, class_order="auto", n_init=8, random_state=0)
    natural = clone(model).set_params(class_order=None).fit(X, y)
    assert model.fit(X, y).loss_ < natural.loss_


def test_one_against_the_rest():
    X, y = make_blobs(200, 2, centers=3, random_state=0)
    model = CheckeredClassifier(2, multi_class="ovr", random_state=0).fit(X, y)
    assert model.coef_.shape == (3, 2, 2)
    assert model.n_active_.shape == model.noise_.shape == (3,)
    raw = np.empty((200, 3))
    for c in range(3):
        single = CheckeredClassifier(2, random_state=0).fit(X, y == c)
        raw[:, c] = single.decision_function(X)
        assert single.loss_ == pytest.approx(model.loss_[c], rel=1e-6)
    np.testing.assert_allclose(model.decision_function(X), raw, rtol=1e-4, atol=1e-5)
    assert model.tile_codes(X).shape == (200, 3, 2)
    assert model.hyperplane_importance(X, y).shape == (3, 2)


# ---- noise and surplus hyperplanes ---------------------------------------------------
@pytest.mark.parametrize(("m", "rate"), [(2, 0.1), (3, 0.05), (4, 0.1)])
def test_the_rate_of_flips_is_recovered(m, rate):
    X, y, X_test, y_test = board(m, 5, n=4000, flip_y=rate)
    plain = CheckeredClassifier(m, C=100, random_state=0).fit(X, y)
    fitted = clone(plain).set_params(noise="fit").fit(X, y)
    assert fitted.noise_ == pytest.approx(rate, abs=0.02)
    assert fitted.loss_ < plain.loss_
    given = clone(plain).set_params(noise=fitted.noise_).fit(X, y)
    assert given.loss_ == pytest.approx(fitted.loss_, abs=1e-7)
    assert plain.noise_ == 0


def test_noise_of_many_classes():
    X, y, _, _ = mixed(3, 1, n=4000)
    flip = np.random.RandomState(0).uniform(size=len(y)) < 0.1
    y = np.where(flip, (y + np.random.RandomState(1).randint(1, 3, len(y))) % 3, y)
    model = CheckeredClassifier(2, C=5, noise="fit", random_state=0).fit(X, y)
    assert model.noise_ == pytest.approx(0.1, abs=0.02)


def test_no_flips_are_no_noise():
    X, y = make_checkered_gmm(2000, random_state=0)
    model = CheckeredClassifier(2, C=10, noise="fit", random_state=0).fit(X, y)
    plain = CheckeredClassifier(2, C=10, random_state=0).fit(X, y)
    assert model.noise_ < 0.01
    assert model.loss_ <= plain.loss_ + 1e-6


def test_surplus_hyperplanes_are_pruned_and_reported():
    X, y, X_test, y_test = board(2, 3)
    exact = CheckeredClassifier(2, C=5, random_state=0).fit(X, y)
    model = CheckeredClassifier(4, C=5, random_state=0).fit(X, y)
    assert model.n_active_ == 2
    assert model.loss_ <= exact.loss_ + 1e-6
    np.testing.assert_allclose(model.coef_[:2], exact.coef_, atol=1e-5)
    assert not model.coef_[2:].any()
    assert np.isposinf(model.intercept_[2:]).all()
    np.testing.assert_allclose(
        model.predict_log_proba(X_test), exact.predict_log_proba(X_test), atol=1e-4
    )
    assert (model.tile_codes(X_test)[:, 2:] == 1).all()
    importance = model.hyperplane_importance(X_test, y_test)
    assert (importance[:2] > 0.3).all()
    np.testing.assert_allclose(importance[2:], 0, atol=1e-12)


def test_surplus_factors_of_many_classes_are_pruned():
    X, y = make_blobs(300, 2, centers=3, random_state=0)
    model = CheckeredClassifier(3, random_state=0).fit(X, y)
    assert model.n_active_ < 3
    assert np.isfinite(model.predict_log_proba(X)).all()
    single = CheckeredClassifier(1).fit(X, y)
    assert model.loss_ <= single.loss_ + 1e-6
    assert not model.coef_[model.n_active_ :].any()


# ---- cross gradients -----------------------------------------------------------------
def test_fixed_mu_cannot_learn_exclusive_or():
    X, y = xor(500)
    rng = np.random.RandomState(0)
    fixed = {
        "uniform": np.full((500, 2), 0.5),
        "by class": rng.uniform(size=(2, 2))[y],
        "by sample": rng.uniform(size=(500, 2)),
    }
    for name, mu in fixed.items():
        model = CheckeredClassifier(
            2, C=10, solver="xgd", mu=mu, init="random", n_init=1, random_state=0
        )
        with warnings.catch_warnings():
            # What is tested holds for unfinished fits too.
            warnings.simplefilter("ignore", ConvergenceWarning)
            assert model.fit(X, y).score(X, y) < 0.75, name
    model = CheckeredClassifier(2, C=10, solver="xgd", max_iter=3000, random_state=0)
    with warnings.catch_warnings():
        # What is tested holds for unfinished fits too.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    assert model.score(X, y) > 0.97
    assert (np.diff(model.loss_curve_) <= 1e-14).all()


def test_mu_from_a_point_is_the_posterior_there():
    X, y = xor(100)
    point = np.array([[1.0, 2.0, 0.1], [-1.0, 0.5, 0.2]])
    start = np.array([[0.5, 0.0, 0.0], [0.0, 0.7, 0.1]])
    z = X @ point[:, :2].T + point[:, 2]
    p = 1 / (1 + np.exp(-z))
    both = p.prod(axis=1)
    neither = (1 - p).prod(axis=1)
    one, other = p[:, 0] * (1 - p[:, 1]), p[:, 1] * (1 - p[:, 0])
    even = np.stack([both, both], axis=1) / (both + neither)[:, None]
    odd = np.stack([one, other], axis=1) / (one + other)[:, None]
    q = np.where(y[:, None] == 1, even, odd)
    fits = []
    for mu in (point, q):
        model = CheckeredClassifier(
            2, solver="xgd", mu=mu, init=start, max_iter=7, prune=False
        )
        with warnings.catch_warnings():
            # What is tested holds for unfinished fits too.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fits.append(model.fit(X, y))
    np.testing.assert_allclose(fits[1].coef_, fits[0].coef_, rtol=1e-8)
    np.testing.assert_allclose(fits[1].loss_curve_, fits[0].loss_curve_, rtol=1e-10)
    refreshed = clone(fits[0]).set_params(mu_refresh=2)
    with warnings.catch_warnings():
        # What is tested holds for unfinished fits too.
        warnings.simplefilter("ignore", ConvergenceWarning)
        refreshed.fit(X, y)
    np.testing.assert_allclose(
        refreshed.loss_curve_[:3], fits[0].loss_curve_[:3], rtol=1e-10
    )
    assert abs(refreshed.loss_curve_[7] - fits[0].loss_curve_[7]) > 1e-6


def test_mu_of_merged_rows():
    X, y = xor(40)
    rng = np.random.RandomState(0)
    rows = rng.randint(40, size=90)
    mu = rng.uniform(size=(90, 2))
    start = rng.normal(size=(2, 3))
    model = CheckeredClassifier(
        2, solver="xgd", mu=mu, init=start, max_iter=5, prune=False
    )
    with warnings.catch_warnings():
        # What is tested holds for unfinished fits too.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X[rows], y[rows])
        # Cross-gradients are linear in mu: equal rows count by their mean.
        merged = np.array(
            [mu[rows == i].mean(axis=0) if i in rows else [0.5, 0.5] for i in range(40)]
        )
        other = clone(model).set_params(mu=merged)
        other.fit(X, y, sample_weight=np.bincount(rows, minlength=40))
    np.testing.assert_allclose(other.coef_, model.coef_, rtol=1e-8)


# ---- promises ------------------------------------------------------------------------
@pytest.mark.parametrize("K", [2, 3])
def test_threads_order_and_repetition_change_nothing(K):
    X, y, X_test, _ = (board if K == 2 else mixed)(3, 1, n=500)
    weights = np.random.RandomState(0).randint(0, 4, 500)
    model = CheckeredClassifier(2, C=5, random_state=0)
    expected = clone(model).fit(X, y, weights)
    rows = np.repeat(np.arange(500), weights)
    rows = np.random.RandomState(1).permutation(rows)
    for other in (
        clone(model).fit(X[rows], y[rows]),
        clone(model).set_params(n_jobs=2).fit(X, y, weights),
        clone(model).fit(sparse.csr_array(X), y, weights),
    ):
        np.testing.assert_allclose(other.coef_, expected.coef_, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(
            other.decision_function(X_test),
            expected.decision_function(X_test),
            atol=1e-8,
        )
        np.testing.assert_allclose(other.init_losses_, expected.init_losses_, rtol=1e-9)


def test_sparse_data_too_large_to_be_made_dense(monkeypatch):
    from skalgos.linear_model._checkered import training

    X, y, X_test, y_test = board(3, 1, n=1500)
    dense = CheckeredClassifier(3, C=5, random_state=0).fit(X, y)
    monkeypatch.setattr(training, "DENSE_SIZE", 100)
    for solver in ("newton", "lbfgs"):
        model = CheckeredClassifier(3, C=5, solver=solver, random_state=0)
        model.fit(sparse.csr_array(X), y)
        tolerance = 1e-6 if solver == "newton" else 0.05
        np.testing.assert_allclose(model.coef_, dense.coef_, rtol=tolerance, atol=1e-2)
        assert model.score(sparse.csr_array(X_test), y_test) > 0.96


def test_sparse_data_with_many_features():
    X = sparse.csr_array(sparse.random(300, 1500, density=0.01, random_state=0))
    total = X[:, :150].sum(axis=1)
    y = (total > np.median(total)).astype(int)
    model = CheckeredClassifier(2, n_init=2, tol=1e-3, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.95


def test_warm_start_goes_on_from_the_last_fit():
    X, y, _, _ = board(4, 0)
    model = CheckeredClassifier(4, C=5, warm_start=True, random_state=0).fit(X, y)
    coef = model.coef_
    model.fit(X, y)
    assert model.n_iter_ <= 2
    np.testing.assert_allclose(model.coef_, coef, rtol=1e-7)
    with pytest.raises(ValueError, match=r"warm_start=True .* must stay the same"):
        model.set_params(n_hyperplanes=3).fit(X, y)


def test_init_as_array_and_callable():
    X, y = xor(200)
    start = np.array([[3.0, 0.1, 0.0], [0.1, 3.0, 0.0]])
    expected = CheckeredClassifier(2, random_state=0).fit(X, y)
    for init in (start, lambda X, y, m, rng: start):
        model = CheckeredClassifier(2, init=init).fit(X, y)
        np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-6)
    constant = CheckeredClassifier(2, init=np.zeros((2, 3)), solver="lbfgs").fit(X, y)
    assert constant.loss_ == pytest.approx(math.log(2), rel=1e-9)  # a saddle


def test_partial_fit_learns_a_board():
    X, y, X_test, y_test = board(3, 0, n=6000)
    model = CheckeredClassifier(3, C=5, random_state=0)
    for start in range(0, 6000, 1000):
        batch = slice(start, start + 1000)
        model.partial_fit(X[batch], y[batch], classes=[0, 1])
    assert model.score(X_test, y_test) > 0.96
    assert model.n_iter_ == 6
    with pytest.raises(ValueError, match="not those of earlier calls"):
        model.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="classes must be passed"):
        CheckeredClassifier().partial_fit(X, y)
    fitted = CheckeredClassifier(3, C=5, learning_rate=1e-3, random_state=0).fit(X, y)
    accuracy = fitted.score(X_test, y_test)
    fitted.partial_fit(X, y)
    assert fitted.score(X_test, y_test) > accuracy - 0.01


@pytest.mark.parametrize("multi_class", ["circular", "ovr"])
def test_partial_fit_with_many_classes(multi_class):
    X, y = make_blobs(600, 2, centers=3, random_state=0)
    model = CheckeredClassifier(2, multi_class=multi_class, random_state=0)
    for start in (0, 200, 400):
        batch = slice(start, start + 200)
        model.partial_fit(X[batch], y[batch], classes=range(3))
    assert model.score(X, y) > 0.85


@pytest.mark.parametrize("K", [2, 3])
def test_partial_fit_knows_no_order_nor_repetition_nor_storage(K):
    X, y, X_test, _ = (board if K == 2 else mixed)(3, 1, n=300)
    weights = np.random.RandomState(0).randint(0, 3, 300)
    rows = np.random.RandomState(1).permutation(np.repeat(np.arange(300), weights))
    batches = {
        "weights": [(X, y, weights)] * 2,
        "rows": [(X[rows], y[rows], None)] * 2,
        "sparse": [(sparse.csr_array(X), y, weights)] * 2,
    }
    logits = {}
    for name, parts in batches.items():
        model = CheckeredClassifier(2, C=5, batch_size=64, random_state=0)
        for data, labels, weight in parts:
            model.partial_fit(data, labels, range(K), sample_weight=weight)
        logits[name] = model.decision_function(X_test)
    np.testing.assert_allclose(logits["rows"], logits["weights"], atol=1e-8)
    np.testing.assert_allclose(logits["sparse"], logits["weights"], atol=1e-8)


@pytest.mark.parametrize("multi_class", ["circular", "ovr"])
def test_partial_fit_from_a_batch_without_some_classes(multi_class):
    X, y = make_blobs(400, 2, centers=3, random_state=0)
    first = np.flatnonzero(y == 0)[:50]
    model = CheckeredClassifier(2, multi_class=multi_class, random_state=0)
    model.partial_fit(X[first], y[first], classes=[0, 1, 2])
    proba = model.predict_proba(X)
    assert proba.shape == (400, 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(model.classes_, [0, 1, 2])
    for _ in range(40):
        model.partial_fit(X, y)
    assert model.score(X, y) > 0.85


def test_partial_fit_learns_the_rate_of_flips():
    X, y, X_test, _ = board(2, 3, n=6000, flip_y=0.1)
    model = CheckeredClassifier(2, C=100, noise="fit", random_state=0)
    for _ in range(4):
        for start in range(0, 6000, 1000):
            batch = slice(start, start + 1000)
            model.partial_fit(X[batch], y[batch], classes=[0, 1])
    assert model.noise_ == pytest.approx(0.1, abs=0.04)
    proba = model.predict_proba(X_test)
    assert proba.max() <= 1 - model.noise_ + 1e-9


def test_partial_fit_refuses_bad_input_and_keeps_the_model():
    X, y = xor(100)
    model = CheckeredClassifier(2, random_state=0)
    with pytest.raises(ValueError, match="classes must be at least two"):
        model.partial_fit(X, y, classes=[0])
    with pytest.raises(ValueError, match="labels that classes does not name"):
        model.partial_fit(X, y, classes=[0, 2])
    with pytest.raises(ValueError, match="class_weight='balanced' needs all samples"):
        clone(model).set_params(class_weight="balanced").partial_fit(X, y, [0, 1])
    assert not hasattr(model, "coef_")
    model.partial_fit(X, y, classes=[0, 1])
    coef = model.coef_.copy()
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(np.full((3, 2), np.nan), [0, 1, 0])
    with pytest.raises(ValueError, match="expecting 2 features"):
        model.partial_fit(X[:, :1], y)
    np.testing.assert_array_equal(model.coef_, coef)


@pytest.mark.parametrize("solver", ["newton", "lbfgs", "xgd", "em", "adam"])
def test_every_solver_learns_exclusive_or(solver):
    X, y = xor(300)
    model = CheckeredClassifier(2, C=10, solver=solver, tol=2e-5, random_state=0)
    model.set_params(max_iter=5000 if solver == "xgd" else 500)
    assert model.fit(X, y).score(X, y) > 0.97
    assert len(model.loss_curve_) == model.n_iter_ + 1


def test_an_exhausted_budget_warns():
    X, y = xor(300)
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        model = CheckeredClassifier(2, solver="xgd", max_iter=2, random_state=0)
        model.fit(X, y)
    assert model.n_iter_ == 2
    assert not model.converged_


def test_labels_of_any_kind():
    X, y = xor(200)
    names = np.array(["dark", "light"])[y]
    model = CheckeredClassifier(2, random_state=0).fit(X, names)
    assert set(model.predict(X)) == {"dark", "light"}
    assert model.score(X, names) > 0.95


def test_boundaries_can_be_drawn():
    # Optional, as for users.
    pytest.importorskip("matplotlib").use("agg")
    X, y = xor(200)
    model = CheckeredClassifier(2, random_state=0).fit(X, y)
    for method in ("predict", "predict_proba", "decision_function"):
        display = DecisionBoundaryDisplay.from_estimator(
            model, X, response_method=method, grid_resolution=20
        )
        assert np.isfinite(display.response).all()


# ---- bad input -----------------------------------------------------------------------
def test_bad_data():
    X, y = xor(30)
    model = CheckeredClassifier(2)
    with pytest.raises(ValueError, match="one class only: 1"):
        model.fit(X, np.ones(30))
    with pytest.raises(ValueError, match="one class only"):
        model.fit(X, y, sample_weight=(y == 0) * 1.0)
    with pytest.raises(ValueError, match="at least one non-zero number"):
        model.fit(X, y, sample_weight=np.zeros(30))
    with pytest.raises(ValueError, match="NaN"):
        model.fit(np.where(X > 0.9, np.nan, X), y)
    with pytest.raises(ValueError, match="n_hyperplanes=31 is more than the 30"):
        CheckeredClassifier(31).fit(X, y)
    with pytest.raises(ValueError, match="n_hyperplanes=3 is more than the 2"):
        CheckeredClassifier(3).fit(X[[0, 0, 1, 1]], [0, 0, 1, 1])
    assert not hasattr(model, "coef_")
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_constant_columns_get_no_coefficient():
    X, y = xor(200)
    padded = np.column_stack([X, np.full(200, 1e6), np.zeros(200)])
    expected = CheckeredClassifier(2, random_state=0).fit(X, y)
    model = CheckeredClassifier(2, random_state=0).fit(padded, y)
    np.testing.assert_allclose(model.coef_[:, :2], expected.coef_, rtol=1e-6)
    np.testing.assert_allclose(model.coef_[:, 2:], 0, atol=1e-9)
    only = CheckeredClassifier(2, random_state=0).fit(np.ones((20, 1)), y[:20])
    np.testing.assert_allclose(
        only.predict_proba([[1.0]])[0, 1], y[:20].mean(), atol=1e-4
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"init": np.zeros((2, 2))}, r"init must have shape \(2, 3\)"),
        ({"init": np.full((2, 3), np.nan)}, "init must have finite"),
        ({"class_order": [0, 0]}, "class_order must have each of the classes"),
        ({"class_order": [0, 1, 2]}, "class_order must have each of the classes"),
        ({"solver": "xgd", "mu": np.ones((3, 3))}, r"mu must have shape \(2, 3\)"),
        ({"solver": "xgd", "mu": np.full((30, 2), 1.5)}, "mu must have prob"),
        ({"solver": "em", "noise": "fit"}, "noise='fit' goes with solver"),
        ({"noise": 0.5}, "'noise' parameter"),
        ({"noise": -0.1}, "'noise' parameter"),
        ({"C": 0}, "'C' parameter"),
        ({"n_hyperplanes": 0}, "'n_hyperplanes' parameter"),
        ({"n_init": 0}, "'n_init' parameter"),
        ({"multi_class": "multinomial"}, "'multi_class' parameter"),
    ],
)
def test_bad_parameters(parameters, message):
    X, y = xor(30)
    model = CheckeredClassifier(2).set_params(**parameters)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert not hasattr(model, "classes_")


def test_bad_labels_of_new_samples():
    X, y = xor(30)
    model = CheckeredClassifier(2, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="labels that were not in fit"):
        model.loss(X, y + 1)


# ---- the choice of the model ---------------------------------------------------------
def test_cross_validation_finds_the_number_of_hyperplanes():
    X, y, X_test, y_test = board(3, 1)
    model = CheckeredClassifierCV((1, 2, 3), Cs=[0.1, 5.0], cv=3, random_state=0)
    model.fit(X, y)
    assert model.n_hyperplanes_ == 3
    assert model.C_ == 5.0
    assert model.scores_.shape == (3, 3, 2)
    assert model.score(X_test, y_test) > 0.96
    single = CheckeredClassifier(3, C=5, random_state=0).fit(X, y)
    np.testing.assert_allclose(model.coef_, single.coef_, atol=1e-6)
    again = clone(model).set_params(n_jobs=2, refit=False).fit(X, y)
    np.testing.assert_allclose(again.scores_, model.scores_, rtol=1e-7)
    with pytest.raises(NotFittedError):
        again.predict(X)


def test_scores_are_those_of_single_fits():
    X, y, _, _ = board(2, 2, n=600)
    folds = StratifiedKFold(3)
    for scoring in ("neg_log_loss", "accuracy"):
        model = CheckeredClassifierCV(
            (2,), Cs=[1.0], cv=folds, scoring=scoring, random_state=0
        ).fit(X, y)
        for score, (train, test) in zip(
            model.scores_[:, 0, 0], folds.split(X, y), strict=True
        ):
            single = CheckeredClassifier(2, random_state=0).fit(X[train], y[train])
            if scoring == "accuracy":
                expected = single.score(X[test], y[test])
            else:
                expected = -single.loss(X[test], y[test])
            assert score == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("flips", [0.0, 0.05])
@pytest.mark.parametrize("m", [2, 3])
def test_bic_finds_the_number_of_hyperplanes(m, flips):
    X, y, _, _ = board(m, 4, flip_y=flips)
    model = CheckeredClassifierCV(
        range(1, 5), Cs=[5.0], criterion="bic", noise="fit", random_state=0
    ).fit(X, y)
    assert model.n_hyperplanes_ == m
    assert model.bic_.shape == (4, 1)
    if flips:
        assert model.noise_ == pytest.approx(flips, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("m", [2, 3, 4])
def test_bic_under_flips_in_many_draws(m):
    for seed in range(5):
        X, y, _, _ = board(m, 50 + seed, flip_y=0.05)
        model = CheckeredClassifierCV(
            range(1, m + 3), Cs=[5.0], criterion="bic", noise="fit", random_state=seed
        )
        assert model.fit(X, y).n_hyperplanes_ == m


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_hyperplanes": [0, 1]}, "n_hyperplanes must be integers"),
        ({"n_hyperplanes": [1.5]}, "n_hyperplanes must be integers"),
        ({"n_hyperplanes": []}, "n_hyperplanes must"),
        ({"Cs": [-1.0]}, "Cs must be positive"),
        ({"Cs": 0}, "'Cs' parameter"),
        ({"scoring": "nonsense"}, "'scoring' parameter"),
    ],
)
def test_bad_grids(parameters, message):
    X, y = xor(30)
    with pytest.raises(ValueError, match=message):
        CheckeredClassifierCV().set_params(**parameters).fit(X, y)
