"""Judge a finished search by labelled prompts: every alpha, the donor, the oracle, and the regret of the choice.

    python pipelines/evaluate.py --config conf/demo.yaml labelled.path=FILE.jsonl [key=value ...]
    python pipelines/evaluate.py ... labelled.tasks.ocr=FILE labelled.tasks.vqa=FILE baselines=[ties] ancestor=DIR
    python pipelines/evaluate.py ... lmms_eval.tasks=[ocrbench,textvqa_val]      (the winner, by lmms-eval)

Labels are read here and nowhere else; the search never sees them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console

from adamms.checkpoint.checkpoint import read_json
from adamms.cli import pipeline
from adamms.config import EvaluateSettings
from adamms.errors import UserError
from adamms.mapping import plan_pair
from adamms.merging.recipe import Recipe
from adamms.ray_session import ray_session
from adamms.searching.alphas import Line, check_alphas
from adamms.searching.judging import Judgement, judge, read_labels
from adamms.searching.labelled import answer_as_baselines, answer_as_donor, answer_labelled
from adamms.searching.lmms_evaluate import check_lmms_eval, run_lmms_eval
from adamms.searching.run_folder import RunFolder, answer_identity
from adamms.searching.table import judgement_table, methods_table
from adamms.searching.tasks import all_prompts, load_tasks
from adamms.tracking import SearchTracker, Story, search_parameters, write_report

LOG = logging.getLogger(__name__)


@pipeline
def main(settings: EvaluateSettings, force: bool) -> None:
    line = Line.searched(Recipe.of(settings.merging, settings.searching.alpha), settings.searching.coefficient)
    alphas = check_alphas(settings.searching.alphas, line)
    winner = Path(settings.run_dir, "merged")
    check_lmms_eval(settings.lmms_eval, winner)
    tasks = load_tasks(settings.labelled)
    labels = {task: read_labels(path, tasks[task], prefix=task) for task, path in paths_of(settings).items()}
    pair = plan_pair(settings if line.recipe.rule.needs_ancestor else replace(settings, ancestor=None))
    search = RunFolder(Path(settings.run_dir), answer_identity(pair.plan, line, settings.engine))
    selections = read_selections(search.selection_file, list(tasks))

    prompts = all_prompts({task: tasks[task] for task in selections})
    with ray_session(settings.ray.address):
        alphas = sorted({*alphas, *(selection["alpha"] for selection in selections.values())})
        candidates = answer_labelled(settings, pair, line, alphas, prompts)
        donor = answer_as_donor(settings, pair, prompts)
        baselines = answer_as_baselines(settings, settings.baselines, prompts)
    judgements = {}
    for task, selection in selections.items():
        scores = {float(alpha): score for alpha, score in selection["scores"].items()}
        judgements[0, task or name_of(settings)] = judge(
            selection["alpha"], scores, candidates, labels[task], donor, baselines
        )
    found = {task: judgement.to_json() for (_, task), judgement in judgements.items()}
    search.write_json(search.evaluation_file, found if settings.labelled.tasks else next(iter(found.values())))
    story = Story.of(search, pair.plan, all_prompts(load_tasks(settings.prompts)))
    params = search_parameters(settings, pair.plan)
    with SearchTracker(settings.tracking, search.search_key, params, search.folder) as tracker:
        log_judgements(tracker, {task: one for (_, task), one in judgements.items()}, bool(settings.labelled.tasks))
        page, *figures = write_report(story, search.folder)
        tracker.log_files([page, search.evaluation_file])
        tracker.log_files(figures, "figures")
    console = Console()
    console.print(judgement_table({task: judgement for (_, task), judgement in judgements.items()}))
    if settings.baselines or len(judgements) > 1:
        console.print(methods_table(judgements))
    if settings.lmms_eval.tasks:
        run_lmms_eval(settings.lmms_eval, winner, Path(settings.run_dir, "lmms-eval"))


def paths_of(settings: EvaluateSettings) -> dict[str, Path]:
    """The labelled file of every task, as `load_tasks` names them."""
    return {task: Path(path) for task, path in (settings.labelled.tasks or {"": settings.labelled.path}).items()}


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
