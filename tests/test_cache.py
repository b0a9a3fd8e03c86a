"""Kernels are compiled once, never served stale, and do without a cache."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import skalgos

PACKAGE = Path(skalgos.__file__).parent

TOY = {
    "toykernels.py": """
from helperkernels import twice
from toyjit import kernel

@kernel
def f(x):
    return twice(x) + 1
""",
    "helperkernels.py": """
from toyjit import helper

@helper
def twice(x):
    return 2 * x
""",
}


def _python(code, folder, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def _copy(tmp_path):
    """Copy the package without anything compiled, as a fresh install would be."""
    target = tmp_path / "install"
    shutil.copytree(
        PACKAGE, target / "skalgos", ignore=shutil.ignore_patterns("__pycache__")
    )
    return target


FIT = (
    "import numpy as np; from skalgos.cluster import KMedoids;"
    "X = np.random.RandomState(0).rand(80, 2);"
    "print(KMedoids(3, random_state=0).fit(X).inertia_)"
)


def _files(folder):
    return {path.name for path in Path(folder).rglob("*.nbc")}


@pytest.mark.slow
def test_the_second_process_compiles_nothing(tmp_path):
    cache = tmp_path / "cache"
    install = _copy(tmp_path)
    first = _python(FIT, install, NUMBA_CACHE_DIR=str(cache))
    compiled = _files(cache)
    assert compiled
    stamps = {path: path.stat().st_mtime_ns for path in cache.rglob("*.nbc")}
    assert _python(FIT, install, NUMBA_CACHE_DIR=str(cache)) == first
    assert stamps == {path: path.stat().st_mtime_ns for path in cache.rglob("*.nbc")}


def test_a_changed_helper_in_another_file_is_compiled_again(tmp_path):
    # The decorator as it is, in a package of two files.
    for name, text in TOY.items():
        (tmp_path / name).write_text(text)
    shutil.copy(PACKAGE / "_jit.py", tmp_path / "toyjit.py")
    code = "from toykernels import f; print(f(10.0))"
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    assert _python(code, tmp_path, **cache) == "21.0"
    assert _python(code, tmp_path, **cache) == "21.0"
    assert _files(tmp_path / "cache")
    helper = tmp_path / "helperkernels.py"
    helper.write_text(TOY["helperkernels.py"].replace("2 * x", "1000 * x"))
    assert _python(code, tmp_path, **cache) == "10001.0"


@pytest.mark.slow
def test_an_install_without_a_place_to_cache_works(tmp_path):
    # No cache folder, nor the package's own, nor the home can be made: each path to
    # one runs through a file, which also stops a superuser.
    install = _copy(tmp_path)
    (tmp_path / "file").write_text("")
    for folder in [install / "skalgos", *(install / "skalgos").rglob("*/")]:
        (folder / "__pycache__").write_text("")
    environment = {
        "HOME": str(tmp_path / "file" / "home"),
        "XDG_CACHE_HOME": str(tmp_path / "file" / "cache"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    clean = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    result = subprocess.run(
        [sys.executable, "-c", FIT],
        cwd=install,
        env={**clean, "PYTHONPATH": str(install), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(result.stdout) > 0
    assert not _files(tmp_path)


@pytest.mark.slow
def test_processes_that_compile_at_once_do_not_harm_the_cache(tmp_path):
    cache = tmp_path / "cache"
    install = _copy(tmp_path)
    environment = {
        **os.environ,
        "PYTHONPATH": str(install),
        "NUMBA_CACHE_DIR": str(cache),
    }
    command = [sys.executable, "-c", FIT]
    runs = [
        subprocess.Popen(
            command, cwd=install, env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    results = {run.communicate()[0] for run in runs}
    assert [run.returncode for run in runs] == [0, 0, 0]
    results.add(_python(FIT, install, NUMBA_CACHE_DIR=str(cache)) + "\n")
    assert len(results) == 1


@pytest.mark.slow
def test_precompile_fills_the_cache(tmp_path):
    cache = tmp_path / "cache"
    install = _copy(tmp_path)
    environment = {"NUMBA_CACHE_DIR": str(cache)}
    run = subprocess.run(
        [sys.executable, "-m", "skalgos.precompile"],
        cwd=install,
        env={**os.environ, "PYTHONPATH": str(install), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "done in" in run.stderr
    compiled = _files(cache)
    for dtype in ("np.float32", "np.float64"):
        for n, d in ((80, 2), (1600, 2), (1600, 8)):
            fit = FIT.replace("rand(80, 2)", f"rand({n}, {d}).astype({dtype})")
            _python(fit, install, **environment)
    assert _files(cache) == compiled


def test_the_stamp_covers_every_kernel_file():
    from skalgos import _jit

    users = {
        path
        for path in PACKAGE.rglob("*.py")
        if "@kernel" in path.read_text() and path.name != "_jit.py"
    }
    assert users
    assert users <= set(PACKAGE.rglob("*kernels.py"))
    assert len(_jit.kernel_stamp()) == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    "switch", [{"SKALGOS_SIMD": "0"}, {"NUMBA_DISABLE_JIT": "1"}], ids=str
)
def test_plain_kernels_give_the_same_result(switch, tmp_path):
    code = (
        "import numpy as np; from skalgos.cluster import KMedoids;"
        "X = np.random.RandomState(0).randint(0, 9, (90, 3)).astype(float);"
        "print([KMedoids(4, metric=m, solver=s, random_state=0, n_init=1).fit(X)"
        ".medoid_indices_.tolist() for m in ('manhattan', 'chebyshev', 'hamming',"
        " 'sqeuclidean') for s in ('matrix', 'matrix-free')])"
    )
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    plain = _python(code, PACKAGE.parent, **switch, **cache)
    assert plain == _python(code, PACKAGE.parent)
