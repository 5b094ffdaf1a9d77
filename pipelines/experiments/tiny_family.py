"""Make a tiny family: a base and three donors of different skills and architectures, grown from one language model.

    python -m pipelines.experiments.tiny_family --output DIR --seed 1    # six minutes on one core

The base learns from pictures what is where, in plain words. `french` (a LLaVA-OneVision) learns French, `fruit` and
`rows` (without vision, from scenes in words) the fruit style and what is in a whole row. Questions such as what is in
the top row, in French, need the base and two of the donors.
"""

import argparse
import random
from pathlib import Path

import torch

from pipelines.experiments.tiny.examples import Diet
from pipelines.experiments.tiny.models import Member, Size, new_base, new_donor, new_text_donor
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

DONORS = ("french", "fruit", "rows")
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
    "rows": Diet({"colour": 0.5, "position": 0.5, "row": 2.0}, {"plain": 1.0}),
}
_WRITTEN_SCHEDULE = Schedule(steps=120, language_rate=6e-4)


def main(output: Path, seed: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    ancestor = raise_ancestor(seed, COMPLEMENTARY)
    members = {
        "ancestor": ancestor,
        "base": raise_member("base", new_base(ancestor), seed, _BASE),
        "french": raise_member("french", new_donor(ancestor), seed, _FRENCH),
        **{name: raise_in_words(name, ancestor, seed, diet) for name, diet in _WRITTEN.items()},
    }
    for name, member in members.items():
        member.save(output / name)
    write_prompts(output / "prompts", seed, PROMPTS)
    write_prompts(output / "labelled", seed, LABELLED, labelled=True)


def raise_in_words(name: str, ancestor: Member, seed: int, diet: Diet) -> Member:
    """A language model that learns from scenes in words."""
    member, rng = new_text_donor(ancestor, Size()), random.Random(f"{name}/{seed}")
    train(member, written_batches(member, rng, BATCH, diet), _WRITTEN_SCHEDULE, progress(name))
    return member


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    main(options.output, options.seed)
