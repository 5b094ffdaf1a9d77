from __future__ import annotations

from collections.abc import Mapping, Sequence

from adamms.generation.engine import Answer, Effort
from adamms.generation.noise import Noise, noise_floor
from adamms.generation.prompts import Prompt
from adamms.merging.recipe import Recipe

PROMPTS = [Prompt(str(i), "?") for i in range(7)]


class Fickle:
    """Answers some prompts by the company they are in."""

    def __init__(self, fickle: set[str]) -> None:
        self.effort, self._fickle = Effort(), fickle

    def move(self, recipe: Recipe) -> str:
        return ""

    def generate(self, prompts: Sequence[Prompt], drafts: Mapping[str, Sequence[int]] | None = None) -> list[Answer]:
        return [Answer(p.id, f"{len(prompts) if p.id in self._fickle else 0}", (), "stop") for p in prompts]


def test_answers_that_vary_by_themselves_are_counted() -> None:
    assert noise_floor(Fickle(set()), PROMPTS) == Noise(7, 0)
    noise = noise_floor(Fickle({"1", "6"}), PROMPTS)
    assert noise == Noise(7, 2)
    assert noise.rate == 2 / 7
    assert noise_floor(Fickle(set()), []).rate == 0
