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
from adamms.selecting.criteria import get_criterion
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
    found = select(answers, "logprob")
    assert found.chosen == 0.2, "the surest that is no end point"
    assert found.scores[0.3] == pytest.approx(5 * (1 - math.exp(-0.7)))


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
