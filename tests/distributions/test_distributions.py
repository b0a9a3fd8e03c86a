"""Scores, gradients and metrics against differences, quadrature and scipy."""

import pickle

import numpy as np
import pytest
from scipy import special, stats
from sklearn.base import clone

from skalgos.distributions import (
    Beta,
    Categorical,
    Distribution,
    Exponential,
    Gamma,
    Gumbel,
    HalfNormal,
    HurdleGamma,
    Laplace,
    Logistic,
    LogNormal,
    MultivariateNormal,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    Weibull,
    ZeroInflatedNegativeBinomial,
    ZeroInflatedPoisson,
    check_gradients,
)
from skalgos.distributions._location_scale import (
    fit_censored,
    mixed_gradient,
    mixed_score,
)
from tests.reference import distributions as reference

# Internal parameters: ordinary ones, and extreme ones.
LOCATION_SCALE = [[0.3, 0.5], [-2.0, -1.0], [5.0, 3.0], [1e3, 0.0], [0.1, -4.0]]
LOG_AXIS = [[0.3, 0.0], [-2.0, -1.5], [3.0, 0.6], [8.0, -3.0]]
CASES = [
    (Normal(), LOCATION_SCALE),
    (LogNormal(), LOG_AXIS),
    (Laplace(), LOCATION_SCALE),
    (Logistic(), LOCATION_SCALE),
    (Gumbel(), LOCATION_SCALE),
    (Weibull(), LOG_AXIS),
    (StudentT(df=3), LOCATION_SCALE),
    (StudentT(df=1.5), LOCATION_SCALE),
    (StudentT(df=30.0), LOCATION_SCALE),
    (StudentT(), [[0.0, 0.0, 1.0], [3.0, -2.0, 0.5], [-1.0, 2.0, 3.0]]),
    (Gamma(), [[0.0, 0.0], [2.0, 3.0], [-3.0, -1.5], [5.0, 6.0], [1.0, 1.0]]),
    (Exponential(), [[0.0], [6.0], [-6.0]]),
    (HalfNormal(), [[0.0], [6.0], [-6.0]]),
    (Beta(), [[0.0, 0.0], [1.0, 2.0], [-1.0, 0.5], [4.0, 5.0], [-0.4, -0.2]]),
    (Poisson(), [[0.0], [3.0], [-3.0], [6.0]]),
    (
        NegativeBinomial(),
        [[0.0, 0.0], [3.0, 1.0], [-2.0, 2.0], [4.0, -1.0], [2.0, 5.0]],
    ),
    (ZeroInflatedPoisson(), [[1.0, 0.0], [0.0, -2.0], [2.5, 2.0]]),
    (ZeroInflatedNegativeBinomial(), [[1.0, 0.0, 0.0], [2.0, 1.0, -1.5]]),
    (HurdleGamma(), [[1.0, 0.5, 0.3], [-1.0, 2.0, -2.0]]),
    (Categorical(2), [[0.0], [3.0], [-3.0]]),
    (Categorical(4), [[0.0, 1.0, -1.0], [2.0, 2.0, -3.0]]),
]
IDS = [repr(family) for family, _ in CASES]
CRPS_CASES = [case for case in CASES if "crps" in case[0].rules]
CRPS_IDS = [repr(family) for family, _ in CRPS_CASES]
cases = pytest.mark.parametrize("family, thetas", CASES, ids=IDS)
crps_cases = pytest.mark.parametrize("family, thetas", CRPS_CASES, ids=CRPS_IDS)


def draws(family, theta, n=30, seed=0):
    """Return values from the distribution and from far out in both tails."""
    dist = family(**dict(zip(family.param_names, family.to_params(theta), strict=True)))
    values = np.ravel(dist.rvs(size=n, random_state=seed)).astype(float)
    tails = np.ravel(dist.ppf(np.array([1e-6, 1e-3, 0.999, 1 - 1e-6])[:, None]))
    values = np.r_[values, tails]
    return values[family.in_support(values)]


def rows(family, theta, seed=0):
    theta = np.array(theta, float)[:, None]
    y = draws(family, theta, seed=seed)
    return np.repeat(theta, len(y), 1), y


@cases
def test_gradients_are_central_differences(family, thetas):
    for theta in thetas:
        for rule in family.rules:
            check_gradients(family, *rows(family, theta), rule=rule, rtol=2e-6)


