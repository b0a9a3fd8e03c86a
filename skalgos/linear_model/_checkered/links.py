"""The link functions of checkered regression, exact at every scale.

Nothing is clipped: probabilities are sums of positive terms, and where they underflow
their logarithms are computed relative to the largest term.
"""

import numpy as np
from scipy.special import logsumexp, softmax

TINY = 1e-280


def _forms(Z, n_axes, name):
    Z = np.asarray(Z, dtype=np.float64)
    if Z.ndim < n_axes or 0 in Z.shape[Z.ndim - n_axes :]:
        shape = "(..., m)" if n_axes == 1 else "(..., m, K)"
        raise ValueError(
            f"Z must have shape {shape} with at least one hyperplane"
            f"{' and one class' if n_axes == 2 else ''}; {name} got {Z.shape}."
        )
    if np.isnan(Z).any():
        raise ValueError(f"Z must not contain NaN; {name} got some.")
    return Z


# ---- two classes ---------------------------------------------------------------------
def odds_parts(Z):
    """Return what all binary link functions are made of.

    Parameters
    ----------
    Z : ndarray of shape (m, ...)
        Hyperplanes first.

    Returns
    -------
    r : ndarray of shape (...)
        The probability of the less likely class, at most a half.
    positive : ndarray of shape (...)
        Whether the other one is class 1.
    """
    u = np.abs(Z)
    np.negative(u, out=u)
    np.exp(u, out=u)
    q = u + 1
    np.reciprocal(q, out=q)
    r = u[0] * q[0]
    for k in range(1, len(Z)):
        r -= r * u[k]
        r += u[k]
        r *= q[k]  # r (1 - u) / (1 + u) + u / (1 + u)
    negative = np.logical_xor.reduce(Z < 0, axis=0)
    return r, ~negative


def rare_parts(Z):
    """Return the parts of the rarer probability relative to its largest term.

    Parameters
    ----------
    Z : ndarray of shape (m, n)

    Returns
    -------
    a : ndarray of shape (n,)
        Minus the logarithm of the scale.
    f : ndarray of shape (m, n)
        The probabilities that factors err.
    rho : ndarray of shape (n,)
        The probability that an odd number does.
    """
    z = np.abs(Z)
    a = z.min(axis=0)
    with np.errstate(invalid="ignore"):
        f = np.exp(a - z) / (1 + np.exp(-z))
    f[:, np.isinf(a)] = 0
    rho, small = np.zeros(a.shape), np.exp(-a)
    for row in f:
        rho += row * (1 - 2 * small * rho)
    return a, f, rho


def log_of_rare(Z, r):
    """Return log(r), also where r underflows."""
    deep = r < TINY
    with np.errstate(divide="ignore"):
        log_r = np.log(r)
        if deep.any():
            a, _, rho = rare_parts(Z[:, deep])
            log_r[deep] = np.log(rho) - a
    return log_r


def binary_logs(Z):
    """Return the logarithms of both probabilities, of class 0 and of class 1.

    Parameters
    ----------
    Z : ndarray of shape (m, ...)
    """
    r, positive = odds_parts(Z)
    rare, common = log_of_rare(Z, r), np.log1p(-r)
    return np.where(positive, rare, common), np.where(positive, common, rare)


def checkoid(Z):
    r"""Compute the checkoid function: the probability of class 1.

    It is :math:`(1 + \prod_k \tanh(z_k / 2)) / 2`: the probability that an even number
    of m independent events of probabilities ``sigmoid(-z_k)`` happens. With one
    hyperplane it is the logistic sigmoid. Read more in the
    :ref:`User Guide <checkered>`.

    Parameters
    ----------
    Z : array-like of shape (..., m)
        The values of m linear forms; infinite ones stand for events that are certain.

    Returns
    -------
    probability : ndarray of shape (...)
        Between 0 and 1, each with a small relative error.

    Raises
    ------
    ValueError
        If Z has no axis of hyperplanes, or contains NaN.

    See Also
    --------
    log_checkoid : Its logarithm, also where it underflows.
    multiclass_checkoid : The same for more than two classes.

    References
    ----------
    .. [1] M. Achab, "Checkered Regression", 2022.

    Examples
    --------
    >>> from skalgos.linear_model import checkoid
    >>> checkoid([[2.0, 3.0], [-2.0, 3.0]])
    array([0.84..., 0.15...])
    """
    Z = np.moveaxis(_forms(Z, 1, "checkoid"), -1, 0)
    r, positive = odds_parts(Z)
    return np.where(positive, 1 - r, r)


def log_checkoid(Z):
    """Compute the logarithm of the checkoid function.

    It is finite wherever Z is, and close to minus the smallest ``abs(z_k)`` where the
    probability itself underflows. For the logarithm of the probability of the other
    class, change the sign of one of the linear forms.

    Parameters
    ----------
    Z : array-like of shape (..., m)
        The values of m linear forms.

    Returns
    -------
    log_probability : ndarray of shape (...)
        At most 0.

    Raises
    ------
    ValueError
        If Z has no axis of hyperplanes, or contains NaN.

    See Also
    --------
    checkoid : The probability itself.

    References
    ----------
    .. [1] M. Achab, "Checkered Regression", 2022.

    Examples
    --------
    >>> from skalgos.linear_model import log_checkoid
    >>> log_checkoid([[1e4, -2e4], [1.0, 2e4]])
    array([-1.0000...e+04, -3.1326...e-01])
    """
    Z = np.moveaxis(_forms(Z, 1, "log_checkoid"), -1, 0)
    return binary_logs(Z.reshape(len(Z), -1))[1].reshape(Z.shape[1:])


