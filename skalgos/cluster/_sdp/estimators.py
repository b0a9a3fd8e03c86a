"""K-means and likelihood-adjusted clustering by semidefinite programs."""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy.special import logsumexp
from sklearn.base import (
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from skalgos._base import SkalEstimator
from skalgos._compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    _fit_context,
    check_sample_weight,
)
from skalgos._tasks import fit_task
from skalgos._threads import chunk_map, n_threads

# The exact solver up to so many distinct samples times clusters for each matrix.
ADMM_SAMPLES = 200
# All samples take part up to here; beyond, a sketch and the nearest cluster.
SKETCH_FROM = 20_000
# The certificate with known covariances takes a matrix of this squared.
CERTIFY_SAMPLES = 2000


class _SDPClusterer(CallbackSupportMixin, ClusterMixin, SkalEstimator):
    """What both estimators do alike."""

    def _checked(self, X, sample_weight):
        from skalgos.cluster._sdp.canonical import distinct_rows

        X = validate_data(self, X, dtype=[np.float64, np.float32], order="C")
        weights = check_sample_weight(sample_weight, X, np.float64)
        n_present = np.count_nonzero(weights)
        if n_present < self.n_clusters:
            raise ValueError(
                f"n_samples={n_present} with a weight above 0 should be >= "
                f"n_clusters={self.n_clusters}."
            )
        distinct = distinct_rows(X.astype(np.float64, copy=False), weights)
        if len(distinct.weights) < self.n_clusters:
            warnings.warn(
                f"Number of distinct samples ({len(distinct.weights)}) is smaller than "
                f"n_clusters ({self.n_clusters}): some clusters are empty.",
                ConvergenceWarning,
                stacklevel=4,
            )
        return X, weights, distinct

    def _new_data(self, X):
        """Return validated samples, features first."""
        check_is_fitted(self)
        X = validate_data(
            self, X, reset=False, dtype=[np.float64, np.float32], order="C"
        )
        return X, np.ascontiguousarray(X.T, dtype=np.float64)

    def _scores(self, columns):
        """Return for each cluster and sample what the nearest cluster has least of."""
        from skalgos.cluster._sdp.gaussians import scores

        model = self._normals()
        with chunk_map(n_threads(self.n_jobs)) as pool_map:
            return scores(columns - self._center[:, None], model, pool_map)

    def predict(self, X):
        """Return the nearest cluster of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        labels : ndarray of shape (n_samples,), int32
            As ``labels_`` for the samples of the fit.
        """
        from skalgos.cluster._sdp.gaussians import nearest

        _, columns = self._new_data(X)
        return nearest(self._scores(columns))[0].astype(np.int32)

    def membership_matrix(self):
        """Return the matrix Z of the relaxed solution.

        Samples i and j of one cluster of size m, and of no other, have the entry 1 / m.
        Every row adds up to 1, with the sample weights.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_samples)
            Rows and columns of samples without weight are 0.

        Raises
        ------
        AttributeError
            If the fit was by a sketch, or of more clusters than distinct samples.
        """
        check_is_fitted(self)
        if not hasattr(self, "embedding_"):
            raise AttributeError(
                "There is no membership matrix: the program was solved for a sketch of "
                "the samples only."
            )
        return self.embedding_ @ self.embedding_.T

    def _set_relaxed(self, relaxed, distinct, labels):
        """Set the attributes that describe the relaxed matrix."""
        h = np.sqrt(distinct.weights)
        factor = relaxed.factor
        place = distinct.place
        embedding = np.where(place < 0, 0.0, (factor / h)[:, place]).T
        self.embedding_ = np.ascontiguousarray(embedding)
        # The share of each row of Z that falls on each cluster.
        own = labels[:, None] == np.arange(self.n_clusters)
        shares = (factor / h).T @ (factor @ (own * h[:, None]))
        self.membership_ = np.where(
            place[:, None] < 0,
            self.labels_[:, None] == np.arange(self.n_clusters),
            shares[place],
        )
        self.primal_residual_ = float(relaxed.primal_residual)
        self.dual_residual_ = float(relaxed.dual_residual)

    def _warn_unless(self, converged, n_iter, parameter, value):
        if not converged and n_iter >= value:
            warnings.warn(
                f"{type(self).__name__} stopped after {parameter}={value} iterations, "
                f"before tol={self.tol} was reached. Increase {parameter} or tol.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _solver_for(self, n):
        if self.solver != "auto":
            return self.solver
        return "sketch" if n > SKETCH_FROM else "nlr"

    def _sketched(self, X, weights, rng):
        from skalgos.cluster._sdp.canonical import priority_sample

        size = max(self.n_sketch, 4 * self.n_clusters)
        if size >= len(weights):
            return X, weights
        rows, weights = priority_sample(weights, size, rng)
        return np.ascontiguousarray(X[:, rows]), weights


class SDPKMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, _SDPClusterer):
    r"""K-means by its semidefinite relaxation, with a bound on what is left to gain.

    Among all partitions K-means looks for the one of least inertia, and stops in the
    nearest local minimum. Peng and Wei's semidefinite program [1]_ replaces partitions
    by matrices Z with the entries :math:`1 / n_k` within a cluster,

    .. math::

        \max_Z \langle X X^\top, Z \rangle \quad \text{subject to} \quad
        Z \succeq 0,\ Z \ge 0,\ Z 1 = 1,\ \operatorname{tr} Z = K,

    which is convex: its optimum is a lower bound on the inertia of every partition.
    Where clusters are well separated the optimum is the best partition itself, and
    ``certified_`` says so. All computations are in double precision.

    Parameters
    ----------
    n_clusters : int, default=8
        The number of clusters K.

    solver : {"auto", "admm", "nlr", "sketch"}, default="auto"
        "admm" solves the program to the optimum, with matrices of n x n. "nlr" looks
        for nonnegative factors of low rank [2]_, in memory and time linear in n; it can
        end below the optimum. "sketch" does so for a random sample of ``n_sketch`` and
        starts K-means on all samples from there [3]_. "auto" is "admm" up to 200
        distinct samples, "sketch" from 20,000, and "nlr" between.

    rank : int, default=2
        The columns of the factor for each cluster, for "nlr" and "sketch".

    max_iter : int, default=5000
        The largest number of iterations of the solver.

    tol : float, default=1e-4
        The tolerance of the residuals of the constraints and, with "admm", of the gap
        between the program and its dual, relative to their sizes.

    n_sketch : int, default=1000
        The number of samples of a sketch.

    random_state : int, RandomState instance or None, default=None
        Determines the start of "nlr" and the sample of "sketch".

    n_jobs : int, default=None
        The number of threads, for the passes of "nlr" and over large data. None means 1
        unless in a :obj:`joblib.parallel_config` context, -1 all cores.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,), int32
        The cluster of each sample, in the order of the clusters' weights.

    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        The means.

    inertia_ : float
        The weighted sum of squared distances to the nearest centers.

    objective_ : float
        The inertia of the relaxed matrix Z; not set by "sketch".

    lower_bound_ : float
        No partition has less inertia: valid whatever the residuals are.

    gap_ : float
        ``(inertia_ - lower_bound_) / inertia_``; 0 if the inertia is 0.

    certified_ : bool
        Whether the labels are proved to be the best partition.

    membership_ : ndarray of shape (n_samples, n_clusters)
        The share of each row of Z that falls on each cluster: 0 and 1 only where the
        relaxation is tight. Not set by "sketch".

    embedding_ : ndarray of shape (n_samples, n_columns)
        A factor of Z; not set by "sketch".

    primal_residual_ : float
        How far the constraints are missed at the end, relative to the size of Z; with
        "nlr" the error of the row sums. Not set by "sketch".

    dual_residual_ : float
        The residual of the dual constraints, relative to the objective's matrix; NaN
        with "nlr", which has none. Not set by "sketch".

    n_iter_ : int
        The number of iterations of the solver.

    converged_ : bool
        Whether the tolerance was reached.

    solver_ : str
        The solver that was used.

    n_features_in_ : int
        The number of features seen in fit.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen in fit, if these are strings.

    See Also
    --------
    LASDP : Clusters of different shapes.
    kmeans_certificate : The proof alone, for labels from anywhere.
    sdp_lower_bound : The bound alone.

    References
    ----------
    .. [1] J. Peng and Y. Wei, "Approximating K-means-type clustering via semidefinite
       programming", SIAM Journal on Optimization 18, 2007.
    .. [2] Y. Zhuang, X. Chen, Y. Yang and R. Y. Zhang, "Statistically optimal K-means
       clustering via nonnegative low-rank semidefinite programming", ICLR 2024.
    .. [3] Y. Zhuang, X. Chen and Y. Yang, "Sketch-and-lift: scalable subsampled
       semidefinite program for K-means clustering", AISTATS 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from skalgos.cluster import SDPKMeans
    >>> X = np.array([[0.0, 0], [0, 1], [1, 0], [9, 9], [9, 8], [8, 9]])
    >>> model = SDPKMeans(2).fit(X)
    >>> model.labels_.tolist(), model.certified_
    ([0, 0, 0, 1, 1, 1], True)
    """

    _parameter_constraints: dict = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "solver": [StrOptions({"auto", "admm", "nlr", "sketch"})],
        "rank": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "n_sketch": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_clusters=8,
        *,
        solver="auto",
        rank=2,
        max_iter=5000,
        tol=1e-4,
        n_sketch=1000,
        random_state=None,
        n_jobs=None,
    ):
        self.n_clusters = n_clusters
        self.solver = solver
        self.rank = rank
        self.max_iter = max_iter
        self.tol = tol
        self.n_sketch = n_sketch
        self.random_state = random_state
        self.n_jobs = n_jobs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _n_features_out(self):
        return len(self.cluster_centers_)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Find clusters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            How much each sample counts, at least 0; None is 1 for all.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with self._all_or_nothing():
            self._fit(X, sample_weight)
        return self

    def _fit(self, X, sample_weight):
        from skalgos.cluster._sdp.certificates import certify_kmeans
        from skalgos.cluster._sdp.gaussians import moments, nearest
        from skalgos.cluster._sdp.programs import (
            Options,
            kmeans_partition,
            relax_kmeans,
        )
        from skalgos.cluster._sdp.rounding import lloyd

        X, weights, distinct = self._checked(X, sample_weight)
        rng = check_random_state(self.random_state)
        K, n = self.n_clusters, len(distinct.weights)
        solver = self._solver_for(n)
        if self.solver == "auto" and n <= ADMM_SAMPLES:
            solver = "admm"
        self._center = np.average(distinct.X, axis=1, weights=distinct.weights)
        columns = distinct.X - self._center[:, None]
        whole = fit_task(
            self, X, sample_weight=weights, max_subtasks=None, sequential=True
        )

        def on_iter(n_iter, objective, primal, dual):
            def attributes():
                return {
                    "n_iter_": n_iter,
                    "objective_": spread - objective,
                    "primal_residual_": primal,
                    "dual_residual_": dual,
                }

            return whole.subtask("iteration").end(attributes)

        relaxed = None
        with chunk_map(n_threads(self.n_jobs), hold_blas=True) as pool_map:
            spread = float(distinct.weights @ np.sum(columns**2, axis=0))
            if K == 1 or n <= K:
                whole.subtask("iteration").end()
                labels, relaxed = _trivial(distinct.weights, K)
            else:
                part, part_weights = columns, distinct.weights
                if solver == "sketch":
                    part, part_weights = self._sketched(columns, part_weights, rng)
                    mean = np.average(part, axis=1, weights=part_weights)
                    part = part - mean[:, None]
                options = Options(
                    "admm" if solver == "admm" else "nlr",
                    self.rank,
                    self.tol,
                    self.max_iter,
                )
                relaxed = relax_kmeans(
                    part, part_weights, K, options, rng, pool_map, on_iter
                )
                polished = kmeans_partition(part, part_weights, relaxed, K, pool_map)
                labels = polished.labels
                if solver == "sketch" and part.shape[1] < n:
                    centers = polished.groups.means + mean
                    labels = _nearest_center(columns, centers, pool_map)
                    polished = lloyd(columns, distinct.weights, labels, K, pool_map)
                    labels = polished.labels
            groups = moments(columns, distinct.weights, labels, K, pool_map)
            groups = _by_size(groups)
            # Empty clusters repeat the last of the others.
            means = groups.means[np.minimum(np.arange(K), n - 1)]
            self._means = means
            self.cluster_centers_ = (means + self._center).astype(X.dtype)
            own = _nearest_center(columns, means, pool_map)
        every = np.ascontiguousarray(X.T, dtype=np.float64)
        self.labels_ = nearest(self._scores(every))[0].astype(np.int32)
        self.inertia_ = float(
            distinct.weights @ np.sum((columns - means[own].T) ** 2, axis=0)
        )
        # Below this the squares are rounding errors of the mean.
        floor = (n * np.finfo(float).eps) ** 2 * (
            distinct.weights.sum() * (spread + np.sum(self._center**2))
        )
        used = np.unique(own, return_inverse=True)[1]
        if n <= K:
            _, bound, certified = self.inertia_, self.inertia_, True
        else:
            _, bound, _, certified = certify_kmeans(columns.T, distinct.weights, used)
            certified = certified and used.max() + 1 == K
        if solver == "sketch" and K > 1 and n > K:
            self.n_iter_, self.converged_ = relaxed.n_iter, relaxed.converged
        else:
            self._set_relaxed(relaxed, distinct, own)
            self.objective_ = max(spread - float(relaxed.objective), 0.0)
            if n > K > 1:
                bound = max(bound, spread - relaxed.bound)
            else:
                self.objective_ = self.inertia_
            self.n_iter_, self.converged_ = relaxed.n_iter, relaxed.converged
        self.converged_ = bool(self.converged_)
        self.lower_bound_ = float(min(max(bound, 0.0), self.inertia_))
        self.gap_ = 0.0
        if self.inertia_ > floor:
            self.gap_ = (self.inertia_ - self.lower_bound_) / self.inertia_
        self.certified_ = bool(certified)
        self.solver_ = solver
        whole.end()
        self._warn_unless(self.converged_, self.n_iter_, "max_iter", self.max_iter)

    def _normals(self):
        from skalgos.cluster._sdp.gaussians import normals

        K, p = self._means.shape
        return normals(self._means, np.broadcast_to(np.eye(p), (K, p, p)).copy())

    def transform(self, X):
        """Return the distances to the centers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        distances : ndarray of shape (n_samples, n_clusters)
            Euclidean; in single precision if X is.
        """
        X, columns = self._new_data(X)
        return np.sqrt(self._scores(columns).T).astype(X.dtype)

    def score(self, X, y=None, sample_weight=None):
        """Return minus the inertia of samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            How much each sample counts; None is 1 for all.

        Returns
        -------
        score : float
            The higher, the nearer the centers.
        """
        X, columns = self._new_data(X)
        weights = check_sample_weight(sample_weight, X, np.float64)
        return -float(self._scores(columns).min(axis=0) @ weights)


