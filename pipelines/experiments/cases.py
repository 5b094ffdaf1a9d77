"""Cases to judge choices on: tasks of the tiny pair, answered by every candidate, both parents, and baselines."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adamms.engines.noise import Noise, noise_floor
from adamms.prompts.config import PromptsConfig
from adamms.prompts.labels import read_labels
from adamms.prompts.prompt import Prompt, load_prompts
from adamms.prompts.tasks import all_prompts
from adamms.runs.responses import Responses
from adamms.searching.answering import answer_all, answer_by_baselines, answer_by_donor
from adamms.searching.config import StudySettings
from adamms.searching.study import Study
from adamms.searching.warm_engines import WarmEngines
from pipelines.experiments.settings import ReproduceSettings


@dataclass(frozen=True)
class Case:
    """One task of one pair.

    Attributes:
        questions: prompt id -> text, of the unlabelled prompts.
        responses: the candidates' answers to the unlabelled prompts, which choices are made by.
        donor: the donor's own.
        labels: prompt id -> answer, of the labelled prompts.
        judged: the candidates' answers to the labelled prompts.
        judged_donor, judged_baselines: the donor's own, and those of other methods.
    """

    seed: int
    task: str
    questions: Mapping[str, str]
    responses: Responses
    donor: Mapping[str, str]
    labels: Mapping[str, str]
    judged: Responses
    judged_donor: Mapping[str, str]
    judged_baselines: Mapping[str, Mapping[str, str]]


def make_pair(folder: Path, seed: int) -> Path:
    """The pair of one seed, trained unless it stands there: in a process of its own, so that nothing that happened here
    can change its numbers."""
    pair = folder / f"pair-{seed}"
    if not (pair / "labelled").is_dir():  # written last
        training = [sys.executable, "-m", "pipelines.experiments.tiny_pair"]
        subprocess.run([*training, "--output", str(pair), "--seed", str(seed)], check=True)
    return pair


def answer_cases(settings: ReproduceSettings, pair: Path, seed: int) -> Iterator[Case]:
    """Every task of one pair. The tasks share engines, and answers are stored, so that they are given only once."""
    study, asked = study_of(settings, pair), _asked(settings, pair)
    labelled = {
        task: load_prompts(PromptsConfig(path=str(pair / "labelled" / f"{task}.jsonl"), n=settings.labelled))
        for task in settings.tasks
    }
    prompts, judging = all_prompts(asked), all_prompts(labelled)  # ids name the task
    values = study.coefficient.check(study.settings.searching.alphas)
    methods = settings.baselines if study.settings.ancestor else ()
    with WarmEngines(settings.ray) as engines:
        responses = answer_all(study, engines, values, prompts, "responses").responses(values, prompts)
        judged = answer_all(study, engines, values, judging, "judged").responses(values, judging)
        baselines = answer_by_baselines({name: study.of_method(name) for name in methods}, engines, judging)
        donor = answer_by_donor(study, engines, prompts, "donor")
        judged_donor = answer_by_donor(study, engines, judging, "judged-donor")
    for task in settings.tasks:
        yield Case(
            seed=seed,
            task=task,
            questions={prompt.id: prompt.text for prompt in asked[task]},
            responses={alpha: _only(answers, asked[task]) for alpha, answers in responses.items()},
            donor=_only(donor, asked[task]),
            labels=read_labels(pair / "labelled" / f"{task}.jsonl", labelled[task]),
            judged={alpha: _only(answers, labelled[task]) for alpha, answers in judged.items()},
            judged_donor=_only(judged_donor, labelled[task]),
            judged_baselines={name: _only(answers, labelled[task]) for name, answers in baselines.items()},
        )


def noise_of(settings: ReproduceSettings, pair: Path, chosen: Mapping[str, float]) -> dict[str, Noise]:
    """task -> how many answers of its chosen candidate differ by chance (chosen: task -> alpha)."""
    study, asked = study_of(settings, pair), _asked(settings, pair)
    with WarmEngines(settings.ray) as engines:
        engines.serve(study.engine)
        return {
            task: noise_floor(engines.pool, study.coefficient.candidate(alpha), asked[task], settings.engine.block_size)
            for task, alpha in chosen.items()
        }


def study_of(settings: ReproduceSettings, pair: Path) -> Study:
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


def _asked(settings: ReproduceSettings, pair: Path) -> dict[str, list[Prompt]]:
    """All unlabelled prompts, by task."""
    files = {task: pair / "prompts" / f"{task}.jsonl" for task in settings.tasks}
    return {task: load_prompts(PromptsConfig(path=str(file), n=10**6)) for task, file in files.items()}


def _only(answers: Mapping[str, str], prompts: Sequence[Prompt]) -> dict[str, str]:
    return {prompt.id: answers[prompt.id] for prompt in prompts}
