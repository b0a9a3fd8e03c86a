"""
Survival curves from censored times
===================================

A machine that still runs when the study ends has a life time of which only a lower
bound is known. Leaving such machines out, or taking the bound for the time, makes life
look shorter than it is. A survival model uses what is known of each.
"""

# Authors: The skalgos developers
# SPDX-License-Identifier: BSD-3-Clause

# %%
# Machines age faster under load, and how regular their wear is depends on the
# temperature. Each was put to work some time in the last ten years, so that about half
# still run today.

import numpy as np

from skalgos.distributions import LogNormal
from skalgos.ensemble import NGBoostRegressor, NGBoostSurvivalRegressor
from skalgos.metrics import log_score

rng = np.random.RandomState(0)


def machines(n):
    """Return load and temperature, and the true distribution of the life times."""
    X = rng.uniform(size=(n, 2))
    return X, LogNormal()(loc=2.3 - 1.5 * X[:, 0], scale=0.2 + 0.5 * X[:, 1])


X, truth = machines(2000)
life = truth.rvs(random_state=rng)
observed_for = rng.uniform(0, 10, size=len(X))
y = np.empty(len(X), dtype=[("failed", bool), ("time", float)])
y["failed"], y["time"] = life <= observed_for, np.minimum(life, observed_for)
print(f"{1 - y['failed'].mean():.0%} still run")

# %%
# Three models: one that knows of censoring, one that takes the end of observation for
# the end of life, one that has only the machines that failed.

model = NGBoostSurvivalRegressor("lognormal", random_state=0).fit(X, y)
failed = y["failed"]
naive = NGBoostRegressor("lognormal", random_state=0).fit(X, y["time"])
only = NGBoostRegressor("lognormal", random_state=0).fit(X[failed], y["time"][failed])
models = {
    "survival model": (model, "#1f6f8b"),
    "censoring ignored": (naive, "#d1495b"),
    "failed machines only": (only, "#e0a030"),
}
X_new, truth_new = machines(2000)
life_new = truth_new.rvs(random_state=rng)
print(f"{'the truth':>22}: log score {log_score(life_new, truth_new):.3f}")
for name, (fitted, _) in models.items():
    print(
        f"{name:>22}: log score {log_score(life_new, fitted.predict_dist(X_new)):.3f}"
    )

# %%
# Survival curves of three machines, with the true ones dashed.

import matplotlib.pyplot as plt

cases = {
    "low load, cool": [0.2, 0.2],
    "high load, cool": [0.8, 0.2],
    "high load, hot": [0.8, 0.9],
}
times = np.linspace(0, 14, 200)
fig, axes = plt.subplots(1, 3, figsize=(13, 4), sharey=True, layout="constrained")
for ax, (title, row) in zip(axes, cases.items(), strict=True):
    for name, (fitted, color) in models.items():
        curve = fitted.predict_dist([row]).sf(times)
        ax.plot(times, curve, color=color, label=name, lw=2 if fitted is model else 1.4)
    true = LogNormal()(loc=2.3 - 1.5 * row[0], scale=0.2 + 0.5 * row[1])
    ax.plot(times, true.sf(times), "k--", lw=1.2, label="truth")
    ax.set_title(title, loc="left")
    ax.set(xlabel="years", xlim=(0, 14), ylim=(0, 1.02))
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("share that still runs")
axes[2].legend(frameon=False)
plt.show()
