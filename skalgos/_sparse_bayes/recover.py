"""From data in their own units to a solver in standardised ones, and back."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from skalgos._sparse_bayes.priors import Free, Separable, Tied, neighbours
from skalgos._sparse_bayes.solvers import (
    NOISE_START,
    Gram,
    iterative,
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
    ``coupling`` None, or a strength for each axis of ``shape``.
    """

    algorithm: str
    threshold: float | str
    expected_false_inclusions: float = 0.2
    noise_variance: float | None = None
    n_noise_starts: int = 1
    membership: sparse.csr_array | None = None
    shape: tuple | None = None
    coupling: tuple | None = None
    max_active: int | None = None
    max_iter: int = 1000
    tol: float = 1e-3
    prune_tol: float = 1e-4


class Solution(NamedTuple):
    """A recovery in the units of the data.

    ``mean`` has shape (k, L). The covariance is that of ``Recovery``, in these units.
    """

    active: np.ndarray
    mean: np.ndarray
    gamma: np.ndarray
    root: np.ndarray | None
    W: np.ndarray | None
    noise: float
    log_evidence: float
    scores: np.ndarray
    n_iter: int
    converged: bool

    def variance_of(self, X):
        """Return the prior-to-posterior variance of ``X coef`` for rows of active X."""
        if self.root is not None:
            return _row_squares(X @ self.root)
        scaled = X * np.sqrt(self.gamma)
        return np.maximum(_row_squares(scaled) - _row_squares(scaled @ self.W.T), 0.0)

    def covariance_of(self, X):
        """Return the covariance of ``X coef`` for rows of active X; real data."""
        if self.root is not None:
            half = X @ self.root
            return half @ half.T
        scaled = X * np.sqrt(self.gamma)
        half = scaled @ self.W.T
        return scaled @ scaled.T - half @ half.T

    def covariance(self):
        """Return the covariance of the active coefficients."""
        if self.root is not None:
            return self.root @ self.root.conj().T
        G = np.sqrt(self.gamma)
        middle = np.eye(len(G)) - self.W.conj().T @ self.W
        return G[:, None] * middle * G

    def draw(self, normals):
        """Turn standard normals (k, m) into deviations from the mean; real data."""
        if self.root is not None:
            return self.root @ normals
        # The root of I - W^T W is I - W^T U (1 - sqrt(1 - S)) / S U^T W, with the
        # eigenvalues S and eigenvectors U of W W^T.
        S, U = np.linalg.eigh(self.W @ self.W.T)
        S = np.clip(S, 0.0, 1.0)
        share = 1.0 / (1.0 + np.sqrt(1.0 - S))
        inner = U @ (share[:, None] * (U.T @ (self.W @ normals)))
        return np.sqrt(self.gamma)[:, None] * (normals - self.W.T @ inner)


def _row_squares(values):
    return np.einsum("ij,ij->i", values, values.conj()).real


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
    if algorithm == "auto":
        algorithm = "mm" if structured else "sequential"
    if algorithm == "sequential":
        if structured:
            raise ValueError(
                f"algorithm='sequential' takes no groups, coupling or {shape_name}: "
                "use 'em' or 'mm'."
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
    noise = others.pop("noise_variance")
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
        Gets the :class:`Solution` so far; see ``sequential``.

    Returns
    -------
    solution : Solution
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
        return Solution(
            recovery.active,
            recovery.mean * back[:, None],
            recovery.gamma * back**2,
            None if recovery.root is None else back[:, None] * recovery.root,
            recovery.W,
            recovery.noise * scale**2,
            recovery.log_evidence - shift,
            np.array(recovery.scores) - shift,
            recovery.n_iter,
            recovery.converged,
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
        **common,
    )
    return solution(found)


def _nothing(design, Y, settings, dof, is_complex):
    """Return the solution where the responses are constant: all is explained."""
    noise = settings.noise_variance or 0.0
    evidence = np.inf
    if noise > 0:
        J = max(dof, 0.0) * Y.shape[1] * np.log(noise)
        evidence = log_evidence(J, max(dof, 0.0), Y.shape[1], is_complex)
    return Solution(
        np.empty(0, np.intp),
        np.empty((0, Y.shape[1]), Y.dtype),
        np.empty(0),
        np.empty((0, 0), design.dtype),
        None,
        noise,
        evidence,
        np.array([evidence]),
        1,
        True,
    )
