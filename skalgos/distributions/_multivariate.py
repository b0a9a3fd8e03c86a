"""The multivariate normal distribution."""

import numpy as np
from sklearn.utils import check_random_state

from skalgos.distributions._base import Distribution, PredictiveDistribution


class MultivariateNormal(Distribution):
    """Multivariate normal distribution of ``n_outputs`` values.

    The internal parameters are the means, and the lower triangle of L with the
    precision matrix L L', its diagonal in logarithms. The natural gradient has a closed
    form of sums of products: no system of equations is solved.

    Parameters
    ----------
    n_outputs : int, default=2
        How many values each row has.

    Examples
    --------
    >>> import numpy as np
    >>> from skalgos.distributions import MultivariateNormal
    >>> family = MultivariateNormal(2)
    >>> theta = family.fit_marginal(np.array([[0.0, 2.0, 4.0], [1.0, 1.0, 4.0]]))
    >>> family.mean(theta[:, None])
    array([[2.],
           [2.]])
    """

    rules = ("log",)

    def __init__(self, n_outputs=2):
        self.n_outputs = n_outputs

    @property
    def _triangle(self):
        return np.tril_indices(self.n_outputs)

    @property
    def theta_names(self):
        """Names of the internal parameters."""
        entries = zip(*self._triangle, strict=True)
        means = [f"loc_{i}" for i in range(self.n_outputs)]
        lower = [f"log_L_{i}{j}" if i == j else f"L_{i}{j}" for i, j in entries]
        return (*means, *lower)

    @property
    def param_names(self):
        """Names of the parameters: those inside, which are unique."""
        return self.theta_names

    @property
    def spread(self):
        """Which internal parameters say how far values spread: the logarithms."""
        return self.bounded

    @property
    def bounded(self):
        """Which internal parameters are logarithms."""
        i, j = self._triangle
        return (*[False] * self.n_outputs, *(i == j))

    def in_support(self, y):
        """Return a mask of the rows that are finite."""
        return np.isfinite(y).all(axis=0)

    def to_params(self, theta):
        """Return the internal parameters as they are."""
        return tuple(theta)

    def from_params(self, *params):
        """Return the internal parameters as they are."""
        return params

    def _L(self, theta):
        """Return L with shape (n_outputs, n_outputs, n_samples)."""
        k = self.n_outputs
        L = np.zeros((k, k, theta.shape[1]))
        i, j = self._triangle
        L[i, j] = theta[k:]
        diagonal = np.arange(k)
        L[diagonal, diagonal] = np.exp(L[diagonal, diagonal])
        return L

    def _eta(self, theta, y):
        L = self._L(theta)
        d = theta[: self.n_outputs] - y
        return L, d, np.einsum("ijn,in->jn", L, d)

    def log_score(self, theta, y):
        """Return minus the log density of each row; y has shape (n_outputs, n)."""
        k = self.n_outputs
        _, _, eta = self._eta(theta, y)
        i, j = self._triangle
        log_det = theta[k:][i == j].sum(axis=0)
        return 0.5 * (eta**2).sum(axis=0) - log_det + 0.5 * k * np.log(2 * np.pi)

    def log_gradient(self, theta, y):
        """Return the derivatives of ``log_score`` by theta."""
        L, d, eta = self._eta(theta, y)
        by_mean = np.einsum("ijn,jn->in", L, eta)
        rows = [
            L[i, i] * d[i] * eta[i] - 1 if i == j else d[i] * eta[j]
            for i, j in zip(*self._triangle, strict=True)
        ]
        return np.vstack([by_mean, rows])

    def log_metric(self, theta):
        """Return the Fisher information, shape (K, K, n_samples)."""
        k = self.n_outputs
        L = self._L(theta)
        K = len(theta)
        out = np.zeros((K, K, theta.shape[1]))
        out[:k, :k] = np.einsum("ijn,kjn->ikn", L, L)
        sigma = np.linalg.inv(out[:k, :k].transpose(2, 0, 1)).transpose(1, 2, 0)
        entries = list(zip(*self._triangle, strict=True))
        for a, (i, j) in enumerate(entries):
            for b, (m, n) in enumerate(entries):
                if j != n:
                    continue
                value = sigma[i, m].copy()
                if i == j == m:
                    value += 1 / L[j, j] ** 2
                # The diagonal of L is a logarithm.
                value *= L[j, j] if i == j else 1.0
                value *= L[j, j] if m == j else 1.0
                out[k + a, k + b] = value
        return out

    def natural_gradient(self, theta, y, rule="log"):
        """Return the natural gradient, in closed form."""
        L, d, eta = self._eta(theta, y)
        rows = list(d)
        for i, j in zip(*self._triangle, strict=True):
            if i == j:
                rows.append((eta[j] ** 2 - 1) / 2)
            else:
                inner = (L[i, j : i + 1] * eta[j : i + 1]).sum(axis=0)
                rows.append(eta[j] * inner - L[i, j] * (1 + eta[j] ** 2) / 2)
        return np.array(rows)

    def fit_marginal(self, y, w=None, rule="log"):
        """Return theta of the weighted means and covariance."""
        w = np.ones(y.shape[1]) if w is None else w
        loc = y @ w / w.sum()
        d = y - loc[:, None]
        covariance = (d * w) @ d.T / w.sum()
        # As for one output: a constant, or a sum of others, gets a little width.
        size = np.maximum(np.diag(covariance), (1e-6 * loc) ** 2)
        covariance += np.diag(np.maximum(1e-9 * size, 1e-24))
        L = np.linalg.cholesky(np.linalg.inv(covariance))
        i, j = self._triangle
        entries = L[i, j]
        entries[i == j] = np.log(entries[i == j])
        return np.append(loc, entries)

    def mean(self, theta):
        """Return the means, shape (n_outputs, n_samples)."""
        return theta[: self.n_outputs].copy()

    def covariance(self, theta):
        """Return the covariance matrices, shape (n_samples, n_outputs, n_outputs)."""
        L = self._L(theta)
        precision = np.einsum("ijn,kjn->nik", L, L)
        return np.linalg.inv(precision)


