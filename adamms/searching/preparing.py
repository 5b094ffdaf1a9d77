"""Checking a search before anything starts: what it asks and chooses by, and whom its folder belongs to."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from adamms.engines.lengths import fitting_prompts
from adamms.merging.staging import check_output
from adamms.merging.to_disk import check_apart
from adamms.prompts.labels import Label, Labelled, load_labelled
from adamms.prompts.prompt import Prompt
from adamms.prompts.tasks import Tasks, all_prompts, load_tasks
from adamms.runs.answers import Answers
from adamms.runs.costs import Costs
from adamms.runs.ownership import REFINE, as_stored, must_give_way, without_refine
from adamms.runs.run_folder import RunFolder
from adamms.searching.budget import Budget
from adamms.searching.coefficient import SearchedCoefficient
from adamms.searching.config import StudySettings
from adamms.searching.goal import ChoiceRule
from adamms.searching.parents import Scoring
from adamms.searching.study import ITSELF, Study
from adamms.selecting.criteria import Criterion, get_criterion
from adamms.selecting.divergence import endpoints_of
from adamms.support.progress import doing

LABELLED = "labelled"
"""Folder of the answers to labelled prompts."""


@dataclass(frozen=True)
class Asked:
    """What is asked: prompts that everybody who is to read them can take, and who that is beside the candidates.

    Attributes are those of `Search`.
    """

    tasks: Tasks
    donors: list[tuple[Study, Answers]]
    scoring: Scoring | None
    labelled: tuple[Labelled, Answers] | None

    @classmethod
    def of(
        cls,
        study: Study,
        criterion: Criterion,
        tasks: Tasks,
        force: bool = False,
        parents: RunFolder | None = None,
        weights: bool = True,
    ) -> Self:
        """Measures the prompts with the processors of base and donors.

        Args:
            force, parents: as `prepare` takes them.
            weights: as `fitting_prompts` takes it.

        Raises:
            UserError: prompts do not fit, labels cannot be used, or scores of another engine are stored.
        """
        on_error, donors = study.settings.prompts.on_error, []
        with doing("measuring the prompts with the base's processor"):
            tasks = {
                name: fitting_prompts(prompts, study.engine, on_error, weights=weights)
                for name, prompts in tasks.items()
            }
        of_parents = replace(study, run=parents or study.run)
        if criterion.asks_donor:
            donors = [(one, one.answers(name, force)) for name, one in of_parents.of_donors().items()]
        for donor, _ in donors:
            who = f"donor {donor.pair.base.location}: "
            tasks = {
                name: fitting_prompts(prompts, donor.engine, on_error, who, weights) for name, prompts in tasks.items()
            }
        scoring = None
        if criterion.asks_scores:
            scoring, tasks = Scoring.of(of_parents, tasks, force, weights)
        labelled = with_answers(study, force, weights) if study.settings.searching.labels else None
        return cls(tasks, donors, scoring, labelled)


@dataclass(frozen=True)
class Search:
    """A search that was checked: everything the user can mend has been found, no engine was started.

    Attributes:
        values: of the coefficient, to begin with.
        donors: each donor as a study of its own, and its answers, where the criterion asks it.
        labelled: a few labelled prompts, and where the candidates' answers to them are stored.
        scoring: what lets base and donor score the candidates' answers, where the criterion asks for that.
        same: what makes it this search and no other (`same_search`).
    """

    study: Study
    values: list[float]
    rule: ChoiceRule
    tasks: Tasks
    answers: Answers
    donors: list[tuple[Study, Answers]]
    scoring: Scoring | None
    labelled: tuple[Labelled, Answers] | None
    costs: Costs
    same: dict[str, Any]

    @property
    def key(self) -> str:
        """Identifies it among all that ever went to one dashboard; further rounds of it have the same."""
        same = without_refine(self.same)
        text = json.dumps([str(self.run.folder.resolve()), self.run.latest, same], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def prompts(self) -> list[Prompt]:
        """Of all tasks."""
        return all_prompts(self.tasks)

    @property
    def run(self) -> RunFolder:
        """Where its results go."""
        return self.study.run


def prepare(settings: StudySettings, force: bool = False, parents: RunFolder | None = None) -> Search:
    """Reads prompts and headers, and checks all settings.

    Args:
        force: sets aside what another search left in `run_dir`.
        parents: where base's and donor's answers and scores are kept, where several searches share them.

    Raises:
        UserError: the first thing to mend.
    """
    coefficient = SearchedCoefficient.of(settings.merging, settings.searching)
    values = coefficient.check(settings.searching.alphas)
    rule = ChoiceRule.of(
        settings.searching, values, Budget(settings.budget).limited, coefficient.limits, coefficient.with_base
    )
    with doing("reading the prompts"):
        tasks = load_tasks(settings.prompts)
    started = time.perf_counter()
    with doing("opening the models and planning the merge"):
        study = Study.of(settings)
    mapping = time.perf_counter() - started
    asked = Asked.of(study, rule.criterion, tasks, force, parents)
    check_places(study, list(tasks))
    answers, costs = study.answers(force=force), Costs(study.run.costs)
    found = Search(
        study, values, rule, asked.tasks, answers, asked.donors, asked.scoring, asked.labelled, costs, same={}
    )
    found = _owning(found, force)
    found.costs.add("mapping", mapping)
    return found


def prepare_along(first: Search, settings: StudySettings, force: bool = False) -> Search:
    """A search of the same models, prompts and parents in another folder, with another alpha searched: what the first
    one read is not read again.

    Raises:
        UserError: as `prepare`.
    """
    coefficient = SearchedCoefficient.of(settings.merging, settings.searching)
    values = coefficient.check(settings.searching.alphas)
    rule = ChoiceRule.of(settings.searching, values, first.rule.in_blocks, coefficient.limits, coefficient.with_base)
    return _owning(replace(placed(first, settings, force), values=values, rule=rule), force)


def placed(first: Search, settings: StudySettings, force: bool = False) -> Search:
    """As `prepare_along`, only to keep answers of single candidates: its folder does not become that of a search."""
    coefficient = SearchedCoefficient.of(settings.merging, settings.searching)
    study = replace(first.study, settings=settings, coefficient=coefficient, run=RunFolder(Path(settings.run_dir)))
    labelled = (first.labelled[0], study.answers(LABELLED, force)) if first.labelled else None
    return replace(first, study=study, answers=study.answers(force=force), labelled=labelled)


def _owning(search: Search, force: bool) -> Search:
    """The search as that of its folder; another one's results there are set aside.

    Raises:
        UserError: there are such, and `force` is not set.
    """
    run, prompts, labelled = search.run, search.prompts, search.labelled
    same = same_search(search.study, search.values, search.tasks, labelled[0] if labelled else None)
    others = must_give_way(run, same, force)
    moved = [stored.check_owner([ITSELF], prompts) for _, stored in search.donors]
    if labelled:
        moved.append(labelled[1].check_owner(search.values, labelled[0].prompts))
    if search.answers.check_owner(search.values, prompts) or any(moved) or others:
        run.set_aside()
    return replace(search, costs=Costs(run.costs), same=same)


def own_whole(study: Study, same: Mapping[str, Any], force: bool) -> dict[str, Any]:
    """Takes the folder of a search that has several lines, as `_owning` does a line's.

    Args:
        study: any line's, in the folder of it all.

    Returns:
        What makes it this search and no other, as it is stored.

    Raises:
        UserError: another search's results are there, and `force` is not set; or the winner could not be written.
    """
    check_places(study, [""])
    found = as_stored(same)
    if must_give_way(study.run, found, force):
        study.run.set_aside()
    return found


def with_answers(study: Study, force: bool, weights: bool = True) -> tuple[Labelled, Answers]:
    """The labelled prompts of `searching.labels`, those that fit, and the store of the answers to them.

    Args:
        weights: as `fitting_prompts` takes it.

    Raises:
        UserError: the file cannot be used, or its prompts do not fit.
    """
    asked, searching, answers = study.settings.prompts, study.settings.searching, study.answers(LABELLED, force)
    found = load_labelled(searching.labels, asked, searching.match)
    fitting = fitting_prompts(found.prompts, study.engine, asked.on_error, "searching.labels: ", weights)
    return replace(found, prompts=fitting), answers


def same_search(
    study: Study, values: Sequence[float], tasks: Tasks, labelled: Labelled | None = None
) -> dict[str, Any]:
    """What makes a search this one: all that answers depend on but the engine, which they know themselves, and all
    that the choice does. Not: what it may cost, how work is shared out, who is told, where models and prompts lie."""
    searching, prompts = study.settings.searching, study.settings.prompts
    names = ["metric", "stop", "export", "extend"] + (["block", "confidence"] if searching.stop != "never" else [])
    return as_stored(
        {
            "command": "search",
            **study.asked(),
            **{f"prompts of {name}" if name else "prompts": _digest_of(asked) for name, asked in tasks.items()},
            "prompts.seed": prompts.seed,
            "searching.coefficient": study.coefficient.name,
            "searching.alphas": list(values),
            REFINE: list(searching.refine),
            "searching.endpoints": endpoints_of(
                get_criterion(searching.metric), searching.endpoints, labels=labelled is not None
            ),
            **({"searching.labels": _digest_of(labelled.prompts, labelled.labels)} if labelled else {}),
            **{f"searching.{name}": getattr(searching, name) for name in names},
        }
    )


def _digest_of(prompts: Sequence[Prompt], labels: Mapping[str, Label] | None = None) -> str:
    rows = (f"{prompt.id!r} {prompt.digest} {labels[prompt.id] if labels else ''}" for prompt in prompts)
    text = "".join(sorted(f"{row.rstrip()}\n" for row in rows))
    return f"{len(prompts)} ({hashlib.sha256(text.encode()).hexdigest()[:12]})"


def check_places(study: Study, tasks: Sequence[str]) -> None:
    """Raises UserError where the winners could not be written, or would replace what AdaMMS did not write."""
    each = study.settings.searching.export == "each" and len(tasks) > 1
    for folder in [study.run.merged / task for task in tasks] if each else [study.run.merged]:
        check_output(folder, force=True)
        check_apart(folder, study.pair.models)
