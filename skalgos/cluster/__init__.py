"""Clustering around medoids, and by semidefinite programs."""

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
from skalgos.cluster._sdp.estimators import LASDP, SDPKMeans
from skalgos.cluster._sdp.functions import (
    SDPCertificate,
    SDPLowerBound,
    kmeans_certificate,
    lasdp_certificate,
    sdp_lower_bound,
)

__all__ = [
    "CLARA",
    "CLARANS",
    "LASDP",
    "KMedoids",
    "KMedoidsResult",
    "MedoidSilhouette",
    "OneBatchKMedoids",
    "SDPCertificate",
    "SDPKMeans",
    "SDPLowerBound",
    "SwapCertificate",
    "k_medoids",
    "kmeans_certificate",
    "lasdp_certificate",
    "medoid_silhouette_samples",
    "medoid_silhouette_score",
    "sdp_lower_bound",
    "swap_certificate",
]
