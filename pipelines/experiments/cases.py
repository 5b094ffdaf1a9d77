"""Cases to judge choices on: tasks of the tiny pair, answered by every candidate, both parents, and baselines."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from adamms.commands.settings import EvaluateSettings
from adamms.engines.engine import EngineSpec
from adamms.engines.noise import Noise, noise_floor
from adamms.judging.judgement import read_labels
from adamms.judging.labelled import answer_as_baselines, answer_as_donor, answer_labelled
from adamms.mapping import plan_pair
from adamms.merging.recipe import Recipe
from adamms.prompts.config import PromptsConfig
from adamms.prompts.prompt import Prompt, load_prompts
from adamms.prompts.tasks import all_prompts
from adamms.runs.responses import Responses
from adamms.runs.run_folder import RunFolder, answer_identity
from adamms.searching.answering import Engines, answer_all
from adamms.searching.coefficient import Line, check_alphas
from pipelines.experiments.settings import ReproduceSettings

TRAINING = "pipelines.experiments.tiny_pair"


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
        subprocess.run([sys.executable, "-m", TRAINING, "--output", str(pair), "--seed", str(seed)], check=True)
    return pair


def answer_cases(settings: ReproduceSettings, pair_folder: Path, seed: int) -> Iterator[Case]:
    """Every task of one pair. The tasks share engines, and answers are stored, so that they are given only once."""
    one = _settings_of(settings, pair_folder)
    alphas, line = check_alphas(one.searching.alphas), Line(Recipe())
    pair = plan_pair(replace(one, ancestor=None))
    asked = _asked(settings, pair_folder)
    labelled = {
        task: load_prompts(PromptsConfig(path=str(pair_folder / "labelled" / f"{task}.jsonl"), n=settings.labelled))
        for task in settings.tasks
    }
    prompts, judging = all_prompts(asked), all_prompts(labelled)  # ids name the task

    run = RunFolder(Path(one.run_dir), answer_identity(pair.plan, line, one.engine))
    spec = EngineSpec(pair.plan, one.engine)
    responses = answer_all(spec, line, alphas, prompts, run, one.ray).responses(alphas, prompts)
    donor = answer_as_donor(one, pair, prompts, "donor")
    judged = answer_labelled(one, pair, line, alphas, judging)
    judged_donor = answer_as_donor(one, pair, judging)
    baselines = answer_as_baselines(one, settings.baselines if one.ancestor else (), judging)
    for task in settings.tasks:
        yield Case(
            seed=seed,
            task=task,
            questions={prompt.id: prompt.text for prompt in asked[task]},
            responses={alpha: _only(answers, asked[task]) for alpha, answers in responses.items()},
            donor=_only(donor, asked[task]),
            labels=read_labels(pair_folder / "labelled" / f"{task}.jsonl", labelled[task]),
            judged={alpha: _only(answers, labelled[task]) for alpha, answers in judged.items()},
            judged_donor=_only(judged_donor, labelled[task]),
            judged_baselines={name: _only(answers, labelled[task]) for name, answers in baselines.items()},
        )


def noise_of(settings: ReproduceSettings, pair_folder: Path, chosen: Mapping[str, float]) -> dict[str, Noise]:
    """task -> how many answers of its chosen candidate differ by chance (chosen: task -> alpha)."""
    one = _settings_of(settings, pair_folder)
    asked, line = _asked(settings, pair_folder), Line(Recipe())
    with Engines(one.ray) as engines:
        engines.serve(EngineSpec(plan_pair(replace(one, ancestor=None)).plan, one.engine))
        return {
            task: noise_floor(engines.pool, line.at(alpha), asked[task], one.engine.block_size)
            for task, alpha in chosen.items()
        }


def _settings_of(settings: ReproduceSettings, pair_folder: Path) -> EvaluateSettings:
    ancestor = pair_folder / "ancestor"
    return EvaluateSettings(
        base=str(pair_folder / "base"),
        donor=str(pair_folder / "donor"),
        ancestor=str(ancestor) if ancestor.is_dir() else None,
        run_dir=str(pair_folder / "run"),
        engine=settings.engine,
        searching=settings.searching,
        ray=settings.ray,
    )


def _asked(settings: ReproduceSettings, pair_folder: Path) -> dict[str, list[Prompt]]:
    """All unlabelled prompts, by task."""
    files = {task: pair_folder / "prompts" / f"{task}.jsonl" for task in settings.tasks}
    return {task: load_prompts(PromptsConfig(path=str(file), n=10**6)) for task, file in files.items()}


def _only(answers: Mapping[str, str], prompts: Sequence[Prompt]) -> dict[str, str]:
    return {prompt.id: answers[prompt.id] for prompt in prompts}
