from collections.abc import Sequence
from dataclasses import dataclass

from adamms.engines.pool import InferencePool
from adamms.merging.candidate import Candidate
from adamms.prompts.prompt import Prompt


@dataclass(frozen=True, slots=True)
class Noise:
    """Of `asked` prompts, `differing` were answered differently the second time: divergence that no weights caused."""

    asked: int
    differing: int

    @property
    def rate(self) -> float:
        """Share of answers that differed, 0 to 1."""
        return self.differing / self.asked if self.asked else 0.0


def noise_floor(pool: InferencePool, candidate: Candidate, prompts: Sequence[Prompt], block_size: int) -> Noise:
    """How many greedy answers differ where one candidate is asked the same prompts twice, without drafts, the second
    time batched differently.

    Greedy answers can vary with the batch that a prompt is in. So the second time prompts come in reverse order and in
    blocks of half the size. Prompts that could not be answered twice are not counted.
    """
    first = _texts(pool, candidate, prompts, block_size)
    again = _texts(pool, candidate, prompts[::-1], max(1, block_size // 2))
    both = first.keys() & again.keys()
    return Noise(len(both), sum(first[name] != again[name] for name in both))


def _texts(pool: InferencePool, candidate: Candidate, prompts: Sequence[Prompt], block_size: int) -> dict[str, str]:
    results = pool.answer({candidate: prompts}, block_size, drafts=False)
    return {answer.prompt_id: answer.text for result in results for answer in result.answers}
