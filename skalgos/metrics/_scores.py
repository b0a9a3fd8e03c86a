"""Scores of distributions, intervals and times: numbers from arrays."""

import numpy as np
from sklearn.utils import check_array, check_consistent_length, check_random_state

from skalgos._compat import check_sample_weight
from skalgos.distributions import MultivariatePrediction, PredictiveDistribution


def _mean(values, sample_weight):
    weights = check_sample_weight(sample_weight, values, np.float64)
    return float(weights @ values / weights.sum())


def _checked(y_true, dist):
    if not isinstance(dist, PredictiveDistribution):
        raise ValueError(
            "dist must be a predictive distribution, as predict_dist returns it; got "
            f"{type(dist).__name__}."
        )
    several = isinstance(dist, MultivariatePrediction)
    y = check_array(y_true, dtype=np.float64, ensure_2d=several, input_name="y_true")
    check_consistent_length(y, dist)
    return y


def log_score(y_true, dist, *, sample_weight=None):
    """Return the mean negative log likelihood: lower is better.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        What was observed.
    dist : PredictiveDistribution
        What was predicted, an entry for each row.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows; None is 1 for all.

    Returns
    -------
    score : float
        In nats.

    Examples
    --------
    >>> from skalgos.distributions import Normal
    >>> from skalgos.metrics import log_score
    >>> round(log_score([0.0, 1.0], Normal()(loc=[0.0, 0.0], scale=1.0)), 3)
    1.169
    """
    y = _checked(y_true, dist)
    return _mean(dist.nll(y), sample_weight)


def crps_score(y_true, dist, *, sample_weight=None):
    """Return the mean continuous ranked probability score: lower is better.

    It is in the unit of y, and the mean absolute error where distributions are points.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        What was observed.
    dist : PredictiveDistribution
        What was predicted, an entry for each row.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows; None is 1 for all.

    Returns
    -------
    score : float
        In the unit of y.

    Examples
    --------
    >>> from skalgos.distributions import Normal
    >>> from skalgos.metrics import crps_score
    >>> round(crps_score([0.0, 1.0], Normal()(loc=[0.0, 0.0], scale=1.0)), 3)
    0.418
    """
    y = _checked(y_true, dist)
    return _mean(dist.crps(y), sample_weight)


def interval_coverage(y_true, interval, *, sample_weight=None):
    """Return the share of observations inside their intervals.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        What was observed.
    interval : array-like of shape (n_samples, 2)
        Lower and upper ends, as ``predict_interval`` returns them.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows; None is 1 for all.

    Returns
    -------
    coverage : float
        Between 0 and 1.

    Examples
    --------
    >>> from skalgos.metrics import interval_coverage
    >>> interval_coverage([1.0, 5.0], [[0.0, 2.0], [0.0, 2.0]])
    0.5
    """
    y, low, high = _interval(y_true, interval)
    return _mean(((low <= y) & (y <= high)).astype(float), sample_weight)


