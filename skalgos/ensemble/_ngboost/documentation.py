"""What the docstrings of the three estimators have in common."""

from inspect import cleandoc

_PARAMETERS = """\
natural_gradient : bool, default=True
    Whether trees are fitted to the natural gradient, which does not depend on how
    the distribution is parameterised. With False it is the plain gradient.

learning_rate : float, default=0.05
    How much of each step is taken.

n_estimators : int, default=500
    The largest number of iterations. Each adds a tree for every parameter of the
    distribution, or one for all.

tree_structure : {"auto", "separate", "shared"}, default="auto"
    Whether each parameter has a tree of its own, or all have the splits of one in
    common. "auto" shares where there are more than 5 parameters.

max_depth : int, default=None
    The largest depth of a tree; None bounds it by ``max_leaf_nodes`` alone.

max_leaf_nodes : int, default=8
    The largest number of leaves, at most 256. Trees grow best-first: the split that
    gains most is made next.

min_samples_leaf : float, default=10
    The smallest total weight of a leaf: a row of weight 2 counts as two rows.

l2_regularization : float, default=0.0
    Added to the weight of a leaf, which draws its value to zero.

max_bins : int, default=255
    Into how many bins a feature is cut at most, not counting missing values.

subsample : float, default=0.5
    The share of the rows, drawn anew in each iteration, that trees are fitted to.

max_features : float, default=1.0
    The share of the features, drawn for each tree, that it may split by.

line_search : {"backtracking"} or bool, default="backtracking"
    How the step of an iteration is scaled before the learning rate. "backtracking"
    halves it until the full step lowers the training loss. True also doubles it as long
    as that lowers the loss further, as the paper does; False takes it as it is.

leaf_estimation : {"natural", "fisher"}, default="natural"
    The value of a leaf: the mean of the natural gradients, or the sum of the
    gradients divided by the sum of the metrics, a Newton step.

categorical_features : "from_dtype" or array-like of int, bool or str, \
        default="from_dtype"
    Which features are categories: by index, mask or name. "from_dtype" takes the
    columns of a pandas dataframe that have the dtype "category". A category that
    was not in the training data is treated as missing. At most 255 categories.

monotonic_cst : dict or array-like of shape (n_features,), default=None
    1 where a parameter of the distribution may only rise with a feature, -1 where
    it may only fall, 0 for no constraint. An array is for the first internal
    parameter; a dict gives one array for each of their names, such as "loc" or
    "log_scale". Needs separate trees.

interaction_cst : {"pairwise", "no_interactions"} or sequence of lists/tuples/sets \
        of int, default=None
    Sets of features that may interact, that is, be split by on one path from the root
    of a tree. Features in none of them form one more set. "pairwise" allows two
    features on a path, "no_interactions" one, which makes each parameter a sum of
    functions of single features.

early_stopping : {"auto", "cv", "holdout"} or bool, default="auto"
    How the number of iterations is chosen.

    - "cv": by the mean validation score over ``n_folds`` folds, then all rows are
      fitted with that number.
    - "holdout": by a part of the rows, which are not fitted; the model keeps the
      iterations up to the best one.
    - "auto": "cv" below 10000 distinct rows, else "holdout". False if warm_start is
      set, or if there are too few rows to judge by, fewer than 40.
    - True is "auto", and False makes all ``n_estimators`` iterations.

validation_fraction : float, default=0.1
    The share of the rows held out.

n_iter_no_change : int, default=20
    Stop after so many iterations without a better validation score.

n_folds : int, default=5
    The number of folds.

tol : float, default=1e-4
    By how much a validation score must be lower to count as better: in nats for the
    log score, else as a share of the score of the marginal distribution.

warm_start : bool, default=False
    Whether ``fit`` adds trees to those of the last fit, up to ``n_estimators``.

random_state : int, RandomState instance or None, default=None
    Determines which rows and features are drawn, and the folds. The result depends
    neither on the order of the rows nor on ``n_jobs``.

n_jobs : int or None, default=None
    How many threads to use, for the trees of an iteration and the folds. ``None``
    means 1 unless in a :obj:`joblib.parallel_config` context, ``-1`` all
    processors.
"""

_ATTRIBUTES = """\
distribution_ : Distribution
    The family of the predictions.

n_iter_ : int
    The number of iterations that the model has.

early_stopping_ : {"cv", "holdout", "given", "none"}
    How that number was chosen; "given" means by validation data passed to ``fit``.

init_params_ : ndarray of shape (n_theta,)
    The internal parameters before the first iteration, those of the marginal
    distribution of y.

train_score_ : ndarray of shape (n_iter_ + 1,)
    The weighted mean of the scoring rule on the rows that were fitted, before the
    first iteration and after each one. Lower is better.

validation_score_ : ndarray
    The same on the rows to judge by, also beyond ``n_iter_``; the mean over the
    folds with "cv". Empty without early stopping.

scales_ : ndarray of shape (n_iter_,)
    The steps that the line search found.

stop_reason_ : str
    Why the last fit ended: "complete", "early stopping", "no further improvement"
    or "callback".

trees_ : dict of str to ndarray
    The splits and leaves of all trees as arrays.

tree_structure_ : {"separate", "shared"}
    Whether parameters have trees of their own.

feature_importances_ : ndarray of shape (n_features,)
    The share of each feature in the reduction of squared error by all splits, with
    every parameter counted alike. Sums to 1 unless there is no split.

feature_importances_per_parameter_ : ndarray of shape (n_theta, n_features)
    The same for each internal parameter.

calibration_ : float
    What ``calibrate`` found, 0 before.

n_features_in_ : int
    Number of features seen during :term:`fit`.

feature_names_in_ : ndarray of shape (`n_features_in_`,)
    Names of features seen during :term:`fit`. Defined only when X has feature
    names that are all strings.
"""

_NOTES = """\
Values of X may be missing (NaN): a split sends them to the side where they fit
better, and to the larger one if there were none in training. A column that is
missing throughout is never split by. Infinite values are refused.

Rows that are equal, in y and in the bins of all features, count as one with their
weights added up, so that weighting a row is the same as repeating it; rows of
weight zero are as good as absent.

Internal parameters that are logarithms stay within 14 of their marginal value, and
logits within 14 of zero.
"""

_REFERENCES = """\
.. [1] T. Duan, A. Avati, D. Y. Ding, K. K. Thai, S. Basu, A. Ng and A. Schuler,
   "NGBoost: Natural Gradient Boosting for Probabilistic Prediction", ICML 2020.
.. [2] T. Gneiting and A. E. Raftery, "Strictly Proper Scoring Rules, Prediction,
   and Estimation", Journal of the American Statistical Association 102, 2007.
"""


def documented(cls):
    """Fill the common parts into the docstring of an estimator."""
    doc = cleandoc(cls.__doc__)
    for name, part in (
        ("parameters", _PARAMETERS),
        ("attributes", _ATTRIBUTES),
        ("notes", _NOTES),
        ("references", _REFERENCES),
    ):
        doc = doc.replace(f"<{name}>", part.strip("\n"))
    cls.__doc__ = doc + "\n"
    return cls
