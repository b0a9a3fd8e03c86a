"""
A partition as a matrix
=======================

The K-means program knows no labels: its solution is a matrix, with the entry one over
the size of the cluster for each pair within one. Far apart, clusters are blocks and the
solution is a proof that they are the best partition. As they come closer the blocks
blur, for the samples that could belong to either side.
"""

# Authors: The skalgos developers
# SPDX-License-Identifier: BSD-3-Clause

# %%
# The same noise around three centers, at three distances.

import matplotlib.pyplot as plt
import numpy as np

from skalgos.cluster import SDPKMeans

rng = np.random.RandomState(0)
y = np.repeat(np.arange(3), 30)
noise = rng.standard_normal((90, 2))
angles = 2 * np.pi * np.arange(3) / 3
corners = np.column_stack((np.cos(angles), np.sin(angles)))

fig, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
for ax, radius in zip(axes, (6.0, 2.5, 1.2), strict=True):
    model = SDPKMeans(3).fit(noise + radius * corners[y])
    order = np.lexsort((model.membership_.max(axis=1), model.labels_))
    Z = model.membership_matrix()[np.ix_(order, order)]
    image = ax.imshow(Z, cmap="Blues", vmin=0, vmax=1 / 30)
    proof = "proved optimal" if model.certified_ else f"gap {model.gap_:.1%}"
    ax.set_title(f"centers {radius:g} from the middle\n{proof}")
    ax.set_xticks([])
    ax.set_yticks([])
fig.colorbar(image, ax=axes, label="entry of Z", shrink=0.8)
plt.show()
