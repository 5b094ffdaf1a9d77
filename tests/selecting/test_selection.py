"""The choice is the paper's, whatever the prompts are called; and it says how far it can be trusted."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamms.errors import UserError
from adamms.runs.record import Response
from adamms.runs.responses import Responses
from adamms.selecting.criteria import CRITERIA
from adamms.selecting.selection import Selection, select

NO_GUARD_WORDS = st.sampled_from(["cat", "dog", "CAT", "sun", "sky", "Sun "])


@st.composite
def tables(draw: st.DrawFn, least: int = 3) -> Responses:
    candidates, prompts = draw(st.integers(least, 7)), draw(st.integers(1, 14))
    alphas = [round(i / 10, 6) for i in range(candidates)]
    return {alpha: {f"p{p}": draw(NO_GUARD_WORDS) for p in range(prompts)} for alpha in alphas}


def brute_force(responses: Responses, reading: str, one_sided: bool = False) -> tuple[float, dict[float, int]]:
    """The paper's two counts and our tie-break, written without looking at the implementation."""
    alphas = sorted(responses)
    scores: dict[float, int] = {}
    ties: dict[float, int] = {}
    for i, alpha in enumerate(alphas):
        neighbours = [alphas[j] for j in (i - 1, i + 1) if 0 <= j < len(alphas)]
        if len(neighbours) == 1:
            if not one_sided:
                continue
            neighbours *= 2
        differs = {
            prompt: [answer.strip().lower() != responses[other][prompt].strip().lower() for other in neighbours]
            for prompt, answer in responses[alpha].items()
        }
        ties[alpha] = sum(sum(flags) for flags in differs.values())
        scores[alpha] = ties[alpha] if reading == "sum" else sum(any(flags) for flags in differs.values())
    return min(scores, key=lambda alpha: (scores[alpha], ties[alpha], alpha)), scores


def chosen(responses: Responses, **options: Any) -> Selection:
    return select(responses, bootstrap=options.pop("bootstrap", 0), **options)


def degenerate(found: Selection) -> bool:
    return any(one.reasons for one in found.degeneracy.values())


@pytest.mark.parametrize("reading", ["either", "sum"])
@pytest.mark.parametrize("endpoints", ["exclude", "one_sided"])
@settings(max_examples=150, deadline=None)
@given(responses=tables())
def test_agrees_with_brute_force(reading: str, endpoints: Any, responses: Responses) -> None:
    found = chosen(responses, criterion=reading, endpoints=endpoints)
    alpha, scores = brute_force(responses, reading, endpoints == "one_sided")
    assert {a: s for a, s in found.scores.items() if s is not None} == scores
    assert degenerate(found) or found.chosen == alpha


@pytest.mark.parametrize("criterion", [name for name in CRITERIA if name != "embedding"])
@settings(max_examples=40, deadline=None)
@given(responses=tables(), seed=st.integers(0, 1000))
def test_names_and_order_of_prompts_change_nothing(criterion: str, responses: Responses, seed: int) -> None:
    if criterion in ("logprob", "parents", "kl"):
        dice = random.Random(seed).random
        responses = {
            a: {p: Response(t, [-dice()], by_parents=[-dice(), -dice()]) for p, t in row.items()}
            for a, row in responses.items()
        }
    prompts = list(responses[0.0])
    names = [f"q{n}" for n in range(len(prompts))]
    random.Random(seed).shuffle(names)
    random.Random(seed).shuffle(prompts)
    other = {alpha: {n: row[p] for p, n in zip(prompts, names, strict=True)} for alpha, row in responses.items()}
    donor = {p: random.Random(f"{seed} {p}").choice(["cat", "dog"]) for p in prompts} if criterion == "donor" else {}
    renamed = {n: donor[p] for p, n in zip(prompts, names, strict=True)} if donor else {}
    options = {"criterion": criterion, "bootstrap": 50}
    found = chosen(responses, **options, parents=[donor] if donor else [])
    assert chosen(other, **options, parents=[renamed] if donor else []) == found


