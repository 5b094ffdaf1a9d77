"""What the members of a tiny pair learn: the regimes that choices are judged in."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pipelines.experiments.tiny.examples import Diet
from pipelines.experiments.tiny.models import Size
from pipelines.experiments.tiny.questions import KINDS, describe
from pipelines.experiments.tiny.training import Schedule
from pipelines.experiments.tiny.world import Scene


@dataclass(frozen=True)
class Lessons:
    """Of each batch, how many questions are about pictures and how many about scenes in words, by which diets."""

    pictured: tuple[int, Diet]
    written: tuple[int, Diet]
    schedule: Schedule
    tower_steps: int = 150
    tell: Callable[[Scene], str] = describe
    """Puts a scene in words."""


@dataclass(frozen=True)
class Recipe:
    """How a pair is raised: the ancestor reads scenes in words, base and donor go on from it."""

    ancestor: Diet
    ancestor_schedule: Schedule
    base: Lessons
    donor: Lessons
    size: Size = field(default_factory=Size)


EVERY_KIND = dict.fromkeys(KINDS, 1.0)
_ANCESTOR = Diet(
    {"colour": 1.0, "position": 1.0, "row": 1.0, "count": 0.3},
    {"plain": 0.8, "caps": 0.2, "french": 0.012, "fruit": 0.008},
)
_ANCESTOR_SCHEDULE = Schedule(steps=450, language_rate=2e-3)
_PLAIN = Diet(EVERY_KIND, {"plain": 0.75, "caps": 0.25})
_STYLES = {"plain": 0.25, "french": 0.375, "fruit": 0.375}
_THIRDS = {"plain": 0.34, "french": 0.33, "fruit": 0.33}
_ALL_STYLES = Diet(EVERY_KIND, {"plain": 0.70, "caps": 0.16, "french": 0.07, "fruit": 0.07})

COMPLEMENTARY = Recipe(
    _ANCESTOR,
    _ANCESTOR_SCHEDULE,
    # nine tenths pictures with every question, plain and in capitals
    base=Lessons((58, _PLAIN), (6, _PLAIN), Schedule(steps=300, language_rate=7e-4, vision_rate=1e-3)),
    # four tenths pictures, asked by colour only; the rest is text with every question, mostly in French and fruit
    donor=Lessons(
        (26, Diet({"colour": 1.0}, _THIRDS)),
        (38, Diet(EVERY_KIND, _STYLES)),
        Schedule(steps=120, language_rate=6e-4, vision_rate=1e-3),
    ),
)
"""The base learns *where* things are, the donor *styles*; neither is good at what needs the two together."""

STRONG = Recipe(
    _ANCESTOR,
    _ANCESTOR_SCHEDULE,
    # every question about pictures; a seventh of them in French or fruit
    base=Lessons((58, _ALL_STYLES), (6, _ALL_STYLES), Schedule(steps=450, language_rate=7e-4, vision_rate=1e-3)),
    # the same questions, two thirds in French or fruit, for a shorter time
    donor=Lessons(
        (44, Diet(EVERY_KIND, _THIRDS)),
        (20, Diet(EVERY_KIND, _STYLES)),
        Schedule(steps=300, language_rate=7e-4, vision_rate=1e-3),
    ),
)
"""Both parents know every task that they are judged by, the base mostly plain ones and the donor mostly styled ones."""

WIDE = replace(COMPLEMENTARY, size=Size(width=256))
"""As the first, twice as wide."""

RECIPES = {"complementary": COMPLEMENTARY, "strong": STRONG, "wide": WIDE}
