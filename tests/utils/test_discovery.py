import pytest
from sklearn.base import ClusterMixin

from skalgos.utils.discovery import all_estimators, all_functions


def test_estimators_are_found_once_and_in_order():
    names = [name for name, _ in all_estimators()]
    assert names == sorted(set(names))
    assert "KMedoids" in names


def test_filters():
    assert all(issubclass(cls, ClusterMixin) for _, cls in all_estimators("cluster"))
    both = all_estimators(["cluster", "transformer"])
    assert set(all_estimators("cluster")) <= set(both)
    assert not set(all_estimators("regressor")) & set(both)
    with pytest.raises(ValueError, match="type_filter"):
        all_estimators("clusterer")


def test_functions_are_found():
    functions = dict(all_functions())
    assert {"k_medoids", "swap_certificate"} <= set(functions)
    assert not any(name.startswith("_") for name in functions)
