"""From data in their own units to a solver in standardised ones, and back."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from skalgos._sparse_bayes.iterative import iterative
from skalgos._sparse_bayes.priors import Free, Separable, Tied, neighbours
from skalgos._sparse_bayes.solvers import (
    NOISE_START,
    Covariance,
    GammaPrior,
    Gram,
    Recovery,
    log_evidence,
    noise_starts,
    sequential,
    universal_threshold,
)
from skalgos._sparse_bayes.structure import (
    checked_coupling,
    checked_shape,
    membership_matrix,
)


class Settings(NamedTuple):
    """What to run: the parameters of the estimators and functions, validated.

    ``membership`` is None or a sparse matrix (p, m), ``shape`` None or a tuple,
    ``coupling`` None, or a strength for each axis of ``shape``. The two priors are of
    precisions in units in which columns and responses have variance one.
    """

    algorithm: str
    threshold: float | str
    expected_false_inclusions: float = 0.2
    noise_variance: float | None = None
    n_noise_starts: int = 1
    membership: sparse.csr_array | None = None
    shape: tuple | None = None
    coupling: tuple | None = None
    correlation: str | None = None
    noise_prior: GammaPrior = GammaPrior()
    variance_prior: GammaPrior = GammaPrior()
    max_active: int | None = None
    max_iter: int = 1000
    tol: float = 1e-3
    prune_tol: float = 1e-5


def make_settings(
    n_columns,
    *,
    algorithm,
    inclusion_threshold,
    groups,
    coupling,
    shape,
    shape_name,
    max_active,
    max_active_name,
    n_noise_starts,
    noise_variance,
    output_correlation,
    alpha_1,
    alpha_2,
    lambda_1,
    lambda_2,
    **others,
):
    """Check parameters against each other, and return the settings.

    Raises
    ------
    ValueError
        If a parameter is set that another one rules out.
    """
    membership = sizes = None
    if groups is not None:
        for name, value in (("coupling", coupling), (shape_name, shape)):
            if value is not None:
                raise ValueError(f"groups and {name} exclude each other.")
        membership = membership_matrix(groups, n_columns)
    if shape is not None:
        sizes = checked_shape(shape, n_columns, shape_name)
    strengths = checked_coupling(coupling, 1 if sizes is None else len(sizes))
    structured = not (membership is None and sizes is None and strengths is None)
    variance_prior = GammaPrior(float(lambda_1), float(lambda_2))
    # What the sequential algorithm has no closed optimum for.
    beyond = {
        "output_correlation": (output_correlation, None),
        "lambda_1": (lambda_1, 0),
        "lambda_2": (lambda_2, 0),
    }
    beyond = {name: v for name, (v, default) in beyond.items() if v != default}
    if algorithm == "auto":
        algorithm = "mm" if structured or beyond else "sequential"
    if algorithm == "sequential":
        if structured:
            raise ValueError(
                f"algorithm='sequential' takes no groups, coupling or {shape_name}: "
                "use 'em' or 'mm'."
            )
        for name, value in beyond.items():
            raise ValueError(
                f"algorithm='sequential' takes no {name}; got {value!r}: use 'em' or "
                "'mm'."
            )
        threshold = inclusion_threshold
        if threshold == "auto":
            threshold = "universal"
    else:
        for name, value, default in (
            ("inclusion_threshold", inclusion_threshold, "auto"),
            ("n_noise_starts", n_noise_starts, 1),
            (max_active_name, max_active, None),
        ):
            if value != default:
                raise ValueError(
                    f"{name}={value!r} is for algorithm='sequential'; "
                    f"algorithm={algorithm!r} starts with all columns."
                )
        threshold = 1.0
    if algorithm == "mackay" and structured and groups is None:
        raise ValueError(
            f"algorithm='mackay' takes no coupling or {shape_name}: use 'em' or 'mm'."
        )
    if algorithm == "mackay" and groups is not None and (membership.sum(1) > 1).any():
        raise ValueError(
            "algorithm='mackay' takes no overlapping groups: use 'em' or 'mm'."
        )
    noise = noise_variance
    if noise != "learn" and n_noise_starts > 1:
        raise ValueError(
            "n_noise_starts is for a noise variance that is learned; got "
            f"n_noise_starts={n_noise_starts} and noise_variance={noise}."
        )
    return Settings(
        algorithm=algorithm,
        threshold=threshold,
        noise_variance=None if noise == "learn" else float(noise),
        n_noise_starts=n_noise_starts,
        membership=membership,
        shape=sizes,
        coupling=strengths,
        correlation=output_correlation,
        noise_prior=GammaPrior(float(alpha_1), float(alpha_2)),
        variance_prior=variance_prior,
        max_active=max_active,
        **others,
    )


def threshold_value(settings, n_columns, n_outputs, is_complex):
    """Return the inclusion threshold as a number."""
    if settings.threshold == "universal":
        return universal_threshold(
            n_columns, n_outputs, is_complex, settings.expected_false_inclusions
        )
    return float(settings.threshold)


def _prior(settings, usable, level, start):
    """Return the prior of an iterative run, and the columns that it is about."""
    p = len(usable)
    if settings.shape is not None:
        strengths = settings.coupling or (None,) * len(settings.shape)
        couplings = [
            None if c is None else neighbours(size, c).toarray()
            for size, c in zip(settings.shape, strengths, strict=True)
        ]
        sums = [1.0 if C is None else float(C.sum(axis=1).mean()) for C in couplings]
        share = level ** (1.0 / len(settings.shape))
        factors = [
            np.full(size, share / total)
            for size, total in zip(settings.shape, sums, strict=True)
        ]
        return Separable(factors, couplings), np.arange(p)
    active = np.flatnonzero(usable)
    C = settings.membership
    if settings.coupling is not None:
        C = neighbours(p, settings.coupling[0])
    if C is None:
        gamma = np.full(len(active), level)
        if start is not None:
            gamma[:] = 1e-3 * level
            full = np.zeros(p)
            full[start[0]] = start[1]
            gamma = np.maximum(gamma, full[active])
        return Free(gamma), active
    C = sparse.csr_array(C)[active]
    C = C[:, np.flatnonzero(C.sum(axis=0) > 0)]
    g = np.full(C.shape[1], level / max(C.sum(axis=1).mean(), 1e-300))
    return Tied(C, g), active


def recover(design, Y, settings, *, start=None, start_noise=None, on_round=None):
    """Run a solver on standardised columns and responses.

    Parameters
    ----------
    design : Design
    Y : ndarray of shape (n, L)
        Weighted and centred, as :meth:`Design.response` returns it; not changed.
    settings : Settings
    start : (indices, gamma) or None
        Variances to start from, in the units of the data.
    start_noise : float or None
        Where a noise variance that is learned starts, in the units of the data.
    on_round : callable or None
        Gets the :class:`Recovery` so far; see ``sequential``.

    Returns
    -------
    solution : Recovery
        In the units of the data.
    """
    n_outputs = Y.shape[1]
    is_complex = np.result_type(design.dtype, Y.dtype).kind == "c"
    Y = Y.astype(np.result_type(design.dtype, Y.dtype), copy=False)
    dof = design.total - (design.mean is not None)
    energy = float(np.vdot(Y, Y).real)
    if energy == 0.0 or dof <= 0:
        return _nothing(design, Y, settings, dof, is_complex)
    scale = np.sqrt(energy / (dof * n_outputs))
    Y = Y / scale
    usable = design.scale > 0
    learn_noise = settings.noise_variance is None
    noise = NOISE_START if start_noise is None else start_noise / scale**2
    if not learn_noise:
        noise = settings.noise_variance / scale**2
    noise = max(noise, 1e-12)
    if start is not None:
        kept = usable[start[0]]
        indices, gamma = start[0][kept], start[1][kept]
        start = indices, gamma * (design.norms[indices] / scale) ** 2

    def solution(recovery):
        back = design.scale[recovery.active] * scale
        shift = dof * n_outputs * np.log(scale) * (2 if is_complex else 1)
        return recovery._replace(
            mean=recovery.mean * back[:, None],
            gamma=recovery.gamma * back**2,
            covariances=tuple(c.scaled(back) for c in recovery.covariances),
            noise=recovery.noise * scale**2,
            log_evidence=recovery.log_evidence - shift,
            scores=np.array(recovery.scores) - shift,
        )

    def wrapped():
        end = on_round()
        if end is None:
            return None
        return lambda recovery: end(lambda: solution(recovery()))

    common = {
        "dof": dof,
        "max_iter": settings.max_iter,
        "tol": settings.tol,
        "noise_prior": settings.noise_prior,
        "on_round": None if on_round is None else wrapped,
    }
    if settings.algorithm == "sequential":
        most = settings.max_active
        if most is None:
            most = min(design.shape[0], int(np.ceil(dof)) - 1)
        common |= {
            "threshold": threshold_value(
                settings, int(usable.sum()), n_outputs, is_complex
            ),
            "max_active": most,
        }
        gram = Gram(design, Y)
        if learn_noise and settings.n_noise_starts > 1 and start is None:
            found = noise_starts(gram, n_starts=settings.n_noise_starts, **common)
        else:
            found = sequential(
                gram, noise=noise, learn_noise=learn_noise, start=start, **common
            )
        return solution(found)
    level = dof / max(int(usable.sum()), 1)
    prior, active = _prior(settings, usable, level, start)
    found = iterative(
        design,
        Y,
        prior=prior,
        active=active,
        update=settings.algorithm,
        noise=noise,
        learn_noise=learn_noise,
        prune_tol=settings.prune_tol,
        # Columns of unit norm have variance 1 / dof.
        variance_prior=settings.variance_prior._replace(
            rate=settings.variance_prior.rate * dof
        ),
        correlation=settings.correlation if n_outputs > 1 else None,
        **common,
    )
    if settings.correlation is not None and n_outputs == 1:
        found = found._replace(correlation=np.ones((1, 1)))
    return solution(found)


def _nothing(design, Y, settings, dof, is_complex):
    """Return the solution where the responses are constant: all is explained."""
    noise = settings.noise_variance or 0.0
    evidence = np.inf
    if noise > 0:
        J = max(dof, 0.0) * Y.shape[1] * np.log(noise)
        evidence = log_evidence(J, max(dof, 0.0), Y.shape[1], is_complex)
    n_outputs = Y.shape[1]
    correlation = rotation = None
    if settings.correlation is not None:
        correlation = np.eye(n_outputs)
        rotation = correlation if n_outputs > 1 else None
    covariance = Covariance(np.empty(0), np.empty((0, 0), design.dtype))
    return Recovery(
        np.empty(0, np.intp),
        np.empty((0, n_outputs), Y.dtype),
        np.empty(0),
        (covariance,) * (1 if rotation is None else n_outputs),
        noise,
        evidence,
        np.array([evidence]),
        1,
        True,
        correlation,
        rotation,
    )
