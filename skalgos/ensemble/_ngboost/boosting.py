"""Natural gradient boosting of the parameters of a distribution."""

from math import isfinite
from typing import NamedTuple

import numpy as np

from skalgos.ensemble._ngboost import kernels, normal_kernels
from skalgos.ensemble._ngboost.targets import Target
from skalgos.ensemble._ngboost.trees import Ensemble, Grower, Limits, Tree, find

#: Leaves of logarithms and logits stay within this, whatever the gradient is.
LARGEST_LEAF = 4.0
#: A doubled step may change them by this at most, which separable classes would exceed.
LARGEST_STEP = 1.0
#: What the line search tries at least.
SMALLEST_SCALE = 1e-4
#: Iterations after which what the normal kernels keep up is computed anew.
REFRESH_AFTER = 50
#: Iterations in one call of a kernel, and rows times iterations, so that Ctrl-C works.
CHUNK, CHUNK_ROWS = 32, 1_000_000


class Settings(NamedTuple):
    """How to boost."""

    learning_rate: float
    rates: np.ndarray  # (K,), what share of it each parameter has
    limits: Limits
    shared: bool
    subsample: float
    n_features: int
    largest_scale: float  # of the line search, 0 for none
    leaf_estimation: str
    constraints: np.ndarray  # (K, n_features)
    groups: np.ndarray  # (n_groups, n_features)


class Rows(NamedTuple):
    """Rows to boost on or to judge by."""

    columns: np.ndarray
    target: Target
    weights: np.ndarray

    def take(self, rows):
        """Return some of the rows."""
        return Rows(
            np.ascontiguousarray(self.columns[:, rows]),
            self.target.take(rows),
            self.weights[rows],
        )


