"""Scorers for model selection: higher is better."""

from skalgos.metrics._scores import crps_score, log_score


class ProbabilisticScorer:
    """A scorer of estimators that have ``predict_dist``, for ``scoring=``.

    Parameters
    ----------
    score : callable
        ``score(y_true, dist, sample_weight=...)``, lower is better.
    """

    def __init__(self, score):
        self._score = score

    def __repr__(self):
        return f"ProbabilisticScorer({self._score.__name__})"

    def __call__(self, estimator, X, y, sample_weight=None):
        """Return minus the score of the predictions: higher is better.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``predict_dist``.
        X : array-like of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,)
            What was observed.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
        """
        if hasattr(estimator, "classes_"):
            import numpy as np

            y = np.searchsorted(estimator.classes_, y)
        dist = estimator.predict_dist(X)
        return -self._score(y, dist, sample_weight=sample_weight)


#: Minus the mean negative log likelihood of ``predict_dist``.
neg_log_score_scorer = ProbabilisticScorer(log_score)
#: Minus the mean continuous ranked probability score of ``predict_dist``.
neg_crps_scorer = ProbabilisticScorer(crps_score)
