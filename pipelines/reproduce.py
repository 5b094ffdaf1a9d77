"""The paper's claim on the tiny pair: for several seeds and tasks, the alpha chosen without labels beside the labels.

    python pipelines/reproduce.py --config conf/reproduce.yaml [key=value ...]      (make reproduce)

For every seed the pair is trained (minutes on one core) unless it is there; then all tasks are searched and judged
with one engine. Prints the table that the README shows, in Markdown.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from adamms.cli import pipeline
from adamms.config import EvaluateSettings, PromptsConfig, ReproduceSettings
from adamms.errors import UserError
from adamms.generation.engine import EngineSpec
from adamms.generation.prompts import Prompt, load_prompts
from adamms.mapping import plan_pair
from adamms.merging.recipe import Recipe
from adamms.ray_session import ray_session
from adamms.searching.alphas import Line, check_alphas
from adamms.searching.answering import answer_all
from adamms.searching.judging import Judgement, judge, read_labels
from adamms.searching.labelled import answer_as_donor, answer_labelled
from adamms.searching.responses import Responses
from adamms.searching.run_folder import RunFolder, answer_identity
from adamms.searching.selection import select
from adamms.searching.table import judgement_markdown


@pipeline
def main(settings: ReproduceSettings, force: bool) -> None:
    judgements: dict[tuple[int, str], Judgement] = {}
    with ray_session(settings.ray.address):
        for seed in settings.seeds:
            pair = make_pair(Path(settings.folder), seed)
            for task, judgement in judge_tasks(settings, pair, seed).items():
                judgements[seed, task] = judgement
    table = judgement_markdown(judgements)
    Path(settings.folder, "table.md").write_text(table, encoding="utf-8")
    print(table)


def make_pair(folder: Path, seed: int) -> Path:
    """The pair of one seed, trained unless it stands there."""
    pair = folder / f"pair-{seed}"
    if not (pair / "labelled").is_dir():  # written last
        script = Path(__file__).with_name("demo_pair.py")
        subprocess.run([sys.executable, str(script), "--output", str(pair), "--seed", str(seed)], check=True)
    return pair


def judge_tasks(settings: ReproduceSettings, folder: Path, seed: int) -> dict[str, Judgement]:
    """Searches and judges every task of one pair; its tasks share engines, each gets its own alpha (paper, 3.3)."""
    one = EvaluateSettings(
        base=str(folder / "base"),
        donor=str(folder / "donor"),
        run_dir=str(folder / "run"),
        engine=settings.engine,
        searching=settings.searching,
        ray=settings.ray,
    )
    alphas = check_alphas(one.searching.alphas)
    pair, line = plan_pair(one), Line(Recipe())
    unlabelled = {task: load_prompts(prompts_of(folder / "prompts", task)) for task in settings.tasks}
    labelled = {task: load_prompts(prompts_of(folder / "labelled", task)) for task in settings.tasks}
    run = RunFolder(Path(one.run_dir), answer_identity(pair.plan, line, one.engine))
    spec = EngineSpec(pair.plan, one.engine)
    asked = all_of(unlabelled)
    answers = answer_all(spec, line, alphas, asked, run, engine=one.engine, ray=one.ray).responses(alphas, asked)
    judged = answer_labelled(one, pair, line, alphas, all_of(labelled))
    donor = answer_as_donor(one, pair, all_of(labelled))
    found = {}
    for task in settings.tasks:
        selection = select(only(answers, unlabelled[task]), one.searching.metric)
        if selection.alpha is None:
            raise UserError(f"{task}: {selection.verdict}")
        labels = read_labels(folder / "labelled" / f"{task}.jsonl", labelled[task])
        found[task] = judge(selection.alpha, selection.scores, only(judged, labelled[task]), labels, donor)
    return found


def prompts_of(folder: Path, task: str) -> PromptsConfig:
    """All prompts of a task."""
    return replace(PromptsConfig(), path=str(folder / f"{task}.jsonl"), n=10**6)


def all_of(prompts: dict[str, list[Prompt]]) -> list[Prompt]:
    """The prompts of all tasks; their ids name the task, so they stay apart."""
    return [prompt for task in prompts.values() for prompt in task]


def only(responses: Responses, prompts: list[Prompt]) -> Responses:
    """The responses to one task's prompts."""
    return {alpha: {prompt.id: found[prompt.id] for prompt in prompts} for alpha, found in responses.items()}


if __name__ == "__main__":
    main()
