"""CLARA, CLARANS and OneBatchPAM as estimators."""

import math
import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from skalgos._compat import Interval, RealNotInt, StrOptions
from skalgos.cluster._kmedoids.base import MedoidClusterer
from skalgos.cluster._kmedoids.problems import in_bytes

# That end a search of CLARANS, where a share of the rows would be too few.
_FEWEST_PAIRS = 250


class CLARA(MedoidClusterer):
    """K-medoids of samples, the best for all rows (CLARA).

    Finds medoids of a few samples of the rows, each of them with the best medoids so
    far among its rows, and keeps those that are best for all rows. Takes any metric,
    and time and memory in proportion to the number of rows; the loss ends some
    percent above that of :class:`KMedoids`, the less the larger the samples.
    Read more in the :ref:`User Guide <kmedoids>`.

    Parameters
    ----------
    n_clusters : int, default=8
        The number of clusters and medoids, at most the number of rows.

    metric : str or callable, default="euclidean"
        The dissimilarity, as in :class:`KMedoids`: a name that
        :func:`sklearn.metrics.pairwise_distances` knows, a function of two rows, or
        "precomputed" for a square matrix whose entry ``X[i, j]`` is the dissimilarity
        of object i to object j as its medoid.

    metric_params : dict, default=None
        Keyword arguments of the metric. What "seuclidean" and "mahalanobis" need and
        do not find here is estimated from X in ``fit``.

    n_sampling : "auto" or int, default="auto"
        The number of rows in a sample, at least ``n_clusters``; all rows if there are
        fewer. "auto" is ``80 + 4 * n_clusters``, and at least 2000.

    n_sampling_iter : int, default=5
        The number of samples.

    method : {"fasterpam", "fastpam1", "fastpam2", "pam", "alternate"}, \
            default="fasterpam"
        The algorithm for a sample: "fasterpam" makes this FasterCLARA, "fastpam1"
        FastCLARA and "pam" the CLARA of the book.

    init : {"random", "build", "lab", "k-medoids++", "first"}, callable or array-like, \
            default="random"
        The medoids to start from, as in :class:`KMedoids`, by names in each
        sample; given medoids or "first" are where the first sample starts.

    max_iter : int, default=300
        The largest number of sweeps in a sample.

    tol : float, default=0.0
        Stop in a sample after a sweep that lowers its loss by this share or less.

    dtype : {"auto", "float32", "float64"}, default="auto"
        The precision in which dissimilarities are computed; "auto" is that of X, and
        double for integers. A precomputed matrix is taken as it is.

    random_state : int, RandomState instance or None, default=None
        Determines the samples and their starts. Pass an int for results
        that are the same in every call; they do not depend on the order of the rows.

    Attributes
    ----------
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
        The largest number of sweeps in a sample.

    n_swaps_ : int
        The exchanges in all samples.

    converged_ : bool
        Whether the search ended by itself in all samples.

    loss_history_ : ndarray of shape (n_sampling_iter,)
        The loss of the best medoids so far, over all rows, after each sample.

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
        If ``max_iter`` ended the search in a sample, or X has fewer distinct rows than
        ``n_clusters``.

    See Also
    --------
    KMedoids : With ``solver="sampled"`` lower losses, for a few metrics.
    OneBatchKMedoids : Lower losses in more memory, for any metric.
    CLARANS : A random search that needs no samples.

    Notes
    -----
    Rows that are equal count as one with their weights added up, rows of weight zero
    get a label and nothing else. Clusters are numbered from the heaviest to the
    lightest. With ``metric="precomputed"`` the estimator is tagged as pairwise; with
    ``metric="nan_euclidean"`` it takes NaN.

    Rows are drawn for a sample in proportion to their weights, those of equal weight
    without replacement.

    References
    ----------
    .. [1] L. Kaufman and P. J. Rousseeuw, "Finding Groups in Data: An Introduction to
       Cluster Analysis", Wiley, 1990.
    .. [2] E. Schubert and P. J. Rousseeuw, "Fast and eager k-medoids clustering:
       O(k) runtime improvement of the PAM, CLARA, and CLARANS algorithms",
       Information Systems 101, 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skalgos.cluster import CLARA
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = CLARA(n_clusters=3, n_sampling=60, random_state=0).fit(X)
    >>> print(round(model.inertia_, 1))
    98.5
    """

    _parameter_constraints: dict = {
        **MedoidClusterer._parameter_constraints,
        "n_sampling": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "n_sampling_iter": [Interval(Integral, 1, None, closed="left")],
        "method": [
            StrOptions({"fasterpam", "fastpam1", "fastpam2", "pam", "alternate"})
        ],
        "tol": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_clusters=8,
        *,
        metric="euclidean",
        metric_params=None,
        n_sampling="auto",
        n_sampling_iter=5,
        method="fasterpam",
        init="random",
        max_iter=300,
        tol=0.0,
        dtype="auto",
        random_state=None,
    ):
        self.n_clusters = n_clusters
        self.metric = metric
        self.metric_params = metric_params
        self.n_sampling = n_sampling
        self.n_sampling_iter = n_sampling_iter
        self.method = method
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.dtype = dtype
        self.random_state = random_state

    def _search(self, X, weights, metric, problem):
        from skalgos.cluster._kmedoids.sampling import clara
        from skalgos.cluster._kmedoids.solvers import INITIALISATIONS
        from skalgos.cluster._kmedoids.variants import METHODS

        size = self.n_sampling
        if size == "auto":
            size = max(80 + 4 * self.n_clusters, 2000)
        elif size < self.n_clusters:
            raise ValueError(
                f"n_sampling={size} should be at least n_clusters={self.n_clusters}."
            )
        random_state = check_random_state(self.random_state)
        source = problem.source
        given = self._given_start(X, metric, problem, random_state)

        def run(seed, on_sample):
            return clara(
                source,
                min(self.n_clusters, source.n),
                np.random.RandomState(seed),
                size=size,
                n_samples=self.n_sampling_iter,
                method=METHODS[self.method],
                init=INITIALISATIONS[self.init] if given is None else given,
                max_iter=self.max_iter,
                tol=self.tol,
                on_sample=on_sample,
            )

        seeds = self._seeds(random_state, 1)
        best = self._best_of_starts(
            X, weights, metric, problem, run, seeds, self.n_sampling_iter
        )
        if not best.converged and self.max_iter > 0:
            warnings.warn(
                f"CLARA stopped in samples after max_iter={self.max_iter} sweeps, "
                "when they still lowered the loss. Increase max_iter, or set tol.",
                ConvergenceWarning,
                stacklevel=5,
            )
        self.loss_history_ = np.array(best.losses)
        return best


