"""The noise floor: how many greedy answers differ when the same candidate is asked the same things twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adamms.generation.engine import Engine
from adamms.generation.prompts import Prompt


@dataclass(frozen=True, slots=True)
class Noise:
    """Of `asked` prompts, `differing` were answered differently the second time: divergence that alpha did not make."""

    asked: int
    differing: int

    @property
    def rate(self) -> float:
        return self.differing / self.asked if self.asked else 0.0


def noise_floor(engine: Engine, prompts: Sequence[Prompt]) -> Noise:
    """Answers the prompts twice at the recipe where the engine stands, in other company the second time.

    The second time they come in reverse order and in halves, since what varies is how prompts share a batch.
    """
    first = {answer.prompt_id: answer.text for answer in engine.generate(prompts)}
    middle = len(prompts) // 2
    backwards = list(reversed(prompts))
    again = [*engine.generate(backwards[:middle]), *engine.generate(backwards[middle:])]
    return Noise(len(prompts), sum(first[answer.prompt_id] != answer.text for answer in again))
