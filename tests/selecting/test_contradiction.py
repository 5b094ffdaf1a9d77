"""Base and donor that contradict each other: counted by hand, said, and left to the labels where there are some."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from adamms.reporting.advice import advice
from adamms.runs.record import Response
from adamms.selecting.answer_table import AnswerTable
from adamms.selecting.contradiction import contradicted
from adamms.selecting.selection import select

Scored = tuple[float, float]
"""How probable base and donor hold one answer, a token."""
PLAIN, FRENCH = (0.9, 0.001), (0.001, 0.9)
"""An answer as the base gives it, and one as the donor does."""
ALPHAS = (0.0, 0.3, 0.6)


def answers(*rows: Sequence[Scored], sure: Sequence[float] = (0.9, 0.9, 0.9)) -> dict[float, dict[str, str]]:
    """Of three candidates, which are so sure of their answers; a row a candidate."""
    return {
        alpha: {
            f"p{i}": Response(f"{one} of {i}", [math.log(own)], by_parents=list(map(math.log, one)))
            for i, one in enumerate(row)
        }
        for alpha, row, own in zip(ALPHAS, rows, sure, strict=True)
    }


probabilities = st.floats(1e-6, 1.0)


@given(st.lists(st.lists(st.tuples(probabilities, probabilities), min_size=3, max_size=3), min_size=1, max_size=6))
def test_contradicted_are_prompts_where_one_parent_gains_and_another_loses(prompts: list[list[Scored]]) -> None:
    responses = answers(*zip(*prompts, strict=True))
    for row, alpha in enumerate(ALPHAS):
        expected = 0
        for asked in prompts:
            own = asked[row]
            gains = [(other[0] / own[0], other[1] / own[1], own[0] / other[0], own[1] / other[1]) for other in asked]
            if any(abs(one - 10) < 1e-6 for gain in gains for one in gain):
                return  # rounding decides
            expected += any((base > 10 and by > 10) or (donor > 10 and bb > 10) for base, donor, bb, by in gains)
        assert contradicted(AnswerTable.of(responses), row) == expected, alpha


def test_a_contradiction_is_told_with_what_helps() -> None:
    found = select(answers([PLAIN] * 10, [PLAIN] * 9 + [FRENCH], [FRENCH] * 10), "logprob+parents")
    (told,) = [one for one in found.warnings if "contradict each other" in one]
    assert told.startswith("base and donor contradict each other on 10 of 10 prompts")
    assert "searching.labels" in advice(told)


def test_parents_that_differ_less_do_not_contradict_each_other() -> None:
    near = (0.2, 0.5)  # less than ten times less likely to the base
    of_both = (0.5, 0.0001)  # what the donor loses, the base does not gain
    found = select(answers([PLAIN] * 10, [near] * 10, [of_both] * 10), "logprob+parents")
    assert not [one for one in found.warnings if "contradict" in one]
    unscored = {alpha: {f"p{i}": f"{alpha} of {i}" for i in range(10)} for alpha in ALPHAS}
    assert not [one for one in select(unscored, "either").warnings if "contradict" in one]


def test_few_contradictions_are_not_told() -> None:
    rows = [[PLAIN] * 21, [PLAIN] * 21, [PLAIN] * 19 + [FRENCH] * 2]
    assert not [one for one in select(answers(*rows), "logprob+parents").warnings if "contradict" in one]
    rows[2][18] = FRENCH
    assert [one for one in select(answers(*rows), "logprob+parents").warnings if "contradict" in one]


def test_where_parents_contradict_each_other_labels_alone_decide() -> None:
    marks = {0.0: [True] * 5 + [False] * 5, 0.3: [True] * 6 + [False] * 4, 0.6: [True] * 7 + [False] * 3}
    rows = ([PLAIN] * 10, [PLAIN] * 9 + [FRENCH], [FRENCH] * 10)
    found = select(answers(*rows, sure=(0.9, 0.8, 0.7)), "logprob+parents", marks=marks)
    assert found.without_labels == 0.0
    assert found.chosen == 0.6, "right most often; 0.3 is surer, and no standard error behind"
    assert "so the labels alone decide" in found.warnings[-1]
    agreeing = ([PLAIN] * 10, [PLAIN] * 10, [PLAIN] * 10)
    kept = select(answers(*agreeing, sure=(0.7, 0.9, 0.8)), "logprob+parents", marks=marks)
    assert kept.chosen == 0.3, "of the two that labels cannot tell apart, the criterion chooses"


def test_the_criterion_chooses_between_candidates_that_are_right_equally_often() -> None:
    marks = {0.0: [True] * 5 + [False] * 5, 0.3: [True] * 6 + [False] * 4, 0.6: [False] * 4 + [True] * 6}
    rows = ([PLAIN] * 10, [PLAIN] * 9 + [FRENCH], [FRENCH] * 10)
    for sure, chosen in (((0.9, 0.8, 0.3), 0.3), ((0.9, 0.3, 0.8), 0.6)):
        assert select(answers(*rows, sure=sure), "logprob+parents", marks=marks).chosen == chosen
