"""The interface of an engine: it stands at one recipe, moves to another in place, and answers prompts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from adamms.engines.config import EngineConfig
from adamms.engines.identity import EngineIdentity
from adamms.engines.peak import PeakMemory
from adamms.mapping.plan import MergePlan
from adamms.merging.recipe import Recipe
from adamms.prompts.prompt import Prompt

if TYPE_CHECKING:
    from adamms.checkpoint import Checkpoint
    from adamms.engines.memory import MemoryNeed


@dataclass(frozen=True, slots=True)
class Answer:
    """What a candidate answered to one prompt.

    Attributes:
        tokens: ids of the generated tokens, without the one that ended the answer.
        finish_reason: 'stop' (it ended by itself) or 'length' (it was cut at `max_tokens`).
        logprobs: natural logarithm of the probability of each generated token, the one that ended the answer included;
            None where the engine does not give them. They depend on how work was batched, in the last digits.
    """

    prompt_id: str
    text: str
    tokens: tuple[int, ...]
    finish_reason: str
    logprobs: tuple[float, ...] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Effort:
    """What answering cost.

    Attributes:
        decoded_tokens: tokens that were decoded one after the other.
        drafted_tokens: tokens taken over from another candidate's answer after one look at all of them.
        encoded_images: images that went through the vision tower.
    """

    decoded_tokens: int = 0
    drafted_tokens: int = 0
    encoded_images: int = 0

    def __add__(self, other: Effort) -> Effort:
        return Effort(
            self.decoded_tokens + other.decoded_tokens,
            self.drafted_tokens + other.drafted_tokens,
            self.encoded_images + other.encoded_images,
        )

    def __sub__(self, other: Effort) -> Effort:
        return self + Effort(-other.decoded_tokens, -other.drafted_tokens, -other.encoded_images)


NO_EFFORT = Effort()


class Engine(ABC):
    """A base model in memory whose language model can be re-merged in place.

    Attributes:
        effort: what all answers so far cost.
        identity: what it is: kind, dtype, device and versions, all resolved.
    """

    effort: Effort
    identity: EngineIdentity

    @staticmethod
    def missing() -> str | None:
        """What has to be installed before this kind can be used here, in words; None if nothing."""
        return None

    @staticmethod
    def unfit(spec: EngineSpec, device: str) -> str | None:
        """Why `auto` does not take this kind for a base on 'cpu' or 'cuda', in words; None if it does."""
        return None

    @staticmethod
    def gpus(config: EngineConfig) -> int:
        """How many GPUs one engine works on, where there are any."""
        return 1

    @staticmethod
    def keeps_images(config: EngineConfig) -> bool:
        """Whether an engine keeps what its vision tower makes of images from one candidate to the next."""
        return False

    @staticmethod
    @abstractmethod
    def memory(
        plan: MergePlan, base: Checkpoint, donors: Sequence[Checkpoint], config: EngineConfig, device: str
    ) -> MemoryNeed:
        """What one engine needs of each of its GPUs or, on 'cpu', of its machine."""

    @abstractmethod
    def __init__(self, spec: EngineSpec) -> None:
        """Builds an engine that stands at the base's own weights."""

    @abstractmethod
    def adopt(self, plan: MergePlan) -> None:
        """Goes over to other donors (or other rules) for the same base; what is not merged any more becomes the
        base's own again with the next move."""

    @abstractmethod
    def move(self, recipe: Recipe) -> str:
        """Makes the live weights those of the recipe, from the originals; gives a digest of the merged weights."""

    @abstractmethod
    def generate(self, prompts: Sequence[Prompt], drafts: Mapping[str, Sequence[int]] | None = None) -> list[Answer]:
        """Greedy answers, one a prompt, in order. `drafts` (prompt id -> the tokens that another candidate answered)
        may be used to decode less, never to answer differently."""

    @abstractmethod
    def score(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """The answers that the prompts bring along (`Prompt.given`), one a prompt, in order, with the log-probability
        that the live model gives to each of their tokens; of one that it has no room for, to the tokens that fit.
        Nothing is decoded."""

    def answer(self, prompts: Sequence[Prompt], drafts: Mapping[str, Sequence[int]] | None = None) -> list[Answer]:
        """One answer a prompt, in order: a new one, or the given one scored."""
        new, given = ([p for p in prompts if (p.given is None) == is_new] for is_new in (True, False))
        found = iter(self.generate(new, drafts) if new else ()), iter(self.score(given) if given else ())
        return [next(found[prompt.given is not None]) for prompt in prompts]

    @abstractmethod
    def take_peak(self) -> PeakMemory:
        """The most memory that it had since this was asked last."""


@dataclass(frozen=True)
class EngineSpec:
    """All that an actor needs to build its engine anew, anywhere: where the originals are and what to do with them."""

    plan: MergePlan
    config: EngineConfig
    base_architecture: str | None = None

    @property
    def engine_key(self) -> str:
        """Equal for specs that one engine can serve, one after the other: the same base, asked in the same way."""
        return repr((self.plan.base, self.config, self.base_architecture))
