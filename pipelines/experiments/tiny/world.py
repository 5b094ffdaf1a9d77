"""The world of the tiny pair: a 2x2 grid with two to four coloured shapes, each colour and each shape at most once."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple")
SHAPES = ("circle", "square", "triangle", "diamond", "heart", "ring")
PLACES = ("top left", "top right", "bottom left", "bottom right")
ROWS = {"top row": ("top left", "top right"), "bottom row": ("bottom left", "bottom right")}


@dataclass(frozen=True)
class Thing:
    """One object: what it looks like and how it sits in its cell."""

    colour: str
    shape: str
    shift: tuple[float, float] = (0.0, 0.0)
    """How far it is moved from the middle of the cell, as a fraction of the cell."""
    size: float = 0.8
    """Its diameter, as a fraction of the cell."""


@dataclass(frozen=True)
class Scene:
    """What stands where: one entry for each of `PLACES`, in that order, `None` for an empty cell."""

    cells: tuple[Thing | None, ...]

    def at(self, place: str) -> Thing | None:
        return self.cells[PLACES.index(place)]

    def things(self) -> Iterator[Thing]:
        """The objects in reading order."""
        return (thing for thing in self.cells if thing is not None)


def draw_scene(rng: random.Random) -> Scene:
    """A random scene. All randomness of the world comes from `rng`."""
    count = rng.randint(2, len(PLACES))
    filled = rng.sample(range(len(PLACES)), count)
    looks = zip(rng.sample(COLOURS, count), rng.sample(SHAPES, count), strict=True)
    things = {cell: _place_thing(rng, colour, shape) for cell, (colour, shape) in zip(filled, looks, strict=True)}
    return Scene(tuple(things.get(cell) for cell in range(len(PLACES))))


def _place_thing(rng: random.Random, colour: str, shape: str) -> Thing:
    size = rng.uniform(0.7, 0.9)
    slack = (1 - size) / 2
    return Thing(colour, shape, (rng.uniform(-slack, slack), rng.uniform(-slack, slack)), size)
