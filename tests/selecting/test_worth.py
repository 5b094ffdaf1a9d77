"""What a choice is worth: bounds that hold whatever is right, and what labels add."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adamms.runs.record import Response
from adamms.selecting.selection import select

Answers = dict[float, dict[str, str]]


def table(*rows: str) -> Answers:
    """A candidate a row, a letter an answer; candidates at 0, 0.1, ..."""
    return {n / 10: {f"p{i}": letter for i, letter in enumerate(row)} for n, row in enumerate(rows)}


def test_candidates_are_at_most_as_far_apart_as_their_answers() -> None:
    found = select(table("aaaaaaaaaa", "aaaaaaabbb", "aaaaaaabbb", "aaaaaabbbb", "cccccccccc"), "either")
    assert found.chosen == 0.2
    assert found.worth == (
        "alpha 0.2 and 0.1, the next best, answer 0 of 10 prompts differently: they are at most 0 points apart there",
        "3 of 10 answers are not the base's own: alpha 0.2 is at most 30 points better or worse there than the base",
        "whether the changed answers are the better ones, only labels can tell (searching.labels, adamms evaluate)",
    )


def test_a_bound_is_rounded_up() -> None:
    rows = table("a" * 300, "b" + "a" * 299, "bb" + "a" * 298, "c" * 300)
    found = select(rows, "either")
    assert found.chosen == 0.1
    assert "alpha 0.1 is at most 1 points better or worse there than the base" in found.worth[1]


def test_labels_say_what_was_gained() -> None:
    marks = {0.0: [False] * 4, 0.1: [True, True, False, False], 0.2: [True, True, True, False], 0.3: [False] * 4}
    found = select(table("aaaa", "aabb", "abbb", "cccc"), "either", marks=marks)
    assert found.chosen in (0.1, 0.2)
    gained = {0.1: "50 points (standard error 29)", 0.2: "75 points (standard error 25)"}[found.chosen]
    assert found.worth[-1] == f"on the 4 labelled prompts it is {gained} better than the base"


def test_of_a_base_that_is_chosen_it_is_said_what_others_would_change() -> None:
    rows = table("abcdefgh", "abcdefgx", "abcdewxy", "abcdeuxy")
    of_base = [{f"p{i}": letter for i, letter in enumerate("abcdefgh")}]
    found = select(rows, "donor", parents=of_base)
    assert found.chosen == 0.0
    told = "the base itself is chosen; alpha 0.2 answers 3 of 8 prompts otherwise: whether better, only labels can tell"
    assert [one for one in found.worth if one.startswith(told)]
    assert not [one for one in select(rows, "donor", parents=of_base, with_base=False).worth if "base" in one]
    marks = dict.fromkeys(rows, [True] * 4)
    assert not [one for one in select(rows, "donor", parents=of_base, marks=marks).worth if "only labels" in one]
    same = table("abcdefgh", "abcdefgh", "abcdefgh")
    assert not [one for one in select(same, "donor", parents=of_base).worth if "otherwise" in one]


def test_nothing_is_said_of_a_base_that_is_no_candidate() -> None:
    rows = {value + 0.1: row for value, row in table("aaaa", "aabb", "abbb", "cccc").items()}
    assert not any("base" in sentence for sentence in select(rows, "either").worth)
    assert not any("base" in sentence for sentence in select(rows, "either", coefficient="density").worth)


def test_nothing_is_said_of_a_base_that_the_candidate_of_0_is_not() -> None:
    rows = table("aaaa", "aabb", "abbb", "cccc")
    assert any("base" in sentence for sentence in select(rows, "either").worth)
    assert not any("base" in sentence for sentence in select(rows, "either", with_base=False).worth)


def test_the_base_s_plateau_is_recognised() -> None:
    base = "abcdefgh" * 5

    def changed(count: int) -> str:
        return base[:-count] + base[-count:].translate(str.maketrans("abcdefgh", "ijklmnop"))

    found = select(table(base, changed(1), changed(2), changed(20), changed(40)), "either")
    assert found.chosen == 0.1
    assert any("alpha 0.1 sits on the base's plateau: it answers 98% of the prompts" in one for one in found.warnings)
    moved = table(base, changed(10), changed(10), changed(10), changed(40))
    assert not any("plateau: it answers" in one for one in select(moved, "either").warnings)
    alike = table(base, changed(1), changed(1), changed(2))
    assert not any("plateau: it answers" in one for one in select(alike, "either").warnings)


def test_the_base_s_plateau_is_recognised_whatever_the_criterion() -> None:
    base, other = "abcdefgh" * 5, "ijklmnop" * 5
    sure = {0.0: -0.2, 0.1: -0.1, 0.2: -0.3, 0.3: -0.4}
    rows = table(base, base, other, other).items()
    responses = {a: {i: Response(one, (sure[a],)) for i, one in row.items()} for a, row in rows}
    found = select(responses, "logprob")
    assert found.chosen == 0.1
    assert any("alpha 0.1 sits on the base's plateau: it answers 100% of the prompts" in one for one in found.warnings)


@given(
    st.lists(st.text("ab", min_size=12, max_size=12), min_size=4, max_size=6), st.text("ab", min_size=12, max_size=12)
)
def test_no_labelling_breaks_the_bound(rows: list[str], right: str) -> None:
    found = select(table(*rows), "either", bootstrap=0)
    if found.chosen is None:
        return
    told = next((one for one in found.worth if "of 12 answers are not the base's own" in one), None)
    bound = float(told.partition("is at most ")[2].split()[0]) if told else 0.0
    score = [100 * sum(a == b for a, b in zip(row, right, strict=True)) / 12 for row in rows]
    assert abs(score[round(found.chosen * 10)] - score[0]) <= bound + 1e-9
