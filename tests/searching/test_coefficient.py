"""What a search walks along."""

from __future__ import annotations

import math

import pytest

from adamms.errors import UserError
from adamms.merging.config import MergingConfig
from adamms.searching.coefficient import SearchedCoefficient
from adamms.searching.config import SearchingConfig


@pytest.mark.parametrize(
    ("merging", "searching", "limits"),
    [
        ({}, {}, (0.0, 1.0)),
        ({}, {"alpha": "0,0.3,0.2", "donor": 1}, (0.0, 0.5)),
        ({"method": "ties"}, {"coefficient": "density"}, (0.0, 1.0)),
        ({"method": "task_arithmetic"}, {"coefficient": "scale"}, (0.0, math.inf)),
    ],
)
def test_no_search_goes_beyond_what_its_coefficient_may_be(
    merging: dict[str, object], searching: dict[str, object], limits: tuple[float, float]
) -> None:
    found = SearchedCoefficient.of(MergingConfig(**merging), SearchingConfig(**searching))
    assert found.limits == limits
    for value in limits:
        if math.isfinite(value):
            found.candidate(value)
            found.check([value], fewest=1)
    for value in (limits[0] - 0.1, limits[1] + 0.1, math.nan):
        with pytest.raises(UserError, match=r"searching\.alphas: \["):
            found.check([value], fewest=1)


@pytest.mark.parametrize(
    ("merging", "searching", "with_base"),
    [
        ({}, {}, True),
        ({"method": "ties"}, {}, False),
        ({"method": "task_arithmetic"}, {}, True),
        ({"method": "task_arithmetic", "options": {"scale": 0.7}}, {}, False),
        ({"method": "ties"}, {"coefficient": "density"}, False),
        ({}, {"alpha": "0,0.2", "donor": 1}, False),
        ({}, {"alpha": "0.2,0", "donor": 1}, True),
    ],
)
def test_the_candidate_of_0_is_the_base_where_nothing_else_merges(
    merging: dict[str, object], searching: dict[str, object], with_base: bool
) -> None:
    found = SearchedCoefficient.of(MergingConfig(**merging), SearchingConfig(**searching))
    assert found.with_base == with_base
