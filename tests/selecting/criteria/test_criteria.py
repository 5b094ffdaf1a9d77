"""Criteria agree with slow, plain implementations, and anybody can add one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamms.errors import UserError
from adamms.selecting.criteria import Criterion, criterion, get_criterion, register
from adamms.selecting.criteria.changes import edits, meanings_differ
from adamms.selecting.criteria.criterion import Floats
from adamms.selecting.criteria.embedding import criterion_of
from adamms.selecting.degeneracy import Limits
from adamms.selecting.selection import select

NO_GUARD = Limits(majority=1, excess=2, constant=2)
TEXT = st.text(alphabet="abcé ", max_size=30)


def plain_edit_distance(left: str, right: str) -> int:
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        above, row = row, [i]
        for j, b in enumerate(right, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
    return row[-1]


@given(TEXT, TEXT)
def test_edit_distance(left: str, right: str) -> None:
    folded = left.strip(), right.strip()
    longer = max(map(len, folded))
    assert edits([left], [right])[0] * longer == pytest.approx(plain_edit_distance(*folded))


def test_edit_distance_of_long_texts() -> None:
    left, right = "the cat sat on the mat " * 20, "a cat sits on a mat, " * 20
    (found,) = edits([left], [right])
    assert found == pytest.approx(plain_edit_distance(left.strip(), right.strip()) / (len(left) - 1))


@given(left=TEXT, right=TEXT)
def test_differences_are_symmetric_shares(left: str, right: str) -> None:
    assert 0 <= edits([left], [right])[0] <= 1
    assert edits([left], [right]) == pytest.approx(edits([right], [left]))
    assert edits([left], [left]) == 0


def test_counts_ignore_case_and_surrounding_space() -> None:
    assert get_criterion("either").difference([" Yes", "no", "a"], ["yes\n", "No.", "a"]).tolist() == [0, 1, 0]
    assert meanings_differ([" Yes", "no", "a"], ["yes\n", "No.", "b"]).tolist() == [0, 0, 1]


def test_either_counts_once_and_sum_twice() -> None:
    left, right = np.array([0.0, 1, 0, 1]), np.array([0.0, 0, 1, 1])
    assert get_criterion("either").score(left, right).tolist() == [0, 1, 1, 1]
    assert get_criterion("sum").score(left, right).tolist() == [0, 1, 1, 2]


def test_unknown_criterion_names_the_known() -> None:
    with pytest.raises(UserError, match="either, sum, edit, embedding, logprob, parents, kl, plurality, donor"):
        get_criterion("bleu")


@pytest.mark.parametrize("name", ["chrf", "answer", "either:x", "kl:"])
def test_what_takes_no_argument_or_is_gone_is_unknown(name: str) -> None:
    with pytest.raises(UserError, match=f"no metric is named '{name}'"):
        get_criterion(name)


def test_anybody_can_add_a_criterion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(criterion, "CRITERIA", dict(criterion.CRITERIA))

    def lengths_differ(left: Sequence[str], right: Sequence[str]) -> Floats:
        return np.array([abs(len(a) - len(b)) / max(len(a), len(b), 1) for a, b in zip(left, right, strict=True)])

    register(Criterion("length", lengths_differ, combine="sum"))
    assert "length" in criterion.CRITERIA
    assert get_criterion("length").difference(["ab"], ["a"]).tolist() == [0.5]
    with pytest.raises(ValueError, match="length"):
        register(Criterion("length", lengths_differ, combine="sum"))


def test_embedding_is_one_minus_cosine() -> None:
    encoded: list[str] = []

    def encode(texts: list[str]) -> Floats:
        encoded.extend(texts)
        return np.array([{"x": [2.0, 0], "y": [0, 3.0], "xy": [1.0, 1]}[text] for text in texts])

    found = criterion_of("embedding", encode)
    assert found.difference(["x", "x", "x"], ["x ", "y", "xy"]) == pytest.approx([0, 1, 1 - 0.5**0.5])
    assert found.difference(["y"], ["x"]) == pytest.approx([1])
    assert sorted(encoded) == ["x", "xy", "y"]  # each text once


def test_embedding_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    with pytest.raises(UserError, match="install"):
        get_criterion("embedding:some/model").difference(["a"], ["b"])


def test_plurality_is_the_share_of_a_vote_that_was_lost() -> None:
    rows = {0.0: ["cat", "one", "x"], 0.1: ["A cat.", "1", "y"], 0.2: ["dog", "two", "y"], 0.3: ["dog", "six", "x"]}
    table = {alpha: {f"p{n}": answer for n, answer in enumerate(answers)} for alpha, answers in rows.items()}
    alone = select(table, "plurality", "exclude", bootstrap=0, limits=NO_GUARD)
    # two kinds of animals with two votes each; 'one' leads; x and y have two votes each
    assert alone.scores == {0.0: None, 0.1: pytest.approx(0.5 + 0 + 0.5), 0.2: pytest.approx(0.5 + 1 + 0.5), 0.3: None}
    voted = select(table, "plurality", bootstrap=0, limits=NO_GUARD, parents=[{"p0": "dog", "p1": "two", "p2": "y"}])
    assert voted.scores[0.1] == pytest.approx(1 + 0.5 + 0)
    assert voted.scores[0.2] == pytest.approx(0 + 0.5 + 0)


def test_donor_is_the_share_of_answers_that_are_not_its_own() -> None:
    rows = {0.0: ["cat", "one", "x"], 0.1: ["A cat.", "1", "y"], 0.2: ["dog", "two", "y"], 0.3: ["dog", "six", "x"]}
    table = {alpha: {f"p{n}": answer for n, answer in enumerate(answers)} for alpha, answers in rows.items()}
    own = {"p0": "cat", "p1": "one", "p2": "x"}
    found = select(table, "donor", "exclude", bootstrap=0, limits=NO_GUARD, parents=[own])
    assert (found.chosen, found.scores) == (0.1, {0.0: None, 0.1: 1, 0.2: 3, 0.3: None})
    half = select(table, "donor+sum", bootstrap=0, limits=NO_GUARD, parents=[own])
    assert half.scores[0.1] == pytest.approx(
        (1 + (3 + 2) / 2) / 2
    )  # as texts, three differ from those of 0.0, two from 0.2
    with pytest.raises(UserError, match="--donor"):
        select(table, "donor", bootstrap=0)
    with pytest.raises(UserError, match="the donor has answered none of the candidates' prompts"):
        select(table, "donor", bootstrap=0, parents=[{"other": "cat"}])
    part = select(table, "donor", bootstrap=0, limits=NO_GUARD, parents=[{"p0": "cat", "p1": "one"}])
    assert part.warnings[0] == "1 prompt left out: not every candidate and the donor have answered them"
    asking = {
        name for name in ("either", "donor", "plurality", "logprob+donor", "sum+kl") if get_criterion(name).asks_donor
    }
    assert asking == {"donor", "plurality", "logprob+donor"}


def test_criteria_can_be_added_up() -> None:
    answers = {0.0: ["a", "b"], 0.1: ["c", "b"], 0.2: ["c", "d"], 0.3: ["c", "d"]}
    table = {alpha: {f"p{n}": answer for n, answer in enumerate(row)} for alpha, row in answers.items()}
    one, two, mean = (
        select(table, name, bootstrap=0, limits=NO_GUARD) for name in ("sum", "plurality", "sum+plurality")
    )
    for alpha in (0.1, 0.2):
        assert mean.scores[alpha] == pytest.approx(((one.scores[alpha] or 0) / 2 + (two.scores[alpha] or 0)) / 2)
    with pytest.raises(UserError, match="nothing"):
        get_criterion("either+nothing")
