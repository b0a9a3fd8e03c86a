"""One decorator for every numba function of the package.

Every numba function lives in a file whose name ends in ``kernels.py``. numba
keys its on-disk cache on the file that defines a function, so an edit in a
helper of another file, or an upgrade that changes only that helper, would go on
serving the old machine code. The content of all kernel files is therefore
hashed into the name under which each function is cached.
"""

import hashlib
import os
from functools import cache, partial
from pathlib import Path

import numba

#: Whether kernels may use explicit vectors of lanes. ``SKALGOS_SIMD=0`` selects the
#: plain loops, as does numba's own switch for running without compilation.
SIMD = os.environ.get("SKALGOS_SIMD", "1") != "0" and not numba.config.DISABLE_JIT


@cache
def kernel_stamp():
    """Return a short hash of every kernel source file and of the switches."""
    digest = hashlib.sha256(f"simd={SIMD}".encode())
    root = Path(__file__).parent
    for path in sorted([Path(__file__), *root.rglob("*kernels.py")]):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


# Kernels allocate nothing, so numba's reference counting is left out: there is
# less to compile, and an allocation that slips in is an error at compile time.
_OPTIONS = {
    "nogil": True,
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
    "_nrt": False,
}


def _named(function):
    function.__qualname__ = f"{function.__qualname__}_{kernel_stamp()}"
    return function


def _fastmath(reassociate):
    return {"reassoc", "contract"} if reassociate else False


def kernel(function=None, *, reassociate=False):
    """Compile ``function`` on first call, without the GIL, and cache the result.

    Where no cache folder can be written (numba then refuses at decoration time),
    the function is compiled once per process instead.

    Parameters
    ----------
    function : callable
        A function of typed arrays and numbers, defined in a ``*kernels.py`` file.
    reassociate : bool, default=False
        Whether sums may be taken in another order than written, several lanes at a
        time. The order is the compiler's but fixed; NaN and infinity keep their
        meaning.

    Returns
    -------
    kernel : numba dispatcher
    """
    if function is None:
        return partial(kernel, reassociate=reassociate)
    if numba.config.DISABLE_JIT:
        return function
    options = {**_OPTIONS, "fastmath": _fastmath(reassociate)}
    try:
        return numba.njit(cache=True, **options)(_named(function))
    except RuntimeError as error:
        if "cannot cache function" not in str(error):
            raise
        return numba.njit(**options)(function)


def helper(function=None, *, reassociate=False):
    """Compile ``function`` for use by kernels alone, which compiles faster.

    It cannot be called from Python, and travels in the cache of those that call it.

    Parameters
    ----------
    function : callable
        As that of :func:`kernel`.
    reassociate : bool, default=False
        As that of :func:`kernel`. Such a helper becomes a part of each caller: a call
        would reach whichever copy of it the process had first, and their sums have
        different orders, so that rounding would depend on what came from the cache.

    Returns
    -------
    helper : numba dispatcher
    """
    if function is None:
        return partial(helper, reassociate=reassociate)
    if numba.config.DISABLE_JIT:
        return function
    options = {
        **_OPTIONS,
        "fastmath": _fastmath(reassociate),
        "forceinline": reassociate,
    }
    return numba.njit(no_cpython_wrapper=True, **options)(_named(function))
