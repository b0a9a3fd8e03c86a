"""Cross gradient descent for any function that is minus the log of a sum."""

from numbers import Integral, Real

import numpy as np
from scipy.optimize import OptimizeResult
from scipy.special import logsumexp, softmax

from skalgos._compat import Interval, StrOptions, validate_params

_POSITIVE = Interval(Real, 0, None, closed="neither")


@validate_params(
    {
        "log_terms": [callable],
        "x0": ["array-like"],
        "mu": [StrOptions({"posterior"}), "array-like", tuple],
        "refresh": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
            None,
        ],
        "step": [StrOptions({"theory"}), _POSITIVE],
        "lipschitz": [_POSITIVE, None],
        "radius": [_POSITIVE, None],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "callback": [callable, None],
    },
    prefer_skip_nested_validation=True,
)
def minimize_xgd(
    log_terms,
    x0,
    *,
    mu="posterior",
    refresh="auto",
    step="theory",
    lipschitz=None,
    radius=None,
    max_iter=1000,
    tol=1e-6,
    callback=None,
):
    r"""Minimise minus the logarithm of a sum by cross gradient descent.

    The function is :math:`F(x) = -\sum_i \log \sum_s p_{is}(x)`, with one sum or
    several. Its cross-gradient seen from weights mu is

    .. math::

        \nabla_\mu F(x) = -\sum_i \sum_s \mu_{is} \nabla \log p_{is}(x),

    the gradient itself if mu is the posterior at x, which is proportional to
    :math:`p_{is}(x)`. Cross gradient descent follows it with mu held fixed. Read more
    in the :ref:`User Guide <checkered-xgd>`.

    Parameters
    ----------
    log_terms : callable
        ``log_terms(x) -> values, gradients``: the logarithms of the terms, of shape
        (S,) or (n, S), and their gradients, of shape (S, dim) or (n, S, dim).

    x0 : array-like of shape (dim,)
        Where to start.

    mu : "posterior", array-like or tuple, default="posterior"
        Where cross-gradients are seen from at first: "posterior" is the current point,
        an array of the shape of the terms has weights that sum to 1 over s, and
        ``("point", eta)`` is the posterior at the point eta.

    refresh : int, None or "auto", default="auto"
        After how many steps mu is replaced by the posterior at the current point; None
        is never. 1 with ``mu="posterior"`` is gradient descent. "auto" is 1 if
        ``mu="posterior"``, else None.

    step : "theory" or float, default="theory"
        The length of the steps as a multiple of the cross-gradient. "theory" is
        ``radius / (lipschitz * sqrt(t))`` at step t, for which the bound in the Notes
        holds.

    lipschitz : float, default=None
        With ``step="theory"``, a bound on the length of the cross-gradients: for one
        sum, on the gradients of all :math:`\log p_s`.

    radius : float, default=None
        With ``step="theory"``, a bound on the distance from ``x0`` to a minimum.

    max_iter : int, default=1000
        The largest number of steps.

    tol : float, default=1e-6
        Stop when no entry of the cross-gradient is larger.

    callback : callable, default=None
        ``callback(x, fun)`` after every step; a true answer stops.

    Returns
    -------
    result : scipy.optimize.OptimizeResult
        With ``x`` and ``fun``, the last point and its value; ``mu``, the last weights;
        ``jac``, the last cross-gradient; ``fun_history`` of shape (nit + 1,) and
        ``step_history`` of shape (nit,); ``nit``, ``success`` and ``message``.

    Raises
    ------
    ValueError
        If a parameter is out of its range, mu has the wrong shape or does not sum to 1,
        ``step="theory"`` lacks ``lipschitz`` or ``radius``, or a value is not finite.

    See Also
    --------
    CheckeredClassifier : Where the terms are those of checkered regression.

    Notes
    -----
    If the functions :math:`-\log p_s` are convex and B-Lipschitz then, for mu fixed,
    the points :math:`x_t` satisfy

    .. math::

        \frac{\sum_t \gamma_t (F(x_{t-1}) - F(\eta))}{\sum_t \gamma_t} \le
        \frac{\|x_0 - \eta\|^2 + B^2 \sum_t \gamma_t^2}{2 \sum_t \gamma_t}

    for every eta from which the cross-gradient is the same as from mu. That set need
    not contain a minimum of F.

    References
    ----------
    .. [1] M. Achab, "Beyond Log-Concavity: Theory and Algorithm for Sum-Log-Concave
       Optimization", 2023.

    Examples
    --------
    Where is a mixture of two normal densities, around -1 and 2, highest?

    >>> import numpy as np
    >>> from skalgos.linear_model import minimize_xgd
    >>> centers = np.array([-1.0, 2.0])
    >>> weights = np.array([0.3, 0.7])
    >>> def log_terms(x):
    ...     return np.log(weights) - (x - centers) ** 2 / 2, (centers - x)[:, None]
    >>> result = minimize_xgd(log_terms, [0.0], step=0.5)
    >>> print(result.x.round(3))
    [1.985]
    """
    x = np.array(x0, dtype=np.float64)
    if x.ndim != 1 or not np.isfinite(x).all():
        raise ValueError(f"x0 must be finite, of shape (dim,); got shape {x.shape}.")
    if step == "theory" and (lipschitz is None or radius is None):
        raise ValueError(
            "step='theory' needs lipschitz and radius; or give step as a float."
        )
    if refresh == "auto":
        refresh = 1 if isinstance(mu, str) else None
    logs, gradients = _terms(log_terms, x)
    weights = _weights(mu, log_terms, logs)
    values, steps, message = [_value(logs)], [], None
    while True:
        if refresh is not None and steps and len(steps) % refresh == 0:
            weights = softmax(logs, axis=-1)
        cross = -np.tensordot(weights, gradients, axes=weights.ndim)
        if np.abs(cross).max() <= tol:
            message = "The cross-gradient is within tol."
            break
        if len(steps) == max_iter:
            break
        if step == "theory":
            steps.append(radius / (lipschitz * np.sqrt(len(steps) + 1)))
        else:
            steps.append(float(step))
        x = x - steps[-1] * cross
        logs, gradients = _terms(log_terms, x)
        values.append(_value(logs))
        if callback is not None and callback(x.copy(), values[-1]):
            message = "callback asked to stop."
            break
    return OptimizeResult(
        x=x,
        fun=values[-1],
        jac=cross,
        mu=weights,
        fun_history=np.array(values),
        step_history=np.array(steps),
        nit=len(steps),
        success=message is not None,
        message=message or f"max_iter={max_iter} steps were not enough.",
    )


