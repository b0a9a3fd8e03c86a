"""K-medoids as the textbook has it: slow, short and independent of the package."""

import itertools

import numpy as np


def loss(D, medoids, w=None):
    """Return the weighted sum of the dissimilarities D[o, medoid] to the nearest."""
    w = np.ones(len(D)) if w is None else w
    return float(w @ D[:, list(medoids)].min(axis=1))


def optimum(D, k, w=None):
    """Return the smallest loss of all sets of k medoids."""
    return min(
        (loss(D, medoids, w), medoids)
        for medoids in itertools.combinations(range(len(D)), k)
    )


def best_swap(D, medoids, w=None):
    """Return the smallest loss of all sets that differ in one medoid."""
    others = [j for j in range(len(D)) if j not in set(medoids)]
    return min(
        (
            loss(D, [*medoids[:i], j, *medoids[i + 1 :]], w)
            for i in range(len(medoids))
            for j in others
        ),
        default=np.inf,
    )


def greedy(D, k, w=None):
    """Return the medoids of BUILD, each found by trying all objects."""
    w = np.ones(len(D)) if w is None else w
    medoids = []
    for _ in range(k):
        losses = [
            loss(D, [*medoids, j], w) if j not in medoids else np.inf
            for j in range(len(D))
        ]
        medoids.append(int(np.argmin(losses)))
    return medoids


def eager(D, medoids, order, w=None):
    """Return the medoids of FasterPAM with every exchange priced from scratch."""
    medoids = list(medoids)
    current = loss(D, medoids, w)
    last = None
    while True:
        changed = False
        for j in order:
            if j == last:
                return medoids, current
            if j in medoids:
                continue
            trials = [
                loss(D, [*medoids[:i], j, *medoids[i + 1 :]], w)
                for i in range(len(medoids))
            ]
            best = int(np.argmin(trials))
            if trials[best] < current - 1e-12 * current:
                medoids[best], current = j, trials[best]
                last, changed = j, True
        if not changed:
            return medoids, current


def medoid_silhouette(D, medoids, w=None):
    """Return the weighted mean of 1 - d1 / d2, with 0 where both are 0."""
    w = np.ones(len(D)) if w is None else w
    total = 0.0
    for o in range(len(D)):
        d1, d2 = sorted(D[o, list(medoids)])[:2]
        total += w[o] * (1 - d1 / d2 if d2 > 0 else 0.0)
    return total / np.sum(w)
