"""Answers are right by a second, independent reading of the scene."""

import random
import re

import pytest

from pipelines.experiments.tiny.questions import KINDS, STYLES, Question, describe, draw_question, recite
from pipelines.experiments.tiny.world import Scene, Thing, draw_scene

FRENCH = {
    "red": "rouge",
    "orange": "orange",
    "yellow": "jaune",
    "green": "vert",
    "blue": "bleu",
    "purple": "violet",
    "circle": "cercle",
    "square": "carré",
    "triangle": "triangle",
    "diamond": "losange",
    "heart": "cœur",
    "ring": "anneau",
    "two": "deux",
    "three": "trois",
    "four": "quatre",
}
FRUIT = {"red": "cherry", "orange": "mango", "yellow": "lemon", "green": "lime", "blue": "plum", "purple": "grape"}

SCENE = Scene((Thing("red", "heart"), Thing("blue", "ring"), None, Thing("green", "square")))


def read(description: str) -> dict[str, tuple[str, str]]:
    """Place -> (colour, shape), from the words alone."""
    found = re.findall(r"((?:top|bottom) (?:left|right)): (\w+) (\w+)\.", description)
    return {place: (colour, shape) for place, colour, shape in found}


def expected(question: Question, cells: dict[str, tuple[str, str]]) -> str:
    """The answer worked out from the description."""

    def name(colour: str, shape: str) -> str:
        if question.style == "french":
            return f"{FRENCH[shape]} {FRENCH[colour]}"
        return f"{FRUIT[colour] if question.style == 'fruit' else colour} {shape}"

    if question.kind == "count":
        word = ["zero", "one", "two", "three", "four"][len(cells)]
        answer = FRENCH[word] if question.style == "french" else word
    elif question.kind == "colour":
        answer = next(name(*look) for look in cells.values() if look[0] == question.about)
    else:
        wanted = question.about.removesuffix("row")
        answer = ", ".join(name(*look) for place, look in cells.items() if place.startswith(wanted))
    return answer.upper() if question.style == "caps" else answer


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("style", STYLES)
def test_answers_agree_with_an_independent_reading(kind, style):
    rng = random.Random(f"{kind}/{style}")
    for _ in range(50):
        scene = draw_scene(rng)
        question = draw_question(rng, scene, kind, style)
        assert question.answer(scene) == expected(question, read(describe(scene)))


def test_recited_scenes_name_what_is_in_every_place():
    rng = random.Random(9)
    for _ in range(50):
        scene = draw_scene(rng)
        told = recite(scene).rstrip(".").split(", ")
        assert told == ["nothing" if one is None else f"{one.colour} {one.shape}" for one in scene.cells]


def test_some_answers_by_hand():
    assert Question("colour", "fruit", "blue").answer(SCENE) == "plum ring"
    assert Question("position", "french", "bottom right").answer(SCENE) == "carré vert"
    assert Question("row", "caps", "top row").answer(SCENE) == "RED HEART, BLUE RING"
    assert Question("count", "french", "").answer(SCENE) == "trois"


def test_a_question_names_its_style_and_never_its_answer():
    rng = random.Random(4)
    for _ in range(200):
        scene = draw_scene(rng)
        question = draw_question(rng, scene, rng.choice(KINDS), rng.choice(STYLES))
        assert question.answer(scene).lower() not in question.text().lower()
        assert (question.style == "plain") == ("Answer" not in question.text())
