"""Missing values."""

from skalgos.impute._imputer import LowRankImputer

__all__ = ["LowRankImputer"]
