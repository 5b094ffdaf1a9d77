"""Several donors at once: the weights that a search finds without labels, beside labels, equal weights and one donor.

    python -m pipelines.experiments.family --config conf/family.yaml [key=value ...]      (make family)

For every seed the family is trained (`tiny_family.py`) unless it is there; then it is searched by each criterion, and
once with a few labels. What each choice is worth is judged by other labelled prompts, which no search has seen.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

from adamms.cli import program
from adamms.commands.search import search
from adamms.commands.settings import SearchSettings
from adamms.prompts.config import PromptsConfig
from adamms.prompts.labels import Label, read_labels
from adamms.prompts.prompt import Prompt, load_prompts
from adamms.reporting.tables import markdown_row
from adamms.runs.values import format_value, normalize_value
from adamms.searching.answering import answer_all
from adamms.searching.study import Study
from adamms.searching.warm_engines import WarmEngines
from adamms.support.files import write_json, write_whole
from adamms.support.ray_session import ray_session
from adamms.tracking.config import TrackingConfig
from pipelines.experiments.settings import FamilySettings
from pipelines.experiments.tiny_family import DONORS

Weights = tuple[float, ...]
BASE, EQUAL, LABELS = "the base", "equal weights", "searched with labels"
BEST_ONE, BEST = "best single donor, by the judging labels", "best of all that were asked, by the judging labels"


@dataclass(frozen=True)
class Choice:
    """What one way of choosing came to in one family.

    Attributes:
        accuracy: on the judging prompts, in percent.
        candidates: sets of weights that it asked.
    """

    weights: Weights
    accuracy: float
    candidates: int


def make_family(folder: Path, seed: int) -> Path:
    """The family of one seed, trained unless it stands there."""
    family = folder / f"family-{seed}"
    if not (family / "labelled").is_dir():  # written last
        training = [sys.executable, "-m", "pipelines.experiments.tiny_family"]
        subprocess.run([*training, "--output", str(family), "--seed", str(seed)], check=True)
    return family


def choices_of(settings: FamilySettings, family: Path) -> dict[str, Choice]:
    """Every way of choosing, by its name."""
    found = {f"searched by {metric}": searched(settings, family, metric) for metric in settings.metrics}
    found[LABELS] = searched(settings, family, settings.metrics[0], with_labels=True)
    points = {point for selection in found.values() for point in points_of(selection)}
    equal = (normalize_value(1 / (len(DONORS) + 1)),) * len(DONORS)
    accuracy = judged(settings, family, points | {equal})
    single = {point for point in points if sum(map(bool, point)) <= 1}
    first = settings.metrics[0]
    of_one = found[f"searched by {first}"]["path"][: len(DONORS)]
    chosen = {name: (tuple(one["weights"].values()), one["candidates"]) for name, one in found.items()}
    chosen |= {
        f"single donor, by {first}": (best_line(of_one), sum(len(one["scores"]) - 1 for one in of_one) + 1),
        EQUAL: (equal, 1),
        BASE: ((0.0,) * len(DONORS), 0),
        BEST_ONE: (max(sorted(single), key=lambda point: accuracy[point]), len(single)),
        BEST: (max(sorted(points), key=lambda point: accuracy[point]), len(points)),
    }
    return {name: Choice(point, accuracy[point], count) for name, (point, count) in chosen.items()}


def searched(settings: FamilySettings, family: Path, metric: str, with_labels: bool = False) -> dict[str, Any]:
    """`selection.json` of a search; one that was carried out is not carried out again."""
    name = f"labels-{metric}" if with_labels else metric
    labels = write_labels(settings, family) if with_labels else ""
    run = search(
        SearchSettings(
            base=str(family / "base"),
            donors=tuple(str(family / donor) for donor in DONORS),
            run_dir=str(family / "runs" / name),
            prompts=PromptsConfig(
                tasks={t: str(family / "prompts" / f"{t}.jsonl") for t in settings.tasks}, n=settings.prompts
            ),
            engine=settings.engine,
            searching=replace(settings.searching, metric=metric, labels=labels),
            ray=settings.ray,
            tracking=TrackingConfig(enabled=False),
        )
    ).run
    found: dict[str, Any] = run.read(run.selection)
    return found


def write_labels(settings: FamilySettings, family: Path) -> str:
    """The few labelled prompts that a search is told: the first of each task, which no choice is judged by."""
    file = family / "few.jsonl"
    rows = [row for task in settings.tasks for row in _labelled(family, task)[: settings.few]]
    write_whole(file, "".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def points_of(selection: Mapping[str, Any]) -> Iterator[Weights]:
    """All weights that a search asked."""
    for line in selection["path"]:
        for value in line["scores"]:
            weights = {**line["others"], line["donor"]: float(value)}
            yield tuple(normalize_value(weights.get(name, 0.0)) for name in selection["weights"])


def best_line(lines: Sequence[Mapping[str, Any]]) -> Weights:
    """Of the lines along one donor each, the candidate of the least score."""
    best = min(lines, key=lambda line: line["scores"][format_value(line["alpha"])])
    return tuple(best["alpha"] if line is best else 0.0 for line in lines)


def judged(settings: FamilySettings, family: Path, points: set[Weights]) -> dict[Weights, float]:
    """weights -> accuracy on labelled prompts that no search was told of, the mean of the tasks."""
    prompts, labels = _judging(settings, family)
    by_others: dict[Weights, list[float]] = {}
    for point in sorted(points):
        by_others.setdefault(point[1:], []).append(point[0])
    found = {}
    with WarmEngines(settings.ray) as engines:
        for others, values in by_others.items():
            alpha = ",".join(map(str, (0.0, *others)))
            study = Study.of(
                SearchSettings(
                    base=str(family / "base"),
                    donors=tuple(str(family / donor) for donor in DONORS),
                    run_dir=str(family / "judged"),
                    engine=settings.engine,
                    searching=replace(settings.searching, donor=1, alpha=alpha),
                )
            )
            book = answer_all(study, engines, values, prompts, f"x_{alpha}")
            for value in values:
                answers = book.answers_at(value)
                right = [labels[prompt.id].accepts(answers[prompt.id]) for prompt in prompts]
                found[(value, *others)] = 100 * mean(right)
    return found


def _judging(settings: FamilySettings, family: Path) -> tuple[list[Prompt], dict[str, Label]]:
    file = family / "judging.jsonl"
    last = settings.few + settings.labelled
    rows = [row for task in settings.tasks for row in _labelled(family, task)[settings.few : last]]
    write_whole(file, "".join(json.dumps(row) + "\n" for row in rows))
    prompts = load_prompts(PromptsConfig(path=str(file), n=len(rows)))
    return prompts, read_labels(file, prompts)


def _labelled(family: Path, task: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (family / "labelled" / f"{task}.jsonl").read_text().splitlines()]


def table(found: Mapping[int, Mapping[str, Choice]]) -> str:
    """Ways of choosing by families: accuracy and weights of each, the mean, and the candidates asked on average."""
    seeds = list(found)
    header = ["chosen", *(f"seed {seed}" for seed in seeds), "mean", "sets of weights asked"]
    lines = [markdown_row(header), markdown_row(["---"] + ["---:"] * (len(header) - 1))]
    for name in next(iter(found.values())):
        own = [found[seed][name] for seed in seeds]
        cells = [f"{one.accuracy:.1f} ({', '.join(map(format_value, one.weights))})" for one in own]
        asked = f"{mean(one.candidates for one in own):.0f}"
        lines.append(markdown_row([name, *cells, f"{mean(one.accuracy for one in own):.1f}", asked]))
    return "\n".join(lines) + "\n"


def run(settings: FamilySettings, force: bool) -> None:
    found = {}
    with ray_session(settings.ray.address):
        for seed in settings.seeds:
            found[seed] = choices_of(settings, make_family(Path(settings.folder), seed))
            rows = {name: vars(choice) for name, choice in found[seed].items()}
            write_json(Path(settings.folder, f"family-{seed}.json"), rows)
    text = table(found)
    write_whole(Path(settings.folder, "table.md"), text)
    print(text)


main = program(FamilySettings, run, __doc__)

if __name__ == "__main__":
    main()