# ---- many classes --------------------------------------------------------------------
def _convolved(S):
    """Return the circular convolution of S[..., k, :] over k."""
    law = S[..., 0, :]
    K = S.shape[-1]
    for k in range(1, S.shape[-2]):
        total = np.zeros(law.shape)
        for a in range(K):
            total += law[..., a, None] * np.roll(S[..., k, :], a, axis=-1)
        law = total
    return law


def _log_convolved(logs):
    """Return the same for logarithms, of shape (rows, m, K)."""
    K = logs.shape[-1]
    shift = (np.arange(K)[:, None] - np.arange(K)) % K
    law = logs[:, 0]
    for k in range(1, logs.shape[1]):
        law = logsumexp(law[:, None, :] + logs[:, k][:, shift], axis=2)
    return law


def posterior_by_logs(Z, residues):
    """Return the log-probabilities of labels, and the posteriors of the factors.

    Parameters
    ----------
    Z : ndarray of shape (n, m, K)
    residues : ndarray of shape (n,)
        The labels.

    Returns
    -------
    log_p : ndarray of shape (n,)
    posterior : ndarray of shape (n, m, K)
    """
    n, m, K = Z.shape
    logs = Z - logsumexp(Z, axis=2, keepdims=True)
    left = (residues[:, None] - np.arange(K)) % K
    joint = logs.copy()
    for k in range(m):
        # What the other factors have to sum to.
        others = np.delete(logs, k, axis=1)
        if m == 1:
            others = np.where(np.arange(K) == 0, 0, -np.inf)[None, None]
            others = np.repeat(others, n, axis=0)
        joint[:, k] += np.take_along_axis(_log_convolved(others), left, axis=1)
    log_p = logsumexp(joint[:, 0], axis=1)
    return log_p, np.exp(joint - log_p[:, None, None])


def multiclass_checkoid(Z):
    """Compute the probabilities of the multiclass checkoid.

    The class is the sum modulo K of m independent categorical variables: the
    probabilities are the circular convolution of m softmaxes. With one hyperplane it is
    the softmax. Read more in the :ref:`User Guide <checkered>`.

    Parameters
    ----------
    Z : array-like of shape (..., m, K)
        The logits of K values, for each of m variables.

    Returns
    -------
    probabilities : ndarray of shape (..., K)
        They sum to 1. Each is a sum of positive terms, with a small relative error.

    Raises
    ------
    ValueError
        If Z does not have the axes of hyperplanes and classes, or contains NaN.

    See Also
    --------
    log_multiclass_checkoid : The logarithms, also where probabilities underflow.

    Notes
    -----
    The convolution is done directly. By fast Fourier transform it would be quicker for
    K in the hundreds, but with an absolute error that leaves no digit of the small
    probabilities, nor even their signs.

    References
    ----------
    .. [1] M. Achab, "Beyond Log-Concavity: Theory and Algorithm for Sum-Log-Concave
       Optimization", 2023.

    Examples
    --------
    >>> from skalgos.linear_model import multiclass_checkoid
    >>> multiclass_checkoid([[0.0, 5.0, 0.0], [0.0, 0.0, 5.0]]).argmax()
    np.int64(0)
    """
    return _convolved(softmax(_forms(Z, 2, "multiclass_checkoid"), axis=-1))


def log_multiclass_checkoid(Z):
    """Compute the logarithms of the probabilities of the multiclass checkoid.

    Parameters
    ----------
    Z : array-like of shape (..., m, K)
        The logits of K values, for each of m variables.

    Returns
    -------
    log_probabilities : ndarray of shape (..., K)
        Finite wherever Z is.

    Raises
    ------
    ValueError
        If Z does not have the axes of hyperplanes and classes, or contains NaN.

    See Also
    --------
    multiclass_checkoid : The probabilities themselves.

    References
    ----------
    .. [1] M. Achab, "Beyond Log-Concavity: Theory and Algorithm for Sum-Log-Concave
       Optimization", 2023.

    Examples
    --------
    >>> from skalgos.linear_model import log_multiclass_checkoid
    >>> log_multiclass_checkoid([[0.0, 1e4, 0.0], [0.0, 0.0, 3e4]])
    array([    -0., -10000., -10000.])
    """
    Z = _forms(Z, 2, "log_multiclass_checkoid")
    return multiclass_logs(Z)


def multiclass_logs(Z):
    """Do the same for an array that is known to be one."""
    shape = Z.shape[:-2] + Z.shape[-1:]
    Z = Z.reshape(-1, *Z.shape[-2:])
    p = _convolved(softmax(Z, axis=-1))
    # Near 1 a logarithm of the sum would lose the digits that the others have.
    top = p.argmax(axis=-1)
    rows = np.arange(len(p))
    others = p.copy()
    others[rows, top] = 0
    rest = others.sum(axis=-1)
    with np.errstate(divide="ignore"):
        logs = np.log(p)
    near = rest < 0.5
    logs[rows[near], top[near]] = np.log1p(-rest[near])
    deep = (p < TINY).any(axis=-1)
    if deep.any():
        z = Z[deep]
        exact = _log_convolved(z - logsumexp(z, axis=-1, keepdims=True))
        logs[deep] = np.where(p[deep] < TINY, exact, logs[deep])
    return logs.reshape(shape)