def _terms(log_terms, x):
    logs, gradients = (np.asarray(part, dtype=np.float64) for part in log_terms(x))
    if logs.ndim not in (1, 2) or gradients.shape != (*logs.shape, len(x)):
        raise ValueError(
            "log_terms must return values of shape (S,) or (n, S), and gradients of "
            f"that shape with a last axis of {len(x)}; got {logs.shape} and "
            f"{gradients.shape}."
        )
    if np.isnan(logs).any() or not np.isfinite(gradients).all():
        raise ValueError(
            f"log_terms returned NaN or infinite gradients at x={x}: the steps may be "
            "too long."
        )
    return logs, gradients


def _value(logs):
    return -float(np.sum(logsumexp(logs, axis=-1)))


def _weights(mu, log_terms, logs):
    if isinstance(mu, str):
        return softmax(logs, axis=-1)
    if isinstance(mu, tuple) and len(mu) == 2 and isinstance(mu[0], str):
        if mu[0] != "point":
            raise ValueError(f"mu must be 'posterior', weights or ('point', eta): {mu}")
        point = np.asarray(mu[1], dtype=np.float64)
        return softmax(_terms(log_terms, point)[0], axis=-1)
    weights = np.array(mu, dtype=np.float64)
    if weights.shape != logs.shape:
        raise ValueError(
            f"mu must have the shape of the terms, {logs.shape}; got {weights.shape}."
        )
    if (weights < 0).any() or not np.allclose(weights.sum(axis=-1), 1):
        raise ValueError(
            "mu must have no negative weight, and sum to 1 over the terms."
        )
    return weights
