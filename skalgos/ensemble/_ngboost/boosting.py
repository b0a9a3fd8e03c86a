"""Natural gradient boosting of the parameters of a distribution."""

from typing import NamedTuple

import numpy as np

from skalgos.distributions import LogNormal, Normal
from skalgos.distributions._base import solve_metric
from skalgos.distributions._location_scale import mixed_gradient, mixed_score
from skalgos.ensemble._ngboost import kernels
from skalgos.ensemble._ngboost.trees import Ensemble, Grower, Limits

#: Leaves of logarithms and logits stay within this, whatever the gradient is.
LARGEST_LEAF = 4.0
#: A doubled step may change them by this at most, which separable classes would exceed.
LARGEST_STEP = 1.0


class Target:
    """What is to be predicted, with the scores of parameters and their directions.

    Parameters
    ----------
    family : Distribution
    y : ndarray of shape (n_samples,) or (n_outputs, n_samples)
    rule : str
        The scoring rule.
    natural : bool
        Whether directions are natural gradients, or plain ones.
    """

    def __init__(self, family, y, rule, natural=True):
        self.family, self.y, self.rule, self.natural = family, y, rule, natural

    @property
    def normal(self):
        """Return y on the axis where it is normal, None if another score is meant."""
        plain = type(self.family) in (Normal, LogNormal) and type(self) is Target
        if not (plain and self.rule == "log" and self.natural):
            return None
        return self.family._axis(self.y)

    def take(self, rows):
        """Return the target of some rows."""
        y = np.ascontiguousarray(self.y[..., rows])
        return type(self)(self.family, y, self.rule, self.natural)

    def start(self, w):
        """Return the marginal theta, shape (K,)."""
        return self.family.fit_marginal(self.y, w, self.rule)

    def scores(self, theta):
        """Return the score of each row."""
        return self.family.score(theta, self.y, self.rule)

    def gradient(self, theta):
        """Return the derivatives of the scores by theta."""
        return self.family.gradient(theta, self.y, self.rule)

    def direction(self, theta):
        """Return what trees are fitted to, shape (K, n_samples)."""
        if self.natural:
            return self.family.natural_gradient(theta, self.y, self.rule)
        return self.gradient(theta)


class CensoredTarget(Target):
    """A target known to be in (lower, upper], exactly where both are equal."""

    def __init__(self, family, y, rule, natural=True):
        super().__init__(family, y, rule, natural)
        self.lower, self.upper = y
        self.exact = self.lower == self.upper

    def start(self, w):
        """Return the marginal theta, shape (K,)."""
        if self.exact.all():
            return self.family.fit_marginal(self.lower, w, self.rule)
        return self.family.fit_marginal_censored(self.lower, self.upper, w, self.rule)

    def scores(self, theta):
        """Return the score of each row."""
        return mixed_score(
            self.family, theta, self.lower, self.upper, self.exact, self.rule
        )

    def gradient(self, theta):
        """Return the derivatives of the scores by theta."""
        return mixed_gradient(
            self.family, theta, self.lower, self.upper, self.exact, self.rule
        )

    def direction(self, theta):
        """Return what trees are fitted to; the metric is that of exact values."""
        gradient = self.gradient(theta)
        if self.natural:
            return solve_metric(self.family.metric(theta, self.rule), gradient)
        return gradient


