"""Make the tiny pair of the demo: two multimodal models of different architecture, grown from one language model.

    python -m pipelines.experiments.tiny_pair --output DIR --seed 1             # all of it: five minutes on one core
    python -m pipelines.experiments.tiny_pair --output DIR --seed 1 --labelled  # only the labelled prompts

The base learns *where* things are, from pictures, in plain words and capitals. The donor learns *styles*, French and
fruit, mostly from text; with pictures it is only asked what has a given colour. Neither has had the other's lessons,
and merged models answer better than both what needs the two together: where things are, in French or fruit.
"""

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from pipelines.experiments.tiny.examples import Diet, Gallery, Reader, Tensors
from pipelines.experiments.tiny.models import VOCABULARY, Member, new_ancestor, new_base, new_donor
from pipelines.experiments.tiny.prompts import write_prompts
from pipelines.experiments.tiny.questions import KINDS, STYLES, describe
from pipelines.experiments.tiny.tokens import train_tokenizer
from pipelines.experiments.tiny.training import Report, Schedule, train
from pipelines.experiments.tiny.vision import align_tower
from pipelines.experiments.tiny.world import draw_scene

EVERY_KIND = dict.fromkeys(KINDS, 1.0)

ANCESTOR_DIET = Diet(
    {"colour": 1.0, "position": 1.0, "row": 1.0, "count": 0.3},
    {"plain": 0.8, "caps": 0.2, "french": 0.012, "fruit": 0.008},
)
ANCESTOR_SCHEDULE = Schedule(steps=450, language_rate=2e-3)

BASE_DIET = Diet(EVERY_KIND, {"plain": 0.75, "caps": 0.25})
BASE_SCHEDULE = Schedule(steps=300, language_rate=7e-4, vision_rate=1e-3)

DONOR_PICTURED_DIET = Diet({"colour": 1.0}, {"plain": 0.34, "french": 0.33, "fruit": 0.33})
DONOR_WRITTEN_DIET = Diet(EVERY_KIND, {"plain": 0.25, "french": 0.375, "fruit": 0.375})
DONOR_SCHEDULE = Schedule(steps=120, language_rate=6e-4, vision_rate=1e-3)

BATCH = 64
SCENES_IN_GALLERY = 3000
TOWER_STEPS = 150
TOWER_RATE = 2e-3
PROMPTS, LABELLED = 100, 300


def main(output: Path, seed: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    ancestor = raise_ancestor(seed)
    # nine tenths pictures with every question, plain and in capitals
    base = raise_member("base", new_base(ancestor), seed, (58, BASE_DIET), (6, BASE_DIET), BASE_SCHEDULE)
    # four tenths pictures, asked by colour only; the rest is text with every question, mostly in French and fruit
    pictured, written = (26, DONOR_PICTURED_DIET), (38, DONOR_WRITTEN_DIET)
    donor = raise_member("donor", new_donor(ancestor), seed, pictured, written, DONOR_SCHEDULE)
    for name, member in {"ancestor": ancestor, "base": base, "donor": donor}.items():
        member.save(output / name)
    write_prompts(output / "prompts", seed, PROMPTS)
    write_prompts(output / "labelled", seed, LABELLED, labelled=True)


def raise_ancestor(seed: int) -> Member:
    """A language model that reads scenes in words and answers questions, rarely in French or fruit."""
    rng = random.Random(f"ancestor/{seed}")
    tokenizer = train_tokenizer(_corpus(rng, 3000), VOCABULARY)
    ancestor = new_ancestor(tokenizer)
    train(ancestor, written_batches(ancestor, rng, BATCH), ANCESTOR_SCHEDULE, progress("ancestor"))
    return ancestor


def raise_member(
    name: str, member: Member, seed: int, pictured: tuple[int, Diet], written: tuple[int, Diet], schedule: Schedule
) -> Member:
    """A multimodal model: its vision tower first, then all of it, by batches of `mixed_batches`."""
    rng = random.Random(f"{name}/{seed}")
    gallery = Gallery(member, [draw_scene(rng) for _ in range(SCENES_IN_GALLERY)])
    align_tower(member, gallery, TOWER_STEPS, TOWER_RATE, rng, progress(f"{name}'s tower"))
    train(member, mixed_batches(member, gallery, rng, pictured, written), schedule, progress(name))
    return member


def mixed_batches(
    member: Member, gallery: Gallery, rng: random.Random, pictured: tuple[int, Diet], written: tuple[int, Diet]
) -> Iterator[Sequence[Tensors]]:
    """Endless batches: so many questions about pictures and so many about scenes in words, each by its diet."""
    reader = Reader(member, gallery)
    words = written_batches(member, rng, *written)
    count, diet = pictured
    while True:
        indices = [rng.randrange(len(gallery.scenes)) for _ in range(count)]
        questions = [diet.draw(rng, gallery.scenes[index]) for index in indices]
        yield [reader.pictured(questions, indices), *next(words)]


def written_batches(
    member: Member, rng: random.Random, count: int, diet: Diet = ANCESTOR_DIET
) -> Iterator[Sequence[Tensors]]:
    """Endless batches of questions about scenes in words."""
    reader = Reader(member)
    while True:
        scenes = [draw_scene(rng) for _ in range(count)]
        yield [reader.written([diet.draw(rng, scene) for scene in scenes], scenes)]


def progress(name: str) -> Report:
    """A line on stderr that counts the steps."""

    def report(step: int, steps: int, loss: float) -> None:
        if step % 20 == 0 or step == steps:
            end = "\n" if step == steps else ""
            print(f"\r{name}: step {step} of {steps}, loss {loss:.3f}  ", end=end, file=sys.stderr, flush=True)

    return report


def _corpus(rng: random.Random, count: int) -> Iterator[str]:
    for _ in range(count):
        scene = draw_scene(rng)
        question = Diet(EVERY_KIND, dict.fromkeys(STYLES, 1.0)).draw(rng, scene)
        yield f"user\n{describe(scene)} {question.text()}"
        yield f"assistant\n{question.answer(scene)}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--labelled", action="store_true", help="write only the labelled prompts")
    options = parser.parse_args()
    if options.labelled:
        write_prompts(options.output / "labelled", options.seed, LABELLED, labelled=True)
    else:
        main(options.output, options.seed)
