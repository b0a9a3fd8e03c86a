"""What the package promises of its estimators beyond scikit-learn's own checks.

:func:`yield_contract_checks` gives functions that take an estimator and raise
AssertionError where it does not keep a promise. They look at fitted attributes, which
``check_estimator`` never compares, at threads and processes, and at habits of
scikit-learn that it does not enforce on others.
"""

import collections
import copy
import pickle
import re
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from inspect import Parameter, getdoc, signature

import joblib
import numpy as np
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone, is_regressor
from sklearn.datasets import make_blobs, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import pairwise_distances
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

__all__ = ["yield_contract_checks"]

_METHODS = ("predict", "predict_proba", "decision_function", "transform", "score")


class NotApplicable(Exception):
    """Raised by a check that has nothing to say about an estimator."""


def _data(estimator, n_samples=60, n_features=5):
    """Return a plain problem of the estimator's kind; rows of distances if pairwise."""
    if is_regressor(estimator):
        X, y = make_regression(n_samples, n_features, noise=0.1, random_state=0)
        if get_tags(estimator).target_tags.positive_only:
            y = 1 + y - y.min()
    else:
        X, y = make_blobs(n_samples, n_features, centers=3, random_state=0)
    tags = get_tags(estimator).input_tags
    if tags.positive_only:
        X = X - X.min()
    return (pairwise_distances(X) if tags.pairwise else X), y


def _seeded(estimator, seed=0):
    estimator = clone(estimator)
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=seed)
    return estimator


def _fit(estimator, X, y, **fit_params):
    """Fit a seeded clone; that a small budget of iterations ran out is no matter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return _seeded(estimator).fit(X, y, **fit_params)


def _attributes(estimator):
    """Return the numeric fitted attributes."""
    found = {}
    for name, value in vars(estimator).items():
        if name.endswith("_") and not name.startswith("_"):
            if sparse.issparse(value):
                value = value.toarray()
            value = np.asarray(value)
            if value.dtype.kind in "biufc":
                found[name] = value
    return found


def _outputs(estimator, X, y):
    found = {}
    for name in _METHODS:
        if hasattr(estimator, name):
            args = (X, y) if name == "score" else (X,)
            found[name] = np.asarray(getattr(estimator, name)(*args))
    return found


def _everything(estimator, X, y):
    return {**_attributes(estimator), **_outputs(estimator, X, y)}


def _assert_same(actual, expected, what, rtol=1e-7):
    assert actual.keys() == expected.keys(), what
    for name, value in expected.items():
        np.testing.assert_allclose(
            actual[name], value, rtol=rtol, atol=1e-9, err_msg=f"{what}: {name}"
        )


# ---- the same model again ------------------------------------------------------------
def check_same_seed_same_attributes(estimator):
    """Fits with the same seed, and a second fit of one estimator, are equal."""
    X, y = _data(estimator)
    first = _fit(estimator, X, y)
    expected = _everything(first, X, y)
    _assert_same(_everything(_fit(estimator, X, y), X, y), expected, "same seed")
    if not estimator.get_params().get("warm_start"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            first.fit(X, y)
        _assert_same(_everything(first, X, y), expected, "second fit")


def check_global_random_state_untouched(estimator):
    """Fitting neither uses nor reseeds numpy's global generator."""
    X, y = _data(estimator)
    state = np.random.get_state()
    try:
        np.random.seed(0)
        expected = np.random.uniform()
        np.random.seed(0)
        _fit(estimator, X, y)
        assert np.random.uniform() == expected
    finally:
        np.random.set_state(state)


def check_round_trips_keep_attributes(estimator):
    """pickle, joblib's memory maps and deepcopy keep attributes and outputs."""
    X, y = _data(estimator)
    model = _fit(estimator, X, y)
    expected = _everything(model, X, y)
    for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        _assert_same(_everything(again, X, y), expected, "round trip")
    assert not _attributes(clone(model)), "a clone is not fitted"


def check_layouts_are_equal(estimator):
    """C and Fortran order and strided views give the same model."""
    X, y = _data(estimator)
    expected = _everything(_fit(estimator, X, y), X, y)
    wide = np.zeros((len(X), 2 * X.shape[1]))
    wide[:, ::2] = X
    for layout in (np.asfortranarray(X), wide[:, ::2]):
        actual = _everything(_fit(estimator, layout, y), layout, y)
        _assert_same(actual, expected, "layout")


def check_single_precision_stays_close(estimator):
    """float32 gives nearly the model of float64, in attributes and outputs."""
    X, y = _data(estimator)
    double = _outputs(_fit(estimator, X, y), X, y)
    X32 = X.astype(np.float32)
    single = _outputs(_fit(estimator, X32, y), X32, y)
    for name, expected in double.items():
        scale = np.abs(expected).max() + 1e-12
        assert np.abs(single[name] - expected).max() < 1e-2 * scale, name


