"""scikit-learn's own checks, over every estimator and every path through it."""

import os

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skalgos.utils.discovery import all_estimators

# One dictionary of parameters for each path; the defaults come in addition.
VARIANTS = {
    "BayesianMatrixFactorizationRegressor": [
        {"n_components": 2, "n_samples": 5, "burn_in": 5, "n_jobs": 2},
    ],
    "CheckeredClassifier": [
        {"n_hyperplanes": 1},
        {"n_hyperplanes": 3, "solver": "lbfgs", "n_jobs": 2},
        {"multi_class": "ovr", "noise": "fit"},
        {"class_order": "auto", "n_init": 4, "fit_intercept": False},
    ],
    "CheckeredClassifierCV": [
        {"n_hyperplanes": (1, 2), "Cs": (10.0,), "criterion": "bic"},
    ],
    "KMedoids": [
        {"n_clusters": 1},
        {"method": "fastpam1", "init": "build", "metric": "sqeuclidean"},
        {"method": "fastpam2", "solver": "matrix-free", "metric": "manhattan"},
        {"method": "pam", "init": "lab", "dtype": "float64"},
        {"method": "alternate", "init": "k-medoids++"},
        {"solver": "matrix-free", "init": "first", "metric": "chebyshev"},
        {"solver": "matrix-free", "metric": "canberra"},
        {"solver": "matrix", "metric": "canberra", "dtype": "float32"},
        {"metric": "minkowski", "metric_params": {"p": 3}},
        {"n_init": 2, "n_jobs": 2, "solver": "matrix-free"},
        {"solver": "sampled", "warm_start": True},
    ],
    "CLARA": [
        {"n_sampling": 12, "method": "fastpam1"},
        {"n_sampling_iter": 2, "metric": "canberra", "init": "build"},
        {"init": "first", "n_clusters": 1},
    ],
    "CLARANS": [
        {"max_neighbor": 30, "n_jobs": 2},
        {"metric": "canberra", "init": "k-medoids++"},
    ],
    "OneBatchKMedoids": [
        {"batch_size": 20, "weighting": "uniform", "n_init": 2, "n_jobs": 2},
        {"metric": "canberra", "memory_limit": 0, "init": "first"},
        {"n_clusters": 1},
    ],
    "MedoidSilhouette": [
        {"n_clusters": "auto", "max_clusters": 6},
        {"method": "fastmsc", "n_clusters": 2},
        {"method": "pammedsil", "n_clusters": 3, "n_init": 1},
        {"method": "pamsil", "n_clusters": 2, "n_init": 1, "max_iter": 3},
        {"metric": "canberra", "solver": "matrix-free", "init": "lab"},
        {"n_init": 2, "n_jobs": 2},
    ],
    "LASDP": [
        {"solver": "sketch", "n_sketch": 40, "init": "sdp", "max_iter": 3},
        {
            "solver": "admm",
            "covariance_type": "tied",
            "max_iter": 2,
            "init": "ward",
            "alternation": "relaxed",
            "max_iter_solver": 50,
        },
        {"covariance_type": "diag", "init": "ward", "shrinkage": "oas", "max_iter": 3},
    ],
    "SDPKMeans": [
        {"n_clusters": 3, "solver": "nlr"},
        {"n_clusters": 3, "solver": "sketch", "n_sketch": 40},
    ],
    "KroneckerSparseCoder": [
        {"m_step": "am"},
        {"m_step": "kl", "shared_support": True},
        {"m_step": "mm", "coupling": 0.5, "tol": 1e-2},
        {"m_step": "svd", "n_jobs": 2, "noise_variance": 0.01},
    ],
    "LowRankCompletion": [
        {"n_components": 3, "solver": "pcg", "alpha": 1.0, "n_jobs": 2},
        {
            "n_components": "auto",
            "missing_values": "absent",
            "init": "spectral",
            "alpha": 1.0,
        },
        {"n_components": 3, "loss": "tukey", "center": "global", "alpha": 0.1},
        {"n_components": 2, "nonnegative": True, "center": None, "alpha": 1.0},
    ],
    "LowRankImputer": [
        {"missing_values": "absent", "add_indicator": True, "alpha": 1.0},
    ],
    "MatrixFactorizationRegressor": [
        {"n_components": 2, "solver": "pcg", "loss": "huber", "alpha": 1.0},
        {"n_components": 2, "early_stopping": True, "alpha": 1.0, "n_jobs": 2},
    ],
    "NGBoostClassifier": [
        {"n_estimators": 20, "early_stopping": False, "scoring_rule": "brier"},
    ],
    "NGBoostRegressor": [
        {"n_estimators": 20, "early_stopping": False, "distribution": "gamma"},
        {"n_estimators": 20, "early_stopping": False, "tree_structure": "shared"},
    ],
    "NGBoostSurvivalRegressor": [
        {"n_estimators": 20, "early_stopping": False, "distribution": "weibull"},
    ],
    "RVC": [{"kernel": "poly", "class_weight": "balanced", "n_jobs": 2}],
    "RVR": [{"kernel": "laplacian", "fit_intercept": False}, {"noise_variance": 0.1}],
    "SparseBayesClassifier": [
        {"inclusion_threshold": 1.0, "class_weight": "balanced", "n_jobs": 2},
    ],
    "SparseBayesRegressor": [
        {"algorithm": "em", "output_correlation": "ar1"},
        {"algorithm": "mm", "alpha_1": 1e-3, "lambda_2": 1e-6},
        {"algorithm": "mackay"},
        {"coupling": 0.5},
        {"fit_intercept": False, "inclusion_threshold": 1.0},
        {"n_noise_starts": 4, "warm_start": True},
        {"noise_variance": 0.1},
    ],
}

