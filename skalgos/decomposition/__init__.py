"""Factorisations of tables."""

from skalgos.decomposition._completion import LowRankCompletion

__all__ = ["LowRankCompletion"]
