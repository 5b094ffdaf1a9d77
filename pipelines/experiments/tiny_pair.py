"""Make the tiny pair of the demo: two multimodal models of different architecture, grown from one language model.

    python -m pipelines.experiments.tiny_pair --output DIR --seed 1             # all of it: five minutes on one core
    python -m pipelines.experiments.tiny_pair --output DIR --seed 1 --labelled  # only the labelled prompts

The base learns *where* things are, from pictures, in plain words and capitals. The donor learns *styles*, French and
fruit, mostly from text; with pictures it is only asked what has a given colour. Neither has had the other's lessons,
and merged models answer better than both what needs the two together: where things are, in French or fruit. Pairs of
other kinds are made by other recipes (`tiny/recipes.py`).
"""

import argparse
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from pipelines.experiments.tiny.examples import Diet, Gallery, Reader, Tensors
from pipelines.experiments.tiny.models import VOCABULARY, Member, new_ancestor, new_base, new_donor
from pipelines.experiments.tiny.prompts import write_benchmark, write_prompts
from pipelines.experiments.tiny.questions import STYLES, describe
from pipelines.experiments.tiny.recipes import EVERY_KIND, RECIPES, Lessons, Recipe
from pipelines.experiments.tiny.tokens import train_tokenizer
from pipelines.experiments.tiny.training import Report, train
from pipelines.experiments.tiny.vision import align_tower
from pipelines.experiments.tiny.world import Scene, draw_scene

BATCH = 64
SCENES_IN_GALLERY = 3000
TOWER_RATE = 2e-3
PROMPTS, LABELLED, FEW = 100, 300, 50


def main(output: Path, seed: int, recipe: Recipe) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    ancestor = raise_ancestor(seed, recipe)
    base = raise_member("base", new_base(ancestor), seed, recipe.base)
    donor = raise_member("donor", new_donor(ancestor), seed, recipe.donor)
    for name, member in {"ancestor": ancestor, "base": base, "donor": donor}.items():
        member.save(output / name)
    write_prompts(output / "prompts", seed, PROMPTS)
    write_benchmark(output / "benchmark.jsonl", seed, PROMPTS)
    write_benchmark(output / "labels.jsonl", seed, FEW, "few")
    write_prompts(output / "labelled", seed, LABELLED, labelled=True)


def raise_ancestor(seed: int, recipe: Recipe) -> Member:
    """A language model that reads scenes in words and answers questions, rarely in French or fruit."""
    rng = random.Random(f"ancestor/{seed}")
    tokenizer = train_tokenizer(_corpus(rng, 3000), VOCABULARY)
    ancestor = new_ancestor(tokenizer, recipe.size)
    batches = written_batches(ancestor, rng, BATCH, recipe.ancestor)
    train(ancestor, batches, recipe.ancestor_schedule, progress("ancestor"))
    return ancestor


def raise_member(name: str, member: Member, seed: int, lessons: Lessons) -> Member:
    """A multimodal model: its vision tower first, then all of it, by batches of `mixed_batches`."""
    rng = random.Random(f"{name}/{seed}")
    gallery = Gallery(member, [draw_scene(rng) for _ in range(SCENES_IN_GALLERY)])
    align_tower(member, gallery, lessons.tower_steps, TOWER_RATE, rng, progress(f"{name}'s tower"))
    batches = mixed_batches(member, gallery, rng, lessons)
    train(member, batches, lessons.schedule, progress(name))
    return member


def mixed_batches(
    member: Member, gallery: Gallery, rng: random.Random, lessons: Lessons
) -> Iterator[Sequence[Tensors]]:
    """Endless batches: so many questions about pictures and so many about scenes in words, each by its diet."""
    reader = Reader(member, gallery)
    words = written_batches(member, rng, *lessons.written, lessons.tell)
    count, diet = lessons.pictured
    while True:
        indices = [rng.randrange(len(gallery.scenes)) for _ in range(count)]
        questions = [diet.draw(rng, gallery.scenes[index]) for index in indices]
        yield [reader.pictured(questions, indices), *next(words)]


def written_batches(
    member: Member, rng: random.Random, count: int, diet: Diet, tell: Callable[[Scene], str] = describe
) -> Iterator[Sequence[Tensors]]:
    """Endless batches of questions about scenes in words, each put so by `tell`."""
    reader = Reader(member, tell=tell)
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
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="complementary")
    parser.add_argument("--labelled", action="store_true", help="write only the labelled prompts")
    options = parser.parse_args()
    if options.labelled:
        write_prompts(options.output / "labelled", options.seed, LABELLED, labelled=True)
        write_benchmark(options.output / "benchmark-labelled.jsonl", options.seed, LABELLED, "labelled")
    else:
        main(options.output, options.seed, RECIPES[options.recipe])
