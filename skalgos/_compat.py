"""The only imports of scikit-learn names that are private or depend on its version."""

import sklearn
from sklearn.base import _fit_context
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils._param_validation import (
    Interval,
    RealNotInt,
    StrOptions,
    validate_params,
)
from sklearn.utils.fixes import parse_version
from sklearn.utils.validation import _check_feature_names_in, _check_sample_weight

SKLEARN_VERSION = parse_version(parse_version(sklearn.__version__).base_version)

if parse_version("1.9") <= SKLEARN_VERSION:
    from sklearn.callback import CallbackSupportMixin
else:

    class CallbackSupportMixin:
        """Stands in for scikit-learn's mixin where it does not exist: no callbacks."""


check_feature_names_in = _check_feature_names_in


def check_sample_weight(sample_weight, X, dtype):
    """Validate weights: finite, non-negative, not all zero; one per row of X."""
    weights = _check_sample_weight(
        sample_weight, X, dtype=dtype, ensure_non_negative=True
    )
    if not weights.any():
        raise ValueError(
            "Sample weights must contain at least one non-zero number: with all "
            "weights zero there is nothing to fit."
        )
    return weights


__all__ = [
    "SKLEARN_VERSION",
    "CallbackSupportMixin",
    "Interval",
    "RealNotInt",
    "StrOptions",
    "_fit_context",
    "check_feature_names_in",
    "check_matplotlib_support",
    "check_sample_weight",
    "validate_params",
]
