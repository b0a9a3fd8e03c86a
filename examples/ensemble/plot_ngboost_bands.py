"""
How sure can one be? Distributions instead of numbers
=====================================================

How far a diabetes has progressed a year on can be guessed from the body mass index and
some blood values, but not well, and not equally well for everybody. A regressor that
predicts a distribution says both: what to expect, and how far off it may be.
"""

# Authors: The skalgos developers
# SPDX-License-Identifier: BSD-3-Clause

# %%
# We keep every third patient aside.

import numpy as np
from sklearn.datasets import load_diabetes

from skalgos.ensemble import NGBoostRegressor
from skalgos.inspection import IntervalCoverageDisplay
from skalgos.metrics import interval_coverage, log_score

data = load_diabetes(as_frame=True, scaled=False)
test = np.arange(len(data.target)) % 3 == 0
X_train, y_train = data.data[~test], data.target[~test]
X_test, y_test = data.data[test], data.target[test].to_numpy()

model = NGBoostRegressor("gamma", random_state=0).fit(X_train, y_train)
dist = model.predict_dist(X_test)
print(f"{model.n_iter_} iterations, chosen by cross-validation")
print(f"log score {log_score(y_test, dist):.3f}")
inside = interval_coverage(y_test, dist.interval(0.8))
print(f"inside the 80 % intervals: {inside:.0%}")

# %%
# Each patient has a band of their own. Sorted by the median, the bands widen: a gamma
# distribution is wider where it is larger, and its shape may change from row to row.
# On the right, intervals of middling size hold somewhat fewer of the 148 patients than
# they promise: 294 are few to learn widths from. With a third set of patients,
# ``calibrate`` would mend that.
#
# In the middle is what the model says of body mass index alone, for two levels of a
# blood value, the others at their medians.

import matplotlib.pyplot as plt

fig, axes = plt.subplots(1, 3, figsize=(13.5, 4.4), layout="constrained")
order = np.argsort(dist.median())
place = np.arange(len(order))
for coverage, shade in ((0.95, "#cfe1ec"), (0.8, "#9cc2d8"), (0.5, "#5e9ec4")):
    low, high = dist.interval(coverage)[order].T
    axes[0].fill_between(
        place, low, high, color=shade, lw=0, label=f"{coverage:.0%}", step="mid"
    )
axes[0].step(place, dist.median()[order], color="#123a54", lw=1.2, where="mid")
axes[0].scatter(place, y_test[order], s=9, color="#d1495b", zorder=3, label="observed")
axes[0].set(xlabel="patients, by predicted median", ylabel="disease progression")
axes[0].set(xlim=(0, len(place) - 1), ylim=(0, 420))
axes[0].legend(frameon=False, loc="upper left", ncols=2)
axes[0].set_title("A band for each patient", loc="left")

grid = np.linspace(18, 42, 200)
for s5, color in ((4.2, "#2a9d8f"), (5.2, "#e07a2b")):
    rows = data.data.median().to_frame().T.loc[np.zeros(len(grid), int)]
    rows = rows.assign(bmi=grid, s5=s5)
    band = model.predict_dist(rows)
    axes[1].fill_between(grid, *band.interval(0.8).T, color=color, alpha=0.2, lw=0)
    axes[1].plot(grid, band.median(), color=color, label=f"s5 = {s5}")
axes[1].set(xlabel="body mass index", ylim=(0, 420))
axes[1].legend(frameon=False, loc="upper left")
axes[1].set_title("Median and 80 % band", loc="left")

IntervalCoverageDisplay.from_predictions(y_test, dist, ax=axes[2])
axes[2].set_title("Promised and observed coverage", loc="left")
for ax in axes:
    ax.spines[["top", "right"]].set_visible(False)
plt.show()