@cases
def test_gradients_at_random_parameters(family, thetas):
    rng = np.random.RandomState(0)
    for _ in range(10):
        theta = np.array(thetas[0]) + rng.normal(0, 0.7, len(thetas[0]))
        if family.theta_names[-1] == "log_df":
            theta[-1] = abs(theta[-1]) + 0.2
        for rule in family.rules:
            check_gradients(family, *rows(family, theta, rng), rule=rule, rtol=2e-6)


def test_the_gradient_checker_finds_a_wrong_gradient():
    class Wrong(Normal):
        def log_gradient(self, theta, y):
            return super().log_gradient(theta, y) * [[1.0], [1.001]]

    with pytest.raises(AssertionError, match="log_scale, row 0"):
        check_gradients(Wrong(), [[0.0], [0.0]], [2.0])


def full(metric):
    return metric[:, :, 0] if metric.ndim == 3 else np.diag(metric[:, 0])


@cases
def test_fisher_information_is_the_expected_outer_product(family, thetas):
    if isinstance(family, (HurdleGamma, Categorical)):
        pytest.skip("tested on its own below")
    for theta in thetas:
        theta = np.array(theta, float)
        expected = reference.expected_outer(family, theta)
        actual = full(family.log_metric(theta[:, None]))
        scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
        np.testing.assert_allclose(actual / scale, expected / scale, atol=5e-6)


@pytest.mark.parametrize("family, theta", [(c, t[1]) for c, t in CASES[-3:]])
def test_fisher_information_where_there_is_a_lump(family, theta):
    theta = np.array(theta, float)
    if isinstance(family, HurdleGamma):
        inner = reference.expected_outer(Gamma(), theta[:2])
        zero = special.expit(theta[2])
        expected = np.zeros((3, 3))
        expected[:2, :2] = (1 - zero) * inner
        g = family.log_gradient(np.repeat(theta[:, None], 2, 1), np.array([0.0, 1.0]))
        expected[2, 2] = zero * g[2, 0] ** 2 + (1 - zero) * g[2, 1] ** 2
    else:
        y = np.arange(family.n_classes, dtype=float)
        g = family.log_gradient(np.repeat(theta[:, None], len(y), 1), y)
        expected = np.einsum("in,jn,n->ij", g, g, family.proba(theta[:, None])[:, 0])
    actual = full(family.log_metric(theta[:, None]))
    np.testing.assert_allclose(actual, expected, atol=1e-9)


@crps_cases
def test_crps_metric_is_the_integral_of_slopes(family, thetas):
    for theta in thetas:
        theta = np.array(theta, float)
        if abs(theta[0]) > 100:
            continue  # differences of F would lose too many digits
        log_axis = getattr(family, "log_axis", False)
        expected = reference.crps_metric(family, theta, log_axis)
        actual = full(family.crps_metric(theta[:, None]))
        scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
        np.testing.assert_allclose(actual / scale, expected / scale, atol=1e-5)


@crps_cases
def test_crps_is_the_integral(family, thetas):
    for theta in thetas:
        theta, y = rows(family, theta)
        theta, y = theta[:, ::6], y[::6]
        frozen = family.to_scipy(theta[:, :1])
        actual = family.crps(theta, y)
        expected = [reference.crps(frozen, value, family.discrete) for value in y]
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.parametrize("family", [LogNormal(), Weibull()])
def test_crps_as_a_rule_is_on_the_log_axis(family):
    theta, y = rows(family, [0.3, -0.4])
    frozen = family.to_scipy(theta[:, :1])
    expected = [reference.crps(frozen, value, False, log_axis=True) for value in y]
    np.testing.assert_allclose(family.score(theta, y, "crps"), expected, rtol=1e-6)


@cases
def test_log_score_is_that_of_scipy(family, thetas):
    for theta in thetas:
        theta, y = rows(family, theta)
        frozen = family.to_scipy(theta)
        expected = frozen.logpmf(y) if family.discrete else frozen.logpdf(y)
        np.testing.assert_allclose(
            family.log_score(theta, y), -expected, rtol=1e-8, atol=1e-8
        )


