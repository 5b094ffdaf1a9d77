"""Fewer answers, the same choice: blocks, finer candidates, several tasks, and a run that goes on after a kill."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adamms.errors import UserError
from adamms.prompts.prompt import Prompt
from adamms.reporting.advice import advice
from adamms.runs.record import Response
from adamms.runs.responses import Responses
from adamms.searching.coefficient import beyond, finer
from adamms.searching.config import SearchingConfig
from adamms.searching.goal import ChoiceRule, Goal, NoScores, answers_without_saving, goals_of
from adamms.selecting.selection import select
from tests.support.simulated import Simulated, Told, drifting

ALPHAS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]


def prompts_of(task: str, count: int = 60) -> list[Prompt]:
    return [Prompt(f"{task}/{n}", f"{task} question {n}?") for n in range(count)]


def rule(**changed: Any) -> ChoiceRule:
    alphas = changed.setdefault("alphas", tuple(ALPHAS))
    changed.setdefault("metric", "either")
    return ChoiceRule.of(SearchingConfig(**changed), alphas)


def search(folder: Path, told: Told, count: int = 60, **changed: Any) -> tuple[Goal, Simulated]:
    tasks = {"": prompts_of("one", count)}
    found = rule(**changed)
    goals = goals_of(tasks, list(found.config.alphas), found)
    simulated = Simulated(folder, tasks[""], told)
    simulated.reach(goals)
    return goals[""], simulated


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("metric", ["either", "sum"])
def test_stopping_when_confident_asks_less_and_nothing_twice(tmp_path: Path, metric: str, seed: int) -> None:
    told = drifting(random.Random(seed).choice([0.1, 0.24, 0.33, 0.45]), seed)
    full, everything = search(tmp_path / "full", told, metric=metric)
    early, some = search(tmp_path / "early", told, metric=metric, stop="confident", block=5)
    assert early.selection.chosen is not None
    assert full.selection.chosen is not None
    assert abs(early.selection.chosen - full.selection.chosen) <= 0.1 + 1e-9
    assert len(some.asked) <= len(everything.asked) == 60 * len(ALPHAS)
    assert len(set(some.asked)) == len(some.asked), "nothing is answered twice"


def test_stopping_when_confident_saves(tmp_path: Path) -> None:
    confident, fewer = search(tmp_path, drifting(0.3), stop="confident", block=5)
    assert confident.selection.chosen == 0.3
    assert len(fewer.asked) < 60 * len(ALPHAS)


def test_finer_candidates_lie_between_the_neighbours_of_the_best() -> None:
    assert finer([0.0, 0.2, 0.4, 0.6], 0.2, 0.1) == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert finer([0.0, 0.1, 0.2], 0.1, 0.05) == [0.0, 0.05, 0.1, 0.15, 0.2]
    assert finer([0.1, 0.15, 0.2], 0.15, 0.02) == [0.11, 0.13, 0.15, 0.17, 0.19]
    assert finer([0.0, 0.2, 0.4], 0.0, 0.1) == [0.0, 0.1, 0.2]


@pytest.mark.parametrize(("steps", "rounds"), [((0.07,), []), ((0.07, 0.04), [(0.0, 0.04, 0.08)])])
def test_a_finer_step_that_has_too_few_candidates_is_left_out(
    tmp_path: Path, steps: tuple[float, ...], rounds: list[tuple[float, ...]]
) -> None:
    """Labels choose 0; of `either`, which compares with both neighbours, 0 and 0.07 are too few."""
    found = replace(
        rule(labels="labels.jsonl", alphas=(0.0, 0.1, 0.2), refine=steps),
        marks=lambda values: {value: [value == 0] * 20 for value in values},
    )
    prompts = prompts_of("one", 20)
    goals = goals_of({"": prompts}, [0.0, 0.1, 0.2], found)
    Simulated(tmp_path, prompts, drifting(0.1)).reach(goals)
    assert goals[""].selection.chosen == 0
    assert [one.values for one in goals[""].rounds] == [(0.0, 0.1, 0.2), *rounds]


def test_a_finer_step_that_is_wider_than_what_extending_left_is_left_out(tmp_path: Path) -> None:
    options: Any = {"alphas": (0.1, 0.3, 0.5), "endpoints": "one_sided", "extend": True, "refine": (0.15,)}
    goal, _ = search(tmp_path, drifting(0.0), **options)
    assert [one.values for one in goal.rounds] == [(0.1, 0.3, 0.5), (0.0, 0.1, 0.3, 0.5)]
    assert goal.selection.chosen == 0


def test_coarse_to_fine_answers_only_what_is_new_and_finds_the_plateau(tmp_path: Path) -> None:
    goal, simulated = search(tmp_path, drifting(0.3), alphas=(0.0, 0.2, 0.4, 0.6), refine=(0.1, 0.05))
    assert [len(one.values) for one in goal.rounds] == [4, 5, 5]
    assert goal.selection.chosen is not None
    assert abs(goal.selection.chosen - 0.3) <= 0.05
    assert len(simulated.asked) == (4 + 2 + 2) * 60
    assert answers_without_saving([0.0, 0.2, 0.4, 0.6], [0.1, 0.05], 60) == 13 * 60


def test_a_contradiction_that_a_coarse_round_found_holds_for_the_finer_one(tmp_path: Path) -> None:
    def told(alpha: float, prompt: Prompt) -> str:
        return "rouge" if alpha > 0.3 else "red"

    def scored(responses: Responses) -> Responses:
        by = {"red": (-0.1, -5.0), "rouge": (-6.0, -0.1)}
        return {
            value: {p: Response(text, [-0.1], by_parents=by[text]) for p, text in row.items()}
            for value, row in responses.items()
        }

    found = replace(rule(metric="logprob+parents", alphas=(0.0, 0.2, 0.4), refine=(0.1,)), score=scored)
    prompts = prompts_of("one", 20)
    goals = goals_of({"": prompts}, [0.0, 0.2, 0.4], found)
    Simulated(tmp_path, prompts, told).reach(goals)
    coarse, finer_one = goals[""].rounds
    assert (coarse.selection.chosen, finer_one.values) == (0.0, (0.0, 0.1, 0.2)), "which all answer alike"
    assert coarse.selection.contradicted == finer_one.selection.contradicted == 20
    assert any("on 20 of 20 prompts" in warning for warning in finer_one.selection.warnings)


def settling(last: int) -> Told:
    """Ever fewer answers change from one tenth to the next, and none after `last` tenths."""
    return lambda alpha, prompt: str(min(round(10 * alpha), int(prompt.id.split("/")[1]) % (last + 1)))


def test_a_range_whose_best_is_its_end_is_extended_until_it_is_not(tmp_path: Path) -> None:
    options: Any = {"endpoints": "one_sided", "alphas": (0.2, 0.3, 0.4, 0.5)}
    short, simulated = search(tmp_path / "short", settling(7), **options)
    assert short.selection.chosen == 0.5
    assert any("0.5 is the highest candidate" in warning for warning in short.selection.warnings)
    assert len(simulated.asked) == 4 * 60
    long, simulated = search(tmp_path / "long", settling(7), **options, extend=True)
    assert [one.values[-1] for one in long.rounds] == [0.5, 0.6, 0.7, 0.8, 0.9]
    assert (long.selection.chosen, len(simulated.asked)) == (0.8, 8 * 60)
    assert not any("candidate, and the best" in warning for warning in long.selection.warnings)
    assert len(simulated.asked) == len(set(simulated.asked)), "nothing is answered twice"


def test_nothing_is_asked_beyond_what_the_coefficient_may_be(tmp_path: Path) -> None:
    config = SearchingConfig(metric="either", alphas=(0.4, 0.6, 0.8), endpoints="one_sided", extend=True)
    whole = ChoiceRule.of(config, config.alphas, limits=(0.0, 0.9))
    asked = prompts_of("one")
    simulated, goals = Simulated(tmp_path, asked, settling(9)), goals_of({"": asked}, [0.4, 0.6, 0.8], whole)
    simulated.reach(goals)
    assert [one.values[-1] for one in goals[""].rounds] == [0.8, 0.9]


def test_labels_that_the_budget_left_unanswered_are_said_to_be_unused() -> None:
    told = "the labels are not used: the budget was over before every candidate had answered them"
    found = replace(rule(labels="labels.jsonl"), marks=lambda values: {})
    responses: Responses = {alpha: {"p": f"{alpha > 0.2}", "q": "same"} for alpha in (0.0, 0.1, 0.2, 0.3)}
    assert told in found.choose(responses, {}).warnings
    assert told not in rule().choose(responses, {}).warnings


def test_what_lies_beyond_a_range() -> None:
    assert beyond([0.0, 0.1, 0.3], 0.3, (0.0, 1.0)) == 0.5
    assert beyond([0.2, 0.3, 0.4], 0.2, (0.0, 1.0)) == 0.1
    assert beyond([0.05, 0.3, 0.9], 0.9, (0.0, 1.0)) == 1.0
    assert beyond([0.05, 0.3, 0.9], 0.05, (0.0, 1.0)) == 0.0
    assert beyond([1.0, 2.0, 3.0], 3.0, (0.0, math.inf)) == 4.0
    assert beyond([1.0, 2.0, 3.0], 1.0, (0.5, math.inf)) == 0.5
    for nothing in (0.0, 0.5, 1.0, None):
        assert beyond([0.0, 0.5, 1.0], nothing, (0.0, 1.0)) is None


def test_the_donor_scores_only_what_is_complete() -> None:
    with pytest.raises(UserError, match="logprob\\+parents can only choose once all is answered"):
        rule(metric="logprob+parents", stop="confident")


def test_without_the_parents_scores_the_rest_of_the_criterion_chooses_and_says_so() -> None:
    def missing(responses: Responses) -> Responses:
        raise NoScores("the donor cannot score answers (no engine)")

    answers = {a: {f"p{n}": Response(f"{n}", [-abs(a - 0.3) - 0.1]) for n in range(12)} for a in ALPHAS}
    found = replace(rule(metric="logprob+parents"), score=missing)
    selection = found.choose(answers, {})
    assert (selection.chosen, selection.criterion) == (0.3, "logprob")
    assert selection.warnings[-1] == (
        "the donor cannot score answers (no engine), so the choice is by logprob instead of logprob+parents"
    )
    assert found.scored(answers) is answers


def test_answers_without_log_probabilities_are_chosen_from_by_the_papers_criterion_and_it_says_so() -> None:
    def never(responses: Responses) -> Responses:
        raise AssertionError("there is nothing that the parents could be compared with")

    told = drifting(0.3)
    answers = {a: {one.id: told(a, one) for one in prompts_of("one")} for a in ALPHAS}
    found = replace(rule(metric="logprob+parents"), score=never)
    selection = found.choose(answers, {})
    assert selection.criterion == "either"
    assert selection.chosen == rule().choose(answers, {}).chosen
    assert selection.warnings[-1] == (
        "the engine gives no log-probabilities, so the choice is by either instead of logprob+parents"
    )
    assert found.scored(answers) is answers


def test_what_is_to_be_known_of_the_scores_goes_with_every_choice() -> None:
    answers = {a: {f"p{n}": f"{n}" for n in range(12)} for a in ALPHAS}
    found = replace(rule(), notes=("the donor reads text only",)).choose(answers, {})
    assert found.warnings[-1] == "the donor reads text only"


def test_a_search_that_is_run_again_takes_the_same_way_and_asks_nothing(tmp_path: Path) -> None:
    options: Any = {"stop": "confident", "block": 5, "alphas": (0.0, 0.2, 0.4, 0.6), "refine": (0.1,)}
    first, _ = search(tmp_path, drifting(0.3), **options)
    again, simulated = search(tmp_path, drifting(0.3), **options)
    assert simulated.asked == []
    assert again.rounds == first.rounds


def test_each_task_gets_its_alpha_and_all_of_them_one(tmp_path: Path) -> None:
    tasks = {"near": prompts_of("near"), "far": prompts_of("far")}
    best = {"near": drifting(0.2), "far": drifting(0.4)}

    def told(alpha: float, prompt: Prompt) -> str:
        return best[prompt.id.split("/")[0]](alpha, prompt)

    together = [*tasks["near"], *tasks["far"]]
    goals = goals_of(tasks, ALPHAS, rule())
    simulated = Simulated(tmp_path, together, told)
    simulated.reach(goals)
    assert (goals["near"].selection.chosen, goals["far"].selection.chosen) == (0.2, 0.4)
    assert len(simulated.asked) == len(set(simulated.asked)) == len(together) * len(ALPHAS)
    # the one for all is what `adamms select` finds in the folder
    assert goals[""].selection.scores == select(simulated.book.responses(ALPHAS, together)).scores


def test_blocks_of_the_goal_for_all_are_those_of_the_tasks(tmp_path: Path) -> None:
    tasks = {"a": prompts_of("a", 30), "b": prompts_of("b", 30)}
    goals = goals_of(tasks, ALPHAS, rule(stop="confident", block=10))
    alone = {p.id for name in tasks for p in goals[name].wants()[0.0]}
    assert {p.id for p in goals[""].wants()[0.0]} == alone


def test_equal_prompts_are_asked_once_and_answered_all(tmp_path: Path) -> None:
    twins = [Prompt("a/1", "What?"), Prompt("b/1", "What?"), Prompt("b/2", "Who?")]
    simulated = Simulated(tmp_path, twins, lambda alpha, prompt: f"{prompt.text} {alpha}")
    simulated.answer({0.0: twins})
    assert simulated.asked == [(0.0, "a/1"), (0.0, "b/2")]
    assert simulated.book.answers_at(0.0) == {"a/1": "What? 0.0", "b/1": "What? 0.0", "b/2": "Who? 0.0"}
    assert simulated.book.asked == 2


def test_a_candidate_that_failed_is_told_of_and_leaves_no_gap(tmp_path: Path) -> None:
    prompts = prompts_of("one", 20)
    goal = goals_of({"": prompts}, ALPHAS, rule(refine=(0.05,)))[""]
    Simulated(tmp_path, prompts, drifting(0.1), fails=[0.4]).reach({"": goal})
    told = "alpha 0.4 could not answer (it broke) and is left out: not every answer is there"
    assert advice(told).startswith("run the same command again")
    assert len(goal.rounds) == 2, "the finer round was not asked it, and tells of it too"
    for one in goal.rounds:
        assert 0.4 not in one.selection.scores
        assert told in one.selection.warnings
        assert not any("evenly spaced" in warning for warning in one.selection.warnings)


def test_candidates_that_fail_take_no_part(tmp_path: Path) -> None:
    prompts = prompts_of("one", 20)
    goals = goals_of({"": prompts}, ALPHAS, rule())
    simulated = Simulated(tmp_path, prompts, drifting(0.3), fails=[0.6])
    simulated.reach(goals)
    assert 0.6 not in goals[""].selection.scores
    broken = Simulated(tmp_path / "other", prompts, drifting(0.3), fails=ALPHAS[2:])
    with pytest.raises(UserError, match=r"too many candidates failed .* 0\.2: it broke"):
        broken.reach(goals_of({"": prompts}, ALPHAS, rule()))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"block": 0}, "searching.block=0"),
        ({"confidence": 0.0}, "searching.confidence=0"),
        ({"refine": (0.1,)}, "no finer step"),
        ({"refine": (0.05, 0.06)}, "no finer step"),
        ({"refine": (0.05, -0.02)}, "no finer step"),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(changed: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        rule(**changed)


def test_end_points_may_be_chosen_where_they_are_allowed(tmp_path: Path) -> None:
    goal, _ = search(tmp_path, drifting(0.0), endpoints="one_sided", refine=(0.05,))
    assert goal.selection.chosen is not None
    assert goal.selection.chosen <= 0.05


def blocks_then_over(folder: Path, told: Told, blocks: int, partly: int = 0, **changed: Any) -> Goal:
    """A search that is asked in blocks of 20 and has to stop after some, amid the next one."""
    config = SearchingConfig(**{"alphas": tuple(ALPHAS), "block": 20, "metric": "either"} | changed)
    rule_in_blocks = ChoiceRule.of(config, ALPHAS, in_blocks=True)
    prompts = prompts_of("one")
    goal = goals_of({"": prompts}, ALPHAS, rule_in_blocks)[""]
    simulated = Simulated(folder, prompts, told)
    for _ in range(blocks):
        simulated.answer(goal.wants())
        goal.consider(simulated.book)
    simulated.answer({alpha: asked for alpha, asked in goal.wants().items() if alpha < ALPHAS[partly]})
    goal.settle(simulated.book, "budget.hours=1")
    return goal


def test_a_search_that_has_to_stop_takes_the_choice_of_what_all_candidates_answered(tmp_path: Path) -> None:
    told = drifting(0.3)
    goal = blocks_then_over(tmp_path / "cut", told, blocks=2, partly=3)
    whole = goals_of({"": prompts_of("one")}, ALPHAS, rule())[""].prompts[:40]
    expected = select({alpha: {p.id: told(alpha, p) for p in whole} for alpha in ALPHAS}, "either")
    assert goal.done
    assert goal.selection.scores == expected.scores
    assert goal.selection.chosen == expected.chosen
    assert goal.selection.warnings[-1] == "stopped by budget.hours=1 after 40 of 60 prompts"


def test_a_search_that_has_to_stop_before_anything_is_complete_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"budget.hours=1: over before every candidate"):
        blocks_then_over(tmp_path, drifting(0.3), blocks=0, partly=3)


def test_a_refinement_that_has_to_stop_keeps_the_coarse_choice(tmp_path: Path) -> None:
    goal = blocks_then_over(tmp_path, drifting(0.3), blocks=3, refine=(0.05,))
    assert len(goal.rounds) == 1
    assert goal.selection.chosen == 0.3
    assert goal.selection.warnings[-1] == KEPT


KEPT = "stopped by budget.hours=1 before finer or further candidates had answered as many prompts"


@pytest.mark.parametrize(("blocks", "chosen"), [(1, 0.5), (2, 0.5), (3, 0.6)])
def test_a_choice_by_all_prompts_gives_way_to_none_by_fewer(tmp_path: Path, blocks: int, chosen: float) -> None:
    """The coarse candidates have answered all 60 prompts, the further one so many blocks of 20."""
    config = SearchingConfig(metric="either", alphas=(0.2, 0.3, 0.4, 0.5), endpoints="one_sided", extend=True)
    goal = goals_of({"": prompts_of("one")}, config.alphas, ChoiceRule.of(config, config.alphas, in_blocks=True))[""]
    simulated = Simulated(tmp_path, prompts_of("one"), settling(7))
    for _ in range(3 + blocks - 1):
        simulated.answer(goal.wants())
        goal.consider(simulated.book)
    simulated.answer(goal.wants())
    goal.settle(simulated.book, "budget.hours=1")
    assert (goal.rounds[-1].prompts, goal.selection.prompts_used, goal.selection.chosen) == (60, 60, chosen)
    assert (goal.selection.warnings[-1] == KEPT) == (blocks < 3)
