"""What the estimators and the function of sparse Bayesian recovery share."""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from skalgos._compat import Interval, StrOptions, check_sample_weight
from skalgos._tasks import fit_task

NOISE_CONSTRAINT = [StrOptions({"learn"}), Interval(Real, 0, None, closed="neither")]
#: Of the function and of SparseBayesRegressor.
CONSTRAINTS = {
    "algorithm": [StrOptions({"auto", "sequential", "em", "mm", "mackay"})],
    "inclusion_threshold": [
        StrOptions({"auto", "universal"}),
        Interval(Real, 1, None, closed="left"),
    ],
    "expected_false_inclusions": [Interval(Real, 0, None, closed="neither")],
    "noise_variance": NOISE_CONSTRAINT,
    "n_noise_starts": [Interval(Integral, 1, 10, closed="both")],
    "groups": ["array-like", None],
    "coupling": [Interval(Real, 0, 1, closed="both"), "array-like", None],
    "output_correlation": [StrOptions({"ar1", "full"}), None],
    "alpha_1": [Interval(Real, 0, None, closed="left")],
    "alpha_2": [Interval(Real, 0, None, closed="left")],
    "lambda_1": [Interval(Real, 0, None, closed="left")],
    "lambda_2": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "prune_tol": [Interval(Real, 0, 1, closed="left")],
}
MAX_ACTIVE_CONSTRAINT = [Interval(Integral, 1, None, closed="left"), None]


def row_weights(sample_weight, X, *, intercept=False):
    """Return checked weights, or None; an intercept takes one row of them."""
    if sample_weight is None:
        return None
    weights = check_sample_weight(sample_weight, X, np.float64)
    if intercept and weights.sum() <= 1:
        raise ValueError(
            "sample_weight must sum to more than 1, as weights count rows and the "
            f"intercept takes one; got {weights.sum():.3g}."
        )
    return weights


def warn_if_unsettled(estimator, *, stacklevel):
    """Warn if ``max_iter`` ended the fit."""
    if not estimator.converged_ and estimator.n_iter_ >= estimator.max_iter:
        warnings.warn(
            f"{type(estimator).__name__} stopped after max_iter={estimator.max_iter} "
            "iterations before the prior variances settled. Increase max_iter or tol.",
            ConvergenceWarning,
            stacklevel=stacklevel + 1,
        )


class PosteriorRegressor:
    """A regressor with a Gaussian posterior of coefficients and a flat intercept."""

    def _recover(self, X, y, basis, weights, settings, fitted, **start):
        """Solve for the coefficients of a basis, and set the fitted attributes.

        ``fitted(solution, design)`` returns those that are not common to all.
        """
        from skalgos._sparse_bayes.design import Design
        from skalgos._sparse_bayes.recover import recover

        design = Design(basis, weights, centre=self.fit_intercept)
        Y, mean = design.response(y.astype(np.float64).reshape(len(y), -1))
        task = fit_task(
            self, X, y, sample_weight=weights, max_subtasks=None, sequential=True
        )

        def attributes(solution):
            intercept, offset = np.zeros(Y.shape[1]), None
            if mean is not None:
                centre = design.mean[solution.active]
                intercept = mean - centre @ solution.mean
                offset = centre, solution.noise / design.total
            intercept = intercept.astype(basis.dtype)
            return {
                "_solution": solution,
                "_offset": offset,
                "intercept_": intercept if y.ndim == 2 else intercept[0],
                "noise_variance_": float(solution.noise),
                "log_evidence_": float(solution.log_evidence),
                "scores_": solution.scores,
                "n_iter_": solution.n_iter,
                "converged_": solution.converged,
                **fitted(solution, design),
            }

        def on_round():
            round_ = task.subtask("round")
            return lambda solution: round_.end(lambda: attributes(solution()))

        solution = recover(design, Y, settings, on_round=on_round, **start)
        task.end()
        vars(self).update(attributes(solution))
        warn_if_unsettled(self, stacklevel=5)

    def _predicted(self, X, coef, return_std, return_cov):
        """Return predictions from the active columns, and their uncertainty."""
        if return_std and return_cov:
            raise ValueError("return_std and return_cov exclude each other: set one.")
        mean = X @ coef.T + self.intercept_
        if not (return_std or return_cov):
            return mean
        solution, offset = self._solution, self._offset
        dense = X.toarray() if sparse.issparse(X) else X
        dense = dense.astype(np.float64)
        everywhere = 0.0
        if offset is not None:
            dense, everywhere = dense - offset[0], offset[1]
        if return_std:
            parts = [c.variance_of(dense) for c in solution.covariances]
            variance = solution.for_outputs(parts) + everywhere + solution.noise
            return mean, _for_each_target(np.sqrt(variance), mean, 1)
        parts = [c.covariance_of(dense) for c in solution.covariances]
        covariance = solution.for_outputs(parts) + everywhere
        covariance[np.diag_indices(len(dense))] += solution.noise
        return mean, _for_each_target(covariance, mean, 2)


def _for_each_target(values, mean, ndim):
    """Give values the last axis of the means, and their type."""
    values = values.astype(mean.dtype)
    if mean.ndim == 2 and values.ndim == ndim:
        return np.repeat(values[..., None], mean.shape[1], axis=-1)
    return values
