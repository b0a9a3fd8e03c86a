"""The penalised mean loss of checkered models, and the data it is taken over.

Coefficients are arrays ``V`` of linear forms, one a row: the coefficients of the
standardised features, then the intercept. The penalty stays that of the coefficients
in the units of the data.
"""

from functools import cache

import numpy as np
from scipy import sparse
from scipy.special import log_softmax, softmax

from skalgos.linear_model._checkered import kernels
from skalgos.linear_model._checkered.links import posterior_by_logs, rare_parts

# Entries of the logits that are worked on at once: they stay in the cache.
BLOCK = 1 << 15
GRAM_BLOCK = 1 << 16
# Wider second moments are matrix products, which then are quicker.
GRAM_WIDTH = 128
ENDS = np.repeat([[0.0], [1.0]], kernels.STRIP, axis=1)


# ---- rows ----------------------------------------------------------------------------
def canonical_order(X, codes):
    """Return an order of the rows that depends on their values alone.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n, d)
        Sparse rows have sorted indices and no explicit zeros.
    codes : ndarray of shape (n,)
        Classes, the primary key.

    Returns
    -------
    order : ndarray of shape (n,)
    first : ndarray of shape (n,), bool
        Whether a row, in that order, differs from the one before it.
    """
    n, d = X.shape
    # A projection on which different rows differ, but for coincidences. Its terms are
    # added in the order of the columns: equal rows get equal sums, to the last bit.
    directions = np.random.RandomState(0).uniform(0.5, 1, d)
    if sparse.issparse(X):
        key = X @ directions
    else:
        key = np.zeros(n)
        for column, direction in zip(X.T, directions, strict=True):
            key += column * direction
    order = np.argsort(key)
    order = order[np.argsort(codes[order], kind="stable")]
    tied = (np.diff(key[order]) == 0) & (np.diff(codes[order]) == 0)
    first = np.ones(n, dtype=bool)
    if tied.any():
        later = np.flatnonzero(tied) + 1
        rows = X[order[later]] != X[order[later - 1]]
        if sparse.issparse(rows):
            differ = rows.sum(axis=1).astype(bool)
        else:
            differ = rows.any(axis=1)
        if differ.any():
            # Coincidences: look at the values themselves, among tied rows.
            members = np.union1d(later, later - 1)
            values = X[order[members]]
            values = values.toarray() if sparse.issparse(values) else values
            among = order[members]
            inner = np.lexsort((*values.T[::-1], key[among], codes[among]))
            order[members] = among[inner]
            values = values[inner]
            changed = np.ones(len(members), dtype=bool)
            changed[1:] = (values[1:] != values[:-1]).any(axis=1)
            changed[1:] |= np.diff(codes[order[members]]) != 0
            first[members] = changed
        else:
            first[later] = False
    return order, first


