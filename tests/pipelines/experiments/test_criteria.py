"""Criteria are compared by the accuracy of what they choose, and warnings by the failures they mark."""

from __future__ import annotations

from typing import Any

import pytest

from adamms.errors import UserError
from adamms.judging.judgement import Judgement, judge
from adamms.prompts.prompt import Prompt
from adamms.reporting.tables import methods_by_tasks, methods_markdown
from pipelines.experiments.cases import Case
from pipelines.experiments.criteria import regrets_markdown, regrets_of, selection_of
from tests.support.simulated import drifting

ALPHAS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
RIGHT = {0.0: 0, 0.1: 2, 0.2: 6, 0.3: 10, 0.4: 7, 0.5: 3, 0.6: 1}  # of ten


def a_case(best: float, seed: int = 0) -> Case:
    told = drifting(best, seed)
    prompts = [Prompt(f"p{n}", f"question {n}?") for n in range(60)]
    return Case(
        seed=seed,
        task="task",
        questions={prompt.id: prompt.text for prompt in prompts},
        responses={alpha: {p.id: told(alpha, p) for p in prompts} for alpha in ALPHAS},
        donor={p.id: told(1.0, p) for p in prompts},
        labels={f"l{n}": "right" for n in range(10)},
        judged={
            alpha: {f"l{n}": "right" if n < right else "wrong" for n in range(10)} for alpha, right in RIGHT.items()
        },
        judged_donor={f"l{n}": "wrong" for n in range(10)},
        judged_baselines={"ties": {f"l{n}": "right" if n < 4 else "wrong" for n in range(10)}},
    )


def test_regret_is_counted_over_all_cases() -> None:
    cases = [a_case(0.3), a_case(0.3, 1), a_case(0.5, 2)]
    chosen = [selection_of(case, "either").chosen for case in cases]
    assert chosen == [0.3, 0.3, 0.5]
    found = regrets_of(cases, ["either", "sum", "plurality"])
    best = "(best by labels that is no end point)"
    assert set(found) == {"either", "sum", "plurality", best, *(f"always {alpha:g}" for alpha in ALPHAS)}
    assert found[best].regret == 0
    either = found["either"]
    assert (either.cases, either.close, either.worst, either.against) == (3, 2, 70.0, (0.0, 0.0))
    assert either.regret == pytest.approx(70 / 3)
    assert either.warned + either.missed == 1
    assert found["always 0.3"].regret == 0
    # pairs (seeds) 0, 1 and 2 with one task each: regret 0, 0 and 70 of `either` against 30 of always 0.4
    assert found["always 0.4"].against == pytest.approx((30 - 70 / 3, 70 / 3), abs=1e-9)
    rows = regrets_markdown(found).splitlines()
    assert rows[2].startswith("| always 0.3 | 0.00 |")
    assert len(rows) == 2 + len(found)


@pytest.mark.parametrize("criterion", ["either~0.5", "nothing"])
def test_what_is_no_criterion_is_refused(criterion: str) -> None:
    with pytest.raises(UserError):
        selection_of(a_case(0.3), criterion)


def judged(chosen: float, **changed: Any) -> Judgement:
    case = a_case(0.3)
    return judge(
        chosen, {}, case.judged, case.labels, case.judged_donor, changed.get("baselines", case.judged_baselines)
    )


def test_methods_stand_in_one_table_with_their_sum() -> None:
    judgements = {(1, "a"): judged(0.2), (2, "a"): judged(0.3), (1, "b"): judged(0.4)}
    rows = methods_by_tasks(judgements)
    assert list(rows) == ["base", "donor", "ties", "AdaMMS", "oracle"]
    assert rows["AdaMMS"] == {"a": 80.0, "b": 70.0}
    assert rows["ties"] == {"a": 40.0, "b": 40.0}
    assert "| AdaMMS | 80.0 | 70.0 | 150.0 |" in methods_markdown(judgements)
