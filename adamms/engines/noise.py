"""The noise floor: how many greedy answers differ when the same candidate is asked the same things twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adamms.engines.pool import InferencePool
from adamms.merging.recipe import Recipe
from adamms.prompts.prompt import Prompt


@dataclass(frozen=True, slots=True)
class Noise:
    """Of `asked` prompts, `differing` were answered differently the second time: divergence that alpha did not make."""

    asked: int
    differing: int

    @property
    def rate(self) -> float:
        return self.differing / self.asked if self.asked else 0.0


def noise_floor(pool: InferencePool, recipe: Recipe, prompts: Sequence[Prompt], block_size: int) -> Noise:
    """Answers the prompts twice at the recipe's alpha, in other company the second time, without drafts.

    The second time they come in reverse order and in half blocks, since what varies is how prompts share a batch.
    Prompts that could not be answered twice are not counted.
    """
    first = _texts(pool, recipe, prompts, block_size)
    again = _texts(pool, recipe, prompts[::-1], max(1, block_size // 2))
    both = first.keys() & again.keys()
    return Noise(len(both), sum(first[name] != again[name] for name in both))


def _texts(pool: InferencePool, recipe: Recipe, prompts: Sequence[Prompt], block_size: int) -> dict[str, str]:
    results = pool.answer(recipe, {recipe.alpha: prompts}, block_size, drafts=False)
    return {answer.prompt_id: answer.text for result in results for answer in result.answers}
