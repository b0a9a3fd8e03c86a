"""The estimators of the semidefinite programs."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from skalgos.cluster import (
    LASDP,
    SDPKMeans,
    kmeans_certificate,
    lasdp_certificate,
    sdp_lower_bound,
)
from tests.reference.sdp import inertia, make_ellipses


def error(truth, labels):
    table = np.zeros((truth.max() + 1, labels.max() + 1))
    np.add.at(table, (truth, labels), 1)
    rows, columns = linear_sum_assignment(-table)
    return 1 - table[rows, columns].sum() / len(truth)


def cigars():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((240, 2)) * [5, 0.2]
    y = np.repeat(np.arange(3), 80)
    X[:, 1] += 1.5 * y
    c, s = np.cos(0.5), np.sin(0.5)
    return X @ np.array([[c, s], [-s, c]]), y


# ---- K-means -------------------------------------------------------------------------
def test_bounds_of_iris():
    X = load_iris().data
    for K, bound, best in ((2, 150.683, 152.348), (3, 75.5371, 78.8514)):
        model = SDPKMeans(K).fit(X)
        assert model.inertia_ == pytest.approx(inertia(X, model.labels_))
        assert model.inertia_ <= best * 1.001
        assert model.lower_bound_ == pytest.approx(bound, rel=3e-4)
        assert model.objective_ == pytest.approx(bound, rel=3e-4)
        assert not model.certified_
        result = sdp_lower_bound(X, K)
        assert result.bound == pytest.approx(bound, rel=3e-4)
        assert result.bound <= best


@pytest.mark.parametrize("solver", ["admm", "nlr", "sketch"])
def test_separated_clusters_are_found_and_certified(solver):
    X, y, _ = make_ellipses(120, 3, 4, 12, "round", 0)
    model = SDPKMeans(3, solver=solver, n_sketch=60, random_state=0).fit(X)
    assert error(y, model.labels_) == 0
    assert model.certified_
    assert model.gap_ < 1e-9
    assert model.solver_ == solver
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    np.testing.assert_array_equal(model.transform(X).argmin(axis=1), model.labels_)
    assert model.score(X) == pytest.approx(-model.inertia_)


def test_memberships_are_fractional_where_the_program_is_not_tight():
    X, _, _ = make_ellipses(60, 3, 4, 2, "mixed", 3)
    model = SDPKMeans(3).fit(X)
    shares = model.membership_
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-2)
    assert np.mean((shares > 0.05) & (shares < 0.95)) > 0.05
    Z = model.membership_matrix()
    assert np.trace(Z) == pytest.approx(3, abs=1e-3)
    np.testing.assert_allclose(Z.sum(axis=1), 1, atol=1e-2)


def test_no_partition_of_kmeans_beats_the_bound():
    X, _, _ = make_ellipses(150, 4, 4, 2, "mixed", 0)
    model = SDPKMeans(4).fit(X)
    lloyd = KMeans(4, n_init=20, random_state=0).fit(X)
    assert model.lower_bound_ <= lloyd.inertia_ + 1e-9
    assert model.lower_bound_ <= model.inertia_
    assert model.gap_ < 0.1


@pytest.mark.parametrize("estimator", [SDPKMeans, LASDP])
def test_trivial_numbers_of_clusters(estimator):
    X = np.array([[0.0, 0], [1, 0], [0, 2], [5, 5]])
    one = estimator(1).fit(X)
    assert (one.labels_ == 0).all()
    np.testing.assert_allclose(one.membership_matrix(), 0.25)
    many = estimator(4).fit(X)
    assert len(np.unique(many.labels_)) == 4
    np.testing.assert_allclose(many.membership_matrix(), np.eye(4))
    two = estimator(2).fit(X[:2])
    assert len(np.unique(two.labels_)) == 2
    with pytest.raises(ValueError, match="n_clusters=5"):
        estimator(5).fit(X)
    with pytest.raises(ValueError, match="NaN"):
        estimator(2).fit(np.where(X == 5, np.nan, X))


@pytest.mark.parametrize("estimator", [SDPKMeans, LASDP])
def test_duplicates_and_constant_features(estimator):
    X = np.repeat([[0.0, 1.0], [3.0, 1.0]], 5, axis=0)
    with pytest.warns(ConvergenceWarning, match="distinct"):
        model = estimator(3).fit(X)
    assert len(np.unique(model.labels_)) == 2
    model = estimator(2).fit(X)
    assert error(np.repeat([0, 1], 5), model.labels_) == 0
    same = estimator(1).fit(np.ones((5, 2)))
    assert (same.predict(np.ones((2, 2))) == 0).all()


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_scales_and_shifts_change_nothing(scale):
    X, y, S = make_ellipses(60, 3, 3, 5, "mixed", 0)
    expected = SDPKMeans(3).fit(X)
    model = SDPKMeans(3).fit(X * scale + 7 * scale)
    np.testing.assert_array_equal(model.labels_, expected.labels_)
    assert model.gap_ == pytest.approx(expected.gap_, abs=1e-4)
    expected = LASDP(3, random_state=0).fit(X)
    model = LASDP(3, random_state=0).fit(X * scale + 7 * scale)
    np.testing.assert_array_equal(model.labels_, expected.labels_)


def test_an_early_stop_warns():
    X, _, _ = make_ellipses(60, 3, 4, 2, "mixed", 0)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        model = SDPKMeans(3, max_iter=3).fit(X)
    assert not model.converged_
    assert model.lower_bound_ <= model.inertia_


# ---- known covariances ---------------------------------------------------------------
def test_known_covariances_reach_the_optimum():
    X, y, S = make_ellipses(60, 3, 4, 6, "mixed", 3)
    model = LASDP(3, covariances=S, solver="admm").fit(X)
    assert model.objective_ == pytest.approx(-80.65927, rel=1e-3)
    assert model.log_likelihood_ == pytest.approx(-80.65927, rel=1e-6)
    assert model.upper_bound_ >= model.log_likelihood_
    np.testing.assert_array_equal(model.labels_, y)
    low = LASDP(3, covariances=S, solver="nlr", random_state=0).fit(X)
    np.testing.assert_array_equal(low.labels_, y)
    found = lasdp_certificate(X, y, S)
    assert found.objective == pytest.approx(model.log_likelihood_)


def test_equal_covariances_carry_no_names():
    X, y, _ = make_ellipses(60, 3, 3, 9, "round", 0)
    model = LASDP(3, covariances=np.eye(3), solver="admm").fit(X)
    assert error(y, model.labels_) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda S: S[:2], "shape"),
        (lambda S: S + np.triu(np.ones((3, 3)), 1) * (np.arange(3) == 1)[:, None, None],
         r"covariances\[1\] is not symmetric"),
        (lambda S: S * np.array([1, 1, -1])[:, None, None],
         r"covariances\[2\] is not positive definite"),
        (lambda S: S * np.array([np.nan, 1, 1])[:, None, None],
         r"covariances\[0\] has entries"),
    ],
)  # fmt: skip
def test_bad_covariances_are_named(change, message):
    X, y, S = make_ellipses(30, 3, 3, 4, "mixed", 0)
    with pytest.raises(ValueError, match=message):
        LASDP(3, covariances=change(S)).fit(X)
    with pytest.raises(ValueError, match="shape" if message == "shape" else message):
        lasdp_certificate(X, y, change(S))


# ---- unknown covariances -------------------------------------------------------------
def test_parallel_cigars():
    X, y = cigars()
    assert error(y, KMeans(3, n_init=10, random_state=0).fit(X).labels_) > 0.3
    assert error(y, LASDP(3, random_state=0).fit(X).labels_) <= 0.02
    tied = LASDP(3, covariance_type="tied", random_state=0).fit(X)
    assert error(y, tied.labels_) <= 0.01
    assert np.ptp(tied.covariances_, axis=0).max() == 0


def test_iris():
    X, y = load_iris(return_X_y=True)
    for kind in ("full", "tied"):
        model = LASDP(3, covariance_type=kind, random_state=0).fit(X)
        assert error(y, model.labels_) <= 0.034


@pytest.mark.slow
def test_labels_are_the_same_for_nearly_all_random_states():
    X, y, _ = make_ellipses(200, 3, 4, 4, "flat", 1000)
    fits = [LASDP(3, random_state=seed).fit(X).labels_ for seed in range(20)]
    same = sum(np.array_equal(labels, fits[0]) for labels in fits)
    assert same >= 19


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "K", "p", "limit"), [("flat", 3, 4, 0.035)])
def test_mean_error_at_separation_three(kind, K, p, limit):
    errors = []
    for seed in range(1000, 1006):
        X, y, _ = make_ellipses(200, K, p, 3.0, kind, seed)
        errors.append(error(y, LASDP(K, random_state=0).fit(X).labels_))
    assert np.mean(errors) <= limit


@pytest.mark.parametrize("alternation", ["rounded", "relaxed"])
@pytest.mark.parametrize("init", ["sdp", "ward"])
def test_each_alternation_from_each_start(alternation, init):
    X, y, _ = make_ellipses(90, 3, 3, 6, "flat", 1)
    model = LASDP(3, alternation=alternation, init=init, random_state=0).fit(X)
    assert error(y, model.labels_) <= 0.02
    assert model.init_ == f"{init}, {alternation}"


def test_labels_to_start_from():
    X, y, _ = make_ellipses(90, 3, 3, 6, "flat", 1)
    model = LASDP(3, init=y, random_state=0).fit(X)
    assert error(y, model.labels_) <= 0.02
    with pytest.raises(ValueError, match="init"):
        LASDP(3, init=y[:50]).fit(X)
    with pytest.raises(ValueError, match="init"):
        LASDP(3, init=np.minimum(y, 1)).fit(X)


def test_fewer_samples_than_features():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((12, 30)) + 6 * (np.arange(12) % 2)[:, None]
    model = LASDP(2, random_state=0).fit(X)
    assert model.degenerate_.all()
    assert error(np.arange(12) % 2, model.labels_) == 0
    shrunk = LASDP(2, shrinkage="oas", random_state=0).fit(X)
    assert error(np.arange(12) % 2, shrunk.labels_) == 0


def test_methods_of_a_mixture():
    X, y, _ = make_ellipses(120, 3, 3, 6, "mixed", 0)
    model = LASDP(3, random_state=0).fit(X)
    probabilities = model.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), model.labels_)
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    from scipy.stats import multivariate_normal

    density = sum(
        w * multivariate_normal(m, S).pdf(X)
        for w, m, S in zip(
            model.weights_, model.means_, model.covariances_, strict=True
        )
    )
    np.testing.assert_allclose(model.score_samples(X), np.log(density))
    assert model.score(X) == pytest.approx(np.log(density).mean())
    free = 3 * 3 + 2 + 3 * 6
    twice = -2 * np.log(density).sum()
    assert model.aic(X) == pytest.approx(twice + 2 * free)
    assert model.bic(X) == pytest.approx(twice + free * np.log(120))
    drawn, labels = model.sample(4000, random_state=0)
    for k in range(3):
        rows = drawn[labels == k]
        assert np.abs(rows.mean(axis=0) - model.means_[k]).max() < 0.2
    with pytest.raises(ValueError, match="n_samples"):
        model.sample(0)


def test_a_sketch_ends_near_the_whole():
    X, y, S = make_ellipses(3000, 3, 4, 5, "flat", 0)
    whole = error(y, LASDP(3, covariances=S, solver="nlr").fit(X).labels_)
    for settings in ({"covariances": S}, {}):
        model = LASDP(3, solver="sketch", n_sketch=300, random_state=0, **settings)
        assert error(y, model.fit(X).labels_) <= whole + 0.003
        assert not hasattr(model, "embedding_")
        with pytest.raises(AttributeError, match="membership matrix"):
            model.membership_matrix()


def test_certificate_takes_any_labels():
    X, y, _ = make_ellipses(90, 3, 3, 12, "round", 0)
    names = np.array(["a", "b", "c"])[y]
    assert kmeans_certificate(X, names).certified
    with pytest.raises(ValueError, match="labels must be"):
        lasdp_certificate(X, y + 1, np.eye(3))


def test_callbacks_see_objective_and_residuals():
    pytest.importorskip("sklearn.callback")
    X, y, S = make_ellipses(60, 3, 4, 3, "mixed", 0)
    seen = []

    class Listening:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            if context.task_name == "iteration":
                seen.append(fitted_estimator)
                return len(seen) == 2

    model = SDPKMeans(3).set_callbacks(Listening()).fit(X)
    assert model.n_iter_ == seen[1].n_iter_
    assert len(seen) == 2
    assert seen[1].objective_ == pytest.approx(model.objective_)
    assert seen[1].primal_residual_ == pytest.approx(model.primal_residual_)
    assert seen[1].dual_residual_ == pytest.approx(model.dual_residual_)
