"""Displays draw what they hold."""

import matplotlib
import numpy as np
import pytest

matplotlib.use("agg")
import matplotlib.pyplot as plt

from skalgos.distributions import Normal
from skalgos.inspection import (
    IntervalCoverageDisplay,
    PITDisplay,
    ReliabilityDisplay,
)


class Truth:
    """Knows the distribution of standard normal values."""

    def predict_dist(self, X):
        return Normal()(loc=np.zeros(len(X)), scale=1.0)


@pytest.fixture
def problem():
    yield np.zeros((5000, 1)), np.random.RandomState(0).normal(size=5000)
    plt.close("all")


def test_pit_is_flat_for_the_truth(problem):
    X, y = problem
    display = PITDisplay.from_estimator(Truth(), X, y)
    heights = [bar.get_height() for bar in display.bars_]
    assert len(heights) == 20
    # Four standard errors.
    assert np.abs(np.array(heights) - 1).max() < 4 * np.sqrt(19 / 5000)
    assert display.figure_ is display.ax_.figure
    _, ax = plt.subplots()
    assert PITDisplay.from_predictions(y, Truth().predict_dist(X), ax=ax).ax_ is ax


def test_coverage_is_nominal_for_the_truth(problem):
    X, y = problem
    display = IntervalCoverageDisplay.from_estimator(Truth(), X, y)
    assert np.abs(display.observed - display.nominal).max() < 0.03
    np.testing.assert_array_equal(display.line_.get_ydata(), display.observed)
    assert display.ax_.get_legend().get_texts()[0].get_text() == "Truth"
    levels = IntervalCoverageDisplay.from_estimator(Truth(), X, y, levels=[0.5])
    assert levels.nominal == [0.5]


def test_reliability_of_a_spread_of_predictions(problem):
    X, y = problem
    loc = np.random.RandomState(1).normal(size=5000)
    dist = Normal()(loc=loc, scale=1.0)
    display = ReliabilityDisplay.from_predictions(y + loc, dist, 0.5)
    assert display.counts.sum() == 5000
    assert np.abs(display.observed - display.predicted).max() < 0.06
    np.testing.assert_array_equal(display.line_.get_xdata(), display.predicted)
    assert ReliabilityDisplay.from_estimator(Truth(), X, y, 0.0).ax_ is not None
