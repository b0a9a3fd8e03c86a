"""Sparse Bayesian recovery with a Kronecker product of dictionaries."""

from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from skalgos._compat import Interval, StrOptions, validate_params
from skalgos._sparse_bayes.structure import checked_coupling
from skalgos._sparse_bayes.validation import numeric_array

M_STEPS = {"auto", "am", "kl", "mm", "svd"}


class KronSparseBayesResult(NamedTuple):
    """What :func:`kron_sparse_bayes` found.

    Attributes
    ----------
    coef : ndarray
        The posterior mean: a tensor of shape (N_1, ..., N_I) if Y was a tensor, else
        flat; with one more axis for the outputs if Y had it.
    active : list of ndarray
        For each factor the columns that are left.
    factor_variances : list of ndarray of shape (N_i,)
        The prior variances are their outer product.
    variance : ndarray of shape (N_1, ..., N_I)
        The variances of the posterior, the same for all outputs.
    noise_variance : float
        The variance of the noise, for complex data of its real and imaginary part
        together.
    log_evidence : float
        The logarithm of the probability of the measurements.
    scores : ndarray
        The log evidence less a constant for each column of a factor that is left, at
        the start (with "auto" after the head start) and after each iteration; it never
        falls.
    n_iter : int
        The number of iterations, the head start of "auto" included.
    converged : bool
        Whether it ended before ``max_iter``.
    """

    coef: np.ndarray
    active: list
    factor_variances: list
    variance: np.ndarray
    noise_variance: float
    log_evidence: float
    scores: np.ndarray
    n_iter: int
    converged: bool


def checked_m_step(m_step, coupling):
    """Raise an error if the step knows no coupling."""
    if coupling is not None and m_step in ("svd", "kl"):
        raise ValueError(
            f"m_step={m_step!r} takes no coupling: use 'mm', 'am' or 'auto'."
        )


