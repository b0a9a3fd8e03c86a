"""Generators of data with a known truth."""

from skalgos.datasets._checkered import make_checkered, make_checkered_gmm

__all__ = ["make_checkered", "make_checkered_gmm"]
