"""Base and donor that contradict each other: counted by hand, said, and left to the labels where there are some."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adamms.reporting.advice import advice
from adamms.runs.record import Response
from adamms.selecting.answer_table import AnswerTable
from adamms.selecting.contradiction import contradictions
from adamms.selecting.labels import Marks
from adamms.selecting.methods import select_method
from adamms.selecting.selection import Selection, select

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
        assert contradictions(AnswerTable.of(responses), row, np.array([True] * 3)) == expected, alpha


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


def opposed(count: int = 10) -> tuple[list[Scored], list[Scored], list[Scored]]:
    return [PLAIN] * count, [PLAIN] * (count - 1) + [FRENCH], [FRENCH] * count


def marks(*right: int) -> dict[float, list[bool]]:
    return {alpha: [i < count for i in range(10)] for alpha, count in zip(ALPHAS, right, strict=True)}


def test_where_parents_contradict_each_other_labels_alone_decide() -> None:
    sure = (0.9, 0.8, 0.7)
    found = select(answers(*opposed(), sure=sure), "logprob+parents", marks=marks(5, 6, 7))
    assert (found.without_labels, found.chosen) == (0.0, 0.6), "right most often; 0.3 is surer, and one error behind"
    assert found.excluded == {0.0: "labels: 50 % right, the best 70 %", 0.3: "labels: 60 % right, the best 70 %"}
    assert "so the labels alone decide" in found.warnings[-1]
    assert found.verdict == (
        "alpha 0.6 is right most often on the 10 labelled prompts (70 %), which alone decide, since base and donor "
        "contradict each other; they cannot tell it from alpha 0.3; without labels alpha 0.0 would be chosen"
    )
    assert not found.bootstrap, "resamples of unlabelled prompts say nothing of it"
    agreed = {
        alpha: {p: Response(a, a.logprobs, by_parents=(-1.0, -1.0)) for p, a in row.items() if isinstance(a, Response)}
        for alpha, row in answers(*opposed(), sure=sure).items()
    }
    kept = select(agreed, "logprob+parents", marks=marks(5, 6, 7))
    assert kept.chosen == 0.3, "of the two that labels cannot tell apart, the criterion chooses"


def test_the_criterion_chooses_between_candidates_that_are_right_equally_often() -> None:
    right = {**marks(5, 6, 6), 0.6: [False] * 4 + [True] * 6}
    for sure, chosen in (((0.9, 0.8, 0.3), 0.3), ((0.9, 0.3, 0.8), 0.6)):
        assert select(answers(*opposed(), sure=sure), "logprob+parents", marks=right).chosen == chosen


def test_labels_leave_the_best_of_those_that_can_be_chosen() -> None:
    collapsed = {p: Response("na " * 40, [-0.1], by_parents=(-1.0, -1.0)) for p in (f"p{i}" for i in range(10))}
    found = select(
        {**answers(*opposed()), 0.9: collapsed}, "logprob+parents", marks={**marks(5, 6, 7), 0.9: [True] * 10}
    )
    assert found.chosen == 0.6
    assert "(70 %)" in found.verdict
    assert "labels" not in found.excluded[0.9]


def test_answers_of_a_collapsed_candidate_contradict_nobody() -> None:
    collapsed = {p: Response("na " * 40, [-0.1], by_parents=(-9.0, -0.1)) for p in (f"p{i}" for i in range(10))}
    responses = answers([PLAIN] * 10, [PLAIN] * 10, [PLAIN] * 10)
    assert select({**responses, 0.9: collapsed}, "logprob+parents").contradicted == 0


def test_only_a_criterion_that_asks_both_is_told_of_them() -> None:
    responses = answers(*opposed())
    assert select(responses, "logprob+parents").contradicted == 10
    assert select(responses, "parents").contradicted == 10
    assert select(responses, "logprob").contradicted == 0
    unscored = {**responses[0.3], "p0": Response("of nobody", [-0.1])}
    assert select({**responses, 0.3: unscored}, "logprob").contradicted == 0
    assert contradictions(AnswerTable.of({**responses, 0.3: unscored}), 0, np.array([True] * 3)) == 0


def test_what_was_found_among_other_candidates_holds_for_finer_ones() -> None:
    agreeing = answers([PLAIN] * 10, [PLAIN] * 10, [PLAIN] * 10, sure=(0.7, 0.9, 0.8))
    assert select(agreeing, "logprob+parents", marks=marks(5, 6, 7)).chosen == 0.3
    found = select(agreeing, "logprob+parents", marks=marks(5, 6, 7), contradicted=4)
    assert (found.chosen, found.contradicted, found.to_json()["contradicted"]) == (0.6, 4, 4)
    assert "on 4 of 10 prompts" in found.warnings[-1]


def test_one_of_two_donors_that_contradicts_the_base_is_told_and_donors_among_themselves_are_not() -> None:
    def of_three(*rows: tuple[float, float, float]) -> dict[float, dict[str, str]]:
        return {
            alpha: {
                f"p{i}": Response(f"{alpha} of {i}", [-0.1], by_parents=list(map(math.log, one))) for i in range(10)
            }
            for alpha, one in zip(ALPHAS, rows, strict=True)
        }

    base_and_one = of_three((0.9, 0.5, 0.001), (0.9, 0.5, 0.001), (0.001, 0.5, 0.9))
    assert select(base_and_one, "logprob+parents").contradicted == 10
    donors = of_three((0.5, 0.9, 0.001), (0.5, 0.9, 0.001), (0.5, 0.001, 0.9))
    assert select(donors, "logprob+parents").contradicted == 0


def test_methods_are_told_of_what_was_found_along_one_of_them() -> None:
    agreeing = [PLAIN] * 10
    lines = {
        "linear": answers(agreeing, agreeing, agreeing, sure=(0.5, 0.6, 0.7)),
        "ties": answers(*opposed(), sure=(0.9, 0.3, 0.2)),
    }
    right = {"linear": marks(5, 5, 6), "ties": marks(5, 5, 7)}

    def of(answered: dict[float, dict[str, str]], given: Marks, known: int = 0) -> Selection:
        return select(answered, "logprob+parents", "one_sided", marks=given, contradicted=known)

    chosen = {name: of(lines[name], right[name]) for name in lines}
    found = select_method(chosen, lambda method, value: lines[method][value], of)
    assert (found.method, found.chosen) == ("ties", 0.6), "linear is surer, and less than an error behind"
    assert found.verdict.startswith(
        "of the methods, ties (alpha 0.6) is right most often on the 10 labelled prompts (70 %)"
    )
    assert sum("contradict each other" in one for one in found.selection.warnings) == 1
