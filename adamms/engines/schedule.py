"""Which unit of work an idle actor takes next: plain state, no Ray, so that it can be tested and simulated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from adamms.merging.candidate import Candidate
from adamms.prompts.prompt import Prompt


@dataclass(frozen=True, slots=True)
class Unit:
    """A block of prompts to be answered by one candidate; `attempt` counts from 1."""

    candidate: Candidate
    prompts: tuple[Prompt, ...]
    attempt: int = 1


class Schedule:
    """Units not yet taken, and which candidate each actor stands at.

    An idle actor goes on at the candidate it stands at while that has units left, so that few moves are made; then it
    takes the candidate of the smallest value that no other actor stands at; then it helps at the smallest one left.
    """

    def __init__(self, work: Mapping[Candidate, Sequence[Prompt]], block_size: int, attempts: int) -> None:
        self._waiting: dict[Candidate, list[Unit]] = {}
        self._attempts = attempts
        self._at: dict[int, Candidate] = {}
        self._given_up: set[Candidate] = set()
        for candidate in sorted(work):
            prompts = work[candidate]
            for start in range(0, len(prompts), block_size):
                self._put(Unit(candidate, tuple(prompts[start : start + block_size])))

    @property
    def waiting(self) -> int:
        """Units nobody has taken."""
        return sum(map(len, self._waiting.values()))

    def take(self, actor: int) -> Unit | None:
        """The next unit for an idle actor; None if nothing waits."""
        choices = [candidate for candidate in sorted(self._waiting) if self._waiting[candidate]]
        if not choices:
            return None
        others = {candidate for other, candidate in self._at.items() if other != actor}
        standing = self._at.get(actor)
        if standing not in choices:
            standing = next((candidate for candidate in choices if candidate not in others), choices[0])
        assert standing is not None
        self._at[actor] = standing
        return self._waiting[standing].pop(0)

    def gives_up(self, unit: Unit) -> bool:
        """Takes note of a failed unit: it waits for another attempt, or, once it has had all of them, its candidate is
        given up. True the first time a candidate is."""
        if unit.candidate in self._given_up:
            return False
        if unit.attempt < self._attempts:
            self._put(replace(unit, attempt=unit.attempt + 1))
            return False
        self._given_up.add(unit.candidate)
        self._waiting.pop(unit.candidate, None)
        return True

    def given_up(self, candidate: Candidate) -> bool:
        """Whether a candidate has failed for good."""
        return candidate in self._given_up

    def _put(self, unit: Unit) -> None:
        self._waiting.setdefault(unit.candidate, []).append(unit)
