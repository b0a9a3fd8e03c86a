"""Histograms of the probability transform, coverage of intervals, reliability."""

import numpy as np
from sklearn.utils import check_consistent_length

from skalgos.metrics import interval_coverage, probability_integral_transform


def _axes(ax):
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


class PITDisplay:
    """Histogram of the predicted distribution functions at what was observed.

    It is flat if the predictions are calibrated, a hill where they are too wide, a
    valley where they are too narrow, and slopes where they are too low or too high.

    Parameters
    ----------
    pit : ndarray of shape (n_samples,)
        Values of the probability integral transform.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes, after ``plot``.
    figure_ : matplotlib Figure
        The figure, after ``plot``.
    bars_ : matplotlib BarContainer
        The histogram, after ``plot``.
    """

    def __init__(self, *, pit):
        self.pit = pit

    @classmethod
    def from_estimator(cls, estimator, X, y, *, random_state=None, ax=None):
        """Draw the histogram of an estimator's predictions.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``predict_dist``.
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            What was observed.
        random_state : int, RandomState instance or None, default=None
            Draws within jumps of discrete distributions.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : PITDisplay
        """
        dist = estimator.predict_dist(X)
        return cls.from_predictions(y, dist, random_state=random_state, ax=ax)

    @classmethod
    def from_predictions(cls, y_true, dist, *, random_state=None, ax=None):
        """Draw the histogram of predicted distributions.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            What was observed.
        dist : PredictiveDistribution
            What was predicted.
        random_state : int, RandomState instance or None, default=None
            Draws within jumps of discrete distributions.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : PITDisplay
        """
        pit = probability_integral_transform(y_true, dist, random_state=random_state)
        return cls(pit=pit).plot(ax=ax)

    def plot(self, ax=None, *, bins=20):
        """Draw the histogram.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        bins : int, default=20
            Number of bars.

        Returns
        -------
        display : PITDisplay
        """
        ax = _axes(ax)
        height, edges = np.histogram(self.pit, bins, (0, 1), density=True)
        self.bars_ = ax.bar(
            edges[:-1], height, 1 / bins, align="edge", color="#7aa6c2", ec="white"
        )
        # Bars of calibrated predictions stay within this, 19 of 20 times each.
        share = 1 / bins
        error = 1.96 * np.sqrt(share * (1 - share) / len(self.pit)) * bins
        ax.axhspan(1 - error, 1 + error, color="0.5", alpha=0.25, lw=0)
        ax.axhline(1, color="0.3", lw=1)
        ax.set(xlim=(0, 1), xlabel="predicted distribution function at y")
        ax.set(ylabel="density")
        self.ax_, self.figure_ = ax, ax.figure
        return self


