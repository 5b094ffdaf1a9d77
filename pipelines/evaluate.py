"""Judge a finished search by labelled prompts: every alpha, the donor, the oracle, and the regret of the choice.

    python pipelines/evaluate.py --config conf/demo.yaml labelled.path=FILE.jsonl [key=value ...]
    python pipelines/evaluate.py ... labelled.tasks.ocr=FILE labelled.tasks.vqa=FILE baselines=[ties] ancestor=DIR
    python pipelines/evaluate.py --config FILE lmms_eval.tasks=[ocrbench,textvqa_val] lmms_eval.python=ENV/bin/python

The last evaluates the winner by lmms-eval, with or without labelled prompts of your own; its figures are on the
dashboard as `lmms_eval/...`. Labels are read here and nowhere else; the search never sees them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console

from adamms.checkpoint.checkpoint import read_json
from adamms.cli import pipeline
from adamms.commands.settings import EvaluateSettings
from adamms.errors import UserError
from adamms.judging.judgement import Judgement, judge, read_labels
from adamms.judging.labelled import answer_as_baselines, answer_as_donor, answer_labelled
from adamms.judging.lmms_eval import check_lmms_eval, run_lmms_eval
from adamms.mapping import MergePlan, PlannedPair, plan_pair
from adamms.merging.recipe import Recipe
from adamms.prompts.tasks import Tasks, all_prompts, load_tasks
from adamms.reporting.tables import judgement_table, methods_table
from adamms.runs.run_folder import RunFolder, answer_identity
from adamms.searching.coefficient import Line, check_alphas
from adamms.support.ray_session import ray_session
from adamms.tracking import SearchTracker, Story, search_parameters, write_report

LOG = logging.getLogger(__name__)


@pipeline
def main(settings: EvaluateSettings, force: bool) -> None:
    line = Line.searched(Recipe.of(settings.merging, settings.searching.alpha), settings.searching.coefficient)
    alphas = check_alphas(settings.searching.alphas, line)
    winner = Path(settings.run_dir, "merged")
    check_lmms_eval(settings.lmms_eval, winner)
    labelled = settings.labelled.path or settings.labelled.tasks or settings.baselines or not settings.lmms_eval.tasks
    tasks = load_tasks(settings.labelled) if labelled else {}
    labels = {task: read_labels(path, tasks[task], prefix=task) for task, path in paths_of(settings, tasks).items()}
    pair = plan_pair(settings if line.recipe.rule.needs_ancestor else replace(settings, ancestor=None))
    search = RunFolder(Path(settings.run_dir), answer_identity(pair.plan, line, settings.engine))
    selections = read_selections(search.selection_file, list(tasks)) if tasks else {}
    params = search_parameters(settings, pair.plan)
    tracked = partial(SearchTracker, settings.tracking, search.search_key, params, search.folder)
    if tasks:
        judgements = judge_tasks(settings, pair, line, alphas, tasks, labels, selections)
        with tracked() as tracker:
            save(settings, pair.plan, search, judgements, tracker)
        show(settings, judgements)
    if settings.lmms_eval.tasks:
        figures = run_lmms_eval(settings.lmms_eval, winner, Path(settings.run_dir, "lmms-eval"))
        with tracked() as tracker:
            tracker.log_metrics({f"lmms_eval/{name}": value for name, value in figures.items()})


def judge_tasks(
    settings: EvaluateSettings,
    pair: PlannedPair,
    line: Line,
    alphas: Sequence[float],
    tasks: Tasks,
    labels: Mapping[str, dict[str, str]],
    selections: Mapping[str, dict[str, Any]],
) -> dict[str, Judgement]:
    """Every task that something was chosen for; answers are stored as the search's are."""
    prompts = all_prompts({task: tasks[task] for task in selections})
    with ray_session(settings.ray.address):
        alphas = sorted({*alphas, *(selection["alpha"] for selection in selections.values())})
        candidates = answer_labelled(settings, pair, line, alphas, prompts)
        donor = answer_as_donor(settings, pair, prompts)
        baselines = answer_as_baselines(settings, settings.baselines, prompts)
    found = {}
    for task, selection in selections.items():
        scores = {float(alpha): score for alpha, score in selection["scores"].items()}
        found[task or name_of(settings)] = judge(selection["alpha"], scores, candidates, labels[task], donor, baselines)
    return found


def save(
    settings: EvaluateSettings,
    plan: MergePlan,
    search: RunFolder,
    judgements: Mapping[str, Judgement],
    tracker: SearchTracker,
) -> None:
    """evaluation.json, the report anew, and both on the dashboard."""
    found = {task: judgement.to_json() for task, judgement in judgements.items()}
    search.write_json(search.evaluation_file, found if settings.labelled.tasks else next(iter(found.values())))
    log_judgements(tracker, judgements, bool(settings.labelled.tasks))
    story = Story.of(search, plan, all_prompts(load_tasks(settings.prompts)))
    page, *figures = write_report(story, search.folder)
    tracker.log_files([page, search.evaluation_file])
    tracker.log_files(figures, "figures")


def show(settings: EvaluateSettings, judgements: Mapping[str, Judgement]) -> None:
    """The tables, on the terminal."""
    console = Console()
    console.print(judgement_table(judgements))
    if settings.baselines or len(judgements) > 1:
        console.print(methods_table({(0, task): judgement for task, judgement in judgements.items()}))


def paths_of(settings: EvaluateSettings, tasks: Tasks) -> dict[str, Path]:
    """The labelled file of every task."""
    return {task: Path(settings.labelled.tasks[task] if task else settings.labelled.path) for task in tasks}


def name_of(settings: EvaluateSettings) -> str:
    """What the only task is called."""
    return Path(settings.labelled.path).stem


def read_selections(file: Path, tasks: list[str]) -> dict[str, dict[str, Any]]:
    """What the search chose for each task; the one for all where it did not search that task by itself.

    Raises:
        UserError: there was no search, or it chose nothing for any of the tasks.
    """
    if not file.is_file():
        raise UserError(f"{file}: not found; run pipelines/search.py with the same settings first")
    selection: dict[str, Any] = read_json(file)
    found = {task: selection.get("tasks", {}).get(task, selection) for task in tasks}
    chosen = {task: one for task, one in found.items() if one["alpha"] is not None}
    if not chosen:
        raise UserError(
            f"{file}: the search chose nothing, so there is no choice to judge ({selection['verdict']}); "
            "search again with smaller or other searching.alphas"
        )
    for task in found.keys() - chosen.keys():
        LOG.warning("%s is not judged: the search chose nothing for it (%s)", task, found[task]["verdict"])
    return chosen


def log_judgements(tracker: SearchTracker, judgements: Mapping[str, Judgement], named: bool) -> None:
    """`accuracy` of every candidate and the `regret` of the choice; of named tasks `task/accuracy` too."""
    for task, judgement in judgements.items() if named else ():
        tracker.log_scores({alpha: {f"{task}/accuracy": value} for alpha, value in judgement.accuracy.items()})
        tracker.log_metrics({f"{task}/regret": judgement.regret})
    every = list(judgements.values())
    tracker.log_scores({alpha: {"accuracy": mean(one.accuracy[alpha] for one in every)} for alpha in every[0].accuracy})
    tracker.log_metrics({"regret": mean(one.regret for one in every)})


if __name__ == "__main__":
    main()
