"""Cases to judge choices on: tasks of the tiny pair, answered by every candidate, both parents, and baselines."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from adamms.engines.noise import Noise, noise_floor
from adamms.errors import UserError
from adamms.prompts.config import PromptsConfig
from adamms.prompts.labels import Label, read_labels
from adamms.prompts.prompt import Prompt, load_prompts
from adamms.prompts.tasks import all_prompts
from adamms.runs.responses import Responses
from adamms.searching.answering import answer_all, answer_by_baselines, answer_by_donor
from adamms.searching.config import StudySettings
from adamms.searching.events import Events
from adamms.searching.parents import Scoring
from adamms.searching.study import Study
from adamms.searching.warm_engines import WarmEngines
from adamms.selecting.criteria import get_criterion
from pipelines.experiments.real_pair import DONORS
from pipelines.experiments.settings import CasesSettings
from pipelines.experiments.tiny.recipes import RECIPES

Told = TypeVar("Told")
MAKERS = {name: ("pipelines.experiments.tiny_pair", "--recipe", name) for name in RECIPES} | {
    f"real-{kind}": ("pipelines.experiments.real_pair", "--donor", kind) for kind in DONORS
}
"""Recipe -> the module that makes a pair by it, and its arguments."""


@dataclass(frozen=True)
class Case:
    """One task of one pair.

    Attributes:
        pair: what the pair is called: its recipe and seed.
        questions: prompt id -> text, of the unlabelled prompts.
        responses: the candidates' answers to the unlabelled prompts, which choices are made by.
        donor: the donor's own.
        labels: prompt id -> right answer, of the labelled prompts that choices are judged by.
        judged: the candidates' answers to those.
        judged_donor, judged_baselines: the donor's own, and those of other methods.
        spare: prompt id -> right answer, of further labelled prompts, which a search may be told.
        answered: the candidates' answers to those.
        others: other merge methods -> their candidates' answers to the unlabelled and to the labelled prompts.
    """

    pair: str
    task: str
    questions: Mapping[str, str]
    responses: Responses
    donor: Mapping[str, str]
    labels: Mapping[str, Label]
    judged: Responses
    judged_donor: Mapping[str, str]
    judged_baselines: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    spare: Mapping[str, Label] = field(default_factory=dict)
    answered: Responses = field(default_factory=dict)
    others: Mapping[str, tuple[Responses, Responses]] = field(default_factory=dict)


def make_pair(folder: Path, name: str) -> Path:
    """A pair in a folder of that name, trained unless it stands there: in a process of its own, so that nothing that
    happened here can change its numbers.

    Args:
        name: its recipe and seed, such as complementary-1.

    Raises:
        UserError: there is no such recipe, or no seed.
    """
    pair, (recipe, _, seed) = folder / name, name.rpartition("-")
    if recipe not in MAKERS or not seed.isdecimal():
        raise UserError(f"pairs: {name}: expected a recipe ({', '.join(MAKERS)}) and a seed, such as complementary-1")
    if not (pair / "labelled").is_dir():  # written last
        training = [sys.executable, "-m", *MAKERS[recipe]]
        subprocess.run([*training, "--output", str(pair), "--seed", seed], check=True)
    return pair


def answer_cases(
    settings: CasesSettings,
    pair: Path,
    criteria: Sequence[str] = (),
    spare: int = 0,
    methods: Mapping[str, Sequence[float]] = MappingProxyType({}),
) -> Iterator[Case]:
    """Every task of one pair. The tasks share engines, and answers are stored, so that they are given only once.

    Args:
        criteria: that will choose; where one asks for it, base and donor score the candidates' answers.
        spare: how many labelled prompts of each task are set apart (`Case.spare`).
        methods: other merge methods -> their alphas (`Case.others`).
    """
    study, asked = study_of(settings, pair), _asked(settings, pair)
    labelled = {
        task: load_prompts(PromptsConfig(path=str(pair / "labelled" / f"{task}.jsonl"), n=settings.labelled))
        for task in asked
    }
    prompts, judging = all_prompts(asked), all_prompts(labelled)  # ids name the task
    values = study.coefficient.check(study.settings.searching.alphas)
    known = settings.baselines if study.settings.ancestor else ()
    with WarmEngines(settings.ray) as engines:
        responses = answer_all(study, engines, values, prompts, "responses").responses(values, prompts)
        judged = answer_all(study, engines, values, judging, "judged").responses(values, judging)
        baselines = answer_by_baselines({name: study.of_method(name) for name in known}, engines, judging)
        others = {
            name: _of_method(study.of_method(name), engines, alphas, prompts, judging)
            for name, alphas in methods.items()
        }
        if any(get_criterion(name).asks_scores for name in criteria):
            scoring, _ = Scoring.of(study, asked, force=True)
            scores = scoring.by(engines, prompts, Events((), study.run))
            scores.score([responses, *(answers for answers, _ in others.values())])
            responses = scores(responses)
            others = {name: (scores(answers), right) for name, (answers, right) in others.items()}
        donor = answer_by_donor(study, engines, prompts, "donor")
        judged_donor = answer_by_donor(study, engines, judging, "judged-donor")
    for task, questions in asked.items():
        few, rest = labelled[task][:spare], labelled[task][spare:]
        labels = read_labels(pair / "labelled" / f"{task}.jsonl", labelled[task])
        yield Case(
            pair=pair.name,
            task=task,
            questions={prompt.id: prompt.text for prompt in questions},
            responses=_of(responses, questions),
            donor=_only(donor, questions),
            labels=_only(labels, rest),
            judged=_of(judged, rest),
            judged_donor=_only(judged_donor, rest),
            judged_baselines={name: _only(answers, rest) for name, answers in baselines.items()},
            spare=_only(labels, few),
            answered=_of(judged, few),
            others={name: (_of(own, questions), _of(right, rest)) for name, (own, right) in others.items()},
        )


def _of_method(
    study: Study, engines: WarmEngines, alphas: Sequence[float], prompts: Sequence[Prompt], judging: Sequence[Prompt]
) -> tuple[Responses, Responses]:
    """What the candidates of a method answer to the unlabelled and to the labelled prompts."""
    name = study.coefficient.recipe.method
    asked = {f"responses-{name}": prompts, f"judged-{name}": judging}
    one, other = (
        answer_all(study, engines, alphas, those, kept).responses(alphas, those) for kept, those in asked.items()
    )
    return one, other


def noise_of(settings: CasesSettings, pair: Path, chosen: Mapping[str, float]) -> dict[str, Noise]:
    """task -> how many answers of its chosen candidate differ by chance (chosen: task -> alpha)."""
    study, asked = study_of(settings, pair), _asked(settings, pair)
    with WarmEngines(settings.ray) as engines:
        engines.serve(study.engine)
        return {
            task: noise_floor(engines.pool, study.coefficient.candidate(alpha), asked[task], settings.engine.block_size)
            for task, alpha in chosen.items()
        }


def study_of(settings: CasesSettings, pair: Path) -> Study:
    """The study of one pair's folder."""
    ancestor = pair / "ancestor"
    one = StudySettings(
        base=str(pair / "base"),
        donor=str(pair / "donor"),
        ancestor=str(ancestor) if ancestor.is_dir() else None,
        run_dir=str(pair / "run"),
        engine=settings.engine,
        searching=settings.searching,
        ray=settings.ray,
    )
    return Study.of(one)


def _asked(settings: CasesSettings, pair: Path) -> dict[str, list[Prompt]]:
    """The unlabelled prompts, by task."""
    tasks = settings.tasks or sorted(file.stem for file in (pair / "prompts").glob("*.jsonl"))
    files = {task: pair / "prompts" / f"{task}.jsonl" for task in tasks}
    return {task: load_prompts(PromptsConfig(path=str(file), n=settings.prompts)) for task, file in files.items()}


def _of(responses: Responses, prompts: Sequence[Prompt]) -> Responses:
    return {value: _only(answers, prompts) for value, answers in responses.items()}


def _only(answers: Mapping[str, Told], prompts: Sequence[Prompt]) -> dict[str, Told]:
    return {prompt.id: answers[prompt.id] for prompt in prompts}
