"""The choice among methods: by the criterion that chose along each, with what is known of each."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamms.errors import UserError
from adamms.runs.responses import Responses
from adamms.selecting.criteria import CRITERIA
from adamms.selecting.labels import Marks
from adamms.selecting.methods import MethodSelection, select_method, why_not_comparable
from adamms.selecting.selection import Selection, select
from tests.selecting.test_worth import table

DONOR, OTHER = "abcdefghijkl", "mnopqrstuvwx"
NOTHING = " " * len(DONOR)
PARENTS = [{f"p{i}": letter for i, letter in enumerate(DONOR)}]
"""By `donor` the candidate wins that answers most like this one."""


def chosen_of(
    methods: Mapping[str, tuple[str, ...]],
    marks: Mapping[str, Marks] | None = None,
    metric: str = "donor",
    bootstrap: int = 50,
) -> MethodSelection:
    """The choice among methods, each with candidates at 0, 0.1, ...: a letter an answer. Only linear has the base."""
    responses = {method: table(*rows) for method, rows in methods.items()}

    def choose(
        answers: Responses, marks: Marks | None, method: str = "linear", coefficient: str = "alpha"
    ) -> Selection:
        based = method == "linear"
        ends = {"endpoints": "one_sided", "coefficient": coefficient, "with_base": based, "bootstrap": bootstrap}
        return select(answers, metric, parents=PARENTS, marks=marks, **ends)  # type: ignore[arg-type]

    lines = {method: choose(answers, (marks or {}).get(method), method) for method, answers in responses.items()}
    return select_method(lines, lambda m, v: responses[m][v], lambda a, m, known: choose(a, m, coefficient="method"))


@given(st.lists(st.lists(st.integers(0, 12), min_size=3, max_size=5), min_size=2, max_size=4))
def test_the_best_candidate_of_all_wins(alike: list[list[int]]) -> None:
    """Drawn: how many answers each candidate of each method shares with the donor."""
    methods = {f"m{n}": tuple(DONOR[:k] + OTHER[k:] for k in row) for n, row in enumerate(alike)}
    found = chosen_of(methods)
    best = max(k for row in alike for k in row)
    assert found.method in {f"m{n}" for n, row in enumerate(alike) if best in row}
    assert methods[found.method][round(10 * found.chosen)] == DONOR[:best] + OTHER[best:]
    told = found.to_json()
    assert (told["method"], told["alpha"]) == (found.method, found.chosen)
    assert list(told["methods"]) == list(methods)
    assert sum(row["wins"] for row in told["methods"].values()) == pytest.approx(1)


def test_a_method_that_wins_and_one_that_cannot_be_told_apart_are_called_so() -> None:
    clear = chosen_of({"linear": (OTHER,) * 3, "ties": (DONOR,) * 3}).verdict
    assert "of the methods, ties (alpha 0.0) wins in 100 % of resamples of 12 prompts, against linear (alpha" in clear
    near = chosen_of({"linear": (DONOR[:3] + OTHER[3:],) * 3, "ties": (OTHER[:8] + DONOR[8:],) * 3}).verdict
    assert "linear (alpha 0.0) and ties (alpha 0.0) cannot be told apart" in near


def test_without_resamples_nothing_is_said_of_them() -> None:
    found = chosen_of({"linear": (OTHER,) * 3, "ties": (DONOR,) * 3}, bootstrap=0)
    assert found.verdict.startswith("of the methods, ties (alpha 0.0) has the smallest score with 12 prompts (not res")


def test_labels_decide_and_say_what_is_gained_over_a_base_that_is_another_method_s_candidate() -> None:
    right, wrong = [True] * 8, [False] * 8
    marks = {"linear": dict.fromkeys((0.0, 0.1, 0.2), wrong), "ties": dict.fromkeys((0.0, 0.1, 0.2), right)}
    rows = {"linear": (DONOR,) * 3, "ties": (OTHER,) * 3}
    assert chosen_of(rows).method == "linear"
    found = chosen_of(rows, marks)
    assert found.method == "ties"
    told = found.to_json()["methods"]
    assert "labels: 0 % right" in told["linear"]["excluded"]
    assert [row["wins"] for row in told.values()] == [None, None]  # no resample could have chosen linear
    assert "only ties (alpha 0.0) can still be chosen; excluded: linear (alpha 0.0): labels: 0 %" in found.verdict
    assert (
        found.selection.worth[-1]
        == "on the 8 labelled prompts it is 100 points (standard error 0) better than the base"
    )


def test_a_method_that_labels_leave_out_is_no_rival() -> None:
    right, wrong = [True] * 8, [False] * 8
    rows = {"linear": (OTHER,) * 3, "ties": (DONOR,) * 3, "dare": (DONOR,) * 3}
    marks = {name: dict.fromkeys((0.0, 0.1, 0.2), wrong if name == "dare" else right) for name in rows}
    verdict = chosen_of(rows, marks).verdict
    assert verdict.startswith(
        "of the methods, ties (alpha 0.0) wins in 100 % of resamples of 12 prompts, against linear"
    )
    assert "against linear (alpha 0.0); excluded: dare (alpha 0.0): labels: 0 % right, the best 100 %; along" in verdict


def test_a_method_that_chooses_nothing_takes_no_part() -> None:
    found = chosen_of({"linear": (DONOR,) * 3, "ties": (NOTHING,) * 3})
    assert found.methods == ("linear",)
    assert found.to_json()["methods"]["linear"]["wins"] is None
    assert "linear (alpha 0.0) is the only one with a candidate that can be chosen" in found.verdict
    with pytest.raises(UserError, match=r"no method has a candidate that can be chosen \(linear: .*; ties: "):
        chosen_of({"linear": (NOTHING,) * 3, "ties": (NOTHING,) * 3})


def test_what_looks_at_neighbours_cannot_compare_methods() -> None:
    with pytest.raises(UserError, match=r"searching.methods: .*which cannot compare methods; search one at a time"):
        chosen_of(
            {"linear": ("aaaaaaaaaaaa", "bbbbbbbbbbbb", "bbbbbbbbbbbb"), "ties": ("a" * 12,) * 3}, metric="either"
        )
    assert "take one that looks at each candidate by itself" in str(why_not_comparable(CRITERIA["either"]))
    assert why_not_comparable(CRITERIA["logprob"]) is None
