"""Docstrings of everything public: numpydoc's own checks."""

import inspect

import pytest
from numpydoc.validate import validate

from skalgos.utils.discovery import all_estimators, all_functions

# As in scikit-learn: returned values have names (RT02); methods and small functions
# need no extended summary, See Also or example of their own (ES01, SA01, EX01).
LEFT_OUT = {"ES01", "EX01", "RT02", "SA01"}


def _public():
    for name, cls in all_estimators():
        yield f"{cls.__module__}.{name}"
        for method, item in inspect.getmembers(cls, inspect.isfunction):
            ours = item.__module__.startswith("skalgos")
            if ours and not method.startswith("_"):
                yield f"{cls.__module__}.{name}.{method}"
    for name, function in all_functions():
        yield f"{function.__module__}.{name}"


@pytest.mark.parametrize("name", list(_public()))
def test_docstring(name):
    errors = [error for error in validate(name)["errors"] if error[0] not in LEFT_OUT]
    assert not errors
