"""Predictive distributions, and their scoring rules with gradients and metrics."""

from skalgos.distributions._base import (
    Distribution,
    PredictiveDistribution,
    check_gradients,
)
from skalgos.distributions._discrete import (
    Categorical,
    HurdleGamma,
    NegativeBinomial,
    Poisson,
    ZeroInflatedNegativeBinomial,
    ZeroInflatedPoisson,
)
from skalgos.distributions._location_scale import (
    Gumbel,
    Laplace,
    Logistic,
    LogNormal,
    Normal,
    StudentT,
    Weibull,
)
from skalgos.distributions._multivariate import (
    MultivariateNormal,
    MultivariatePrediction,
)
from skalgos.distributions._positive import Beta, Exponential, Gamma, HalfNormal

__all__ = [
    "Beta",
    "Categorical",
    "Distribution",
    "Exponential",
    "Gamma",
    "Gumbel",
    "HalfNormal",
    "HurdleGamma",
    "Laplace",
    "LogNormal",
    "Logistic",
    "MultivariateNormal",
    "MultivariatePrediction",
    "NegativeBinomial",
    "Normal",
    "Poisson",
    "PredictiveDistribution",
    "StudentT",
    "Weibull",
    "ZeroInflatedNegativeBinomial",
    "ZeroInflatedPoisson",
    "check_gradients",
]
