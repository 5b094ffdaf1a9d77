"""Make a pair from a real language model: a LLaVA that answers about pictures, and a donor that learned styles by text.

    python -m pipelines.experiments.real_pair --output DIR --seed 1      # half an hour on two cores

Both grow from SmolLM2-135M-Instruct. The base learns what is in pictures, in plain words and in sentences. The donor
reads text only: it learns to answer in capitals, in French and in fruit. What people want who merge a coder, or a model
that knows another language, into a vision model.
"""

import argparse
import random
from pathlib import Path

import torch

from pipelines.experiments.real.language_model import fetch_language_model, load_language_model
from pipelines.experiments.real.models import freeze_words, new_llava
from pipelines.experiments.tiny.examples import Diet, Gallery
from pipelines.experiments.tiny.models import Member
from pipelines.experiments.tiny.prompts import write_prompts
from pipelines.experiments.tiny.training import Schedule, train
from pipelines.experiments.tiny.vision import align_tower
from pipelines.experiments.tiny.world import draw_scene
from pipelines.experiments.tiny_pair import LABELLED, PROMPTS, mixed_batches, progress, written_batches

KINDS = {"colour": 1.0, "position": 0.5, "count": 0.5}
TASKS = ("colour-plain", "position-plain", "count-plain", "colour-caps", "colour-french", "colour-fruit")
BASE_DIET = Diet(KINDS, {"plain": 0.6, "sentence": 0.4})
DONOR_DIET = Diet(KINDS, {"plain": 0.3, "caps": 0.2, "french": 0.25, "fruit": 0.25})
BASE_SCHEDULE = Schedule(steps=160, language_rate=4e-5, vision_rate=2e-4, half=True)
DONOR_SCHEDULE = Schedule(steps=100, language_rate=5e-5, half=True)
TOWER_STEPS, TOWER_RATE, SCENES = 400, 2e-3, 3000
BATCH, WRITTEN = 32, 4


def main(output: Path, seed: int, language_model: Path) -> None:
    """Writes ancestor, base, donor and the prompts of all tasks; the labelled ones last."""
    torch.manual_seed(seed)
    ancestor = fetch_language_model(language_model)
    (output / "ancestor").parent.mkdir(parents=True, exist_ok=True)
    raise_base(ancestor, seed).save(output / "base")
    raise_donor(ancestor, seed).save(output / "donor")
    load_language_model(ancestor).save(output / "ancestor")
    write_prompts(output / "prompts", seed, PROMPTS, tasks=TASKS)
    write_prompts(output / "labelled", seed, LABELLED, labelled=True, tasks=TASKS)


def raise_base(ancestor: Path, seed: int) -> Member:
    """Its tower first, then all of it but the embeddings."""
    rng, base = random.Random(f"base/{seed}"), new_llava(load_language_model(ancestor))
    freeze_words(base)
    gallery = Gallery(base, [draw_scene(rng) for _ in range(SCENES)])
    align_tower(base, gallery, TOWER_STEPS, TOWER_RATE, rng, progress("base's tower"))
    batches = mixed_batches(base, gallery, rng, (BATCH - WRITTEN, BASE_DIET), (WRITTEN, BASE_DIET))
    train(base, batches, BASE_SCHEDULE, progress("base"))
    return base


def raise_donor(ancestor: Path, seed: int) -> Member:
    """A language model that never sees a picture."""
    rng, donor = random.Random(f"donor/{seed}"), load_language_model(ancestor)
    freeze_words(donor)
    train(donor, written_batches(donor, rng, BATCH, DONOR_DIET), DONOR_SCHEDULE, progress("donor"))
    return donor


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--language-model", type=Path, default=Path("runs/smollm2"), help="folder of it; fetched unless it is there"
    )
    options = parser.parse_args()
    main(options.output, options.seed, options.language_model)
