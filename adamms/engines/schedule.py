"""Which unit of work an idle actor takes next: plain state, no Ray, so that it can be tested and simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adamms.prompts.prompt import Prompt


@dataclass(frozen=True, slots=True)
class Unit:
    """A block of prompts to be answered at one alpha; `attempt` counts from 1."""

    alpha: float
    prompts: tuple[Prompt, ...]
    attempt: int = 1


class Schedule:
    """Units not yet taken, and which alpha each actor stands at.

    An idle actor goes on at the alpha it stands at while that has units left, so that few moves are made; then it
    takes the smallest alpha that nobody works at; then it helps at the smallest one left.
    """

    def __init__(self, work: Mapping[float, Sequence[Prompt]], block_size: int, attempts: int) -> None:
        self._waiting: dict[float, list[Unit]] = {}
        self._attempts = attempts
        self._at: dict[int, float] = {}
        self._given_up: set[float] = set()
        for alpha in sorted(work):
            for start in range(0, len(work[alpha]), block_size):
                self._put(Unit(alpha, tuple(work[alpha][start : start + block_size])))

    @property
    def waiting(self) -> int:
        """Units nobody has taken."""
        return sum(map(len, self._waiting.values()))

    def take(self, actor: int) -> Unit | None:
        """The next unit for an idle actor; None if nothing waits."""
        choices = [alpha for alpha in sorted(self._waiting) if self._waiting[alpha]]
        if not choices:
            return None
        others = {alpha for other, alpha in self._at.items() if other != actor}
        standing = self._at.get(actor)
        if standing not in choices:
            standing = next((alpha for alpha in choices if alpha not in others), choices[0])
        assert standing is not None
        self._at[actor] = standing
        return self._waiting[standing].pop(0)

    def gives_up(self, unit: Unit) -> bool:
        """Takes note of a failed unit: it waits for another attempt, or, once it has had all of them, its alpha is
        given up, which is said once."""
        if unit.alpha in self._given_up:
            return False
        if unit.attempt < self._attempts:
            self._put(Unit(unit.alpha, unit.prompts, unit.attempt + 1))
            return False
        self._given_up.add(unit.alpha)
        self._waiting.pop(unit.alpha, None)
        return True

    def given_up(self, alpha: float) -> bool:
        """Whether an alpha has failed for good."""
        return alpha in self._given_up

    def _put(self, unit: Unit) -> None:
        self._waiting.setdefault(unit.alpha, []).append(unit)
