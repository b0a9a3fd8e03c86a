"""Scikit-learn-compatible estimators for algorithms that live in papers."""

import importlib

__version__ = "0.1.0"

#: Where the documentation lives; links in HTML representations start with it.
DOC_URL = "https://skalgos.github.io/skalgos"

_SUBPACKAGES = (
    "cluster",
    "datasets",
    "decomposition",
    "distributions",
    "ensemble",
    "impute",
    "inspection",
    "linear_model",
    "metrics",
    "recommendation",
    "utils",
)
_FUNCTIONS = {
    "precompile": "skalgos.precompile",
    "show_versions": "skalgos.utils.versions",
}

__all__ = ["DOC_URL", "__version__", *_SUBPACKAGES, *_FUNCTIONS]


def __getattr__(name):
    if name in _SUBPACKAGES:
        return importlib.import_module(f"skalgos.{name}")
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    raise AttributeError(f"module 'skalgos' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
