"""Clustering by the medoid silhouette, as an estimator."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skalgos._compat import Interval, StrOptions, check_sample_weight
from skalgos.cluster._kmedoids.base import MedoidClusterer
from skalgos.cluster._kmedoids.quotients import ratios


class MedoidSilhouette(MedoidClusterer):
    """Clusters around medoids that are as far apart as they fit, and how many.

    Finds the rows, the medoids, for which the mean medoid silhouette is largest: the
    mean of ``1 - d1 / d2``, where d1 and d2 are the dissimilarities of a row to the
    nearest and the second nearest of them. Its values compare between numbers of
    clusters, so that ``n_clusters="auto"`` can choose among them (DynMSC).
    Read more in the :ref:`User Guide <kmedoids>`.

    Parameters
    ----------
    n_clusters : int or "auto", default=8
        The number of clusters and medoids, at most the number of rows; with 1 the
        silhouette is 0, and the medoid that of :class:`KMedoids`. "auto" takes the
        number from ``min_clusters`` to ``max_clusters`` with the largest mean medoid
        silhouette.

    min_clusters : int, default=2
        The smallest number of clusters that ``n_clusters="auto"`` tries, at least 2.

    max_clusters : int, default=10
        The largest one, or the number of rows if that is smaller. The search begins
        there and drops one medoid after the other. Where many small clusters are in
        reach the silhouette favours them: keep it as small as makes sense, or use
        ``min_cluster_size``.

    min_cluster_size : float, default=1
        The least weight, the number of rows where none is given, that all clusters must
        have for ``n_clusters="auto"`` to choose their number.

    metric : str or callable, default="euclidean"
        The dissimilarity, as in :class:`KMedoids`: a name that
        :func:`sklearn.metrics.pairwise_distances` knows, a function of two rows, or
        "precomputed" for a square matrix whose entry ``X[i, j]`` is the dissimilarity
        of object i to object j as its medoid.

    metric_params : dict, default=None
        Keyword arguments of the metric. What "seuclidean" and "mahalanobis" need and
        do not find here is estimated from X in ``fit``.

    method : {"fastermsc", "fastmsc", "pammedsil", "pamsil"}, default="fastermsc"
        The algorithm.

        - "fastermsc" makes exchanges as soon as they pay, many in a sweep.
        - "fastmsc" makes the best of all exchanges each time, as PAMMEDSIL does.
        - "pammedsil" is "fastmsc" with the price of every exchange computed by itself,
          as it was published: slow, for reference.
        - "pamsil" optimises the mean of the full silhouette in the same way, where a
          row of weight w stands for w rows: slower still, for reference.

        "auto" for ``n_clusters`` needs "fastermsc".

    init : {"random", "build", "lab", "k-medoids++", "first"}, callable or array-like, \
            default="random"
        The medoids to start from, as in :class:`KMedoids`, where
        ``n_clusters`` is ``max_clusters`` if it is "auto".

    n_init : "auto" or int, default="auto"
        The number of starts, of which the best result is kept. "auto" means 10 up to
        2000 rows, 3 up to 20000, else 1; and 1 where nothing in ``init`` is random.

    max_iter : int, default=300
        The largest number of sweeps over all candidates in one start, and for one
        number of clusters. With other methods than "fastermsc" a sweep makes one
        exchange.

    tol : float, default=0.0
        Stop after a sweep that lowers one minus the mean silhouette by this share of it
        or less. With 0 it goes on until no exchange raises the silhouette.

    solver : {"auto", "matrix", "matrix-free"}, default="auto"
        Whether dissimilarities are stored, those of all pairs; or computed again in
        every sweep. "auto" takes "matrix" if it fits into ``memory_limit``. Both give
        the same result, up to rounding.

    memory_limit : "auto" or float, default="auto"
        What solver="auto" may store, in MiB. "auto" is scikit-learn's
        ``working_memory`` setting, 1024 if not changed.

    dtype : {"auto", "float32", "float64"}, default="auto"
        The precision in which dissimilarities are computed; "auto" is that of X, and
        double for integers. A precomputed matrix of integers is converted.

    random_state : int, RandomState instance or None, default=None
        Determines the starts and the order of the candidates. Pass an int for results
        that are the same in every call; they do not depend on the order of the rows.

    n_jobs : int or None, default=None
        The number of starts to run at the same time, in threads. ``None`` means 1
        unless in a :obj:`joblib.parallel_config` context, ``-1`` all processors. The
        result does not depend on it.

    Attributes
    ----------
    n_clusters_ : int
        The number of clusters.

    scores_per_k_ : dict of int to float
        The mean silhouette, of the kind that was optimised, by number of clusters, in
        the best start.

    cluster_centers_ : {ndarray, sparse matrix} of shape (n_clusters, n_features)
        The medoids: rows of X. Not there if ``metric="precomputed"``.

    medoid_indices_ : ndarray of shape (n_clusters,)
        The indices of the medoids in X.

    labels_ : ndarray of shape (n_samples,), int32
        The cluster of each row. Ties go to the smaller label, but a medoid is always
        in its own cluster.

    inertia_ : float
        The weighted sum of the dissimilarities of all rows to the nearest medoids.

    distances_ : ndarray of shape (n_samples,)
        The dissimilarity of each row to its medoid.

    second_labels_ : ndarray of shape (n_samples,), int32
        The cluster of the second nearest medoid of each row; -1 if there is only one.

    second_distances_ : ndarray of shape (n_samples,)
        The dissimilarity to the second nearest medoid; infinite if there is only one.

    medoid_silhouette_ : float
        The weighted mean of ``1 - distances_ / second_distances_``, between 0 and 1.
        Rows at distance zero from both count as 0, and so does everything if there is
        one cluster.

    n_iter_ : int
        The sweeps of the best start, for the number of clusters that was chosen.

    n_swaps_ : int
        The exchanges in these sweeps.

    converged_ : bool
        Whether they ended by themselves. With ``tol=0`` this is the proof that no
        single exchange raises the mean silhouette.

    score_history_ : ndarray of shape (n_iter_ + 1,)
        The mean silhouette before these sweeps and after each of them.

    init_indices_ : ndarray of shape (n_clusters,)
        The rows that the best result began with.

    n_features_in_ : int
        Number of features seen during :term:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :term:`fit`. Defined only when X has feature
        names that are all strings.

    Raises
    ------
    ValueError
        If a parameter is out of its range, X has fewer rows than ``n_clusters``, holds
        NaN or infinity, or if a dissimilarity is negative, NaN or infinite.

    Warns
    -----
    ConvergenceWarning
        If ``max_iter`` ended the best start, X has fewer distinct rows than
        ``n_clusters``, or no number of clusters has all of ``min_cluster_size``.

    See Also
    --------
    KMedoids : Medoids that are as near to all rows as possible.
    sklearn.metrics.silhouette_score : The full silhouette of any clustering.

    Notes
    -----
    Rows that are equal count as one with their weights added up, rows of weight zero
    get a label and nothing else. Clusters are numbered from the heaviest to the
    lightest. With ``metric="precomputed"`` the estimator is tagged as pairwise; with
    ``metric="nan_euclidean"`` it takes NaN.

    A row at distance zero from two medoids has silhouette 0. A sweep costs n * n
    dissimilarities.

    References
    ----------
    .. [1] L. Lenssen and E. Schubert, "Medoid Silhouette clustering with automatic
       cluster number selection", Information Systems 120, 2024.
    .. [2] M. J. van der Laan, K. S. Pollard and J. Bryan, "A new partitioning around
       medoids algorithm", Journal of Statistical Computation and Simulation 73, 2003.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skalgos.cluster import MedoidSilhouette
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = MedoidSilhouette(n_clusters="auto", random_state=0).fit(X)
    >>> model.n_clusters_
    2
    >>> print(round(model.medoid_silhouette_, 4))
    0.778
    """

    _parameter_constraints: dict = {
        **MedoidClusterer._parameter_constraints,
        "n_clusters": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "min_clusters": [Interval(Integral, 2, None, closed="left")],
        "max_clusters": [Interval(Integral, 2, None, closed="left")],
        "min_cluster_size": [Interval(Real, 0, None, closed="left")],
        "method": [StrOptions({"fastermsc", "fastmsc", "pammedsil", "pamsil"})],
        "n_init": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "solver": [StrOptions({"auto", "matrix", "matrix-free"})],
        "memory_limit": [
            StrOptions({"auto"}),
            Interval(Real, 0, None, closed="left"),
        ],
        "n_jobs": [Integral, None],
    }
    # The silhouette is a quotient: "no third medoid" needs an infinity.
    _precomputed_dtypes = (np.float64, np.float32)

    def __init__(
        self,
        n_clusters=8,
        *,
        min_clusters=2,
        max_clusters=10,
        min_cluster_size=1,
        metric="euclidean",
        metric_params=None,
        method="fastermsc",
        init="random",
        n_init="auto",
        max_iter=300,
        tol=0.0,
        solver="auto",
        memory_limit="auto",
        dtype="auto",
        random_state=None,
        n_jobs=None,
    ):
        self.n_clusters = n_clusters
        self.min_clusters = min_clusters
        self.max_clusters = max_clusters
        self.min_cluster_size = min_cluster_size
        self.metric = metric
        self.metric_params = metric_params
        self.method = method
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.solver = solver
        self.memory_limit = memory_limit
        self.dtype = dtype
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _storage(self):
        if self.metric == "precomputed" and self.solver == "matrix-free":
            raise ValueError(
                "solver='matrix-free' computes dissimilarities from features; with "
                "metric='precomputed' use solver='matrix' or 'auto'."
            )
        return self.solver, self.memory_limit, False

    def _most_clusters(self, n_samples):
        if self.n_clusters != "auto":
            return self.n_clusters
        if self.method != "fastermsc":
            raise ValueError(
                "n_clusters='auto' needs method='fastermsc'; got "
                f"method='{self.method}'."
            )
        if self.min_clusters > self.max_clusters:
            raise ValueError(
                f"min_clusters={self.min_clusters} should be at most "
                f"max_clusters={self.max_clusters}."
            )
        return max(self.min_clusters, min(self.max_clusters, n_samples))

    def _n_found(self, medoids):
        return len(medoids) if self.n_clusters == "auto" else self.n_clusters

    def _search(self, X, weights, metric, problem):
        from skalgos.cluster._kmedoids.silhouette import METHODS, dynmsc
        from skalgos.cluster._kmedoids.solvers import INITIALISATIONS, single_medoid

        random_state = check_random_state(self.random_state)
        source = problem.source
        given = self._given_start(X, metric, problem, random_state)
        seeds = self._seeds(random_state, self._n_starts(source.n, given))
        limits = {"max_iter": self.max_iter, "tol": self.tol}
        k = min(problem.n_clusters, source.n)
        by_start = []

        def run(seed, on_sweep):
            rng = np.random.RandomState(seed)
            start = given
            if start is None:
                start = INITIALISATIONS[self.init](source, k, rng)
            if k == 1:
                best = single_medoid(source, start)._replace(loss=1.0, losses=[1.0] * 2)
                by_start.append((best, [best]))
                return best
            order = source.canonical[rng.permutation(source.n)]
            limited = {"on_sweep": on_sweep, **limits}
            if self.n_clusters == "auto":
                least = min(self.min_clusters, k)
                fits = dynmsc(source, start, order, least, **limited)
                best = self._chosen(fits, source)
            else:
                best = METHODS[self.method](source, start, order, **limited)
                fits = [best]
            by_start.append((best, fits))
            return best

        best = self._best_of_starts(
            X, weights, metric, problem, run, seeds, self.max_iter
        )
        fits = next(fits for fit, fits in by_start if fit is best)
        if not best.converged and 0 < self.max_iter <= best.n_iter:
            warnings.warn(
                f"MedoidSilhouette stopped after max_iter={self.max_iter} sweeps, when "
                "they still raised the silhouette. Increase max_iter, or set tol.",
                ConvergenceWarning,
                stacklevel=5,
            )
        if self.n_clusters == "auto" and not self._large_enough(best, source):
            warnings.warn(
                "No number of clusters from min_clusters to max_clusters has all "
                f"clusters of min_cluster_size={self.min_cluster_size}; the one with "
                "the largest silhouette is kept.",
                ConvergenceWarning,
                stacklevel=5,
            )
        self.n_clusters_ = self._n_found(best.medoids)
        self.scores_per_k_ = {len(fit.medoids): 1 - fit.loss for fit in fits[::-1]}
        if self.n_clusters != "auto":
            self.scores_per_k_ = {self.n_clusters: 1 - best.loss}
        self.score_history_ = 1 - np.array(best.losses)
        return best

    def _chosen(self, fits, source):
        """Return the best fit with clusters that are large enough, else the best."""
        allowed = [fit for fit in fits if self._large_enough(fit, source)]
        return min(allowed or fits, key=lambda fit: fit.loss)

    def _large_enough(self, fit, source):
        near = source.rows(fit.medoids).argmin(axis=0)
        sizes = np.bincount(near, source.weights, len(fit.medoids))
        return sizes.min() >= self.min_cluster_size

    def score(self, X, y=None, sample_weight=None):
        """Return the mean medoid silhouette of new rows: larger is better.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features) or \
                (n_samples, n_samples_fit)
            As in ``predict``.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts; None is 1 for all.

        Returns
        -------
        score : float
            The weighted mean of ``1 - d1 / d2``, between 0 and 1.
        """
        check_is_fitted(self)
        silhouettes = self._nearest(X, _silhouettes)
        weights = check_sample_weight(sample_weight, silhouettes, np.float64)
        return float(np.average(silhouettes, weights=weights))


def _silhouettes(distances, axis):
    if distances.shape[1] == 1:
        return np.zeros(len(distances))
    d1, d2 = np.partition(distances, 1, axis=axis)[:, :2].T
    return 1 - ratios(d1, d2)
