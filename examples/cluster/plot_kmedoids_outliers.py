"""
K-means and k-medoids among gross outliers
==========================================

A mean follows every point, in proportion to its distance. A medoid is one of the points
and minimises a sum of plain distances, in which a far-off point counts for its distance
but not for its square. A few wrong measurements are enough to send a centre of k-means
away from the data; the medoids stay.
"""

# Authors: The skalgos developers
# SPDX-License-Identifier: BSD-3-Clause

# %%
# Three groups of points, and nine points that belong to none of them.

import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from skalgos.cluster import KMedoids

centers = np.array([[-4.0, -2.0], [0.0, 4.0], [4.0, -2.0]])
inliers, group = make_blobs(300, centers=centers, cluster_std=1.1, random_state=0)
directions = np.random.RandomState(0).normal([0.75, 0.66], 0.08, size=(9, 2))


def with_outliers(distance):
    """Return the points, with outliers at about this distance from the middle."""
    return np.vstack([inliers, distance * directions])


def fits(X):
    """Return k-means and k-medoids with three clusters each."""
    yield "KMeans", KMeans(3, n_init=10, random_state=0).fit(X)
    yield "KMedoids", KMedoids(3, random_state=0).fit(X)


# %%
# How well are the three groups found, as the outliers move out? The adjusted Rand index
# compares the labels of the points that are not outliers with the groups that they were
# drawn from.
#
# Nothing is immune. When the outliers are far enough, the sum of distances is smallest
# with a medoid of their own. For k-means that point comes much sooner, since there the
# *squares* of the distances are summed.

distances = np.geomspace(5, 160, 16)
scores = {"KMeans": [], "KMedoids": []}
for distance in distances:
    for name, model in fits(with_outliers(distance)):
        found = model.labels_[: len(inliers)]
        scores[name].append(adjusted_rand_score(group, found))

# %%
# Both panels on the left show the same points, outliers included.

import matplotlib.pyplot as plt

shown = 25.0
colors = np.array(["#4e79a7", "#e0902b", "#2a9d8f"])
X = with_outliers(shown)

fig, axes = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
for ax, (name, model) in zip(axes, fits(X), strict=False):
    # Clusters from left to right, for the same colours in both panels.
    rank = model.cluster_centers_[:, 0].argsort().argsort()
    marks = rank[model.labels_]
    ax.scatter(*X[:-9].T, c=colors[marks[:-9]], s=16, alpha=0.6, lw=0)
    ax.scatter(*X[-9:].T, c=colors[marks[-9:]], s=40, marker="x")
    ax.scatter(
        *model.cluster_centers_.T,
        c=colors[rank],
        s=230,
        marker="*",
        edgecolor="black",
        linewidth=1.2,
        zorder=3,
    )
    what = "means" if name == "KMeans" else "medoids"
    ax.set_title(f"{name}: {what} as stars, outliers as crosses", loc="left")
    ax.set(xlabel="first feature", ylabel="second feature", aspect="equal")
    ax.set(xlim=(-9, 25), ylim=(-7, 24))

styles = {"KMeans": "#b23a48", "KMedoids": "#33415c"}
for name, values in scores.items():
    axes[2].plot(distances, values, "o-", ms=5, color=styles[name], label=name)
axes[2].axvline(shown, color="0.6", ls=":")
axes[2].annotate("shown on the left", (shown, 0.02), (5, 0), textcoords="offset points")
axes[2].set_xscale("log")
axes[2].set_xticks([5, 10, 20, 40, 80, 160], ["5", "10", "20", "40", "80", "160"])
axes[2].minorticks_off()
axes[2].set_ylim(0, 1.05)
axes[2].set_title("How well the three groups are found", loc="left")
axes[2].set(xlabel="distance of the outliers", ylabel="adjusted Rand index, inliers")
axes[2].legend(frameon=False)
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
