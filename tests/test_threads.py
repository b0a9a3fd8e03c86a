"""Threads: never more than allowed, wherever the fit runs, and never a crash."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from sklearn.datasets import make_blobs
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_info

from skalgos._threads import chunk_map, n_threads
from skalgos.cluster import KMedoids

X, _ = make_blobs(300, centers=6, random_state=0)


def _allowed(n_jobs):
    return n_threads(n_jobs)


def test_none_is_one_and_minus_one_is_all(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    assert n_threads(None) == 1
    assert n_threads(1) == 1
    assert n_threads(2) == min(2, 2)
    assert n_threads(-1) == min(2, joblib.effective_n_jobs(-1))
    with parallel_config(n_jobs=2):
        assert n_threads(None) == 2


def test_the_share_of_a_worker_caps_it(monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    assert n_threads(-1) == 1
    assert n_threads(8) == 1


def test_one_inside_the_threads_of_joblib():
    allowed = Parallel(n_jobs=2, backend="threading")(
        delayed(_allowed)(-1) for _ in range(4)
    )
    assert allowed == [1, 1, 1, 1]


def test_as_asked_inside_a_thread_of_the_user():
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(_allowed, 2).result() == n_threads(2)


def test_a_share_inside_the_processes_of_joblib():
    n_cpus = joblib.cpu_count()
    allowed = Parallel(n_jobs=2, backend="loky")(
        delayed(_allowed)(-1) for _ in range(4)
    )
    assert set(allowed) == {max(1, n_cpus // 2)}


@pytest.mark.parametrize("threads", [1, 2])
def test_chunk_map_keeps_the_order_and_cleans_up(threads):
    before = threading.active_count()
    with chunk_map(threads) as chunks:
        assert chunks(abs, range(-5, 5)) == [abs(i) for i in range(-5, 5)]
        if threads > 1:
            blas = [lib for lib in threadpool_info() if lib["user_api"] == "blas"]
            assert all(lib["num_threads"] == 1 for lib in blas)
    assert threading.active_count() == before


def test_chunk_map_passes_errors_on():
    with chunk_map(2) as chunks, pytest.raises(ZeroDivisionError):
        chunks(lambda i: 1 / i, [1, 0])


class PeakThreads:
    """Sample how many threads are in Python while the block runs."""

    def __enter__(self):
        self.peak, self._stop = 0, threading.Event()
        self._others = threading.active_count()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        return self

    def _watch(self):
        while not self._stop.wait(0.0005):
            self.peak = max(self.peak, threading.active_count() - self._others - 1)

    def __exit__(self, *error):
        self._stop.set()
        self._watcher.join()


def _fit_and_count(n_jobs):
    """Fit in this process and return how many threads ran starts of it."""
    seen = set()

    from skalgos.cluster._kmedoids.variants import METHODS

    original = METHODS["fasterpam"]

    def watched(*args, **kwargs):
        seen.add(threading.get_ident())
        return original(*args, **kwargs)

    METHODS["fasterpam"] = watched
    try:
        KMedoids(6, n_init=16, n_jobs=n_jobs, random_state=0).fit(X)
    finally:
        METHODS["fasterpam"] = original
    return len(seen)


def test_a_fit_alone_uses_what_it_may():
    assert _fit_and_count(1) == 1
    assert 1 <= _fit_and_count(2) <= 2


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_nested_fits_do_not_oversubscribe(backend):
    # n_jobs=-1 inside a search with 2 jobs: at most the machine's cores in all.
    counts = Parallel(n_jobs=2, backend=backend)(
        delayed(_fit_and_count)(-1) for _ in range(2)
    )
    if backend == "threading":
        assert max(counts) <= 2  # both fits are seen by either, each in its own thread
    else:
        assert max(counts) <= max(1, joblib.cpu_count() // 2)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_grid_search_over_a_parallel_fit(backend):
    model = KMedoids(n_init=4, n_jobs=-1, random_state=0)
    grid = {"n_clusters": [3, 6]}
    expected = GridSearchCV(model, grid, cv=2).fit(X).cv_results_["mean_test_score"]
    with parallel_config(backend=backend), PeakThreads() as threads:
        search = GridSearchCV(model, grid, cv=2, n_jobs=2).fit(X)
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], expected)
    if backend == "threading":
        # joblib's own pool of two and its helper threads, and none of ours
        assert threads.peak <= 2 + 3


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is of Unix")
def test_a_forked_child_can_fit_after_its_parent():
    code = (
        "import multiprocessing as mp, numpy as np;"
        "from skalgos.cluster import KMedoids;"
        "X = np.random.RandomState(0).rand(200, 2);"
        "fit = lambda: KMedoids(4, n_init=4, n_jobs=2, random_state=0).fit(X);"
        "fit();"
        "child = mp.get_context('fork').Process(target=fit);"
        "child.start(); child.join(60); print(child.exitcode)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "0"


@pytest.mark.slow
def test_ctrl_c_leaves_process_and_estimator_usable():
    code = """
import _thread, threading, time
import numpy as np
from skalgos.cluster import KMedoids

X = np.random.RandomState(0).rand(30000, 12)
model = KMedoids(40, n_init=1, solver="matrix-free", random_state=0)
KMedoids(3, n_init=1, solver="matrix-free").fit(X[:2000])
threading.Timer(1.0, _thread.interrupt_main).start()
start = time.perf_counter()
try:
    model.fit(X)
except KeyboardInterrupt:
    waited = time.perf_counter() - start
    assert waited < 20, waited
    assert not [name for name in vars(model) if name[-1] == "_"]
    print(model.fit(X[:100]).converged_)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "True"
