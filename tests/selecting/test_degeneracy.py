"""The guard sees collapsed candidates and leaves the others alone."""

from __future__ import annotations

import math

import pytest

from adamms.selecting.answer_table import AnswerTable
from adamms.selecting.degeneracy import Limits, binomial_tail, degeneracy_of
from adamms.selecting.repetition import is_endless

SOUND = [
    f"{colour} {shape}" for colour in ("red", "blue", "green", "grey") for shape in ("star", "cat", "cup", "hat", "dog")
]


def reasons(*candidates: list[str], prompts: dict[str, str] | None = None) -> list[str]:
    """The guard's reasons for each candidate, given their answers."""
    table = {i / 10: {f"{p:02}": answer for p, answer in enumerate(answers)} for i, answers in enumerate(candidates)}
    return ["; ".join(found.reasons) for found in degeneracy_of(AnswerTable.of(table), prompts).values()]


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ("", "nothing"),
        (" \n", "nothing"),
        ("the", "one and the same"),
        ("the the the the the", "repetition"),
        ("猫が好きです", "foreign"),
        ("красная star", "foreign"),
    ],
)
def test_sees_a_collapse(answer: str, word: str) -> None:
    first, second = reasons(SOUND, [answer] * len(SOUND))
    assert first == ""
    assert word in second


def test_sees_a_collapse_that_varies() -> None:
    loops = [f"{answer} {answer} {answer} {answer}" for answer in SOUND]
    assert "repetition" in reasons(SOUND, loops)[1]


def test_sees_echoes() -> None:
    asked = {f"{p:02}": f"What colour is the {answer}?" for p, answer in enumerate(SOUND)}
    assert "the prompt itself" in reasons(SOUND, [f"{text} It is" for text in asked.values()], prompts=asked)[1]
    assert "the prompt itself" in reasons(SOUND, [text[:-2] for text in asked.values()], prompts=asked)[1]
    assert reasons(SOUND, SOUND, prompts=asked) == ["", ""]


@pytest.mark.parametrize("faulty", [7, 20])
def test_part_of_the_answers_is_enough(faulty: int) -> None:
    assert "nothing" in reasons(SOUND, [""] * faulty + SOUND[faulty:])[1]


def test_a_task_that_asks_for_it_is_no_collapse() -> None:
    mostly_no = ["no"] * 19 + ["yes"]
    assert reasons(mostly_no, ["no"] * 20, ["no"] * 18 + ["yes"] * 2) == ["", "", ""]
    russian = ["красная звезда"] * 10 + ["кошка"] * 10
    assert reasons(russian, russian) == ["", ""]
    assert reasons(SOUND, [*SOUND[:18], "звезда", "étoile"]) == ["", ""]
    assert reasons([str(n) for n in range(20)], SOUND) == ["", ""]  # no letters at home: nothing is foreign


def test_babble_elsewhere_does_not_make_a_constant_task_suspicious() -> None:
    babble = [f"{word} {word} {word} {word} {word}" for word in SOUND]
    assert reasons(["no"] * 20, ["no"] * 20, babble)[:2] == ["", ""]


@pytest.mark.parametrize("prompts", [1, 2, 3])
def test_a_handful_of_prompts_convicts_nobody_of_being_constant(prompts: int) -> None:
    assert reasons(SOUND[:prompts], ["cat"] * prompts) == ["", ""]


@pytest.mark.parametrize(
    ("text", "endless"),
    [
        ("no no no no", False),
        ("yes yes yes yes", True),
        ("aaaaaaaaaaaaaaaa", True),
        ("!!!!!!!!!!!!!!!!!!", True),
        ("A star. " + "It is red. " * 6, True),
        ("A star. " + "It is red. " * 6 + "It is", True),
        ("The cat sits on the red mat. " * 3, True),
        ("The cat sits on the red mat. " * 2, False),
        ("A red star, a blue star, a red cup and a blue cup are on the table.", False),
        ("1, 2, 3, 4, 5, 6, 7, 8, 9, 10", False),
        ("A long and quite sound answer that ends in a laugh: ha ha ha ha", False),
        ("", False),
    ],
)
def test_loops(text: str, endless: bool) -> None:
    assert is_endless(text) is endless


def test_loops_are_found_in_linear_time() -> None:
    assert is_endless("ab" * 20_000)


def test_it_is_the_binomial_tail() -> None:
    exact = sum(math.comb(20, k) * 0.3**k * 0.7 ** (20 - k) for k in range(9, 21))
    assert binomial_tail(9, 20, 0.3) == pytest.approx(exact)
    assert binomial_tail(0, 20, 0.3) == 1
    assert 0 <= binomial_tail(9_000, 10_000, 0.5) < 1e-100


def test_limits_can_be_set() -> None:
    table = {0.0: {"p": "a", "q": "b"}, 0.1: {"p": "", "q": "b"}}
    assert not degeneracy_of(AnswerTable.of(table))[0.1].reasons
    assert degeneracy_of(AnswerTable.of(table), limits=Limits(majority=0.4))[0.1].reasons
    assert degeneracy_of(AnswerTable.of(table))[0.1].rates["empty"] == 0.5
