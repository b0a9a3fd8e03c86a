"""Checks of arrays that may be complex, which scikit-learn refuses."""

import numpy as np


def numeric_array(values, name, ndims):
    """Return a finite array of floats or complex numbers, of one of these ranks."""
    if np.ma.isMaskedArray(values):
        raise ValueError(
            f"{name} is a masked array: missing entries are not supported."
        )
    values = np.asarray(values)
    if values.dtype.kind not in "biufc":
        raise ValueError(f"{name} must hold numbers; got dtype {values.dtype}.")
    if values.ndim not in ndims:
        wanted = " or ".join(f"{n}D" for n in ndims)
        raise ValueError(f"{name} must be a {wanted} array; got {values.ndim}D.")
    if values.size == 0:
        raise ValueError(f"{name} is empty; got shape {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds NaN or infinity.")
    return values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)