class Design:
    """Standardised features, with a row for each feature and a column for each sample.

    Parameters
    ----------
    X : {ndarray, csr_array} of shape (n, d)
        A sparse array is kept as it is, and standardised in the coefficients.
    center, scale : ndarray of shape (d,)
    intercept : bool
    """

    def __init__(self, X, center, scale, intercept):
        self._name(X, center, scale, intercept)
        if not self._sparse:
            columns = self._transposed(X, intercept)
            columns[: self.d] -= center[:, None]
            columns[: self.d] *= (1 / scale)[:, None]
            self._columns = columns

    def _name(self, X, center, scale, intercept):
        self.n, self.d = X.shape
        self.width = self.d + intercept
        self.intercept = intercept
        self.center, self.scale = center, scale
        self._sparse = sparse.issparse(X)
        if self._sparse:
            self._rows = X

    @staticmethod
    def _transposed(X, intercept):
        columns = np.empty((X.shape[1] + intercept, X.shape[0]))
        columns[: X.shape[1]] = X.T
        columns[X.shape[1] :] = 1
        return columns

    @classmethod
    def standardised(cls, X, weights, intercept, penalty=0.0):
        """Return the design whose features have mean 0 and mean square 1.

        Without an intercept features are only scaled. Constant ones are left alone, and
        features that the penalty holds back more than the data are scaled by it: else
        it would make the problem ill-conditioned.
        """
        share = weights / weights.sum()
        if sparse.issparse(X):
            mean = X.T @ share if intercept else np.zeros(X.shape[1])
            squares = X.multiply(X).T @ share - mean**2
            size = np.abs(X).max(axis=0).toarray().ravel()
        else:
            columns = cls._transposed(X, intercept)
            features = columns[: X.shape[1]]
            size = np.maximum(features.max(axis=1), -features.min(axis=1))
            mean = np.zeros(X.shape[1])
            if intercept:
                mean = features @ share
                features -= mean[:, None]
            squares = np.einsum("ij,ij,j->i", features, features, share)
        constant = squares <= (1e-7 * size) ** 2
        scale = np.sqrt(np.where(constant, 1.0, squares + 4 * penalty))
        design = cls.__new__(cls)
        design._name(X, mean, scale, intercept)
        if not design._sparse:
            features *= (1 / scale)[:, None]
            design._columns = columns
        return design

    def take(self, index):
        """Return the design of some samples."""
        part = Design.__new__(Design)
        vars(part).update(vars(self), n=len(index))
        if self._sparse:
            part._rows = self._rows[index]
        else:
            part._columns = self._columns.take(index, axis=1)
        return part

    def dense(self):
        """Return the design with its features in a dense array."""
        if not self._sparse:
            return self
        rows = self._rows.toarray()
        return Design(rows, self.center, self.scale, self.intercept)

    @property
    def columns(self):
        """The dense features, of shape (width, n)."""
        return self._columns

    def blocks(self, height):
        """Yield slices of the samples, for arrays of so many rows."""
        size = self.n if self._sparse else max(256, BLOCK // height)
        for start in range(0, self.n, size):
            yield slice(start, min(start + size, self.n))

    def forms(self, V, block, out):
        """Fill out, of shape (len(V), samples), with the values of the linear forms."""
        if self._sparse:
            W, b = self.to_units(V)
            out[...] = (self._rows @ W.T + b).T
        else:
            np.matmul(V, self._columns[:, block], out=out)

    def adjoint(self, G, block):
        """Return the sums of the samples with the rows of G as weights."""
        if not self._sparse:
            return G @ self._columns[:, block].T
        sums = G.sum(axis=1)
        out = np.empty((len(G), self.width))
        raw = (self._rows.T @ G.T).T
        out[:, : self.d] = (raw - sums[:, None] * self.center) / self.scale
        if self.intercept:
            out[:, self.d] = sums
        return out

    def gram(self, H, block):
        """Return the sums of x x' with the rows of H as weights."""
        n_pairs = len(H)
        if self._sparse:
            return np.stack([self._sparse_gram(h) for h in H])
        width = self.width
        if width <= GRAM_WIDTH:
            out = np.empty((n_pairs, width, width))
            scratch = np.empty((2, kernels.STRIP))
            kernels.grams(self._columns, block.start, H, scratch, out)
            row, column = pairs(width)
            out[:, row, column] = out[:, column, row]
            return out
        columns = self._columns[:, block]
        out = np.zeros((n_pairs, width, width))
        step = max(64, GRAM_BLOCK // width)
        for start in range(0, columns.shape[1], step):
            part = columns[:, start : start + step]
            for h, total in zip(H[:, start : start + step], out, strict=True):
                total += (h * part) @ part.T
        return out

    def _sparse_gram(self, h):
        X, d = self._rows, self.d
        total, sums = h.sum(), X.T @ h
        out = np.empty((self.width, self.width))
        raw = (X.T @ X.multiply(h[:, None]).tocsr()).toarray()
        moved = np.outer(self.center, sums)
        raw += total * np.outer(self.center, self.center) - moved - moved.T
        out[:d, :d] = raw / np.outer(self.scale, self.scale)
        if self.intercept:
            out[d, :d] = out[:d, d] = (sums - total * self.center) / self.scale
            out[d, d] = total
        return out

    def to_units(self, V):
        """Return coefficients and intercepts in the units of the data."""
        W = V[..., : self.d] / self.scale
        if not self.intercept:
            return W, np.zeros(V.shape[:-1])
        return W, V[..., self.d] - W @ self.center

    def from_units(self, W, b):
        """Return the linear forms with these coefficients and intercepts."""
        V = np.empty((*W.shape[:-1], self.width))
        V[..., : self.d] = W * self.scale
        if self.intercept:
            V[..., self.d] = b + W @ self.center
        return V


@cache
def pairs(n):
    """Return the rows and the columns of the upper triangle of a matrix."""
    return np.triu_indices(n)


# ---- objectives ----------------------------------------------------------------------
class Objective:
    """The penalised mean loss as a function of flat parameters.

    They are the linear forms, and the logit of the noise factor if it is fitted. The
    noise factor is a further factor, the same for all samples.

    Parameters
    ----------
    design : Design
    labels : ndarray of shape (n,)
    weights : ndarray of shape (n,)
        All positive; their sum is scaled to 1.
    penalty : float
        Of half the square of each coefficient, in the units of the data.
    shape : tuple of int
        Of the linear forms: (m,), or (m, K).
    noise : None, float or "fit"
        The logit of the noise factor.
    """

    def __init__(self, design, labels, weights, penalty, shape, noise=None):
        self.design, self.labels = design, labels
        self.weights = weights / weights.sum()
        self.shape, self.noise = shape, noise
        self.n_forms = int(np.prod(shape))
        self.size = self.n_forms * design.width + (noise == "fit")
        self.penalty = np.zeros(design.width)
        self.penalty[: design.d] = penalty / design.scale**2
        self._buffers = {}

    def replace(self, **changes):
        """Return a copy with buffers of its own, and other attributes."""
        copy = type(self).__new__(type(self))
        vars(copy).update(vars(self), _buffers={}, **changes)
        copy.n_forms = int(np.prod(copy.shape))
        copy.size = copy.n_forms * copy.design.width + (copy.noise == "fit")
        return copy

    def take(self, index, weights):
        """Return the objective over some samples, with weights of their own."""
        return self.replace(
            design=self.design.take(index),
            labels=self.labels[index],
            weights=weights / weights.sum(),
        )

    def select(self, models):
        """Return a copy for some of the models that are evaluated together."""
        return self.replace()

    def logits(self, V):
        """Return the logits of all samples, of shape (m, n) or (m, K, n)."""
        Z = np.empty((self.n_forms, self.design.n))
        for block in self.design.blocks(self.n_forms):
            part = np.empty((self.n_forms, block.stop - block.start))
            self.design.forms(V.reshape(self.n_forms, -1), block, part)
            Z[:, block] = part
        return Z.reshape(*self.shape, -1)

    def unpack(self, theta):
        """Return the linear forms, of shape (..., forms, width), and the noise."""
        n = self.n_forms * self.design.width
        V = theta[..., :n].reshape(*theta.shape[:-1], self.n_forms, -1)
        return V, theta[..., -1] if self.noise == "fit" else self.noise

    def __call__(self, theta, hessian=False):
        """Return the value and the gradient for each row of theta, and the Hessian.

        Parameters
        ----------
        theta : ndarray of shape (s, size)
        hessian : bool
            Only with a single row.
        """
        V, noise = self.unpack(theta)
        design, n_models = self.design, len(theta)
        forms = np.ascontiguousarray(V.reshape(-1, design.width))
        values = np.zeros(n_models)
        G = np.zeros((n_models * self.n_forms, design.width))
        noise_gradient = 0.0
        curvature = None
        for block in design.blocks(n_models * self.n_forms):
            Z = self._logits(forms, noise, block, n_models)
            loss, g = self._link(Z, block)
            values += loss
            rows = g[:, : self.shape[0]].reshape(n_models * self.n_forms, -1)
            G += design.adjoint(rows, block)
            if self.noise == "fit":
                noise_gradient += self._noise_row(g[0]).sum()
            if hessian:
                part = self._curvature(block)
                curvature = part if curvature is None else curvature + part
        pull = forms * self.penalty
        G += pull
        pull *= forms
        values += 0.5 * pull.reshape(n_models, -1).sum(axis=1)
        n = self.n_forms * design.width
        if self.noise == "fit":
            gradient = np.empty_like(theta)
            gradient[:, :n] = G.reshape(n_models, n)
        else:
            gradient = G.reshape(n_models, n)
        if self.noise == "fit":
            gradient[:, -1] = noise_gradient
        if not hessian:
            return values, gradient
        diagonal = np.arange(n)
        curvature[diagonal, diagonal] += np.tile(self.penalty, self.n_forms)
        self._pin(curvature)
        return values, gradient, curvature

    def _logits(self, forms, noise, block, n_models):
        n = block.stop - block.start
        height = self.shape[0] + (noise is not None)
        Z = self._buffer("Z", n_models, height, *self.shape[1:], n)
        if noise is None:
            self.design.forms(forms, block, Z.reshape(-1, n))
        else:
            # One model: its forms are the first rows.
            self.design.forms(forms, block, Z.reshape(-1, n)[: self.n_forms])
            self._set_noise(Z[0, -1], noise)
        return Z

    def _buffer(self, name, *shape):
        key = name, shape
        if key not in self._buffers:
            self._buffers[key] = np.empty(shape)
        return self._buffers[key]

    def _curvature(self, block):
        """Return the Hessian of the mean loss over a block just evaluated."""
        H, n_rows = self._pairs(block)
        width, R = self.design.width, self.n_forms
        if n_rows == 1:
            return self.design.gram(H, block)[0]
        out = np.zeros((self.size, self.size))
        first, second = pairs(n_rows)
        inner = second < R
        blocks = self.design.gram(H[inner] if n_rows > R else H, block)
        full = out[: R * width, : R * width].reshape(R, width, R, width)
        full[first[inner], :, second[inner]] = blocks
        full[second[inner], :, first[inner]] = blocks
        if self.noise == "fit":
            noise = self._noise_index
            edge = (second == noise) & (first < R)
            column = self.design.adjoint(H[edge], block).ravel()
            out[-1, :-1] = out[:-1, -1] = column
            out[-1, -1] = H[(second == noise) & (first == noise)].sum()
        return out

    def posterior(self, theta):
        """Return P(factor k has value 1), or value c, given the labels.

        Returns
        -------
        q : ndarray of shape (m, n), or (m, K, n)
        """
        V, noise = self.unpack(theta)
        n = self.design.n
        q = np.empty((*self.shape, n))
        for block in self.design.blocks(self.n_forms):
            Z = self._logits(np.ascontiguousarray(V), noise, block, 1)
            prior = self._prior(Z[0, : self.shape[0]].copy())
            _, G = self._link(Z, block)
            gradient = G[0, : self.shape[0]] / self.weights[block]
            q[..., block] = np.clip(prior - gradient, 0, 1)
        return q


class BinaryObjective(Objective):
    """For labels -1 and 1."""

    @property
    def _noise_index(self):
        return self.shape[0]

    @staticmethod
    def _set_noise(row, noise):
        row[...] = noise

    @staticmethod
    def _noise_row(g):
        return g[-1]

    @staticmethod
    def _prior(Z):
        return 0.5 * (1 + np.tanh(0.5 * Z))

    def _link(self, Z, block):
        n_models, _, n = Z.shape
        U, G = self._buffer("U", *Z.shape), self._buffer("G", *Z.shape)
        P, L = self._buffer("P", n_models, n), self._buffer("L", n_models, n)
        suffix = self._buffer("suffix", kernels.STRIP)
        deep = np.empty(n_models, np.int64)
        np.abs(Z, out=U)
        np.negative(U, out=U)
        np.exp(U, out=U)
        y, w = self.labels[block], self.weights[block]
        kernels.parity(Z, U, y, w, P, L, suffix, deep, G)
        logs = self._buffer("log", n_models, n)
        if deep.any():
            self._rescale(Z, U, P, logs, w, G)
        else:
            np.log(P, out=logs)
        return -np.einsum("si,si->s", L, logs), G

    @staticmethod
    def _rescale(Z, E, P, logs, w, G):
        """Take logarithms, and redo wrong labels of vanishing probability.

        Their P and E are then relative to the largest e_k, and E is negative to say so.
        All t_k are 1 or -1 here.
        """
        s, i = np.nonzero(P < kernels.TINY)
        with np.errstate(divide="ignore"):
            np.log(P, out=logs)
        z = Z[s, :, i].T
        a, f, rho = rare_parts(z)
        P[s, i], E[s, :, i], logs[s, i] = rho, -f.T, np.log(rho) - a
        G[s, :, i] = np.copysign(w[i] * f / rho, z).T

    def _pairs(self, block):
        m = self.shape[0] + (self.noise is not None)
        n = block.stop - block.start
        Z, E = self._buffer("Z", 1, m, n), self._buffer("U", 1, m, n)
        G, H = self._buffer("G", 1, m, n), self._buffer("H", m * (m + 1) // 2, n)
        y, w = self.labels[block], self.weights[block]
        kernels.parity_hessian(Z[0], E[0], G[0], y, w, self._buffer("P", 1, n)[0], H)
        return H, m

    def _pin(self, curvature):
        """Two classes have one form each, which nothing leaves undetermined."""


class CircularObjective(Objective):
    """For labels 0 to K - 1, in runs.

    Parameters
    ----------
    residues : ndarray of shape (K,) or (s, K)
        The residue modulo K that each class stands for; in a row for each model, or the
        same for all.
    """

    def __init__(
        self, design, labels, weights, penalty, shape, noise=None, *, residues
    ):
        super().__init__(design, labels, weights, penalty, shape, noise)
        self.residues = np.atleast_2d(residues)

    def select(self, models):
        """Return a copy for some of the models that are evaluated together."""
        return self.replace(residues=self.residues[models])

    @property
    def _noise_index(self):
        return self.n_forms

    @staticmethod
    def _set_noise(rows, noise):
        rows[0] = noise
        rows[1:] = 0

    @staticmethod
    def _noise_row(g):
        return g[-1, 0]

    @staticmethod
    def _prior(Z):
        return softmax(Z, axis=1)

    def _residues(self, n_models):
        if len(self.residues) == n_models:
            return self.residues
        return np.repeat(self.residues, n_models, axis=0)

    def _link(self, Z, block):
        n_models, m, K, n = Z.shape
        S, G = self._buffer("S", *Z.shape), self._buffer("G", *Z.shape)
        np.subtract(Z, Z.max(axis=2, keepdims=True), out=S)
        np.exp(S, out=S)
        P, F = self._buffer("P", n_models, n), self._buffer("F", m, K, kernels.STRIP)
        B, deep = self._buffer("B", 2, K, kernels.STRIP), np.empty(n_models, np.int64)
        codes, w = self.labels[block], self.weights[block]
        residues = self._residues(n_models)
        kernels.circular(S, codes, residues, w, P, F, B, ENDS, deep, G)
        logs = self._buffer("log", n_models, n)
        if deep.any():
            self._rescale(Z, S, residues[:, codes], w, P, logs, G)
        else:
            np.log(P, out=logs)
        return -logs @ w, G

    @staticmethod
    def _rescale(Z, S, residues, w, P, logs, G):
        """Take logarithms, and redo labels of vanishing probability by them."""
        s, i = np.nonzero(P < kernels.TINY)
        with np.errstate(divide="ignore"):
            np.log(P, out=logs)
        log_p, posterior = posterior_by_logs(Z[s, :, :, i], residues[s, i])
        logs[s, i] = log_p
        G[s, :, :, i] = w[i, None, None] * (S[s, :, :, i] - posterior)

    def _pairs(self, block):
        """Return the second derivatives with respect to the logits, times w.

        They are the prior minus the posterior covariance of the one-hot values of all
        factors. Where the probability of the label vanishes, one configuration has all
        of the posterior, and that covariance between factors is zero.
        """
        m, K = self.shape[0] + (self.noise is not None), self.shape[1]
        n, rows = block.stop - block.start, m * K
        S, G = self._buffer("S", 1, m, K, n)[0], self._buffer("G", 1, m, K, n)[0]
        w, P = self.weights[block], self._buffer("P", 1, n)[0]
        H = self._buffer("H", rows * (rows + 1) // 2, n)
        place = np.empty((rows, rows), np.intp)
        place[pairs(rows)] = np.arange(len(H))
        place = place.reshape(m, K, m, K)
        known = np.where(P < kernels.TINY, 0, w)
        Q = S - G / w
        residues = self._residues(1)[0][self.labels[block]]
        left = (residues - np.arange(K)[:, None]) % K
        total = np.add.outer(np.arange(K), np.arange(K)) % K
        for j in range(m):
            for a in range(K):
                part = Q[j, a] * Q[j, a:] - S[j, a] * S[j, a:]
                part *= w
                part[0] += G[j, a]
                H[place[j, a, j, a:]] = part
            for k in range(j + 1, m):
                law = np.zeros((K, n))
                law[0] = known / np.maximum(P, kernels.TINY)
                for i in set(range(m)) - {j, k}:
                    law = sum(law[c] * np.roll(S[i], c, axis=0) for c in range(K))
                law = np.take_along_axis(law, left, axis=0)
                part = Q[j, :, None] * (known * Q[k])
                part -= S[j, :, None] * S[k] * law[total]
                H[place[j, :, k]] = part
        return H, rows

    def _pin(self, curvature):
        """Make the Hessian definite where all K forms of a factor move together.

        The loss does not see that. From forms that sum to zero it changes no step.
        """
        m, K = self.shape
        width = self.design.width
        n = m * K * width
        size = np.trace(curvature[:n, :n]) / n
        blocks = curvature[:n, :n].reshape(m, K, width, m, K, width)
        np.einsum("kawkbw->kabw", blocks)[...] += size / K


class SoftObjective:
    """The penalised mean of m separate cross-entropies with soft targets.

    It is what the loss becomes when the posterior of the factors is held fixed: an
    upper bound, up to a constant, and convex. Its gradient is the cross-gradient.

    Parameters
    ----------
    objective : Objective
        Its noise must be fixed or absent.
    targets : ndarray of shape (m, n), or (m, K, n)
    """

    def __init__(self, objective, targets):
        self.objective, self.targets = objective, targets

    def __call__(self, theta, hessian=False):
        """Return value and gradient, as rows, and the Hessian of each factor."""
        objective, design = self.objective, self.objective.design
        V, _ = objective.unpack(theta[0])
        w = objective.weights
        Z, q = objective.logits(V), self.targets
        if len(objective.shape) == 1:
            P = objective._prior(Z)
            value = ((np.logaddexp(0, Z) - q * Z) @ w).sum()
        else:
            P = softmax(Z, axis=1)
            value = -((q * log_softmax(Z, axis=1)) @ w).sum()
        whole = slice(0, design.n)
        residual = (w * (P - q)).reshape(objective.n_forms, -1)
        G = design.adjoint(residual, whole) + V * objective.penalty
        value += 0.5 * float((V * V @ objective.penalty).sum())
        if not hessian:
            return np.array([value]), G.reshape(1, -1)
        return np.array([value]), G.reshape(1, -1), self._blocks(P * 1.0, whole)

    def _blocks(self, P, whole):
        """Return the Hessian of each factor, of shape (m, size, size)."""
        objective = self.objective
        width, w = objective.design.width, objective.weights
        blocks = []
        for p in P:
            if p.ndim == 1:
                H = objective.design.gram((w * p * (1 - p))[None], whole)[0]
                n_rows = 1
            else:
                n_rows = len(p)
                first, second = np.triu_indices(n_rows)
                pairs = -p[first] * p[second]
                pairs[first == second] += p
                parts = objective.design.gram(w * pairs, whole)
                full = np.empty((n_rows, width, n_rows, width))
                full[first, :, second] = parts
                full[second, :, first] = parts
                H = full.reshape(n_rows * width, -1)
                size = np.trace(H) / len(H)
                H += np.kron(np.full((n_rows, n_rows), size / n_rows), np.eye(width))
            diagonal = np.arange(len(H))
            H[diagonal, diagonal] += np.tile(objective.penalty, n_rows)
            blocks.append(H)
        return blocks
