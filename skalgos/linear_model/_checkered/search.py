"""Starts for the solvers: where the loss has bad minima, search finds the basin.

Two classes: hyperplanes are fitted to neighbourhoods of random samples. Where one of
the sought hyperplanes passes, it separates the labels nearby, up to a sign. A set
whose product of signs matches the labels is then a combinatorial question about bits.
Random starts complete it, since in many dimensions neighbourhoods are too large.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np

from skalgos.linear_model._checkered import kernels
from skalgos.linear_model._checkered.objectives import pairs
from skalgos.linear_model._checkered.solvers import descend

N_CANDIDATES = 150
# The penalty of a local hyperplane, for each sample; and the entries of
# arrays worked on at once: what is small enough is not asked of the system each time.
RIDGE = 1e-2
SLAB = 1 << 14
# Logits of the hyperplanes of a start have this standard deviation.
SPREAD = 4.0
# Where this share of labels is matched there is little left to search for.
ENOUGH = 0.985
GROUP = 8
# The first rounds of a search look at so many samples.
FIRST_LOOK = 1000
# With more coefficients, neighbourhoods that determine them are most of the data.
LOCAL_WIDTH = 200
# Searches need no exact minima.
ROUGH = 1e-4
LOCAL_SCHEDULE = [(10, 2), (25, 1)]
RANDOM_SCHEDULE = [(25, 2), (60, 1)]
# Many classes: the size of random coefficients; the starts of a round; after how many
# rounds that find nothing better, or at all, it is better to start anew; how often at
# most, and what counts as the same loss found again, which ends the search. So does the
# share of labels that is enough. It is lower than with two classes, as the most likely
# values err more often than the most likely sum; but not as long as orders of the
# classes compete. The worse half of these is given up after each round, until they are
# few. A light penalty leaves fewer bad minima. With few samples for each coefficient
# the lowest loss is that of noise: the search is brief, and the penalty as it is.
CIRCULAR_SPREAD = 2.0
ROUND = 16
PATIENCE, MOST_ROUNDS = 3, 15
MOST_CLIMBS, AGAIN = 6, 1e-2
LIGHT = 0.1
BRIEF_PATIENCE, MOST_BRIEF_ROUNDS = 2, 6
FEW_SAMPLES = 20
FEW_ORDERS = 6
ENOUGH_CLASSES = 0.975


class Start(NamedTuple):
    """The best start, the order of classes it is for, and the losses of all starts."""

    theta: np.ndarray
    residues: np.ndarray
    losses: np.ndarray


def systematic_sample(weights, size):
    """Return ``size`` indices, spread evenly over the cumulated weights.

    An index appears as often as its weight deserves. Repeating a sample is the same as
    raising its weight.
    """
    total = np.cumsum(weights)
    places = (np.arange(size) + 0.5) / size * total[-1]
    return np.minimum(np.searchsorted(total, places, side="right"), len(weights) - 1)


# ---- candidates ----------------------------------------------------------------------
def local_hyperplanes(design, y, n_candidates, random_state):
    """Return hyperplanes that separate the labels in random neighbourhoods.

    Parameters
    ----------
    design : Design
        Dense.
    y : ndarray of shape (n,)
        -1 and 1.

    Returns
    -------
    V : ndarray of shape (n_candidates, width)
        Scaled to logits of a common size.
    """
    columns, n, width = design.columns, design.n, design.width
    features = columns[: design.d]
    centers = random_state.randint(n, size=n_candidates)
    sizes = np.minimum(width * np.resize([4, 8, 16, 32], n_candidates), n)
    near = np.empty((n_candidates, n), bool)
    squares = np.einsum("ji,ji->i", features, features)
    order = np.argsort(sizes, kind="stable")
    step = max(1, SLAB // n)
    for start in range(0, n_candidates, step):
        some = order[start : start + step]
        # Squared distances, less the squares of the centers.
        distances = (-2 * features[:, centers[some]].T) @ features
        distances += squares
        ranks = np.unique(sizes[some]) - 1
        ranked = np.partition(distances, ranks, axis=1)
        reach = np.take_along_axis(ranked, sizes[some, None] - 1, axis=1)
        near[some] = distances <= reach
    # Moments of all neighbourhoods are one product with those of single samples.
    row, column = pairs(width)
    moments, targets = (
        np.zeros((n_candidates, len(row))),
        np.zeros((n_candidates, width)),
    )
    step = max(64, SLAB // max(n_candidates, len(row)))
    for start in range(0, n, step):
        part = columns[:, start : start + step]
        members = near[:, start : start + step].astype(np.float64)
        moments += members @ (part[row] * part[column]).T
        targets += members @ (part * y[start : start + step]).T
    A = np.empty((n_candidates, width, width))
    A[:, row, column] = A[:, column, row] = moments
    diagonal = np.arange(width)
    A[:, diagonal, diagonal] += RIDGE * sizes[:, None]
    return np.linalg.solve(A, targets[..., None])[..., 0]


def candidates(design, y, n_candidates, random_state):
    """Return hyperplanes to choose from, and on which side of them samples are.

    The last one is on the same side of all, as are those that miss the data.

    Returns
    -------
    V : ndarray of shape (n_candidates + 1, width)
    sides : ndarray of shape (n_candidates + 1, n), bool
    """
    V = np.empty((n_candidates + 1, design.width))
    V[:-1] = local_hyperplanes(design, y, n_candidates, random_state)
    constant = np.zeros(design.width)
    constant[design.d :] = 6.0
    V[-1] = constant
    columns = design.columns
    mean = columns.mean(axis=1)
    covariance = columns @ columns.T / design.n - np.outer(mean, mean)
    spread = np.sqrt(np.maximum(((V @ covariance) * V).sum(axis=1), 1e-24))
    V *= (SPREAD / spread)[:, None]
    V[-1] = constant
    sides = V @ columns > 0
    count = sides.sum(axis=1)
    off = (count == 0) | (count == design.n)
    V[off], sides[off] = constant, design.intercept
    return V, sides


def as_bits(rows):
    """Return boolean rows as 64-bit words, filled up with zeros."""
    packed = np.packbits(rows, axis=1)
    words = -(-packed.shape[1] // 8)
    padded = np.zeros((len(rows), 8 * words), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view(np.uint64)


def matched_sets(sides, y, m, n_sets, n_rounds, random_state):
    """Return sets of candidates whose product of signs is close to the labels.

    Returns
    -------
    picks : ndarray of shape (sets, m)
        The best first, different ones only.
    """
    n = len(y)
    signs, target = as_bits(sides), as_bits((y > 0)[None])[0]
    if m == 2:
        n_sets = n_rounds = 1  # all pairs are tried
    picks = random_state.randint(len(sides), size=(n_sets, m))
    first = random_state.randint(m, size=(n_sets, n_rounds))
    shift = random_state.randint(1, m, size=(n_sets, n_rounds))
    drops = np.stack([first, (first + shift) % m], axis=-1)
    scores = np.empty(n_sets, np.int64)
    trial = np.empty(m, np.int64)
    kernels.match(signs, target, n, drops, picks, trial, np.empty_like(target), scores)
    picks.sort(axis=1)
    order = np.argsort(-scores, kind="stable")
    _, first = np.unique(picks[order], axis=0, return_index=True)
    return picks[order[np.sort(first)]]


def matched_starts(objective, n_starts, effort, random_state):
    """Return sets of local hyperplanes whose parity is close to the labels.

    Parameters
    ----------
    objective : BinaryObjective
        On a sample of equal weights.
    n_starts : int
    effort : int
        Multiplies the number of candidates and of sets tried.

    Returns
    -------
    starts : ndarray of shape (n_starts or fewer, size)
    """
    design, y = objective.design, objective.labels
    m = objective.shape[0]
    n_candidates = min(effort * N_CANDIDATES, 5 * design.n)
    V, sides = candidates(design, y, n_candidates, random_state)
    n_sets = effort * (n_starts + 2 * max(0, m - 3))
    picks = matched_sets(sides, y, m, n_sets, 2, random_state)[:n_starts]
    starts = V[picks]
    product = np.where(sides[picks], 1, -1).prod(axis=1)
    starts[product @ y < 0, 0] *= -1
    return starts.reshape(len(starts), -1)


# ---- training many starts ------------------------------------------------------------
def halve(objective, theta, schedule, pool_map):
    """Train starts together, keep the best, and go on with those.

    Parameters
    ----------
    objective : Objective
    theta : ndarray of shape (s, size)
    schedule : sequence of (int, int)
        How many evaluations, and how many starts are kept after them.
    pool_map : callable
        ``pool_map(function, chunks) -> list``.

    Returns
    -------
    theta : ndarray of shape (size,)
        The best.
    value : float
    first : ndarray of shape (s,)
        The values after the first round.
    best : int
        Its number.
    """
    first, index = None, np.arange(len(theta))
    for n_evaluations, kept in schedule:
        theta, best, values = keep_best(objective, theta, n_evaluations, kept, pool_map)
        first = values if first is None else first
        index = index[best]
        objective = objective.select(best)
    return theta[0], float(values.min()), first, int(index[0])


def keep_best(objective, theta, n_evaluations, kept, pool_map):
    """Train starts for a while, and return the best, their numbers, and all values."""
    theta, values = trained(objective, theta, n_evaluations, pool_map)
    best = np.argsort(values, kind="stable")[:kept]
    return theta[best], best, values


def trained(objective, theta, n_evaluations, pool_map):
    """Train starts for a while, and return where they are, and their values."""
    # The groups are the same for every number of threads.
    groups = [slice(start, start + GROUP) for start in range(0, len(theta), GROUP)]

    def run(group):
        part = objective.select(group)
        return descend(part, theta[group], max_iter=n_evaluations, tol=ROUGH)[:2]

    results = pool_map(run, groups)
    theta = np.concatenate([result[0] for result in results])
    return theta, np.concatenate([result[1] for result in results])


# ---- two classes ---------------------------------------------------------------------
def parity_share(objective, V):
    """Return the share of labels that the product of signs of the forms matches."""
    product = np.where(objective.logits(V) < 0, -1, 1).prod(axis=0)
    return objective.weights[product == objective.labels].sum()


def nested_start(objective):
    """Return the start of one trained hyperplane, the others far from the data."""
    single = objective.replace(shape=(1,))
    trained, _, _, _ = descend(
        single, np.zeros((1, single.size)), max_iter=100, tol=ROUGH
    )
    theta = np.zeros((objective.shape[0], objective.design.width))
    theta[:, -1] = 6.0
    theta[0] = trained
    return theta.reshape(1, -1)


def binary_start(objective, kind, n_starts, n_search, random_state, pool_map):
    """Search for a start.

    Parameters
    ----------
    objective : BinaryObjective
        Over all samples, without noise.
    kind : {"auto", "local", "random"}
    n_starts : int or "auto"
        With "auto" more and more are tried until the labels are matched.
    n_search : int
        The largest number of samples to search on.
    random_state : RandomState
    pool_map : callable

    Returns
    -------
    start : Start
    """
    weights, design = objective.weights, objective.design
    sizes = [min(n_search, design.n, FIRST_LOOK), min(n_search, design.n)]
    samples = []
    for size in sizes:
        index = systematic_sample(weights, size)
        sample = objective.take(index, np.ones(size))
        if kind == "local" or design.width <= LOCAL_WIDTH:
            sample = sample.replace(design=sample.design.dense())
        samples.append(sample)
    m = objective.shape[0]
    if n_starts == "auto":
        rounds = [("local", 3, 1), ("random", 8, 1), ("local", 6, 2), ("random", 16, 2)]
        if m > 4:
            rounds += [("local", 8, 4)]
    else:
        rounds = [("local", -(-n_starts // 2), 1), ("random", n_starts // 2, 1)]
        if kind != "auto":
            rounds = [(kind, n_starts, 1)]
    if kind == "auto" and design.width > LOCAL_WIDTH:
        rounds = [("random", number, effort) for _, number, effort in rounds]
    rounds = [
        (how, number, effort)
        for how, number, effort in rounds
        if number and kind in ("auto", how)
    ]
    best, lowest, losses = None, np.inf, []
    judge = samples[1]
    for turn, (how, number, effort) in enumerate(rounds):
        sample = samples[0] if n_starts == "auto" and turn < 2 else judge
        if how == "local":
            starts = matched_starts(sample, number, effort, random_state)
            schedule = LOCAL_SCHEDULE
        else:
            starts = random_state.standard_normal((number, objective.size))
            schedule = RANDOM_SCHEDULE
            if design.intercept and m > 1:
                starts = np.vstack([nested_start(sample), starts])
        theta, value, first, _ = halve(sample, starts, schedule, pool_map)
        losses.append(first)
        value = float(judge(theta[None])[0][0])
        again = abs(value - lowest) <= 1e-3 * lowest
        if value < lowest:
            best, lowest = theta, value
        if n_starts == "auto" and (
            (turn > 1 and again)
            or parity_share(sample, sample.unpack(best)[0]) >= ENOUGH
        ):
            break
    return Start(best, None, np.concatenate(losses))


# ---- many classes --------------------------------------------------------------------
def inequivalent_orders(K):
    """Yield one order of the classes for each set of models that orders lead to.

    Replacing residue y by a y + c, with a prime to K, changes no model: of the orders
    that this makes equal the first is yielded.
    """
    seen = set()
    units = [a for a in range(1, K) if math.gcd(a, K) == 1]
    for order in itertools.permutations(range(1, K)):
        order = (0, *order)
        if order not in seen:
            yield order
            for a in units:
                # The class at place i goes to place a i + c; class 0 to the front.
                moved = [0] * K
                for place, label in enumerate(order):
                    moved[a * place % K] = label
                seen.add(tuple(moved))


def residues_of(order):
    """Return the residue of each class: its place in the order."""
    residues = np.empty(len(order), np.int64)
    residues[np.asarray(order)] = np.arange(len(order))
    return residues


def nested_circular(objective, residues):
    """Return the start of one trained softmax, the others close to certain."""
    m, K = objective.shape
    single = objective.replace(shape=(1, K), residues=residues[None])
    zero = np.zeros((1, single.size))
    theta, _, _, _ = descend(single, zero, max_iter=100, tol=ROUGH)
    V = np.zeros((m, K, objective.design.width))
    V[1:, 0, -1] = 3.0
    V[0] = theta.reshape(K, -1)
    return V.reshape(-1)


def kicked(V, n_kicks, random_state):
    """Return changed models, for ways out of a local minimum.

    In turn: a factor is drawn anew, or two of its forms change places, or one of them
    is drawn anew, or all is.

    Parameters
    ----------
    V : ndarray of shape (m, K, width)
    n_kicks : int
    random_state : RandomState

    Returns
    -------
    kicks : ndarray of shape (n_kicks, m, K, width)
    """
    m, K, width = V.shape
    kicks = np.tile(V, (n_kicks, 1, 1, 1))
    for turn, kick in enumerate(kicks):
        k = random_state.randint(m)
        how = turn % 4
        if how == 0:
            kick[k] = CIRCULAR_SPREAD * random_state.standard_normal((K, width))
        elif how == 1:
            two = random_state.permutation(K)[:2]
            kick[k, two] = V[k, two[::-1]]
        elif how == 2:
            size = np.sqrt(np.mean(V[k] ** 2))
            new = random_state.standard_normal(width)
            kick[k, random_state.randint(K)] = 1.5 * size * new
        else:
            kick[:] = CIRCULAR_SPREAD * random_state.standard_normal(V.shape)
    return kicks


def matched_share(objective, theta):
    """Return the share of labels that the sum of the most likely values matches."""
    m, K = objective.shape
    values = objective.logits(objective.unpack(theta)[0]).argmax(axis=1)
    residues = objective.residues[0][objective.labels]
    return objective.weights[values.sum(axis=0) % K == residues].sum()


def circular_start(objective, orders, n_starts, n_search, random_state, pool_map):
    """Search for a start, and for the order of the classes.

    Rounds of starts are trained together. The first has random ones; with
    ``n_starts="auto"`` more follow, which depart from the best of those before, until
    none is better. Then all begins anew, until the lowest loss is found again.

    Parameters
    ----------
    objective : CircularObjective
        Over all samples, without noise.
    orders : list of tuple, or "swaps"
        The orders of the classes to try; "swaps" tries exchanges of two classes as long
        as that helps.
    n_starts : int or "auto"
        For each order.
    n_search, random_state, pool_map :
        As in ``binary_start``.

    Returns
    -------
    start : Start
    """
    m, K = objective.shape
    sizes = [min(n_search, objective.design.n, size) for size in (500, 1000, n_search)]
    look, middle, judge = (
        objective.take(systematic_sample(objective.weights, size), np.ones(size))
        for size in sizes
    )
    more, brief = n_starts == "auto", objective.design.n < FEW_SAMPLES * objective.size
    n_starts = ROUND if more else n_starts
    if not brief:
        look, middle = (o.replace(penalty=LIGHT * o.penalty) for o in (look, middle))
    losses = []

    def improve(residues, starts):
        """Return the best of the starts for each order, and its value."""
        n_orders, number, size = starts.shape
        rows = np.repeat(residues, number, axis=0)
        batch = look.replace(residues=rows)
        theta, first = trained(batch, starts.reshape(-1, size), 20, pool_map)
        losses.append(first)
        best = np.argsort(first.reshape(n_orders, -1), axis=1, kind="stable")[:, :4]
        best += number * np.arange(n_orders)[:, None]
        batch = middle.replace(residues=rows[best.ravel()])
        theta, values = trained(batch, theta[best.ravel()], 30, pool_map)
        values = values.reshape(best.shape)
        best = values.argmin(axis=1)
        each = np.arange(n_orders)
        return theta.reshape(n_orders, -1, size)[each, best], values[each, best]

    def first_round(residues):
        noise = random_state.standard_normal((n_starts, objective.size))
        starts = np.tile(CIRCULAR_SPREAD * noise, (len(residues), 1, 1))
        if objective.design.intercept:
            nested = np.array([nested_circular(look, row) for row in residues])
            starts = np.concatenate([nested[:, None], starts], axis=1)
        return residues, *improve(residues, starts)

    def enough(residues, theta, values):
        first = values.argmin()
        single = middle.replace(residues=residues[first : first + 1])
        share = ENOUGH_CLASSES if len(values) == 1 else ENOUGH
        return matched_share(single, theta[first]) >= share

    def climb(residues, theta, values, patience, most_rounds):
        """Return where rounds of changes lead to."""
        stale, n_rounds = 0, 1
        while stale < patience and n_rounds < most_rounds:
            n_rounds += 1
            if enough(residues, theta, values):
                break
            if len(values) > FEW_ORDERS:
                best = np.argsort(values, kind="stable")[: -(-len(values) // 2)]
                residues, theta, values = residues[best], theta[best], values[best]
                stale = 0  # orders that were dropped were in the way
            starts = np.array(
                [kicked(t.reshape(m, K, -1), ROUND, random_state) for t in theta]
            )
            new, lower = improve(residues, starts.reshape(len(theta), ROUND, -1))
            better = lower < values * (1 - 1e-3)
            stale = 0 if better.any() else stale + 1
            theta[better], values[better] = new[better], lower[better]
        return residues, theta, values

    if orders == "swaps":
        found = _exchange(first_round, K)
    else:
        found = first_round(np.array([residues_of(order) for order in orders]))
    if more and brief:
        found = climb(*found, BRIEF_PATIENCE, MOST_BRIEF_ROUNDS)
    elif more:
        found = climb(*found, PATIENCE, MOST_ROUNDS)
        for _ in range(MOST_CLIMBS - 1):
            if enough(*found):
                break
            other = climb(*first_round(found[0]), PATIENCE, MOST_ROUNDS)
            low, lowest = found[2].min(), other[2].min()
            if lowest < low:
                found = other
            if abs(lowest - low) <= AGAIN * low:
                break
    residues, theta, values = found
    best = values.argmin()
    residues = residues[best]
    judge = judge.replace(residues=residues[None])
    # With a strong penalty what is best without may not be.
    ends = np.array([theta[best], nested_circular(judge, residues)])
    theta, values, _, _ = descend(judge, ends, max_iter=60, tol=ROUGH)
    return Start(theta[values.argmin()], residues, np.concatenate(losses))


def _exchange(first_round, K):
    """Exchange classes as long as the loss falls, and return what a round does."""
    order = list(range(K))
    found = first_round(residues_of(order)[None])
    while True:
        trials = []
        for i, j in itertools.combinations(range(K), 2):
            trial = order.copy()
            trial[i], trial[j] = trial[j], trial[i]
            trials.append(residues_of(trial))
        residues, theta, values = first_round(np.array(trials))
        best = slice(values.argmin(), values.argmin() + 1)
        if values[best] >= found[2] * (1 - 1e-3):
            return found
        found = residues[best], theta[best], values[best]
        order = list(np.argsort(found[0][0]))
