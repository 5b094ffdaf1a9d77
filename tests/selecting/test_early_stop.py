"""Stopping early never changes the choice, and waits no longer than it must."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from adamms.errors import UserError
from adamms.runs.responses import Responses
from adamms.selecting.degeneracy import Limits
from adamms.selecting.early_stop import decided
from adamms.selecting.selection import select

NO_GUARD = Limits(majority=1, excess=2, constant=2)
ODD = ["", "the the the the the", "same", "да нет", "42", "what is in the picture and"]


def random_case(dice: random.Random, odd: bool) -> Responses:
    """Answers that drift with alpha at rates drawn for each step, so that leads of every size occur."""
    candidates, prompts = dice.randint(3, 7), dice.randint(1, 40)
    rates = [dice.choice([0, 0.05, 0.2, 0.6, 1]) for _ in range(candidates)]
    collapsed = [odd and dice.random() < 0.3 for _ in range(candidates)]
    fault, share = dice.choice(ODD), dice.choice([0.3, 0.6, 1])
    table: Responses = {round(i / 10, 6): {} for i in range(candidates)}
    for prompt in range(prompts):
        answer = f"answer {prompt}"
        for row, (alpha, rate) in enumerate(zip(table, rates, strict=True)):
            answer = f"answer {dice.random()}" if dice.random() < rate else answer
            table[alpha][f"p{prompt}"] = fault if collapsed[row] and dice.random() < share else answer
    return table


def first(table: Responses, prompts: list[str]) -> Responses:
    return {alpha: {prompt: row[prompt] for prompt in prompts} for alpha, row in table.items()}


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("endpoints", ["exclude", "one_sided"])
@pytest.mark.parametrize("metric", ["either", "sum", "answer"])
def test_never_changes_the_choice(metric: str, endpoints: Any, odd: bool) -> None:
    dice = random.Random(f"{metric} {endpoints} {odd}")
    texts = {f"p{prompt}": "What is in the picture and where?" for prompt in range(40)}
    stopped = 0
    for _ in range(100):
        table = random_case(dice, odd)
        names = list(table[0.0])
        final = select(table, metric, endpoints, bootstrap=0, prompts=texts).alpha
        for seen in sorted({len(names), *(dice.randint(len(names) // 2, len(names)) for _ in range(4))}):
            found = decided(first(table, names[:seen]), len(names) - seen, metric, endpoints, prompts=texts)
            assert found is None or found == final
            stopped += found is not None and seen < len(names)
        assert found == final  # nothing remains
    assert stopped > 10


def continuations(table: Responses, remaining: int) -> list[Responses]:
    """Every way in which further prompts can make neighbours differ."""
    alphas, longer = list(table), []
    patterns = list(itertools.product((False, True), repeat=len(alphas) - 1))
    for chosen in itertools.combinations_with_replacement(patterns, remaining):
        case = {alpha: dict(row) for alpha, row in table.items()}
        for number, pattern in enumerate(chosen):
            words = itertools.accumulate((0, *pattern))  # a new word wherever neighbours differ
            for alpha, word in zip(alphas, words, strict=True):
                case[alpha][f"x{number}"] = f"new {word}"
        longer.append(case)
    return longer


@pytest.mark.parametrize("endpoints", ["exclude", "one_sided"])
@pytest.mark.parametrize("metric", ["either", "sum"])
def test_is_decided_exactly_when_no_continuation_changes_the_choice(metric: str, endpoints: Any) -> None:
    dice = random.Random(f"{metric} {endpoints}")
    outcomes = set()
    for _ in range(60):
        candidates, remaining = dice.choice([(3, 2), (4, 1), (4, 2), (5, 1)])
        rates = [dice.choice([0, 0.1, 0.5, 1]) for _ in range(candidates)]
        table: Responses = {round(i / 10, 6): {} for i in range(candidates)}
        for prompt in range(dice.randint(1, 6)):
            word = 0
            for alpha, rate in zip(table, rates, strict=True):
                word += dice.random() < rate
                table[alpha][f"p{prompt}"] = str(word)
        ends = {
            select(case, metric, endpoints, bootstrap=0, limits=NO_GUARD).alpha
            for case in continuations(table, remaining)
        }
        assert decided(table, remaining, metric, endpoints, limits=NO_GUARD) == (ends.pop() if len(ends) == 1 else None)
        outcomes.add(bool(ends))
    assert outcomes == {True, False}


def test_the_only_candidate_is_decided_once_it_can_no_longer_collapse() -> None:
    table = {alpha: {f"p{n}": f"answer {n} {alpha}" for n in range(9)} for alpha in (0.0, 0.1, 0.2)}
    assert decided(table, 1) == 0.1
    assert decided(table, 10) is None
    assert decided(table, 10, limits=NO_GUARD) == 0.1


def test_nothing_answered_decides_nothing() -> None:
    assert decided({}, 10) is None
    assert decided({0.0: {"p": "a"}, 0.1: {}, 0.2: {}}, 10) is None


def test_only_counts_can_stop_early() -> None:
    with pytest.raises(UserError, match="edit"):
        decided({0.0: {"p": "a"}, 0.1: {"p": "a"}, 0.2: {"p": "a"}}, 1, "edit")
