"""What does not go together in a search over several donors' weights."""

from __future__ import annotations

from typing import Any

import pytest

from adamms.commands.settings import SearchSettings
from adamms.config import load_settings
from adamms.errors import UserError
from adamms.searching.weights_settings import check_weights


def settings(most: int, **searching: Any) -> SearchSettings:
    own = {"base": "b", "donors": ["c", "d"], "budget": {"candidates": most}}
    given = {"metric": "logprob", "alphas": [0.0, 0.2, 0.4]} | searching
    return load_settings(SearchSettings, None, [], own, {"searching": given})


def test_a_limit_leaves_room_for_the_trials_and_a_line() -> None:
    """10 trials and a line of 3 alphas: with fewer than 12, nothing would be chosen once the trials are paid for."""
    check_weights(settings(12, trials=10))
    check_weights(settings(0, trials=10))
    check_weights(settings(12))
    with pytest.raises(UserError, match=r"budget\.candidates=11: .* may ask 12 sets of weights; raise it"):
        check_weights(settings(11, trials=10))


def test_a_limit_does_not_go_with_finer_candidates() -> None:
    check_weights(settings(0, refine=[0.1]))
    with pytest.raises(UserError, match=r"budget\.candidates: how many searching\.refine adds"):
        check_weights(settings(12, refine=[0.1]))


def test_trials_leave_donors_out_so_lines_have_to_be_able_to() -> None:
    check_weights(settings(0, alphas=[0.1, 0.2, 0.4]))
    with pytest.raises(UserError, match=r"searching\.alphas needs 0"):
        check_weights(settings(0, alphas=[0.1, 0.2, 0.4], trials=10))
