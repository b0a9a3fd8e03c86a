"""Callbacks: who listens is told, who does not costs nothing."""

import importlib.util
import warnings

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.model_selection import GridSearchCV

from skalgos._compat import SKLEARN_VERSION
from skalgos.cluster import KMedoids

HAVE_CALLBACKS = importlib.util.find_spec("sklearn.callback") is not None

X, _ = make_blobs(200, centers=5, random_state=0)


class Recorder:
    """A callback that writes down what it is told."""

    def __init__(self, stop_after=None):
        self.log = []
        self.models = []
        self.stop_after = stop_after

    def setup(self, estimator, context):
        self.log.append("setup")

    def teardown(self, estimator, context):
        self.log.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.log.append(("begin", context.task_name))

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        self.log.append(("end", context.task_name))
        if context.task_name == "sweep":
            self.models.append(fitted_estimator)
            return len(self.models) == self.stop_after


def test_the_module_exists_from_1_9_on():
    assert (SKLEARN_VERSION.release >= (1, 9)) == HAVE_CALLBACKS


if HAVE_CALLBACKS:
    from sklearn.callback import ProgressBar

    def test_every_start_and_sweep_begins_and_ends():
        recorder = Recorder()
        model = KMedoids(5, n_init=3, random_state=0).set_callbacks(recorder).fit(X)
        assert recorder.log[0] == "setup"
        assert recorder.log[-1] == "teardown"
        for task in ("fit", "start", "sweep"):
            begun = recorder.log.count(("begin", task))
            assert begun == recorder.log.count(("end", task)) > 0
        assert recorder.log.count(("begin", "start")) == 3
        assert recorder.log.count(("begin", "sweep")) >= model.n_iter_

    def test_a_stopped_start_keeps_what_it_had():
        recorder = Recorder(stop_after=1)
        model = KMedoids(5, n_init=1, random_state=0).set_callbacks(recorder)
        model.fit(X)  # and does not warn: somebody asked for it
        assert model.n_iter_ == 1
        assert not model.converged_
        assert len(model.loss_history_) == 2

    def test_the_model_of_each_sweep_predicts():
        recorder = Recorder()
        model = KMedoids(5, n_init=1, random_state=0).set_callbacks(recorder).fit(X)
        losses = [-each.score(X) for each in recorder.models]
        np.testing.assert_allclose(losses, model.loss_history_[1:])
        last = recorder.models[-1]
        np.testing.assert_array_equal(last.labels_, model.labels_)

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_callbacks_change_no_result(n_jobs):
        plain = KMedoids(5, n_init=4, random_state=0).fit(X)
        model = KMedoids(5, n_init=4, random_state=0, n_jobs=n_jobs)
        model.set_callbacks(Recorder()).fit(X)
        np.testing.assert_array_equal(plain.medoid_indices_, model.medoid_indices_)

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_progress_bar_alone_and_in_a_grid_search(n_jobs, capsys):
        KMedoids(5, random_state=0).set_callbacks(ProgressBar()).fit(X)
        alone = capsys.readouterr().out
        assert "KMedoids" in alone
        search = GridSearchCV(
            KMedoids(random_state=0), {"n_clusters": [2, 5]}, cv=2, n_jobs=n_jobs
        )
        search.set_callbacks(ProgressBar()).fit(X)
        assert "KMedoids" in capsys.readouterr().out
        assert search.best_params_ == {"n_clusters": 5}

    def test_a_callback_that_fails_leaves_the_estimator_unfitted():
        class Failing(Recorder):
            def on_fit_task_end(self, estimator, context):
                raise RuntimeError("no more")

        model = KMedoids(5, random_state=0).set_callbacks(Failing())
        with pytest.raises(RuntimeError, match="no more"):
            model.fit(X)
        assert not hasattr(model, "medoid_indices_")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.set_callbacks().fit(X)
