"""Criteria made of log-probabilities, beside calculations that share nothing with them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamms.errors import UserError
from adamms.runs.record import Response
from adamms.runs.responses import read_responses
from adamms.selecting.criteria import get_criterion, without_scores
from adamms.selecting.selection import select

LOGPROBS = st.lists(st.floats(-8.0, -0.001), min_size=1, max_size=6)


def kl(p: float, q: float) -> float:
    """Of two coins."""
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


@given(LOGPROBS, st.data())
def test_neighbours_that_answer_alike_are_as_far_apart_as_their_coins(first: list[float], data: st.DataObject) -> None:
    second = data.draw(st.lists(st.floats(-8.0, -0.001), min_size=len(first), max_size=len(first)))
    coins = [(math.exp(a), math.exp(b)) for a, b in zip(first, second, strict=True)]
    mean = sum((kl(p, q) + kl(q, p)) / 2 for p, q in coins) / len(coins)
    apart = get_criterion("kl").difference
    found = apart([Response("cat", first)], [Response("cat", second)])[0]
    assert found == pytest.approx(1 - math.exp(-mean), abs=1e-6)
    assert apart([Response("cat", second)], [Response("cat", first)])[0] == pytest.approx(found)
    assert apart([Response("cat", first)], [Response("cat", first)])[0] == pytest.approx(0)
    assert apart([Response("cat", first)], [Response("dog", first)])[0] == 1


def test_the_surest_candidate_is_chosen_by_logprob() -> None:
    sure = {0.0: -0.1, 0.1: -0.9, 0.2: -0.3, 0.3: -0.7, 0.4: -0.05}
    answers = {
        alpha: {f"p{n}": Response(f"{alpha} {n}", [mean, mean]) for n in range(5)} for alpha, mean in sure.items()
    }
    assert select(answers, "logprob").chosen == 0.4, "the surest; no neighbour is needed to see it"
    found = select(answers, "logprob", "exclude")
    assert found.chosen == 0.2, "the surest that is no end point"
    assert found.scores[0.3] == pytest.approx(5 * (1 - math.exp(-0.7)))


def test_parents_is_how_implausible_answers_are_to_both() -> None:
    held = {0.0: (-0.1, -2.0), 0.1: (-0.4, -0.6), 0.2: (-2.5, -0.1)}
    answers = {
        alpha: {f"p{n}": Response(f"{alpha} {n}", [-0.2 * alpha], by_parents=both) for n in range(4)}
        for alpha, both in held.items()
    }
    alone, half = select(answers, "parents"), select(answers, "logprob+parents")
    assert alone.chosen == half.chosen == 0.1
    for alpha, (base, donor) in held.items():
        plausible, sure = math.exp((base + donor) / 2), math.exp(-0.2 * alpha)
        assert alone.scores[alpha] == pytest.approx(4 * (1 - plausible))
        assert half.scores[alpha] == pytest.approx(4 * (1 - (sure + plausible) / 2))
    with pytest.raises(UserError, match="parents needs to know how probable base and donor hold these answers"):
        select({alpha: {"p": Response("cat", [-0.1])} for alpha in held}, "logprob+parents")


def test_what_is_left_of_a_criterion_without_the_parents_scores() -> None:
    left = {name: without_scores(get_criterion(name)).name for name in ("parents", "logprob+parents", "sum+parents+kl")}
    assert left == {"parents": "logprob", "logprob+parents": "logprob", "sum+parents+kl": "sum+kl"}
    assert {name for name in (*left, "logprob", "either+logprob") if get_criterion(name).asks_scores} == set(left)
    ends = {name for name in (*left, "logprob", "either", "either+logprob") if get_criterion(name).scores_ends}
    assert ends == {"parents", "logprob+parents", "logprob"}


def test_they_are_read_from_files_and_missed_where_there_are_none(tmp_path: Path) -> None:
    rows = [
        {"alpha": alpha, "prompt_id": "p", "response": "cat", "logprobs": [-alpha, -0.2]} for alpha in (0.0, 0.1, 0.2)
    ]
    (tmp_path / "with.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_responses(tmp_path / "with.jsonl")
    answer = found[0.1]["p"]
    assert answer == "cat"
    assert isinstance(answer, Response)
    assert answer.logprobs == (-0.1, -0.2)
    assert select(found, "kl").chosen == 0.1
    (tmp_path / "without.jsonl").write_text("".join(json.dumps({**row, "logprobs": None}) + "\n" for row in rows))
    for metric in ("kl", "logprob", "either+kl"):
        with pytest.raises(UserError, match="need log-probabilities"):
            select(read_responses(tmp_path / "without.jsonl"), metric)
