"""The pair's tasks as prompt files: unlabelled ones to search with, labelled ones to judge by, drawn apart."""

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pipelines.experiments.tiny.drawing import as_data_uri, draw_picture
from pipelines.experiments.tiny.questions import draw_question
from pipelines.experiments.tiny.world import draw_scene

TASKS = (
    *("colour-plain", "colour-french", "colour-fruit"),
    *("position-plain", "position-french", "position-fruit"),
    *("row-plain", "row-french", "row-fruit"),
    *("count-plain", "count-french"),
)
"""`kind-style`: what is asked and how it is to be answered."""


BENCHMARK = {"position-plain": 40, "colour-french": 30, "colour-fruit": 30}
"""Of a hundred questions that are asked together, how many of each task: the base is good at the first of them, the
donor at the others."""


def write_benchmark(
    file: Path, seed: int, lines: int, stream: str = "prompts", shares: Mapping[str, int] = BENCHMARK
) -> None:
    """Questions of several tasks in one file.

    Args:
        stream: what scenes they are about; of any but `prompts` each line has its `answer`.
        shares: task -> how many of a hundred are its.
    """
    counts, labelled = {task: share * lines // 100 for task, share in shares.items()}, stream != "prompts"
    rows = [row for task, count in counts.items() for row in _records(task, f"{stream}/{seed}", count, labelled)]
    file.write_text(_lines(rows), encoding="utf-8")


def write_prompts(folder: Path, seed: int, lines: int, labelled: bool = False, tasks: Sequence[str] = TASKS) -> None:
    """One `<task>.jsonl` for each task; with `labelled` of other scenes, and each line has its `answer`."""
    folder.mkdir(parents=True, exist_ok=True)
    for task in tasks:
        rows = _records(task, f"{'labelled' if labelled else 'prompts'}/{seed}", lines, labelled)
        (folder / f"{task}.jsonl").write_text(_lines(rows), encoding="utf-8")


def _lines(rows: Iterable[dict[str, object]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _records(task: str, stream: str, lines: int, labelled: bool) -> Iterator[dict[str, object]]:
    kind, style = task.split("-")
    rng = random.Random(f"{stream}/{task}")
    for number in range(lines):
        scene = draw_scene(rng)
        question = draw_question(rng, scene, kind, style)
        images = [as_data_uri(draw_picture(scene))]
        row: dict[str, object] = {"id": f"{task}-{number:04}", "prompt": question.text(), "images": images}
        yield {**row, "answer": question.answer(scene)} if labelled else row
