"""The choice of the number of hyperplanes and of the penalty."""

from numbers import Integral

import numpy as np
from joblib import Parallel, delayed
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import StratifiedKFold, check_cv
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skalgos._compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    _fit_context,
)
from skalgos._tasks import fit_task
from skalgos._threads import n_threads
from skalgos.linear_model._checkered.base import _CheckeredBase
from skalgos.linear_model._checkered.estimators import CheckeredClassifier

_FITTED = (
    "coef_",
    "intercept_",
    "class_order_",
    "noise_",
    "n_active_",
    "loss_",
    "n_iter_",
    "converged_",
    "_residues",
)


class CheckeredClassifierCV(CallbackSupportMixin, _CheckeredBase):
    """Checkered regression with the number of hyperplanes and C chosen by the data.

    The choice is by cross-validation, or by the Bayesian information criterion, for
    which every model is fitted once. Read more in the :ref:`User Guide <checkered>`.

    Parameters
    ----------
    n_hyperplanes : array-like of int, default=(1, 2, 3, 4)
        The numbers of hyperplanes to choose from. Those above the number of different
        samples, in a fold or in all, count as no better than the next smaller one.

    Cs : int or array-like of float, default=10
        The values of C to choose from; a number stands for so many between 1e-4 and
        1e4, on a logarithmic scale.

    cv : int, cross-validation generator, iterable or None, default=5
        The folds, for ``criterion="cv"``. An int is the number of folds of different
        samples, with equal shares of all classes, drawn by ``random_state``; there are
        fewer folds if a class has fewer different samples. None is 5.

    scoring : str or callable, default="neg_log_loss"
        What to maximise over the folds: the name of a scorer of scikit-learn, or
        ``scoring(estimator, X, y)``.

    criterion : {"cv", "bic"}, default="cv"
        Whether to choose by cross-validation or by the smallest Bayesian information
        criterion. The latter was made for maximum likelihood, so that it prefers the
        largest C; give a single one.

    refit : bool, default=True
        Whether to fit the chosen model to all samples.

    fit_intercept : bool, default=True
        As in :class:`CheckeredClassifier`.

    class_weight : dict, "balanced" or None, default=None
        As in :class:`CheckeredClassifier`, from the weights of all samples. Scores are
        weighted by it too.

    noise : float, "fit" or None, default=None
        As in :class:`CheckeredClassifier`.

    multi_class : {"circular", "ovr"}, default="circular"
        As in :class:`CheckeredClassifier`.

    class_order : array-like of shape (n_classes,), "auto" or None, default=None
        As in :class:`CheckeredClassifier`.

    n_init : int or "auto", default="auto"
        As in :class:`CheckeredClassifier`, for the largest C. The fits with smaller
        ones start from there.

    search_samples : int, default=2000
        As in :class:`CheckeredClassifier`.

    max_iter : int, default=500
        As in :class:`CheckeredClassifier`.

    tol : float, default=1e-6
        As in :class:`CheckeredClassifier`.

    random_state : int, RandomState instance or None, default=None
        Determines the folds and the starts.

    n_jobs : int or None, default=None
        The number of folds to work on at the same time, in threads. ``None`` means 1
        unless in a :obj:`joblib.parallel_config` context, ``-1`` all processors. The
        result does not depend on it.

    Attributes
    ----------
    n_hyperplanes_ : int
        The number of hyperplanes chosen. Of equal scores the smaller number wins, and
        the smaller C.

    C_ : float
        The C chosen.

    Cs_ : ndarray of shape (n_Cs,)
        All values of C, in increasing order.

    scores_ : ndarray of shape (n_folds, n_numbers, n_Cs)
        The scores of all folds, numbers of hyperplanes in increasing order, and Cs.
        Only if ``criterion="cv"``.

    bic_ : ndarray of shape (n_numbers, n_Cs)
        The criterion of all models: twice the loss of all samples, plus the logarithm
        of their total weight for each parameter. Pruned hyperplanes have none, and a
        fitted noise rate is one. Only if ``criterion="bic"``.

    coef_ : ndarray of shape (n_hyperplanes, n_features) or \
            (n_hyperplanes, n_classes, n_features)
        As in :class:`CheckeredClassifier`; like all that follow only if ``refit``.

    intercept_ : ndarray of shape (n_hyperplanes,) or (n_hyperplanes, n_classes)
        Intercepts.

    classes_ : ndarray of shape (n_classes,)
        The labels.

    class_order_ : ndarray of shape (n_classes,)
        The labels in the order of the residues that they stand for.

    noise_ : float or ndarray of shape (n_classes,)
        The rate of label noise in the model.

    n_active_ : int or ndarray of shape (n_classes,)
        The number of hyperplanes that were not pruned.

    loss_ : float or ndarray of shape (n_classes,)
        The penalised mean loss on the training data.

    n_iter_ : int or ndarray of shape (n_classes,)
        The number of iterations of the last fit.

    converged_ : bool or ndarray of shape (n_classes,)
        Whether ``tol`` was reached in the last fit.

    n_features_in_ : int
        Number of features seen during :term:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :term:`fit`. Defined only when X has feature
        names that are all strings.

    Raises
    ------
    ValueError
        If a parameter is out of its range, X holds NaN or infinity, or there is only
        one class, in all samples or in those of a fold that are trained on.

    See Also
    --------
    CheckeredClassifier : A single model.

    Notes
    -----
    In each fold, a model with more hyperplanes is trained from a search of its own at
    the largest C, and from there to smaller ones. Where that is no better than the
    model with fewer hyperplanes, it is that model.

    With an int for ``cv``, equal samples are in the same fold, and folds are drawn over
    the different ones in an order that depends on their values alone. Weighting a
    sample is then the same as repeating it, and the order of the rows does not matter.

    References
    ----------
    .. [1] M. Achab, "Checkered Regression", 2022.

    Examples
    --------
    >>> from skalgos.datasets import make_checkered
    >>> from skalgos.linear_model import CheckeredClassifierCV
    >>> X, y = make_checkered(500, n_hyperplanes=2, random_state=0)
    >>> model = CheckeredClassifierCV(
    ...     (1, 2, 3), Cs=[100.0], criterion="bic", random_state=0
    ... )
    >>> model.fit(X, y).n_hyperplanes_
    2
    """

    _parameter_constraints: dict = {
        "n_hyperplanes": ["array-like"],
        "Cs": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "cv": ["cv_object"],
        "scoring": [StrOptions(set(get_scorer_names())), callable],
        "criterion": [StrOptions({"cv", "bic"})],
        "refit": ["boolean"],
        **{
            name: CheckeredClassifier._parameter_constraints[name]
            for name in (
                "fit_intercept",
                "class_weight",
                "noise",
                "multi_class",
                "class_order",
                "n_init",
                "search_samples",
                "max_iter",
                "tol",
                "random_state",
                "n_jobs",
            )
        },
    }

    def __init__(
        self,
        n_hyperplanes=(1, 2, 3, 4),
        *,
        Cs=10,
        cv=5,
        scoring="neg_log_loss",
        criterion="cv",
        refit=True,
        fit_intercept=True,
        class_weight=None,
        noise=None,
        multi_class="circular",
        class_order=None,
        n_init="auto",
        search_samples=2000,
        max_iter=500,
        tol=1e-6,
        random_state=None,
        n_jobs=None,
    ):
        self.n_hyperplanes = n_hyperplanes
        self.Cs = Cs
        self.cv = cv
        self.scoring = scoring
        self.criterion = criterion
        self.refit = refit
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.noise = noise
        self.multi_class = multi_class
        self.class_order = class_order
        self.n_init = n_init
        self.search_samples = search_samples
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Choose the model, and fit it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The data.

        y : array-like of shape (n_samples,)
            Labels.

        sample_weight : array-like of shape (n_samples,), default=None
            How much each sample counts, at least 0, in fits and scores; None is 1 for
            all.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with self._all_or_nothing():
            self._fit(X, y, sample_weight)
        return self

    def _fit(self, X, y, sample_weight):
        numbers, Cs = self._grid()
        X, codes, weights, classes = self._checked_data(X, y, sample_weight)
        random_state = check_random_state(self.random_state)
        for name in (*_FITTED, "scores_", "bic_"):
            self.__dict__.pop(name, None)
        if self.criterion == "cv":
            scores, whole = self._cross_validate(
                X, codes, weights, classes, numbers, Cs, random_state
            )
            self.scores_, table = scores, -scores.mean(axis=0)
            best = np.unravel_index(np.argmin(table), table.shape)
            model = None
        else:
            seed = random_state.randint(np.iinfo(np.int32).max)
            whole = fit_task(
                self,
                X,
                classes[codes],
                sample_weight=weights,
                max_subtasks=len(numbers),
                sequential=True,
            )
            models = self._path(X, codes, weights, classes, numbers, Cs, seed, whole)
            table = self._table(
                models, lambda model: self._bic(model, X, codes, weights)
            )
            self.bic_ = table
            best = np.unravel_index(np.argmin(table), table.shape)
            model = models[best[0]][best[1]]
        self.n_hyperplanes_, self.C_ = int(numbers[best[0]]), float(Cs[best[1]])
        self.Cs_ = Cs
        self.classes_ = classes
        if self.refit:
            if model is None:
                model = self._model(self.n_hyperplanes_, self.C_, random_state)
                model.set_params(n_jobs=self.n_jobs)
                model._fit(X, codes, weights, classes)
            for name in _FITTED:
                setattr(self, name, getattr(model, name))
        whole.end()

    def _grid(self):
        numbers = np.unique(np.asarray(self.n_hyperplanes))
        if numbers.ndim != 1 or numbers.dtype.kind != "i" or numbers.min(initial=1) < 1:
            raise ValueError(
                "n_hyperplanes must be integers of at least 1; got "
                f"{self.n_hyperplanes!r}."
            )
        if isinstance(self.Cs, Integral):
            Cs = np.logspace(-4, 4, self.Cs)
        else:
            Cs = np.unique(np.asarray(self.Cs))
        if Cs.dtype.kind not in "if" or not (Cs.astype(float) > 0).all():
            raise ValueError(f"Cs must be positive numbers; got {self.Cs!r}.")
        if not len(numbers) or not len(Cs):
            raise ValueError("n_hyperplanes and Cs must not be empty.")
        return numbers, Cs.astype(np.float64)

    def _model(self, m, C, random_state, **more):
        names = CheckeredClassifier().get_params(deep=False)
        shared = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if name in names and name not in ("n_jobs", "class_weight")
        }
        shared |= {"n_hyperplanes": int(m), "C": float(C)}
        return CheckeredClassifier(**shared | {"random_state": random_state} | more)

    def _cross_validate(self, X, codes, weights, classes, numbers, Cs, random_state):
        """Return the scores of each fold, and the task that the folds are part of."""
        from skalgos.linear_model._checkered.training import distinct_samples

        if self.cv is None or isinstance(self.cv, Integral):
            seed = random_state.randint(np.iinfo(np.int32).max)
            X, codes, weights, _, _ = distinct_samples(X, codes, weights)
            n_splits = min(self.cv or 5, max(2, np.bincount(codes).min()))
            folds = StratifiedKFold(n_splits, shuffle=True, random_state=seed)
            splits = list(folds.split(np.zeros(len(codes)), codes))
        else:
            splits = list(check_cv(self.cv, codes, classifier=True).split(X, codes))
        seeds = random_state.randint(np.iinfo(np.int32).max, size=len(splits))
        y = classes[codes]
        whole = fit_task(
            self,
            X,
            y,
            sample_weight=weights,
            max_subtasks=len(splits),
            sequential=False,
        )

        def run(number, split, seed):
            task = whole.subtask("fold", task_id=number)
            training, test = split
            training = training[weights[training] > 0]
            missing = np.setdiff1d(np.arange(len(classes)), codes[training])
            if len(missing):
                raise ValueError(
                    f"The training part of a fold has no sample of {classes[missing]}: "
                    "all folds need all classes, cv must be smaller."
                )
            parts = X[training], codes[training], weights[training]
            models = self._path(*parts, classes, numbers, Cs, seed)

            def score(model):
                if self.scoring == "neg_log_loss":
                    return -model._log_loss(X[test], codes[test], weights[test])
                scorer = check_scoring(model, scoring=self.scoring)
                if callable(self.scoring):
                    return scorer(model, X[test], y[test])
                return scorer(model, X[test], y[test], sample_weight=weights[test])

            return self._table(models, score), task.end()

        tasks = zip(range(len(splits)), splits, seeds, strict=True)
        threads = min(n_threads(self.n_jobs), len(splits))
        if threads == 1:
            runs = (run(*task) for task in tasks)
        else:
            runs = Parallel(n_jobs=threads, require="sharedmem")(
                delayed(run)(*task) for task in tasks
            )
        scores = []
        for table, stop in runs:
            scores.append(table)
            if stop:
                break
        return np.array(scores), whole

    @staticmethod
    def _table(models, judge):
        """Return what is said of each model, once for those that are the same."""
        known = {id(model): judge(model) for row in models for model in row}
        return np.array([[known[id(model)] for model in row] for row in models])

    def _path(self, X, codes, weights, classes, numbers, Cs, seed, whole=None):
        """Return a list of models, one for each C, for each number of hyperplanes.

        From the largest C, where the search is, to the smallest each model starts from
        the one before. Where it is no better than that with fewer hyperplanes, that one
        is taken, here and for all smaller C: a stronger penalty hardly brings a
        hyperplane back. Each number is a part of the task ``whole``, if that is given.
        """
        from skalgos.linear_model._checkered.training import distinct_samples

        data = X, codes, weights, classes
        n_different = len(distinct_samples(X, codes, weights)[1])
        rows = []
        stop = False
        for m in numbers:
            smaller = rows[-1] if rows else None
            if smaller is not None and (stop or m > n_different):
                rows.append(smaller)
                continue
            task = None if whole is None else whole.subtask("hyperplanes")
            row = [None] * len(Cs)
            for j in reversed(range(len(Cs))):
                if j == len(Cs) - 1:
                    model = self._searched(data, m, Cs[j], seed, smaller)
                else:
                    model = self._model(m, Cs[j], seed, warm_start=True)
                    for name in (*_FITTED, "classes_"):
                        setattr(model, name, getattr(row[j + 1], name))
                    model._fit(*data)
                if smaller is not None and not self._gains(model, smaller[j]):
                    row[: j + 1] = smaller[: j + 1]
                    break
                model.n_features_in_ = X.shape[1]
                row[j] = model
            rows.append(row)
            stop = task is not None and task.end()
        return rows

    def _searched(self, data, m, C, seed, smaller):
        """Return the better of what a search finds and where a smaller one leads."""
        model = self._model(m, C, seed)
        model._fit(*data)
        if smaller is None or self._gains(model, smaller[-1]) or not self.fit_intercept:
            return model
        order = self.class_order
        if isinstance(order, str):
            order = smaller[-1].class_order_
        nested = self._model(
            m,
            C,
            seed,
            init=_nested_init(smaller[-1], m),
            class_order=order,
        )
        nested._fit(*data)
        return nested if self._gains(nested, model) else model

    def _gains(self, model, other):
        """Return whether a model is better than another one by more than rounding."""
        return np.sum(model.loss_) < np.sum(other.loss_) - self.tol

    def _bic(self, model, X, codes, weights):
        total = weights.sum()
        d = X.shape[1] + self.fit_intercept
        K = len(model.classes_)
        per_class = K > 2 and self.multi_class == "ovr"
        forms = 1 if K == 2 or per_class else K - 1
        size = np.sum(model.n_active_) * forms * d
        if self.noise == "fit":
            size += np.size(model.noise_)
        return 2 * total * model._log_loss(X, codes, weights) + np.log(total) * size

    def _validated(self, X):
        check_is_fitted(self, "coef_")
        return super()._validated(X)


def _nested_init(model, m):
    """Return an init of m hyperplanes: those of a model, and others far away."""
    parts = np.concatenate([model.coef_, model.intercept_[..., None]], axis=-1)
    parts = np.nan_to_num(parts, posinf=6.0, neginf=-6.0)
    axis = 1 if model._per_class else 0
    missing = m - parts.shape[axis]
    shape = list(parts.shape)
    shape[axis] = missing
    far = np.zeros(shape)
    if far.ndim == 2 or model._per_class:
        far[..., -1] = 6.0
    else:
        far[:, 0, -1] = 6.0
    return np.concatenate([parts, far], axis=axis)
