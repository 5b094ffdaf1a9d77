"""What the dashboard shows of each candidate."""

from __future__ import annotations

from adamms.searching.scores import scores_of
from adamms.selecting.selection import select
from tests.selecting.test_worth import table

PARENTS = [{f"p{i}": letter for i, letter in enumerate("abcdefgh")}]


def test_two_finer_candidates_have_the_scores_that_two_can_have() -> None:
    """As a finer step leaves them beside an end point: `either` has no score of either."""
    answers = {0.0: table("abcdefgh")[0.0], 0.07: table("abcdefxy")[0.0]}
    found = scores_of(select(answers, "donor", parents=PARENTS), answers, PARENTS)
    assert found[0.0]["donor"] == 0
    assert found[0.07]["donor"] == 2
    assert not any("either" in numbers for numbers in found.values())
    three = {0.0: answers[0.0], 0.07: answers[0.07], 0.1: answers[0.0]}
    assert scores_of(select(three, "donor", parents=PARENTS), three, PARENTS)[0.07]["either"] == 2
