"""The way through the weights of several donors, as arithmetic: which donor's weight is searched next, and with which
weights of the others.

First every donor is searched by itself. In the order that the criterion likes them best, each is then searched with
those before it in place; once all are, each weight is searched again around the others, until a pass changes nothing.
Where weights to begin with are known, there are only such passes around them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import fsum

from adamms.runs.values import normalize_value

Weights = tuple[float, ...]
"""Of all donors, in their order."""


@dataclass(frozen=True, slots=True)
class Step:
    """A line along one donor's weight.

    Attributes:
        donor: its number.
        weights: of all donors; its own is 0.
        values: candidates of its weight.
    """

    donor: int
    weights: Weights
    values: tuple[float, ...]

    def at(self, value: float) -> Weights:
        """All weights where its own is this."""
        return replaced(self.weights, self.donor, value)

    @property
    def points(self) -> list[Weights]:
        """The weights of all candidates."""
        return [self.at(value) for value in self.values]


@dataclass(frozen=True, slots=True)
class Ended:
    """What a line came to.

    Attributes:
        chosen: None where none of its candidates could be chosen.
        rank: what lines are ordered by: the less, the better.
    """

    chosen: float | None
    rank: tuple[float, ...]


class Walk:
    """Gives steps and takes what they came to; each step is taken once.

    Args:
        names: of the donors, in an order of their own: of equally good lines the first goes on.
        values: candidates of every donor's weight, as far as the others leave room.
        fewest: candidates that a line needs.
        start: weights to go around, in place of a line for each donor alone.

    Attributes:
        weights: chosen so far.
    """

    def __init__(
        self,
        names: Sequence[str],
        values: Sequence[float],
        passes: int,
        fewest: int = 3,
        start: Sequence[float] | None = None,
    ) -> None:
        self._names, self._values, self._fewest = names, tuple(values), fewest
        self._ended: dict[Step, Ended] = {}
        self._passes = passes
        self.weights: Weights = tuple(start or (0.0,) * len(names))
        self._steps = self._from_alone() if start is None else self._around(self._by_weight(), max(passes, 1))

    def __iter__(self) -> Iterator[list[Step]]:
        """Steps that can be taken at once; what they came to has to be told by `end` before the next are asked for."""
        return self._steps

    @property
    def last(self) -> Step | None:
        """The line that the weights are shown on: the last one that chose them, if there is one along a donor that has
        a weight; None where no line chose anything."""
        chose = [(step, one.chosen) for step, one in self._ended.items() if one.chosen is not None]
        through = [(step, value) for step, value in chose if step.at(value) == self.weights]
        of_weight = [step for step, value in through if value]
        return next(reversed(of_weight or [step for step, _ in through]), None)

    def end(self, step: Step, ended: Ended) -> None:
        """Takes note of what a line came to."""
        self._ended[step] = ended

    def _from_alone(self) -> Iterator[list[Step]]:
        alone = [self.step(donor) for donor in range(len(self._names))]
        first = [step for step in alone if step is not None]
        yield first
        order = sorted(first, key=lambda step: (self._ended[step].rank, self._names[step.donor]))
        for step in order[:1]:
            self._go(step)
        for step in order[1:]:
            yield from self._along(step.donor)
        yield from self._around([step.donor for step in order], self._passes)

    def _around(self, order: Sequence[int], passes: int) -> Iterator[list[Step]]:
        """Passes along every donor's weight, as long as they change something."""
        for _ in range(passes):
            before = self.weights
            for donor in order:
                yield from self._along(donor)
            if self.weights == before:
                return

    def _by_weight(self) -> list[int]:
        """The donor of the largest weight first."""
        return sorted(range(len(self.weights)), key=lambda donor: (-self.weights[donor], self._names[donor]))

    def _along(self, donor: int) -> Iterator[list[Step]]:
        """Searches one donor's weight around the others, unless that was done."""
        step = self.step(donor)
        if step is None:
            return
        if step not in self._ended:
            yield [step]
        self._go(step)

    def _go(self, step: Step) -> None:
        """To what a line chose; where it chose nothing, its donor is left out."""
        chosen = self._ended[step].chosen
        if chosen is not None:
            self.weights = step.at(chosen)

    def step(self, donor: int) -> Step | None:
        """The line along a donor's weight, with the others as they are chosen now; None where these leave too little
        room for one."""
        weights = replaced(self.weights, donor, 0.0)
        room = normalize_value(1 - fsum(weights))
        values = tuple(value for value in self._values if value <= room)
        return Step(donor, weights, values) if len(values) >= self._fewest else None


def replaced(weights: Sequence[float], donor: int, value: float) -> Weights:
    """The weights with another one of one donor."""
    return tuple(value if i == donor else weight for i, weight in enumerate(weights))