@pytest.mark.parametrize("criterion", ["either", "sum"])
@settings(max_examples=60, deadline=None)
@given(responses=tables(), more=st.integers(1, 20))
def test_prompts_that_all_answer_alike_change_nothing(criterion: str, responses: Responses, more: int) -> None:
    before = chosen(responses, criterion=criterion)
    longer = {alpha: row | {f"x{n}": f"answer {n}" for n in range(more)} for alpha, row in responses.items()}
    after = chosen(longer, criterion=criterion)
    assert after.scores == before.scores
    assert degenerate(before) or after.chosen == before.chosen


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["", "the", "so so so so so so", "да нет"]))
def test_a_collapsed_candidate_never_wins(data: st.DataObject, kind: str) -> None:
    sound = [f"{n} {word}" for n in range(12) for word in ("cat", "dog")]
    rows = [[data.draw(st.sampled_from([s, s, s, "other " + s])) for s in sound] for _ in range(4)]
    first = data.draw(st.integers(1, 4))
    rows[first:first] = [[kind] * len(sound)] * 3
    responses = {i / 10: {f"p{p}": answer for p, answer in enumerate(row)} for i, row in enumerate(rows)}
    for criterion in ("either", "sum", "edit"):
        found = chosen(responses, criterion=criterion)
        assert found.scores[round((first + 1) / 10, 6)] == 0  # perfectly consistent
        assert found.chosen not in [round((first + i) / 10, 6) for i in range(3)]


def table(*rows: list[str]) -> Responses:
    return {round(i / 10, 6): {f"p{p:02}": answer for p, answer in enumerate(row)} for i, row in enumerate(rows)}


STABLE = [f"answer {n}" for n in range(20)]


def changed(count: int, tag: str) -> list[str]:
    return [f"{tag} {answer}" for answer in STABLE[:count]] + STABLE[count:]


def test_what_is_printed() -> None:
    printed = chosen(table(changed(9, "a"), changed(1, "b"), STABLE, changed(2, "c"), changed(15, "d"))).to_json()
    assert printed["alpha"] == 0.2
    assert json.dumps(printed["scores"]) == '{"0.0": null, "0.1": 9, "0.2": 2, "0.3": 15, "0.4": null}'
    assert (printed["left"]["0.2"], printed["right"]["0.2"], printed["left"]["0.0"]) == (1, 2, None)
    assert printed["excluded"].keys() == {"0.0", "0.4"}
    assert printed["prompts"] == {"used": 20, "dropped": 0}
    assert json.loads(json.dumps(printed)) == printed


def test_ties_go_to_the_smaller_sum_then_to_the_smaller_alpha() -> None:
    # either: 2, 2; sum: 4 (the same prompts to both sides), 2 (other prompts to each side)
    rows = table(["a", "a", "c", "c"], ["b", "b", "c", "c"], ["a", "a", "c", "c"], ["a", "a", "c", "c"])
    found = chosen(rows)
    assert (found.scores[0.1], found.scores[0.2], found.chosen) == (2, 2, 0.2)
    assert chosen(table(STABLE, STABLE, STABLE, STABLE)).chosen == 0.1


def test_everything_degenerate_chooses_nothing() -> None:
    found = select(table(STABLE, [""] * 20, [""] * 20, STABLE))
    assert found.chosen is None
    assert "nothing can be chosen" in found.verdict
    assert found.to_json()["alpha"] is None
    assert "nothing at all" in found.excluded[0.1]


def test_a_clear_choice_says_so() -> None:
    found = select(table(changed(20, "a"), changed(1, "b"), STABLE, changed(1, "c"), changed(20, "d")))
    assert found.chosen == 0.2
    assert found.bootstrap[0.2] > 0.99
    assert sum(found.bootstrap.values()) == pytest.approx(1)
    assert found.verdict == "alpha 0.2 is chosen in 100 % of resamples of 20 prompts"
    assert found.chosen is not None
    low, high = found.intervals[found.chosen]
    assert low <= 2 <= high


def test_an_unclear_choice_says_so() -> None:
    found = select(
        table(changed(9, "a"), changed(4, "b"), STABLE, STABLE[:10] + changed(14, "c")[10:], changed(19, "d"))
    )
    assert "cannot be told apart with 20 prompts" in found.verdict
    assert select(table(STABLE, STABLE, STABLE, STABLE)).verdict.startswith("alpha 0.1 and 0.2 cannot be told apart")


