"""
Quickstart: handwritten digits and their medoids
================================================

:class:`~skalgos.cluster.KMedoids` represents each cluster by one of the observations in
it. Here the observations are images of handwritten digits, so that the result of the
clustering is something to look at: a dozen real images that stand for all 1797.

The clustering is the last step of a :class:`~sklearn.pipeline.Pipeline`, and a
:class:`~sklearn.model_selection.GridSearchCV` with two workers chooses its number of
clusters and its metric.
"""

# Authors: The skalgos developers
# SPDX-License-Identifier: BSD-3-Clause

# %%
# Search
# ------
#
# Clusters are found without the labels. The labels serve to compare parameters: the
# images of each test fold are assigned to the medoids of its training folds, and the
# adjusted Rand index says how well this agrees with the digits that they show.

from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from skalgos.cluster import KMedoids

X, y = load_digits(return_X_y=True)

pipeline = Pipeline(
    [
        ("reduce", PCA(n_components=32, random_state=0)),
        ("cluster", KMedoids(n_init=5, random_state=0)),
    ]
)
grid = {
    "cluster__n_clusters": [8, 10, 12, 14, 16],
    "cluster__metric": ["euclidean", "cosine"],
}
search = GridSearchCV(pipeline, grid, scoring="adjusted_rand_score", cv=3, n_jobs=2)
search.fit(X, y)

# %%
# Result
# ------
#
# The search refits the best pipeline on all images. ``medoid_indices_`` names the rows
# of X that it chose, ``labels_`` the cluster of each row.

import numpy as np

model = search.best_estimator_["cluster"]
n_clusters = model.n_clusters
n_tried = len(search.cv_results_["params"])

print(f"{X.shape[0]} images of {X.shape[1]} pixels, {n_tried} combinations tried")
print(f"best: n_clusters={n_clusters}, metric={model.metric!r}")
print(f"adjusted Rand index on held-out images: {search.best_score_:.3f}")
print(f"loss: {model.inertia_:.1f} after {model.n_swaps_} exchanges")
print()
print("cluster  images  medoid  shows a  images that show the same")
for cluster, row in enumerate(model.medoid_indices_):
    members = y[model.labels_ == cluster]
    share = np.mean(members == y[row])
    print(f"{cluster:7}  {len(members):6}  {row:6}  {y[row]:7}  {share:8.0%}")

# %%
# Picture
# -------
#
# t-SNE draws a map on which similar images are close to each other. It knows nothing of
# the clusters. Colours are clusters, and each medoid is drawn at its own place. Digits
# that people write in two ways have a medoid for each.

import matplotlib.pyplot as plt
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from sklearn.manifold import TSNE

reduced = search.best_estimator_["reduce"].transform(X)
tsne = TSNE(init="pca", perplexity=20, angle=0.9, max_iter=300, random_state=0)
places = tsne.fit_transform(reduced)

colors = ["#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#9c755f"]
colors += ["#17a2a2", "#c9a400", "#d4518a", "#5b5bd6", "#7f8c1f", "#3f9bdc"]
colors += ["#8c564b", "#66a61e", "#a05195", "#707070"]

fig, (left, right) = plt.subplots(
    1, 2, figsize=(12, 7), width_ratios=[2.6, 1], layout="constrained"
)
left.scatter(*places.T, c=[colors[i] for i in model.labels_], s=18, alpha=0.7, lw=0)
for color, row in zip(colors, model.medoid_indices_, strict=False):
    dark = np.multiply(to_rgb(color), 0.7)
    ink = LinearSegmentedColormap.from_list("", ["white", dark])
    image = OffsetImage(X[row].reshape(8, 8), zoom=4.2, cmap=ink)
    frame = {"edgecolor": color, "linewidth": 2.2, "boxstyle": "round,pad=0.1"}
    left.add_artist(AnnotationBbox(image, places[row], bboxprops=frame, pad=0.1))
left.set_title(f"{len(X)} digits, {n_clusters} clusters and their medoids", loc="left")
left.set(xlabel="t-SNE 1", ylabel="t-SNE 2", xticks=[], yticks=[])
left.margins(0.03)

results = search.cv_results_
for metric, color in zip(grid["cluster__metric"], ("#4e79a7", "#f28e2b"), strict=True):
    of_metric = results["param_cluster__metric"] == metric
    scores = results["mean_test_score"][of_metric]
    right.plot(grid["cluster__n_clusters"], scores, "o-", color=color, label=metric)
right.plot(n_clusters, search.best_score_, "o", ms=15, mfc="none", mec="0.2")
right.annotate(
    "chosen",
    (n_clusters, search.best_score_),
    (0, 11),
    textcoords="offset points",
    ha="center",
)
right.set_title("Agreement with the true digits", loc="left")
right.set(xlabel="n_clusters", ylabel="adjusted Rand index on held-out images")
right.set_xticks(grid["cluster__n_clusters"])
right.legend(title="metric", loc="lower right", frameon=False)
right.grid(alpha=0.25)
fig.get_layout_engine().set(w_pad=0.12)
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)

if "__file__" in globals():  # run as a script, not by the documentation
    fig.savefig("quickstart.png", dpi=90)
    print("\nsaved quickstart.png")
plt.show()
