"""Sparse Bayesian recovery of real or complex signals, as functions."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from skalgos._compat import validate_params
from skalgos._sparse_bayes.validation import numeric_array
from skalgos.linear_model._sparse_bayes.common import (
    CONSTRAINTS,
    MAX_ACTIVE_CONSTRAINT,
)


class SparseBayesResult(NamedTuple):
    """What :func:`sparse_bayes` found.

    Attributes
    ----------
    coef : ndarray of shape (n_columns,) or (n_columns, n_outputs)
        The posterior mean.
    active : ndarray of shape (n_active,)
        The columns whose coefficients are not zero, in increasing order.
    prior_variance : ndarray of shape (n_columns,)
        The variances of the prior; 0 for columns that are not active.
    variance : ndarray of shape (n_columns,) or (n_columns, n_outputs)
        The variances of the posterior: the same for all outputs, or of each if they are
        correlated.
    noise_variance : float
        The variance of the noise, for complex data of its real and imaginary part
        together.
    log_evidence : float
        The logarithm of the probability of the measurements.
    scores : ndarray of shape (n_iter + 1,)
        The log evidence at the start and after each iteration; with "sequential" less
        what the inclusion threshold takes for each active column, and with the
        logarithm of the priors of what is learned.
    n_iter : int
        The number of iterations.
    converged : bool
        Whether it ended before ``max_iter``.
    output_correlation : ndarray of shape (n_outputs, n_outputs) or None
        The covariance of the coefficients of a column between outputs, in units of its
        prior variance, if it was learned.
    """

    coef: np.ndarray
    active: np.ndarray
    prior_variance: np.ndarray
    variance: np.ndarray
    noise_variance: float
    log_evidence: float
    scores: np.ndarray
    n_iter: int
    converged: bool
    output_correlation: np.ndarray | None = None


@validate_params(
    {
        "A": ["array-like", "sparse matrix"],
        "Y": ["array-like"],
        **CONSTRAINTS,
        "shape": ["array-like", None],
        "max_active": MAX_ACTIVE_CONSTRAINT,
    },
    prefer_skip_nested_validation=True,
)
def sparse_bayes(
    A: ArrayLike,
    Y: ArrayLike,
    *,
    algorithm: str = "auto",
    inclusion_threshold: str | float = "auto",
    expected_false_inclusions: float = 0.2,
    noise_variance: str | float = "learn",
    n_noise_starts: int = 1,
    groups: ArrayLike | None = None,
    coupling: float | tuple | None = None,
    shape: tuple | None = None,
    output_correlation: str | None = None,
    alpha_1: float = 0.0,
    alpha_2: float = 0.0,
    lambda_1: float = 0.0,
    lambda_2: float = 0.0,
    max_iter: int = 1000,
    tol: float = 1e-3,
    prune_tol: float = 1e-5,
    max_active: int | None = None,
) -> SparseBayesResult:
    """Recover a sparse X from ``Y = A X + noise``, for real or complex numbers.

    The solver of :class:`SparseBayesRegressor`, without intercept and weights. Complex
    noise and coefficients are circular Gaussian.

    Parameters
    ----------
    A : {array-like, sparse matrix} of shape (n_measurements, n_columns)
        The dictionary.

    Y : array-like of shape (n_measurements,) or (n_measurements, n_outputs)
        The measurements. Several columns share the prior variances, and so the place
        of the non-zeros.

    algorithm : {"auto", "sequential", "em", "mm", "mackay"}, default="auto"
        As in :class:`SparseBayesRegressor`, and so for what follows.

    inclusion_threshold : {"auto", "universal"} or float, default="auto"
        What a column must do to enter, for "sequential".

    expected_false_inclusions : float, default=0.2
        How many columns may enter by chance, for "universal".

    noise_variance : "learn" or float, default="learn"
        The variance of the noise, if it is known: for complex data the mean of its
        squared modulus.

    n_noise_starts : int, default=1
        From how many noise variances to start, for "sequential".

    groups : array-like of shape (n_columns,) or (n_groups, n_columns), default=None
        Columns that share a prior variance.

    coupling : float or tuple of float, default=None
        How much each prior variance counts for its neighbours.

    shape : tuple of int, default=None
        The shape of the coefficients as a tensor, whose prior variances are an outer
        product.

    output_correlation : {"ar1", "full"} or None, default=None
        What kind of correlation between outputs is learned.

    alpha_1, alpha_2 : float, default=0.0
        Shape and rate of a Gamma prior of the precision of the noise.

    lambda_1, lambda_2 : float, default=0.0
        Shape and rate of a Gamma prior of the prior precisions.

    max_iter : int, default=1000
        The largest number of rounds or iterations.

    tol : float, default=1e-3
        Stop when prior variances change by a smaller share.

    prune_tol : float, default=1e-5
        Below which share of the largest a prior variance may be dropped.

    max_active : int, default=None
        The largest number of active columns, for "sequential".

    Returns
    -------
    result : SparseBayesResult
        A named tuple of coef, active, prior_variance, variance, noise_variance,
        log_evidence, scores, n_iter, converged, output_correlation.

    Raises
    ------
    ValueError
        If shapes do not match, numbers are not finite, or parameters exclude each
        other.

    See Also
    --------
    SparseBayesRegressor : The estimator.
    complex_to_real : Complex data for estimators.
    skalgos.decomposition.kron_sparse_bayes : For dictionaries that are Kronecker
        products.

    References
    ----------
    .. [1] D. P. Wipf and B. D. Rao, "Sparse Bayesian learning for basis selection",
       IEEE Transactions on Signal Processing 52, 2004.
    .. [2] D. P. Wipf and B. D. Rao, "An empirical Bayesian strategy for solving the
       simultaneous sparse approximation problem", IEEE Transactions on Signal
       Processing 55, 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from skalgos.linear_model import sparse_bayes
    >>> rng = np.random.RandomState(0)
    >>> A = rng.standard_normal((40, 100)) + 1j * rng.standard_normal((40, 100))
    >>> x = np.zeros(100, complex)
    >>> x[[3, 30]] = 2j, 1 - 1j
    >>> result = sparse_bayes(A, A @ x + 0.05 * rng.standard_normal(40))
    >>> result.active
    array([ 3, 30])
    >>> result.coef[result.active].round(1)
    array([0.+2.j, 1.-1.j])
    """
    from skalgos._sparse_bayes.design import Design
    from skalgos._sparse_bayes.recover import make_settings, recover

    if sparse.issparse(A):
        numeric_array(A.data, "A", (1,)) if A.nnz else None
        A = A.tocsc().astype(np.complex128 if A.dtype.kind == "c" else np.float64)
    else:
        A = numeric_array(A, "A", (2,))
    Y = numeric_array(Y, "Y", (1, 2))
    if len(Y) != A.shape[0]:
        raise ValueError(
            f"Y must have as many rows as A; got {len(Y)} and {A.shape[0]}."
        )
    if Y.dtype.kind == "c" and A.dtype.kind != "c":
        A = A.astype(np.complex128)
    settings = make_settings(
        A.shape[1],
        algorithm=algorithm,
        inclusion_threshold=inclusion_threshold,
        expected_false_inclusions=expected_false_inclusions,
        noise_variance=noise_variance,
        n_noise_starts=n_noise_starts,
        groups=groups,
        coupling=coupling,
        shape=shape,
        shape_name="shape",
        output_correlation=output_correlation,
        alpha_1=alpha_1,
        alpha_2=alpha_2,
        lambda_1=lambda_1,
        lambda_2=lambda_2,
        max_iter=max_iter,
        tol=tol,
        prune_tol=prune_tol,
        max_active=max_active,
        max_active_name="max_active",
    )
    found = recover(Design(A), Y.reshape(len(Y), -1), settings)
    coef = np.zeros((A.shape[1], found.mean.shape[1]), found.mean.dtype)
    coef[found.active] = found.mean
    prior = np.zeros(A.shape[1])
    prior[found.active] = found.gamma
    diagonals = found.for_outputs([c.diagonal() for c in found.covariances])
    variance = np.zeros((A.shape[1], *diagonals.shape[1:]))
    variance[found.active] = diagonals
    return SparseBayesResult(
        coef if Y.ndim == 2 else coef[:, 0],
        np.sort(found.active),
        prior,
        variance,
        found.noise,
        found.log_evidence,
        found.scores,
        found.n_iter,
        found.converged,
        found.correlation,
    )


def complex_to_real(A, Y):
    """Turn a complex problem into the real one that has the same solution.

    Real and imaginary parts are stacked, ``[[Re A, -Im A], [Im A, Re A]]`` and
    ``[Re Y; Im Y]``. The two parts of a coefficient belong to one group: with the
    prior variances tied in these groups the solution is that of the complex problem,
    without it is not.

    Parameters
    ----------
    A : array-like of shape (n_measurements, n_columns)
        The dictionary, complex.

    Y : array-like of shape (n_measurements,) or (n_measurements, n_outputs)
        The measurements, complex.

    Returns
    -------
    A_real : ndarray of shape (2 * n_measurements, 2 * n_columns)
        The dictionary; the first half of its columns is for real parts.

    Y_real : ndarray of shape (2 * n_measurements,) or (2 * n_measurements, n_outputs)
        The measurements.

    groups : ndarray of shape (2 * n_columns,)
        The groups, for the parameter of that name. A noise variance that is given has
        to be halved.

    Raises
    ------
    ValueError
        If shapes do not match or numbers are not finite.

    Examples
    --------
    >>> from skalgos.linear_model import complex_to_real
    >>> A, Y, groups = complex_to_real([[1, 2j]], [3 + 4j])
    >>> A
    array([[ 1.,  0., -0., -2.],
           [ 0.,  2.,  1.,  0.]])
    >>> Y, groups
    (array([3., 4.]), array([0, 1, 0, 1]))
    """
    A, Y = numeric_array(A, "A", (2,)), numeric_array(Y, "Y", (1, 2))
    if len(Y) != len(A):
        raise ValueError(f"Y must have as many rows as A; got {len(Y)} and {len(A)}.")
    stacked = np.block([[A.real, -A.imag], [A.imag, A.real]])
    return (
        stacked,
        np.concatenate([Y.real, Y.imag]),
        np.tile(np.arange(A.shape[1]), 2),
    )