def test_another_coefficient_is_called_by_its_name() -> None:
    """Nothing says alpha where density was searched, except the key of the JSON that users rely on."""
    clear = table(changed(20, "a"), changed(1, "b"), STABLE, changed(1, "c"), changed(20, "d"))
    found = select(clear, coefficient="density")
    assert (found.coefficient, found.chosen) == ("density", 0.2)
    assert found.verdict == "density 0.2 is chosen in 100 % of resamples of 20 prompts"
    printed = found.to_json()
    assert (printed["coefficient"], printed["alpha"]) == ("density", 0.2)
    falling = table(*[changed(n, "a") for n in (0, 1, 4, 10, 20)]) | {0.55: dict(table(STABLE)[0.0])}
    tied = table(STABLE, STABLE, STABLE, STABLE)
    lone = table(STABLE, changed(1, "a"), STABLE)
    for rows, bootstrap in itertools.product((clear, falling, tied, lone), (0, 50)):
        found = select(rows, coefficient="density", bootstrap=bootstrap)
        texts = [found.verdict, *found.warnings]
        assert found.verdict.startswith("density 0.")
        assert not any("alpha" in text for text in texts), texts
    assert (
        "the values of density are not evenly spaced (steps between 0.1 and 0.15)"
        in select(falling, coefficient="density").warnings[0]
    )


def test_few_prompts_decide_nothing() -> None:
    found = select(table(["a"], ["b"], ["b"], ["b"], ["c"]))
    assert found.verdict.startswith("too few prompts (1) to tell the candidates apart")


def test_same_seed_same_resamples() -> None:
    rows = table(changed(9, "a"), changed(4, "b"), STABLE, changed(5, "c"), changed(19, "d"))
    assert select(rows, seed=3) == select(rows, seed=3)
    assert select(rows, seed=3).bootstrap != select(rows, seed=4).bootstrap


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        (table(STABLE, STABLE, STABLE, STABLE), "every candidate gives the same answers"),
        (table(*[changed(20, tag) for tag in "abcde"]), "no plateau: even the chosen"),
        (table(*[changed(n, "a") for n in (0, 1, 4, 10, 20)]), "falls all the way to alpha 0.1, the lowest"),
        (table(*[changed(n, "a") for n in (20, 10, 4, 1, 0)]), "falls all the way to alpha 0.3, the highest"),
        ({0.0: {"p": "a"}, 0.1: {"p": "a", "q": "b"}, 0.2: {"p": "b"}}, "1 prompt left out"),
        ({0.0: {"p": "a"}, 0.1: {"p": "a"}, 0.15: {"p": "b"}}, "not evenly spaced (steps between 0.05 and 0.1)"),
    ],
)
def test_warnings(rows: Responses, word: str) -> None:
    assert any(word in warning for warning in chosen(rows).warnings), chosen(rows).warnings


def test_no_warning_without_reason() -> None:
    assert chosen(table(changed(9, "a"), changed(1, "b"), STABLE, changed(2, "c"), changed(15, "d"))).warnings == ()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"criterion": "bleu"}, "bleu"),
        ({"endpoints": "include"}, "one_sided"),
        ({"bootstrap": -1}, "bootstrap"),
    ],
)
def test_wrong_options(options: dict[str, Any], word: str) -> None:
    with pytest.raises(UserError, match=word):
        chosen(table(STABLE, STABLE, STABLE), **options)


def test_too_few_candidates() -> None:
    with pytest.raises(UserError, match="2 candidates where at least 3"):
        chosen(table(STABLE, STABLE))
    assert chosen(table(STABLE, STABLE), endpoints="one_sided").chosen == 0.0
    with pytest.raises(UserError, match="at least 2"):
        chosen(table(STABLE), endpoints="one_sided")


def test_importing_is_light() -> None:
    heavy = "{'torch', 'ray', 'mlflow', 'transformers', 'sentence_transformers', 'scipy'} & set(sys.modules)"
    code = f"import sys, adamms.selecting.selection, adamms.runs.store; print({heavy})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