# Where the defaults take seconds for each fit: what is checked in their place.
INSTEAD = {
    "SDPKMeans": {"n_clusters": 3},
    "CheckeredClassifierCV": {"n_hyperplanes": (1, 2), "Cs": (1.0, 10.0), "cv": 3},
    "NGBoostClassifier": {"n_estimators": 30, "n_folds": 2},
    "NGBoostSurvivalRegressor": {"n_estimators": 30, "n_folds": 2},
}

# scikit-learn's clustering checks hand a pairwise estimator a table of features, which
# it must refuse: these go through our own contract (test_contract.py) alone.
PAIRWISE = {
    "KMedoids": [{"metric": "precomputed"}],
    "CLARA": [{"metric": "precomputed"}],
    "CLARANS": [{"metric": "precomputed"}],
    "MedoidSilhouette": [{"metric": "precomputed"}],
    "OneBatchKMedoids": [{"metric": "precomputed"}],
}


def _instances(variants):
    return [
        cls(**params)
        for name, cls in all_estimators()
        for params in variants.get(name, [])
    ]


# Missing entries that are marked in such a way are what the estimator is for.
NAN_MARKERS = (np.nan, "absent")

INSTANCES = _instances(
    {name: [INSTEAD.get(name, {}), *params] for name, params in VARIANTS.items()}
)
PAIRWISE_INSTANCES = _instances(PAIRWISE)


def test_every_estimator_is_checked_beyond_its_defaults():
    assert {name for name, _ in all_estimators()} == set(VARIANTS)


def test_the_array_api_check_does_not_skip_itself():
    assert os.environ["SCIPY_ARRAY_API"] == "1"


# Some checks have fewer distinct rows than the default number of clusters.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(INSTANCES)
def test_sklearn_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", INSTANCES + PAIRWISE_INSTANCES, ids=repr)
def test_tags_weaken_nothing(estimator):
    tags = estimator.__sklearn_tags__()
    assert tags.estimator_type is not None or hasattr(estimator, "transform")
    assert not tags.no_validation
    assert not tags.non_deterministic
    assert not tags._skip_test
    assert tags.requires_fit
    assert tags.input_tags.two_d_array
    params = estimator.get_params()
    assert tags.input_tags.pairwise == (params.get("metric") == "precomputed")
    # Missing values are at home in trees; that infinity is refused is tested there.
    at_home = params.get("missing_values") in NAN_MARKERS or "max_bins" in params
    assert tags.input_tags.allow_nan == at_home
