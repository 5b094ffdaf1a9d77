"""A merge that is only thought through: what it would read and write, how much memory and disk it needs, and about how
long it takes; no weights are merged, nothing is written. What a search says of its pair comes from here too."""

from collections.abc import Iterator
from pathlib import Path

from adamms.checkpoint import Checkpoint
from adamms.checkpoint.checkpoint import total_bytes
from adamms.mapping import PlannedPair
from adamms.merging.config import MergingConfig
from adamms.merging.recipe import Recipe
from adamms.merging.to_disk import room, runs_on_ray, size
from adamms.support.files import expanded
from adamms.support.ray_session import RayConfig
from adamms.support.system import cores
from adamms.support.times import spell_seconds

DISK = 1e9
"""Bytes a second that a disk reads or writes."""
STARTING = 2.0
"""Seconds that importing torch and opening the models take."""
MEMORY, PER_THREAD = 320e6, 20e6
"""Bytes that a merge was measured to take with one thread, and with each further one, however large the models are
(docs/evidence.md)."""
NOTHING = "", "nothing was started, and nothing written"
Lines = Iterator[tuple[str, str]]


def model_bytes(model: Checkpoint) -> int:
    """Of all of its tensors."""
    return total_bytes(model.tensors.values())


def pair_lines(pair: PlannedPair, method: str) -> Lines:
    """Which models would be read, and what of them would be merged."""
    for title, model in pair.titled:
        yield f"reads {title}", f"{model.location} ({size(model_bytes(model))})"
    yield "merges", f"{pair.plan.summary}; {method}"
    for warning in pair.plan.warnings:
        yield "warning", warning


def output_lines(folder: Path, base: Checkpoint, count: int = 1) -> Lines:
    """Where checkpoints of the base's size would be written, and whether there is room for `count` of them."""
    folder = expanded(folder).absolute()
    needed, free = room(folder, base, count)
    told = f"{count} checkpoint{'s' * (count > 1)}, {size(count * model_bytes(base))}"
    yield "writes", f"{folder}: {told} ({size(free)} are free)"
    if free < needed:
        yield "trouble", f"{size(needed)} are needed, only {size(free)} are free there"


def merge_lines(pair: PlannedPair, recipe: Recipe, output: Path, config: MergingConfig, ray: RayConfig) -> Lines:
    """A merge in words: what is told of, and what.

    Args:
        pair: planned from headers; its models need no weights here.
    """
    yield from pair_lines(pair, recipe_text(recipe))
    rounds = recipe.rule.rounds
    if rounds:
        yield "", f"all weights are read {rounds} more time{'s' * (rounds > 1)} before, for statistics"
    on_ray = runs_on_ray(config, ray)
    threads = config.workers or (1 if on_ray else cores())
    where = "Ray tasks" if on_ray else "a GPU" if config.gpus_per_task else "threads"
    yield "works on", f"{threads} CPU{'s' * (threads > 1)} ({where}{', each' if on_ray else ''})"
    memory = MEMORY + PER_THREAD * (threads - 1)
    yield "memory", f"{size(round(memory))}{' each' if on_ray else ''}, whatever the models' size (as it was measured)"
    yield from output_lines(output, pair.base)
    read = sum(map(model_bytes, pair.models))
    seconds = STARTING + ((1 + rounds) * read + model_bytes(pair.base)) / DISK
    yield "takes", f"about {spell_seconds(seconds)} where a disk of 1 GB/s is what limits; a guess"


def recipe_text(recipe: Recipe) -> str:
    """`ties, alpha 0.3, density 0.2`."""
    given = {name: value for name, value in recipe.to_dict().items() if name != "method"}
    written = (f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in given.items())
    return ", ".join([recipe.method, *written])
