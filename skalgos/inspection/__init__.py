"""Displays of how well predicted distributions fit what was observed."""

from skalgos.inspection._calibration import (
    IntervalCoverageDisplay,
    PITDisplay,
    ReliabilityDisplay,
)

__all__ = ["IntervalCoverageDisplay", "PITDisplay", "ReliabilityDisplay"]
