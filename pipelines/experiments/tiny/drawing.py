"""Pictures of scenes."""

import base64
import io
import math

from PIL import Image, ImageDraw

from pipelines.experiments.tiny.world import Scene, Thing

SIDE = 64
"""Pixels along each side of a picture."""

_SUPERSAMPLING = 4
_BACKGROUND = (255, 255, 255)
_INK = {
    "red": (215, 30, 40),
    "orange": (250, 140, 20),
    "yellow": (245, 220, 50),
    "green": (30, 150, 60),
    "blue": (40, 90, 220),
    "purple": (140, 50, 170),
}
_Points = list[tuple[float, float]]


def draw_picture(scene: Scene) -> Image.Image:
    """The scene as an RGB picture of `SIDE` x `SIDE` pixels."""
    side = SIDE * _SUPERSAMPLING
    picture = Image.new("RGB", (side, side), _BACKGROUND)
    pen = ImageDraw.Draw(picture)
    for index, thing in enumerate(scene.cells):
        if thing is not None:
            _draw_thing(pen, thing, column=index % 2, row=index // 2, cell=side / 2)
    return picture.resize((SIDE, SIDE), Image.Resampling.BOX)


def as_data_uri(picture: Image.Image, colours: int = 16) -> str:
    """The picture inlined as a small PNG with a palette."""
    buffer = io.BytesIO()
    picture.quantize(colours, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def from_data_uri(uri: str) -> Image.Image:
    """The picture that `as_data_uri` wrote, in RGB."""
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")


def _draw_thing(pen: ImageDraw.ImageDraw, thing: Thing, column: int, row: int, cell: float) -> None:
    x = (column + 0.5 + thing.shift[0]) * cell
    y = (row + 0.5 + thing.shift[1]) * cell
    radius = thing.size * cell / 2
    box = (x - radius, y - radius, x + radius, y + radius)
    ink = _INK[thing.colour]
    if thing.shape == "circle":
        pen.ellipse(box, fill=ink)
    elif thing.shape == "ring":
        pen.ellipse(box, outline=ink, width=round(radius * 0.4))
    else:
        pen.polygon([(x + radius * dx, y + radius * dy) for dx, dy in _OUTLINES[thing.shape]], fill=ink)


def _heart() -> _Points:
    turns = [2 * math.pi * step / 60 for step in range(60)]
    curve = [
        (16 * math.sin(t) ** 3, -13 * math.cos(t) + 5 * math.cos(2 * t) + 2 * math.cos(3 * t) + math.cos(4 * t))
        for t in turns
    ]
    return [(x / 16, (y - 2) / 16) for x, y in curve]


_OUTLINES: dict[str, _Points] = {
    "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
    "triangle": [(0, -1), (1, 0.85), (-1, 0.85)],
    "diamond": [(0, -1), (0.8, 0), (0, 1), (-0.8, 0)],
    "heart": _heart(),
}
"""Corners on a circle of radius 1 around the middle, y downwards."""
