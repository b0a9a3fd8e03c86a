"""Clustering around medoids."""

from skalgos.cluster._kmedoids.estimators import KMedoids
from skalgos.cluster._kmedoids.functions import (
    KMedoidsResult,
    SwapCertificate,
    k_medoids,
    medoid_silhouette_samples,
    medoid_silhouette_score,
    swap_certificate,
)
from skalgos.cluster._kmedoids.sampling_estimators import (
    CLARA,
    CLARANS,
    OneBatchKMedoids,
)
from skalgos.cluster._kmedoids.silhouette_estimators import MedoidSilhouette

__all__ = [
    "CLARA",
    "CLARANS",
    "KMedoids",
    "KMedoidsResult",
    "MedoidSilhouette",
    "OneBatchKMedoids",
    "SwapCertificate",
    "k_medoids",
    "medoid_silhouette_samples",
    "medoid_silhouette_score",
    "swap_certificate",
]
