"""Questions about a scene, and their answers in every style.

A *kind* says what is asked, a *style* how it is to be answered; the question names the style it wants."""

import random
from dataclasses import dataclass
from typing import TypeVar

from pipelines.experiments.tiny.world import COLOURS, PLACES, ROWS, SHAPES, Scene, Thing

Words = TypeVar("Words")

KINDS = ("colour", "position", "row", "count")
"""What has this colour, what is in this place, what is in this row, how many things are there."""
STYLES = ("plain", "caps", "french", "fruit")

_REQUEST = {
    "plain": "",
    "caps": " Answer in capitals.",
    "french": " Answer in French.",
    "fruit": " Answer in fruit.",
    "sentence": " Answer in a sentence.",
}
_NUMBERS = {"plain": ("two", "three", "four"), "french": ("deux", "trois", "quatre")}
_COLOUR_WORDS = {
    "plain": dict(zip(COLOURS, COLOURS, strict=True)),
    "french": dict(zip(COLOURS, ("rouge", "orange", "jaune", "vert", "bleu", "violet"), strict=True)),
    "fruit": dict(zip(COLOURS, ("cherry", "mango", "lemon", "lime", "plum", "grape"), strict=True)),
}
# Every French shape is masculine, so that the colours need no agreement.
_SHAPE_WORDS = {
    "plain": dict(zip(SHAPES, SHAPES, strict=True)),
    "french": dict(zip(SHAPES, ("cercle", "carré", "triangle", "losange", "cœur", "anneau"), strict=True)),
}


@dataclass(frozen=True)
class Question:
    """One question that has an answer in its scene."""

    kind: str
    style: str
    about: str
    """The colour, the place or the row that is asked about; empty for `count`."""

    def text(self) -> str:
        ask = {
            "colour": f"What is {self.about}?",
            "position": f"What is {self.about}?",
            "row": f"What is in the {self.about}?",
            "count": "How many objects?",
        }
        return ask[self.kind] + _REQUEST[self.style]

    def answer(self, scene: Scene) -> str:
        if self.style == "caps":
            return Question(self.kind, "plain", self.about).answer(scene).upper()
        if self.style == "sentence":
            return f"The answer is {Question(self.kind, 'plain', self.about).answer(scene)}."
        if self.kind == "colour":
            return next(_name(thing, self.style) for thing in scene.things() if thing.colour == self.about)
        if self.kind == "count":
            return _words(_NUMBERS, self.style)[sum(1 for _ in scene.things()) - 2]
        places = [self.about] if self.kind == "position" else list(ROWS[self.about])
        names = [_name(thing, self.style) for place in places if (thing := scene.at(place)) is not None]
        return ", ".join(names)


def draw_question(rng: random.Random, scene: Scene, kind: str, style: str) -> Question:
    """A random question of this kind and style that the scene can answer."""
    topics = {
        "colour": [thing.colour for thing in scene.things()],
        "position": [place for place in PLACES if scene.at(place) is not None],
        "row": [row for row, places in ROWS.items() if any(scene.at(place) is not None for place in places)],
        "count": [""],
    }
    return Question(kind, style, rng.choice(topics[kind]))


def describe(scene: Scene) -> str:
    """The scene in words, for prompts without a picture."""
    named = zip(PLACES, scene.cells, strict=True)
    return " ".join(f"{place}: {_name(thing, 'plain')}." for place, thing in named if thing is not None)


def recite(scene: Scene) -> str:
    """The scene in words as a picture's tokens tell it: what is in each place, in order, and no place is named."""
    return ", ".join("nothing" if thing is None else _name(thing, "plain") for thing in scene.cells) + "."


def _name(thing: Thing, style: str) -> str:
    shape, colour = _words(_SHAPE_WORDS, style)[thing.shape], _words(_COLOUR_WORDS, style)[thing.colour]
    return f"{shape} {colour}" if style == "french" else f"{colour} {shape}"


def _words(table: dict[str, Words], style: str) -> Words:
    return table.get(style, table["plain"])
