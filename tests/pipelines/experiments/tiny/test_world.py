"""The world is drawn by its seed and nothing else, and its pictures show what the scenes say."""

import random

import pytest

from pipelines.experiments.tiny.drawing import SIDE, as_data_uri, draw_picture, from_data_uri
from pipelines.experiments.tiny.world import COLOURS, PLACES, SHAPES, draw_scene

PURE = {"red": (215, 30, 40), "green": (30, 150, 60), "blue": (40, 90, 220)}


def test_the_same_seed_draws_the_same_scenes():
    assert [draw_scene(random.Random(7)) for _ in range(5)] == [draw_scene(random.Random(7)) for _ in range(5)]
    assert draw_scene(random.Random(7)) != draw_scene(random.Random(8))


def test_scenes_hold_two_to_four_things_without_repeated_looks():
    rng = random.Random(0)
    scenes = [draw_scene(rng) for _ in range(300)]
    for scene in scenes:
        things = list(scene.things())
        assert 2 <= len(things) <= 4
        assert len({thing.colour for thing in things}) == len({thing.shape for thing in things}) == len(things)
    seen = {(thing.colour, thing.shape) for scene in scenes for thing in scene.things()}
    assert seen == {(colour, shape) for colour in COLOURS for shape in SHAPES}


def test_a_cell_has_ink_exactly_where_the_scene_has_a_thing():
    rng = random.Random(1)
    for _ in range(20):
        scene = draw_scene(rng)
        picture = draw_picture(scene)
        for index, place in enumerate(PLACES):
            left, top = (index % 2) * SIDE // 2, (index // 2) * SIDE // 2
            cell = picture.crop((left, top, left + SIDE // 2, top + SIDE // 2))
            blank = all(low == 255 for low, _ in cell.getextrema())
            assert blank == (scene.at(place) is None)


@pytest.mark.parametrize("colour", sorted(PURE))
def test_the_most_frequent_ink_of_a_cell_is_the_colour_of_its_thing(colour):
    rng = random.Random(2)
    scene = next(
        scene for scene in iter(lambda: draw_scene(rng), None) if any(t.colour == colour for t in scene.things())
    )
    index = next(index for index, thing in enumerate(scene.cells) if thing is not None and thing.colour == colour)
    left, top = (index % 2) * SIDE // 2, (index // 2) * SIDE // 2
    cell = draw_picture(scene).crop((left, top, left + SIDE // 2, top + SIDE // 2))
    inks = sorted(((count, ink) for count, ink in cell.getcolors(SIDE * SIDE) if ink != (255, 255, 255)), reverse=True)
    assert inks[0][1] == PURE[colour]


def test_an_inlined_picture_comes_back_nearly_as_it_was():
    picture = draw_picture(draw_scene(random.Random(3)))
    uri = as_data_uri(picture)
    assert uri.startswith("data:image/png;base64,")
    assert len(uri) < 1200
    back = from_data_uri(uri)
    assert (back.size, back.mode) == (picture.size, "RGB")
    pairs = zip(back.tobytes(), picture.tobytes(), strict=True)
    assert sum(abs(a - b) for a, b in pairs) / len(picture.tobytes()) < 2
