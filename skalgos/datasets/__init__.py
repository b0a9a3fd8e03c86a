"""Data with a known truth, drawn from a seed."""

from skalgos.datasets._low_rank import make_low_rank_table

__all__ = ["make_low_rank_table"]
