"""
A checkerboard, and who can learn it
====================================

The label changes at each of four slanted lines. A linear model sees nothing, trees cut
along the axes, a kernel machine and a network approximate the tiles one by one. A
checkered classifier of four hyperplanes is the board: twelve numbers, which also say
how sure one can be near the lines.
"""

# Authors: The skalgos developers
# SPDX-License-Identifier: BSD-3-Clause

# %%
# A thousand samples of the turned board, of which one in twenty has a wrong label.

from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from skalgos.datasets import make_checkered
from skalgos.linear_model import CheckeredClassifier, CheckeredClassifierCV

board = {"n_hyperplanes": 4, "angle": 25}
X, y = make_checkered(1000, flip_y=0.05, random_state=0, **board)
X_test, y_test = make_checkered(4000, random_state=1, **board)

models = {
    "checkered, m = 4": CheckeredClassifier(4, C=1e4, noise="fit", random_state=0),
    "logistic regression": LogisticRegression(C=100),
    "SVC, RBF kernel": SVC(C=10, gamma=20),
    "network, 100 units": MLPClassifier(100, max_iter=2000, random_state=0),
    "boosted trees": HistGradientBoostingClassifier(random_state=0),
}
scores = {name: model.fit(X, y).score(X_test, y_test) for name, model in models.items()}
for name, score in scores.items():
    print(f"{name:20}  accuracy {score:.3f}")
print(f"share of wrong labels, as fitted: {models['checkered, m = 4'].noise_:.3f}")

# %%
# How many hyperplanes? Every number of them is fitted once, and the Bayesian
# information criterion charges for each.

search = CheckeredClassifierCV(
    range(1, 7), Cs=[1e4], criterion="bic", noise="fit", random_state=0
)
search.fit(X, y)
print(f"chosen by BIC: {search.n_hyperplanes_}")

# %%
# Colours are the decisions, points the training samples.

import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap

tiles = ListedColormap(["#dbe5f1", "#f9e2c7"])
points = ListedColormap(["#2f5d8a", "#c8701a"])
fig, axes = plt.subplots(2, 3, figsize=(11, 7.4), layout="constrained")
for ax, (name, model) in zip(axes.flat, models.items(), strict=False):
    DecisionBoundaryDisplay.from_estimator(
        model,
        X,
        response_method="predict",
        plot_method="pcolormesh",
        cmap=tiles,
        grid_resolution=300,
        eps=0.02,
        ax=ax,
    )
    ax.scatter(*X.T, c=y, cmap=points, s=5, lw=0)
    ax.set_title(f"{name}: {scores[name]:.1%}", loc="left")
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="", aspect="equal")

numbers = range(1, 7)
ax = axes.flat[-1]
ax.plot(numbers, search.bic_[:, 0], "o-", color="#33415c")
ax.axvline(search.n_hyperplanes_, color="0.6", ls=":")
ax.set_title("BIC for each number of hyperplanes", loc="left")
ax.set(xlabel="number of hyperplanes", xticks=numbers)
ax.spines[["top", "right"]].set_visible(False)
plt.show()
