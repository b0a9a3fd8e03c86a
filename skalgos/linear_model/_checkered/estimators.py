"""The checkered classifier."""

import warnings
from numbers import Integral, Real

import numpy as np
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from skalgos._compat import (
    CallbackSupportMixin,
    Interval,
    StrOptions,
    _fit_context,
)
from skalgos._tasks import fit_task
from skalgos._threads import chunk_map, n_threads
from skalgos.linear_model._checkered.base import _CheckeredBase

_POSITIVE = Interval(Real, 0, None, closed="neither")


class CheckeredClassifier(CallbackSupportMixin, _CheckeredBase):
    r"""Checkered (or checkoid) regression, a logistic regression with m hyperplanes.

    The hyperplanes cut space into the tiles of a checkerboard, and the class changes
    from each tile to the next:

    .. math::

        P(y = 1 \mid x) = \frac12 \Bigl(1 + \prod_{k=1}^m
        \tanh \frac{w_k^\top x + b_k}{2}\Bigr).

    With one hyperplane this is logistic regression, with two it learns exclusive or.
    For more than two classes the class is the sum, modulo their number, of m
    independent categorical variables, each with the law of a multinomial logistic
    regression. Read more in the :ref:`User Guide <checkered>`.

    Parameters
    ----------
    n_hyperplanes : int, default=2
        The number m of hyperplanes; with more than two classes that of softmax factors.

    C : float, default=1.0
        Inverse of the strength of the penalty, as in
        :class:`sklearn.linear_model.LogisticRegression`: the sum of the losses, times
        C, plus half the squares of the coefficients is minimised. Intercepts are not
        penalised.

    fit_intercept : bool, default=True
        Whether hyperplanes may miss the origin.

    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, by label. "balanced" gives all classes the same total.

    noise : float, "fit" or None, default=None
        The share of labels that are flipped at random, at least 0 and below 0.5: the
        probability that a label is replaced, by each of the others alike. "fit"
        estimates it. None is 0.

    multi_class : {"circular", "ovr"}, default="circular"
        What to do with more than two classes: one model by sums modulo their number, or
        a binary model for each class against the rest, whose probabilities are scaled
        to sum to 1.

    class_order : array-like of shape (n_classes,), "auto" or None, default=None
        The order of the classes on the circle, which matters from four classes on.
        None is the order of ``classes_``. "auto" looks for the order with the lowest
        loss: among all that differ up to six classes, and by exchanges of two beyond.

    solver : {"auto", "newton", "lbfgs", "xgd", "em", "adam"}, default="auto"
        How to go from the start to the minimum.

        - "newton": damped Newton steps. Exact; memory and time grow with the square and
          the cube of the number of coefficients.
        - "lbfgs": quasi-Newton steps.
        - "xgd": cross gradient descent, with ``mu``, ``mu_refresh`` and
          ``learning_rate``.
        - "em": expectation maximisation, m logistic regressions at a time.
        - "adam": minibatches, with ``learning_rate`` and ``batch_size``; ``max_iter``
          counts epochs, and they end when ten of them gain less than ``tol``.
        - "auto": "newton" up to 600 coefficients, else "lbfgs".

    init : {"auto", "local", "random"}, callable or array-like, default="auto"
        Where to start, for more than one hyperplane.

        - "random": normal coefficients, for features of unit variance.
        - "local": hyperplanes that separate the labels near random samples, combined so
          that the parity of their sides matches the labels. For two classes; for more
          it is "random".
        - "auto": both, if needed.
        - array-like of shape (n_hyperplanes, n_features + 1), or (n_hyperplanes,
          n_classes, n_features + 1): coefficients, and intercepts in the last column,
          which is absent if ``fit_intercept=False``.
        - callable: ``init(X, y, n_hyperplanes, random_state)`` that returns such an
          array; y are numbers of classes.

    n_init : int or "auto", default="auto"
        The number of starts. They are trained for a while on a part of the samples, and
        the best one goes on, chosen by the loss alone. "auto" tries more and more, up
        to a bound, until the labels are matched or the best loss is found again. With
        more than two classes an int is the number for each order of the classes, and
        "auto" goes on from the best start, changed at random in many ways, as long as
        that helps, and then begins anew, until the best loss is found again.

    search_samples : int, default=2000
        The largest number of samples that starts are compared on.

    mu : "posterior" or array-like, default="posterior"
        With ``solver="xgd"``, where cross-gradients are seen from: "posterior" is the
        current point; an array of shape (n_hyperplanes, n_features + 1) another point,
        like ``init``; an array of shape (n_samples, n_hyperplanes) the probabilities of
        value 1 of each factor for each sample. With more than two classes both have the
        classes as their second last axis, (n_hyperplanes, n_classes, n_features + 1),
        or their last, (n_samples, n_hyperplanes, n_classes).

    mu_refresh : int, None or "auto", default="auto"
        With ``solver="xgd"``, after how many steps mu is replaced by the posterior at
        the current point; None is never. "auto" is 1 if ``mu="posterior"``, which is
        gradient descent, and None for an array.

    learning_rate : float or "auto", default="auto"
        The step of "xgd", "adam" and ``partial_fit``. "auto" is 0.05 for Adam, and for
        "xgd" one over a bound on the curvature, with which the loss never increases as
        long as ``mu_refresh`` is 1.

    batch_size : int, default=256
        The samples of a step of "adam" and ``partial_fit``.

    max_iter : int, default=500
        The largest number of iterations of the solver.

    tol : float, default=1e-6
        Stop when no entry of the gradient of the mean loss, for features of unit
        variance, is larger. Hyperplanes are surplus if the mean loss is not lower by
        more than this with them.

    prune : bool, default=True
        Whether to remove surplus hyperplanes: those with all samples on one side,
        without which the minimum is as low.

    warm_start : bool, default=False
        Whether to start from the previous fit instead of from ``init``.

    random_state : int, RandomState instance or None, default=None
        Determines the starts. Pass an int for results that are the same in every call;
        they do not depend on the order of the rows.

    n_jobs : int or None, default=None
        The number of threads, over groups of starts or, with ``multi_class="ovr"``,
        over classes. ``None`` means 1 unless in a :obj:`joblib.parallel_config`
        context, ``-1`` all processors. The result does not depend on it.

    Attributes
    ----------
    coef_ : ndarray of shape (n_hyperplanes, n_features)
        Coefficients, from the hyperplane whose linear form varies most over the
        training data to the one whose form varies least. With more than two classes
        the shape is (n_hyperplanes, n_classes, n_features): those of residue c are
        ``coef_[:, c]``, and sum to zero over residues. With
        ``multi_class="ovr"`` the shape is (n_classes, n_hyperplanes, n_features).

    intercept_ : ndarray of shape (n_hyperplanes,) or (n_hyperplanes, n_classes)
        Intercepts; ``(n_classes, n_hyperplanes)`` with ``multi_class="ovr"``. A surplus
        hyperplane has coefficients 0 and intercept infinity: the sign of its form is
        certain. With more classes it has intercept 0 for residue 0 and minus infinity
        for the others.

    classes_ : ndarray of shape (n_classes,)
        The labels.

    class_order_ : ndarray of shape (n_classes,)
        The labels in the order of the residues that they stand for.

    noise_ : float or ndarray of shape (n_classes,)
        The rate of label noise in the model; one for each class if
        ``multi_class="ovr"``.

    n_active_ : int or ndarray of shape (n_classes,)
        The number of hyperplanes that were not pruned.

    loss_ : float or ndarray of shape (n_classes,)
        The penalised mean loss on the training data.

    loss_curve_ : ndarray or list of ndarray
        It at the start of the solver and after each iteration, before pruning.

    init_losses_ : ndarray or list of ndarray
        The losses of all starts after their first round of training; with more than
        two classes and enough samples under a tenth of the penalty, as starts are
        compared.

    n_iter_ : int or ndarray of shape (n_classes,)
        The number of iterations.

    converged_ : bool or ndarray of shape (n_classes,)
        Whether ``tol`` was reached.

    n_features_in_ : int
        Number of features seen during :term:`fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen during :term:`fit`. Defined only when X has feature
        names that are all strings.

    Raises
    ------
    ValueError
        If a parameter is out of its range or has the wrong shape, X holds NaN or
        infinity, there is only one class, or fewer different samples than hyperplanes.

    Warns
    -----
    ConvergenceWarning
        If ``max_iter`` ended the fit.

    See Also
    --------
    CheckeredClassifierCV : Chooses the number of hyperplanes and C.
    minimize_xgd : Cross gradient descent for functions of one's own.
    sklearn.linear_model.LogisticRegression : The case of one hyperplane.

    Notes
    -----
    For more than one hyperplane the loss has bad local minima: one wrong hyperplane
    costs half of the labels on its wrong side. Descent from one random start finds the
    best minimum of a board of four lines in about one of ten cases. The default search
    finds it with high probability for up to six hyperplanes; for more, raise
    ``n_init`` and ``search_samples``.

    Samples that are equal count as one with their weights added up, so that weighting a
    sample is the same as repeating it. Features are standardised inside, for the search
    and for the condition of the problem; the penalty is on coefficients in the units of
    the data, so that with one hyperplane the result is that of
    :class:`sklearn.linear_model.LogisticRegression`. All computation is in double
    precision.

    References
    ----------
    .. [1] M. Achab, "Checkered Regression", 2022.
    .. [2] M. Achab, "Beyond Log-Concavity: Theory and Algorithm for Sum-Log-Concave
       Optimization", 2023.

    Examples
    --------
    >>> from skalgos.datasets import make_checkered
    >>> from skalgos.linear_model import CheckeredClassifier
    >>> X, y = make_checkered(500, n_hyperplanes=3, random_state=0)
    >>> model = CheckeredClassifier(n_hyperplanes=3, C=100, random_state=0).fit(X, y)
    >>> print(f"{model.score(X, y):.2f}")
    0.99
    """

    _parameter_constraints: dict = {
        "n_hyperplanes": [Interval(Integral, 1, None, closed="left")],
        "C": [_POSITIVE],
        "fit_intercept": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "noise": [Interval(Real, 0, 0.5, closed="left"), StrOptions({"fit"}), None],
        "multi_class": [StrOptions({"circular", "ovr"})],
        "class_order": ["array-like", StrOptions({"auto"}), None],
        "solver": [StrOptions({"auto", "newton", "lbfgs", "xgd", "em", "adam"})],
        "init": [StrOptions({"auto", "local", "random"}), callable, "array-like"],
        "n_init": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "search_samples": [Interval(Integral, 1, None, closed="left")],
        "mu": [StrOptions({"posterior"}), "array-like"],
        "mu_refresh": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
            None,
        ],
        "learning_rate": [StrOptions({"auto"}), _POSITIVE],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "prune": ["boolean"],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_hyperplanes=2,
        *,
        C=1.0,
        fit_intercept=True,
        class_weight=None,
        noise=None,
        multi_class="circular",
        class_order=None,
        solver="auto",
        init="auto",
        n_init="auto",
        search_samples=2000,
        mu="posterior",
        mu_refresh="auto",
        learning_rate="auto",
        batch_size=256,
        max_iter=500,
        tol=1e-6,
        prune=True,
        warm_start=False,
        random_state=None,
        n_jobs=None,
    ):
        self.n_hyperplanes = n_hyperplanes
        self.C = C
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.noise = noise
        self.multi_class = multi_class
        self.class_order = class_order
        self.solver = solver
        self.init = init
        self.n_init = n_init
        self.search_samples = search_samples
        self.mu = mu
        self.mu_refresh = mu_refresh
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.prune = prune
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_jobs = n_jobs

    # ---- fitting ---------------------------------------------------------------------
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Find the hyperplanes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The data. Sparse data stay sparse, but for the samples of the search.

        y : array-like of shape (n_samples,)
            Labels.

        sample_weight : array-like of shape (n_samples,), default=None
            How much each sample counts, at least 0; None is 1 for all.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with self._all_or_nothing():
            self._fit(*self._checked_data(X, y, sample_weight))
            self.__dict__.pop("_streams", None)
        return self

    def _fit(self, X, codes, weights, classes):
        K = len(classes)
        per_class = K > 2 and self.multi_class == "ovr"
        settings = self._settings()
        orders, permutation = self._orders(classes)
        if self.warm_start and isinstance(self.class_order, str):
            known = getattr(self, "class_order_", classes)
            if np.array_equal(np.sort(known), classes):
                orders = [tuple(np.searchsorted(classes, known).tolist())]
        random_state = check_random_state(self.random_state)
        init = self._given_init(X, codes, classes, random_state)
        mu = self._given_mu(X, K)
        seeds = random_state.randint(np.iinfo(np.int32).max, size=K)
        n_problems = K if per_class else 1
        whole = fit_task(
            self,
            X,
            codes,
            sample_weight=weights,
            max_subtasks=n_problems,
            sequential=not per_class,
        )
        threads = n_threads(self.n_jobs)

        def run(c, pool_map):
            from skalgos.linear_model._checkered.training import train

            task = whole.subtask(
                "model", task_id=c if per_class else None, max_subtasks=None
            )
            task.subtask("search").end()

            def on_iter(model, loss):
                step = task.subtask("iteration")

                def attributes():
                    coef, intercept = model()
                    return {"coef_": coef, "intercept_": intercept}

                return step.end(attributes)

            fit = train(
                X,
                (codes == c).astype(np.int64) if per_class else codes,
                weights,
                2 if per_class else K,
                settings._replace(mu=mu),
                init=init if isinstance(init, str) else init[c] if per_class else init,
                orders=orders,
                random_state=np.random.RandomState(seeds[c]),
                pool_map=pool_map,
                on_iter=on_iter,
            )
            task.end()
            return fit

        if per_class and threads > 1:
            fits = Parallel(n_jobs=threads, require="sharedmem")(
                delayed(run)(c, _serial_map) for c in range(K)
            )
        else:
            with chunk_map(threads) as pool_map:
                fits = [run(c, pool_map) for c in range(n_problems)]
        whole.end()
        self._set_fit(fits, classes, permutation)
        if not np.all(self.converged_) and self.max_iter <= np.max(self.n_iter_):
            warnings.warn(
                f"CheckeredClassifier stopped after max_iter={self.max_iter} "
                f"iterations of solver={self.solver!r}, with a gradient above tol. "
                "Increase max_iter or tol, or use another solver.",
                ConvergenceWarning,
                stacklevel=4,
            )

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Go once through a batch of samples, in minibatches, by Adam.

        The first batch gives the scales of the features, and the start is searched for
        in it: it should be of a few hundred samples and of all classes. After ``fit``
        the start is what was fitted. Nothing is pruned.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The batch.

        y : array-like of shape (n_samples,)
            Labels.

        classes : array-like of shape (n_classes,), default=None
            All classes there will be; needed in the first call unless fitted.

        sample_weight : array-like of shape (n_samples,), default=None
            How much each sample counts, at least 0; None is 1 for all.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with self._all_or_nothing():
            self._partial_fit(X, y, classes, sample_weight)
        return self

    def _partial_fit(self, X, y, classes, sample_weight):
        from skalgos.linear_model._checkered.training import (
            continue_stream,
            distinct_samples,
            start_stream,
        )

        fitted = hasattr(self, "coef_")
        if fitted:
            if classes is not None and not np.array_equal(
                np.unique(classes), self.classes_
            ):
                raise ValueError(
                    f"classes={np.unique(classes)} are not those of earlier calls, "
                    f"{self.classes_}."
                )
            classes = self.classes_
        elif classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        classes = np.unique(classes)
        if len(classes) < 2:
            raise ValueError(f"classes must be at least two; got {classes}.")
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all samples; for partial_fit pass a "
                "dictionary."
            )
        X, codes, weights, classes = self._checked_data(
            X, y, sample_weight, reset=not fitted, classes=classes
        )
        settings = self._settings()._replace(mu=None)
        K = len(classes)
        per_class = K > 2 and self.multi_class == "ovr"
        n_models = K if per_class else 1
        streams, random_state, n_calls = getattr(
            self, "_streams", (None, check_random_state(self.random_state), 0)
        )
        orders, permutation = self._orders(classes)
        if streams is None:
            init = self.init
            if fitted:
                init = self._fitted_forms()
                orders = [tuple(np.searchsorted(classes, self.class_order_).tolist())]
            else:
                init = self._given_init(X, codes, classes, random_state)
        updated, models, losses = [], [], []
        for c in range(n_models):
            labels = (codes == c).astype(np.int64) if per_class else codes
            samples = distinct_samples(X, labels, weights)
            how_many = 2 if per_class else K
            if streams is None:
                first = init if isinstance(init, str) or not per_class else init[c]
                stream = start_stream(
                    samples, how_many, settings, first, orders, random_state
                )
            else:
                stream = streams[c]
            stream, model, loss = continue_stream(
                stream, samples, how_many, settings, random_state
            )
            updated.append(stream)
            models.append(model)
            losses.append(loss)
        self._streams = updated, random_state, n_calls + 1
        self._set_streamed(models, losses, classes, updated[0].residues, permutation)

    def _set_streamed(self, models, losses, classes, residues, permutation):
        from skalgos.linear_model._checkered.training import Trained

        fits = [
            Trained(
                coef=coef,
                intercept=intercept,
                noise=rate,
                residues=residues,
                n_active=self.n_hyperplanes,
                loss=loss,
                losses=np.array([loss]),
                init_losses=np.empty(0),
                n_iter=self._streams[2],
                converged=False,
            )
            for (coef, intercept, rate), loss in zip(models, losses, strict=True)
        ]
        self._set_fit(fits, classes, permutation)

    def _fitted_forms(self):
        """Return coefficients and intercepts as init takes them."""
        parts = [self.coef_]
        if self.fit_intercept:
            parts.append(self.intercept_[..., None])
        # Pruned hyperplanes start far from the data instead of infinitely far.
        forms = np.concatenate(parts, axis=-1)
        return np.nan_to_num(forms, posinf=6.0, neginf=-6.0)

    def _settings(self):
        from skalgos.linear_model._checkered.training import Settings

        values = {name: getattr(self, name) for name in Settings._fields}
        if self.noise == "fit" and self.solver in ("xgd", "em"):
            raise ValueError(
                f"noise='fit' goes with solver 'auto', 'newton', 'lbfgs' and 'adam'; "
                f"got solver={self.solver!r}."
            )
        return Settings(**values)

    def _orders(self, classes):
        """Return the orders of classes to try, and a permutation that is given."""
        from skalgos.linear_model._checkered.search import inequivalent_orders

        K = len(classes)
        natural = tuple(range(K))
        order = self.class_order
        if order is None:
            return [natural], natural
        if isinstance(order, str):
            circular = K > 3 and self.multi_class == "circular"
            if not circular or self.n_hyperplanes == 1:
                return [natural], natural
            return (list(inequivalent_orders(K)) if K <= 6 else "swaps"), None
        labels = np.asarray(order)
        known = labels.shape == (K,) and np.isin(labels, classes).all()
        if not known or len(np.unique(labels)) != K:
            raise ValueError(
                f"class_order must have each of the classes {classes.tolist()} once; "
                f"got {labels.tolist()}."
            )
        permutation = tuple(np.searchsorted(classes, labels).tolist())
        return [permutation], permutation

    def _form_shape(self, K):
        m = self.n_hyperplanes
        if K == 2:
            return (m,)
        return (K, m) if self.multi_class == "ovr" else (m, K)

    def _given_init(self, X, codes, classes, random_state):
        """Return init as a string, or as an array that was checked."""
        init, K = self.init, len(classes)
        shape = (*self._form_shape(K), X.shape[1] + self.fit_intercept)
        if self.warm_start and hasattr(self, "coef_"):
            same = len(self.classes_) == K and (self.classes_ == classes).all()
            init = self._fitted_forms()
            if init.shape != shape or not same:
                raise ValueError(
                    "With warm_start=True the classes, the features, n_hyperplanes, "
                    "multi_class and fit_intercept must stay the same; coef_ has shape "
                    f"{self.coef_.shape}."
                )
            return init
        if isinstance(init, str):
            return init
        if callable(init):
            init = init(X, codes, self.n_hyperplanes, random_state)
        init = _numbers(init, "init")
        if init.shape != shape:
            raise ValueError(
                f"init must have shape {shape}: {self._shape_words(K)}, the intercept "
                f"in the last column if fit_intercept=True; got {init.shape}."
            )
        return init

    def _shape_words(self, K):
        if K == 2:
            return "(n_hyperplanes, n_features + 1)"
        if self.multi_class == "ovr":
            return "(n_classes, n_hyperplanes, n_features + 1)"
        return "(n_hyperplanes, n_classes, n_features + 1)"

    def _given_mu(self, X, K):
        """Return None for the posterior, else an array that was checked."""
        if self.solver != "xgd" or isinstance(self.mu, str):
            return None
        mu, m = _numbers(self.mu, "mu"), self.n_hyperplanes
        forms = (m,) if K == 2 or self.multi_class == "ovr" else (m, K)
        point = (*forms, X.shape[1] + self.fit_intercept)
        marginals = (X.shape[0], *forms)
        if mu.shape not in (point, marginals):
            raise ValueError(
                f"mu must have shape {point}, a point, or {marginals}, probabilities; "
                f"got {mu.shape}."
            )
        if mu.shape != point:
            sums = len(forms) == 1 or np.allclose(mu.sum(axis=2), 1)
            if mu.min() < 0 or mu.max() > 1 or not sums:
                raise ValueError(
                    "mu must have probabilities, between 0 and 1, that sum to 1 over "
                    "the classes if there are more than two."
                )
        return mu

    def _set_fit(self, fits, classes, permutation):
        self.classes_ = classes
        if len(classes) > 2 and self.multi_class == "ovr":
            self._residues = np.arange(len(classes))
            self.class_order_ = classes.copy()
            self.coef_ = np.stack([fit.coef for fit in fits])
            self.intercept_ = np.stack([fit.intercept for fit in fits])
            for name in ("noise", "n_active", "loss", "n_iter", "converged"):
                values = [getattr(fit, name) for fit in fits]
                setattr(self, f"{name}_", np.array(values))
            self.loss_curve_ = [fit.losses for fit in fits]
            self.init_losses_ = [fit.init_losses for fit in fits]
            return
        (fit,) = fits
        if len(classes) == 2:
            self._residues = np.arange(2)
            self.class_order_ = classes[list(permutation)]
        else:
            self._residues = fit.residues
            self.class_order_ = classes[np.argsort(fit.residues)]
        self.coef_, self.intercept_ = fit.coef, fit.intercept
        self.noise_, self.n_active_ = fit.noise, fit.n_active
        self.loss_, self.loss_curve_ = fit.loss, fit.losses
        self.init_losses_ = fit.init_losses
        self.n_iter_, self.converged_ = fit.n_iter, fit.converged


def _serial_map(function, chunks):
    return [function(chunk) for chunk in chunks]


def _numbers(values, name):
    values = np.array(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must have finite numbers only.")
    return values
