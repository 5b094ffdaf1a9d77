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

    Where engines keep what they make of images, an actor first takes, at the candidate it stands at and then at the
    smallest one, units that it had for another candidate or that nobody had. So no image is encoded by two engines
    while each has work of its own; they move more often instead, which costs less.

    Args:
        had: prompt id -> the actors whose engines have had it, if it has images; filled on the way, and shared by the
            schedules of one pool.
    """

    def __init__(
        self,
        work: Mapping[Candidate, Sequence[Prompt]],
        block_size: int,
        attempts: int,
        had: dict[str, set[int]] | None = None,
    ) -> None:
        self._waiting: dict[Candidate, list[Unit]] = {}
        self._attempts = attempts
        self._at: dict[int, Candidate] = {}
        self._given_up: set[Candidate] = set()
        self._had = {} if had is None else had
        for candidate in sorted(work):
            prompts = work[candidate]
            for start in range(0, len(prompts), block_size):
                self._put(Unit(candidate, tuple(prompts[start : start + block_size])))

    @property
    def waiting(self) -> int:
        """Units nobody has taken."""
        return sum(map(len, self._waiting.values()))

    def take(self, actor: int, keeps_images: bool = False) -> Unit | None:
        """The next unit for an idle actor; None if nothing waits.

        Args:
            keeps_images: whether its engine keeps what it makes of images from one candidate to the next.
        """
        unit = (self._familiar(actor) if keeps_images else None) or self._nearest(actor)
        if unit is None:
            return None
        self._at[actor] = unit.candidate
        self._waiting[unit.candidate].remove(unit)
        for prompt in unit.prompts:
            if prompt.images:
                self._had.setdefault(prompt.id, set()).add(actor)
        return unit

    def _familiar(self, actor: int) -> Unit | None:
        """The first unit with images that this actor had for another candidate, or that nobody had: a unit is known by
        its first prompt."""
        standing = self._at.get(actor)
        for candidate in sorted(self._waiting, key=lambda one: (one != standing, one)):
            for unit in self._waiting[candidate]:
                first = unit.prompts[0]
                if first.images and actor in (self._had.get(first.id) or {actor}):
                    return unit
        return None

    def _nearest(self, actor: int) -> Unit | None:
        """The first unit of the candidate that costs the fewest moves."""
        choices = [candidate for candidate in sorted(self._waiting) if self._waiting[candidate]]
        if not choices:
            return None
        others = {candidate for other, candidate in self._at.items() if other != actor}
        standing = self._at.get(actor)
        if standing not in choices:
            standing = next((candidate for candidate in choices if candidate not in others), choices[0])
        assert standing is not None
        return self._waiting[standing][0]

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


def forget(had: Mapping[str, set[int]], actor: int) -> None:
    """Takes note that an actor's engine starts anew: it has had nothing."""
    for actors in had.values():
        actors.discard(actor)
