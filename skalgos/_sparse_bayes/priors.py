"""Prior variances and how they follow from a posterior: free, tied, coupled, separable.

Given the posterior under the current variances u, an M-step lowers

    sum_j  den_j u_j + num_j / u_j

for "mm", where ``num = |mu|^2`` and ``den = s`` make this an upper bound of the cost,
or for "em"

    sum_j  ln u_j + num_j / u_j,   num = |mu|^2 + diag(Sigma),

which is treated as the former with ``den = 1 / u``, the tangent of the logarithm. Each
step on a nonnegative ``g`` with ``u = C g`` is

    g <- g sqrt(C^T (num / u^2) / C^T den),

which never raises the bound. "mackay" is the fixed point ``u <- |mu|^2 / (u s)``, which
promises nothing.
"""

from functools import reduce
from math import exp, log

import numpy as np
from scipy import sparse

# Updates of the variances for one posterior, where they are iterative.
INNER_STEPS = 5
# A variance below this share of the largest is zero, whatever the data say.
UNDERFLOW = 1e-14


def _ratio(num, den):
    return np.divide(num, den, out=np.zeros_like(num), where=den > 0)


def _over_square(num, u):
    """Return num / u^2, without underflow; zero where u is."""
    return _ratio(_ratio(num, u), u)


class Free:
    """A variance for each column.

    Attributes
    ----------
    gamma : ndarray of shape (k,)
    """

    def __init__(self, gamma):
        self.gamma = gamma

    def step(self, update, square, variance, s, counts=(0.0, 0.0)):
        """Update from the mean of |mu|^2, the posterior variances, and s.

        ``counts`` is what a prior of the precisions adds to how often each column
        counts, and to its squares.
        """
        square = square + counts[1]
        if update == "em":
            self.gamma = (square + variance) / (1.0 + counts[0])
        elif update == "mm":
            slope = s + _ratio(np.full_like(s, counts[0]), self.gamma)
            self.gamma = np.sqrt(_ratio(square, slope))
        else:
            self.gamma = _ratio(square, self.gamma * s + counts[0])

    def prune(self, tol, gamma, square, s):
        """Forget variances that vanish, and return which are left.

        Those are small, and zero is their optimum given all others. The other
        arguments belong to the posterior before the step.
        """
        vanishing = square <= gamma**2 * s * (1 - gamma * s)
        largest = self.gamma.max(initial=0.0)
        keep = (self.gamma >= tol * largest) | ~vanishing
        keep &= self.gamma > UNDERFLOW * largest
        self.gamma = self.gamma[keep]
        return keep


class Tied:
    """Variances ``C g``: columns in groups, or neighbours that lend each other some.

    Parameters
    ----------
    C : sparse matrix of shape (k, m)
        Nonnegative. If each row has a single one, the groups do not overlap, and all
        updates are closed.
    g : ndarray of shape (m,)
    """

    def __init__(self, C, g):
        self.C = sparse.csr_array(C)
        self.g = g
        self.partition = bool(
            self.C.nnz == self.C.shape[0]
            and (self.C.data == 1).all()
            and (np.diff(self.C.indptr) == 1).all()
        )

    @property
    def gamma(self):
        return self.C @ self.g

    def step(self, update, square, variance, s, counts=(0.0, 0.0)):
        """Update from the mean of |mu|^2, the posterior variances, s, and a prior."""
        C, g = self.C, self.g
        square = square + counts[1]
        if self.partition:
            u = self.gamma
            if update == "em":
                sizes = C.T @ np.ones(C.shape[0])
                self.g = (C.T @ (square + variance)) / (sizes * (1.0 + counts[0]))
            elif update == "mm":
                slope = s + _ratio(np.full_like(s, counts[0]), u)
                self.g = np.sqrt(_ratio(C.T @ square, C.T @ slope))
            else:
                self.g = _ratio(C.T @ square, C.T @ (u * s + counts[0]))
            return
        num = square + variance if update == "em" else square
        for _ in range(INNER_STEPS):
            u = C @ g
            inverse = _ratio(np.ones_like(u), u)
            den = inverse * (1.0 + counts[0])
            if update == "mm":
                den = s + inverse * counts[0]
            g = g * np.sqrt(_ratio(C.T @ _over_square(num, u), C.T @ den))
        self.g = g

    def prune(self, tol, gamma, square, s):
        """Forget what vanishes in g, and return which columns are left.

        That is what is small, and whose columns taken together would do without. The
        other arguments belong to the posterior before the step.
        """
        slope = self.C.T @ (s * (1 - gamma * s) - _over_square(square, gamma))
        largest = self.g.max(initial=0.0)
        kept = (self.g >= tol * largest) | (slope < 0)
        kept &= self.g > UNDERFLOW * largest
        C, self.g = self.C[:, kept], self.g[kept]
        keep = (C @ self.g) > 0
        self.C = C[keep]
        return keep


def neighbours(size, strength):
    """Return C for a chain: each variance counts ``strength`` for both neighbours."""
    ones = np.ones(size)
    side = np.full(max(size - 1, 0), float(strength))
    return sparse.diags_array([ones, side, side], offsets=[0, 1, -1]).tocsr()


def outer(vectors):
    """Return the outer product of vectors, flat, the first index the slowest."""
    return reduce(lambda a, b: np.multiply.outer(a, b).ravel(), vectors)


