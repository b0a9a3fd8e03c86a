"""What importing costs, and what it leaves alone."""

import os
import subprocess
import sys

import pytest


def _run(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_the_top_level_imports_nothing_heavy():
    heavy = "numpy", "scipy", "sklearn", "numba", "joblib", "matplotlib", "pandas"
    code = f"import skalgos, sys; print([m for m in {heavy} if m in sys.modules])"
    assert _run(code) == "[]"


def test_estimators_load_without_numba_and_matplotlib():
    code = (
        "import sys; from skalgos.cluster import KMedoids; KMedoids(3);"
        "print([m for m in ('numba', 'matplotlib') if m in sys.modules])"
    )
    assert _run(code) == "[]"


def test_sub_packages_come_on_demand():
    code = "import skalgos; print(skalgos.cluster.KMedoids.__name__)"
    assert _run(code) == "KMedoids"
    assert _run("import skalgos; print('cluster' in dir(skalgos))") == "True"


def test_unknown_names_are_attribute_errors():
    import skalgos

    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        skalgos.nothing  # noqa: B018


def test_importing_changes_no_global_state():
    code = (
        "import warnings, random, numpy as np, sklearn.cluster;"
        "np.random.seed(0); before = np.random.get_state()[1].sum();"
        "filters = list(warnings.filters); settings = sklearn.get_config();"
        "import skalgos.cluster;"
        "from skalgos.cluster._kmedoids import solvers;"
        "assert np.random.get_state()[1].sum() == before;"
        "assert sklearn.get_config() == settings;"
        "print(filters == list(warnings.filters))"
    )
    assert _run(code) == "True"
