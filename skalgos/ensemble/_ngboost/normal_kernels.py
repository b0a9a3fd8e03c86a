"""Whole iterations of boosting the normal distribution, without a return to Python.

On a few hundred rows an iteration is some tens of microseconds, less than the calls of
Python around its pieces. The pieces are those of the iterations in ``boosting``, which
takes over wherever the plain course is left.
"""

from skalgos._jit import helper, kernel
from skalgos.ensemble._ngboost.kernels import (
    draw_features,
    draw_rows,
    find_leaves,
    grow,
    normal_refresh,
    normal_score,
    normal_step,
    normal_trial,
    set_factors,
)

#: What ends a run of iterations: their number; no split; what is left to Python.
COMPLETE, NO_SPLIT, LEFT_TO_PYTHON = range(3)


@helper
def _largest(values, n_leaves, largest):
    for k in range(2):
        largest[k] = 0.0
        for j in range(n_leaves[k]):
            largest[k] = max(largest[k], abs(values[k, j]))


@helper
def _set_step(values, n_leaves, size, by, factor):
    """Write what a step of this size adds, and the factors of 1 / scale^2."""
    for k in range(2):
        for j in range(n_leaves[k]):
            by[k, j] = -size * values[k, j]
    set_factors(by[1], n_leaves[1], factor)


@kernel
def boost_normal(
    columns, n_drawn, share, seeds, features, packed, bits, units, whole, rows, scratch,
    n_bins, is_category, bin_low, bin_high, constraints, groups, alive, tree_settings,
    importance, scales, hist, heavy_hist, S, N, C, B, node_float, node_int, tables,
    bounds, children, theta, y, start, precision, gradient, weights, leaf, values,
    n_leaves, by, factor, lanes, largest, moved, room, settings, state, columns_val,
    theta_val, y_val, weights_val, leaf_val, feature_out, code_out, missing_out,
    first_out, skip_out, table_out, gain_out, cover_out, value_out, sizes_out,
    scale_out, loss_out, val_out,
):  # fmt: skip
    """Make up to len(seeds) iterations; return how many, and why no more.

    settings : learning rate, the shares of it that the two parameters have, largest
        leaf, step and scale (0 for no search), smallest scale, the sum of the weights,
        constants of the score and of the validation score, sum of validation weights,
        iterations between refreshments
    state : loss, iterations since the last refreshment; kept up
    sizes_out : (iterations, 2) the numbers of leaves
    The trees are written one after the other, each at the end of the last.
    """
    rate, share_0, share_1, largest_leaf, largest_step = settings[0:5]
    largest_scale, smallest_scale, total = settings[5:8]
    constant, constant_val, total_val, refresh_after = settings[8:12]
    at_split = 0
    at_leaf = 0
    for t in range(seeds.shape[0]):
        seed = seeds[t]
        first_split = at_split
        first_leaf = at_leaf
        for k in range(2):
            draw_features(seed, k, features, n_drawn)
            # Each tree leaves the rows in an order of its own.
            n_rows = draw_rows(seed, share, rows)
            size = grow(
                columns, features[:n_drawn], packed, bits, units, whole, rows[:n_rows],
                scratch, n_bins, is_category, bin_low, bin_high, constraints[k],
                groups, alive, tree_settings, importance, scales, hist, heavy_hist, S,
                N, C, B, node_float, node_int, tables, bounds, children,
                feature_out[at_split:], code_out[at_split:], missing_out[at_split:],
                first_out[at_split:], skip_out[at_split:], table_out[at_split:],
                gain_out[at_split:], gradient[k : k + 1], weights,
                cover_out[at_leaf:], values[k : k + 1],
            )  # fmt: skip
            table = columns
            found_leaf = leaf[k]
            for part in range(1 + (total_val > 0.0)):
                if part == 1:
                    table = columns_val
                    found_leaf = leaf_val[k]
                find_leaves(
                    table, feature_out[at_split:], code_out[at_split:],
                    missing_out[at_split:], first_out[at_split:], skip_out[at_split:],
                    table_out[at_split:], size - 1, found_leaf,
                )  # fmt: skip
            n_leaves[k] = size
            at_split += size - 1
            at_leaf += size
        if at_split == first_split:
            return t, NO_SPLIT
        for j in range(n_leaves[0]):
            values[0, j] *= share_0
        for j in range(n_leaves[1]):
            value = share_1 * values[1, j]
            values[1, j] = min(max(value, -largest_leaf), largest_leaf)
        _largest(values, n_leaves, largest)
        scale = 1.0
        found = largest_scale == 0.0
        step = rate * largest[1]
        cap = largest_scale
        if step > 0.0:
            cap = min(cap, largest_step / step)
        while not found:
            for k in range(2):
                if moved[k] + scale * largest[k] >= room[k]:
                    return t, LEFT_TO_PYTHON
            _set_step(values, n_leaves, scale, by, factor)
            loss = normal_trial(theta, y, precision, weights, leaf, by, factor, lanes)
            loss = loss / total + constant
            if loss < state[0]:
                if scale < 1.0 or 2.0 * scale > cap:
                    found = True
                else:
                    scale *= 2.0
            elif scale > 1.0:
                scale /= 2.0
                found = True
            elif scale > smallest_scale:
                scale /= 2.0
            else:
                return t, LEFT_TO_PYTHON
        size = rate * scale
        for k in range(2):
            if moved[k] + size * largest[k] >= room[k]:
                return t, LEFT_TO_PYTHON
        _set_step(values, n_leaves, size, by, factor)
        loss = normal_step(
            theta, y, precision, weights, leaf, by, factor, gradient, lanes
        )  # fmt: skip
        state[0] = loss / total + constant
        for k in range(2):
            moved[k] += size * largest[k]
        state[1] += 1.0
        if state[1] >= refresh_after:
            # Products of factors drift away from the exponential, slowly.
            normal_refresh(theta, y, theta_val, start, precision, gradient, moved)
            state[1] = 0.0
        at = first_leaf
        for k in range(2):
            sizes_out[t, k] = n_leaves[k]
            for j in range(n_leaves[k]):
                value_out[at] = by[k, j]
                at += 1
        scale_out[t] = scale
        loss_out[t] = state[0]
        if total_val > 0.0:
            for k in range(2):
                for i in range(y_val.shape[0]):
                    theta_val[k, i] += by[k, leaf_val[k, i]]
            loss = normal_score(theta_val, y_val, weights_val)
            val_out[t] = loss / total_val + constant_val
    return seeds.shape[0], COMPLETE
