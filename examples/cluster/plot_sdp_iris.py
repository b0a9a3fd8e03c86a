"""
The species of iris, by shape
=============================

Two of the three species of Anderson's irises overlap for methods that look for round
clusters. With a covariance for each cluster they part.
"""

# Authors: The skalgos developers
# SPDX-License-Identifier: BSD-3-Clause

# %%
# The same data by three methods, scored with the species, which none of them saw.

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import load_iris
from sklearn.metrics import adjusted_rand_score, confusion_matrix

from skalgos.cluster import LASDP, SDPKMeans

iris = load_iris()
models = {
    "SDPKMeans": SDPKMeans(3),
    "LASDP, tied": LASDP(3, covariance_type="tied", random_state=0),
    "LASDP, full": LASDP(3, random_state=0),
}
labels = {name: model.fit_predict(iris.data) for name, model in models.items()}
scores = {name: adjusted_rand_score(iris.target, labels[name]) for name in models}
for name, score in scores.items():
    print(f"{name:12} adjusted Rand index {score:.2f}")
print(f"K-means can gain {models['SDPKMeans'].gap_:.1%} of its inertia at most")

# %%
# Colours are clusters, shapes are species. Each cluster has the colour of the species
# that it stands for best.

import matplotlib.pyplot as plt
from matplotlib.lines import Line2D

colours = np.array(["#2f5d8a", "#c8701a", "#4a8a5c"])
fig, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained", sharey=True)
for ax, (name, found) in zip(axes, labels.items(), strict=True):
    overlap = confusion_matrix(iris.target, found)
    cluster_of = linear_sum_assignment(-overlap)[1]
    found = np.argsort(cluster_of)[found]
    for species, marker in enumerate("o^s"):
        rows = iris.target == species
        ax.scatter(
            iris.data[rows, 2],
            iris.data[rows, 3],
            c=colours[found[rows]],
            marker=marker,
            s=22,
        )
    ax.set_title(f"{name}: {scores[name]:.2f}")
    ax.set_xlabel(iris.feature_names[2])
axes[0].set_ylabel(iris.feature_names[3])
shapes = [
    Line2D([], [], color="0.4", marker=marker, linestyle="", label=name)
    for marker, name in zip("o^s", iris.target_names, strict=True)
]
axes[0].legend(handles=shapes, frameon=False)
plt.show()
