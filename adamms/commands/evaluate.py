"""`adamms evaluate`: judge a finished search by labelled prompts, or by lmms-eval."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from adamms.commands.settings import EvaluateSettings
from adamms.config import load_settings, load_yaml
from adamms.engines.lengths import fitting_prompts
from adamms.errors import UserError
from adamms.judging.judgement import Judgement, judge
from adamms.judging.lmms_eval import check_lmms_eval, run_lmms_eval
from adamms.prompts.config import PromptsConfig
from adamms.prompts.labels import Label, load_labelled, read_labels
from adamms.prompts.prompt import Prompt
from adamms.prompts.tasks import Tasks, all_prompts, load_tasks
from adamms.reporting.report import Story, write_report
from adamms.runs.lock import locked
from adamms.runs.ownership import as_stored, differences
from adamms.runs.run_folder import RunFolder
from adamms.searching.answering import answer_all, answer_by_baselines, answer_by_donor
from adamms.searching.coefficient import SearchedCoefficient
from adamms.searching.study import Study
from adamms.searching.warm_engines import WarmEngines
from adamms.searching.weights_settings import searches_weights
from adamms.support.files import expanded
from adamms.tracking import Tracking, where_it_is

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Judging:
    """What judges a search by labels, checked before anything starts.

    Attributes:
        tasks: the labelled prompts; the only task of a search has no name.
        labels: task -> prompt id -> what is right.
        selections: task -> what the search chose for it, where it chose something.
        files: task -> where its labels stand.
        searched: the prompts of the search, for its report.
    """

    study: Study
    tasks: Tasks
    labels: Mapping[str, Mapping[str, Label]]
    selections: Mapping[str, dict[str, Any]]
    files: Mapping[str, Path]
    searched: list[Prompt]


def evaluate(settings: EvaluateSettings) -> dict[str, Judgement]:
    """Judges every task that something was chosen for, and has lmms-eval evaluate the winner where it is asked to.

    Returns:
        Task -> judgement; the only task is called after its file.

    Raises:
        UserError: no finished search is there, labels are missing, or something else that the user can mend.
    """
    run, asked = RunFolder(Path(settings.run_dir)), settings.labelled
    check_lmms_eval(settings.lmms_eval, run.merged)
    labelled = asked.path or asked.tasks or settings.baselines or not settings.lmms_eval.tasks
    judging = prepare_judging(settings, run) if labelled else None
    tracking = where_it_is(settings.tracking, run)
    judgements: dict[str, Judgement] = {}
    with locked(run.folder):
        if judging is not None:
            found = judge_tasks(settings, judging)
            judgements = {task or judging.files[""].stem: judgement for task, judgement in found.items()}
            save(settings, judging, judgements)
        if settings.lmms_eval.tasks:
            figures = run_lmms_eval(settings.lmms_eval, run.merged, run.folder / "lmms-eval")
            run.write(run.lmms_eval, figures)
        with Tracking(tracking, run):
            pass  # delivers what is new
    return judgements


def prepare_judging(settings: EvaluateSettings, run: RunFolder) -> Judging:
    """Reads prompts, labels and what was chosen, and checks that all belong together.

    Raises:
        UserError: the first thing to mend.
    """
    asked = settings.labelled
    if not asked.path and not asked.tasks:
        raise UserError("labelled.path: not given; expected a JSONL file with `prompt` and `answer`")
    check_one_line(settings, run)
    tasks = load_tasks(asked)
    files = {task: Path(asked.tasks[task] if task else asked.path) for task in tasks}
    labels = {task: read_labels(file, tasks[task], task, settings.searching.match) for task, file in files.items()}
    warn_of_known(settings, tasks)
    selections = read_selections(run, list(tasks))
    searched = search_prompts(run, settings.prompts)
    study = Study.of(settings)
    check_same(run, study)
    tasks = {
        task: fitting_prompts(prompts, study.engine, asked.on_error, "labelled: ") for task, prompts in tasks.items()
    }
    labels = {task: {prompt.id: labels[task][prompt.id] for prompt in prompts} for task, prompts in tasks.items()}
    return Judging(study, tasks, labels, selections, files, searched)


def search_prompts(run: RunFolder, own: PromptsConfig) -> list[Prompt]:
    """The prompts of the search, by the settings that it left in its folder.

    Args:
        own: evaluate's settings, for a search that left none; of one whose prompts are elsewhere now, where they are.

    Raises:
        UserError: neither leads to prompts.
    """
    asked = own
    with suppress(UserError, KeyError):
        asked = load_settings(PromptsConfig, None, [], load_yaml(run.settings)["prompts"])
    try:
        return all_prompts(load_tasks(asked))
    except UserError as error:
        if not own.path and not own.tasks:
            raise UserError(
                f"the search's prompts, which its report shows: {error}; say where they are by prompts.path or "
                "prompts.tasks"
            ) from None
    return all_prompts(load_tasks(replace(asked, path=own.path, tasks=own.tasks)))


def check_one_line(settings: EvaluateSettings, run: RunFolder) -> None:
    """Raises UserError where candidates are those of several methods or donors, by the settings or in the folder."""
    with run.understood():
        same = run.same
    if settings.searching.methods or searches_weights(settings) or same.keys() & {"searching.methods", "lines"}:
        raise UserError(
            f"run_dir={run.folder}: a search over several methods or donors; labels judge one of its lines: take "
            f"the settings.yaml of one in {run.folder / RunFolder.METHODS} or {run.folder / RunFolder.LINES}"
        )


def warn_of_known(settings: EvaluateSettings, tasks: Tasks) -> None:
    """Says how many of the labelled prompts the search was given with their answers (`searching.labels`)."""
    file, asked = expanded(settings.searching.labels), settings.labelled
    if not settings.searching.labels or not file.is_file():
        return
    put_alike = replace(settings.prompts, suffix=asked.suffix, system=asked.system, on_error="skip")
    try:
        known = {prompt.digest for prompt in load_labelled(str(file), put_alike).prompts}
    except UserError as error:
        LOG.warning("whether labelled prompts are among searching.labels cannot be told: %s", error)
        return
    prompts = all_prompts(tasks)
    if count := sum(prompt.digest in known for prompt in prompts):
        LOG.warning(
            "%d of %d labelled prompts are among searching.labels: the choice was made by them, and looks better here "
            "than it is; judge it by others",
            *(count, len(prompts)),
        )


def check_same(run: RunFolder, study: Study) -> None:
    """Raises UserError where candidates would answer otherwise than they did in the search: with other models, merged
    otherwise, or asked otherwise."""
    with run.understood():
        same = run.same
        asked = as_stored(study.asked())
        different = differences({name: same[name] for name in asked if name in same}, asked) if same else []
    if different:
        raise UserError(
            f"run_dir={run.folder}: is of a search with other settings ({'; '.join(different)}); give those of the "
            f"search ({run.settings} has them)"
        )


def judge_tasks(settings: EvaluateSettings, judging: Judging) -> dict[str, Judgement]:
    """Has candidates, donor and baselines answer the labelled prompts; answers are stored as the search's are.

    Raises:
        UserError: the chosen candidate could not answer, or too few others.
    """
    study, chosen = judging.study, judging.selections
    prompts = all_prompts({task: judging.tasks[task] for task in chosen})
    asked = SearchedCoefficient.of(settings.merging, settings.searching).check(settings.searching.alphas)
    values = sorted({*asked, *(selection["alpha"] for selection in chosen.values())})
    methods = {method: study.of_method(method) for method in settings.baselines}
    with WarmEngines(settings.ray) as engines:
        book = answer_all(study, engines, values, prompts, "judged")
        for selection in chosen.values():
            book.answers_at(selection["alpha"])  # without them there is nothing to judge
        candidates = book.responses(values, prompts)
        baselines = answer_by_baselines(methods, engines, prompts)
        donor = answer_by_donor(study, engines, prompts, "judged-donor")
    found = {}
    for task, selection in chosen.items():
        scores = {float(value): score for value, score in selection["scores"].items()}
        found[task] = judge(selection["alpha"], scores, candidates, judging.labels[task], donor, baselines)
    return found


def save(settings: EvaluateSettings, judging: Judging, judgements: Mapping[str, Judgement]) -> None:
    """evaluation.json, and the report anew."""
    study, run = judging.study, judging.study.run
    found = {task: judgement.to_json() for task, judgement in judgements.items()}
    run.write(run.evaluation, found if settings.labelled.tasks else next(iter(found.values())))
    write_report(Story.of(run, study.pair.plan, judging.searched, study.answers()), run)


def read_selections(run: RunFolder, tasks: list[str]) -> dict[str, dict[str, Any]]:
    """What the search chose for each task; the one for all where it did not search that task by itself.

    Raises:
        UserError: there was no search, or it chose nothing for any of the tasks.
    """
    selection: dict[str, Any] | None = run.read(run.selection)
    if selection is None:
        raise UserError(f"{run.selection}: not found; run `adamms search` with the same settings first")
    with run.understood():
        found = {task: selection.get("tasks", {}).get(task, selection) for task in tasks}
        chosen = {task: one for task, one in found.items() if one["alpha"] is not None}
    if not chosen:
        raise UserError(
            f"{run.selection}: the search chose nothing, so there is no choice to judge ({selection['verdict']}); "
            "search again with smaller or other searching.alphas"
        )
    for task in found.keys() - chosen.keys():
        LOG.warning("%s is not judged: the search chose nothing for it (%s)", task, found[task]["verdict"])
    return chosen
