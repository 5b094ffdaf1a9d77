"""The coefficients of a merge method: fields of its data class, each with a default, a range and a description."""

import math
from dataclasses import dataclass, field, fields
from typing import Any

from adamms.support.numbers import finite

ALPHA = "alpha"
SUM_DIGITS = 6  # that a sum of weights is compared to


@dataclass(frozen=True, slots=True)
class Coefficient:
    """What one field of a method may be; its type is the default's."""

    name: str
    default: Any
    description: str = ""
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """Type and range in words, as errors and `--help` say them."""
        if self.choices:
            return " or ".join(self.choices)
        if isinstance(self.default, bool):
            return "true or false"
        if not isinstance(self.default, int | float):
            return "text"
        number = "a whole number" if isinstance(self.default, int) else "a number"
        if math.isfinite(self.high):
            return f"{number} from {self.low:g} to {self.high:g}"
        return f"{number} from {self.low:g} on" if math.isfinite(self.low) else number

    def accept(self, value: Any) -> Any:
        """The value in the coefficient's own type, so that 1 and 1.0 are one recipe.

        Raises:
            ValueError: it has another type, or is out of range.
        """
        kind = type(self.default)
        if kind in (int, float):
            if finite(value) is not None and self.low <= value <= self.high and kind(value) == value:
                return kind(value)
        elif isinstance(value, kind) and (not self.choices or value in self.choices):
            return value
        raise ValueError(f"expected {self.expected}")


def coefficients(method: type[Any]) -> dict[str, Coefficient]:
    """The coefficients of a class of methods by name, alpha first."""
    kinds = {ALPHA: Weights}
    return {one.name: kinds.get(one.name, Coefficient)(one.name, one.default, **one.metadata) for one in fields(method)}


@dataclass(frozen=True, slots=True)
class Weights(Coefficient):
    """The weight of one donor, or of each of several; together at most 1."""

    @property
    def expected(self) -> str:
        return "a number from 0 to 1, or one for each of several donors, at most 1 together"

    def accept(self, value: Any) -> float | tuple[float, ...]:
        """See `Coefficient.accept`; of a list of one the weight itself."""
        given = value if isinstance(value, list | tuple) else [value]
        weights = tuple(float(one) for one in given if finite(one) is not None and 0 <= one <= 1)
        if not weights or len(weights) < len(given) or round(math.fsum(weights), SUM_DIGITS) > 1:
            raise ValueError(f"expected {self.expected}")
        return weights if len(weights) > 1 else weights[0]


def alpha() -> Any:
    """The coefficient that every method has."""
    return field(default=0.0, metadata={"description": "the donor's weight; the base's is 1 - alpha"})


def share(default: float, description: str) -> Any:
    """A coefficient in [0, 1]."""
    return field(default=default, metadata={"description": description, "low": 0.0, "high": 1.0})


def scale() -> Any:
    """The coefficient lambda of the papers: any finite number from 0 on."""
    description = "what the merged task vector is multiplied by before it is added to the ancestor (lambda)"
    return field(default=1.0, metadata={"description": description, "low": 0.0})


def seed() -> Any:
    """The coefficient of methods that drop values at random."""
    return field(default=0, metadata={"description": "seed of the random choice of the values that are dropped"})


def choice(*choices: str, description: str) -> Any:
    """A coefficient that is one of some words; the first is the default."""
    return field(default=choices[0], metadata={"description": description, "choices": choices})
