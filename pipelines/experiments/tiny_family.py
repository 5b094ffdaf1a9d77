"""Make a tiny family: a base and three donors of different skills and architectures, grown from one language model.

    python -m pipelines.experiments.tiny_family --output DIR --seed 1    # six minutes on one core

The base learns from pictures what is where, in plain words. Each donor learns a style of answering: `french` (a
LLaVA-OneVision) French, mostly from text; `fruit` and `caps` (without vision) fruit and capitals, from scenes in words.
So no model answers questions about pictures in all styles, and no donor helps with another one's.
"""

import argparse
import random
from pathlib import Path

import torch

from pipelines.experiments.tiny.examples import Diet
from pipelines.experiments.tiny.models import new_base, new_donor, saved_language_model
from pipelines.experiments.tiny.prompts import write_prompts
from pipelines.experiments.tiny.recipes import COMPLEMENTARY, Lessons
from pipelines.experiments.tiny.training import Schedule, train
from pipelines.experiments.tiny_pair import (
    BATCH,
    LABELLED,
    PROMPTS,
    progress,
    raise_ancestor,
    raise_member,
    written_batches,
)

DONORS = ("french", "fruit", "caps")
TASKS = tuple(f"{kind}-{style}" for kind in ("position", "colour") for style in ("french", "fruit", "caps"))
_WHERE = {"colour": 1.0, "position": 1.0}
_PLAIN = Diet(_WHERE, {"plain": 1.0})
_BASE = Lessons((58, _PLAIN), (6, _PLAIN), Schedule(steps=300, language_rate=7e-4, vision_rate=1e-3))
_FRENCH = Lessons(
    (26, Diet({"colour": 1.0}, {"plain": 0.4, "french": 0.6})),
    (38, Diet(_WHERE, {"plain": 0.4, "french": 0.6})),
    Schedule(steps=120, language_rate=6e-4, vision_rate=1e-3),
)
_WRITTEN = {
    "fruit": Diet(_WHERE, {"plain": 0.4, "fruit": 0.6}),
    "caps": Diet(_WHERE, {"plain": 0.4, "caps": 0.6}),
}
_WRITTEN_SCHEDULE = Schedule(steps=120, language_rate=6e-4)


def main(output: Path, seed: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    ancestor = raise_ancestor(seed, COMPLEMENTARY)
    base, french = (
        raise_member(name, new(ancestor), seed, lessons)
        for name, new, lessons in (("base", new_base, _BASE), ("french", new_donor, _FRENCH))
    )
    for name, member in {"ancestor": ancestor, "base": base, "french": french}.items():
        member.save(output / name)
    raise_in_words(output, seed)
    write_prompts(output / "prompts", seed, PROMPTS, tasks=TASKS)
    write_prompts(output / "labelled", seed, LABELLED, labelled=True, tasks=TASKS)


def raise_in_words(output: Path, seed: int) -> None:
    """The language models that learn from scenes in words, each from the ancestor as it was saved."""
    for name, diet in _WRITTEN.items():
        torch.manual_seed(seed)
        member, rng = saved_language_model(output / "ancestor"), random.Random(f"{name}/{seed}")
        train(member, written_batches(member, rng, BATCH, diet), _WRITTEN_SCHEDULE, progress(name))
        member.save(output / name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    main(options.output, options.seed)
