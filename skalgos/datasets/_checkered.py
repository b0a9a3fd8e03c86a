"""Checkerboards."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import Bunch, check_random_state

from skalgos._compat import Interval, StrOptions, validate_params

_COUNT = Interval(Integral, 1, None, closed="left")


@validate_params(
    {
        "n_samples": [_COUNT],
        "n_features": [_COUNT],
        "n_hyperplanes": [_COUNT],
        "layout": [StrOptions({"grid", "random"})],
        "n_classes": [Interval(Integral, 2, None, closed="left")],
        "angle": [Interval(Real, None, None, closed="neither")],
        "sharpness": [Interval(Real, 0, None, closed="right")],
        "flip_y": [Interval(Real, 0, 1, closed="both")],
        "return_truth": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_checkered(
    n_samples=1000,
    n_features=2,
    *,
    n_hyperplanes=4,
    layout="grid",
    n_classes=2,
    angle=0.0,
    sharpness=np.inf,
    flip_y=0.0,
    return_truth=False,
    random_state=None,
):
    """Draw samples whose class changes across each of several hyperplanes.

    Parameters
    ----------
    n_samples : int, default=1000
        The number of samples.

    n_features : int, default=2
        The number of features. On a grid those after the second are noise.

    n_hyperplanes : int, default=4
        The number of hyperplanes; with more than two classes, of partitions of space
        into ``n_classes`` cells, whose numbers are summed modulo ``n_classes``.

    layout : {"grid", "random"}, default="grid"
        On a grid, the first two features are uniform on the unit square, which half of
        the hyperplanes cut into equal columns and the others into equal rows; two
        classes only. Else features are standard normal, and hyperplanes have random
        directions and offsets.

    n_classes : int, default=2
        The number of classes.

    angle : float, default=0.0
        By how many degrees the grid is turned about the middle of the square.

    sharpness : float, default=inf
        The length of the gradient of each linear form. Labels are drawn from the
        checkered model with these forms; if infinite they follow from the tile.

    flip_y : float, default=0.0
        The share of labels that are replaced, by each of the others alike.

    return_truth : bool, default=False
        Whether to return the model too.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same data in every call.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Samples.

    y : ndarray of shape (n_samples,), int64
        Their classes, 0 to n_classes - 1.

    truth : Bunch
        Only if ``return_truth``: ``coef`` of shape (n_hyperplanes, n_features) or
        (n_hyperplanes, n_classes, n_features), ``intercept`` of shape (n_hyperplanes,)
        or (n_hyperplanes, n_classes), both for a sharpness of 1 if it is infinite, and
        ``proba`` of shape (n_samples, n_classes), the probabilities that labels were
        drawn from.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or a grid is asked for with more than two
        classes or less than two features.

    See Also
    --------
    make_checkered_gmm : Gaussian clusters at the corners of a cube.

    References
    ----------
    .. [1] M. Achab, "Checkered Regression", 2022.

    Examples
    --------
    >>> from skalgos.datasets import make_checkered
    >>> X, y = make_checkered(4, n_hyperplanes=2, random_state=0)
    >>> ((X > 0.5).sum(axis=1) % 2 == 0) == y
    array([ True,  True,  True,  True])
    """
    rng = check_random_state(random_state)
    m, d, K = n_hyperplanes, n_features, n_classes
    if layout == "grid":
        if K > 2 or d < 2:
            raise ValueError(
                "layout='grid' is for n_classes=2 and n_features of at least 2; got "
                f"n_classes={K} and n_features={d}. Use layout='random'."
            )
        X, coef, intercept = _grid(rng, n_samples, d, m, angle)
    else:
        if angle:
            raise ValueError("angle turns the grid of layout='grid' only.")
        shape = (m, d) if K == 2 else (m, K, d)
        coef = rng.standard_normal(shape)
        coef /= np.linalg.norm(coef, axis=-1, keepdims=True)
        intercept = 0.5 * rng.standard_normal(shape[:-1])
        X = rng.standard_normal((n_samples, d))
    forms = np.tensordot(X, coef, axes=(1, -1)) + intercept
    proba = _probabilities(forms, K, sharpness, flip_y)
    y = (proba.cumsum(axis=1) < rng.uniform(size=(n_samples, 1))).sum(axis=1)
    y = np.minimum(y, K - 1)
    if not return_truth:
        return X, y
    scale = sharpness if np.isfinite(sharpness) else 1.0
    return X, y, Bunch(coef=scale * coef, intercept=scale * intercept, proba=proba)


def _grid(rng, n_samples, d, m, angle):
    X = rng.uniform(size=(n_samples, d))
    columns, rows = (m + 1) // 2, m // 2
    coef = np.zeros((m, d))
    coef[:columns, 0] = coef[columns:, 1] = 1
    at = [j / (columns + 1) for j in range(1, columns + 1)]
    at += [j / (rows + 1) for j in range(1, rows + 1)]
    intercept = -np.array(at)
    if m % 2:  # class 1 has the lower left tile
        coef[0], intercept[0] = -coef[0], -intercept[0]
    turn = np.deg2rad(angle)
    rotation = np.eye(d)
    rotation[:2, :2] = [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
    middle = np.zeros(d)
    middle[:2] = 0.5
    turned = coef @ rotation
    intercept = intercept + coef @ middle - turned @ middle
    return (X - middle) @ rotation + middle, turned, intercept


def _probabilities(forms, K, sharpness, flip_y):
    """Return the probabilities of the classes."""
    from skalgos.linear_model._checkered.links import checkoid, multiclass_checkoid

    if np.isfinite(sharpness):
        if K == 2:
            p = checkoid(sharpness * forms)
            proba = np.stack([1 - p, p], axis=1)
        else:
            proba = multiclass_checkoid(sharpness * forms)
    elif K == 2:
        y = (forms <= 0).sum(axis=1) % 2 == 0
        proba = np.stack([~y, y], axis=1).astype(float)
    else:
        proba = np.eye(K)[forms.argmax(axis=2).sum(axis=1) % K]
    return (1 - flip_y) * proba + flip_y / (K - 1) * (1 - proba)


@validate_params(
    {
        "n_samples": [_COUNT],
        "n_features": [_COUNT],
        "n_hyperplanes": [_COUNT],
        "separation": [Interval(Real, 0, None, closed="neither")],
        "scale": [Interval(Real, 0, None, closed="neither")],
        "return_truth": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_checkered_gmm(
    n_samples=1000,
    n_features=2,
    *,
    n_hyperplanes=2,
    separation=2.0,
    scale=0.5,
    return_truth=False,
    random_state=None,
):
    """Draw from Gaussian clusters at the corners of a cube, labelled by parity.

    With two hyperplanes this is exclusive or. The probability of the classes given a
    sample is exactly that of a checkered model, since the clusters are spherical and
    the edges of the cube orthogonal.

    Parameters
    ----------
    n_samples : int, default=1000
        The number of samples.

    n_features : int, default=2
        The number of features, at least ``n_hyperplanes``; the others are noise.

    n_hyperplanes : int, default=2
        The dimension of the cube, which has 2 to this power of clusters.

    separation : float, default=2.0
        The length of an edge.

    scale : float, default=0.5
        The standard deviation of each cluster in every direction.

    return_truth : bool, default=False
        Whether to return the model too.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same data in every call.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Samples, around the origin.

    y : ndarray of shape (n_samples,), int64
        1 where an even number of the features that matter has a negative mean.

    truth : Bunch
        Only if ``return_truth``: ``coef`` of shape (n_hyperplanes, n_features),
        ``intercept`` of shape (n_hyperplanes,), and ``proba`` of shape (n_samples, 2),
        the probabilities of the classes given the sample.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or there are less features than
        hyperplanes.

    See Also
    --------
    make_checkered : Tiles with sharp edges, and more than two classes.

    References
    ----------
    .. [1] M. Achab, "Beyond Log-Concavity: Theory and Algorithm for Sum-Log-Concave
       Optimization", 2023.

    Examples
    --------
    >>> from skalgos.datasets import make_checkered_gmm
    >>> X, y, truth = make_checkered_gmm(100, return_truth=True, random_state=0)
    >>> truth.coef
    array([[8., 0.],
           [0., 8.]])
    """
    from skalgos.linear_model._checkered.links import checkoid

    if n_features < n_hyperplanes:
        raise ValueError(
            f"n_features={n_features} must be at least n_hyperplanes={n_hyperplanes}."
        )
    rng = check_random_state(random_state)
    signs = 2 * rng.randint(2, size=(n_samples, n_hyperplanes)) - 1
    X = scale * rng.standard_normal((n_samples, n_features))
    X[:, :n_hyperplanes] += 0.5 * separation * signs
    y = (signs.prod(axis=1) > 0).astype(np.int64)
    if not return_truth:
        return X, y
    coef = separation / scale**2 * np.eye(n_hyperplanes, n_features)
    p = checkoid(X @ coef.T)
    proba = np.stack([1 - p, p], axis=1)
    return X, y, Bunch(coef=coef, intercept=np.zeros(n_hyperplanes), proba=proba)