def checked_covariances(covariances, n_clusters, n_features):
    """Return covariances as an array (K, p, p), or say which of them is none."""
    K, p = n_clusters, n_features
    S = np.array(covariances, dtype=np.float64)
    if S.shape not in ((p, p), (K, p, p)):
        raise ValueError(
            f"covariances must have shape {(K, p, p)} or {(p, p)}: one matrix for each "
            f"cluster, or one for all; got {S.shape}."
        )
    S = np.broadcast_to(S, (K, p, p)).copy()
    for k in range(K):
        if not np.isfinite(S[k]).all():
            raise ValueError(f"covariances[{k}] has entries that are not finite.")
        size = np.abs(S[k]).max()
        if np.abs(S[k] - S[k].T).max() > 1e-10 * size:
            raise ValueError(f"covariances[{k}] is not symmetric.")
        S[k] = (S[k] + S[k].T) / 2
        smallest = np.linalg.eigvalsh(S[k])[0]
        if smallest <= p * np.finfo(float).eps * size:
            raise ValueError(
                f"covariances[{k}] is not positive definite: its smallest eigenvalue "
                f"is {smallest:.3g}."
            )
    return S


def _trivial(weights, n_clusters):
    """Return the only partition there is, and its matrix: K = 1, or K >= n."""
    from skalgos.cluster._sdp.programs import Relaxed

    n, h = len(weights), np.sqrt(weights)
    if n_clusters == 1:
        labels, factor = np.zeros(n, np.int64), (h / np.linalg.norm(h))[None]
    else:
        labels, factor = np.arange(n), np.eye(n)
    block = np.zeros(len(factor), np.int64)
    return labels, Relaxed(factor, block, 0.0, 0.0, 0.0, 0.0, 1, True)