class MultivariatePrediction(PredictiveDistribution):
    """What ``predict_dist`` returns for several outputs.

    Parameters
    ----------
    family : MultivariateNormal
        The family.
    theta : ndarray of shape (K, n_samples)
        The internal parameters.
    """

    def to_scipy(self):
        """Refuse: scipy has no array of multivariate normal distributions."""
        raise AttributeError(
            "There is no array of multivariate normal distributions in scipy.stats; "
            "use mean, covariance, marginal and rvs."
        )

    def mean(self):
        """Return the means.

        Returns
        -------
        mean : ndarray of shape (n_samples, n_outputs)
        """
        return self.family.mean(self.theta).T

    def covariance(self):
        """Return the covariance matrices.

        Returns
        -------
        covariance : ndarray of shape (n_samples, n_outputs, n_outputs)
        """
        return self.family.covariance(self.theta)

    def var(self):
        """Return the variances.

        Returns
        -------
        var : ndarray of shape (n_samples, n_outputs)
        """
        return np.diagonal(self.covariance(), axis1=1, axis2=2)

    def marginal(self, output):
        """Return the distribution of one output.

        Parameters
        ----------
        output : int

        Returns
        -------
        distribution : PredictiveDistribution
        """
        from skalgos.distributions._location_scale import Normal

        return Normal()(loc=self.mean()[:, output], scale=self.std()[:, output])

    def logpdf(self, y):
        """Return the log densities.

        Parameters
        ----------
        y : array-like of shape (n_samples, n_outputs)

        Returns
        -------
        logpdf : ndarray of shape (n_samples,)
        """
        return -self.nll(y)

    def nll(self, y):
        """Return the log score of each row.

        Parameters
        ----------
        y : array-like of shape (n_samples, n_outputs)

        Returns
        -------
        nll : ndarray of shape (n_samples,)
        """
        return self.family.log_score(self.theta, np.asarray(y, float).T)

    def entropy(self):
        """Return the entropies, in nats.

        Returns
        -------
        entropy : ndarray of shape (n_samples,)
        """
        k = self.family.n_outputs
        i, j = self.family._triangle
        log_det = self.theta[k:][i == j].sum(axis=0)
        return 0.5 * k * (1 + np.log(2 * np.pi)) - log_det

    def rvs(self, size=None, random_state=None):
        """Draw values.

        Parameters
        ----------
        size : int, default=None
            How many for each row; None is one, without an axis for it.
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        values : ndarray of shape (n_samples, n_outputs) or (size, n_samples, n_outputs)
        """
        rng = check_random_state(random_state)
        root = np.linalg.cholesky(self.covariance())
        shape = (1 if size is None else size, len(self), self.family.n_outputs)
        noise = np.einsum("nij,snj->sni", root, rng.standard_normal(shape))
        values = self.mean() + noise
        return values[0] if size is None else values

    def __getitem__(self, rows):
        picked = super().__getitem__(rows)
        return MultivariatePrediction(self.family, picked.theta)
