"""Weights proposed by a Gaussian process: on a known surface."""

from __future__ import annotations

import importlib.util
from math import dist, fsum

import pytest

from adamms.errors import UserError
from adamms.searching.surrogate import Surrogate

VALUES = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def go(target: tuple[float, ...], trials: int, seed: int = 0) -> list[tuple[float, ...]]:
    surrogate, found = Surrogate(len(target), VALUES, seed), []
    for _ in range(trials):
        trial, weights = surrogate.ask()
        surrogate.tell(trial, dist(weights, target))
        found.append(weights)
    return found


def test_it_comes_close_with_few_trials() -> None:
    target = (0.3, 0.0, 0.2)
    found = go(target, 25)
    assert found[:4] == [(0.0, 0.0, 0.0), (0.3, 0.0, 0.0), (0.0, 0.3, 0.0), (0.0, 0.0, 0.3)]
    assert min(dist(weights, target) for weights in found) <= 0.11
    assert go(target, 25) == found, "the same scores lead the same way"


def test_weights_are_on_the_grid_and_at_most_1_together() -> None:
    for weights in go((0.6, 0.6, 0.6), 15):
        assert fsum(weights) <= 1 + 1e-9
        assert all(round(weight * 10, 6) == round(weight * 10) and 0 <= weight <= 0.6 for weight in weights)


def test_weights_are_values_that_lines_have() -> None:
    """0.2 and 0.4 are not: lines around them would not go through what was proposed."""
    values = [0.0, 0.1, 0.3, 0.6]
    surrogate = Surrogate(2, values, 0)
    for _ in range(12):
        trial, weights = surrogate.ask()
        surrogate.tell(trial, dist(weights, (0.2, 0.4)))
        assert set(weights) <= set(values)
        assert fsum(weights) <= 1


def test_where_optuna_is_missing_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"optuna, which is not installed; `pip install 'adamms\[surrogate\]'`"):
        Surrogate(2, VALUES, 0)
