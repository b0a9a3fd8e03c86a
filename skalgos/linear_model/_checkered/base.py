"""What a fitted checkered model can do, whichever estimator fitted it."""

import numpy as np
from scipy.special import logsumexp
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_y,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from skalgos._base import SkalEstimator
from skalgos._compat import check_sample_weight
from skalgos.linear_model._checkered.links import (
    _convolved,
    binary_logs,
    multiclass_logs,
    odds_parts,
)

# Rows whose logits are computed at once.
ROWS = 1 << 12


class _CheckeredBase(ClassifierMixin, SkalEstimator):
    """What a fitted checkered model can do."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _checked_data(self, X, y, sample_weight, *, reset=True, classes=None):
        """Return X, the numbers of the classes, weights, and the classes."""
        X, y = validate_data(
            self,
            X,
            y,
            reset=reset,
            accept_sparse="csr",
            dtype=np.float64,
            order="C",
            ensure_all_finite=True,
        )
        check_classification_targets(y)
        weights = check_sample_weight(sample_weight, X, np.float64)
        if classes is None:
            classes = np.unique(y[weights > 0])
            if len(classes) < 2:
                raise ValueError(
                    "Classification needs at least two classes, but the samples of "
                    f"non-zero weight have one class only: {classes[0]}."
                )
            # A label that only samples of weight zero have stands for nothing.
            weights = np.where(np.isin(y, classes), weights, 0)
        elif not np.isin(y, classes).all():
            unknown = np.setdiff1d(y, classes)
            raise ValueError(f"y has labels that classes does not name: {unknown}.")
        codes = np.searchsorted(classes, y).clip(0, len(classes) - 1)
        if self.class_weight is not None:
            weights = weights * self._class_factors(classes, codes, weights)[codes]
            if not weights.any():
                raise ValueError("class_weight leaves no sample of non-zero weight.")
        return X, codes, weights, classes

    def _class_factors(self, classes, codes, weights):
        if self.class_weight == "balanced":
            totals = np.bincount(codes, weights, minlength=len(classes))
            with np.errstate(divide="ignore"):
                factors = totals.sum() / (len(classes) * totals)
            return np.where(totals > 0, factors, 0.0)
        return compute_class_weight(self.class_weight, classes=classes, y=classes)

    # ---- logits ----------------------------------------------------------------------
    @property
    def _per_class(self):
        """Whether there is a binary model for each class."""
        return len(self.classes_) > 2 and self.multi_class == "ovr"

    def _logits(self, X):
        """Yield slices of rows, and logits with the rows along the last axis.

        Their shape is (m, n) for two classes, (m, K, n) for more, and (K, m, n) with a
        binary model for each class.
        """
        shape = self.intercept_.shape
        coef = self.coef_.reshape(-1, self.coef_.shape[-1])
        intercept = self.intercept_.ravel()
        for start in range(0, X.shape[0], ROWS):
            rows = slice(start, min(start + ROWS, X.shape[0]))
            # Row by row the same, whatever the other rows are.
            Z = coef @ X[rows].T
            Z += intercept[:, None]
            yield rows, Z.reshape(*shape, -1)

    def _with_noise(self, Z, rate):
        """Append the noise factor to the logits of one model."""
        from skalgos.linear_model._checkered.training import noise_logit

        logit = noise_logit(rate, 2 if Z.ndim == 2 else Z.shape[1])
        if logit is None:
            return Z
        factor = np.zeros((1, *Z.shape[1:]))
        factor[(0,) * (Z.ndim - 1)] = logit
        return np.concatenate([Z, factor])

    def _logs(self, Z):
        """Return log-probabilities of shape (classes, n) from logits."""
        if self._per_class:
            logs = np.stack(
                [
                    binary_logs(self._with_noise(z, rate))[1]
                    for z, rate in zip(Z, self.noise_, strict=True)
                ]
            )
            return logs - logsumexp(logs, axis=0)
        Z = self._with_noise(Z, self.noise_)
        if Z.ndim == 2:
            return np.stack(binary_logs(Z))
        logs = multiclass_logs(np.moveaxis(Z, -1, 0)).T
        return logs[self._residues]

    def _validated(self, X):
        check_is_fitted(self)
        return validate_data(
            self, X, reset=False, accept_sparse="csr", dtype=np.float64
        )

    def decision_function(self, X):
        """Compute how sure the model is of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes)
            For two classes the log-odds of ``classes_[1]``, which is the linear form
            itself if there is one hyperplane. For more the log-probabilities, or with
            ``multi_class="ovr"`` the log-odds of each binary model.
        """
        X = self._validated(X)
        out = np.empty((X.shape[0], len(self.classes_)))
        for rows, Z in self._logits(X):
            if self._per_class:
                for c, rate in enumerate(self.noise_):
                    low, high = binary_logs(self._with_noise(Z[c], rate))
                    out[rows, c] = high - low
            else:
                out[rows] = self._logs(Z).T
        return out[:, 1] - out[:, 0] if len(self.classes_) == 2 else out

    def predict_log_proba(self, X):
        """Compute log-probabilities, finite at any distance from the data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            For the classes in the order of ``classes_``.
        """
        X = self._validated(X)
        out = np.empty((X.shape[0], len(self.classes_)))
        for rows, Z in self._logits(X):
            out[rows] = self._logs(Z).T
        return out

    def predict_proba(self, X):
        """Compute probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            For the classes in the order of ``classes_``.
        """
        X = self._validated(X)
        out = np.empty((X.shape[0], len(self.classes_)))
        for rows, Z in self._logits(X):
            if len(self.classes_) == 2:
                r, positive = odds_parts(self._with_noise(Z, self.noise_))
                # Exactly r or 1 - r.
                out[rows, 1] = np.abs(positive - r)
                out[rows, 0] = np.abs(~positive - r)
            elif self._per_class:
                out[rows] = np.exp(self._logs(Z)).T
            else:
                Z = self._with_noise(Z, self.noise_)
                Z = np.exp(Z - Z.max(axis=1, keepdims=True))
                Z /= Z.sum(axis=1, keepdims=True)
                law = _convolved(np.ascontiguousarray(np.moveaxis(Z, -1, 0)))
                out[rows] = law[:, self._residues]
        return out

    def predict(self, X):
        """Predict the most likely class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Elements of ``classes_``.
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return self.classes_[(scores > 0).astype(np.intp)]
        return self.classes_[scores.argmax(axis=1)]

    # ---- looking into the model ------------------------------------------------------
    def tile_codes(self, X):
        """Tell on which side of every hyperplane samples are.

        Samples with the same code are in the same tile of the checkerboard.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_hyperplanes), int32
            For two classes 1 where the linear form is positive, else 0. For more the
            value of each factor; with ``multi_class="ovr"`` 0 and 1, of shape
            (n_samples, n_classes, n_hyperplanes).
        """
        X = self._validated(X)
        parts = [np.empty((0, *self._code_shape()), np.int32)]
        for _, Z in self._logits(X):
            if len(self.classes_) == 2 or self._per_class:
                codes = Z > 0
            else:
                codes = Z.argmax(axis=1)
            parts.append(np.moveaxis(codes, -1, 0).astype(np.int32))
        return np.concatenate(parts)

    def _code_shape(self):
        shape = self.intercept_.shape
        return shape if self._per_class else shape[:1]

    def loss(self, X, y, sample_weight=None):
        """Compute the mean logistic loss of samples, without penalty.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        y : array-like of shape (n_samples,)
            Their labels, elements of ``classes_``.

        sample_weight : array-like of shape (n_samples,), default=None
            How much each counts; None is 1 for all.

        Returns
        -------
        loss : float
            Minus the weighted mean of the log-probabilities of the labels.
        """
        return self._log_loss(*self._scored(X, y, sample_weight))

    def _scored(self, X, y, sample_weight):
        X = self._validated(X)
        y = _check_y(y, multi_output=False, y_numeric=False, estimator=self)
        check_consistent_length(X, y)
        if not np.isin(y, self.classes_).all():
            unknown = np.setdiff1d(y, self.classes_)
            raise ValueError(f"y has labels that were not in fit: {unknown}.")
        weights = check_sample_weight(sample_weight, X, np.float64)
        return X, np.searchsorted(self.classes_, y), weights

    def _log_loss(self, X, codes, weights, change=None):
        """Return the mean loss, of logits that are changed first if that is asked."""
        total = 0.0
        for rows, Z in self._logits(X):
            logs = self._logs(Z if change is None else change(Z))
            label = codes[rows]
            total -= weights[rows] @ logs[label, np.arange(len(label))]
        return float(total / weights.sum())

    def hyperplane_importance(self, X, y, sample_weight=None):
        """Compute how much the loss rises when a hyperplane is dropped.

        A dropped hyperplane has all samples on the same side, the one with the lower
        loss.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        y : array-like of shape (n_samples,)
            Their labels, elements of ``classes_``.

        sample_weight : array-like of shape (n_samples,), default=None
            How much each counts; None is 1 for all.

        Returns
        -------
        importance : ndarray of shape (n_hyperplanes,)
            The rise of the mean logistic loss; negative if the model does better
            without. With ``multi_class="ovr"`` of shape (n_classes, n_hyperplanes).
        """
        X, codes, weights = self._scored(X, y, sample_weight)
        whole = self._log_loss(X, codes, weights)
        forms = len(self.classes_) == 2 or self._per_class
        values = [np.inf, -np.inf] if forms else range(len(self.classes_))
        shape = self._code_shape()
        importance = np.empty(shape)
        for index in np.ndindex(*shape):
            losses = []
            for value in values:

                def change(Z, index=index, value=value):
                    Z = Z.copy()
                    if forms:
                        Z[index] = value
                    else:
                        Z[index] = -np.inf
                        Z[(*index, value)] = 0
                    return Z

                losses.append(self._log_loss(X, codes, weights, change))
            importance[index] = min(losses) - whole
        return importance