@cases
def test_natural_gradient_solves_the_metric(family, thetas):
    for theta in thetas:
        theta, y = rows(family, theta)
        for rule in family.rules:
            natural = family.natural_gradient(theta, y, rule)
            gradient = family.gradient(theta, y, rule)
            metric = family.metric(theta, rule)
            if metric.ndim == 2:
                product = metric * natural
            else:
                product = np.einsum("ijn,jn->in", metric, natural)
            if rule == "log" and isinstance(family, Categorical):
                small = family.proba(theta).min() < family.floor
                if small:
                    # Damped: but at the truth the mean is zero all the same.
                    each = np.arange(family.n_classes, dtype=float)
                    wide = np.repeat(theta[:, :1], len(each), axis=1)
                    natural = family.natural_gradient(wide, each)
                    mean = natural @ family.proba(theta)[:, 0]
                    np.testing.assert_allclose(mean, 0, atol=1e-12)
                    assert np.abs(natural).max() <= 1 / family.floor + 1e-9
                    continue
            if rule == "brier":
                product += family.damping * natural
            scale = np.abs(gradient).max(axis=0)
            assert (np.abs(product - gradient) <= 1e-6 * scale + 1e-12).all()


@pytest.mark.parametrize("n_classes", [2, 5])
def test_the_log_score_of_classes_is_that_of_their_probabilities(n_classes):
    rng = np.random.RandomState(0)
    family = Categorical(n_classes)
    theta = np.clip(rng.normal(scale=6, size=(n_classes - 1, 200)), -14, 14)
    y = rng.randint(n_classes, size=200)
    chosen = family.proba(theta)[y, np.arange(200)]
    score = family.log_score(theta, y)
    np.testing.assert_allclose(score, -np.log(chosen), rtol=1e-9, atol=1e-15)
    # Where all others are unlikely, the score is their probability, without loss.
    sure = np.full((n_classes - 1, 1), -40.0)
    others = (n_classes - 1) * np.exp(-40)
    np.testing.assert_allclose(family.log_score(sure, np.zeros(1)), others, rtol=1e-14)


@cases
def test_the_spread_is_marked_for_each_parameter(family, thetas):
    assert len(family.spread) == len(family.bounded) == family.n_theta


def test_brier_metric_is_that_of_the_squared_slopes():
    family = Categorical(3)
    theta = np.array([[0.4], [-1.0]])
    step = 1e-5
    slopes = [
        (family.proba(theta + d[:, None]) - family.proba(theta - d[:, None])) / 2e-5
        for d in step * np.eye(2)
    ]
    expected = 2 * np.einsum("ikn,jkn->ij", slopes, slopes)
    np.testing.assert_allclose(full(family.brier_metric(theta)), expected, rtol=1e-6)


# ---- censored ------------------------------------------------------------------------
CENSORED = [
    (Normal(), [0.3, 0.5]),
    (LogNormal(), [0.3, -0.5]),
    (Logistic(), [0.3, 0.5]),
    (Laplace(), [0.3, 0.5]),
    (Gumbel(), [0.3, 0.5]),
    (Weibull(), [0.3, -0.5]),
    (Exponential(), [0.3]),
]


def intervals(family, theta, extremes):
    """Return left-, right- and interval-censored values, into both tails."""
    frozen = family.to_scipy(np.array(theta)[:, None])
    tails = [1e-9, 1e-3, 0.2] if extremes else [1e-3, 0.2]
    q = np.array([*tails, 0.45])
    low, high = np.ravel(frozen.ppf(q)), np.ravel(frozen.isf(q))
    lower = np.r_[low, high, np.full(2 * len(q), -np.inf), low, high[1:]]
    upper = np.r_[np.full(2 * len(q), np.inf), low, high, high + 1, high[:-1]]
    return lower, upper


@pytest.mark.parametrize("family, theta", CENSORED, ids=lambda p: str(p))
def test_censored_log_score_is_the_log_of_the_mass(family, theta):
    lower, upper = intervals(family, theta, extremes=False)
    frozen = family.to_scipy(np.array(theta)[:, None])
    mass = np.where(
        frozen.cdf(lower) < 0.5,
        frozen.cdf(upper) - frozen.cdf(lower),
        frozen.sf(lower) - frozen.sf(upper),
    )
    wide = np.repeat(np.array(theta)[:, None], len(lower), 1)
    actual = family.censored_score(wide, lower, upper)
    np.testing.assert_allclose(actual, -np.log(mass), rtol=1e-8)


@pytest.mark.parametrize("family, theta", CENSORED, ids=lambda p: str(p))
def test_censored_gradients_are_central_differences(family, theta):
    lower, upper = intervals(family, theta, extremes=True)
    wide = np.repeat(np.array(theta)[:, None], len(lower), 1)

    class Censored(Distribution):
        theta_names = family.theta_names

        def log_metric(self, theta):
            return family.log_metric(theta)

        def score(self, theta, y, rule):
            return family.censored_score(theta, *y, rule)

        def gradient(self, theta, y, rule):
            return family.censored_gradient(theta, *y, rule)

    for rule in family.censored_rules:
        y = np.array([lower, upper])
        check_gradients(Censored(), wide, y, rule=rule, rtol=2e-6)


