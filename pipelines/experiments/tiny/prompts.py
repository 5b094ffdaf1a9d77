"""The pair's tasks as prompt files: unlabelled ones to search with, labelled ones to judge by, drawn apart."""

import json
import random
from collections.abc import Iterator
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


def write_prompts(folder: Path, seed: int, lines: int) -> None:
    """One `<task>.jsonl` for each task, without answers."""
    _write(folder, f"prompts/{seed}", lines, ("id", "prompt", "images"))


def write_labelled(folder: Path, seed: int, lines: int) -> None:
    """One `<task>.jsonl` for each task, other scenes than the prompts', each line with its `answer`."""
    _write(folder, f"labelled/{seed}", lines, ("id", "prompt", "images", "answer"))


def _write(folder: Path, stream: str, lines: int, fields: tuple[str, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for task in TASKS:
        with (folder / f"{task}.jsonl").open("w", encoding="utf-8") as file:
            for record in _records(task, stream, lines):
                file.write(json.dumps({field: record[field] for field in fields}, ensure_ascii=False) + "\n")


def _records(task: str, stream: str, lines: int) -> Iterator[dict[str, object]]:
    kind, style = task.split("-")
    rng = random.Random(f"{stream}/{task}")
    for number in range(lines):
        scene = draw_scene(rng)
        question = draw_question(rng, scene, kind, style)
        yield {
            "id": f"{task}-{number:04}",
            "prompt": question.text(),
            "images": [as_data_uri(draw_picture(scene))],
            "answer": question.answer(scene),
        }
