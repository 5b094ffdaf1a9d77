"""What is said to help: by what a warning or a verdict says."""

from __future__ import annotations

from adamms.reporting.advice import advice
from adamms.selecting.selection import select
from tests.selecting.test_methods import DONOR, OTHER, chosen_of


def test_a_method_that_labels_leave_out_is_no_answer_that_is_missing() -> None:
    right, wrong = [True] * 8, [False] * 8
    rows = {"linear": (DONOR,) * 3, "ties": (OTHER,) * 3}
    marks = {name: dict.fromkeys((0.0, 0.1, 0.2), right if name == "ties" else wrong) for name in rows}
    verdict = chosen_of(rows, marks).verdict
    assert "excluded: linear" in verdict
    assert advice(verdict) == advice("alpha 0.1 and 0.2 cannot be told apart") != ""


def test_answers_that_are_missing_can_be_asked_for_again() -> None:
    answers = {0.0: {"p": "a", "q": "b"}, 0.1: {"p": "a"}, 0.2: {"p": "c", "q": "b"}}
    (told,) = (one for one in select(answers, "either").warnings if "left out" in one)
    assert advice(told).startswith("run the same command again")
