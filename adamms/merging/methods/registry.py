"""The merge methods by name: a class that is decorated with `register` can be merged with and searched over."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from adamms.merging.methods.coefficient import Coefficient, coefficients
from adamms.merging.methods.method import Method

METHODS: dict[str, type[Method]] = {}
Kind = TypeVar("Kind", bound=type[Method])


def register(name: str) -> Callable[[Kind], Kind]:
    """Makes a method known as `merging.method=name`: written above `@dataclass(frozen=True)`.

    Raises:
        ValueError: another method has the name.
    """

    def add(method: Kind) -> Kind:
        if name in METHODS:
            raise ValueError(f"{name}: registered twice, as {METHODS[name].__qualname__} and {method.__qualname__}")
        METHODS[name] = method
        return method

    return add


class Description(NamedTuple):
    """A method as `--help` shows it: the first sentences of its docstring, and its coefficients besides alpha."""

    summary: str
    coefficients: list[Coefficient]


def describe_methods() -> dict[str, Description]:
    """Describes every method, by name in alphabetical order."""
    found = {}
    for name, method in sorted(METHODS.items()):
        summary = " ".join((method.__doc__ or "").split("\n\n")[0].split())
        found[name] = Description(summary, list(coefficients_of(name).values()))
    return found


def coefficients_of(method: str) -> dict[str, Coefficient]:
    """A method's coefficients besides alpha, by name."""
    return {name: one for name, one in coefficients(METHODS[method]).items() if name != "alpha"}
