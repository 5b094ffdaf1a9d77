from __future__ import annotations

import pytest

from adamms.judging.judgement import accuracy, judge, spearman
from adamms.prompts.labels import Label

LABELS = {"a": Label(("red",)), "b": Label(("blue",)), "c": Label(("two",))}
ANSWERS = {
    0.0: {"a": "red", "b": "red", "c": "two "},
    0.5: {"a": "red", "b": "blue", "c": "two"},
    1.0: {"a": "", "b": "", "c": ""},
}


def test_accuracy_counts_answers_that_their_labels_accept() -> None:
    assert accuracy(ANSWERS[0.0], LABELS) == pytest.approx(200 / 3)
    assert accuracy({"a": "Red", "b": "blue", "c": "2"}, LABELS) == pytest.approx(100 / 3)


def test_regret_is_what_the_oracle_has_more() -> None:
    found = judge(0.0, {0.0: 5, 0.5: 1, 1.0: None}, ANSWERS, LABELS, donor=ANSWERS[1.0])
    assert (found.oracle, found.donor) == (0.5, 0.0)
    assert found.regret == pytest.approx(100 / 3)
    assert found.rank_correlation == pytest.approx(-1)  # of the two that have a score
    assert found.to_json()["accuracy"]["0.5"] == 100


def test_rank_correlation_is_by_ranks_and_undefined_for_a_constant() -> None:
    assert spearman([1.0, 2.0, 30.0], [9.0, 8.0, -100.0]) == pytest.approx(-1)
    assert spearman([1.0, 1.0], [2.0, 3.0]) is None