def interval_score(y_true, interval, coverage, *, sample_weight=None):
    """Return the mean interval score: the width, and a fine for what lies outside.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        What was observed.
    interval : array-like of shape (n_samples, 2)
        Lower and upper ends.
    coverage : float
        The probability that the intervals are to have, between 0 and 1.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows; None is 1 for all.

    Returns
    -------
    score : float
        Lower is better; the true central intervals have the lowest expected score.

    Examples
    --------
    >>> from skalgos.metrics import interval_score
    >>> interval_score([1.0, 3.0], [[0.0, 2.0], [0.0, 2.0]], coverage=0.5)
    4.0
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must be between 0 and 1; got {coverage}.")
    y, low, high = _interval(y_true, interval)
    outside = np.maximum(low - y, 0) + np.maximum(y - high, 0)
    return _mean(high - low + 2 / (1 - coverage) * outside, sample_weight)


def _interval(y_true, interval):
    y = check_array(y_true, dtype=np.float64, ensure_2d=False, input_name="y_true")
    interval = check_array(
        interval, dtype=np.float64, ensure_all_finite=False, input_name="interval"
    )
    check_consistent_length(y, interval)
    if interval.shape[1] != 2 or (interval[:, 0] > interval[:, 1]).any():
        raise ValueError(
            "interval must have two columns, the first not above the second."
        )
    return y, *interval.T


def pinball_loss(y_true, dist, quantiles, *, sample_weight=None):
    """Return the mean pinball loss of the quantiles of distributions.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        What was observed.
    dist : PredictiveDistribution
        What was predicted, an entry for each row.
    quantiles : float or array-like of shape (n_quantiles,)
        Probabilities, over which the loss is averaged.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows; None is 1 for all.

    Returns
    -------
    loss : float
        Lower is better.

    Examples
    --------
    >>> from skalgos.distributions import Normal
    >>> from skalgos.metrics import pinball_loss
    >>> pinball_loss([0.0, 2.0], Normal()(loc=[0.0, 0.0], scale=1.0), 0.5)
    0.5
    """
    y = _checked(y_true, dist)
    q = np.atleast_1d(np.asarray(quantiles, float))[:, None]
    if not ((q > 0) & (q < 1)).all():
        raise ValueError(f"quantiles must be between 0 and 1; got {quantiles}.")
    error = y - dist.ppf(q)
    return _mean(np.maximum(q * error, (q - 1) * error).mean(axis=0), sample_weight)


def probability_integral_transform(y_true, dist, *, random_state=None):
    """Return the predicted distribution functions at what was observed.

    They are uniform if the predictions are calibrated. Where a distribution has lumps
    the value is drawn uniformly from the jump.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        What was observed.
    dist : PredictiveDistribution
        What was predicted, an entry for each row.
    random_state : int, RandomState instance or None, default=None
        Draws within jumps.

    Returns
    -------
    pit : ndarray of shape (n_samples,)
        Between 0 and 1.

    Examples
    --------
    >>> from skalgos.distributions import Normal
    >>> from skalgos.metrics import probability_integral_transform
    >>> probability_integral_transform([0.0], Normal()(loc=0.0, scale=1.0))
    array([0.5])
    """
    y = _checked(y_true, dist)
    upper = dist.cdf(y)
    lower = (
        dist.cdf(y - 1) if dist.family.discrete else dist.cdf(np.nextafter(y, -np.inf))
    )
    if not (upper > lower + 1e-9).any():
        return upper
    jump = np.where(upper > lower + 1e-9, upper - lower, 0.0)
    return upper - jump * check_random_state(random_state).uniform(size=len(y))


def concordance_index(y_true, predicted, *, sample_weight=None):
    """Return the share of pairs whose predicted times are in the true order.

    Of pairs whose true order is known, that is; ties in the prediction count one half.

    Parameters
    ----------
    y_true : ndarray
        Times, as :class:`skalgos.ensemble.NGBoostSurvivalRegressor` takes them:
        structured, or with lower and upper bounds, or all known.
    predicted : array-like of shape (n_samples,)
        Predicted times, or anything that rises with them.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows; a pair counts the product of its two.

    Returns
    -------
    index : float
        Between 0 and 1; 0.5 if there is no pair of known order.

    Examples
    --------
    >>> import numpy as np
    >>> from skalgos.metrics import concordance_index
    >>> time = np.array([[1.0, 1.0], [2.0, np.inf], [3.0, 3.0]])
    >>> concordance_index(time, [1.0, 5.0, 0.5])
    0.5
    """
    from skalgos.ensemble._ngboost.data import survival_bounds

    lower, upper, entry = survival_bounds(y_true)
    predicted = check_array(
        predicted, dtype=np.float64, ensure_2d=False, input_name="predicted"
    )
    check_consistent_length(lower, predicted)
    weights = check_sample_weight(sample_weight, predicted, np.float64)
    exact = lower == upper
    known = concordant = 0.0
    for start in range(0, len(lower), 256):
        rows = slice(start, start + 256)
        # Row i comes before j if it surely ends before j does.
        first = upper[rows, None] < lower
        first |= (upper[rows, None] == lower) & exact[rows, None] & ~exact
        if entry is not None:
            # Before its entry j could not have been seen to last longer.
            first &= entry < upper[rows, None]
        pair = first * weights[rows, None] * weights
        gap = predicted - predicted[rows, None]
        known += pair.sum()
        concordant += (pair * ((gap > 0) + 0.5 * (gap == 0))).sum()
    return float(concordant / known) if known > 0 else 0.5
