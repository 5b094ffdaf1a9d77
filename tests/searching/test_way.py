"""A search over several donors' weights under way: what it asks beside its lines."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from adamms.searching.budget import UNLIMITED
from adamms.searching.config import BudgetConfig
from adamms.searching.walk import Walk
from adamms.searching.way import Way


@pytest.mark.parametrize(("most", "asked"), [(0, 2), (5, 2), (4, 1), (3, 0)])
def test_leaving_donors_out_asks_no_more_sets_of_weights_than_the_budget_has(
    most: int, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three sets were asked along the lines; the chosen weights without either donor would be two more."""
    answered: list[object] = []
    asking = SimpleNamespace(answer=answered.append)
    monkeypatch.setattr("adamms.searching.way.Answering", lambda *given, **named: asking)
    line = SimpleNamespace(study=None, prompts=[], answers=None, labelled=None)
    settings = SimpleNamespace(budget=BudgetConfig(candidates=most))
    search: Any = SimpleNamespace(settings=settings, line=lambda step: line)
    engines: Any = None
    way = Way(search, engines, UNLIMITED, lambda *_: [], None)
    way.walk = Walk("ab", (0.0, 0.1, 0.2, 0.3), passes=0)
    way.walk.weights = (0.3, 0.2)
    way.answered = dict.fromkeys([(0.0, 0.0), (0.3, 0.1), (0.3, 0.2)], (search, 0.0))
    found = [way.without(donor) for donor in (0, 1)]
    assert found == [(line, 0.0)] * asked + [None] * (2 - asked)
    assert len(answered) == asked
    assert len(way.answered) == 3 + asked
