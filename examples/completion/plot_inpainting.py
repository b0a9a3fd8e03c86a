"""
An image with most of its pixels gone
=====================================

The rows and columns of an image are alike enough for a table of low rank to come
close to it. Here a photograph loses 70% of its pixels, and some of the others are
replaced by pure black or white. :class:`~skalgos.impute.LowRankImputer` fills in what
is missing; :class:`~skalgos.decomposition.LowRankCompletion` with a robust loss also
sees through the wrong pixels.
"""

# Authors: The skalgos developers
# SPDX-License-Identifier: BSD-3-Clause

# %%
# Damage
# ------

import numpy as np
from sklearn.datasets import load_sample_image

image = load_sample_image("china.jpg").mean(axis=2)[::2, ::2] / 255
rng = np.random.RandomState(0)
missing = rng.uniform(size=image.shape) < 0.7
gaps = np.where(missing, np.nan, image)

wrong = rng.uniform(size=image.shape) < 0.1
spoilt = np.where(wrong & ~missing, rng.randint(0, 2, image.shape), gaps)

# %%
# Repair
# ------
#
# ``alpha="auto"`` chooses the ridge by pixels that it holds out, so that the number of
# components need only be large enough. For the spoilt image observed pixels cannot be
# trusted, and the whole table of the model is shown instead.

from skalgos.decomposition import LowRankCompletion
from skalgos.impute import LowRankImputer

imputer = LowRankImputer(40, alpha="auto", min_value=0, max_value=1, random_state=0)
filled = imputer.fit_transform(gaps)


def completed(loss):
    model = LowRankCompletion(
        25, loss=loss, alpha=imputer.alpha_, tol=5e-3, random_state=0
    )
    table = model.inverse_transform(model.fit_transform(spoilt))
    return np.clip(table, 0, 1)


plain, robust = completed("squared_error"), completed("huber")

for name, result in (("filled", filled), ("squares", plain), ("robust", robust)):
    error = np.sqrt(np.mean((result - image)[missing] ** 2))
    print(f"{name:8} error of the missing pixels: {error:.3f}")

# %%
# Picture
# -------

import matplotlib.pyplot as plt

fig, axes = plt.subplots(2, 3, figsize=(11, 5.2), layout="constrained")
panels = [
    ("70% of the pixels missing", gaps),
    ("filled by LowRankImputer", filled),
    ("the photograph", image),
    ("and one in ten of the others wrong", spoilt),
    ("squared errors", plain),
    ("Huber's loss", robust),
]
cmap = plt.get_cmap("gray").with_extremes(bad="#b3cde3")
for ax, (title, panel) in zip(axes.flat, panels, strict=True):
    ax.imshow(panel, cmap=cmap, vmin=0, vmax=1)
    ax.set_title(title, loc="left", fontsize=10)
    ax.axis("off")
plt.show()
