"""Tables of low rank with gaps."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state

from skalgos._compat import Interval, validate_params


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 1, None, closed="left")],
        "rank": [Interval(Integral, 1, None, closed="left")],
        "condition": [Interval(Real, 1, None, closed="left")],
        "missing": [Interval(Real, 0, 1, closed="left")],
        "noise": [Interval(Real, 0, None, closed="left")],
        "outliers": [Interval(Real, 0, 1, closed="left")],
        "outlier_scale": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_low_rank_table(
    n_samples=200,
    n_features=100,
    *,
    rank=5,
    condition=1.0,
    missing=0.5,
    noise=0.1,
    outliers=0.0,
    outlier_scale=10.0,
    random_state=None,
):
    """Draw a table of low rank, and a noisy copy with gaps.

    Parameters
    ----------
    n_samples, n_features : int, default=200, 100
        The shape.

    rank : int, default=5
        The rank, at most the smaller side.

    condition : float, default=1.0
        The largest singular value over the smallest of the ``rank``, which fall by a
        constant factor.

    missing : float, default=0.5
        The share of entries that are missing, at random.

    noise : float, default=0.1
        The standard deviation of the noise; the entries of the table have a mean
        square of 1.

    outliers : float, default=0.0
        The share of observed entries that have gross errors as well.

    outlier_scale : float, default=10.0
        The standard deviation of those.

    random_state : int, RandomState instance or None, default=None
        Determines the draw. Pass an int for the same table in every call.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The noisy copy, NaN where it is missing.

    table : ndarray of shape (n_samples, n_features)
        The table itself.

    Examples
    --------
    >>> import numpy as np
    >>> from skalgos.datasets import make_low_rank_table
    >>> X, table = make_low_rank_table(50, 20, rank=2, random_state=0)
    >>> int(np.linalg.matrix_rank(table))
    2
    >>> print(round(np.isnan(X).mean(), 1))
    0.5
    """
    if rank > min(n_samples, n_features):
        raise ValueError(
            f"rank={rank} must be at most the smaller of n_samples={n_samples} and "
            f"n_features={n_features}."
        )
    rng = check_random_state(random_state)
    left, _ = np.linalg.qr(rng.standard_normal((n_samples, rank)))
    right, _ = np.linalg.qr(rng.standard_normal((n_features, rank)))
    sizes = np.geomspace(1, 1 / condition, rank)
    sizes *= np.sqrt(n_samples * n_features / np.sum(sizes**2))
    table = (left * sizes) @ right.T
    X = table + noise * rng.standard_normal(table.shape)
    gross = rng.uniform(size=table.shape) < outliers
    X[gross] += outlier_scale * rng.standard_normal(gross.sum())
    X[rng.uniform(size=table.shape) < missing] = np.nan
    return X, table
