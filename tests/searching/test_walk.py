"""Which line comes next: the way through weight space on scores that are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import dist, fsum

from hypothesis import given
from hypothesis import strategies as st

from adamms.searching.walk import Ended, Step, Walk
from adamms.searching.way import ranks_of
from adamms.selecting.selection import Selection, select

VALUES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
Score = Callable[[Sequence[float]], float]


def go(walk: Walk, score: Score, most: int = 1000) -> list[Step]:
    """Every line's best candidate by a score of the weights; gives the lines in order."""
    taken: list[Step] = []
    for steps in walk:
        for step in steps:
            best = min(step.values, key=lambda value: (score(step.at(value)), value))
            walk.end(step, Ended(best, (score(step.at(best)),)))
        taken += steps
        if len(taken) >= most:
            break
    return taken


def to(target: Sequence[float]) -> Score:
    return lambda weights: dist(weights, target)


def test_donors_come_in_the_order_that_the_criterion_likes() -> None:
    walk = Walk("abc", VALUES, passes=0)
    steps = go(walk, to((0.1, 0.4, 0.2)))
    assert [step.donor for step in steps] == [0, 1, 2, 2, 0]
    assert [step.weights for step in steps[3:]] == [(0.0, 0.4, 0.0), (0.0, 0.4, 0.2)]
    assert walk.weights == (0.1, 0.4, 0.2)
    assert walk.last == steps[-1]


def test_weights_are_shown_on_a_line_of_a_donor_that_has_one() -> None:
    walk = Walk("ab", VALUES, passes=1)
    steps = go(walk, to((0.3, 0.0)))
    assert steps[-1].donor == 1, "the last line is along the donor that is left out"
    assert walk.last == steps[0]


def test_a_pass_goes_around_again_and_ends_where_nothing_changes() -> None:
    """Donors hinder each other: the first one takes more than it keeps once the other is there."""

    def score(weights: Sequence[float]) -> float:
        return (weights[0] + weights[1] - 0.6) ** 2 + (weights[0] - 0.3) ** 2 + 0.2 * (weights[1] - 0.3) ** 2

    once = Walk("ab", VALUES, passes=0)
    go(once, score)
    assert once.weights == (0.4, 0.2)
    walk = Walk("ab", VALUES, passes=9)
    steps = go(walk, score)
    assert walk.weights == (0.3, 0.3)
    assert len(steps) == len(set(steps)), "no line is gone along twice"
    assert len(steps) < 9


def test_equally_good_donors_come_in_an_order_of_their_own() -> None:
    for names in ("ab", "ba"):
        walk = Walk(names, VALUES, passes=0)
        steps = go(walk, lambda weights: 0.0 if fsum(weights) else 1.0)
        assert names[steps[2].donor] == "b", "a comes first, so that b is searched with a in place"


def test_who_chose_nothing_is_left_out() -> None:
    walk = Walk("ab", VALUES, passes=1)
    for steps in walk:
        for step in steps:
            walk.end(step, Ended(0.3, (0.0,)) if step.donor else Ended(None, (1.0,)))
    assert walk.weights == (0.0, 0.3)
    walk = Walk("ab", VALUES, passes=1)
    for steps in walk:
        for step in steps:
            walk.end(step, Ended(None, (1.0,)))
    assert (walk.weights, walk.last) == ((0.0, 0.0), None)


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=4),
    st.integers(0, 3),
    st.lists(st.sampled_from([0.0, 0.05, 0.2, 0.3, 0.5, 0.7, 1.0]), min_size=3, unique=True),
)
def test_weights_never_exceed_1_and_every_line_begins_where_the_last_one_ended(
    target: list[float], passes: int, values: list[float]
) -> None:
    walk = Walk([str(i) for i in range(len(target))], sorted(values), passes)
    steps = go(walk, to(target))
    for step in steps:
        assert step.weights[step.donor] == 0
        assert len(step.values) >= 3
        assert all(fsum(point) <= 1 + 1e-9 for point in step.points)
    assert fsum(walk.weights) <= 1 + 1e-9
    if walk.last is not None:
        assert walk.weights in walk.last.points
    assert len(steps) == len(set(steps))


def test_it_goes_around_weights_that_are_given() -> None:
    walk = Walk("abc", VALUES, passes=1, start=(0.1, 0.4, 0.0))
    steps = go(walk, to((0.2, 0.4, 0.0)))
    assert [step.donor for step in steps] == [1, 0, 2], "the largest weight first"
    assert walk.weights == (0.2, 0.4, 0.0)
    assert len(go(Walk("abc", VALUES, passes=0, start=(0.1, 0.4, 0.0)), to((0.1, 0.4, 0.0)))) == 3, "one pass at least"


def test_two_donors_of_which_one_is_useless_are_searched_as_one() -> None:
    walk = Walk("ab", VALUES, passes=1)
    go(walk, to((0.3, 0.0)))
    assert walk.weights == (0.3, 0.0)


def test_labels_order_lines_only_where_they_can_tell_them_apart() -> None:
    def selection(right: int, score: float) -> Selection:
        rows = {value: {"p": f"{value}"} for value in (0.0, 0.1, 0.2)}
        found = select(rows, bootstrap=0)
        marks = {0.1: [i < right for i in range(20)]}
        return replace(found, chosen=0.1, scores={0.1: score}, marks=marks)

    lines = [selection(10, 1.0), selection(11, 5.0), selection(2, 0.5), replace(selection(20, 9.0), chosen=None)]
    ranks = ranks_of(lines[:2])
    assert ranks[0] < ranks[1], "one label of twenty says nothing, so the criterion decides"
    assert sorted(range(4), key=ranks_of(lines).__getitem__) == [0, 1, 2, 3]
    opposed = [replace(one, contradicted=1, prompts_used=1) for one in lines[:2]]
    assert ranks_of(opposed)[0] < ranks_of(opposed)[1], (
        "one prompt is too few to say that parents contradict each other"
    )
    opposed = [replace(one, contradicted=9, prompts_used=20) for one in lines[:2]]
    assert ranks_of(opposed)[1] < ranks_of(opposed)[0], "labels alone decide"
    bare = [replace(one, marks={}) for one in lines]
    assert sorted(range(4), key=ranks_of(bare).__getitem__) == [2, 0, 1, 3]


def test_lines_are_ordered_by_their_score_a_prompt() -> None:
    """Each may be sure after another number of prompts (searching.stop=confident)."""
    found = select({value: {"p": f"{value}"} for value in (0.0, 0.1, 0.2)}, bootstrap=0)
    few = replace(found, chosen=0.1, scores={0.1: 4.0}, prompts_used=20)
    many = replace(found, chosen=0.1, scores={0.1: 10.0}, prompts_used=100)
    assert ranks_of([many, few])[0] < ranks_of([many, few])[1], "10 of 100 is less than 4 of 20"
