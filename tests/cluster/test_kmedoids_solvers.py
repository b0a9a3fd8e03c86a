"""FasterPAM against brute force, with every source of dissimilarities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from skalgos.cluster._kmedoids import kernels, solvers
from skalgos.cluster._kmedoids.lane_kernels import (
    ABSOLUTE,
    LANES,
    MAXIMUM,
    SQUARED,
    UNEQUAL,
)
from skalgos.cluster._kmedoids.solvers import (
    Geometry,
    Matrix,
    Points,
    Rows,
    best_exchange,
    between,
    build,
    digest,
    fasterpam,
    lab,
    nearest_two,
    plus_plus,
    two_nearest,
)
from tests.reference import kmedoids as reference

GEOMETRIES = {
    "euclidean": Geometry(SQUARED, True, 1.0),
    "sqeuclidean": Geometry(SQUARED, False, 1.0),
    "cityblock": Geometry(ABSOLUTE, False, 1.0),
    "chebyshev": Geometry(MAXIMUM, False, 1.0),
}


class RowsOf:
    """Rows of a matrix that is at hand: entry (o, j) is from object o to j."""

    def __init__(self, D):
        self.D = D

    def __call__(self, candidates, objects):
        return self.D[objects][:, candidates].T


@pytest.fixture
def screened(monkeypatch):
    """Make small matrices carry a screen, as large ones do."""
    monkeypatch.setattr(solvers, "SCREEN_FROM", 2)


def _problem(seed, n=40, d=3, k=4):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, d))
    w = rng.uniform(0.1, 3, n)
    return rng, X, w, rng.permutation(n)[:k], rng.permutation(n)


def _sources(X, w, k, metric="euclidean"):
    D = cdist(X, X, metric)
    geometry = GEOMETRIES[metric]
    return {
        "matrix": Matrix(D, w, k),
        "rows": Rows(RowsOf(D), w),
        "points": Points(X, geometry, w),
        "screened points": Points(X, geometry, w, k),
    }


# ---- FasterPAM -----------------------------------------------------------------------
@pytest.mark.parametrize("metric", GEOMETRIES)
@pytest.mark.parametrize("n", [5, 63, 64, 65, 130])
def test_every_source_makes_the_same_exchanges(metric, n):
    _, X, w, start, order = _problem(n, n=n)
    fits = {
        name: fasterpam(source, start, order)
        for name, source in _sources(X, w, 4, metric).items()
    }
    expected = fits.pop("matrix")
    for fit in fits.values():
        np.testing.assert_array_equal(fit.medoids, expected.medoids)
        assert (fit.n_swaps, fit.n_iter) == (expected.n_swaps, expected.n_iter)
        np.testing.assert_allclose(fit.losses, expected.losses, rtol=1e-12)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("k", [2, 3, 7])
def test_exchanges_are_those_of_pricing_from_scratch(seed, k):
    _, X, w, start, order = _problem(seed, n=25, k=k)
    D = cdist(X, X)
    medoids, loss = reference.eager(D, start, order, w)
    fit = fasterpam(Matrix(D, w, k), start, order)
    np.testing.assert_array_equal(fit.medoids, medoids)
    assert fit.loss == pytest.approx(loss, rel=1e-12)
    assert fit.converged


@pytest.mark.parametrize("seed", range(10))
def test_the_screen_changes_nothing(screened, seed):
    _, X, w, start, order = _problem(seed, n=150, k=6)
    D = cdist(X, X)
    plain = fasterpam(Rows(RowsOf(D), w), start, order)
    source = Matrix(D, w, 6)
    assert source.screen is not None
    fit = fasterpam(source, start, order)
    np.testing.assert_array_equal(fit.medoids, plain.medoids)
    assert fit.n_swaps == plain.n_swaps


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "u1", "u2"])
@pytest.mark.parametrize("scale", [4, 200])
def test_the_screen_never_exceeds_the_distances(screened, dtype, scale):
    rng = np.random.RandomState(0)
    D = rng.uniform(0, scale, (300, 300)).astype(dtype)
    D = np.minimum(D, D.T)
    np.fill_diagonal(D, 0)
    screen = Matrix(D, np.ones(300), 5).screen
    known = screen.table[screen.levels] * screen.unit
    assert (known <= D).all()
    # and comes within two levels of them, below the top one
    below = screen.levels < 254
    assert ((D - known) / screen.unit)[below].max() <= 2


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "u1", "u2"])
@pytest.mark.parametrize("scale", [4, 200])
def test_lists_have_all_that_is_near(screened, monkeypatch, dtype, scale):
    monkeypatch.setattr(solvers, "LISTED_FROM", 1)
    rng = np.random.RandomState(0)
    D = rng.uniform(0, scale, (300, 300)).astype(dtype)
    np.fill_diagonal(D, 0)
    lists = Matrix(D, np.ones(300), 48).screen
    if np.dtype(dtype).kind != "f" and scale == 4:  # a quarter of them are zero
        assert isinstance(lists, solvers.Screen)
        return
    near = lists.cut > D
    assert near.any(axis=0).any()
    n_listed = 0
    for j, (first, stop) in enumerate(lists.spans.T):
        if first < 0:
            continue
        n_listed += 1
        objects, levels = np.divmod(lists.entries[first:stop], 256)
        np.testing.assert_array_equal(objects, np.flatnonzero(near[j]))
        known = lists.table[levels] * lists.unit[objects]
        assert (known <= D[j, objects]).all()
        exact = (D[j, objects] - known) / lists.unit[objects]
        assert exact[levels < 254].max(initial=0) <= 2
    assert n_listed > 250


def _spread(kind, rng, n):
    """Points whose densities make lists and levels more and less useful."""
    if kind == "even":
        return rng.standard_normal((n, 3))
    if kind == "half together":
        return (
            rng.standard_normal((n, 3)) * np.where(np.arange(n) % 2, 1e-3, 3)[:, None]
        )
    if kind == "lattice":
        return rng.randint(0, 20, (n, 3)) + 0.0
    return np.exp(3 * rng.standard_normal((n, 3)))


@pytest.mark.parametrize("kind", ["even", "half together", "lattice", "heavy tails"])
@pytest.mark.parametrize("n_clusters", [48, 70])
@pytest.mark.parametrize("seed", range(3))
def test_lists_change_nothing(screened, monkeypatch, kind, n_clusters, seed):
    monkeypatch.setattr(solvers, "LISTED_FROM", 1)
    rng, _, w, start, order = _problem(seed, n=400, k=n_clusters)
    X = _spread(kind, rng, 400)
    D = cdist(X, X)
    plain = fasterpam(Rows(RowsOf(D), w), start, order)
    source = Matrix(D, w, n_clusters)
    assert isinstance(source.screen, solvers.Lists)
    fit = fasterpam(source, start, order)
    np.testing.assert_array_equal(fit.medoids, plain.medoids)
    assert fit.n_swaps == plain.n_swaps
    several = fasterpam(source, start, order, threads=2)
    np.testing.assert_array_equal(fit.medoids, several.medoids)


def test_lists_that_are_full_leave_candidates_to_be_priced(screened, monkeypatch):
    monkeypatch.setattr(solvers, "LISTED_FROM", 1)
    _, X, w, start, order = _problem(0, n=400, k=50)
    D = cdist(X, X)
    short = solvers.Lists.empty

    def shortened(rows, n_clusters):
        lists, steps = short(rows, n_clusters)
        return lists._replace(entries=lists.entries[: 400 * 10]), steps

    monkeypatch.setattr(solvers.Lists, "empty", shortened)
    source = Matrix(D, w, 50)
    assert (source.screen.spans < 0).any() and (source.screen.spans >= 0).any()
    plain = fasterpam(Rows(RowsOf(D), w), start, order)
    np.testing.assert_array_equal(
        fasterpam(source, start, order).medoids, plain.medoids
    )


def test_what_lists_keep_of_the_objects_follows_the_exchanges(screened, monkeypatch):
    monkeypatch.setattr(solvers, "LISTED_FROM", 1)
    _, X, w, start, order = _problem(1, n=300, k=50)
    source = Matrix(cdist(X, X), w, 50)
    search = source.search(start)
    search.refresh()
    limits = solvers.Limits(-1, len(order), 1e-9)
    *_, n_swaps = search.sweep(order, 0, len(order), limits)
    assert n_swaps > 0
    kept = [np.array(part) for part in search.nearby]
    search.refresh()
    for then, now in zip(kept, search.nearby, strict=True):
        np.testing.assert_allclose(then, now, rtol=1e-9, atol=1e-12)


def test_scales_that_are_no_numbers_leave_bounds_of_zero():
    tops = np.array([0, 1e-300, 1e300, np.inf, np.nan, 2.0])
    steps, table, unit = solvers._scales(tops)
    np.testing.assert_array_equal(steps, np.r_[np.zeros(5), np.float32(127)])
    np.testing.assert_array_equal(unit > 0, [False] * 5 + [True])
    assert 254 * unit[-1] == pytest.approx(2)
    below = solvers._levels_below(np.ones(6), table, unit)
    np.testing.assert_array_equal(below, [255] * 5 + [128])
    for nothing in (0.0, -1.0):
        below = solvers._levels_below(np.full(6, nothing), table, unit)
        np.testing.assert_array_equal(below, 0)


@pytest.mark.parametrize("metric", GEOMETRIES)
def test_lanes_without_a_point_are_never_hit(metric):
    _, X, w, start, _ = _problem(0, n=70)
    search = Points(X, GEOMETRIES[metric], w, 4).search(start)
    np.testing.assert_array_equal(search.screen[0][70:], 0)


def test_a_screen_of_points_never_exceeds_the_distances():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((300, 3)).astype("f4")
    for metric, geometry in GEOMETRIES.items():
        source = Points(X, geometry, np.ones(300), 5)
        levels = source.screen.levels[:, : source.n]
        places = X[source.object_at].astype("f8")
        D = cdist(places, places, metric)
        known = source.screen.table[levels] * source.screen.unit[: source.n]
        assert (known <= D * (1 + 1e-5)).all()


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "u1"])
def test_any_matrix_ends_in_a_local_optimum(asymmetric, dtype):
    for seed in range(10):
        rng = np.random.RandomState(seed)
        D = (rng.uniform(0, 1, (30, 30)) * 200).astype(dtype)
        if not asymmetric:
            D = np.minimum(D, D.T)
        np.fill_diagonal(D, 0)
        w = rng.randint(1, 4, 30).astype(float)
        source = Matrix(np.ascontiguousarray(D.T), w, 4)
        fit = fasterpam(source, rng.permutation(30)[:4], rng.permutation(30))
        assert fit.loss == pytest.approx(reference.loss(D, fit.medoids, w))
        best = reference.best_swap(D, fit.medoids.tolist(), w)
        assert best >= fit.loss * (1 - 1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_best_exchange_is_that_of_brute_force(seed):
    _, X, w, start, _ = _problem(seed, n=30)
    D = cdist(X, X)
    loss = reference.loss(D, start, w)
    best = reference.best_swap(D, start.tolist(), w)
    for name, source in _sources(X, w, 4).items():
        change, slot, added = best_exchange(source, start)
        assert change == pytest.approx(best - loss, rel=1e-9), name
        medoids = start.copy()
        medoids[slot] = added
        assert reference.loss(D, medoids, w) == pytest.approx(best)


def test_losses_fall_with_every_sweep():
    _, X, w, start, order = _problem(3, n=400, k=20)
    fit = fasterpam(Points(X, GEOMETRIES["euclidean"], w), start, order)
    assert np.all(np.diff(fit.losses)[:-1] < 0)
    assert len(fit.losses) == fit.n_iter + 1


def test_one_medoid_is_the_optimum():
    _, X, w, start, order = _problem(0, k=1)
    D = cdist(X, X)
    for source in _sources(X, w, 1).values():
        fit = fasterpam(source, start, order)
        assert fit.loss == pytest.approx(reference.optimum(D, 1, w)[0])


def test_all_objects_as_medoids_cost_nothing():
    _, X, w, _, order = _problem(0, n=9)
    for source in _sources(X, w, 9).values():
        fit = fasterpam(source, np.arange(9), order)
        assert fit.loss == 0
        assert fit.converged
        assert fit.n_swaps == 0


def test_tolerance_and_max_iter_stop_early():
    _, X, w, start, order = _problem(1, n=300, k=10)
    source = Points(X, GEOMETRIES["euclidean"], w)
    full = fasterpam(source, start, order)
    once = fasterpam(source, start, order, max_iter=1)
    loose = fasterpam(source, start, order, tol=0.5)
    none = fasterpam(source, start, order, max_iter=0)
    assert (once.n_iter, once.converged) == (1, False)
    assert loose.converged
    assert loose.n_iter <= full.n_iter
    np.testing.assert_array_equal(none.medoids, start)
    assert none.loss == pytest.approx(reference.loss(cdist(X, X), start, w))
    assert full.loss <= once.loss


def test_medoids_at_distance_zero_stay_their_own():
    # Two pairs of objects at distance zero that differ in their other distances.
    D = np.array(
        [[0, 0, 3, 4, 5], [0, 0, 4, 3, 5], [3, 4, 0, 0, 2], [4, 3, 0, 0, 1],
         [5, 5, 2, 1, 0]],
        dtype=float,
    )  # fmt: skip
    for start in ([0, 1], [2, 3], [0, 2]):
        fit = fasterpam(Matrix(D, np.ones(5), 2), np.array(start), np.arange(5))
        assert len(set(fit.medoids.tolist())) == 2
        assert fit.loss == pytest.approx(reference.loss(D, fit.medoids))
        assert fit.loss == pytest.approx(reference.optimum(D, 2)[0])


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 90), st.integers(1, 6), st.integers(1, 12), st.integers(0, 10**6))
def test_state_stays_exact_through_exchanges(n, d, k, seed):
    # Small integers give ties, duplicates and zero distances by the dozen.
    rng = np.random.RandomState(seed)
    k = min(k, n - 1) + 1
    X = rng.randint(0, 4, (n, d)).astype(float)
    D = cdist(X, X, "cityblock")
    w = rng.randint(1, 3, n).astype(float)
    start, order = rng.permutation(n)[:k], rng.permutation(n)
    for source in (Matrix(D, w, k), Points(X, GEOMETRIES["cityblock"], w, k)):
        fit = fasterpam(source, start, order)
        assert len(set(fit.medoids.tolist())) == k
        assert fit.loss == pytest.approx(reference.loss(D, fit.medoids, w), abs=1e-9)
        if k > 1 and k < n:
            change, _, _ = best_exchange(source, fit.medoids)
            assert change >= -1e-9


# ---- initialisations -----------------------------------------------------------------
@pytest.mark.parametrize("seed", range(10))
def test_lazy_build_is_build(seed):
    _, X, w, _, _ = _problem(seed, n=60)
    expected = reference.greedy(cdist(X, X), 9, w)
    for name, source in _sources(X, w, 9).items():
        np.testing.assert_array_equal(build(source, 9), expected, err_msg=name)


def test_lazy_build_returns_k_objects_when_nothing_is_left_to_gain():
    D = np.zeros((6, 6))
    assert sorted(build(Matrix(D, np.ones(6), 4), 4)) == [0, 1, 2, 3]


@pytest.mark.parametrize("initialise", [lab, plus_plus, solvers.random_medoids])
def test_starts_are_distinct_objects(initialise):
    for seed in range(20):
        rng, X, w, _, _ = _problem(seed, n=12)
        for k in (1, 5, 12):
            for source in _sources(X, w, k).values():
                start = initialise(source, k, rng)
                assert start.shape == (k,)
                assert len(set(start.tolist())) == k


def test_plus_plus_draws_new_objects_where_all_distances_are_zero():
    rng = np.random.RandomState(0)
    source = Matrix(np.zeros((6, 6)), np.ones(6), 4)
    assert len(set(plus_plus(source, 4, rng).tolist())) == 4


def test_plus_plus_draws_by_weight_times_distance():
    # With one far-off object the second medoid is that one, or the rest is.
    X = np.r_[np.zeros(50), 100.0][:, None] + np.arange(51)[:, None] * 1e-6
    D = cdist(X, X)
    hits = [
        50 in plus_plus(Matrix(D, np.ones(51), 2), 2, np.random.RandomState(seed))
        for seed in range(50)
    ]
    assert all(hits)


def test_better_starts_are_better():
    _, X, w, _, _ = _problem(0, n=500, d=2)
    D = cdist(X, X)
    source = Matrix(D, w, 20)

    def mean_loss(initialise):
        return np.mean(
            [
                reference.loss(D, initialise(source, 20, np.random.RandomState(s)), w)
                for s in range(20)
            ]
        )

    at_random = mean_loss(solvers.random_medoids)
    seeded = [mean_loss(plus_plus), mean_loss(lab)]
    assert max(seeded) < at_random
    assert mean_loss(build) < min(seeded)


# ---- pieces --------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("metric", [*GEOMETRIES, "hamming"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (64, 64, 3), (65, 7, 2), (200, 130, 17)])
def test_distances_are_those_of_scipy(dtype, metric, shape):
    rng = np.random.RandomState(0)
    n, m, d = shape
    X, Y = (rng.randint(-3, 4, (rows, d)).astype(dtype) for rows in (n, m))
    geometry = GEOMETRIES.get(metric, Geometry(UNEQUAL, False, 1 / d))
    actual = between(geometry, X, Y)
    assert actual.dtype == dtype
    np.testing.assert_allclose(actual, cdist(X, Y, metric), rtol=1e-6, atol=1e-6)


def test_distances_do_not_cancel():
    # Far from the origin the usual |x|^2 + |y|^2 - 2xy has no correct digit left.
    X = 1e6 + np.random.RandomState(0).uniform(0, 1e-3, (100, 3))
    actual = between(GEOMETRIES["euclidean"], X, X)
    np.testing.assert_allclose(actual, cdist(X, X), rtol=1e-14)
    np.testing.assert_array_equal(actual, actual.T)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "u1"])
@pytest.mark.parametrize("k", [1, 2, 3, 10])
def test_nearest_two_are_the_two_smallest(dtype, k):
    rng = np.random.RandomState(0)
    D = rng.randint(0, 256 if dtype == "u1" else 6, (500, k)).astype(dtype)
    D[:3] = 255 if dtype == "u1" else 9
    near, sec, d1, d2 = nearest_two(D.copy())
    expected = np.argsort(D, axis=1, kind="stable").T
    np.testing.assert_array_equal(near, expected[0])
    np.testing.assert_array_equal(d1, np.sort(D, axis=1).T[0])
    if k > 1:
        np.testing.assert_array_equal(sec, expected[1])
        np.testing.assert_array_equal(d2, np.sort(D, axis=1).T[1])
    else:
        assert (sec == -1).all()
        assert np.isinf(d2).all()


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "u1"])
@pytest.mark.parametrize(("n", "k"), [(5, 2), (64, 3), (2500, 10)])
def test_nearest_two_of_columns_are_those_of_rows(dtype, n, k, monkeypatch):
    monkeypatch.setattr(solvers, "COMPILED_FROM", 0)
    rng = np.random.RandomState(0)
    rows = rng.randint(0, 256 if dtype == "u1" else 6, (k, n)).astype(dtype)
    rows[:, :3] = 255 if dtype == "u1" else 9
    found = np.empty((2, n), np.int32), np.empty((2, n), dtype)
    two_nearest(rows, *found[0], *found[1])
    expected = nearest_two(np.ascontiguousarray(rows.T))
    np.testing.assert_array_equal(found[0], expected[:2])
    np.testing.assert_array_equal(found[1], expected[2:])


def test_levels_below_a_distance_are_counted():
    table = np.maximum(np.arange(255) - 1e-3, 0) / 3
    for value in (*table[::11], *(table[::13] + 1e-9), -1.0, 1e9):
        assert kernels.n_below.py_func(table, value) == np.searchsorted(table, value)


def test_blocks_hold_every_point_once():
    X = np.random.RandomState(0).standard_normal((1000, 3))
    source = Points(X, GEOMETRIES["euclidean"], np.ones(1000))
    assert sorted(source.object_at) == list(range(1000))
    assert source.blocks.shape == (16, 3, LANES)
    np.testing.assert_array_equal(source.points(np.arange(1000)), X)


def test_boxes_are_as_small_as_their_points_allow():
    X = np.random.RandomState(0).standard_normal((1000, 3)) + 100
    source = Points(X, GEOMETRIES["euclidean"], np.ones(1000))
    least, largest = source.boxes[0].reshape(3, 2, LANES).transpose(1, 2, 0)[:, :16]
    for b in range(16):
        members = X[source.object_at[LANES * b : LANES * (b + 1)]]
        np.testing.assert_array_equal(least[b], members.min(axis=0))
        np.testing.assert_array_equal(largest[b], members.max(axis=0))


def test_far_blocks_are_skipped_and_nothing_changes():
    rng = np.random.RandomState(0)
    centres = rng.uniform(-100, 100, (40, 2))
    X = (centres[:, None] + rng.standard_normal((40, 64, 2))).reshape(-1, 2)
    w = np.ones(len(X))
    start, order = rng.permutation(len(X))[:40], rng.permutation(len(X))
    points = fasterpam(Points(X, GEOMETRIES["euclidean"], w), start, order)
    rows = fasterpam(Rows(RowsOf(cdist(X, X)), w), start, order)
    np.testing.assert_array_equal(points.medoids, rows.medoids)


def test_the_search_can_be_interrupted_between_kernel_calls(monkeypatch):
    monkeypatch.setattr(solvers, "WORK_PER_CALL", 1)
    _, X, w, start, order = _problem(5, n=100)
    whole = fasterpam(Points(X, GEOMETRIES["euclidean"], w), start, order)
    monkeypatch.undo()
    pieces = fasterpam(Points(X, GEOMETRIES["euclidean"], w), start, order)
    np.testing.assert_array_equal(whole.medoids, pieces.medoids)
    assert whole.n_swaps == pieces.n_swaps


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_threads_that_look_ahead_change_nothing(monkeypatch, screened, threads, seed):
    monkeypatch.setattr(solvers, "WORK_AHEAD", 1)
    _, X, w, start, order = _problem(seed, n=400, k=8)
    for name, source in _sources(X, w, 8).items():
        one = fasterpam(source, start, order)
        several = fasterpam(source, start, order, threads=threads)
        np.testing.assert_array_equal(one.medoids, several.medoids, err_msg=name)
        assert one.losses == several.losses
        assert (one.n_iter, one.n_swaps) == (several.n_iter, several.n_swaps)


def test_threads_that_prepare_a_source_change_nothing(screened):
    _, X, w, *_ = _problem(0, n=333)
    D = cdist(X, X)
    for make in (
        lambda threads: Matrix(D, w, 5, compare=True, threads=threads),
        lambda threads: Points(X, GEOMETRIES["euclidean"], w, 5, threads=threads),
    ):
        one, several = make(1), make(3)
        np.testing.assert_array_equal(one.totals, several.totals)
        levels = [source.screen.levels[:, :333] for source in (one, several)]
        np.testing.assert_array_equal(*levels)
    assert Matrix(D, w, 5, compare=True, threads=3).digest.symmetric
    D[3, 200] += 1
    assert not Matrix(D, w, 5, compare=True, threads=3).digest.symmetric


@pytest.mark.parametrize("n", [1, 2, 7, 100])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "i4", "u2", "u1"])
def test_a_digest_is_what_numpy_says(dtype, n):
    rng = np.random.RandomState(n)
    D = rng.uniform(-5 if dtype[0] != "u" else 0, 50, (n, n)).astype(dtype)
    w = rng.uniform(size=n)
    known = digest(D, w, compare=True)
    np.testing.assert_allclose(known.totals, D.astype(float) @ w, rtol=1e-12)
    assert known.n_negative == (D < 0).sum()
    assert known.symmetric == np.array_equal(D, D.T)


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "i4", "u2", "u1"])
def test_one_bit_makes_a_matrix_asymmetric(dtype):
    rng = np.random.RandomState(0)
    half = rng.uniform(0, 100, (60, 60)).astype(dtype)
    D = half + half.T
    w = np.ones(60)
    assert digest(D, w, compare=True).symmetric
    for bit in range(8 * D.itemsize):
        i, j = rng.choice(60, 2, replace=False)
        changed = D.copy()
        words = changed.view(f"u{D.itemsize}")
        words[i, j] ^= np.array(1 << bit, words.dtype)
        assert not digest(changed, w, compare=True).symmetric
        words[j, i] ^= np.array(1 << bit, words.dtype)
        assert digest(changed, w, compare=True).symmetric