class CLARANS(MedoidClusterer):
    """K-medoids by a random search (FastCLARANS).

    Draws rows at random; one that is better than any of the medoids takes its place.
    The search ends after many rows in a row that were not, a small share of all: it
    reads far fewer dissimilarities than :class:`KMedoids` does for its proof that no
    exchange is left, and ends a little above it.
    Read more in the :ref:`User Guide <kmedoids>`.

    Parameters
    ----------
    n_clusters : int, default=8
        The number of clusters and medoids, at most the number of rows.

    metric : str or callable, default="euclidean"
        The dissimilarity, as in :class:`KMedoids`: a name that
        :func:`sklearn.metrics.pairwise_distances` knows, a function of two rows, or
        "precomputed" for a square matrix whose entry ``X[i, j]`` is the dissimilarity
        of object i to object j as its medoid.

    metric_params : dict, default=None
        Keyword arguments of the metric. What "seuclidean" and "mahalanobis" need and
        do not find here is estimated from X in ``fit``.

    n_local : int, default=2
        The number of searches, of which the best result is kept.

    max_neighbor : float or int, default=0.025
        How many draws in a row without an exchange end a search: a number, or a share,
        in (0, 1], of the rows that are no medoids, which then is at least 250 pairs of
        a row and a medoid.

    init : {"random", "build", "lab", "k-medoids++", "first"}, callable or array-like, \
            default="random"
        The medoids to start from, as in :class:`KMedoids`.

    max_iter : int, default=300
        The largest number of times that all rows are drawn in one search.

    dtype : {"auto", "float32", "float64"}, default="auto"
        The precision in which dissimilarities are computed; "auto" is that of X, and
        double for integers. A precomputed matrix is taken as it is.

    random_state : int, RandomState instance or None, default=None
        Determines the starts and the draws. Pass an int for results
        that are the same in every call; they do not depend on the order of the rows.

    n_jobs : int or None, default=None
        The number of searches to run at the same time, in threads. ``None`` means 1
        unless in a :obj:`joblib.parallel_config` context, ``-1`` all processors. The
        result does not depend on it.

    Attributes
    ----------
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
        How many times rows were drawn until all had been, in the best search.

    n_swaps_ : int
        The exchanges of the best search.

    converged_ : bool
        Whether the best search ended by ``max_neighbor``.

    loss_history_ : ndarray of shape (n_iter_ + 1,)
        The loss at the start and each time that all rows had been drawn, and at the
        end.

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
        If ``max_iter`` ended the best search, or X has fewer distinct rows than
        ``n_clusters``.

    See Also
    --------
    KMedoids : To the local optimum.
    CLARA : By samples of the rows.

    Notes
    -----
    Rows that are equal count as one with their weights added up, rows of weight zero
    get a label and nothing else. Clusters are numbered from the heaviest to the
    lightest. With ``metric="precomputed"`` the estimator is tagged as pairwise; with
    ``metric="nan_euclidean"`` it takes NaN.

    References
    ----------
    .. [1] R. T. Ng and J. Han, "CLARANS: A Method for Clustering Objects for Spatial
       Data Mining", IEEE Transactions on Knowledge and Data Engineering 14, 2002.
    .. [2] E. Schubert and P. J. Rousseeuw, "Fast and eager k-medoids clustering:
       O(k) runtime improvement of the PAM, CLARA, and CLARANS algorithms",
       Information Systems 101, 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skalgos.cluster import CLARANS
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = CLARANS(n_clusters=3, random_state=0).fit(X)
    >>> model.labels_.shape
    (150,)
    """

    _parameter_constraints: dict = {
        **MedoidClusterer._parameter_constraints,
        "n_local": [Interval(Integral, 1, None, closed="left")],
        "max_neighbor": [
            Interval(RealNotInt, 0, 1, closed="right"),
            Interval(Integral, 1, None, closed="left"),
        ],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_clusters=8,
        *,
        metric="euclidean",
        metric_params=None,
        n_local=2,
        max_neighbor=0.025,
        init="random",
        max_iter=300,
        dtype="auto",
        random_state=None,
        n_jobs=None,
    ):
        self.n_clusters = n_clusters
        self.metric = metric
        self.metric_params = metric_params
        self.n_local = n_local
        self.max_neighbor = max_neighbor
        self.init = init
        self.max_iter = max_iter
        self.dtype = dtype
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _storage(self):
        return ("auto" if self.metric != "precomputed" else "matrix"), "auto", False

    def _search(self, X, weights, metric, problem):
        from skalgos.cluster._kmedoids.sampling import clarans
        from skalgos.cluster._kmedoids.solvers import INITIALISATIONS

        random_state = check_random_state(self.random_state)
        source = problem.source
        k = min(self.n_clusters, source.n)
        given = self._given_start(X, metric, problem, random_state)
        patience = self.max_neighbor
        if not isinstance(patience, Integral):
            patience = math.ceil(max(patience * (source.n - k), _FEWEST_PAIRS / k))

        def run(seed, on_sweep):
            rng = np.random.RandomState(seed)
            start = given
            if start is None:
                start = INITIALISATIONS[self.init](source, k, rng)
            return clarans(
                source,
                start,
                rng,
                patience=patience,
                max_iter=self.max_iter,
                on_sweep=on_sweep,
            )

        seeds = self._seeds(random_state, self.n_local)
        best = self._best_of_starts(
            X, weights, metric, problem, run, seeds, self.max_iter
        )
        if not best.converged and 0 < self.max_iter <= best.n_iter:
            warnings.warn(
                f"CLARANS stopped after max_iter={self.max_iter} times all rows, when "
                "exchanges were still found. Increase max_iter.",
                ConvergenceWarning,
                stacklevel=5,
            )
        self.loss_history_ = np.array(best.losses)
        return best


