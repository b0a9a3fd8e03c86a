"""Scores against their definitions, scorers against the scores."""

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_iris
from sklearn.metrics import log_loss, mean_absolute_error, mean_pinball_loss

from skalgos.distributions import Categorical, Normal, Poisson
from skalgos.ensemble import NGBoostClassifier
from skalgos.metrics import (
    crps_score,
    interval_coverage,
    interval_score,
    log_score,
    neg_log_score_scorer,
    pinball_loss,
    probability_integral_transform,
)


@pytest.fixture
def problem():
    rng = np.random.RandomState(0)
    dist = Normal()(loc=rng.normal(size=50), scale=rng.uniform(1, 2, 50))
    return rng.normal(size=50), dist, rng.randint(1, 4, 50).astype(float)


def test_log_score_is_minus_the_mean_log_density(problem):
    y, dist, w = problem
    expected = -np.average(dist.logpdf(y), weights=w)
    np.testing.assert_allclose(log_score(y, dist, sample_weight=w), expected)


def test_weights_are_repetitions(problem):
    y, dist, w = problem
    rows = np.repeat(np.arange(50), w.astype(int))
    for score in (log_score, crps_score):
        weighted = score(y, dist, sample_weight=w)
        np.testing.assert_allclose(weighted, score(y[rows], dist[rows]))


def test_crps_of_a_point_is_the_absolute_error(problem):
    y, _, _ = problem
    points = Normal()(loc=np.zeros(50), scale=1e-9)
    expected = mean_absolute_error(y, np.zeros(50))
    np.testing.assert_allclose(crps_score(y, points), expected, rtol=1e-6)


def test_pinball_loss_is_that_of_the_quantiles(problem):
    y, dist, w = problem
    expected = np.mean(
        [
            mean_pinball_loss(y, dist.ppf(q), alpha=q, sample_weight=w)
            for q in (0.1, 0.5, 0.8)
        ]
    )
    found = pinball_loss(y, dist, [0.1, 0.5, 0.8], sample_weight=w)
    np.testing.assert_allclose(found, expected)
    with pytest.raises(ValueError, match="quantiles must be between 0 and 1"):
        pinball_loss(y, dist, 1.0)


def test_interval_scores(problem):
    y, dist, _ = problem
    interval = dist.interval(0.8)
    inside = (interval[:, 0] <= y) & (y <= interval[:, 1])
    assert interval_coverage(y, interval) == inside.mean()
    # The interval score is the sum of the pinball losses of its ends, times 2 / alpha.
    ends = [
        mean_pinball_loss(y, interval[:, i], alpha=q) for i, q in ((0, 0.1), (1, 0.9))
    ]
    np.testing.assert_allclose(interval_score(y, interval, 0.8), 10 * sum(ends))
    with pytest.raises(ValueError, match="two columns"):
        interval_coverage(y, interval[:, ::-1])
    with pytest.raises(ValueError, match="coverage must be between"):
        interval_score(y, interval, 2)


def test_the_transform_is_uniform_for_the_truth():
    rng = np.random.RandomState(0)
    for family, params in (
        (Normal(), {"loc": 1.0, "scale": 2.0}),
        (Poisson(), {"rate": 2.0}),
    ):
        dist = family(**{k: np.full(4000, v) for k, v in params.items()})
        y = dist.rvs(random_state=rng).astype(float)
        pit = probability_integral_transform(y, dist, random_state=0)
        # A level of one in a thousand, for fixed seeds.
        assert stats.kstest(pit, "uniform").pvalue > 1e-3


def test_scorer_of_a_classifier_is_minus_the_log_loss():
    X, y = load_iris(return_X_y=True)
    names = np.array(["c", "a", "b"])[y]
    model = NGBoostClassifier(n_estimators=20, early_stopping=False).fit(X, names)
    expected = -log_loss(names, model.predict_proba(X))
    np.testing.assert_allclose(neg_log_score_scorer(model, X, names), expected)
    assert repr(neg_log_score_scorer) == "ProbabilisticScorer(log_score)"


def test_bad_input_is_named(problem):
    y, dist, _ = problem
    with pytest.raises(ValueError, match="predictive distribution"):
        log_score(y, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        log_score(y[:3], dist)
    with pytest.raises(ValueError, match="scoring_rule='crps'"):
        crps_score([0.0], Categorical(2)(proba_1=0.5))
