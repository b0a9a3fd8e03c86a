"""Clustering around medoids."""

from skalgos.cluster._kmedoids.estimators import KMedoids
from skalgos.cluster._kmedoids.functions import (
    KMedoidsResult,
    SwapCertificate,
    k_medoids,
    swap_certificate,
)

__all__ = [
    "KMedoids",
    "KMedoidsResult",
    "SwapCertificate",
    "k_medoids",
    "swap_certificate",
]
