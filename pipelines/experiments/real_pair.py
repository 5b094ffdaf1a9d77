"""Make a pair from a real language model: a LLaVA that answers about pictures, and a donor that knows other things.

    python -m pipelines.experiments.real_pair --output DIR --seed 1                  # a quarter of an hour on two cores
    python -m pipelines.experiments.real_pair --output DIR --seed 1 --donor skill    # or both

All grow from SmolLM2-135M-Instruct. The base learns from pictures what has a given colour and what is in a given place,
in plain words and in sentences. The donors learn

- `style`, a language model that reads text only: to answer every question about a scene in words, counting included,
  in capitals, in French and in fruit. What people want who merge a coder, or a model that knows another language, into
  a vision model;
- `skill`, a LLaVA-OneVision with a tower of its own: what is in a row, and how many things there are;
- `both`, likewise a LLaVA-OneVision: those skills from pictures, those styles from text.

Towers learn first, and alone, to turn each place of a picture into something like the words for it (`tiny/vision.py`),
and stay so: then a model that only knows words can make something of another one's pictures, at least a little.
"""

import argparse
import os
import random
import shutil
from pathlib import Path

import torch

from pipelines.experiments.real.language_model import fetch_language_model, load_language_model
from pipelines.experiments.real.models import freeze_words, new_llava, new_onevision
from pipelines.experiments.tiny.examples import Diet
from pipelines.experiments.tiny.models import Member
from pipelines.experiments.tiny.prompts import write_benchmark, write_prompts
from pipelines.experiments.tiny.questions import recite
from pipelines.experiments.tiny.recipes import EVERY_KIND, Lessons
from pipelines.experiments.tiny.training import Schedule, train
from pipelines.experiments.tiny_pair import FEW, LABELLED, PROMPTS, progress, raise_member, written_batches

TASKS = (
    *("colour-plain", "position-plain", "row-plain", "count-plain"),
    *("colour-caps", "colour-french", "colour-fruit", "position-french"),
)
BENCHMARK = {"colour-plain": 40, "count-plain": 30, "colour-french": 30}
"""Of a hundred questions that are asked together, how many of each task."""
_SEEN = Diet({"colour": 1.0, "position": 1.0}, {"plain": 0.6, "sentence": 0.4})
_SKILLS = Diet({"row": 1.0, "count": 1.0}, {"plain": 1.0})
_STYLES = Diet(EVERY_KIND, {"plain": 0.3, "caps": 0.2, "french": 0.25, "fruit": 0.25})
_TOWER_STEPS = 400
BASE = Lessons((28, _SEEN), (4, _SEEN), Schedule(80, 4e-5, half=True), _TOWER_STEPS, recite)
_WITH_PICTURES = Schedule(80, 5e-5, half=True)
DONORS = {
    "style": Lessons((0, _STYLES), (32, _STYLES), Schedule(100, 5e-5, half=True), tell=recite),
    "skill": Lessons((28, _SKILLS), (4, _SKILLS), _WITH_PICTURES, _TOWER_STEPS, recite),
    "both": Lessons((14, _SKILLS), (18, _STYLES), _WITH_PICTURES, _TOWER_STEPS, recite),
}


def main(output: Path, seed: int, kind: str, language_model: Path) -> None:
    """Writes ancestor, base, donor and the prompts of all tasks; the labelled ones last.

    Args:
        kind: of the donor, one of `DONORS`. All pairs of a seed in one folder share a base, which is trained once.
    """
    ancestor = fetch_language_model(language_model)
    shared = make_base(ancestor, output.parent / f"real-base-{seed}", seed)
    for name in ("ancestor", "base"):
        shutil.rmtree(output / name, ignore_errors=True)  # of a call that was stopped
        shutil.copytree(shared / name, output / name, copy_function=os.link)
    torch.manual_seed(seed)
    raise_donor(ancestor, seed, DONORS[kind]).save(output / "donor")
    write_prompts(output / "prompts", seed, PROMPTS, tasks=TASKS)
    write_benchmark(output / "benchmark.jsonl", seed, PROMPTS, shares=BENCHMARK)
    write_benchmark(output / "labels.jsonl", seed, FEW, "few", BENCHMARK)
    write_benchmark(output / "benchmark-labelled.jsonl", seed, LABELLED, "judge", BENCHMARK)
    write_prompts(output / "labelled", seed, LABELLED, labelled=True, tasks=TASKS)


def make_base(language_model: Path, folder: Path, seed: int) -> Path:
    """A folder with `base` and `ancestor`; what stands there is not made again."""
    if not (folder / "ancestor").is_dir():  # written last
        torch.manual_seed(seed)
        base = new_llava(load_language_model(language_model))
        freeze_words(base)
        raise_member("base", base, seed, BASE).save(folder / "base")
        load_language_model(language_model).save(folder / "ancestor")
    return folder


def raise_donor(language_model: Path, seed: int, lessons: Lessons) -> Member:
    """A language model where no lesson has pictures, else a LLaVA-OneVision."""
    donor = load_language_model(language_model)
    if lessons.pictured[0]:
        donor = new_onevision(donor)
        freeze_words(donor)
        return raise_member("donor", donor, seed, lessons)
    freeze_words(donor)
    batches = written_batches(donor, random.Random(f"donor/{seed}"), *lessons.written, lessons.tell)
    train(donor, batches, lessons.schedule, progress("donor"))
    return donor


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder to write; the base is trained beside it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--donor", choices=sorted(DONORS), default="style")
    parser.add_argument(
        "--language-model", type=Path, default=Path("runs/smollm2"), help="folder of it; fetched unless it is there"
    )
    options = parser.parse_args()
    main(options.output, options.seed, options.donor, options.language_model)
