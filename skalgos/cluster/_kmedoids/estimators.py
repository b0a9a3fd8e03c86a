"""KMedoids, on data of any kind."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from skalgos._compat import Interval, StrOptions
from skalgos._threads import n_threads
from skalgos.cluster._kmedoids.base import MedoidClusterer


class KMedoids(MedoidClusterer):
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

    solver : {"auto", "matrix", "matrix-free", "sampled"}, default="auto"
        Whether dissimilarities are stored. All but "sampled" give the same result, up
        to rounding.

        - "matrix" stores those of all pairs: one byte each for metrics that are
          computed here ("euclidean", "sqeuclidean", "manhattan", "chebyshev", "cosine",
          "correlation", "hamming" and their synonyms, on dense X), else one number
          each, and from 1500 rows on one byte more, or less with many rows and
          clusters. Methods other than "fasterpam" need one number each, and no more.
        - "matrix-free" stores none, and computes them again in every sweep.
        - "sampled" stores none, and leaves out most of them: for tens of thousands of
          rows to millions. It starts from what it finds in samples of the rows, prices
          a candidate on as many of them as it takes to see that it does not pay, and
          exchanges only what pays on all. A sweep tries a tenth of the rows, at least
          50000, and one that gains 1e-4 of the loss is the last. The loss ends less
          than half a percent above that of the others, as a rule. Needs dense X, one
          of the metrics above and method="fasterpam"; ``n_init`` counts the starts in
          the smallest sample, 3 for "auto", and all runs in one thread.
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
        cluster has a better medoid; with ``solver="sampled"`` it proves nothing.

    loss_history_ : ndarray of shape (n_iter_ + 1,)
        The loss at the start and after each sweep, in the best start. The proof that
        ends a run may need only a part of the last sweep.

    init_indices_ : ndarray of shape (n_clusters,)
        The rows that the best start began with.

    solver_ : {"matrix", "matrix-free", "sampled"}
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
    CLARA, CLARANS, OneBatchKMedoids : For many rows and any metric.
    MedoidSilhouette : Medoids that are far from each other, and how many there are.
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
        **MedoidClusterer._parameter_constraints,
        "method": [
            StrOptions({"fasterpam", "fastpam1", "fastpam2", "pam", "alternate"})
        ],
        "n_init": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "solver": [StrOptions({"auto", "matrix", "matrix-free", "sampled"})],
        "memory_limit": [
            StrOptions({"auto"}),
            Interval(Real, 0, None, closed="left"),
        ],
        "warm_start": ["boolean"],
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
        tags.input_tags.sparse &= self.solver != "sampled"
        return tags

    def _storage(self):
        if self.metric == "precomputed" and self.solver in ("matrix-free", "sampled"):
            raise ValueError(
                f"solver='{self.solver}' computes dissimilarities from features; with "
                "metric='precomputed' use solver='matrix' or 'auto'."
            )
        if self.solver == "sampled" and self.method != "fasterpam":
            raise ValueError(
                "solver='sampled' is a form of method='fasterpam'; got "
                f"method='{self.method}'."
            )
        return self.solver, self.memory_limit, self.method == "fasterpam"

    def _search(self, X, weights, metric, problem):
        """Run the method from each start, and return the run of the smallest loss."""
        from skalgos.cluster._kmedoids.solvers import INITIALISATIONS
        from skalgos.cluster._kmedoids.variants import METHODS

        random_state = check_random_state(self.random_state)
        source = problem.source
        k = min(self.n_clusters, source.n)
        given = self._given_start(X, metric, problem, random_state)
        n_starts = self._n_starts(source.n, given)
        samples = problem.solver == "sampled"
        if samples:
            from skalgos.cluster._kmedoids.sampled import sampled, start_from_samples

            n_init, n_starts = (3 if self.n_init == "auto" else self.n_init), 1
        limits = {"max_iter": self.max_iter, "tol": self.tol}
        within = {}
        if self.method == "fasterpam" and n_starts == 1:
            within["threads"] = n_threads(self.n_jobs)

        def run(seed, on_step):
            rng = np.random.RandomState(seed)
            start = given
            if samples:
                if start is None:
                    init = INITIALISATIONS[self.init]
                    start = start_from_samples(source, k, rng, init, n_init)
                return sampled(source, start, rng, on_sweep=on_step, **limits)
            if start is None:
                start = INITIALISATIONS[self.init](source, k, rng)
            order = source.canonical[rng.permutation(source.n)]
            return METHODS[self.method](
                source, start, order, on_sweep=on_step, **limits, **within
            )

        seeds = self._seeds(random_state, n_starts)
        best = self._best_of_starts(
            X, weights, metric, problem, run, seeds, self.max_iter
        )
        if not best.converged and 0 < self.max_iter <= best.n_iter:
            warnings.warn(
                f"KMedoids stopped after max_iter={self.max_iter} sweeps, when they "
                "still lowered the loss. Increase max_iter, or set tol.",
                ConvergenceWarning,
                stacklevel=5,
            )
        self.loss_history_ = np.array(best.losses)
        self.solver_ = problem.solver
        return best