class OneBatchKMedoids(MedoidClusterer):
    """K-medoids with all rows as candidates, priced on one batch (OneBatchPAM).

    Draws a batch of rows, computes the dissimilarities of all rows to these alone, and
    runs FasterPAM as if the batch were all there is to be near to. Takes any metric;
    the loss ends a few percent above that of :class:`KMedoids`.
    Read more in the :ref:`User Guide <kmedoids>`.

    Parameters
    ----------
    n_clusters : int, default=8
        The number of clusters and medoids, at most the number of rows.

    metric : str or callable, default="euclidean"
        The dissimilarity, as in :class:`KMedoids`: a name that
        :func:`sklearn.metrics.pairwise_distances` knows, a function of two rows, or
        "precomputed" for a square matrix whose entry ``X[i, j]`` is the dissimilarity
        of object i to object j as its medoid.

    metric_params : dict, default=None
        Keyword arguments of the metric. What "seuclidean" and "mahalanobis" need and
        do not find here is estimated from X in ``fit``.

    batch_size : "auto" or int, default="auto"
        The number of rows in the batch, at least ``n_clusters``; all rows if there are
        fewer. "auto" is ``100 * log(n_samples * n_clusters)``, and at least five rows a
        cluster.

    weighting : {"nniw", "uniform"}, default="nniw"
        What a row of the batch stands for: with "nniw" the weight of the rows that are
        nearer to it than to others of the batch, with "uniform" as much as any other.

    memory_limit : "auto" or float, default="auto"
        How much memory the dissimilarities may take, in MiB; if they need more, they
        are computed anew in every sweep. "auto" is scikit-learn's ``working_memory``
        setting, 1024 if not changed.

    init : {"random", "build", "lab", "k-medoids++", "first"}, callable or array-like, \
            default="random"
        The medoids to start from, as in :class:`KMedoids`, by names
        within the batch.

    n_init : int, default=1
        The number of starts, each with a batch of its own, of which the best result
        for all rows is kept.

    max_iter : int, default=300
        The largest number of sweeps over all rows in one start.

    tol : float, default=1e-6
        Stop a start after a sweep that lowers the loss of the batch by this share or
        less.

    dtype : {"auto", "float32", "float64"}, default="auto"
        The precision in which dissimilarities are computed; "auto" is that of X, and
        double for integers. A precomputed matrix is taken as it is.

    random_state : int, RandomState instance or None, default=None
        Determines the batches and their starts. Pass an int for results
        that are the same in every call; they do not depend on the order of the rows.

    n_jobs : int or None, default=None
        The number of starts to run at the same time, in threads. ``None`` means 1
        unless in a :obj:`joblib.parallel_config` context, ``-1`` all processors. The
        result does not depend on it.

    Attributes
    ----------
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
        The sweeps of the best start.

    n_swaps_ : int
        The exchanges of the best start.

    converged_ : bool
        Whether the best start ended by itself.

    loss_history_ : ndarray of shape (n_iter_ + 1,)
        The loss of the batch at the best start and after each sweep, an estimate of
        that of all rows that is too low.

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
        If ``max_iter`` ended the best start, or X has fewer distinct rows than
        ``n_clusters``.

    See Also
    --------
    KMedoids : With ``solver="sampled"`` lower losses, for a few metrics.
    CLARA : Less memory.

    Notes
    -----
    Rows that are equal count as one with their weights added up, rows of weight zero
    get a label and nothing else. Clusters are numbered from the heaviest to the
    lightest. With ``metric="precomputed"`` the estimator is tagged as pairwise; with
    ``metric="nan_euclidean"`` it takes NaN.

    References
    ----------
    .. [1] A. de Mathelin, N. E. Cecchi, F. Deheeger, M. Mougeot and N. Vayatis,
       "OneBatchPAM: A Fast and Frugal K-Medoids Algorithm", AAAI 2025.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skalgos.cluster import OneBatchKMedoids
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = OneBatchKMedoids(n_clusters=3, batch_size=60, random_state=0).fit(X)
    >>> model.medoid_indices_.shape
    (3,)
    """

    _parameter_constraints: dict = {
        **MedoidClusterer._parameter_constraints,
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "weighting": [StrOptions({"nniw", "uniform"})],
        "memory_limit": [
            StrOptions({"auto"}),
            Interval(Real, 0, None, closed="left"),
        ],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_clusters=8,
        *,
        metric="euclidean",
        metric_params=None,
        batch_size="auto",
        weighting="nniw",
        memory_limit="auto",
        init="random",
        n_init=1,
        max_iter=300,
        tol=1e-6,
        dtype="auto",
        random_state=None,
        n_jobs=None,
    ):
        self.n_clusters = n_clusters
        self.metric = metric
        self.metric_params = metric_params
        self.batch_size = batch_size
        self.weighting = weighting
        self.memory_limit = memory_limit
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.dtype = dtype
        self.random_state = random_state
        self.n_jobs = n_jobs

    def _search(self, X, weights, metric, problem):
        from skalgos.cluster._kmedoids.sampling import one_batch
        from skalgos.cluster._kmedoids.solvers import INITIALISATIONS

        source = problem.source
        k = min(self.n_clusters, source.n)
        size = self.batch_size
        if size == "auto":
            size = max(int(100 * math.log(source.n * k + 1)), 5 * k)
        elif size < self.n_clusters:
            raise ValueError(
                f"batch_size={size} should be at least n_clusters={self.n_clusters}."
            )
        random_state = check_random_state(self.random_state)
        given = self._given_start(X, metric, problem, random_state)

        def run(seed, on_sweep):
            return one_batch(
                source,
                k,
                np.random.RandomState(seed),
                size=size,
                weighting=self.weighting,
                n_bytes=in_bytes(self.memory_limit),
                init=INITIALISATIONS[self.init] if given is None else given,
                max_iter=self.max_iter,
                tol=self.tol,
                on_sweep=on_sweep,
            )

        seeds = self._seeds(random_state, self.n_init)
        best = self._best_of_starts(
            X, weights, metric, problem, run, seeds, self.max_iter
        )
        if not best.converged and 0 < self.max_iter <= best.n_iter:
            warnings.warn(
                f"OneBatchKMedoids stopped after max_iter={self.max_iter} sweeps, when "
                "they still lowered the loss. Increase max_iter, or set tol.",
                ConvergenceWarning,
                stacklevel=5,
            )
        self.loss_history_ = np.array(best.losses)
        return best
