"""Every estimator inside scikit-learn's own tools, where each makes sense."""

import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import skops.io
from sklearn import config_context
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_predict,
)
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.fixes import parse_version
from sklearn.utils.validation import has_fit_parameter

from skalgos._compat import SKLEARN_VERSION
from skalgos.utils.discovery import all_estimators

OLD_SKLEARN = parse_version("1.9") > SKLEARN_VERSION
CLASSES = dict(all_estimators())
TREES = {
    "n_estimators": 40,
    "learning_rate": 0.2,
    "min_samples_leaf": 5,
    "early_stopping": False,
}
SETTINGS = {
    "BayesianMatrixFactorizationRegressor": {"n_components": 2, "n_samples": 10},
    "CheckeredClassifier": {"n_init": 4},
    "CheckeredClassifierCV": {"n_hyperplanes": (1, 2), "Cs": (1.0, 10.0), "cv": 2},
    "LASDP": {"init": "ward"},
    "LowRankCompletion": {"n_components": 2, "alpha": 0.1},
    "LowRankImputer": {"n_components": 2, "alpha": 0.1},
    "MatrixFactorizationRegressor": {"n_components": 2, "alpha": 0.1},
    "NGBoostClassifier": TREES,
    "NGBoostRegressor": TREES,
    "NGBoostSurvivalRegressor": TREES,
    "SDPKMeans": {"n_clusters": 3},
}
#: What a search chooses between.
CHOICES = {
    "BayesianMatrixFactorizationRegressor": {"n_components": [1, 2]},
    "CheckeredClassifier": {"C": [0.1, 1.0]},
    "CheckeredClassifierCV": {"criterion": ["bic", "cv"]},
    "KroneckerSparseCoder": {"tol": [0.001, 0.01]},
    "LowRankCompletion": {"n_components": [1, 2]},
    "LowRankImputer": {"n_components": [1, 2]},
    "MatrixFactorizationRegressor": {"alpha": [0.1, 1.0]},
    "NGBoostClassifier": {"learning_rate": [0.1, 0.2]},
    "NGBoostRegressor": {"learning_rate": [0.1, 0.2]},
    "NGBoostSurvivalRegressor": {"learning_rate": [0.1, 0.2]},
    "RVC": {"gamma": [0.1, 1.0]},
    "RVR": {"gamma": [0.1, 1.0]},
    "SparseBayesClassifier": {"expected_false_inclusions": [0.1, 1.0]},
    "SparseBayesRegressor": {"algorithm": ["sequential", "mm"]},
}
PAIRS = {"MatrixFactorizationRegressor", "BayesianMatrixFactorizationRegressor"}

REGRESSORS = [name for name, C in CLASSES.items() if is_regressor(C())]
CLASSIFIERS = [name for name, C in CLASSES.items() if is_classifier(C())]
TRANSFORMERS = [name for name, C in CLASSES.items() if hasattr(C, "transform")]
SUPERVISED = REGRESSORS + CLASSIFIERS


def make(name):
    model = CLASSES[name](**SETTINGS.get(name, {}))
    if "random_state" in model.get_params():
        model.set_params(random_state=0)
    return model


def data(name):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((80, 4))
    if name in PAIRS:
        X = rng.randint(0, 8, (80, 2)).astype(float)
        return X, 5 + X[:, 0] - X[:, 1] + 0.1 * rng.standard_normal(80)
    signal = X[:, 0] - 2 * X[:, 1]
    if name in CLASSIFIERS:
        return X, np.where(signal + 0.3 * rng.standard_normal(80) > 0, "yes", "no")
    return X, np.exp(0.5 * signal + 0.1 * rng.standard_normal(80))


def results(model, X):
    for method in ("predict", "transform"):
        if hasattr(model, method):
            return getattr(model, method)(X)
    return model.labels_


@pytest.mark.parametrize("name", CLASSES)
def test_in_a_pipeline_and_out_of_storage(name, tmp_path):
    X, y = data(name)
    pipeline = make_pipeline(FunctionTransformer(), make(name)).fit(X, y)
    expected = results(pipeline, X) if name not in ALONE else pipeline[-1].labels_
    alone = clone(make(name)).fit(X, y)
    np.testing.assert_array_equal(results(alone, X), expected)
    joblib.dump(alone, tmp_path / "model.joblib")
    stored = skops.io.dumps(alone)
    names = skops.io.get_untrusted_types(data=stored)
    known = ("skalgos.", "numpy.", "scipy.", "sklearn.")
    assert [name for name in names if not name.startswith(known)] == []
    for again in (
        pickle.loads(pickle.dumps(alone)),
        joblib.load(tmp_path / "model.joblib"),
        skops.io.loads(stored, trusted=names),
    ):
        np.testing.assert_array_equal(results(again, X), expected)


