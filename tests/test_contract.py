"""Our own promises, over every estimator and every path through it."""

import pytest

from skalgos.utils.estimator_checks import NotApplicable, yield_contract_checks
from tests.test_common import INSTANCES, PAIRWISE_INSTANCES


@pytest.mark.parametrize("estimator", INSTANCES + PAIRWISE_INSTANCES, ids=repr)
@pytest.mark.parametrize(
    "check", list(yield_contract_checks()), ids=lambda c: c.__name__
)
def test_contract(estimator, check):
    try:
        check(estimator)
    except NotApplicable:
        assert check.__name__ in MAY_NOT_APPLY


# A check outside this list has something to say about every estimator.
MAY_NOT_APPLY = {
    "check_an_exhausted_budget_is_reported",
    "check_callbacks_pair_up",
    "check_grid_search_backends_agree",
    "check_n_jobs_changes_nothing",
    "check_precomputed_equals_metric",
    "check_routed_weights_arrive",
    "check_row_order_does_not_matter",
    "check_sparse_equals_dense",
    "check_weights_repeat_rows",
}
