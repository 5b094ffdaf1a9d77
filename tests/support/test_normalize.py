"""When two answers are the same."""

from __future__ import annotations

import pytest

from adamms.support.normalize import normalize_answer


@pytest.mark.parametrize(
    ("answer", "same"),
    [
        ("The cat.", "cat"),
        ("a Cat!", "cat"),
        ("Two", "2"),
        ("two dogs", "2 dogs"),
        ("1,000", "1000"),
        ("3.5 m", "3.5 m"),
        ("3.5.", "3.5"),
        ("(B)", "b"),
        ("don't", "dont"),
        ("  red \n star ", "red star"),
        ("ÉTOILE", "étoile"),
        ("ＡＢ", "ab"),
        ("x-ray", "x ray"),
    ],
)
def test_says_the_same(answer: str, same: str) -> None:
    assert normalize_answer(answer) == same == normalize_answer(same)


@pytest.mark.parametrize(
    ("one", "other"), [("A", "B"), ("-5", "5"), ("3.5", "35"), ("+", "-"), ("", "a"), ("1,00", "100"), ("की", "का")]
)
def test_says_something_else(one: str, other: str) -> None:
    assert normalize_answer(one) != normalize_answer(other)