class Booster:
    """A model in the making: each call of ``run`` adds iterations.

    Parameters
    ----------
    rows : Rows
        To fit to.
    bins : Bins
    settings : Settings
    start : ndarray of shape (K,)
        The marginal theta.
    bounds : tuple of ndarray of shape (K,)
        What theta is kept in.
    validation : Rows, default=None
        To judge by.
    past : Ensemble, default=None
        The trees of an earlier fit to go on from.
    mapper : callable, default=None
        Maps a function over the trees of an iteration in threads; None grows them one
        after the other. The results are the same to the last bit.

    Attributes
    ----------
    losses, scales : list of float
        The training loss after each iteration, and its step.
    curve : list of float
        The validation scores, from before the first iteration on.
    """

    def __init__(
        self,
        rows,
        bins,
        settings,
        start,
        bounds,
        validation=None,
        past=None,
        mapper=None,
    ):
        self.rows, self.settings, self.mapper = rows, settings, mapper
        self.start = start
        self.low, self.high = bounds[0][:, None], bounds[1][:, None]
        self.bounded = np.array(rows.target.family.bounded, bool)
        self.largest_leaf = np.where(self.bounded, LARGEST_LEAF, np.inf)[:, None]
        K = len(start)
        n_trees = 1 if settings.shared else K

        def grower():
            return Grower(
                rows.columns, bins, rows.weights, settings.limits,
                K if settings.shared else 1, settings.groups,
            )  # fmt: skip

        if mapper is None:
            self.growers = [grower()] * n_trees
        else:
            self.growers = [grower() for _ in range(n_trees)]
        n = len(rows.weights)
        self.total = rows.weights.sum()
        self.uniform = rows.weights.min() == rows.weights.max()
        self.theta = np.repeat(start[:, None], n, axis=1)
        self.validation = validation
        n_val = 0 if validation is None else len(validation.weights)
        self.validation_theta = np.repeat(start[:, None], n_val, axis=1)
        if past is not None:
            for k in range(n_trees):
                trees = np.flatnonzero(past.output == k)
                at = None if settings.shared else k
                past.add(rows.columns, self.theta, trees, at)
                if validation is not None:
                    past.add(validation.columns, self.validation_theta, trees, at)
        self.scales, self.losses, self.curve = [], [], []
        self._pieces, self._loose = [], []
        self.failures = 0
        # How far theta may have come from its start, by parameter: while this is less
        # than the bounds allow, there is nothing to clip.
        self.moved = np.zeros(K) if past is None else np.full(K, np.inf)
        self.room = np.minimum(start - bounds[0], bounds[1] - start)
        self.values = np.empty_like(self.theta)
        self.leaves = np.empty((n_trees, n), np.uint8)
        self._rows = np.empty(n, np.int32)
        self._features = np.empty(len(rows.columns), np.int64)
        self.normal = None
        if settings.leaf_estimation == "natural" and not settings.shared:
            self.normal = rows.target.normal
        self.free = self._is_free()
        self.loss = self.mean_score(self.inside(self.theta))
        if self.normal is not None:
            self._prepare_normal(n, n_val)
        if validation is not None:
            self.curve.append(self._validation_score())

    def mean_score(self, theta):
        """Return the weighted mean score; infinite where a score is not finite."""
        scores = self.rows.target.scores(theta)
        if self.uniform:
            value = np.add.reduce(scores) / len(scores)
        else:
            value = self.rows.weights @ scores / self.total
        return float(value) if isfinite(value) else np.inf

    def inside(self, theta):
        """Return theta clipped to its bounds: what is kept is the sum of the trees."""
        return theta if self.free else self._clipped(theta)

    def _clipped(self, theta):
        return np.minimum(np.maximum(theta, self.low), self.high)

    def _validation_score(self):
        rows = self.validation
        theta = self.inside(self.validation_theta)
        if self.normal is not None:
            total = kernels.normal_score(theta, self.normal_val, rows.weights)
            return total / self.total_val + self.constant_val
        return float(rows.weights @ rows.target.scores(theta) / rows.weights.sum())

    def ensemble(self, n_iter=None):
        """Return the trees of the first ``n_iter`` iterations, all if None."""
        self._bundle()
        trees = Ensemble.joined(self._pieces)
        return trees if n_iter is None else trees.head(n_iter * len(self.growers))

    def run(self, seeds):
        """Add an iteration for each seed, which determines rows and features drawn.

        Returns
        -------
        going : bool
            False if nothing is left to be learned: no tree splits, or no step along
            the trees lowers the training loss three times in a row.
        """
        while len(seeds):
            if self.normal is not None and self.mapper is None and self.free:
                done, why = self._run_normal(seeds)
                seeds = seeds[done:]
                if why != normal_kernels.LEFT_TO_PYTHON:
                    return why == normal_kernels.COMPLETE
            if not self.step(seeds[0]):
                return False
            seeds = seeds[1:]
        return True

    def _is_free(self):
        return bool((self.moved < self.room).all())

    def step(self, seed):
        """Add an iteration, as ``run`` does for many."""
        settings = self.settings
        drawn = kernels.draw_rows(seed, settings.subsample, self._rows)
        chosen = self._rows[:drawn]
        quick = self.normal is not None and self.free
        clipped = self.inside(self.theta)
        direction = self.gradient if quick else self._direction(clipped)
        gradient = metric = None
        if settings.leaf_estimation == "fisher":
            gradient, metric = self._fisher(clipped)

        def grow(k):
            grower = self.growers[k]
            mine = direction if settings.shared else direction[k : k + 1]
            features = None
            if settings.n_features < len(self._features):
                features = np.empty_like(self._features)
                kernels.draw_features(seed, k, features, settings.n_features)
                features = features[: settings.n_features]
            importance = None
            if settings.shared:
                variance = np.mean((mine[:, chosen]) ** 2, axis=1)
                importance = 1 / np.where(variance > 0, variance, 1.0)
            tree = grower.grow(
                mine, chosen, features, settings.constraints[k], importance
            )
            self.leaves[k] = grower.leaf
            if gradient is not None:
                values = self._fisher_values(tree, k, chosen, gradient, metric)
                tree = tree._replace(values=values)
            return self._clamped(tree, k)

        mapper = map if self.mapper is None else self.mapper
        trees = list(mapper(grow, range(len(self.growers))))
        if not any(len(tree.feature) for tree in trees):
            return False
        if quick:
            scale = self._search(
                lambda scale: self._normal_trial(trees, scale), self._cap(trees)
            )
        else:
            self._spread(trees)
            scale = self._search(self._trial, self._cap(trees))
        if scale == 0:
            self._spread(trees)
            quick = False
            trees, scale = self._rescue(trees, clipped, chosen)
        if scale == 0:
            self.failures += 1
            deterministic = drawn == len(self._rows) and settings.n_features == len(
                self._features
            )
            return self.failures < 3 and not deterministic
        self.failures = 0
        rate = settings.learning_rate * scale
        self.moved += rate * self._largest(trees)
        self.free = self._is_free()
        if quick and self.free:
            self._normal_step(trees, rate)
        else:
            self._spread(trees)
            self.theta -= rate * self.values
            self.loss = self.mean_score(self.inside(self.theta))
            if self.normal is not None:
                self._refresh()
        self._keep(trees, rate, scale)
        return True

    # ---- pieces of an iteration ------------------------------------------------------
    def _clamped(self, tree, k):
        """Return a tree at the rates of its parameters, within what is sensible."""
        own = slice(None) if self.settings.shared else slice(k, k + 1)
        values = tree.values * self.settings.rates[own, None]
        limit = self.largest_leaf[own]
        return tree._replace(values=np.minimum(np.maximum(values, -limit), limit))

    def _spread(self, trees):
        for k, tree in enumerate(trees):
            out = self.values if self.settings.shared else self.values[k : k + 1]
            kernels.spread_values(self.leaves[k], tree.values, out)

    def _direction(self, theta):
        direction = self.rows.target.direction(theta)
        # At a bound, no further.
        if not self.free:
            at_low, at_high = self.theta <= self.low, self.theta >= self.high
            direction = np.where(at_low & (direction > 0), 0.0, direction)
            direction = np.where(at_high & (direction < 0), 0.0, direction)
        return direction

    def _largest(self, trees):
        """Return the largest step of each parameter."""
        if self.settings.shared:
            return np.abs(trees[0].values).max(axis=1)
        # Python's max is the faster one for a few leaves.
        return np.array([max(map(abs, tree.values[0].tolist())) for tree in trees])

    def _trial(self, scale):
        """Return the loss after a full step along the values, times a scale."""
        return self.mean_score(self._clipped(self.theta - scale * self.values))

    def _cap(self, trees):
        """Return the largest scale that is worth a trial."""
        largest = self._largest(trees)[self.bounded].max(initial=0.0)
        step = self.settings.learning_rate * largest
        largest = self.settings.largest_scale
        return min(largest, LARGEST_STEP / step) if step > 0 else largest

    def _search(self, trial, cap):
        """Return the largest power of 2 whose step lowers the loss, as the paper does.

        The learning rate then goes a small part of it. ``trial`` gives the loss. Where
        the largest scale is 1, steps are only ever shortened.
        """
        if self.settings.largest_scale == 0:
            return 1.0
        scale = 1.0
        if trial(scale) < self.loss:
            while 2 * scale <= cap and trial(2 * scale) < self.loss:
                scale *= 2
            return scale
        while scale > SMALLEST_SCALE:
            scale /= 2
            if trial(scale) < self.loss:
                return scale
        return 0.0

    # ---- the normal distribution, in one pass over the rows --------------------------
    def _prepare_normal(self, n, n_val):
        family, m = self.rows.target.family, self.settings.limits.max_leaves

        def constant(y, weights, total):
            # The passes leave out what does not depend on theta.
            jacobian = weights @ y / total if family.log_axis else 0.0
            return 0.5 * np.log(2 * np.pi) + jacobian

        self.constant = constant(self.normal, self.rows.weights, self.total)
        self.total_val = self.constant_val = 0.0
        self.normal_val = np.empty(0)
        if n_val:
            weights = self.validation.weights
            self.normal_val = self.validation.target.normal
            self.total_val = weights.sum()
            self.constant_val = constant(self.normal_val, weights, self.total_val)
        self.precision, self.gradient = np.empty(n), np.empty((2, n))
        self.since_refresh = 0
        self._by, self._factor = np.empty((2, m)), np.empty(m)
        self._lanes = np.empty(4)
        self._refresh()

    def _refresh(self):
        """Compute what the passes keep up, from theta alone."""
        kernels.normal_refresh(
            self.theta, self.normal, self.validation_theta, self.start, self.precision,
            self.gradient, self.moved,
        )  # fmt: skip
        self.free = self._is_free()
        self.since_refresh = 0

    def _set_step(self, trees, step):
        for k, tree in enumerate(trees):
            values = tree.values[0]
            np.multiply(values, -step, out=self._by[k, : len(values)])
        kernels.set_factors(self._by[1], len(trees[1].values[0]), self._factor)

    def _normal_trial(self, trees, scale):
        if (self.moved + scale * self._largest(trees) >= self.room).any():
            self._spread(trees)
            return self._trial(scale)
        self._set_step(trees, scale)
        total = kernels.normal_trial(
            self.theta, self.normal, self.precision, self.rows.weights, self.leaves,
            self._by, self._factor, self._lanes,
        )  # fmt: skip
        return total / self.total + self.constant

    def _normal_step(self, trees, rate):
        self._set_step(trees, rate)
        total = kernels.normal_step(
            self.theta, self.normal, self.precision, self.rows.weights, self.leaves,
            self._by, self._factor, self.gradient, self._lanes,
        )  # fmt: skip
        self.loss = total / self.total + self.constant
        self.since_refresh += 1
        if self.since_refresh >= REFRESH_AFTER:
            # Products of factors drift away from the exponential, slowly.
            self._refresh()

    def _run_normal(self, seeds):
        """Make iterations in a kernel; return how many, and why no more."""
        settings, rows, grower = self.settings, self.rows, self.growers[0]
        T, m = len(seeds), settings.limits.max_leaves
        k = len(grower.out.tables)
        out = Tree(
            np.empty(2 * T * m, np.int32), *np.empty((4, 2 * T * m), np.uint8),
            np.empty((2 * T * m if k else 0, 256), np.uint8), np.empty(2 * T * m),
            np.empty(2 * T * m), np.empty(2 * T * m),
        )  # fmt: skip
        sizes, record = np.empty((T, 2), np.int64), np.empty((3, T))
        n_val = self.validation_theta.shape[1]
        if n_val:
            columns_val = self.validation.columns
            weights_val = self.validation.weights
        else:
            columns_val, weights_val = rows.columns[:, :0], rows.weights[:0]
        numbers = np.array([
            settings.learning_rate, *settings.rates, LARGEST_LEAF, LARGEST_STEP,
            settings.largest_scale, SMALLEST_SCALE, self.total, self.constant,
            self.constant_val, self.total_val, REFRESH_AFTER,
        ], float)  # fmt: skip
        state = np.array([self.loss, self.since_refresh], float)
        done, why = normal_kernels.boost_normal(
            rows.columns, settings.n_features, settings.subsample,
            np.asarray(seeds, np.int64), self._features, *grower.work,
            settings.constraints, *grower.rest, self.theta, self.normal, self.start,
            self.precision, self.gradient, rows.weights, self.leaves,
            np.empty((2, m)), np.empty(2, np.int64), self._by, self._factor,
            self._lanes, np.empty(2), self.moved, self.room, numbers, state,
            columns_val, self.validation_theta, self.normal_val, weights_val,
            np.empty((2, n_val), np.uint8), *out, sizes, *record,
        )  # fmt: skip
        if done:
            self.loss, self.since_refresh = float(state[0]), int(state[1])
            self.free = self._is_free()
            self._bundle()
            sizes = sizes[:done].ravel()
            self._pieces.append(Ensemble.from_arrays(out, sizes, [0, 1] * done))
            scales, losses, scores = record[:, :done].tolist()
            self.scales += scales
            self.losses += losses
            if n_val:
                self.curve += scores
        return done, why

    # ---- other leaves ----------------------------------------------------------------
    def _fisher(self, theta):
        target = self.rows.target
        metric = target.family.metric(theta, target.rule)
        if metric.ndim == 3:
            metric = np.einsum("iin->in", metric)
        return target.gradient(theta), metric

    def _fisher_values(self, tree, k, chosen, gradient, metric):
        """Return leaves of summed gradient over summed metric, as Newton's method."""
        own = slice(None) if self.settings.shared else slice(k, k + 1)
        above, below = np.zeros_like(tree.values), np.zeros_like(tree.values)
        for values, out in ((gradient[own], above), (metric[own], below)):
            mass = np.zeros(out.shape[1])
            kernels.leaf_sums(
                self.leaves[k], np.ascontiguousarray(values), self.rows.weights,
                chosen, out, mass,
            )  # fmt: skip
        return above / np.where(below > 0, below, 1.0)

    def _rescue(self, trees, theta, chosen):
        """Try what still can lower the loss where the whole step does not.

        The mean of natural gradients over a leaf need not be a direction of descent,
        since the metric varies within it. First each parameter alone, then leaves
        weighted by the metric, which are.
        """
        if not self.settings.shared:
            total = np.zeros_like(self.values)
            factors = []
            for k in range(len(trees)):
                alone = np.zeros_like(self.values)
                alone[k] = self.values[k]
                factors.append(self._alone(total, alone))
                total[k] = factors[k] * self.values[k]
            if any(factors):
                self.values = total
                trees = [
                    tree._replace(values=factor * tree.values)
                    for tree, factor in zip(trees, factors, strict=True)
                ]
                return trees, 1.0
        gradient, metric = self._fisher(theta)
        trees = [
            self._clamped(
                tree._replace(
                    values=self._fisher_values(tree, k, chosen, gradient, metric)
                ),
                k,
            )
            for k, tree in enumerate(trees)
        ]
        self._spread(trees)
        return trees, self._search(self._trial, self._cap(trees))

    def _alone(self, total, alone):
        """Return a power of 2, at most 1, for one parameter beside the others."""
        scale = 1.0
        while scale > SMALLEST_SCALE:
            theta = self._clipped(self.theta - total - scale * alone)
            if self.mean_score(theta) < self.loss:
                return scale
            scale /= 2
        return 0.0

    def _keep(self, trees, rate, scale):
        for k, tree in enumerate(trees):
            tree = tree._replace(values=-rate * tree.values)
            self._loose.append(tree)
            if self.validation is None:
                continue
            columns = self.validation.columns
            leaf = np.empty(columns.shape[1], np.uint8)
            find(columns, tree, leaf)
            where = slice(None) if self.settings.shared else slice(k, k + 1)
            self.validation_theta[where] += tree.values[:, leaf]
        self.scales.append(scale)
        self.losses.append(self.loss)
        if self.validation is not None:
            self.curve.append(self._validation_score())

    def _bundle(self):
        """Join the trees that came one by one into arrays."""
        if self._loose:
            outputs = np.arange(len(self._loose)) % len(self.growers)
            self._pieces.append(Ensemble(self._loose, outputs))
            self._loose = []