class IntervalCoverageDisplay:
    """Share of observations inside predicted intervals, by nominal coverage.

    Parameters
    ----------
    nominal : ndarray of shape (n_levels,)
        The probabilities that the intervals are to have.
    observed : ndarray of shape (n_levels,)
        The shares of observations inside.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes, after ``plot``.
    figure_ : matplotlib Figure
        The figure, after ``plot``.
    line_ : matplotlib Line2D
        The curve, after ``plot``.
    """

    def __init__(self, *, nominal, observed):
        self.nominal = nominal
        self.observed = observed

    @classmethod
    def from_estimator(cls, estimator, X, y, *, levels=None, name=None, ax=None):
        """Draw the coverage of an estimator's intervals.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``predict_dist``.
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            What was observed.
        levels : array-like of shape (n_levels,), default=None
            Nominal coverages; None is 0.05, 0.1, ..., 0.95.
        name : str, default=None
            For the legend; None is the name of the class.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : IntervalCoverageDisplay
        """
        name = type(estimator).__name__ if name is None else name
        dist = estimator.predict_dist(X)
        return cls.from_predictions(y, dist, levels=levels, name=name, ax=ax)

    @classmethod
    def from_predictions(cls, y_true, dist, *, levels=None, name=None, ax=None):
        """Draw the coverage of the intervals of predicted distributions.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            What was observed.
        dist : PredictiveDistribution
            What was predicted.
        levels : array-like of shape (n_levels,), default=None
            Nominal coverages; None is 0.05, 0.1, ..., 0.95.
        name : str, default=None
            For the legend.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : IntervalCoverageDisplay
        """
        levels = np.linspace(0.05, 0.95, 19) if levels is None else np.asarray(levels)
        observed = [interval_coverage(y_true, dist.interval(level)) for level in levels]
        return cls(nominal=levels, observed=np.array(observed)).plot(ax=ax, name=name)

    def plot(self, ax=None, *, name=None):
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        name : str, default=None
            For the legend.

        Returns
        -------
        display : IntervalCoverageDisplay
        """
        ax = _axes(ax)
        ax.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--")
        (self.line_,) = ax.plot(self.nominal, self.observed, "o-", ms=4, label=name)
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        ax.set(xlabel="nominal coverage", ylabel="share of observations inside")
        if name is not None:
            ax.legend(frameon=False, loc="upper left")
        self.ax_, self.figure_ = ax, ax.figure
        return self


class ReliabilityDisplay:
    """Observed share of values below thresholds, by the predicted probability.

    Predictions that are reliable keep to the diagonal.

    Parameters
    ----------
    predicted : ndarray of shape (n_bins,)
        Mean predicted probability in each bin.
    observed : ndarray of shape (n_bins,)
        Observed share in each bin.
    counts : ndarray of shape (n_bins,)
        How many predictions are in each bin.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes, after ``plot``.
    figure_ : matplotlib Figure
        The figure, after ``plot``.
    line_ : matplotlib Line2D
        The curve, after ``plot``.
    """

    def __init__(self, *, predicted, observed, counts):
        self.predicted = predicted
        self.observed = observed
        self.counts = counts

    @classmethod
    def from_estimator(cls, estimator, X, y, threshold, *, n_bins=10, ax=None):
        """Draw how reliable the probabilities of values up to a threshold are.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``predict_dist``.
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            What was observed.
        threshold : float
            The event is a value up to this.
        n_bins : int, default=10
            Number of bins of about equal size.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : ReliabilityDisplay
        """
        dist = estimator.predict_dist(X)
        return cls.from_predictions(y, dist, threshold, n_bins=n_bins, ax=ax)

    @classmethod
    def from_predictions(cls, y_true, dist, threshold, *, n_bins=10, ax=None):
        """Draw how reliable the probabilities of values up to a threshold are.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            What was observed.
        dist : PredictiveDistribution
            What was predicted.
        threshold : float
            The event is a value up to this.
        n_bins : int, default=10
            Number of bins of about equal size.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : ReliabilityDisplay
        """
        y = np.asarray(y_true, float)
        check_consistent_length(y, dist)
        proba = dist.cdf(threshold)
        order = np.argsort(proba, kind="stable")
        parts = [part for part in np.array_split(order, n_bins) if len(part)]
        return cls(
            predicted=np.array([proba[part].mean() for part in parts]),
            observed=np.array([(y[part] <= threshold).mean() for part in parts]),
            counts=np.array([len(part) for part in parts]),
        ).plot(ax=ax)

    def plot(self, ax=None):
        """Draw the curve, with an interval of two standard errors for each bin.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : ReliabilityDisplay
        """
        ax = _axes(ax)
        ax.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--")
        p = self.observed
        error = 2 * np.sqrt(np.maximum(p * (1 - p), 1e-12) / self.counts)
        ax.vlines(
            self.predicted, p - error, np.minimum(p + error, 1), color="0.7", lw=2
        )
        (self.line_,) = ax.plot(self.predicted, p, "o-", ms=5)
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        ax.set(xlabel="predicted probability", ylabel="observed share")
        self.ax_, self.figure_ = ax, ax.figure
        return self
