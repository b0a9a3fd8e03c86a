"""How many threads a fit may use, and a map over chunks on a pool of its own."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

from joblib import effective_n_jobs
from joblib.parallel import get_active_backend
from threadpoolctl import threadpool_limits


def _core_share():
    """Threads this process was given: joblib hands it to its workers that way."""
    return int(os.environ.get("NUMBA_NUM_THREADS", 0) or os.cpu_count() or 1)


def n_threads(n_jobs):
    """Resolve ``n_jobs`` to a number of threads for the calling fit.

    ``effective_n_jobs(-1)`` answers with the number of cores even inside a worker
    process that shares the machine with others; the share that joblib gives each
    worker caps it here. Inside a thread of joblib's (a grid search with the threading
    backend) the answer is 1: those threads are the parallelism.

    Parameters
    ----------
    n_jobs : int or None
        As in scikit-learn: None means 1 unless a ``joblib.parallel_config`` context
        says otherwise, -1 means all cores.

    Returns
    -------
    n_threads : int
        At least 1.
    """
    nested = (get_active_backend()[0].nesting_level or 0) > 0
    if nested and threading.current_thread() is not threading.main_thread():
        return 1
    return max(1, min(effective_n_jobs(n_jobs), _core_share()))


@contextmanager
def chunk_map(threads, hold_blas=False):
    """Give a ``map(function, chunks)`` over threads that live as long as the block.

    Entering it costs far less than a region of joblib's: this is for the chunks inside
    one sweep, joblib for whole restarts, folds and models.
    BLAS is held to one thread inside the block, so that it adds none of its own.

    Parameters
    ----------
    threads : int
        With 1 the map runs in the calling thread, and nothing is started.
    hold_blas : bool, default=False
        Whether to hold BLAS with one thread too, for iterations in which its rounding,
        that depends on its threads, would grow.

    Yields
    ------
    map : callable
        ``map(function, chunks) -> list``, in the order of the chunks.
    """
    if threads == 1:
        with threadpool_limits(1, "blas") if hold_blas else nullcontext():
            yield lambda function, chunks: [function(chunk) for chunk in chunks]
        return
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        yield lambda function, chunks: list(pool.map(function, chunks))
