"""What is known of one candidate once it has answered all its prompts, beside the answers themselves."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CandidateRecord:
    """One candidate, and what its answers cost.

    Attributes:
        value: of the coefficient that is searched.
        answers: how many prompts it has answered.
        tokens: generated in all.
        digest: of the live merged weights.
        move_seconds, generate_seconds: summed over the actors that worked on it, in this run of the command.
        measured: whatever else was counted (tokens not decoded, images encoded, GB of memory): name -> value.
        error: why it failed; None if it did not.
        timed: how many answers took those seconds; others were there before this run of the command.
    """

    value: float
    answers: int = 0
    tokens: int = 0
    digest: str = ""
    move_seconds: float = 0.0
    generate_seconds: float = 0.0
    measured: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    timed: int = 0
