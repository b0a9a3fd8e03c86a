"""
Sparse or compressible? An electrocardiogram from half its samples
==================================================================

A signal is *sparse* in a basis if few of its coefficients are not zero, and
*compressible* if they are all there but fall off fast. The default of
:class:`~skalgos.linear_model.SparseBayesRegressor` is made for the first kind: it takes
a coefficient only if noise alone would hardly bring it about. For the second kind that
is too strict, as each of the many small coefficients looks like noise, and
``algorithm="em"`` is the right choice. This example has one signal of each kind.
"""

# Authors: The skalgos developers
# SPDX-License-Identifier: BSD-3-Clause

# %%
# Blocks of 256 values are measured by 128 random projections. The first signal is in
# the shape of an electrocardiogram, and its cosine transform is compressible. The
# second is a sum of eight cosines.

import numpy as np
from scipy.fft import dct, idct

from skalgos.datasets import make_ecg_like
from skalgos.linear_model import sparse_bayes

n_values, n_measured = 256, 128
basis = idct(np.eye(n_values), axis=0, norm="ortho")
rng = np.random.RandomState(0)
coefs = np.zeros(n_values)
coefs[rng.permutation(80)[:8]] = rng.uniform(2, 5, 8) * rng.choice([-1, 1], 8)
signals = {
    "compressible: an electrocardiogram": make_ecg_like(4 * n_values, random_state=0),
    "sparse: eight cosines": np.tile(basis @ coefs, 4),
}
noise = 0.05


def recovered(signal, algorithm):
    """Return the signal, block by block from its measurements."""
    blocks = []
    for seed, block in enumerate(signal.reshape(-1, n_values)):
        rng = np.random.RandomState(seed)
        A = rng.standard_normal((n_measured, n_values)) / np.sqrt(n_measured)
        y = A @ block + noise * rng.standard_normal(n_measured)
        result = sparse_bayes(A @ basis, y, algorithm=algorithm)
        blocks.append(basis @ result.coef)
    return np.concatenate(blocks)


# %%
# On the left the cosine coefficients of the first block, by size. On the right what
# each algorithm makes of the measurements; the numbers are relative squared errors.

import matplotlib.pyplot as plt

fig, axes = plt.subplots(
    2, 2, figsize=(12, 6), width_ratios=[1, 2.6], layout="constrained"
)
styles = {"em": ("#2a9d8f", "-"), "sequential": ("#b23a48", "-")}
for (left, right), (name, signal) in zip(axes, signals.items(), strict=True):
    sizes = np.sort(np.abs(dct(signal[:n_values], norm="ortho")))[::-1]
    left.semilogy(np.maximum(sizes, 1e-4), color="#33415c")
    left.set(xlabel="rank", ylabel="modulus", ylim=(1e-4, 20))
    left.set_title(name, loc="left")
    right.plot(signal[:n_values], color="0.65", lw=4, label="truth")
    for algorithm, (color, style) in styles.items():
        found = recovered(signal, algorithm)
        error = np.sum((found - signal) ** 2) / np.sum(signal**2)
        right.plot(
            found[:n_values],
            style,
            color=color,
            lw=1.3,
            label=f"{algorithm}: {error:.4f}",
        )
    right.set(xlabel="time", xlim=(0, n_values))
    right.legend(frameon=False, ncols=3, loc="upper left", bbox_to_anchor=(0, 1.16))
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
plt.show()
