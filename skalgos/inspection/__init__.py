"""Pictures of fitted models."""

from skalgos.inspection._silhouette import MedoidSilhouetteDisplay

__all__ = ["MedoidSilhouetteDisplay"]