def check_sparse_equals_dense(estimator):
    """Sparse containers give the model of the dense array.

    Where absent entries are missing, the dense array has NaN in their places.
    """
    if not get_tags(estimator).input_tags.sparse:
        raise NotApplicable
    X, y = _data(estimator)
    X = np.where(np.abs(X) < np.median(np.abs(X)), 0.0, X)
    dense = X
    if estimator.get_params().get("missing_values") == "absent":
        dense = np.where(X == 0, np.nan, X)
    expected = _everything(_fit(estimator, dense, y), dense, y)
    for container in (sparse.csr_array, sparse.csc_array, sparse.csr_matrix):
        data = container(X)
        actual = _everything(_fit(estimator, data, y), data, y)
        _assert_same(actual, expected, container.__name__, rtol=1e-5)


def check_precomputed_equals_metric(estimator):
    """metric="precomputed" is pairwise and gives the labels of the features."""
    if estimator.get_params().get("metric") != "euclidean":
        raise NotApplicable
    precomputed = clone(estimator).set_params(metric="precomputed")
    if estimator.get_params().get("solver") in ("matrix-free", "sampled"):
        raise NotApplicable
    assert get_tags(precomputed).input_tags.pairwise
    X, y = _data(estimator)
    model = _fit(estimator, X, y)
    other = _fit(precomputed, pairwise_distances(X), y)
    np.testing.assert_array_equal(model.labels_, other.labels_)


def check_weights_repeat_rows(estimator):
    """Integer weights are repetitions, unit weights are none, in all attributes."""
    if not has_fit_parameter(estimator, "sample_weight"):
        raise NotApplicable
    X, y = _data(estimator)
    rng = np.random.RandomState(0)
    weights = rng.randint(0, 4, len(y)).astype(float)
    rows = np.repeat(np.arange(len(y)), weights.astype(int))
    pairwise = get_tags(estimator).input_tags.pairwise
    repeated = X[np.ix_(rows, rows)] if pairwise else X[rows]
    a = _attributes(_fit(estimator, X, y, sample_weight=weights))
    b = _attributes(_fit(estimator, repeated, y[rows]))
    indices = re.compile("indices|n_features")
    same = {
        name
        for name in a
        if a[name].shape[:1] != (len(y),) and not indices.search(name)
    }
    _assert_same(
        {name: a[name] for name in same}, {name: b[name] for name in same}, "repeated"
    )
    ones = _attributes(_fit(estimator, X, y, sample_weight=np.ones(len(y))))
    _assert_same(ones, _attributes(_fit(estimator, X, y)), "unit weights")


def check_row_order_does_not_matter(estimator):
    """Shuffled rows give the same attributes, up to what is indexed by rows."""
    if getattr(estimator, "init", None) == "first":
        raise NotApplicable
    X, y = _data(estimator)
    shuffle = np.random.RandomState(0).permutation(len(y))
    pairwise = get_tags(estimator).input_tags.pairwise
    shuffled = X[np.ix_(shuffle, shuffle)] if pairwise else X[shuffle]
    a = _attributes(_fit(estimator, X, y))
    b = _attributes(_fit(estimator, shuffled, y[shuffle]))
    for name, value in a.items():
        if "indices" in name:
            continue
        # What has an entry for each row may also be sorted by something else: ids.
        if value.shape[:1] == (len(y),) and not np.array_equal(b[name], value):
            value = value[shuffle]
        np.testing.assert_allclose(b[name], value, rtol=1e-7, err_msg=name)


# ---- threads and processes -----------------------------------------------------------
def check_n_jobs_changes_nothing(estimator):
    """One and two jobs give the same model."""
    if "n_jobs" not in estimator.get_params():
        raise NotApplicable
    X, y = _data(estimator, n_samples=120)
    one, two = (
        _everything(_fit(clone(estimator).set_params(n_jobs=n), X, y), X, y)
        for n in (1, 2)
    )
    _assert_same(two, one, "n_jobs")


def check_grid_search_backends_agree(estimator):
    """A grid search gives the same scores serially, in threads and in processes."""
    if not hasattr(estimator, "score"):
        raise NotApplicable
    X, y = _data(estimator, n_samples=90)
    scores = []
    for n_jobs, backend in ((1, "loky"), (2, "threading"), (2, "loky")):
        search = GridSearchCV(
            _seeded(estimator),
            {},
            cv=KFold(3),
            n_jobs=n_jobs,
            refit=False,
            error_score="raise",
        )
        with joblib.parallel_config(backend=backend):
            search.fit(X, y)
        scores.append(search.cv_results_["mean_test_score"])
    np.testing.assert_allclose(scores[1:], scores[:1] * 2, rtol=1e-7)


def check_concurrent_fits_agree(estimator):
    """Fits at the same time in threads of the user's own give the same model."""
    X, y = _data(estimator)
    expected = _attributes(_fit(estimator, X, y))
    # Warning filters belong to the process, so none are touched inside the threads.
    with ThreadPoolExecutor(4) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fits = [pool.submit(_seeded(estimator).fit, X, y) for _ in range(8)]
        for fit in fits:
            _assert_same(_attributes(fit.result()), expected, "concurrent")
    assert threading.active_count() < 100


