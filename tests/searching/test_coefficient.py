"""What a search walks along."""

from __future__ import annotations

import pytest

from adamms.merging.config import MergingConfig
from adamms.searching.coefficient import SearchedCoefficient
from adamms.searching.config import SearchingConfig


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
