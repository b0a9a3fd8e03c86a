"""Sparse and compressible signals with a known truth."""

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from skalgos._compat import Interval, validate_params

_POSITIVE = [Interval(Integral, 1, None, closed="left")]
_SNR = [Interval(Real, None, None, closed="neither")]


class KroneckerProblem(NamedTuple):
    """Measurements through a Kronecker product of dictionaries, and what they are of.

    Attributes
    ----------
    factors : list of ndarray of shape (M_i, N_i)
        The dictionaries.
    Y : ndarray of shape (M_1, ..., M_I)
        The measurements.
    coef : ndarray of shape (N_1, ..., N_I)
        The true coefficients.
    noise_variance : float
        The variance of the noise, for complex data the mean of its squared modulus.
    """

    factors: list
    Y: np.ndarray
    coef: np.ndarray
    noise_variance: float


@validate_params(
    {
        "n_samples": _POSITIVE,
        "n_features": _POSITIVE,
        "n_nonzero": [Interval(Integral, 0, None, closed="left")],
        "n_targets": _POSITIVE,
        "snr_db": _SNR,
        "gaussian": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_sparse_recovery(
    n_samples=200,
    n_features=1000,
    *,
    n_nonzero=10,
    n_targets=1,
    snr_db=20.0,
    gaussian=False,
    random_state=None,
):
    """Generate a linear regression problem with few coefficients that are not zero.

    Parameters
    ----------
    n_samples : int, default=200
        The number of rows.

    n_features : int, default=1000
        The number of columns, which are independent Gaussian.

    n_nonzero : int, default=10
        How many features have coefficients, the same for all targets. With 0 the
        targets are noise of variance 1.

    n_targets : int, default=1
        The number of targets.

    snr_db : float, default=20.0
        The ratio of the power of the signal to that of the noise, in decibels.

    gaussian : bool, default=False
        Whether coefficients are standard Gaussian. If not, their moduli are uniform
        between 0.5 and 1.5.

    random_state : int, RandomState instance or None, default=None
        Determines the problem.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The data.

    y : ndarray of shape (n_samples,) or (n_samples, n_targets)
        The targets.

    coef : ndarray of shape (n_features,) or (n_features, n_targets)
        The true coefficients.

    Raises
    ------
    ValueError
        If ``n_nonzero`` exceeds ``n_features``.

    Examples
    --------
    >>> from skalgos.datasets import make_sparse_recovery
    >>> X, y, coef = make_sparse_recovery(50, 100, n_nonzero=3, random_state=0)
    >>> X.shape, y.shape, (coef != 0).sum()
    ((50, 100), (50,), np.int64(3))
    """
    if n_nonzero > n_features:
        raise ValueError(f"n_nonzero={n_nonzero} should be <= n_features={n_features}.")
    rng = check_random_state(random_state)
    X = rng.standard_normal((n_samples, n_features))
    coef = np.zeros((n_features, n_targets))
    support = rng.permutation(n_features)[:n_nonzero]
    if gaussian:
        values = rng.standard_normal((n_nonzero, n_targets))
    else:
        values = rng.uniform(0.5, 1.5, (n_nonzero, n_targets))
        values *= rng.choice([-1.0, 1.0], (n_nonzero, n_targets))
    coef[support] = values
    signal = X @ coef
    deviation = np.sqrt((signal**2).mean() * 10 ** (-snr_db / 10)) if n_nonzero else 1.0
    y = signal + deviation * rng.standard_normal(signal.shape)
    return (X, y[:, 0], coef[:, 0]) if n_targets == 1 else (X, y, coef)


@validate_params(
    {
        "n_rows": ["array-like"],
        "n_columns": ["array-like"],
        "n_nonzero": _POSITIVE,
        "snr_db": _SNR,
        "kronecker_valued": ["boolean"],
        "complex_valued": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_kronecker_sparse(
    n_rows=(8, 12, 15),
    n_columns=(15, 15, 15),
    *,
    n_nonzero=3,
    snr_db=25.0,
    kronecker_valued=True,
    complex_valued=False,
    random_state=None,
):
    """Generate measurements of a sparse tensor through Kronecker dictionaries.

    Parameters
    ----------
    n_rows : tuple of int, default=(8, 12, 15)
        The number of rows of each dictionary, which are Gaussian.

    n_columns : tuple of int, default=(15, 15, 15)
        The number of columns of each.

    n_nonzero : int, default=3
        How many indices of each axis of the tensor are in use.

    snr_db : float, default=25.0
        The ratio of the power of the measurements to that of the noise, in decibels.

    kronecker_valued : bool, default=True
        Whether the coefficients are an outer product of vectors. If not, only the place
        of those that are not zero is, and their values are independent.

    complex_valued : bool, default=False
        Whether everything is complex.

    random_state : int, RandomState instance or None, default=None
        Determines the problem.

    Returns
    -------
    problem : KroneckerProblem
        A named tuple of factors, Y, coef, noise_variance.

    Raises
    ------
    ValueError
        If ``n_rows`` and ``n_columns`` differ in length, or ``n_nonzero`` exceeds a
        number of columns.

    Examples
    --------
    >>> from skalgos.datasets import make_kronecker_sparse
    >>> problem = make_kronecker_sparse((5, 6), (10, 12), random_state=0)
    >>> problem.Y.shape, problem.coef.shape
    ((5, 6), (10, 12))
    """
    n_rows, n_columns = tuple(n_rows), tuple(n_columns)
    if len(n_rows) != len(n_columns):
        raise ValueError(
            f"n_rows and n_columns must have an entry for each dictionary; got "
            f"{len(n_rows)} and {len(n_columns)}."
        )
    if n_nonzero > min(n_columns):
        raise ValueError(
            f"n_nonzero={n_nonzero} should be <= {min(n_columns)}, the smallest of "
            "n_columns."
        )
    rng = check_random_state(random_state)

    def normal(*shape):
        if not complex_valued:
            return rng.standard_normal(shape)
        parts = rng.standard_normal((2, *shape))
        return (parts[0] + 1j * parts[1]) / np.sqrt(2)

    factors = [normal(m, n) for m, n in zip(n_rows, n_columns, strict=True)]
    support = np.ix_(*[np.sort(rng.permutation(n)[:n_nonzero]) for n in n_columns])
    if kronecker_valued:
        values = normal(n_nonzero)
        for _ in n_columns[1:]:
            values = np.multiply.outer(values, normal(n_nonzero))
    else:
        values = normal(*(n_nonzero for _ in n_columns))
    coef = np.zeros(n_columns, values.dtype)
    coef[support] = values
    return _measured(factors, coef, snr_db, normal)


def _measured(factors, coef, snr_db, normal):
    clean = coef
    for i, A in enumerate(factors):
        clean = np.moveaxis(np.tensordot(A, clean, axes=(1, i)), 0, i)
    noise_variance = float((np.abs(clean) ** 2).mean() * 10 ** (-snr_db / 10))
    Y = clean + np.sqrt(noise_variance) * normal(*clean.shape)
    return KroneckerProblem(factors, Y, coef, noise_variance)


@validate_params(
    {
        "n_grid": _POSITIVE,
        "n_patterns": _POSITIVE,
        "n_pilots": _POSITIVE,
        "n_surface": _POSITIVE,
        "n_mobile": _POSITIVE,
        "n_base": _POSITIVE,
        "spread": _POSITIVE,
        "snr_db": _SNR,
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_irs_channel(
    n_grid=18,
    *,
    n_patterns=6,
    n_pilots=3,
    n_surface=256,
    n_mobile=6,
    n_base=16,
    spread=3,
    snr_db=12.0,
    random_state=None,
):
    """Generate pilot measurements of a radio channel by way of a reflecting surface.

    A mobile station sends pilots, an intelligent reflecting surface passes them on with
    random phases that change from pattern to pattern, and a base station receives them.
    Each angle, at the surface, the mobile and the base station, is one of a grid. The
    channel leaves the mobile at one angle, and is a block of adjacent angles at the
    surface and the base station.

    Parameters
    ----------
    n_grid : int, default=18
        The number of angles on each axis.

    n_patterns : int, default=6
        The number of phase patterns of the surface.

    n_pilots : int, default=3
        The number of pilots sent with each pattern.

    n_surface : int, default=256
        The number of elements of the surface.

    n_mobile : int, default=6
        The number of antennas of the mobile station.

    n_base : int, default=16
        The number of antennas of the base station.

    spread : int, default=3
        How many adjacent angles are in use at the surface and the base station.

    snr_db : float, default=12.0
        The ratio of the power of the measurements to that of the noise, in decibels.

    random_state : int, RandomState instance or None, default=None
        Determines patterns, pilots, channel and noise.

    Returns
    -------
    problem : KroneckerProblem
        A named tuple of factors (surface, mobile, base), Y of shape (n_patterns,
        n_pilots, n_base), coef of shape (n_grid, n_grid, n_grid) and noise_variance.

    steering : list of ndarray
        The dictionaries of the channel itself, of shapes (n_surface, n_grid),
        (n_mobile, n_grid) and (n_base, n_grid): the channel is the product of ``coef``
        with them.

    Raises
    ------
    ValueError
        If ``spread`` exceeds ``n_grid``.

    Examples
    --------
    >>> from skalgos.datasets import make_irs_channel
    >>> problem, steering = make_irs_channel(random_state=0)
    >>> problem.Y.shape, problem.coef.shape
    ((6, 3, 16), (18, 18, 18))
    """
    if spread > n_grid:
        raise ValueError(f"spread={spread} should be <= n_grid={n_grid}.")
    rng = check_random_state(random_state)

    def normal(*shape):
        parts = rng.standard_normal((2, *shape))
        return (parts[0] + 1j * parts[1]) / np.sqrt(2)

    cosines = -1 + 2 * np.arange(n_grid) / n_grid
    steering = [
        np.exp(-1j * np.pi * np.outer(np.arange(size), cosines)) / np.sqrt(size)
        for size in (n_surface, n_mobile, n_base)
    ]
    phases = np.exp(2j * np.pi * rng.uniform(size=(n_patterns, n_surface)))
    pilots = rng.choice([-1.0, 1.0], (n_pilots, n_mobile, 2)) @ [1.0, 1j] / np.sqrt(2)
    factors = [phases @ steering[0], pilots @ steering[1], steering[2]]
    values = np.ones(())
    support = []
    for width in (spread, 1, spread):
        first = rng.randint(n_grid - width + 1)
        support.append(np.arange(first, first + width))
        values = np.multiply.outer(values, normal(width))
    coef = np.zeros((n_grid, n_grid, n_grid), complex)
    coef[np.ix_(*support)] = values
    return _measured(factors, coef, snr_db, normal), steering


@validate_params(
    {
        "n_samples": _POSITIVE,
        "heart_rate": [Interval(Real, 0, None, closed="neither")],
        "sampling_rate": [Interval(Real, 0, None, closed="neither")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_ecg_like(
    n_samples=1024, *, heart_rate=72.0, sampling_rate=360.0, random_state=None
):
    """Generate a signal in the shape of an electrocardiogram, of mean 0 and variance 1.

    Each beat is a sum of five Gaussian waves, P, Q, R, S and T, whose sizes and times
    vary a little, on a slow drift. No patient was measured. Its cosine transform has
    many small coefficients and no sharp end: it is compressible, not sparse.

    Parameters
    ----------
    n_samples : int, default=1024
        The number of samples.

    heart_rate : float, default=72.0
        Beats in a minute.

    sampling_rate : float, default=360.0
        Samples in a second.

    random_state : int, RandomState instance or None, default=None
        Determines how beats vary.

    Returns
    -------
    signal : ndarray of shape (n_samples,)
        The signal.

    Examples
    --------
    >>> from skalgos.datasets import make_ecg_like
    >>> make_ecg_like(256, random_state=0).shape
    (256,)
    """
    rng = check_random_state(random_state)
    time = np.arange(n_samples) / sampling_rate
    signal = 0.08 * np.sin(2 * np.pi * 0.3 * time + rng.uniform(0, 2 * np.pi))
    period = 60.0 / heart_rate
    beat = -period * rng.uniform()
    # Time after the middle of the beat, width and height of each wave.
    waves = [
        (-0.17, 0.022, 0.16),
        (-0.030, 0.009, -0.12),
        (0.0, 0.011, 1.0),
        (0.030, 0.010, -0.22),
        (0.23, 0.042, 0.30),
    ]
    while beat < time[-1] + period:
        for delay, width, height in waves:
            centre = beat + delay * (1 + 0.03 * rng.standard_normal())
            size = height * (1 + 0.08 * rng.standard_normal())
            signal += size * np.exp(-0.5 * ((time - centre) / width) ** 2)
        beat += period * (1 + 0.04 * rng.standard_normal())
    deviation = signal.std()
    return (signal - signal.mean()) / (deviation if deviation > 0 else 1.0)