# ---- habits --------------------------------------------------------------------------
def check_fit_is_silent(estimator):
    """A fit with these parameters warns of nothing but convergence."""
    X, y = _data(estimator)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        _seeded(estimator).fit(X, y)


def check_wrong_types_are_named(estimator):
    """A parameter of a meaningless type raises an error that names it."""
    X, y = _data(estimator)
    for name in estimator.get_params(deep=False):
        broken = clone(estimator)
        setattr(broken, name, type("Meaningless", (), {})())
        try:
            broken.fit(X, y)
        except (TypeError, ValueError) as error:
            assert name in str(error), f"{name}: {error}"
        else:
            raise AssertionError(f"{name} was accepted")
        assert not _attributes(broken), "a fit that failed left attributes"


def check_routed_weights_arrive(estimator):
    """sample_weight reaches fit through a pipeline with metadata routing on."""
    if not has_fit_parameter(estimator, "sample_weight"):
        raise NotApplicable
    X, y = _data(estimator)
    weights = np.random.RandomState(0).randint(1, 5, len(y)).astype(float)
    expected = _attributes(_fit(estimator, X, y, sample_weight=weights))
    with config_context(enable_metadata_routing=True), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        last = _seeded(estimator).set_fit_request(sample_weight=True)
        pipe = make_pipeline(FunctionTransformer(), last)
        pipe.fit(X, y, sample_weight=weights)
    _assert_same(_attributes(pipe[-1]), expected, "routed")


def check_documentation_is_linked_and_complete(estimator):
    """Every parameter and fitted attribute is documented; there is an example."""
    X, y = _data(estimator)
    doc = getdoc(type(estimator))
    parts = re.split(r"^(\w[\w ]*)\n-+\n", doc, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    for name in estimator.get_params(deep=False):
        assert re.search(rf"^{name} :", sections["Parameters"], re.MULTILINE), name
    for name in vars(_fit(estimator, X, y)):
        if name.endswith("_") and not name.startswith("_"):
            assert re.search(rf"^{name} :", sections["Attributes"], re.MULTILINE), name
    assert ">>>" in sections["Examples"]
    assert ".. [1]" in sections["References"]
    link = estimator._get_doc_link()
    assert link
    assert link in estimator._repr_html_()


def check_signatures(estimator):
    """fit(X, y, ...), no catch-all arguments, few positional ones."""
    fit = signature(type(estimator).fit).parameters
    assert list(fit)[1:3] == ["X", "y"]
    init = signature(type(estimator).__init__).parameters
    for parameters in (fit, init):
        kinds = {parameter.kind for parameter in parameters.values()}
        assert not kinds & {Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL}
    positional = [p for p in init.values() if p.kind == Parameter.POSITIONAL_OR_KEYWORD]
    assert len(positional) <= 3  # self and at most two


def check_an_exhausted_budget_is_reported(estimator):
    """max_iter=1 shows in n_iter_ and, unless it was enough, in a warning."""
    if "max_iter" not in estimator.get_params():
        raise NotApplicable
    X, y = _data(estimator)
    if np.max(_fit(estimator, X, y).n_iter_) <= 1:
        raise NotApplicable
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = _seeded(estimator).set_params(max_iter=1).fit(X, y)
    assert np.max(model.n_iter_) == 1
    messages = [
        str(w.message) for w in caught if issubclass(w.category, ConvergenceWarning)
    ]
    assert any("max_iter" in message for message in messages)


def check_callbacks_pair_up(estimator):
    """Where scikit-learn has callbacks: set up once, every task begins and ends."""
    if not hasattr(estimator, "set_callbacks"):
        raise NotApplicable
    seen = collections.Counter()

    class Counting:
        def setup(self, estimator, context):
            seen["setup"] += 1

        def teardown(self, estimator, context):
            seen["teardown"] += 1

        def on_fit_task_begin(self, estimator, context):
            seen["begin"] += 1

        def on_fit_task_end(self, estimator, context):
            seen["end"] += 1

    X, y = _data(estimator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        _seeded(estimator).set_callbacks(Counting()).fit(X, y)
    assert seen["setup"] == seen["teardown"] == 1
    assert seen["begin"] == seen["end"] >= 2


def yield_contract_checks():
    """Yield the checks of this module.

    Yields
    ------
    check : callable
        ``check(estimator)`` raises AssertionError where the estimator does not keep the
        promise in the docstring of the check, and :class:`NotApplicable` where it has
        nothing to do with it.

    Examples
    --------
    >>> from skalgos.cluster import KMedoids
    >>> from skalgos.utils.estimator_checks import yield_contract_checks
    >>> checks = {check.__name__: check for check in yield_contract_checks()}
    >>> checks["check_n_jobs_changes_nothing"](KMedoids(3))
    """
    for name, item in list(globals().items()):
        if name.startswith("check_"):
            yield item