class Settings(NamedTuple):
    """How to boost."""

    learning_rate: float
    limits: Limits
    shared: bool
    subsample: float
    n_features: int
    line_search: bool
    leaf_estimation: str
    constraints: np.ndarray  # (K, n_features)


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
    """A model in the making: each call of ``step`` adds an iteration.

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
    mapper : callable, default=map
        Maps a function over the trees of an iteration, perhaps in threads.
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
        mapper=map,
    ):
        self.rows, self.settings, self.mapper = rows, settings, mapper
        self.low, self.high = bounds[0][:, None], bounds[1][:, None]
        self.bounded = np.array(rows.target.family.bounded, bool)
        K = len(start)
        P = K if settings.shared else 1
        self.growers = [
            Grower(rows.columns, bins, rows.weights, settings.limits, P)
            for _ in range(1 if settings.shared else K)
        ]
        self.total = rows.weights.sum()
        self.uniform = rows.weights.min() == rows.weights.max()
        self.theta = np.repeat(start[:, None], len(rows.weights), axis=1)
        self.validation, self.validation_theta = validation, None
        if validation is not None:
            n = len(validation.weights)
            self.validation_theta = np.repeat(start[:, None], n, axis=1)
        if past is not None:
            for k in range(len(self.growers)):
                trees = np.flatnonzero(past.output == k)
                at = None if settings.shared else k
                past.add(rows.columns, self.theta, trees, at)
                if validation is not None:
                    past.add(validation.columns, self.validation_theta, trees, at)
        self.trees, self.outputs, self.scales, self.losses = [], [], [], []
        self.failures = 0
        # How far theta may have come from its start, by parameter: while this is less
        # than the bounds allow, there is nothing to clip.
        self.moved = np.zeros(K) if past is None else np.full(K, np.inf)
        self.room = np.minimum(start - bounds[0], bounds[1] - start)
        self.normal = None
        if settings.leaf_estimation == "natural" and not settings.shared:
            self.normal = rows.target.normal
        self.loss = self.mean_score(self.theta)
        if self.normal is not None:
            self._refresh()
        self.values = np.empty_like(self.theta)
        self.leaves = np.empty((len(self.growers), len(rows.weights)), np.uint8)

    def mean_score(self, theta):
        """Return the weighted mean score; infinite where a score is not finite."""
        scores = self.rows.target.scores(self.inside(theta))
        if self.uniform:
            value = scores.sum() / len(scores)
        else:
            value = self.rows.weights @ scores / self.total
        return float(value) if np.isfinite(value) else np.inf

    def inside(self, theta):
        """Return theta clipped to its bounds: what is kept is the sum of the trees."""
        if (self.moved < self.room).all():
            return theta
        return np.minimum(np.maximum(theta, self.low), self.high)

    def validation_score(self):
        """Return the weighted mean score of the validation rows."""
        rows = self.validation
        scores = rows.target.scores(self.inside(self.validation_theta))
        return float(rows.weights @ scores / rows.weights.sum())

    def ensemble(self, n_iter=None):
        """Return the trees of the first ``n_iter`` iterations, all if None."""
        n = len(self.trees) if n_iter is None else n_iter * len(self.growers)
        return Ensemble(self.trees[:n], self.outputs[:n])

    def step(self, seed):
        """Add an iteration.

        Parameters
        ----------
        seed : int
            Determines the rows and features drawn.

        Returns
        -------
        going : bool
            False if nothing is left to be learned: no tree splits, or no step along
            the trees lowers the training loss three times in a row.
        """
        settings, rows = self.settings, self.rows
        d, n = rows.columns.shape
        chosen = np.arange(n, dtype=np.int32)
        feature_seed = None
        if settings.subsample < 1 or settings.n_features < d:
            rng = np.random.RandomState(seed)
            if settings.subsample < 1:
                drawn = rng.uniform(size=n) < settings.subsample
                if drawn.any():
                    chosen = chosen[drawn]
            feature_seed = rng.randint(np.iinfo(np.int32).max, size=len(self.growers))
        quick = self.normal is not None and (self.moved < self.room).all()
        clipped = self.inside(self.theta)
        direction = self.gradient if quick else self._direction(clipped)
        gradient = metric = None
        if settings.leaf_estimation == "fisher":
            gradient, metric = self._fisher(clipped)

        def grow(k):
            grower = self.growers[k]
            mine = direction if settings.shared else direction[k : k + 1]
            features = None
            if settings.n_features < d:
                draw = np.random.RandomState(feature_seed[k])
                features = np.sort(draw.permutation(d)[: settings.n_features])
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

        trees = list(self.mapper(grow, range(len(self.growers))))
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
            deterministic = settings.subsample == 1 and settings.n_features == d
            return self.failures < 3 and not deterministic
        self.failures = 0
        rate = settings.learning_rate * scale
        self.moved = self.moved + rate * self._largest(trees)
        if quick:
            self._normal_step(trees, rate)
        else:
            self.theta -= rate * self.values
            self.loss = self.mean_score(self.theta)
            if self.normal is not None:
                self._refresh()
        self._keep(trees, rate, scale)
        return True

    # ---- pieces of an iteration ------------------------------------------------------
    def _clamped(self, tree, k):
        bounded = self.bounded if self.settings.shared else self.bounded[k : k + 1]
        if not bounded.any():
            return tree
        values = np.clip(tree.values, -LARGEST_LEAF, LARGEST_LEAF)
        return tree._replace(values=np.where(bounded[:, None], values, tree.values))

    def _spread(self, trees):
        for k, tree in enumerate(trees):
            out = self.values if self.settings.shared else self.values[k : k + 1]
            kernels.spread_values(self.leaves[k], tree.values, out)

    def _direction(self, theta):
        direction = self.rows.target.direction(theta)
        # At a bound, no further.
        at_low, at_high = self.theta <= self.low, self.theta >= self.high
        if at_low.any() or at_high.any():
            direction = np.where(at_low & (direction > 0), 0.0, direction)
            direction = np.where(at_high & (direction < 0), 0.0, direction)
        return direction

    def _largest(self, trees):
        """Return the largest step of each parameter."""
        return np.concatenate([np.abs(tree.values).max(axis=1) for tree in trees])

    def _trial(self, scale):
        """Return the loss after a full step along the values, times a scale."""
        moved, self.moved = self.moved, np.full_like(self.moved, np.inf)
        loss = self.mean_score(self.theta - scale * self.values)
        self.moved = moved
        return loss

    def _cap(self, trees):
        """Return the largest scale that is worth a trial."""
        largest = self._largest(trees)[self.bounded].max(initial=0.0)
        step = self.settings.learning_rate * largest
        return min(512.0, LARGEST_STEP / step) if step > 0 else 512.0

    def _search(self, trial, cap):
        """Return the largest power of 2 whose step lowers the loss, as the paper does.

        The learning rate then goes a small part of it. ``trial`` gives the loss.
        """
        if not self.settings.line_search:
            return 1.0
        scale = 1.0
        if trial(scale) < self.loss:
            while 2 * scale <= cap and trial(2 * scale) < self.loss:
                scale *= 2
            return scale
        while scale > 1e-4:
            scale /= 2
            if trial(scale) < self.loss:
                return scale
        return 0.0

    # ---- the normal distribution, in one pass over the rows --------------------------
    def _refresh(self):
        """Compute what the passes keep up, from theta alone."""
        loc, log_scale = self.theta
        with np.errstate(over="ignore"):
            self.precision = np.exp(-2 * log_scale)
            r = loc - self.normal
            self.gradient = np.array([r, 0.5 * (1 - r * r * self.precision)])
        # The passes leave out what does not depend on theta.
        constant = 0.5 * np.log(2 * np.pi) * np.ones(1)
        if self.rows.target.family.log_axis:
            constant = self.rows.weights @ self.normal / self.total + constant
        self.constant = float(constant[0])
        self.since_refresh = 0

    def _normal_tables(self, trees, step):
        by = [-step * tree.values[0] for tree in trees]
        return *self.leaves, *by, np.exp(-2 * by[1])

    def _normal_trial(self, trees, scale):
        with np.errstate(over="ignore"):
            tables = self._normal_tables(trees, scale)
        if (self.moved + scale * self._largest(trees) >= self.room).any():
            self._spread(trees)
            return self._trial(scale)
        total = kernels.normal_trial(
            self.theta, self.normal, self.precision, self.rows.weights, *tables
        )
        return total / self.total + self.constant

    def _normal_step(self, trees, rate):
        if (self.moved >= self.room).any():
            self._spread(trees)
            self.theta -= rate * self.values
            self.loss = self.mean_score(self.theta)
            return
        tables = self._normal_tables(trees, rate)
        total = kernels.normal_step(
            self.theta, self.normal, self.precision, self.rows.weights, *tables,
            self.gradient,
        )  # fmt: skip
        self.loss = total / self.total + self.constant
        self.since_refresh += 1
        if self.since_refresh == 50:
            # Products of factors drift away from the exponential, slowly.
            self._refresh()

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
        while scale > 1e-4:
            if self.mean_score(self.theta - total - scale * alone) < self.loss:
                return scale
            scale /= 2
        return 0.0

    def _keep(self, trees, rate, scale):
        for k, tree in enumerate(trees):
            tree = tree._replace(values=-rate * tree.values)
            self.trees.append(tree)
            self.outputs.append(k)
            if self.validation is None:
                continue
            columns = self.validation.columns
            leaf = np.empty(columns.shape[1], np.uint8)
            kernels.find_leaves(
                columns, tree.feature, tree.code, tree.missing, tree.first, tree.skip,
                tree.tables, len(tree.feature), leaf,
            )  # fmt: skip
            where = slice(None) if self.settings.shared else slice(k, k + 1)
            self.validation_theta[where] += tree.values[:, leaf]
        self.scales.append(scale)
        self.losses.append(self.loss)


def boost(booster, seeds, *, patience=None, tol=0.0, on_iteration=None):
    """Add iterations until they are all there, or nothing is gained by more.

    Parameters
    ----------
    booster : Booster
    seeds : sequence of int
        One for each iteration.
    patience : int, default=None
        Stop after so many iterations without a better validation score.
    tol : float, default=0.0
        What counts as better.
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
    curve = []
    if patience is not None:
        curve.append(booster.validation_score())
    best = 0
    status = "complete"
    for seed in seeds:
        end = None if on_iteration is None else on_iteration()
        before = len(booster.losses)
        going = booster.step(seed)
        if patience is not None and len(booster.losses) > before:
            curve.append(booster.validation_score())
            if curve[-1] < curve[best] - tol:
                best = len(curve) - 1
        if end is not None and end(booster):
            status = "callback"
            break
        if not going:
            status = "no further improvement"
            break
        if patience is not None and len(curve) - 1 - best >= patience:
            status = "early stopping"
            break
    return (best if patience is not None else len(booster.losses)), curve, status


def cross_validated_length(boosters, seeds, *, patience, tol, mapper=map):
    """Return how many iterations have the best mean validation score over folds.

    The folds go on side by side, so that the mean is over all of them at every length.

    Parameters
    ----------
    boosters : list of Booster
        One for each fold.
    seeds : sequence of int
    patience, tol :
        As in ``boost``.
    mapper : callable, default=map

    Returns
    -------
    n_iter : int
    curve : list of float
        The mean validation scores, from before the first iteration on.
    """
    shares = np.array([booster.validation.weights.sum() for booster in boosters])
    shares = shares / shares.sum()

    def mean():
        return float(shares @ [booster.validation_score() for booster in boosters])

    curve, best = [mean()], 0
    going = [True] * len(boosters)
    for seed in seeds:

        def step(i, seed=seed, going=going):
            return going[i] and boosters[i].step(seed)

        going = list(mapper(step, range(len(boosters))))
        curve.append(mean())
        if curve[-1] < curve[best] - tol:
            best = len(curve) - 1
        if len(curve) - 1 - best >= patience or not any(going):
            break
    return best, curve