@pytest.mark.parametrize(
    "family, theta", [c for c in CENSORED if "crps" in c[0].censored_rules], ids=str
)
def test_censored_crps_is_the_integral_outside(family, theta):
    lower, upper = intervals(family, theta, extremes=False)
    log_axis = getattr(family, "log_axis", False)
    if log_axis or isinstance(family, Exponential):
        lower = np.maximum(lower, 0)
    frozen = family.to_scipy(np.array(theta)[:, None])
    wide = np.repeat(np.array(theta)[:, None], len(lower), 1)
    actual = family.censored_score(wide, lower, upper, "crps")
    with np.errstate(divide="ignore"):
        expected = [
            reference.censored_crps(frozen, a, b, log_axis)
            for a, b in zip(lower, upper, strict=True)
        ]
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("z", [30.0, -30.0, 1e3, -1e3])
def test_censoring_far_in_a_tail_stays_finite(z):
    theta = np.zeros((2, 3))
    lower, upper = np.array([z, -np.inf, z]), np.array([np.inf, z, z + 1])
    for family in (Normal(), Logistic(), Laplace()):
        assert np.isfinite(family.censored_score(theta, lower, upper)).all()
        assert np.isfinite(family.censored_gradient(theta, lower, upper)).all()


@pytest.mark.parametrize("family, theta", CENSORED, ids=lambda p: str(p))
def test_marginal_fit_sees_censoring(family, theta):
    truth = np.array(theta)
    y = np.ravel(family.to_scipy(truth[:, None]).rvs(40_000, random_state=0))
    limit = np.quantile(y, 0.6)
    upper = np.where(y > limit, np.inf, y)
    lower = np.minimum(y, limit)
    found = fit_censored(family, lower, upper, np.ones(len(y)))
    np.testing.assert_allclose(found, truth, atol=0.04)


@pytest.mark.parametrize("family, theta", CENSORED, ids=lambda p: str(p))
def test_truncated_scores_divide_by_what_could_be_seen(family, theta):
    frozen = family.to_scipy(np.array(theta)[:, None])
    entry = np.ravel(frozen.ppf([0.0, 0.1, 0.45, 0.9, 0.9]))
    late = np.ravel(frozen.ppf([0.2, 0.5, 0.95, 0.99, 0.95]))
    upper = np.append(late[:-1], np.inf)
    wide = np.repeat(np.array(theta)[:, None], 5, 1)
    actual = mixed_score(family, wide, late, upper, late == upper, "log", entry)
    expected = np.append(frozen.logpdf(late[:-1]), frozen.logsf(late[-1]))
    np.testing.assert_allclose(actual, frozen.logsf(entry) - expected, rtol=1e-8)

    class Truncated(Distribution):
        theta_names = family.theta_names

        def log_metric(self, theta):
            return family.log_metric(theta)

        def score(self, theta, y, rule):
            return mixed_score(family, theta, *y[:2], y[0] == y[1], rule, y[2])

        def gradient(self, theta, y, rule):
            return mixed_gradient(family, theta, *y[:2], y[0] == y[1], rule, y[2])

    check_gradients(Truncated(), wide, np.array([late, upper, entry]), rtol=2e-6)


@pytest.mark.parametrize("family", [LogNormal(), Weibull(), Normal()], ids=str)
def test_marginal_fit_sees_truncation(family):
    truth = np.array([0.3, -0.5])
    rng = np.random.RandomState(0)
    y = np.ravel(family.to_scipy(truth[:, None]).rvs(60_000, random_state=rng))
    entry = rng.permutation(y)
    seen = y > entry
    y, entry = y[seen], entry[seen]
    found = fit_censored(family, y, y, np.ones(len(y)), "log", entry)
    # Five standard errors of 30,000 rows, each of which tells about a half.
    error = 5 / np.sqrt(15_000 * np.diag(full(family.log_metric(truth[:, None]))))
    assert (np.abs(found - truth) < error).all()
    blind = family.fit_marginal(y)
    assert np.abs(blind - truth).max() > 0.2


