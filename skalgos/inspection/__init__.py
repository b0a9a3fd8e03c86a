"""Pictures of fitted models and of how well they predict distributions."""

from skalgos.inspection._calibration import (
    IntervalCoverageDisplay,
    PITDisplay,
    ReliabilityDisplay,
)
from skalgos.inspection._silhouette import MedoidSilhouetteDisplay

__all__ = [
    "IntervalCoverageDisplay",
    "MedoidSilhouetteDisplay",
    "PITDisplay",
    "ReliabilityDisplay",
]
