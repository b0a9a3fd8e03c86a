"""Find what the package has to offer."""

import importlib
import inspect
import pkgutil

from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClusterMixin,
    RegressorMixin,
    TransformerMixin,
)

import skalgos

_MIXINS = {
    "classifier": ClassifierMixin,
    "cluster": ClusterMixin,
    "regressor": RegressorMixin,
    "transformer": TransformerMixin,
}


def _public_modules():
    """Yield the package and its public sub-packages: what users import from."""
    yield skalgos
    for info in pkgutil.walk_packages(skalgos.__path__, "skalgos."):
        if info.ispkg and not any(part[0] == "_" for part in info.name.split(".")):
            yield importlib.import_module(info.name)


def all_estimators(type_filter=None):
    """List all public estimators.

    Parameters
    ----------
    type_filter : {"classifier", "cluster", "regressor", "transformer"} or list of \
            these, default=None
        Which kinds to list; None is all.

    Returns
    -------
    estimators : list of (str, type)
        Names and classes, in the order of the names.

    Raises
    ------
    ValueError
        If ``type_filter`` names no kind.

    Examples
    --------
    >>> from skalgos.utils.discovery import all_estimators
    >>> "KMedoids" in dict(all_estimators("cluster"))
    True
    """
    kinds = [type_filter] if isinstance(type_filter, str) else type_filter
    if kinds is not None and (unknown := set(kinds) - set(_MIXINS)):
        raise ValueError(
            f"type_filter must be one or more of {sorted(_MIXINS)}; got "
            f"{sorted(map(str, unknown))}."
        )
    found = {}
    for module in _public_modules():
        for name in getattr(module, "__all__", ()):
            item = getattr(module, name)
            if not inspect.isclass(item) or not issubclass(item, BaseEstimator):
                continue
            # Families of distributions have parameters to search, but no fit.
            if not hasattr(item, "fit"):
                continue
            if kinds is None or any(issubclass(item, _MIXINS[kind]) for kind in kinds):
                found[name] = item
    return sorted(found.items())


def all_functions():
    """List all public functions.

    Returns
    -------
    functions : list of (str, callable)
        Names and functions, in the order of the names.

    Examples
    --------
    >>> from skalgos.utils.discovery import all_functions
    >>> "k_medoids" in dict(all_functions())
    True
    """
    found = {}
    for module in _public_modules():
        for name in getattr(module, "__all__", ()):
            item = getattr(module, name)
            if inspect.isfunction(item):
                found[name] = item
    return sorted(found.items())
