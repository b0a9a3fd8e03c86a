"""
A radio channel from few pilots
===============================

A base station estimates the channel from a mobile by way of a reflecting surface: 18
angles at the surface, 18 at the mobile and 18 at the station make 5832 unknowns, and
there are 288 measurements. The dictionary is a Kronecker product of three small ones,
and the few angles in use are next to each other. Both are worth knowing.
"""

# Authors: The skalgos developers
# SPDX-License-Identifier: BSD-3-Clause

# %%
# Three ways to solve the same problem: without structure, with prior variances that
# are an outer product, and with neighbouring variances coupled as well. The error is
# that of the channel, relative to its power, and the median of several channels.

from functools import reduce

import numpy as np

from skalgos.datasets import make_irs_channel
from skalgos.decomposition import kron_sparse_bayes
from skalgos.linear_model import sparse_bayes


def plain(problem):
    """Recover on the whole dictionary, any support allowed."""
    A = reduce(np.kron, problem.factors)
    return sparse_bayes(A, problem.Y.ravel()).coef.reshape(problem.coef.shape)


def kronecker(problem):
    """Recover with the Kronecker structure."""
    return kron_sparse_bayes(problem.factors, problem.Y).coef


def coupled(problem):
    """Recover with the Kronecker structure, and neighbours coupled."""
    return kron_sparse_bayes(problem.factors, problem.Y, coupling=(0.8, 0, 0.8)).coef


methods = {"no structure": plain, "Kronecker": kronecker, "Kronecker, coupled": coupled}


def channel_error(coef, problem, steering):
    """Return the relative squared error of the channel."""
    roots = [np.linalg.qr(A)[1] for A in steering]
    difference, whole = (
        np.einsum("ai,bj,ck,ijk->abc", *roots, tensor, optimize=True)
        for tensor in (coef - problem.coef, problem.coef)
    )
    return np.sum(np.abs(difference) ** 2) / np.sum(np.abs(whole) ** 2)


ratios = [0, 7, 14, 21]
errors = {name: [] for name in methods}
for snr_db in ratios:
    for name, method in methods.items():
        made = [make_irs_channel(snr_db=snr_db, random_state=seed) for seed in range(5)]
        values = [channel_error(method(p), p, steering) for p, steering in made]
        errors[name].append(np.median(values))

# %%
# One channel at 10 dB, summed over the angles of the mobile, and the errors.

import matplotlib.pyplot as plt

problem, steering = make_irs_channel(snr_db=10, random_state=1)
maps = {"truth": problem.coef}
maps |= {name: method(problem) for name, method in methods.items()}

fig = plt.figure(figsize=(13, 4.6), layout="constrained")
grid = fig.add_gridspec(2, 4, width_ratios=[1, 1, 0.15, 2])
top = np.sqrt((np.abs(problem.coef) ** 2).sum(axis=1)).max()
for i, (name, coef) in enumerate(maps.items()):
    ax = fig.add_subplot(grid[i // 2, i % 2])
    power = np.sqrt((np.abs(coef) ** 2).sum(axis=1))
    ax.imshow(power, cmap="magma", vmin=0, vmax=top, origin="lower")
    ax.set_title(name, loc="left", fontsize=10)
    ax.set(xticks=[], yticks=[])
    if i == 2:
        ax.set(xlabel="angle at the station", ylabel="angle at the surface")
ax = fig.add_subplot(grid[:, 3])
for (name, values), color in zip(
    errors.items(), ["0.55", "#4e79a7", "#2a9d8f"], strict=True
):
    ax.semilogy(ratios, values, "o-", color=color, label=name)
ax.set(xlabel="signal to noise (dB)", ylabel="relative error of the channel")
ax.legend(frameon=False)
ax.spines[["top", "right"]].set_visible(False)
plt.show()
