"""The dictionary as the solvers see it: weighted, centred, of unit columns."""

import numpy as np
from scipy import sparse

# Entries of X that are converted or centred at a time.
ENTRIES_AT_ONCE = 1 << 21


class Design:
    """Columns ``sqrt(weights) * (X_j - mean_j) * scale_j`` of unit norm; X stays as is.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n, p)
        Real or complex, any float type; sums are in double precision.
    weights : ndarray of shape (n,) or None
        How often each row counts; None is once.
    centre : bool
        Whether columns lose their weighted mean.

    Attributes
    ----------
    total : float
        The sum of the weights.
    mean : ndarray of shape (p,) or None
    scale : ndarray of shape (p,)
        The reciprocal of the norm of each weighted and centred column; 0 if the column
        is zero up to rounding.
    """

    def __init__(self, X, weights=None, centre=False):
        self.X = X
        self.shape = X.shape
        self.dtype = np.complex128 if X.dtype.kind == "c" else np.float64
        self.weights = weights
        self.root = None if weights is None else np.sqrt(weights)
        self.total = float(X.shape[0] if weights is None else weights.sum())
        ones = np.ones((X.shape[0], 1)) if weights is None else weights[:, None]
        self.mean = None
        squares = self._squares(ones[:, 0])
        norms = squares
        if centre:
            self.mean = self._products(ones)[:, 0].conj() / self.total
            lost = self.total * np.abs(self.mean) ** 2
            norms = squares - lost
            # What cancels is computed again, from the centred columns.
            doubtful = np.flatnonzero((norms < 1e-3 * squares) & (squares > 0))
            for part in self._parts(doubtful):
                block = self._centred(part)
                norms[part] = np.einsum("ij,ij->j", block.conj(), block).real
            rounding = (16 * np.finfo(X.dtype).eps) ** 2 * squares
            norms = np.where(norms > rounding, norms, 0.0)
        self.norms = np.sqrt(norms)
        self.scale = np.divide(
            1.0, self.norms, out=np.zeros(self.shape[1]), where=self.norms > 0
        )

    def _parts(self, indices):
        step = max(1, ENTRIES_AT_ONCE // max(1, self.shape[0]))
        return [indices[i : i + step] for i in range(0, len(indices), step)]

    def _row_blocks(self):
        """Yield slices of rows, and these rows in double precision."""
        n, p = self.shape
        step = n if self.X.dtype == self.dtype else max(1, ENTRIES_AT_ONCE // p)
        for start in range(0, n, step):
            rows = slice(start, start + step)
            yield rows, self.X[rows].astype(self.dtype, copy=False)

    def _squares(self, weights):
        if sparse.issparse(self.X):
            power = abs(self.X).power(2)
            return np.asarray(power.T @ weights, dtype=np.float64).ravel()
        squares = np.zeros(self.shape[1])
        for rows, block in self._row_blocks():
            if self.weights is not None:
                block = block * self.root[rows, None]
            if self.dtype == np.complex128:
                squares += np.einsum("ij,ij->j", block.real, block.real)
                squares += np.einsum("ij,ij->j", block.imag, block.imag)
            else:
                squares += np.einsum("ij,ij->j", block, block)
        return squares

    def _products(self, R):
        """Return X^H R."""
        if sparse.issparse(self.X):
            return np.asarray(self.X.conj().T @ R)
        total = None
        for rows, block in self._row_blocks():
            # Rows of R times X, so that X is read along its rows; and numpy would
            # conjugate a copy of X, so the smaller factors are conjugated instead.
            factor = np.ascontiguousarray(R[rows].T)
            if block.dtype.kind == "c":
                product = (factor.conj() @ block).conj().T
            else:
                product = (factor @ block).T
            total = product if total is None else total + product
        return total

    def _centred(self, indices):
        block = self.X[:, indices]
        block = block.toarray() if sparse.issparse(block) else block
        block = np.array(block, dtype=self.dtype, order="F")
        if self.mean is not None:
            block -= self.mean[indices]
        if self.root is not None:
            block *= self.root[:, None]
        return block

    def columns(self, indices):
        """Return some columns, shape (n, len(indices)), in Fortran order."""
        block = self._centred(indices)
        block *= self.scale[indices]
        return block

    def response(self, Y):
        """Return the weighted and centred responses, and their mean or None.

        What is constant up to rounding is zero once it is centred.
        """
        Y = np.array(Y, dtype=np.result_type(self.dtype, Y.dtype))
        mean = None
        if self.mean is not None:
            ones = np.ones(len(Y)) if self.weights is None else self.weights
            mean = ones @ Y / self.total
            Y -= mean
        if self.root is not None:
            Y *= self.root[:, None]
        if mean is not None:
            rounding = 16 * np.finfo(np.float64).eps * np.abs(mean)
            Y[:, np.abs(Y).max(axis=0) <= rounding * np.sqrt(self.total)] = 0.0
        return Y, mean

    def adjoint(self, R):
        """Return the inner products of all columns with those of R, shape (p, m)."""
        if self.root is not None:
            R = self.root[:, None] * R
        out = self._products(R)
        if self.mean is not None:
            out -= self.mean.conj()[:, None] * R.sum(axis=0)
        out *= self.scale[:, None]
        return out
