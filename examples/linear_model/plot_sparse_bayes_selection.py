"""
Which features matter? Sparse Bayes, ARD and the lasso
======================================================

200 samples, 1000 features, and ten of them count. All three models below predict; they
differ in how many features they say are needed. The evidence alone, which
:class:`~sklearn.linear_model.ARDRegression` maximises, has no fear of a feature too
many when there are more features than samples: it explains the noise and calls it
signal. The lasso picks what is right, and much more, and shrinks all of it.
"""

# Authors: The skalgos developers
# SPDX-License-Identifier: BSD-3-Clause

# %%
# The data, and three fits.

import numpy as np
from sklearn.linear_model import ARDRegression, LassoCV

from skalgos.datasets import make_sparse_recovery
from skalgos.linear_model import SparseBayesRegressor

X, y, coef = make_sparse_recovery(1200, 1000, n_nonzero=10, snr_db=10, random_state=3)
X, X_new, y, y_new = X[:200], X[200:], y[:200], y[200:]
models = {
    "SparseBayesRegressor": SparseBayesRegressor().fit(X, y),
    "ARDRegression": ARDRegression().fit(X, y),
    "LassoCV": LassoCV(cv=5, random_state=0).fit(X, y),
}

# %%
# Two of them have standard deviations. How often is a new target within 1.96 of them?

coverage = {}
for name in ("SparseBayesRegressor", "ARDRegression"):
    mean, std = models[name].predict(X_new, return_std=True)
    coverage[name] = np.mean(np.abs(y_new - mean) < 1.96 * std)

# %%
# Each coefficient against the truth. Grey dots are features that count for nothing.

import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 3, figsize=(13, 4.4), sharey=True, layout="constrained")
counts = coef != 0
colors = ["#2a9d8f", "#b23a48", "#4e79a7"]
for ax, color, (name, model) in zip(axes, colors, models.items(), strict=True):
    found = np.abs(model.coef_) > 1e-3 * np.abs(model.coef_).max()
    false = np.flatnonzero(found & ~counts)
    ax.axline((0, 0), slope=1, color="0.8", zorder=0)
    spread = np.random.RandomState(0).uniform(-0.12, 0.12, len(false))
    ax.scatter(spread, model.coef_[false], s=14, c="0.55", lw=0, label="should be zero")
    ax.scatter(coef[counts], model.coef_[counts], s=55, c=color, label="should not")
    text = f"{found.sum()} features, {len(false)} of them wrong"
    if name in coverage:
        text += f"\n95% intervals hold {coverage[name]:.0%}"
    ax.set_title(f"{name}\n{text}", loc="left")
    ax.set(xlabel="true coefficient")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("estimate")
axes[0].legend(frameon=False, loc="upper left")
plt.show()
