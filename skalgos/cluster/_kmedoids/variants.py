"""PAM and its other descendants, with the interface of ``solvers.fasterpam``.

They look for exchanges in orders of their own. Ties, up to rounding, go to the
candidate that is first in the source's canonical order, then to the first slot.
"""

import numpy as np

from skalgos.cluster._kmedoids import kernels
from skalgos.cluster._kmedoids.solvers import (
    ENTRIES_AT_ONCE,
    SMALLEST_GAIN,
    Fit,
    RowSearch,
    fasterpam,
    row_blocks,
    single_medoid,
)


def _iterate(source, medoids, step, *, max_iter, tol, on_sweep):
    """Take steps until one makes no exchange.

    ``step(search, candidates, least) -> int`` makes exchanges that gain at least
    ``least`` and returns their number; candidates are all that are no medoids.
    """
    start = np.array(medoids)
    if len(start) == 1:
        return single_medoid(source, start)
    search = RowSearch(source, start)
    losses = [search.refresh()]
    n_iter = n_swaps = 0
    converged = False
    while n_iter < max_iter and not converged:
        n_iter += 1
        before = losses[-1]
        if before == 0:
            converged = True
            break
        end_sweep = on_sweep() if on_sweep is not None else None
        others = source.canonical[search.slot_of[source.canonical] < 0]
        swaps = step(search, others, SMALLEST_GAIN * before) if len(others) else 0
        n_swaps += swaps
        losses.append(search.refresh())
        converged = swaps == 0 or before - losses[-1] <= tol * before
        if end_sweep is not None and end_sweep(search.objects(), losses[-1]):
            break
    return Fit(search.objects(), losses[-1], losses, n_iter, n_swaps, converged, start)


def fastpam1(source, medoids, order=None, *, max_iter=300, tol=0.0, on_sweep=None):
    """Make the best of all exchanges, again and again: the exchanges of PAM.

    Parameters
    ----------
    source, medoids, max_iter, tol, on_sweep :
        As in ``fasterpam``; a sweep is one exchange.
    order : None
        Not used: nothing here depends on an order.

    Returns
    -------
    fit : Fit
    """

    def step(search, others, least):
        change, slot, candidate = search.best_exchange(others, tie=least)
        if change >= -least:
            return 0
        search.exchange(slot, candidate)
        return 1

    return _iterate(
        source, medoids, step, max_iter=max_iter, tol=tol, on_sweep=on_sweep
    )


def pam(source, medoids, order=None, *, max_iter=300, tol=0.0, on_sweep=None):
    """Do what ``fastpam1`` does, pricing each pair of a medoid and a candidate alone.

    This is the SWAP phase of PAM as it was published, k times as slow.
    """

    def step(search, others, least):
        n, k = search.n, len(search.medoids)
        near, w = search.near[:n], search.w[:n]
        d1, d2 = (d[:n].astype(np.float64) for d in (search.d1, search.d2))
        best = (-least, -1, -1)
        for part, rows in row_blocks(source, others):
            changes = np.empty((len(rows), k))
            for slot in range(k):
                left = np.where(near == slot, d2, d1)
                changes[:, slot] = (np.minimum(rows[:, :n], left) - d1) @ w
            first = np.argmax(changes <= changes.min() + least)
            t, slot = np.unravel_index(first, changes.shape)
            if changes[t, slot] < best[0] - least * (best[1] >= 0):
                best = (changes[t, slot], int(slot), int(others[part][t]))
        _, slot, candidate = best
        if slot < 0:
            return 0
        search.exchange(slot, candidate)
        return 1

    return _iterate(
        source, medoids, step, max_iter=max_iter, tol=tol, on_sweep=on_sweep
    )


def fastpam2(source, medoids, order=None, *, max_iter=300, tol=0.0, on_sweep=None):
    """Make the best exchange for every medoid in a sweep, as far as it still pays.

    Exchanges are found for all medoids at once and made from the best on; after the
    first, each is priced again before it is made.

    Parameters
    ----------
    source, medoids, max_iter, tol, on_sweep :
        As in ``fasterpam``.
    order : None
        Not used: nothing here depends on an order.

    Returns
    -------
    fit : Fit
    """

    def step(search, others, least):
        k = len(search.medoids)
        changes, best = np.full(k, np.inf), np.full(k, -1)
        for part, rows in row_blocks(source, others):
            kernels.changes_of_slots(
                rows, others[part], search.near, search.d1, search.d2, search.w,
                search.R, search.P, search.hits, least, changes, best,
            )  # fmt: skip
        n_swaps = 0
        for slot in np.argsort(changes, kind="stable"):
            if changes[slot] >= -least:
                break
            candidate = best[slot]
            if search.slot_of[candidate] >= 0:
                continue
            if n_swaps and search.change_of(slot, candidate) >= -least:
                continue
            search.exchange(slot, candidate)
            n_swaps += 1
        return n_swaps

    return _iterate(
        source, medoids, step, max_iter=max_iter, tol=tol, on_sweep=on_sweep
    )


def alternate(source, medoids, order=None, *, max_iter=300, tol=0.0, on_sweep=None):
    """Assign objects to medoids, and find the medoid of each cluster, in turn.

    Parameters
    ----------
    source, medoids, max_iter, tol, on_sweep :
        As in ``fasterpam``.
    order : None
        Not used: nothing here depends on an order.

    Returns
    -------
    fit : Fit
        Converged where no cluster has a better medoid; other exchanges may pay.
    """

    def step(search, others, least):
        rank = np.empty(source.n, np.intp)
        rank[source.canonical] = np.arange(source.n)
        near = search.near[: source.n].copy()
        n_swaps = 0
        for slot, medoid in enumerate(search.objects()):
            members = np.flatnonzero(near == slot)
            members = members[np.argsort(rank[members])]
            totals = _totals_within(source, members)
            best = members[np.argmax(totals <= totals.min() + least)]
            own = totals[members == medoid][0]
            if totals.min() < own - least:
                search.exchange(slot, best)
                n_swaps += 1
        return n_swaps

    return _iterate(
        source, medoids, step, max_iter=max_iter, tol=tol, on_sweep=on_sweep
    )


def _totals_within(source, members):
    """Return the weighted sum of the distances of a cluster to each of its members."""
    w = source.weights[members]
    totals = np.empty(len(members))
    step = max(1, ENTRIES_AT_ONCE // len(members))
    for start in range(0, len(members), step):
        part = slice(start, start + step)
        totals[part] = source.block(members[part], members).astype(np.float64) @ w
    return totals


METHODS = {
    "fasterpam": fasterpam,
    "fastpam1": fastpam1,
    "fastpam2": fastpam2,
    "pam": pam,
    "alternate": alternate,
}
