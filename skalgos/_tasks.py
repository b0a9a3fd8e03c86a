"""Progress of a fit, told to scikit-learn's callbacks where there are any.

Only this module touches :mod:`sklearn.callback`. Without a callback, and on a
scikit-learn that has none, every call here is an attribute look-up.
"""


class FitTask:
    """A piece of a fit: the whole, one of its restarts, one sweep.

    Parameters
    ----------
    context : CallbackContext or None
        None when nobody listens.
    estimator : estimator
    data : dict
        ``X``, ``y`` and ``metadata`` as the hooks are to see them.
    """

    def __init__(self, context, estimator, data):
        self._context = context
        self._estimator = estimator
        self._data = data
        if context is not None:
            context.call_on_fit_task_begin(estimator=estimator, **data)

    @property
    def heard(self):
        """Whether anybody listens, so that every piece has to be told of."""
        return self._context is not None

    def subtask(self, name, *, task_id=None, max_subtasks=0):
        """Begin a piece of this piece.

        Parameters
        ----------
        name : str
        task_id : int or None
            Which one it is; None for pieces that follow each other.
        max_subtasks : int or None
            How many pieces it has at most: 0 for none, None for unknown.

        Returns
        -------
        task : FitTask
        """
        context = self._context
        if context is not None:
            context = context.subcontext(
                task_name=name, task_id=task_id, max_subtasks=max_subtasks
            )
        return FitTask(context, self._estimator, self._data)

    def end(self, attributes=None):
        """End it.

        Parameters
        ----------
        attributes : callable or None
            ``attributes() -> dict`` of the fitted attributes that a model stopped here
            would have; called only if a callback asks for the model.

        Returns
        -------
        stop : bool
            Whether a callback asks to stop the pieces that would follow.
        """
        if self._context is None:
            return False
        return self._context.call_on_fit_task_end(
            estimator=self._estimator,
            reconstruction_attributes=attributes,
            **self._data,
        )


def fit_task(estimator, X, y=None, *, sample_weight=None, max_subtasks, sequential):
    """Begin the fit of an estimator; called once, in ``fit``, after validation.

    Parameters
    ----------
    estimator : estimator with CallbackSupportMixin
    X, y : the data as validated
    sample_weight : ndarray or None
    max_subtasks : int or None
        How many pieces the fit has at most; None for unknown.
    sequential : bool
        Whether its pieces follow each other; if not, they carry ids.

    Returns
    -------
    task : FitTask
    """
    listened_to = getattr(estimator, "_skl_callbacks", None) or hasattr(
        estimator, "_parent_callback_ctx"
    )
    context = None
    if listened_to:
        context = estimator._init_callback_context(
            max_subtasks=max_subtasks, sequential_subtasks=sequential
        )
    metadata = None if sample_weight is None else {"sample_weight": sample_weight}
    return FitTask(context, estimator, {"X": X, "y": y, "metadata": metadata})
