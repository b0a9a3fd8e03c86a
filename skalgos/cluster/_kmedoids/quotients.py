"""The quotient that medoid silhouettes are made of."""

import numpy as np


def ratios(d1, d2):
    """Return d1 / d2, and 1 for 0 / 0: who is at both medoids belongs to neither."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(d2 > 0, np.divide(d1, d2, dtype=np.float64), 1.0)