class Separable:
    """Variances that are an outer product, ``u_1 x ... x u_I`` with ``u_i = C_i g_i``.

    Parameters
    ----------
    factors : list of ndarray
        The vectors g_i.
    couplings : list of (ndarray of shape (N_i, N_i) or None)
        C_i; None is the identity.
    """

    def __init__(self, factors, couplings=None):
        self.factors = list(factors)
        self.couplings = couplings or [None] * len(self.factors)

    @property
    def margins(self):
        return [
            g if C is None else C @ g
            for g, C in zip(self.factors, self.couplings, strict=True)
        ]

    @property
    def gamma(self):
        return outer(self.margins)

    def step(self, update, square, variance, s, counts=(0.0, 0.0)):
        """Update; flat arguments, in the order of ``gamma``.

        Beyond "em" and "mm": "svd", the nonnegative rank-one tensor that is closest to
        ``|mu|^2 + diag(Sigma)`` mode by mode, and "kl", the product of its sums. Both
        ignore couplings.
        """
        shape = tuple(len(u) for u in self.margins)
        square = square + counts[1]
        if update == "mm":
            slope = s
            if counts[0]:
                slope = s + _ratio(np.full_like(s, counts[0]), self.gamma)
            square, slope = square.reshape(shape), slope.reshape(shape)
            self._alternate(square, slope, INNER_STEPS, 1e-3)
        else:
            total = (square + variance).reshape(shape)
            if update == "em":
                self._alternate(total, 1.0 + counts[0], 100, 1e-6)
            elif update == "kl":
                self.factors = _product_of_sums(total)
            else:
                self.factors = _rank_one(total)
        self._balance()

    def _alternate(self, num, den, sweeps, tol):
        """Minimise over one factor after the other, all others held."""
        for _ in range(sweeps):
            before = self.margins
            self._sweep(num, den, 0, len(self.factors))
            self._balance()
            moved = [
                np.abs(a - b).max() / a.max() if a.max() > 0 else 0.0
                for a, b in zip(self.margins, before, strict=True)
            ]
            if max(moved) < tol:
                return

    def _sweep(self, num, den, low, high):
        """Update the factors from ``low`` to ``high``; the others are contracted.

        Halving the range reads the whole tensors twice, and not once for each factor.
        """
        if high - low == 1:
            self._update(low, num, den)
            return
        middle = (low + high) // 2
        for begin, end in ((low, middle), (middle, high)):
            rest = [i for i in range(low, high) if not begin <= i < end]
            v = outer([self._margin(i) for i in rest])
            inside = outer([np.ones(len(self._margin(i))) for i in range(begin, end)])
            shape = (len(inside), len(v)) if begin == low else (len(v), len(inside))

            def contract(tensor, weights, begin=begin, shape=shape):
                matrix = tensor.reshape(shape)
                return matrix @ weights if begin == low else weights @ matrix

            with np.errstate(divide="ignore"):
                inverse = np.where(v > 0, 1 / v, 0.0)
            # For "em" the tangent has den = 1 / u, so that only a count is left of it.
            rest_den = den * len(v) if np.ndim(den) == 0 else contract(den, v)
            self._sweep(contract(num, inverse), rest_den, begin, end)

    def _margin(self, i):
        C = self.couplings[i]
        return self.factors[i] if C is None else C @ self.factors[i]

    def _update(self, i, num, den):
        g, C = self.factors[i], self.couplings[i]
        if C is None:
            if np.ndim(den) == 0:
                self.factors[i] = num / den
            else:
                self.factors[i] = np.sqrt(_ratio(num, den))
            return
        u = C @ g
        slope = den * _ratio(np.ones_like(u), u) if np.ndim(den) == 0 else den
        self.factors[i] = g * np.sqrt(_ratio(C.T @ _over_square(num, u), C.T @ slope))

    def _balance(self):
        """Give all factors the same largest value; their product stays as it is."""
        largest = [float(g.max(initial=0.0)) for g in self.factors]
        if len(largest) > 1 and min(largest) > 0:
            common = exp(sum(map(log, largest)) / len(largest))
            self.factors = [
                g * (common / m) for g, m in zip(self.factors, largest, strict=True)
            ]

    def prune(self, tol, *posterior):
        """Forget what is small, and return which columns are left, flat."""
        return reduce(
            lambda a, b: np.logical_and.outer(a, b).ravel(), self.prune_factors(tol)
        )

    def prune_factors(self, tol):
        """Forget what is small; return for each factor which columns are left."""
        keeps = []
        self.factors, self.couplings = list(self.factors), list(self.couplings)
        for i, g in enumerate(self.factors):
            kept = g >= max(tol, UNDERFLOW) * g.max(initial=0.0)
            if self.couplings[i] is None:
                keep = kept
                self.factors[i] = g[kept]
            else:
                C = self.couplings[i][:, kept]
                keep = C.sum(axis=1) > 0
                self.factors[i], self.couplings[i] = g[kept], C[keep]
            keeps.append(keep)
        return keeps


def _product_of_sums(tensor):
    """Return vectors whose outer product has the sums of the tensor along each mode."""
    total = tensor.sum()
    modes = range(tensor.ndim)
    sums = [tensor.sum(axis=tuple(j for j in modes if j != i)) for i in modes]
    scale = total ** (-(tensor.ndim - 1) / tensor.ndim) if total > 0 else 1.0
    return [values * scale for values in sums]


def _rank_one(tensor):
    """Split off the first mode by its leading singular pair; go on with the rest."""
    vectors, rest = [], tensor
    while rest.ndim > 1:
        matrix = rest.reshape(len(rest), -1)
        left = matrix.sum(axis=1)
        for _ in range(100):
            norm = np.linalg.norm(left)
            if norm == 0:
                break
            left = left / norm
            right = left @ matrix
            again = matrix @ right
            size = np.linalg.norm(again)
            converged = np.abs(again / size - left).max() < 1e-9 if size else True
            left = again
            if converged:
                break
        norm = np.linalg.norm(left)
        left = left / norm if norm > 0 else left
        vectors.append(left)
        rest = (left @ matrix).reshape(rest.shape[1:])
    return [*vectors, rest]
