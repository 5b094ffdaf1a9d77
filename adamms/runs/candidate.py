"""What is known of one candidate once it has answered all its prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CandidateRecord:
    """One alpha's answers and what they cost.

    Attributes:
        answers: prompt id -> response.
        questions: prompt id -> prompt text.
        tokens: generated in all.
        digest: of the live merged weights.
        move_seconds, generate_seconds: summed over the actors that worked on it, in this run of the command.
        measured: whatever else was counted (tokens not decoded, vision forwards, bytes of memory): name -> value.
        error: why it failed; None if it did not.
    """

    alpha: float
    answers: Mapping[str, str] = field(default_factory=dict)
    questions: Mapping[str, str] = field(default_factory=dict)
    tokens: int = 0
    digest: str = ""
    move_seconds: float = 0.0
    generate_seconds: float = 0.0
    measured: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None

    @property
    def seconds(self) -> dict[str, float]:
        """What it took; nothing for a candidate that was finished before this run of the command."""
        if not self.generate_seconds:
            return {}
        return {"move_seconds": self.move_seconds, "generate_seconds": self.generate_seconds}
