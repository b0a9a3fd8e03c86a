"""KMedoids, and the same as a function."""

import warnings
from numbers import Integral, Real

import numpy as np
from joblib import Parallel, delayed
from scipy import sparse
from sklearn.base import (
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import PAIRWISE_DISTANCE_FUNCTIONS
from sklearn.utils import check_array, check_random_state
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
from skalgos._threads import n_threads
from skalgos.cluster._kmedoids.metrics import PAIRWISE_BOOLEAN_FUNCTIONS, Metric
from skalgos.cluster._kmedoids.problems import features_problem, precomputed_problem

_METRICS = (
    set(PAIRWISE_DISTANCE_FUNCTIONS)
    | set(PAIRWISE_BOOLEAN_FUNCTIONS)
    | {"braycurtis", "canberra", "chebyshev", "correlation", "hamming", "l1", "l2"}
    | {"mahalanobis", "minkowski", "seuclidean", "sqeuclidean", "precomputed"}
)
_SPARSE_METRICS = {"cityblock", "cosine", "euclidean", "l1", "l2", "manhattan"}
# Starts whose losses differ by less, relatively, may differ by rounding alone: the
# first of them is kept, whichever way the dissimilarities were computed.
_SAME_LOSS = 1e-9
_INTEGERS = [np.int32, np.int64, np.uint8, np.uint16]


class KMedoids(
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ClusterMixin,
    SkalEstimator,
):
    """K-medoids clustering by FasterPAM and its kin, for any dissimilarity.

    Finds ``n_clusters`` rows of the data, the medoids, that minimise the weighted sum
    of the dissimilarities of all rows to the nearest of them. A medoid is a real
    observation, the dissimilarity can be anything, and a few far-off rows do not drag
    a centre along as they do in k-means.

    FasterPAM starts from some medoids and goes through all rows in random order: a row
    takes the place of a medoid as soon as that lowers the sum. It ends when no
    single exchange does, which is the local optimum that PAM finds, at a cost per
    candidate that does not depend on ``n_clusters``. Read more in the
    :ref:`User Guide <kmedoids>`.

    Parameters
    ----------
    n_clusters : int, default=8
        The number of clusters and medoids, at most the number of rows.

    metric : str or callable, default="euclidean"
        The dissimilarity: any name that :func:`sklearn.metrics.pairwise_distances`
        knows; a symmetric function of two rows that returns a number of at least 0; or
        "precomputed", for which X is a square matrix whose entry ``X[i, j]`` is the
        dissimilarity of object i to object j as its medoid. It may be asymmetric and
        need not obey the triangle inequality.

    metric_params : dict, default=None
        Keyword arguments of the metric. What "seuclidean" and "mahalanobis" need and
        do not find here is estimated from X in ``fit``.

    method : {"fasterpam", "fastpam1", "fastpam2", "pam", "alternate"}, \
            default="fasterpam"
        The algorithm. All but the last end where no single exchange lowers the loss.

        - "fasterpam" makes exchanges as soon as they pay, many in a sweep.
        - "fastpam1" makes the best of all exchanges each time, as PAM does.
        - "fastpam2" makes the best exchange for each medoid in every sweep, those that
          still pay after the ones before.
        - "pam" is "fastpam1" with the price of every exchange computed by itself, as it
          was published: slow, for reference.
        - "alternate" finds the medoid of each cluster, and the clusters of the medoids,
          in turn: quick to end, at higher losses.

    init : {"random", "build", "lab", "k-medoids++", "first"}, callable or array-like, \
            default="random"
        The medoids to start from:

        - "random": distinct rows, all alike. With ``n_init`` starts it ends as low as
          any other, and takes the least time.
        - "build": the greedy BUILD of PAM, computed lazily; not random.
        - "lab": BUILD on small random samples.
        - "k-medoids++": drawn with probability proportional to weight times distance
          to the nearest so far, the best of a few draws each time.
        - "first": the first ``n_clusters`` distinct rows.
        - array-like of shape (n_clusters,): indices of rows.
        - array-like of shape (n_clusters, n_features): points; the nearest row is taken
          for each.
        - callable: ``init(X, n_clusters, random_state)`` that returns one of those two.

        Rows equal to an earlier choice are replaced by others.

    n_init : "auto" or int, default="auto"
        The number of starts, of which the best result is kept. "auto" means 10 up to
        2000 rows, 3 up to 20000, else 1; and 1 where nothing in ``init`` is random.

    max_iter : int, default=300
        The largest number of sweeps over all candidates in one start. 0 keeps the
        medoids of ``init``. With "fastpam1" and "pam" a sweep makes one exchange.

    tol : float, default=0.0
        Stop a start after a sweep that lowers the loss by this share of it or less.
        With 0 it goes on until the method finds nothing that lowers the loss.

    solver : {"auto", "matrix", "matrix-free"}, default="auto"
        Whether dissimilarities are stored. All give the same result, up to rounding.

        - "matrix" stores those of all pairs: one byte each for metrics that are
          computed here ("euclidean", "sqeuclidean", "manhattan", "chebyshev", "cosine",
          "correlation", "hamming" and their synonyms, on dense X), else one number
          each, and from 1500 rows on one byte more. Methods other than "fasterpam"
          need one number each, and no more.
        - "matrix-free" stores none, and computes them again in every sweep.
        - "auto" takes "matrix" if it fits into ``memory_limit``, unless the metric is
          computed here and X has at most 4 features and 1500 rows or more: then most
          pairs need not be looked at.

    memory_limit : "auto" or float, default="auto"
        What solver="auto" may store, in MiB. "auto" is scikit-learn's
        ``working_memory`` setting, 1024 if not changed.

    dtype : {"auto", "float32", "float64"}, default="auto"
        The precision in which dissimilarities are computed; "auto" is that of X, and
        double for integers. A precomputed matrix is taken as it is.

    warm_start : bool, default=False
        Whether to start from the medoids of the previous fit, mapped to the nearest
        rows of X, instead of from ``init``. With a precomputed matrix their indices
        are used again.

    random_state : int, RandomState instance or None, default=None
        Determines the starts and the order of the candidates. Pass an int for results
        that are the same in every call; they do not depend on the order of the rows.

    n_jobs : int or None, default=None
        The number of threads: for starts at the same time, or for a single start, where
        with method="fasterpam" they look for exchanges together. ``None`` means 1
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
        The loss: the weighted sum of the dissimilarities to the nearest medoids.

    distances_ : ndarray of shape (n_samples,)
        The dissimilarity of each row to its medoid.

    second_labels_ : ndarray of shape (n_samples,), int32
        The cluster of the second nearest medoid of each row; -1 if there is only one.

    second_distances_ : ndarray of shape (n_samples,)
        The dissimilarity to the second nearest medoid; infinite if there is only one.

    medoid_silhouette_ : float
        The weighted mean of ``1 - distances_ / second_distances_``, between 0 and 1:
        how much nearer rows are to their own medoid than to the next. Rows at distance
        zero from both count as 0, and so does everything if ``n_clusters`` is 1.

    n_iter_ : int
        The sweeps of the best start.

    n_swaps_ : int
        The exchanges of the best start.

    converged_ : bool
        Whether the best start ended by itself. With ``tol=0`` this is the proof that
        no single exchange lowers the loss; with ``method="alternate"``, that no
        cluster has a better medoid.

    loss_history_ : ndarray of shape (n_iter_ + 1,)
        The loss at the start and after each sweep, in the best start. The proof that
        ends a run may need only a part of the last sweep.

    init_indices_ : ndarray of shape (n_clusters,)
        The rows that the best start began with.

    solver_ : {"matrix", "matrix-free"}
        The solver in use.

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
    k_medoids : The same as a function, with less ado for a precomputed matrix.
    sklearn.cluster.KMeans : Centres that are means, for squared Euclidean distances.

    Notes
    -----
    Rows that are equal count as one with their weights added up, so that weighting a
    row is the same as repeating it; rows of weight zero are as good as absent, except
    that they get a label. Clusters are numbered from the heaviest to the lightest.

    Random choices are made over the distinct rows in an order of their own: that of
    their total dissimilarity to all others where it is at hand, for a precomputed
    matrix and up to 1500 rows, and else that of their values. The order of the rows
    therefore does not matter, and up to 1500 rows a precomputed matrix gives what the
    features give that it was computed from.

    A sweep costs n * n dissimilarities, two to five of them are usual. Memory: n * n
    bytes in the way described under ``solver``, or about twice the size of X, and
    n * n_clusters numbers.

    With ``metric="precomputed"`` the estimator is tagged as pairwise, so that
    cross-validation cuts rows and columns; and checks that compare weights with
    repeated rows of X do not apply. With ``metric="nan_euclidean"`` it takes NaN.

    A precomputed matrix in C order must be symmetric, or is copied; in Fortran order
    it is always used as it is. Integers are not converted.

    References
    ----------
    .. [1] E. Schubert and P. J. Rousseeuw, "Fast and eager k-medoids clustering:
       O(k) runtime improvement of the PAM, CLARA, and CLARANS algorithms",
       Information Systems 101, 2021.
    .. [2] L. Kaufman and P. J. Rousseeuw, "Finding Groups in Data: An Introduction to
       Cluster Analysis", Wiley, 1990.
    .. [3] D. Arthur and S. Vassilvitskii, "k-means++: The Advantages of Careful
       Seeding", SODA 2007.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skalgos.cluster import KMedoids
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = KMedoids(n_clusters=3, random_state=0).fit(X)
    >>> model.medoid_indices_
    array([ 78,   7, 112])
    >>> print(round(model.inertia_, 4))
    98.1312
    >>> model.predict([[5.0, 3.4, 1.5, 0.2]])
    array([1], dtype=int32)
    """

    _parameter_constraints: dict = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions(_METRICS), callable],
        "metric_params": [dict, None],
        "method": [
            StrOptions({"fasterpam", "fastpam1", "fastpam2", "pam", "alternate"})
        ],
        "init": [
            StrOptions({"random", "build", "lab", "k-medoids++", "first"}),
            callable,
            "array-like",
        ],
        "n_init": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "solver": [StrOptions({"auto", "matrix", "matrix-free"})],
        "memory_limit": [
            StrOptions({"auto"}),
            Interval(Real, 0, None, closed="left"),
        ],
        "dtype": [StrOptions({"auto", "float32", "float64"})],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_clusters=8,
        *,
        metric="euclidean",
        metric_params=None,
        method="fasterpam",
        init="random",
        n_init="auto",
        max_iter=300,
        tol=0.0,
        solver="auto",
        memory_limit="auto",
        dtype="auto",
        warm_start=False,
        random_state=None,
        n_jobs=None,
    ):
        self.n_clusters = n_clusters
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
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_jobs = n_jobs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        precomputed = self.metric == "precomputed"
        tags.input_tags.pairwise = precomputed
        tags.input_tags.positive_only = precomputed
        tags.input_tags.sparse = (
            isinstance(self.metric, str) and self.metric in _SPARSE_METRICS
        )
        tags.input_tags.allow_nan = self.metric == "nan_euclidean"
        kept = ["float64", "float32"] if self.dtype == "auto" else [self.dtype]
        tags.transformer_tags.preserves_dtype = kept
        return tags

    # ---- fitting ---------------------------------------------------------------------
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Find the medoids.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features) or \
                (n_samples, n_samples)
            The data; the dissimilarities if ``metric="precomputed"``. Sparse data go
            with metric "euclidean", "manhattan", "cosine" and their synonyms.

        y : Ignored
            Not used, present for API consistency by convention.

        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts, at least 0; None is 1 for all.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with self._all_or_nothing():
            self._fit(self._validated(X, reset=True), sample_weight)
        return self

    def _fit(self, X, sample_weight):
        n_samples = X.shape[0]
        if self.n_clusters > n_samples:
            raise ValueError(
                f"n_samples={n_samples} should be >= n_clusters={self.n_clusters}."
            )
        weights = check_sample_weight(sample_weight, X, np.float64)
        n_present = np.count_nonzero(weights)
        if self.n_clusters > n_present:
            raise ValueError(
                f"n_clusters={self.n_clusters} is more than the {n_present} samples "
                "whose sample_weight is not zero."
            )
        screened = self.method == "fasterpam"
        if self.metric == "precomputed":
            if self.solver == "matrix-free":
                raise ValueError(
                    "solver='matrix-free' computes dissimilarities from features; with "
                    "metric='precomputed' use solver='matrix' or 'auto'."
                )
            metric = None
            problem = precomputed_problem(
                X, weights, self.n_clusters, screened, n_threads(self.n_jobs)
            )
        else:
            metric = Metric(self.metric, self.metric_params, X, weights)
            problem = features_problem(
                X,
                weights,
                self.n_clusters,
                metric,
                self.solver,
                self.memory_limit,
                screened,
                n_threads(self.n_jobs),
            )
        fit = self._best_of_starts(X, weights, metric, problem)

        attributes = _fitted(X, problem.rows_of(fit.medoids), metric, weights)
        self.__dict__.pop("cluster_centers_", None)
        vars(self).update(attributes)
        self.init_indices_ = problem.rows_of(fit.start)
        self.n_iter_ = fit.n_iter
        self.n_swaps_ = fit.n_swaps
        self.converged_ = fit.converged
        self.loss_history_ = np.array(fit.losses)
        self.solver_ = problem.solver

    def _validated(self, X, *, reset):
        """Check X as fit and predict take it, and convert it to what is computed on."""
        metric = self.metric
        if metric == "precomputed":
            X = validate_data(
                self,
                X,
                reset=reset,
                dtype=[np.float64, np.float32, *_INTEGERS],
                ensure_all_finite=not reset,
            )
            if reset and X.shape[0] != X.shape[1]:
                raise ValueError(
                    "With metric='precomputed', X must be a square matrix of "
                    f"dissimilarities; got shape {X.shape}."
                )
            return X
        dtype = [np.float64, np.float32] if self.dtype == "auto" else self.dtype
        boolean = isinstance(metric, str) and metric in PAIRWISE_BOOLEAN_FUNCTIONS
        nan_too = isinstance(metric, str) and metric == "nan_euclidean"
        X = validate_data(
            self,
            X,
            reset=reset,
            accept_sparse="csr" if self.__sklearn_tags__().input_tags.sparse else False,
            dtype="numeric" if boolean else dtype,
            ensure_all_finite="allow-nan" if nan_too else True,
        )
        return X.astype(bool) if boolean else X

    def _best_of_starts(self, X, weights, metric, problem):
        """Run the method from each start, and return the run of the smallest loss."""
        from skalgos.cluster._kmedoids.solvers import INITIALISATIONS
        from skalgos.cluster._kmedoids.variants import METHODS

        method = METHODS[self.method]

        random_state = check_random_state(self.random_state)
        source = problem.source
        k = min(self.n_clusters, source.n)
        given = self._given_start(X, metric, problem, random_state)
        if self.n_init != "auto":
            n_starts = self.n_init
        elif given is not None or self.init == "build":
            n_starts = 1
        else:
            n_starts = 10 if source.n <= 2000 else 3 if source.n <= 20000 else 1
        seeds = random_state.randint(np.iinfo(np.int32).max, size=n_starts)
        whole = fit_task(
            self, X, sample_weight=weights, max_subtasks=n_starts, sequential=False
        )

        def run(number, seed):
            rng = np.random.RandomState(seed)
            start = given
            if start is None:
                start = INITIALISATIONS[self.init](source, k, rng)
            order = source.canonical[rng.permutation(source.n)]
            task = whole.subtask("start", task_id=number, max_subtasks=self.max_iter)

            def on_sweep():
                sweep = task.subtask("sweep")

                def end(medoids, loss):
                    def attributes():
                        return _fitted(X, problem.rows_of(medoids), metric, weights)

                    return sweep.end(attributes)

                return end

            fit = method(
                source,
                start,
                order,
                max_iter=self.max_iter,
                tol=self.tol,
                on_sweep=on_sweep,
                **within,
            )
            return fit, task.end()

        threads, within = min(n_threads(self.n_jobs), n_starts), {}
        if self.method == "fasterpam" and n_starts == 1:
            within["threads"] = n_threads(self.n_jobs)
        if threads == 1:
            runs = map(run, range(n_starts), seeds)
        else:
            runs = Parallel(n_jobs=threads, require="sharedmem")(
                delayed(run)(number, seed) for number, seed in enumerate(seeds)
            )
        best = None
        for fit, stop in runs:
            if best is None or fit.loss < best.loss * (1 - _SAME_LOSS):
                best = fit
            if stop:
                break
        whole.end()
        if not best.converged and 0 < self.max_iter <= best.n_iter:
            warnings.warn(
                f"KMedoids stopped after max_iter={self.max_iter} sweeps, when they "
                "still lowered the loss. Increase max_iter, or set tol.",
                ConvergenceWarning,
                stacklevel=5,
            )
        return best

    def _given_start(self, X, metric, problem, random_state):
        """Return the start that init or the previous fit gives, None if it is drawn."""
        init = self.init
        if self.warm_start and hasattr(self, "medoid_indices_"):
            if len(self.medoid_indices_) != self.n_clusters:
                raise ValueError(
                    "With warm_start=True n_clusters must stay the same; it was "
                    f"{len(self.medoid_indices_)} and is now {self.n_clusters}."
                )
            init = self.medoid_indices_ if metric is None else self.cluster_centers_
        elif callable(init):
            init = init(X, self.n_clusters, random_state)
        elif isinstance(init, str):
            if init != "first":
                return None
            return problem.first_start()
        if not sparse.issparse(init):
            init = np.asarray(init)
        if len(init.shape) == 1:
            return problem.start_at_rows(init)
        if metric is None:
            raise ValueError(
                "With metric='precomputed', init must be indices of rows, an array of "
                f"shape (n_clusters,); got shape {init.shape}."
            )
        if init.shape != (self.n_clusters, X.shape[1]):
            raise ValueError(
                f"init must have shape (n_clusters,)=({self.n_clusters},), indices of "
                f"rows, or (n_clusters, n_features)=({self.n_clusters}, {X.shape[1]}), "
                f"points; got {init.shape}."
            )
        points = check_array(
            init, accept_sparse="csr", dtype=X.dtype, input_name="init"
        )
        return problem.start_at_points(metric.between(points, X[problem.first]))

    # ---- using -----------------------------------------------------------------------
    def transform(self, X):
        """Compute the dissimilarities to the medoids.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features) or \
                (n_samples, n_samples_fit)
            New rows; if ``metric="precomputed"``, their dissimilarities to the objects
            that were passed to ``fit``.

        Returns
        -------
        distances : ndarray of shape (n_samples, n_clusters)
            The dissimilarity of each row to each medoid.
        """
        check_is_fitted(self)
        return self._to_medoids(self._validated(X, reset=False))

    def _to_medoids(self, X):
        if self._metric is None:
            return X[:, self.medoid_indices_]
        centers = self.cluster_centers_
        distances = self._metric.between(X, centers.astype(X.dtype, copy=False))
        self._metric.check(distances)
        return distances

    def predict(self, X):
        """Find the nearest medoid of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features) or \
                (n_samples, n_samples_fit)
            New rows; if ``metric="precomputed"``, their dissimilarities to the objects
            that were passed to ``fit``.

        Returns
        -------
        labels : ndarray of shape (n_samples,), int32
            Ties go to the smaller label.
        """
        check_is_fitted(self)
        return self._nearest(X, np.argmin).astype(np.int32)

    def _nearest(self, X, reduce):
        """Reduce the dissimilarities of each row to its medoids to one number."""
        from skalgos.cluster._kmedoids.solvers import in_parts

        X = self._validated(X, reset=False)
        parts = in_parts(X.shape[0], len(self.medoid_indices_))
        rows = [reduce(self._to_medoids(X[part]), axis=1) for part in parts]
        return np.concatenate(rows)

    def score(self, X, y=None, sample_weight=None):
        """Return minus the loss of new rows: larger is better.

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
            Minus the weighted sum of the dissimilarities to the nearest medoids.
        """
        check_is_fitted(self)
        nearest = self._nearest(X, np.min)
        weights = check_sample_weight(sample_weight, nearest, np.float64)
        return -float(weights @ nearest)


def _fitted(X, medoids, metric, weights):
    """Return the fitted attributes that follow from the medoids."""
    from skalgos.cluster._kmedoids.solvers import assign

    def to_medoids(rows):
        if metric is None:
            return X[rows][:, medoids]
        return metric.between(X[rows], X[medoids])

    k = len(medoids)
    medoids, near, sec, d1, d2 = assign(to_medoids, medoids, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        nearer = 1 - d1 / d2 if k > 1 else np.zeros(len(d1))
    silhouettes = np.where(d2 > 0, nearer, 0)
    attributes = {} if metric is None else {"cluster_centers_": X[medoids]}
    return attributes | {
        "_metric": metric,
        "_n_features_out": k,
        "medoid_indices_": medoids,
        "labels_": near,
        "second_labels_": sec,
        "distances_": d1,
        "second_distances_": d2.astype(d1.dtype) if d1.dtype.kind == "f" else d2,
        "inertia_": float(weights @ d1),
        "medoid_silhouette_": float(np.average(silhouettes, weights=weights)),
    }
