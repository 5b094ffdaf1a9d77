"""Confidence says how often the choice stays; it is sure of nothing too early."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from adamms.prompts.prompt import Prompt
from adamms.runs.responses import Responses
from adamms.selecting.selection import select
from adamms.selecting.stopping import confidence
from tests.support.simulated import drifting

ALPHAS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def table(best: float, count: int, seed: int = 0) -> Responses:
    told = drifting(best, seed)
    prompts = [Prompt(f"p{n}", f"question {seed} {n}?") for n in range(count)]
    return {alpha: {p.id: told(alpha, p) for p in prompts} for alpha in ALPHAS}


def first(responses: Responses, count: int) -> Responses:
    return {alpha: dict(list(answers.items())[:count]) for alpha, answers in responses.items()}


def test_with_nothing_left_the_choice_is_certain() -> None:
    assert confidence(table(0.3, 40), 0) == 1.0


@pytest.mark.parametrize("criterion", ["either", "sum", "edit", "plurality"])
def test_more_prompts_make_more_certain(criterion: str) -> None:
    everything = table(0.3, 100)
    early, late = (confidence(first(everything, n), 100 - n, criterion) for n in (10, 90))
    assert 0 < early < late <= 1


def test_equal_answers_so_far_do_not_make_certain() -> None:
    """Nothing differs in a handful of prompts: what differs later decides."""
    same = {alpha: {f"p{n}": f"answer {n}" for n in range(8)} for alpha in ALPHAS}
    assert confidence(same, 92) < 0.6


def test_it_is_about_as_sure_as_it_is_right() -> None:
    """Over many searches: the mean confidence at half the prompts is near the share of choices that stay."""
    dice = random.Random(0)
    sure, stayed = [], []
    for seed in range(60):
        everything = table(dice.uniform(0.1, 0.5), 80, seed)
        half = first(everything, 40)
        sure.append(confidence(half, 40))
        stayed.append(select(half, bootstrap=0).chosen == select(everything, bootstrap=0).chosen)
    assert abs(sum(sure) - sum(stayed)) / 60 < 0.15


def test_nothing_to_choose_is_no_confidence(tmp_path: Path) -> None:
    silent = {alpha: {f"p{n}": "" for n in range(30)} for alpha in ALPHAS}
    assert confidence(silent, 10) == 0.0


def test_a_donor_that_nobody_agrees_with_makes_nothing_sure() -> None:
    """All candidates answer alike and the donor otherwise: the prompts so far say nothing of the choice."""
    table = {alpha: {f"p{n}": f"answer {n}" for n in range(10)} for alpha in (0.0, 0.1, 0.2, 0.3)}
    donor = [{f"p{n}": "else" for n in range(10)}]
    assert confidence(table, 90, "donor", parents=donor) == 0
    table[0.2] = dict.fromkeys(table[0.2], "else")
    assert confidence(table, 90, "donor", parents=donor) > 0.9