# ---- marginal fits -------------------------------------------------------------------
@cases
def test_marginal_fit_finds_the_truth(family, thetas):
    truth = np.array(thetas[0], float)
    dist = family(
        **dict(zip(family.param_names, family.to_params(truth[:, None]), strict=True))
    )
    y = np.ravel(dist.rvs(size=20_000, random_state=0)).astype(float)
    for rule in family.rules:
        found = family.fit_marginal(y, rule=rule)
        np.testing.assert_allclose(found, truth, atol=0.12)


@cases
def test_marginal_fit_is_stationary_and_weights_are_repetitions(family, thetas):
    theta = np.array(thetas[0], float)
    dist = family(
        **dict(zip(family.param_names, family.to_params(theta[:, None]), strict=True))
    )
    y = np.ravel(dist.rvs(size=300, random_state=1)).astype(float)
    w = np.random.RandomState(0).randint(0, 4, len(y)).astype(float)
    for rule in family.rules:
        if rule == "brier":
            continue  # fitted as shares, which are optimal for both rules
        found = family.fit_marginal(y, w, rule)
        wide = np.repeat(found[:, None], len(y), 1)
        slope = family.natural_gradient(wide, y, rule) @ w / w.sum()
        scale = np.abs(found).max() + 1
        inside = (found > family.bounds(found, rule)[0] + 1e-9) & (
            found < family.bounds(found, rule)[1] - 1e-9
        )
        if isinstance(family, Laplace) and rule == "log":
            inside[0] = False  # the median of few values is where the slope jumps
        assert (np.abs(slope[inside]) < 1e-5 * scale).all()
        again = family.fit_marginal(np.repeat(y, w.astype(int)), rule=rule)
        np.testing.assert_allclose(again, found, rtol=1e-6, atol=1e-6)


def test_constant_values_have_a_small_finite_scale():
    for family in (Normal(), Laplace(), StudentT(df=3), Logistic(), Gumbel()):
        theta = family.fit_marginal(np.full(10, 7.0))
        assert np.isfinite(theta).all()
        assert 0 < np.exp(theta[1]) < 1e-4


# ---- prediction objects --------------------------------------------------------------
@cases
def test_predictions_agree_with_their_definition(family, thetas):
    theta = np.array(thetas, float).T
    names = family.param_names
    dist = family(**dict(zip(names, family.to_params(theta), strict=True)))
    np.testing.assert_allclose(dist.theta, theta, atol=1e-9)
    assert len(dist) == theta.shape[1]
    values = dist.rvs(size=40_000, random_state=0)
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(dist.var()) & (dist.var() < 1e30)
    heavy = isinstance(family, StudentT) or family.__class__ is LogNormal
    if not heavy:
        error = 6 * dist.std() / np.sqrt(len(values))
        assert (np.abs(values.mean(axis=0) - dist.mean()) < error)[finite].all()
        np.testing.assert_allclose(values.var(axis=0), dist.var(), rtol=0.2)
    for q in (0.05, 0.5, 0.95):
        x = dist.ppf(q)
        below = (values < x).mean(axis=0)
        up_to = (values <= x).mean(axis=0)
        assert (below - 0.012 <= q).all()
        assert (q <= up_to + 0.012).all()
        np.testing.assert_allclose(dist.cdf(x), up_to, atol=0.012)
        np.testing.assert_allclose(dist.cdf(x) + dist.sf(x), 1)
    np.testing.assert_allclose(dist.isf(0.3), dist.ppf(0.7), rtol=1e-9)
    np.testing.assert_allclose(
        np.exp(dist.logsf(dist.median())), dist.sf(dist.median())
    )
    np.testing.assert_allclose(dist.pdf(values[0]), np.exp(-dist.nll(values[0])))
    inside = dist.interval(0.8)
    np.testing.assert_allclose(inside[:, 0], dist.ppf(0.1))
    scores = np.array([dist.nll(v.astype(float)) for v in values[:3000]])
    error = 6 * scores.std(axis=0) / np.sqrt(len(scores)) + 1e-9
    assert (np.abs(scores.mean(axis=0) - dist.entropy()) < error).all()
    first = dist[0]
    np.testing.assert_allclose(first.mean(), dist.mean()[:1])
    np.testing.assert_allclose(dist[::-1].median(), dist.median()[::-1])
    again = pickle.loads(pickle.dumps(dist))
    np.testing.assert_array_equal(again.theta, dist.theta)


