"""
Time series, compared by dynamic time warping
=============================================

K-medoids never averages anything. All that it asks for is a number for each pair that
says how unlike they are, whatever they are: ``metric="precomputed"`` takes these
numbers as a matrix.

Here the objects are time series of three kinds that differ in shape, while the time at
which the shape begins and how long it lasts are random. Dynamic time warping (DTW) lets
time run faster or slower to align two series before it compares them; the Euclidean
distance compares them instant by instant.
"""

# Authors: The skalgos developers
# SPDX-License-Identifier: BSD-3-Clause

# %%
# Cylinders stay up, bells rise and drop, funnels jump and decline.

import numpy as np

kinds = ["cylinder", "bell", "funnel"]
n_each, length = 40, 80
rng = np.random.RandomState(0)
times = np.arange(length)


def one_series(kind):
    """Draw a series of one kind, with noise."""
    begin, lasts = rng.randint(8, 32), rng.randint(16, 44)
    progress = (times - begin) / lasts
    shape = {"cylinder": 1.0, "bell": progress, "funnel": 1 - progress}[kind]
    event = (3.0 + rng.normal(0, 0.5)) * shape * ((progress >= 0) & (progress <= 1))
    return event + rng.normal(0, 0.25, length)


X = np.array([one_series(kind) for kind in kinds for _ in range(n_each)])
truth = np.repeat(np.arange(3), n_each)

# %%
# The DTW of two series is the smallest sum of absolute differences along a path that
# aligns them, by dynamic programming over pairs of instants. The loops below run over
# the instants, and numpy does all pairs of series at once.


def dtw(X):
    """Return the matrix of dynamic time warping distances of the rows of X."""
    n, length = X.shape
    above = np.full((length + 1, n, n), np.inf)
    above[0] = 0
    for i in range(length):
        row = np.full_like(above, np.inf)
        for j in range(length):
            best = np.minimum(np.minimum(above[j], above[j + 1]), row[j])
            row[j + 1] = np.abs(X[:, i, None] - X[None, :, j]) + best
        above = row
    return above[-1]


# %%
# The same estimator on both dissimilarities.

from sklearn.metrics import adjusted_rand_score

from skalgos.cluster import KMedoids

warped = KMedoids(3, metric="precomputed", random_state=0).fit(dtw(X))
plain = KMedoids(3, random_state=0).fit(X)

# %%
# Each panel is a cluster, its medoid in black; colours are the true kinds. With DTW the
# clusters are nearly the kinds, wherever in time the shapes are. Instant by instant,
# series are alike that happen at the same time, and the kinds are mixed.

import matplotlib.pyplot as plt
from matplotlib.lines import Line2D

colors = ["#4e79a7", "#e0902b", "#2a9d8f"]
fig, axes = plt.subplots(
    2, 3, figsize=(12, 6), sharex=True, sharey=True, layout="constrained"
)
for row, (name, model) in zip(
    axes, [("Dynamic time warping", warped), ("Euclidean", plain)], strict=True
):
    by_kind = np.argsort(truth[model.medoid_indices_], kind="stable")
    for ax, cluster in zip(row, by_kind, strict=True):
        members = np.flatnonzero(model.labels_ == cluster)
        for member in rng.permutation(members):
            ax.plot(times, X[member], color=colors[truth[member]], lw=0.8, alpha=0.45)
        ax.plot(times, X[model.medoid_indices_[cluster]], color="black", lw=2)
        ax.text(1, 0.94, f"{len(members)} series", transform=ax.transAxes, ha="right")
        ax.spines[["top", "right"]].set_visible(False)
    score = adjusted_rand_score(truth, model.labels_)
    row[0].set_title(f"{name}: adjusted Rand index {score:.2f}", loc="left")
    row[0].set_ylabel("value")
for ax in axes[1]:
    ax.set_xlabel("time")
handles = [Line2D([], [], color=color) for color in colors]
handles += [Line2D([], [], color="black", lw=2)]
fig.legend(
    handles, [*kinds, "medoid"], loc="outside lower center", ncols=4, frameon=False
)
plt.show()