@validate_params(
    {
        "factors": [list, tuple],
        "Y": ["array-like"],
        "m_step": [StrOptions(M_STEPS)],
        "coupling": [Interval(Real, 0, 1, closed="both"), "array-like", None],
        "noise_variance": [
            StrOptions({"learn"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "prune_tol": [Interval(Real, 0, 1, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def kron_sparse_bayes(
    factors: list,
    Y: ArrayLike,
    *,
    m_step: str = "auto",
    coupling: float | tuple | None = None,
    noise_variance: str | float = "learn",
    max_iter: int = 500,
    tol: float = 1e-4,
    prune_tol: float = 1e-3,
) -> KronSparseBayesResult:
    """Recover sparse coefficients of a Kronecker product of dictionaries.

    The model is ``y = (A_1 x ... x A_I) x + noise``, with the Kronecker product. The
    prior variances are an outer product of a vector for each factor, so that the
    non-zeros are where all of these are not zero. Neither the Kronecker product of the
    factors nor a covariance is ever formed: memory is that of a few tensors of the
    coefficients and of the measurements.

    Parameters
    ----------
    factors : list of array-like of shape (M_i, N_i)
        The dictionaries, real or complex; the first one has the slowest index.

    Y : array-like
        The measurements, real or complex: a tensor of shape (M_1, ..., M_I), or flat in
        C order, (M_1 * ... * M_I,); with one more axis for several outputs, which
        share the prior variances.

    m_step : {"auto", "am", "kl", "mm", "svd"}, default="auto"
        How the prior variances follow from the posterior.

        - "am" is expectation maximisation, by alternating minimisation [1]_.
        - "svd" takes the outer product that is closest to the second moments [1]_, and
          "kl" the product of their sums. Where one of them lowers the evidence, a step
          of "mm" replaces it.
        - "mm" lowers an upper bound of the cost, in half as many iterations as "am".
        - "auto" is "mm" from three starts, the best of them: without a head start, and
          after up to 60 iterations of "svd", and of "kl", in which nothing is dropped
          or replaced. With ``coupling`` it is "mm" alone.

    coupling : float or tuple of float, default=None
        How much, from 0 to 1, each variance of a factor counts for its neighbours too;
        one number for all factors, or one for each. For non-zeros in blocks.

    noise_variance : "learn" or float, default="learn"
        The variance of the noise, if it is known: for complex data the mean of its
        squared modulus.

    max_iter : int, default=500
        The largest number of iterations.

    tol : float, default=1e-4
        Stop when the prior variances change by a smaller share.

    prune_tol : float, default=1e-3
        Columns of a factor whose variance is below this share of its largest are
        dropped, if the evidence does not speak for them.

    Returns
    -------
    result : KronSparseBayesResult
        A named tuple of coef, active, factor_variances, variance, noise_variance,
        log_evidence, scores, n_iter, converged.

    Raises
    ------
    ValueError
        If shapes do not match, entries of Y are missing, or numbers are not finite.

    See Also
    --------
    KroneckerSparseCoder : The estimator, for real data.
    skalgos.linear_model.sparse_bayes : For any dictionary.

    Notes
    -----
    All measurements have to be there: with missing ones the dictionary is no Kronecker
    product any more. Multiply out the rows that there are, and use
    :func:`skalgos.linear_model.sparse_bayes` with ``shape``.

    References
    ----------
    .. [1] Y. He and G. Joseph, "Bayesian algorithms for Kronecker-structured sparse
       vector recovery with application to IRS-MIMO channel estimation", IEEE
       Transactions on Signal Processing, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from skalgos.decomposition import kron_sparse_bayes
    >>> rng = np.random.RandomState(0)
    >>> A, B = rng.standard_normal((10, 20)), rng.standard_normal((12, 25))
    >>> x = np.zeros((20, 25))
    >>> x[np.ix_([3, 8], [5, 20])] = rng.standard_normal((2, 2))
    >>> result = kron_sparse_bayes([A, B], A @ x @ B.T + 0.01 * rng.randn(10, 12))
    >>> [a.tolist() for a in result.active]
    [[3, 8], [5, 20]]
    """
    from skalgos._sparse_bayes.kronecker import Factors

    if not factors:
        raise ValueError("factors must hold at least one dictionary.")
    factors = [numeric_array(A, f"factors[{i}]", (2,)) for i, A in enumerate(factors)]
    rows = tuple(A.shape[0] for A in factors)
    strengths = checked_coupling(coupling, len(factors))
    checked_m_step(m_step, strengths)
    masked = np.ma.isMaskedArray(Y)
    values = np.asarray(Y)
    if masked or (values.dtype.kind in "fc" and np.isnan(values).any()):
        raise ValueError(
            "Y has missing measurements, masked or NaN: the dictionary is then no "
            "Kronecker product. Use skalgos.linear_model.sparse_bayes with the rows "
            "that there are."
        )
    Y = numeric_array(Y, "Y", range(1, len(factors) + 2))
    tensor = Y.shape[: len(rows)] == rows and Y.ndim <= len(rows) + 1
    flat = Y.shape[0] == np.prod(rows) and Y.ndim <= 2
    if not tensor and not flat:
        product = " x ".join(map(str, rows))
        raise ValueError(
            f"Y must have shape {rows}, or ({product} = {np.prod(rows)},), and one "
            "more axis for several outputs, to match the rows of the factors; got "
            f"{Y.shape}."
        )
    many = Y.ndim == len(rows) + 1 if tensor else Y.ndim == 2
    problem = Factors(factors, strengths)
    coef, found = problem.recover(
        Y.reshape(*rows, -1),
        m_step=m_step,
        noise_variance=None if noise_variance == "learn" else float(noise_variance),
        max_iter=max_iter,
        tol=tol,
        prune_tol=prune_tol,
    )
    columns = problem.columns
    outputs = Y.shape[-1:] if many else ()
    margins = [np.zeros(n) for n in columns]
    for values, a, u in zip(margins, found.active, found.margins, strict=True):
        values[a] = u
    variance = np.zeros(columns)
    variance[np.ix_(*found.active)] = found.variance.reshape(
        [len(a) for a in found.active]
    )
    return KronSparseBayesResult(
        coef.reshape((*columns, *outputs) if tensor else (-1, *outputs)),
        found.active,
        margins,
        variance,
        found.noise,
        found.log_evidence,
        found.scores,
        found.n_iter,
        found.converged,
    )
