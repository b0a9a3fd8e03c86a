"""What every estimator of the package shares: its documentation link and its stamp."""

import warnings
from contextlib import contextmanager

from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning

from skalgos import DOC_URL, __version__


class SkalEstimator(BaseEstimator):
    """Base class of all estimators.

    Adds to :class:`sklearn.base.BaseEstimator` the link from the HTML
    representation to the page of the class in this package's documentation, and the
    version of the package in pickles, with a warning where it differs on loading.
    """

    _doc_link_module = "skalgos"
    _doc_link_template = DOC_URL + "/generated/{estimator_module}.{estimator_name}.html"

    @contextmanager
    def _all_or_nothing(self):
        """Take fitted attributes back if the block raises: nothing is half-fitted."""

        def fitted():
            return {k: v for k, v in vars(self).items() if k[-1] == "_" != k[0]}

        before = fitted()
        try:
            yield
        except BaseException:
            for name in fitted():
                delattr(self, name)
            vars(self).update(before)
            raise

    def __getstate__(self):
        return {**super().__getstate__(), "_skalgos_version": __version__}

    def __setstate__(self, state):
        state = dict(state)
        version = state.pop("_skalgos_version", "unknown")
        if version != __version__:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=type(self).__name__,
                    current_sklearn_version=__version__,
                    original_sklearn_version=version,
                ),
                stacklevel=2,
            )
        super().__setstate__(state)
