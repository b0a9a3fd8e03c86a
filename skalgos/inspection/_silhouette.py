"""The picture of medoid silhouettes."""

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from skalgos._compat import check_matplotlib_support
from skalgos.cluster import medoid_silhouette_samples


class MedoidSilhouetteDisplay:
    """Medoid silhouettes, a blade for each cluster.

    Make it with :meth:`from_estimator` or :meth:`from_predictions`. In a blade the
    objects of a cluster are stacked by their silhouette, so that a broad blade is a
    large cluster, and a long one is well apart from the others.

    Parameters
    ----------
    silhouettes : ndarray of shape (n_samples,)
        The medoid silhouette of each object.

    labels : ndarray of shape (n_samples,)
        The cluster of each object.

    Attributes
    ----------
    score_ : float
        The mean silhouette.

    ax_ : matplotlib Axes
        Where it was drawn.

    figure_ : matplotlib Figure
        The figure around it.

    blades_ : list of matplotlib PolyCollection
        One for each cluster.

    line_ : matplotlib Line2D
        The line at the mean.

    See Also
    --------
    skalgos.cluster.MedoidSilhouette : The estimator that maximises the mean.
    skalgos.cluster.medoid_silhouette_samples : The numbers behind the picture.

    References
    ----------
    .. [1] P. J. Rousseeuw, "Silhouettes: a graphical aid to the interpretation and
       validation of cluster analysis", Journal of Computational and Applied
       Mathematics 20, 1987.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skalgos.cluster import MedoidSilhouette
    >>> from skalgos.inspection import MedoidSilhouetteDisplay
    >>> X, _ = load_iris(return_X_y=True)
    >>> model = MedoidSilhouette(3, random_state=0).fit(X)
    >>> display = MedoidSilhouetteDisplay.from_estimator(model, X)
    >>> len(display.blades_)
    3
    """

    def __init__(self, *, silhouettes, labels):
        self.silhouettes = silhouettes
        self.labels = labels

    @classmethod
    def from_estimator(cls, estimator, X, *, ax=None, cmap="viridis", line_kw=None):
        """Draw the silhouettes of rows around the medoids of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted, and with a ``transform`` to the dissimilarities to its medoids, as
            those in :mod:`skalgos.cluster` have it.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As its ``transform`` takes it.

        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        cmap : str or matplotlib Colormap, default="viridis"
            Gives the colours of the clusters.

        line_kw : dict, default=None
            Keywords for the line at the mean.

        Returns
        -------
        display : MedoidSilhouetteDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        check_is_fitted(estimator)
        distances = np.asarray(estimator.transform(X))
        return cls.from_predictions(distances, ax=ax, cmap=cmap, line_kw=line_kw)

    @classmethod
    def from_predictions(cls, distances, *, ax=None, cmap="viridis", line_kw=None):
        """Draw the silhouettes that follow from dissimilarities to medoids.

        Parameters
        ----------
        distances : array-like of shape (n_samples, n_clusters)
            The dissimilarity of each object to each medoid, at least two of them.

        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        cmap : str or matplotlib Colormap, default="viridis"
            Gives the colours of the clusters.

        line_kw : dict, default=None
            Keywords for the line at the mean.

        Returns
        -------
        display : MedoidSilhouetteDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_predictions")
        distances = check_array(
            distances, dtype=[np.float64, np.float32], input_name="distances"
        )
        display = cls(
            silhouettes=medoid_silhouette_samples(distances),
            labels=distances.argmin(axis=1),
        )
        return display.plot(ax=ax, cmap=cmap, line_kw=line_kw)

    def plot(self, *, ax=None, cmap="viridis", line_kw=None):
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        cmap : str or matplotlib Colormap, default="viridis"
            Gives the colours of the clusters.

        line_kw : dict, default=None
            Keywords for the line at the mean.

        Returns
        -------
        display : MedoidSilhouetteDisplay
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots()
        clusters = np.unique(self.labels)
        colors = plt.get_cmap(cmap)(np.linspace(0.1, 0.9, len(clusters)))
        gap = max(1.0, 0.02 * len(self.labels))
        low, ticks = 0.0, []
        self.blades_ = []
        for cluster, color in zip(clusters, colors, strict=True):
            values = np.sort(self.silhouettes[self.labels == cluster])
            edges = np.arange(len(values) + 1)
            blade = ax.fill_betweenx(
                low + edges, 0, np.append(values, values[-1]), color=color, step="post"
            )
            self.blades_.append(blade)
            ticks.append(low + len(values) / 2)
            low += len(values) + gap
        self.score_ = float(self.silhouettes.mean())
        style = {"color": "black", "linestyle": "--", "label": f"{self.score_:.3f}"}
        self.line_ = ax.axvline(self.score_, **{**style, **(line_kw or {})})
        ax.set(
            xlim=(0, 1),
            ylim=(-gap, low),
            xlabel="Medoid silhouette",
            ylabel="Cluster",
            yticks=ticks,
            yticklabels=clusters,
        )
        ax.legend(title="Mean", loc="lower right")
        self.ax_, self.figure_ = ax, ax.figure
        return self
