from __future__ import annotations

import pytest

from adamms.errors import UserError
from adamms.searching.budget import Budget, Usage
from adamms.searching.config import BudgetConfig


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_wall_time_is_over_before_its_end_by_the_reserve() -> None:
    clock = Clock()
    budget = Budget(BudgetConfig(hours=2, reserve=0.25), Usage(clock))
    clock.now += 5399
    assert budget.over is None
    clock.now += 1
    assert budget.over == "budget.hours=2"


def test_what_is_kept_back_is_there_for_choosing() -> None:
    clock = Clock()
    budget = Budget(BudgetConfig(hours=2, reserve=0.25), Usage(clock))
    whole = budget.whole()
    clock.now += 7199
    assert (budget.over, whole.over) == ("budget.hours=2", None)
    clock.now += 1
    assert whole.over == "budget.hours=2"
    budget.interrupt()
    with pytest.raises(KeyboardInterrupt):
        _ = whole.over


def test_gpu_hours_count_while_gpus_are_held() -> None:
    clock = Clock()
    budget = Budget(BudgetConfig(gpu_hours=8, reserve=0), Usage(clock))
    with budget.usage.holding(4):
        clock.now += 3600
        with budget.usage.holding(2):
            clock.now += 1800
        assert budget.usage.gpu_hours == 4 * 1.5 + 2 * 0.5
    clock.now += 36000
    assert budget.usage.gpu_hours == 7.0
    assert budget.over is None
    with budget.usage.holding(1):
        clock.now += 3600
        assert budget.over == "budget.gpu_hours=8"


def test_without_limits_it_is_never_over_but_can_be_interrupted() -> None:
    clock = Clock()
    budget = Budget(BudgetConfig(), Usage(clock))
    clock.now += 1e9
    assert not budget.limited
    assert budget.over is None
    budget.interrupt()
    with pytest.raises(KeyboardInterrupt):
        _ = budget.over


@pytest.mark.parametrize("config", [BudgetConfig(hours=-1), BudgetConfig(gpu_hours=-1), BudgetConfig(reserve=1)])
def test_numbers_out_of_range_are_refused(config: BudgetConfig) -> None:
    with pytest.raises(UserError, match="budget"):
        Budget(config)
