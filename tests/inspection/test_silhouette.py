"""The picture of medoid silhouettes."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError

from skalgos.cluster import (
    KMedoids,
    medoid_silhouette_samples,
    medoid_silhouette_score,
)
from skalgos.inspection import MedoidSilhouetteDisplay

# Optional, as for users.
plt = pytest.importorskip("matplotlib.pyplot")
X, _ = make_blobs([30, 20, 10], random_state=0)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_a_blade_shows_the_sorted_silhouettes_of_its_cluster():
    model = KMedoids(3, random_state=0).fit(X)
    display = MedoidSilhouetteDisplay.from_estimator(model, X)
    distances = model.transform(X)
    silhouettes = medoid_silhouette_samples(distances)
    np.testing.assert_array_equal(display.silhouettes, silhouettes)
    np.testing.assert_array_equal(display.labels, model.labels_)
    assert display.score_ == pytest.approx(medoid_silhouette_score(distances))
    assert display.line_.get_xdata()[0] == display.score_
    for cluster, blade in enumerate(display.blades_):
        corners = blade.get_paths()[0].vertices
        members = silhouettes[model.labels_ == cluster]
        assert corners[:, 0].max() == pytest.approx(members.max())
        assert np.ptp(corners[:, 1]) == pytest.approx(len(members))
    labels = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert labels == ["0", "1", "2"]
    assert display.figure_ is display.ax_.figure


def test_it_draws_where_and_how_it_is_told():
    _, ax = plt.subplots()
    distances = KMedoids(3, random_state=0).fit_transform(X)
    display = MedoidSilhouetteDisplay.from_predictions(
        distances, ax=ax, cmap="magma", line_kw={"color": "red"}
    )
    assert display.ax_ is ax
    assert display.line_.get_color() == "red"
    again = display.plot()
    assert again is display
    assert display.ax_ is not ax


def test_clusters_without_members_have_no_blade():
    display = MedoidSilhouetteDisplay.from_predictions([[0.0, 1, 9], [1, 0, 9]])
    assert len(display.blades_) == 2


def test_what_it_refuses():
    with pytest.raises(NotFittedError):
        MedoidSilhouetteDisplay.from_estimator(KMedoids(3), X)
    with pytest.raises(ValueError, match="at least 2 medoids"):
        MedoidSilhouetteDisplay.from_predictions([[1.0], [2.0]])
    with pytest.raises(ValueError, match="NaN"):
        MedoidSilhouetteDisplay.from_predictions([[1.0, np.nan]])
