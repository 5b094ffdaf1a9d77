"""A few labels beside the criterion: who is kept, by a calculation with fractions, and who is chosen among them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamms.selecting.labels import not_kept
from adamms.selecting.selection import select
from adamms.selecting.stopping import confidence

ALPHAS = [0.0, 0.1, 0.2, 0.3]


@given(st.integers(2, 12).flatmap(lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=3)))
def test_kept_is_who_is_within_a_standard_error_of_the_best(rows: list[list[bool]]) -> None:
    marks = {float(i): row for i, row in enumerate(rows)}
    most = max(map(sum, rows))
    best = next(row for row in rows if sum(row) == most)
    for value, row in marks.items():
        apart = [int(a) - int(b) for a, b in zip(best, row, strict=True)]
        mean = Fraction(sum(apart), len(apart))
        variance = sum((one - mean) ** 2 for one in apart) / Fraction(len(apart) - 1)
        assert (value in not_kept(marks)) == (mean**2 > variance / len(apart))


def answers(*changing: int) -> dict[float, dict[str, str]]:
    """Of four candidates; from one to the next, so many of 20 answers change."""
    rows = [[0] * 20]
    for count in changing:
        rows.append([number + (i < count) for i, number in enumerate(rows[-1])])
    return {
        alpha: {f"p{i}": f"{number} of {i}" for i, number in enumerate(row)}
        for alpha, row in zip(ALPHAS, rows, strict=True)
    }


def marks(*right: int) -> dict[float, list[bool]]:
    return {alpha: [i < count for i in range(20)] for alpha, count in zip(ALPHAS, right, strict=True)}


def test_the_criterion_chooses_among_those_that_labels_leave() -> None:
    found = answers(2, 3, 9)
    assert select(found).chosen == 0.1
    labelled = select(found, marks=marks(5, 6, 18, 17))
    assert labelled.chosen == 0.2
    assert labelled.excluded == {0.0: "labels: 25 % right, the best 90 %", 0.1: "labels: 30 % right, the best 90 %"}
    assert labelled.verdict.endswith(
        "; 20 labelled prompts (the best candidate has 90 % right) leave alpha 0.2 and 0.3; "
        "without labels alpha 0.1 would be chosen"
    )
    assert labelled.to_json()["labels"] == {
        "prompts": 20,
        "accuracy": {"0.0": 25, "0.1": 30, "0.2": 90, "0.3": 85},
        "without": 0.1,
        "right": {str(value): list(map(int, right)) for value, right in marks(5, 6, 18, 17).items()},
    }
    assert "labels" not in select(found).to_json()


def test_labels_can_say_that_the_base_alone_is_best() -> None:
    found = select(answers(9, 2, 2), marks=marks(18, 10, 9, 8))
    assert found.chosen == 0.0
    assert any("0.0 is chosen, which is the base's own weights" in warning for warning in found.warnings)
    trimmed = select(answers(9, 2, 2), marks=marks(18, 10, 9, 8), with_base=False)
    assert not any("base's own" in warning for warning in trimmed.warnings)
    assert any("which leaves the donor no weight" in warning for warning in trimmed.warnings)
    assert not any("beyond" in warning for warning in trimmed.warnings), "there is nothing"
    assert found.scores[0.0] is not None
    inner = select(answers(9, 2, 2), "either", "exclude", marks=marks(18, 10, 5, 8))
    assert (inner.chosen, inner.excluded[0.2]) == (0.1, "labels: 25 % right, the best 50 %")


def test_labels_count_for_stopping_early_too() -> None:
    found = answers(2, 3, 9)
    alone = confidence(found, 40, marks=marks(5, 6, 18, 3))
    assert alone == pytest.approx(1.0), "only one candidate is left"