def _nearest_center(columns, centers, pool_map):
    from skalgos.cluster._sdp.gaussians import nearest, normals, scores

    K, p = centers.shape
    model = normals(centers, np.broadcast_to(np.eye(p), (K, p, p)).copy())
    return nearest(scores(columns, model, pool_map))[0]


def _by_size(groups, order=None):
    """Sort groups by weight, then by their means."""
    if order is None:
        keys = (*groups.means.T[::-1], -groups.weights)
        order = np.lexsort(keys)
    return type(groups)(*(part[order] for part in groups))


class LASDP(_SDPClusterer):
    r"""Clusters of any shape by the likelihood-adjusted semidefinite program.

    The samples of cluster k come from a normal distribution with a mean and a
    covariance :math:`\Sigma_k` of its own. The means drop out of the likelihood of
    a partition, which is linear in matrices :math:`Z_k` with the entries
    :math:`1 / n_k` within cluster k: the relaxation [1]_ is

    .. math::

        \max_{Z_1, \dots, Z_K} \sum_k \langle A_k, Z_k \rangle, \qquad
        A_k(i, j) = -\tfrac12 \bigl(\log |\Sigma_k| +
        \tfrac12 (x_i - x_j)^\top \Sigma_k^{-1} (x_i - x_j) \bigr),

    over :math:`Z_k \succeq 0`, :math:`Z_k \ge 0`, :math:`\operatorname{tr} Z_k = 1`,
    :math:`\sum_k Z_k 1 = 1`. With ``covariances`` this is LA-SDP. Without, iLA-SDP
    alternates between it and the covariances, from several starts, and keeps the
    partition of the highest likelihood. All computations are in double precision.

    Parameters
    ----------
    n_clusters : int, default=2
        The number of clusters K.

    covariances : array-like of shape ([K,] n_features, n_features), default=None
        The covariances, if they are known; one matrix is that of all clusters.

    covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
        What is estimated: a matrix for each cluster, one for all, or for each cluster a
        diagonal or a number.

    solver : {"auto", "admm", "nlr", "sketch"}, default="auto"
        "admm" solves the program to the optimum, with K matrices of n x n. "nlr" looks
        for nonnegative factors of low rank, in memory and time linear in n; it can end
        below the optimum. "sketch" does so for a random sample of ``n_sketch``, and
        goes on from there with classification steps on all samples. "auto" is "sketch"
        for more than 20,000 distinct samples, else "nlr".

    init : {"auto", "sdp", "ward"} or array-like of shape (n_samples,), default="auto"
        Where to start: from the K-means program, from Ward's hierarchy, or from labels
        0 to K - 1. "auto" starts from both, on the data and on the data whitened as a
        whole, and from a run with tied covariances. Known covariances need one start,
        which is then matched to them.

    alternation : {"best", "rounded", "relaxed"}, default="best"
        Whether covariances are those of a partition, in each step, or those of the
        relaxed matrices, which are rounded at the end; "best" runs both.

    rank : int, default=2
        The columns of each factor, for "nlr" and "sketch".

    reg_covar : float, default=1e-4
        What is added to the variances in every direction, in units of the mean variance
        of a feature over all samples. Has no part in known covariances.

    shrinkage : float or "oas", default=None
        How far estimated covariances are moved towards a multiple of the identity: a
        share between 0 and 1, or by the oracle approximating rule [2]_.

    max_iter : int, default=20
        The largest number of alternations from each start.

    tol : float, default=1e-4
        With known covariances, the tolerance of the solver: see :class:`SDPKMeans`.
        Else alternations end when the likelihood rises by no more than this for each
        sample.

    max_iter_solver : int, default=2000
        The largest number of iterations of the solver; within the alternation "nlr"
        does at most 100.

    n_sketch : int, default=1000
        The number of samples of a sketch, and of those that starts are computed from.

    random_state : int, RandomState instance or None, default=None
        Determines the starts of "nlr" and the sample of "sketch".

    n_jobs : int, default=None
        The number of threads, for passes over large data. None means 1 unless in a
        :obj:`joblib.parallel_config` context, -1 all cores.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,), int32
        The cluster of each sample: in the order of ``covariances`` if these are given,
        else in that of the clusters' weights.

    means_ : ndarray of shape (n_clusters, n_features)
        The means of the clusters.

    covariances_ : ndarray of shape (n_clusters, n_features, n_features)
        Their covariances, as given or as estimated and regularised.

    weights_ : ndarray of shape (n_clusters,)
        The share of the samples in each cluster.

    degenerate_ : ndarray of shape (n_clusters,), bool
        Which estimated covariances would be singular, or nearly so, but for
        ``reg_covar`` or ``shrinkage``.

    log_likelihood_ : float
        The profile log-likelihood of the partition, without the constant that contains
        pi.

    objective_ : float
        The objective of the last relaxed solution; not set by "sketch".

    upper_bound_ : float
        No partition has a higher likelihood with ``covariances_``. Infinite for more
        than 2000 distinct samples, unless "admm" found it.

    gap_ : float
        ``upper_bound_ - log_likelihood_`` over the absolute value of the latter.

    certified_ : bool
        Whether the labels are proved to be the best for ``covariances_``.

    membership_ : ndarray of shape (n_samples, n_clusters)
        The share of each row of the sum of the Z that falls on each cluster. Not set by
        "sketch".

    embedding_ : ndarray of shape (n_samples, n_columns)
        A factor of the sum of the Z; not set by "sketch".

    primal_residual_ : float
        How far the constraints are missed at the end, relative to the size of Z; with
        "nlr" the error of the row sums. Not set by "sketch".

    dual_residual_ : float
        The residual of the dual constraints, relative to the objective's matrix; NaN
        with "nlr", which has none. Not set by "sketch".

    init_ : str
        The start and the alternation of the highest likelihood.

    n_iter_ : int
        The largest number of alternations from a start; 1 for known covariances.

    n_iter_solver_ : int
        The number of iterations of the solver, in all.

    converged_ : bool
        Whether all alternations ended before ``max_iter``; for known covariances,
        whether the solver reached ``tol``.

    solver_ : str
        The solver that was used.

    n_features_in_ : int
        The number of features seen in fit.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen in fit, if these are strings.

    See Also
    --------
    SDPKMeans : Round clusters.
    lasdp_certificate : The proof alone, for labels from anywhere.

    References
    ----------
    .. [1] Y. Zhuang, X. Chen and Y. Yang, "Likelihood adjusted semidefinite programs
       for clustering heterogeneous data", ICML 2023.
    .. [2] Y. Chen, A. Wiesel, Y. C. Eldar and A. O. Hero, "Shrinkage algorithms for
       MMSE covariance estimation", IEEE Transactions on Signal Processing 58, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from skalgos.cluster import LASDP
    >>> rng = np.random.RandomState(0)
    >>> flat = rng.standard_normal((60, 2)) * [5, 0.2]
    >>> X = np.vstack((flat, flat[:40] + [1, 2]))
    >>> model = LASDP(2, random_state=0).fit(X)
    >>> np.bincount(model.labels_[:60]), np.bincount(model.labels_[60:])
    (array([60]), array([ 0, 40]))
    """

    _parameter_constraints: dict = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "covariances": ["array-like", None],
        "covariance_type": [StrOptions({"full", "tied", "diag", "spherical"})],
        "solver": [StrOptions({"auto", "admm", "nlr", "sketch"})],
        "init": [StrOptions({"auto", "sdp", "ward"}), "array-like"],
        "alternation": [StrOptions({"best", "rounded", "relaxed"})],
        "rank": [Interval(Integral, 1, None, closed="left")],
        "reg_covar": [Interval(Real, 0, None, closed="neither")],
        "shrinkage": [
            Interval(Real, 0, 1, closed="both"),
            StrOptions({"oas"}),
            None,
        ],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter_solver": [Interval(Integral, 1, None, closed="left")],
        "n_sketch": [Interval(Integral, 2, None, closed="left")],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_clusters=2,
        *,
        covariances=None,
        covariance_type="full",
        solver="auto",
        init="auto",
        alternation="best",
        rank=2,
        reg_covar=1e-4,
        shrinkage=None,
        max_iter=20,
        tol=1e-4,
        max_iter_solver=2000,
        n_sketch=1000,
        random_state=None,
        n_jobs=None,
    ):
        self.n_clusters = n_clusters
        self.covariances = covariances
        self.covariance_type = covariance_type
        self.solver = solver
        self.init = init
        self.alternation = alternation
        self.rank = rank
        self.reg_covar = reg_covar
        self.shrinkage = shrinkage
        self.max_iter = max_iter
        self.tol = tol
        self.max_iter_solver = max_iter_solver
        self.n_sketch = n_sketch
        self.random_state = random_state
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Find clusters, and their covariances if they are not given.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            How much each sample counts, at least 0; None is 1 for all.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with self._all_or_nothing():
            self._fit(X, sample_weight)
        return self

    def _fit(self, X, sample_weight):
        from skalgos.cluster._sdp.certificates import certify_lasdp
        from skalgos.cluster._sdp.gaussians import (
            Structure,
            likelihood,
            moments,
            nearest,
            normals,
            polish,
            scores,
            structured,
        )

        X, weights, distinct = self._checked(X, sample_weight)
        K, n, p = self.n_clusters, len(distinct.weights), X.shape[1]
        known = self.covariances
        if known is not None:
            known = checked_covariances(known, K, p)
        given = self._given_labels(weights, distinct)
        rng = check_random_state(self.random_state)
        solver = self._solver_for(n)
        self._center = np.average(distinct.X, axis=1, weights=distinct.weights)
        columns = distinct.X - self._center[:, None]
        total = distinct.weights.sum()
        unit = float(np.sum(columns**2, axis=0) @ distinct.weights) / (total * p)
        structure = Structure(
            self.covariance_type,
            self.reg_covar * (unit if unit > 0 else 1.0),
            self.shrinkage,
        )

        def estimate(groups):
            return known if known is not None else structured(groups, structure)

        whole = fit_task(
            self, X, sample_weight=weights, max_subtasks=None, sequential=True
        )

        def on_iter(n_iter, objective, primal, dual):
            def attributes():
                return {
                    "n_iter_": n_iter,
                    "objective_": objective,
                    "primal_residual_": primal,
                    "dual_residual_": dual,
                }

            return whole.subtask("iteration").end(attributes)

        bound = np.inf
        with chunk_map(n_threads(self.n_jobs), hold_blas=True) as pool_map:
            if K == 1 or n <= K:
                whole.subtask("iteration").end()
                labels, relaxed = _trivial(distinct.weights, K)
                fit = 1, 1, True, "the only partition"
            else:
                part, part_weights, part_given = columns, distinct.weights, given
                mean = np.zeros(p)
                if solver == "sketch":
                    part, part_weights = self._sketched(columns, part_weights, rng)
                    mean = np.average(part, axis=1, weights=part_weights)
                    part = np.ascontiguousarray(part - mean[:, None])
                    if given is not None and part.shape[1] < n:
                        raise ValueError(
                            "init as labels goes with solver='admm' and 'nlr'; got "
                            f"solver={solver!r}."
                        )
                run = self._run_known if known is not None else self._run_unknown
                polished, relaxed, fit, bound = run(
                    part,
                    part_weights,
                    known if known is not None else structure,
                    part_given,
                    solver,
                    rng,
                    pool_map,
                    on_iter,
                )
                labels = polished.labels
                if part.shape[1] < n:
                    relaxed = None
                    bound = np.inf
                    model = normals(polished.model.means + mean, polished.model[1])
                    labels, _ = nearest(scores(columns, model, pool_map))
                    polished = polish(
                        columns,
                        distinct.weights,
                        labels,
                        K,
                        pool_map,
                        estimate=estimate,
                        max_iter=2,
                    )
                    labels = polished.labels
            groups = moments(columns, distinct.weights, labels, K, pool_map)
            if n < K:
                groups = type(groups)(
                    *(part[np.minimum(np.arange(K), n - 1)] for part in groups)
                )
                groups.weights[n:] = 0.0
            if known is None:
                groups = _by_size(groups)
            covariances = estimate(groups)
            self._model = normals(groups.means, covariances)
            own, _ = nearest(scores(columns, self._model, pool_map))
        self.means_ = groups.means + self._center
        self.covariances_ = covariances.copy()
        self.weights_ = groups.weights / total
        smallest = np.linalg.eigvalsh(groups.covariances)[:, 0]
        self.degenerate_ = smallest < structure.ridge
        if known is not None:
            self.degenerate_[:] = False
        every = np.ascontiguousarray(X.T, dtype=np.float64)
        self.labels_ = nearest(self._scores(every))[0].astype(np.int32)
        self.log_likelihood_ = float(likelihood(groups, covariances))
        self.n_iter_, self.n_iter_solver_, converged, self.init_ = fit
        self.converged_ = bool(converged)
        self.solver_ = solver
        self.certified_ = False
        if n > K > 1 and n <= CERTIFY_SAMPLES and len(np.unique(own)) == K:
            _, closed, _, certified = certify_lasdp(
                columns.T, distinct.weights, own, covariances
            )
            bound = min(bound, closed)
            self.certified_ = certified
        elif K == 1:
            bound, self.certified_ = self.log_likelihood_, True
        self.upper_bound_ = float(max(bound, self.log_likelihood_))
        size = abs(self.log_likelihood_)
        self.gap_ = (self.upper_bound_ - self.log_likelihood_) / size if size else 0.0
        if relaxed is not None:
            self._set_relaxed(relaxed, distinct, own)
            trivial = K == 1 or n <= K
            self.objective_ = (
                self.log_likelihood_ if trivial else float(relaxed.objective)
            )
        whole.end()
        if known is None:
            self._warn_unless(self.converged_, self.n_iter_, "max_iter", self.max_iter)
        else:
            self._warn_unless(
                self.converged_,
                self.n_iter_solver_,
                "max_iter_solver",
                self.max_iter_solver,
            )

    def _run_known(
        self, X, weights, covariances, given, solver, rng, pool_map, on_iter
    ):
        """Solve the program once."""
        from skalgos.cluster._sdp.programs import Options, relax_lasdp
        from skalgos.cluster._sdp.rounding import matched, round_blocks

        starts = self._starts(X, weights, given, rng, pool_map, white=False)
        found = {
            name: matched(X, weights, labels, covariances, pool_map)
            for name, labels in starts.items()
        }
        name = max(found, key=lambda name: found[name].likelihood)
        options = Options(
            "admm" if solver == "admm" else "nlr",
            self.rank,
            self.tol,
            self.max_iter_solver,
        )
        relaxed = relax_lasdp(
            X, weights, covariances, found[name].labels, options, rng, pool_map, on_iter
        )
        rounded = round_blocks(
            X, weights, relaxed.factor, relaxed.block, covariances, pool_map
        )
        if found[name].likelihood > rounded.likelihood:
            rounded = found[name]
        fit = 1, relaxed.n_iter, relaxed.converged, name
        return rounded, relaxed, fit, relaxed.bound

    def _run_unknown(
        self, X, weights, structure, given, solver, rng, pool_map, on_iter
    ):
        """Alternate from each start."""
        from skalgos.cluster._sdp.programs import Options, alternate

        kind = "admm" if solver == "admm" else "nlr"
        steps = self.max_iter_solver
        options = Options(
            kind,
            self.rank,
            1e-3,
            steps if kind == "admm" else min(steps, 100),
        )
        variants = ("rounded", "relaxed")
        if self.alternation != "best":
            variants = (self.alternation,)
        settings = {"tol": self.tol, "max_iter": self.max_iter, "on_iter": on_iter}
        partitions = self._starts(X, weights, given, rng, pool_map, white=True)
        runs = []
        automatic = isinstance(self.init, str) and self.init == "auto"
        if automatic and structure.covariance_type == "full":
            tied = alternate(
                X,
                weights,
                self.n_clusters,
                partitions,
                structure._replace(covariance_type="tied"),
                ("rounded",),
                options,
                rng,
                pool_map,
                **settings,
            )
            partitions["tied"] = tied.polished.labels
            runs.append(tied)
        best = alternate(
            X,
            weights,
            self.n_clusters,
            partitions,
            structure,
            variants,
            options,
            rng,
            pool_map,
            **settings,
        )
        runs.append(best)
        fit = (
            max(run.n_iter for run in runs),
            sum(run.n_iter_solver for run in runs),
            all(run.converged for run in runs),
            best.name,
        )
        return best.polished, best.relaxed, fit, np.inf

    def _starts(self, X, weights, given, rng, pool_map, *, white):
        """Return partitions to start from, computed on a sketch if there are many."""
        from skalgos.cluster._sdp.gaussians import nearest, normals, scores
        from skalgos.cluster._sdp.programs import Options, starts

        if given is not None:
            return {"labels": given}
        names = {"sdp": ["sdp"], "ward": ["ward"]}.get(self.init)
        if names is None:
            names = ["sdp", "ward"]
            if white and self.covariance_type in ("full", "tied"):
                names += ["sdp-white", "ward-white"]
        part, part_weights = self._sketched(X, weights, rng)
        mean = np.average(part, axis=1, weights=part_weights)
        part = np.ascontiguousarray(part - mean[:, None])
        options = Options("nlr", self.rank, 1e-3, min(self.max_iter_solver, 200))
        found = starts(
            part, part_weights, self.n_clusters, names, options, rng, pool_map
        )
        if part.shape[1] == X.shape[1]:
            return found
        lifted = {}
        for name, labels in found.items():
            members = labels == np.arange(self.n_clusters)[:, None]
            shares = members * part_weights
            centers = shares @ part.T / shares.sum(axis=1)[:, None] + mean
            eyes = np.broadcast_to(np.eye(len(X)), (len(centers), len(X), len(X)))
            model = normals(centers, eyes.copy())
            lifted[name], _ = nearest(scores(X, model, pool_map))
        return lifted

    def _given_labels(self, weights, distinct):
        """Return None, or the labels to start from, of the distinct samples."""
        if isinstance(self.init, str):
            return None
        labels = np.asarray(self.init)
        K = self.n_clusters
        if labels.shape != weights.shape:
            raise ValueError(
                f"init as labels must have shape {weights.shape}; got {labels.shape}."
            )
        present = labels[weights > 0]
        if not np.array_equal(np.unique(present), np.arange(K)):
            raise ValueError(
                f"init as labels must have each of 0 to {K - 1}, for samples with a "
                f"weight above 0; got {np.unique(present)}."
            )
        found = np.zeros(len(distinct.weights), np.int64)
        # Equal samples start together: in the lowest of their clusters.
        order = np.argsort(-labels, kind="stable")
        order = order[distinct.place[order] >= 0]
        found[distinct.place[order]] = labels[order]
        if len(np.unique(found)) < K:
            raise ValueError("init as labels parts samples that are equal.")
        return found

    def _normals(self):
        return self._model

    def _log_densities(self, columns):
        """Return the log-density of each cluster, (K, n)."""
        constant = len(columns) * np.log(2 * np.pi)
        return -0.5 * (self._scores(columns) + constant)

    def predict_proba(self, X):
        """Return the probability of each cluster, all being as likely beforehand.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_clusters)
            The largest is that of :meth:`predict`: the model has no mixing weights.
        """
        _, columns = self._new_data(X)
        logs = self._log_densities(columns)
        return np.exp(logs - logsumexp(logs, axis=0)).T

    def score_samples(self, X):
        """Return the log-density of samples in the mixture with ``weights_``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        log_densities : ndarray of shape (n_samples,)
            With the constant that contains pi.
        """
        _, columns = self._new_data(X)
        used = self.weights_ > 0
        logs = self._log_densities(columns)[used]
        return logsumexp(logs + np.log(self.weights_[used])[:, None], axis=0)

    def score(self, X, y=None):
        """Return the mean log-density of samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        y : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        score : float
            The higher, the better the fit.
        """
        return float(self.score_samples(X).mean())

    def bic(self, X):
        """Return the Bayesian information criterion of the mixture; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        bic : float
            Minus twice the log-density, and the logarithm of n for each parameter.
        """
        densities = self.score_samples(X)
        return float(
            -2 * densities.sum() + self._n_parameters() * np.log(len(densities))
        )

    def aic(self, X):
        """Return the Akaike information criterion of the mixture; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        aic : float
            Minus twice the log-density, and 2 for each parameter.
        """
        return float(-2 * self.score_samples(X).sum() + 2 * self._n_parameters())

    def _n_parameters(self):
        K, p = self.means_.shape
        free = 0
        if self.covariances is None:
            one = p * (p + 1) // 2
            free = {"full": K * one, "tied": one, "diag": K * p, "spherical": K}
            free = free[self.covariance_type]
        return K * p + K - 1 + free

    def sample(self, n_samples=1, *, random_state=None):
        """Draw from the mixture with ``weights_``.

        Parameters
        ----------
        n_samples : int, default=1
            How many samples.

        random_state : int, RandomState instance or None, default=None
            Determines the draw.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The samples.

        labels : ndarray of shape (n_samples,), int32
            Their clusters.
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"n_samples must be at least 1; got {n_samples}.")
        rng = check_random_state(random_state)
        labels = rng.choice(len(self.weights_), n_samples, p=self.weights_)
        factors = np.linalg.cholesky(self.covariances_)[labels]
        noise = rng.standard_normal((n_samples, self.means_.shape[1]))
        X = self.means_[labels] + np.einsum("ifg,ig->if", factors, noise)
        return X, labels.astype(np.int32)
