"""Ways of choosing are compared by the accuracy of what they choose, and warnings by the failures they mark."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

from adamms.errors import UserError
from adamms.judging.judgement import Judgement, judge
from adamms.prompts.labels import Label
from adamms.prompts.prompt import Prompt
from adamms.reporting.tables import methods_by_tasks, methods_markdown
from adamms.runs.record import Response
from pipelines.experiments.cases import Case
from pipelines.experiments.choices import INNER, judge_case, selection_of
from pipelines.experiments.criteria import read_results
from pipelines.experiments.mixtures import mixtures_of
from pipelines.experiments.regrets import (
    Mean,
    contradictions_markdown,
    gain,
    pairs_markdown,
    regret,
    regrets_markdown,
    warnings_markdown,
)
from pipelines.experiments.settings import CriteriaSettings
from tests.support.simulated import drifting

ALPHAS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
RIGHT = {0.0: 0, 0.1: 2, 0.2: 6, 0.3: 10, 0.4: 7, 0.5: 3, 0.6: 1}  # of ten
SETTINGS = CriteriaSettings(criteria=("either", "sum", "plurality"), few=(6,), draws=3)


def labelled(name: str) -> dict[float, dict[str, str]]:
    return {a: {f"{name}{n}": "right" if n < right else "wrong" for n in range(10)} for a, right in RIGHT.items()}


def a_case(best: float, seed: int = 0, task: str = "task") -> Case:
    told = drifting(best, seed)
    prompts = [Prompt(f"{task}-p{n}", f"question {n}?") for n in range(60)]
    return Case(
        pair=f"recipe-{seed}",
        task=task,
        questions={prompt.id: prompt.text for prompt in prompts},
        responses={alpha: {p.id: told(alpha, p) for p in prompts} for alpha in ALPHAS},
        donor={p.id: told(1.0, p) for p in prompts},
        labels={f"{task}-l{n}": Label(("right",)) for n in range(10)},
        judged=labelled(f"{task}-l"),
        judged_donor={f"{task}-l{n}": "wrong" for n in range(10)},
        judged_baselines={"ties": {f"{task}-l{n}": "right" if n < 4 else "wrong" for n in range(10)}},
        spare={f"{task}-s{n}": Label(("right",)) for n in range(10)},
        answered=labelled(f"{task}-s"),
    )


def test_regret_is_how_far_a_choice_is_behind_the_best_candidate() -> None:
    cases = [a_case(0.3), a_case(0.3, 1), a_case(0.5, 2)]
    assert [selection_of(case, "either").chosen for case in cases] == [0.3, 0.3, 0.5]
    judged = [judge_case(case, SETTINGS, mixed=False) for case in cases]
    assert [one.choices["either"].regret for one in judged] == [0, 0, 70]
    assert [one.choices["always 0.4"].regret for one in judged] == [30, 30, 30]
    assert [one.choices[INNER].regret for one in judged] == [0, 0, 0]
    assert judged[0].accuracy["0.2"] == 60
    assert judged[0].donor == 0
    assert regret(judged, "either").value == pytest.approx(70 / 3)
    # pairs 0, 1 and 2 with one task each
    assert regret(judged, "either").error == pytest.approx(stdev([0, 0, 70]) / 3**0.5)
    found = gain(judged, "always 0.4", "either")
    assert (found.value, found.error) == pytest.approx((mean([-30, -30, 40]), stdev([-30, -30, 40]) / 3**0.5))


def test_tasks_of_one_pair_count_as_one() -> None:
    judged = [
        judge_case(a_case(0.3, seed, task), SETTINGS, mixed=False) for seed, task in [(1, "a"), (1, "b"), (2, "a")]
    ]
    numbers = {("recipe-1", "a"): 1.0, ("recipe-1", "b"): 3.0, ("recipe-2", "a"): 8.0}
    assert Mean.over(judged, lambda case: numbers[case.pair, case.task]) == Mean(5.0, stdev([2, 8]) / 2**0.5)
    assert Mean.over(judged[:2], lambda case: numbers[case.pair, case.task]) == Mean(2.0, 0.0)


def test_a_few_labels_choose_alone_and_before_a_criterion() -> None:
    case = a_case(0.5)
    judged = judge_case(case, SETTINGS, mixed=False)
    # six of ten labelled prompts always tell 0.3 (ten right) from 0.5 (three right), which `either` alone takes
    assert judged.choices["either"].regret == 70
    assert judged.choices["6 labels, then either"].regret < 40
    assert judged.choices["6 labels alone"].regret <= 30
    assert set(case.spare).isdisjoint(case.labels)


def test_a_mixture_has_prompts_of_all_its_tasks_and_all_their_labels() -> None:
    cases = [a_case(0.3, 0, task) for task in "abcdef"]
    found = list(mixtures_of(cases, 8))
    assert found == list(mixtures_of(cases, 8))
    assert len({tuple(case.questions) for case in found}) == 8
    for case in found:
        tasks = {name.partition("-")[0] for name in case.questions}
        assert 4 <= len(tasks) <= 6
        assert len(case.questions) == 60
        assert set(case.responses[0.3]) == set(case.donor) == set(case.questions)
        assert (
            len(case.labels) == 10 * len(tasks) == len(case.judged[0.0]) == len(case.spare) == len(case.answered[0.0])
        )
    shares = [sum(name.startswith(task) for name in found[0].questions) for task in "abcdef"]
    assert max(shares) - min(filter(None, shares)) <= 2


def test_every_way_stands_in_one_table(tmp_path: Path) -> None:
    judged = [
        judge_case(a_case(best, seed), SETTINGS, mixed=seed == 1) for seed, best in [(0, 0.3), (1, 0.3), (2, 0.5)]
    ]
    file = tmp_path / "pair.json"
    file.write_text(json.dumps([asdict(one) for one in judged]))
    assert read_results(file) == judged
    rows = regrets_markdown(judged, "either").splitlines()
    assert (
        rows[0] == "| chosen by | recipe | all, narrow | all, mixed | against either, narrow | against either, mixed |"
    )
    first = [row for row in rows if row.startswith("| either |")]
    assert first == ["| either | 35.00 / 0.00 | 35.00 ± 35.00 | 0.00 ± 0.00 | 0.00 ± 0.00 | 0.00 ± 0.00 |"]
    assert len(rows) == 2 + len(judged[0].choices)
    assert "| recipe-2 | 0.0 | 100.0 | 0.0 |" in pairs_markdown(judged)
    said = [False, True, True]
    told = [
        replace(one, choices={"either": replace(one.choices["either"], warned=warned)})
        for one, warned in zip(judged, said, strict=True)
    ]
    assert "| either | 2 of 3 | 1 of 1 | 1 of 2 |" in warnings_markdown(told, ["either"])
    told = [
        replace(one, choices={"either": replace(one.choices["either"], contradicted=contradicted)})
        for one, contradicted in zip(judged, said, strict=True)
    ]
    assert "| recipe | 2 of 3 | 1 of 2 | 0 of 1 |" in contradictions_markdown(told, "either")


def test_what_a_search_would_warn_of_is_kept_with_its_choice() -> None:
    case = a_case(0.3)
    opposed = {
        alpha: {
            p: Response(text, [-0.1], by_parents=(-5.0, -0.1) if alpha > 0.3 else (-0.1, -5.0))
            for p, text in row.items()
        }
        for alpha, row in case.responses.items()
    }
    settings = replace(SETTINGS, criteria=("either", "logprob+parents"))
    found = judge_case(replace(case, responses=opposed), settings, mixed=False)
    assert found.choices["logprob+parents"].contradicted
    assert not found.choices["either"].contradicted, "a search by it has no scores of base and donor"


@pytest.mark.parametrize("criterion", ["either~0.5", "nothing"])
def test_what_is_no_criterion_is_refused(criterion: str) -> None:
    with pytest.raises(UserError):
        selection_of(a_case(0.3), criterion)


def judged_at(chosen: float, **changed: Any) -> Judgement:
    case = a_case(0.3)
    return judge(
        chosen, {}, case.judged, case.labels, case.judged_donor, changed.get("baselines", case.judged_baselines)
    )


def test_methods_stand_in_one_table_with_their_sum() -> None:
    judgements = {(1, "a"): judged_at(0.2), (2, "a"): judged_at(0.3), (1, "b"): judged_at(0.4)}
    rows = methods_by_tasks(judgements)
    assert list(rows) == ["base", "donor", "ties", "AdaMMS", "oracle"]
    assert rows["AdaMMS"] == {"a": 80.0, "b": 70.0}
    assert rows["ties"] == {"a": 40.0, "b": 40.0}
    assert "| AdaMMS | 80.0 | 70.0 | 150.0 |" in methods_markdown(judgements)