#: Their labels are of the rows that were fitted.
ALONE = {
    name
    for name, C in CLASSES.items()
    if not hasattr(C, "predict") and not hasattr(C, "transform")
}


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_searches(name):
    X, y = data(name)
    supervised = name in SUPERVISED
    score = None if supervised else lambda model, X, y=None: float(model.n_iter_)
    for search in (
        GridSearchCV(make(name), CHOICES[name], cv=2, scoring=score),
        HalvingGridSearchCV(
            make(name),
            CHOICES[name],
            cv=2,
            scoring=score,
            min_resources=40,
            random_state=0,
        ),
    ):
        search.fit(X, y)
        assert set(search.best_params_) == set(CHOICES[name])
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert len(results(search, X)) == len(X)


def test_every_supervised_estimator_is_searched():
    assert set(SUPERVISED) <= set(CHOICES)


@pytest.mark.parametrize("name", SUPERVISED)
def test_folds_and_importances(name):
    X, y = data(name)
    predicted = cross_val_predict(make(name), X, y, cv=3)
    assert predicted.shape == y.shape
    model = make(name).fit(X, y)
    found = permutation_importance(model, X, y, n_repeats=3, random_state=0)
    assert found.importances_mean.shape == (X.shape[1],)
    if name not in PAIRS:
        # The second feature says the most, and the last two say nothing.
        assert np.argmax(found.importances_mean) == 1


@pytest.mark.parametrize("name", SUPERVISED)
def test_ensembles(name):
    X, y = data(name)
    bag, stack, last = BaggingRegressor, StackingRegressor, Ridge()
    if name in CLASSIFIERS:
        bag, stack, last = BaggingClassifier, StackingClassifier, LogisticRegression()
    model = bag(make(name), n_estimators=3, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.5
    model = stack([("first", make(name))], last, cv=2).fit(X, y)
    assert model.score(X, y) > 0.5


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_calibration(name):
    X, y = data(name)
    for method in ("sigmoid", "isotonic"):
        model = CalibratedClassifierCV(make(name), method=method, cv=2).fit(X, y)
        assert model.score(X, y) > 0.7
        np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)


@pytest.mark.parametrize("name", REGRESSORS)
def test_several_targets(name):
    X, y = data(name)
    model = MultiOutputRegressor(make(name)).fit(X, np.column_stack([y, y[::-1]]))
    np.testing.assert_array_equal(
        model.predict(X)[:, 0], make(name).fit(X, y).predict(X)
    )


@pytest.mark.parametrize("container", ["pandas", "polars"])
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_columns_of_a_frame(name, container):
    X, y = data(name)
    kind = {"pandas": pd.DataFrame, "polars": pl.DataFrame}[container]
    if OLD_SKLEARN and container == "polars" and not hasattr(kind, "__dataframe__"):
        pytest.skip("this scikit-learn knows polars by a method that polars dropped")
    frame = kind({f"f{i}": column for i, column in enumerate(X.T)})
    union = ColumnTransformer(
        [("ours", make(name), ["f0", "f1", "f2"])], remainder="passthrough"
    ).set_output(transform=container)
    out = union.fit_transform(frame, y)
    assert isinstance(out, kind)
    assert list(out.columns) == list(union.get_feature_names_out())
    expected = make(name).fit(X[:, :3], y).transform(X[:, :3])
    assert out.shape == (len(X), expected.shape[1] + 1)


WEIGHTED = [
    name for name in SUPERVISED if has_fit_parameter(make(name), "sample_weight")
]


@pytest.mark.parametrize("name", WEIGHTED)
def test_weights_are_routed(name):
    X, y = data(name)
    weights = np.random.RandomState(1).uniform(0.5, 2, len(X))
    with config_context(enable_metadata_routing=True):
        model = make(name).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        search = GridSearchCV(model, CHOICES[name], cv=2)
        search.fit(X, y, sample_weight=weights)
        best = clone(model).set_params(**search.best_params_)
        best.fit(X, y, sample_weight=weights)
        np.testing.assert_array_equal(search.predict(X), best.predict(X))
        assert search.score(X, y, sample_weight=weights) == pytest.approx(
            best.score(X, y, sample_weight=weights)
        )