def test_predictions_broadcast_over_a_grid():
    dist = Gamma()(mean=[1.0, 2.0, 3.0], shape=2.0)
    grid = np.linspace(0.1, 5, 7)
    assert dist.cdf(grid[:, None]).shape == (7, 3)
    assert dist.hazard(grid[:, None]).shape == (7, 3)
    assert dist.to_scipy().mean().shape == (3,)
    assert set(dist.params) == {"mean", "shape"}
    assert "3 distributions" in repr(dist)


def test_wrong_parameters_are_refused():
    with pytest.raises(TypeError, match="takes the parameters"):
        Normal()(mean=0.0, scale=1.0)
    with pytest.raises(ValueError, match="out of their range"):
        Normal()(loc=0.0, scale=-1.0)
    with pytest.raises(ValueError, match="coverage must be between 0 and 1"):
        Normal()(loc=0.0, scale=1.0).interval(1.5)
    with pytest.raises(ValueError, match=r"CRPS of a Student t .* infinite"):
        StudentT(df=1).check_rule("crps")
    with pytest.raises(ValueError, match="df must be positive"):
        StudentT(df=-1).check_rule("log")
    with pytest.raises(ValueError, match="'log'"):
        MultivariateNormal(2).check_rule("crps")


def test_families_are_cloned_with_their_parameters():
    assert clone(StudentT(df=4)).df == 4
    assert StudentT(df=4).get_params() == {"df": 4}


def test_cauchy_is_student_t_with_one_degree():
    dist = StudentT(df=1)(loc=[0.0], scale=[2.0])
    np.testing.assert_allclose(dist.pdf([1.0]), stats.cauchy(0, 2).pdf([1.0]))


# ---- multivariate --------------------------------------------------------------------
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_multivariate_normal(k):
    family = MultivariateNormal(k)
    rng = np.random.RandomState(k)
    theta = rng.normal(0, 0.7, (family.n_theta, 6))
    y = rng.normal(0, 2, (k, 6))
    check_gradients(family, theta, y, rtol=1e-6)
    natural = family.natural_gradient(theta, y)
    product = np.einsum("ijn,jn->in", family.log_metric(theta), natural)
    np.testing.assert_allclose(product, family.log_gradient(theta, y), atol=1e-8)
    covariance, mean = family.covariance(theta), family.mean(theta)
    for i in range(6):
        frozen = stats.multivariate_normal(mean[:, i], covariance[i])
        expected = -frozen.logpdf(y[:, i])
        np.testing.assert_allclose(family.log_score(theta, y)[i], expected)
    # The Fisher information, by Monte Carlo: six standard errors.
    one = theta[:, :1]
    draws = rng.multivariate_normal(mean[:, 0], covariance[0], 200_000).T
    g = family.log_gradient(np.repeat(one, draws.shape[1], 1), draws)
    outer = np.einsum("in,jn->ij", g, g) / draws.shape[1]
    error = np.sqrt(np.einsum("in,jn->ij", g**2, g**2)) / draws.shape[1]
    assert (np.abs(outer - family.log_metric(one)[:, :, 0]) < 6 * error + 1e-9).all()


def test_multivariate_marginal_fit_is_the_covariance():
    rng = np.random.RandomState(0)
    y = rng.multivariate_normal([1, 2, 3], [[2, 1, 0], [1, 2, 0], [0, 0, 1]], 500).T
    w = rng.randint(1, 4, 500).astype(float)
    family = MultivariateNormal(3)
    theta = family.fit_marginal(y, w)[:, None]
    np.testing.assert_allclose(
        family.mean(theta)[:, 0], np.average(y, axis=1, weights=w)
    )
    expected = np.cov(y, aweights=w, bias=True)
    np.testing.assert_allclose(family.covariance(theta)[0], expected, rtol=1e-6)


# ---- a family of one's own -----------------------------------------------------------
def test_a_family_of_ones_own_needs_a_few_lines():
    class Rayleigh(Distribution):
        param_names = ("scale",)
        theta_names = ("log_scale",)
        bounded = (True,)

        def to_params(self, theta):
            return (np.exp(theta[0]),)

        def from_params(self, scale):
            return (np.log(scale),)

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

    family = Rayleigh()
    theta = np.array([0.7])
    y = family.to_scipy(theta[:, None]).rvs(1000, random_state=0)
    check_gradients(family, np.repeat(theta[:, None], len(y), 1), y)
    expected = reference.expected_outer(family, theta)
    np.testing.assert_allclose(full(family.log_metric(theta[:, None])), expected)
    np.testing.assert_allclose(family.fit_marginal(y), theta, atol=0.05)
