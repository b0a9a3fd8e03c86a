"""Report what a bug report needs."""

import platform
from importlib.metadata import PackageNotFoundError, version

import skalgos

_PACKAGES = (
    "scikit-learn",
    "numpy",
    "scipy",
    "joblib",
    "numba",
    "llvmlite",
    "threadpoolctl",
    "matplotlib",
    "pandas",
)


def _installed(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def show_versions():
    """Print the versions of the package, of Python and of what it depends on.

    Examples
    --------
    >>> import skalgos
    >>> skalgos.show_versions()  # doctest: +ELLIPSIS
    skalgos: ...
    """
    print(f"skalgos: {skalgos.__version__}")
    print(f"python: {platform.python_version()}, {platform.platform()}")
    for package in _PACKAGES:
        print(f"{package}: {_installed(package)}")
