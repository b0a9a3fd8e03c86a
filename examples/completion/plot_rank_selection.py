"""
How many components, and how large a ridge
==========================================

Two ways to choose the complexity of a completed table: by entries that are held out,
and by a proof that no more components would help.
"""

# Authors: The skalgos developers
# SPDX-License-Identifier: BSD-3-Clause

# %%
# A table of rank four
# --------------------
#
# With ``n_components="auto"`` the ridge alone decides the rank: components are added
# until ``optimality_ratio_`` is one, which proves that the table is the best of any
# rank.

import numpy as np

from skalgos.datasets import make_low_rank_table
from skalgos.decomposition import LowRankCompletion

X, table = make_low_rank_table(200, 120, rank=4, missing=0.6, noise=0.5, random_state=0)
gaps = np.isnan(X)


def error(model):
    completed = model.inverse_transform(model.fit_transform(X))
    return np.sqrt(np.mean((completed - table)[gaps] ** 2))


alphas = np.geomspace(1, 20, 8)
ranks, errors = [], []
for alpha in alphas:
    model = LowRankCompletion("auto", alpha=alpha, max_iter=1000, random_state=0)
    errors.append(error(model))
    ranks.append(model.n_components_)
    print(
        f"alpha {alpha:5.2f}: rank {ranks[-1]:3}, error {errors[-1]:.3f}, "
        f"optimality ratio {model.optimality_ratio_:.3f}"
    )

# %%
# The same by validation
# ----------------------
#
# ``alpha="auto"`` follows one path of ridges with a tenth of the entries held out. It
# does not know the truth, and still comes close to the best ridge.

chosen = LowRankCompletion(30, alpha="auto", random_state=0)
chosen_error = error(chosen)
print(f"chosen: alpha {chosen.alpha_:.2f}, error {chosen_error:.3f}")

# %%
# Picture
# -------

import matplotlib.pyplot as plt

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.semilogx(alphas, errors, "o-", color="#4e79a7", label="n_components='auto'")
left.axhline(chosen_error, color="#f28e2b", ls="--", label="alpha='auto'")
left.set(xlabel="alpha", ylabel="error of the missing entries")
left.legend(frameon=False)
right.loglog(alphas, ranks, "o-", color="#4e79a7")
right.axhline(4, color="0.6", lw=1)
right.annotate("rank of the truth", (alphas[0], 4), (2, 4), textcoords="offset points")
right.set(xlabel="alpha", ylabel="rank that is proven best")
right.set_yticks([4, 8, 16, 32, 64], [4, 8, 16, 32, 64], minor=False)
right.minorticks_off()
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25)
plt.show()