def chunk_size(n_rows):
    """Return how many iterations to make between two looks at the clock."""
    return max(1, min(CHUNK, CHUNK_ROWS // n_rows))


def best_of(curve, patience, tol, relative):
    """Return the best length of a curve, and where patience ends, None if it does not.

    Parameters
    ----------
    curve : sequence of float
        Scores from before the first iteration on.
    patience : int
        How many iterations without a better score end it.
    tol : float
        What counts as better.
    relative : bool
        Whether it is a share of the first score.

    Returns
    -------
    best : int
    end : int or None
    """
    best = 0
    margin = tol * curve[0] if relative else tol
    for i, score in enumerate(curve):
        if score < curve[best] - margin:
            best = i
        if i - best >= patience:
            return best, i
    return best, None


def boost(booster, seeds, *, patience=None, tol=0.0, relative=False, on_iteration=None):
    """Add iterations until they are all there, or nothing is gained by more.

    Parameters
    ----------
    booster : Booster
    seeds : sequence of int
        One for each iteration.
    patience : int, default=None
        Stop after so many iterations without a better validation score.
    tol, relative :
        What counts as better, as in ``best_of``.
    on_iteration : callable, default=None
        Called before each iteration; what it returns is called with the booster after
        it, and stops by returning True.

    Returns
    -------
    n_iter : int
        The iterations to keep: up to the best validation score if there is one.
    curve : list of float
        The validation scores, from before the first iteration on.
    status : str
        "complete", "early stopping", "no further improvement" or "callback".
    """
    size = chunk_size(len(booster.rows.weights)) if on_iteration is None else 1
    status = "complete"
    end = None
    for first in range(0, len(seeds), size):
        told = None if on_iteration is None else on_iteration()
        going = booster.run(seeds[first : first + size])
        if patience is not None:
            _, end = best_of(booster.curve, patience, tol, relative)
        if told is not None and told(booster):
            status = "callback"
            break
        if end is not None:
            status = "early stopping"
            break
        if not going:
            status = "no further improvement"
            break
    if patience is None:
        return len(booster.losses), [], status
    curve = booster.curve if end is None else booster.curve[: end + 1]
    return best_of(curve, patience, tol, relative)[0], curve, status


def cross_validated_length(boosters, seeds, *, patience, tol, relative, mapper=map):
    """Return how many iterations have the best mean validation score over folds.

    The folds go on side by side, so that the mean is over all of them at every length.

    Parameters
    ----------
    boosters : list of Booster
        One for each fold.
    seeds : sequence of int
    patience, tol, relative :
        As in ``best_of``.
    mapper : callable, default=map

    Returns
    -------
    n_iter : int
    curve : list of float
        The mean validation scores, from before the first iteration on.
    """
    shares = np.array([booster.validation.weights.sum() for booster in boosters])
    shares = shares / shares.sum()
    size = chunk_size(max(len(booster.rows.weights) for booster in boosters))
    going = [True] * len(boosters)
    for first in range(0, len(seeds), size):

        def run(i, part=seeds[first : first + size], going=going):
            return going[i] and boosters[i].run(part)

        going = list(mapper(run, range(len(boosters))))
        # A fold that has nothing left to learn stays where it is.
        length = max(len(booster.curve) for booster in boosters)
        curves = [
            booster.curve + booster.curve[-1:] * (length - len(booster.curve))
            for booster in boosters
        ]
        # Entry by entry: a matrix product rounds by how many entries there are.
        curve = np.sum(shares[:, None] * curves, axis=0).tolist()
        best, end = best_of(curve, patience, tol, relative)
        if end is not None:
            return best, curve[: end + 1]
        if not any(going):
            break
    return best, curve
