"""What the estimators around medoids have in common."""

from numbers import Integral

import numpy as np
from joblib import Parallel, delayed
from scipy import sparse
from sklearn.base import (
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.metrics.pairwise import PAIRWISE_DISTANCE_FUNCTIONS
from sklearn.utils import check_array
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
from skalgos.cluster._kmedoids.quotients import ratios

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


class MedoidClusterer(
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ClusterMixin,
    SkalEstimator,
):
    """Base of the estimators: data in, medoids out.

    Subclasses have ``_search(X, weights, metric, problem)``, which returns a ``Fit``,
    and choose with ``_storage`` how dissimilarities are known.
    """

    _parameter_constraints: dict = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions(_METRICS), callable],
        "metric_params": [dict, None],
        "init": [
            StrOptions({"random", "build", "lab", "k-medoids++", "first"}),
            callable,
            "array-like",
        ],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "dtype": [StrOptions({"auto", "float32", "float64"})],
        "random_state": ["random_state"],
    }
    _precomputed_dtypes = (np.float64, np.float32, *_INTEGERS)
    # Of those that have no such parameters.
    warm_start = False
    n_jobs = None

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
        weights = check_sample_weight(sample_weight, X, np.float64)
        n_present = np.count_nonzero(weights)
        n_samples, n_clusters = X.shape[0], self._most_clusters(n_present)
        if n_clusters > n_samples:
            raise ValueError(
                f"n_samples={n_samples} should be >= n_clusters={n_clusters}."
            )
        if n_clusters > n_present:
            raise ValueError(
                f"n_clusters={n_clusters} is more than the {n_present} samples "
                "whose sample_weight is not zero."
            )
        solver, memory_limit, screened = self._storage()
        threads = n_threads(self.n_jobs)
        if self.metric == "precomputed":
            metric = None
            problem = precomputed_problem(X, weights, n_clusters, screened, threads)
        else:
            metric = Metric(self.metric, self.metric_params, X, weights)
            problem = features_problem(
                X, weights, n_clusters, metric, solver, memory_limit, screened, threads
            )
        fit = self._search(X, weights, metric, problem)
        medoids = problem.rows_of(fit.medoids, self._n_found(fit.medoids))
        attributes = fitted(X, medoids, metric, weights)
        self.__dict__.pop("cluster_centers_", None)
        vars(self).update(attributes)
        self.init_indices_ = problem.rows_of(fit.start)
        self.n_iter_ = fit.n_iter
        self.n_swaps_ = fit.n_swaps
        self.converged_ = fit.converged

    def _most_clusters(self, n_samples):
        """Return the number of medoids to start with."""
        return self.n_clusters

    def _n_found(self, medoids):
        """Return the number of medoids to end with, repeats of rows included."""
        return self.n_clusters

    def _storage(self):
        """Return the solver and memory_limit of KMedoids, and if a screen will do."""
        return "matrix-free", 0, False

    def _validated(self, X, *, reset):
        """Check X as fit and predict take it, and convert it to what is computed on."""
        metric = self.metric
        if metric == "precomputed":
            X = validate_data(
                self,
                X,
                reset=reset,
                dtype=list(self._precomputed_dtypes),
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

    def _best_of_starts(self, X, weights, metric, problem, run, seeds, steps):
        """Run several starts, and return the one of the smallest loss.

        ``run(seed, on_step) -> Fit`` calls ``on_step`` before each step, of which there
        are at most ``steps``, and then what that returns with its medoids and loss.
        """
        n_starts = len(seeds)
        whole = fit_task(
            self, X, sample_weight=weights, max_subtasks=n_starts, sequential=False
        )

        def start(number, seed):
            task = whole.subtask("start", task_id=number, max_subtasks=steps)

            def on_step():
                sweep = task.subtask("sweep")

                def end(medoids, loss):
                    def attributes():
                        rows = problem.rows_of(medoids, self._n_found(medoids))
                        return fitted(X, rows, metric, weights)

                    return sweep.end(attributes)

                return end

            return run(seed, on_step), task.end()

        threads = min(n_threads(self.n_jobs), n_starts)
        if threads == 1:
            runs = map(start, range(n_starts), seeds)
        else:
            runs = Parallel(n_jobs=threads, require="sharedmem")(
                delayed(start)(number, seed) for number, seed in enumerate(seeds)
            )
        best = None
        for fit, stop in runs:
            if best is None or fit.loss < best.loss * (1 - _SAME_LOSS):
                best = fit
            if stop:
                break
        whole.end()
        return best

    def _seeds(self, random_state, n_starts):
        return random_state.randint(np.iinfo(np.int32).max, size=n_starts)

    def _n_starts(self, n_objects, given):
        """Return n_init as a number."""
        if self.n_init != "auto":
            return self.n_init
        if given is not None or self.init == "build":
            return 1
        return 10 if n_objects <= 2000 else 3 if n_objects <= 20000 else 1

    def _given_start(self, X, metric, problem, random_state):
        """Return the start that init or the previous fit gives, None if it is drawn."""
        init = self.init
        if self.warm_start and hasattr(self, "medoid_indices_"):
            if len(self.medoid_indices_) != problem.n_clusters:
                raise ValueError(
                    "With warm_start=True n_clusters must stay the same; it was "
                    f"{len(self.medoid_indices_)} and is now {problem.n_clusters}."
                )
            init = self.medoid_indices_ if metric is None else self.cluster_centers_
        elif callable(init):
            init = init(X, problem.n_clusters, random_state)
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
        k = problem.n_clusters
        if init.shape != (k, X.shape[1]):
            raise ValueError(
                f"init must have shape (n_clusters,)=({k},), indices of rows, or "
                f"(n_clusters, n_features)=({k}, {X.shape[1]}), points; got "
                f"{init.shape}."
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


def fitted(X, medoids, metric, weights):
    """Return the fitted attributes that follow from the medoids."""
    from skalgos.cluster._kmedoids.solvers import assign

    def to_medoids(rows):
        if metric is None:
            return X[rows][:, medoids]
        return metric.between(X[rows], X[medoids])

    k = len(medoids)
    medoids, near, sec, d1, d2 = assign(to_medoids, medoids, weights)
    silhouettes = 1 - ratios(d1, d2) if k > 1 else np.zeros(len(d1))
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
