"""How a plan is executed: which method, with which coefficients."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from adamms.errors import UserError
from adamms.merging.config import MergingConfig
from adamms.merging.methods import METHODS, Method, coefficients
from adamms.merging.methods.registry import coefficients_of

OPTIONS = "merging.options."


@dataclass(frozen=True, slots=True, init=False)
class Recipe:
    """A merge method and its coefficients, checked: `Recipe("ties", alpha=0.3, density=0.2)`.

    Attributes:
        method: a name in `METHODS`.
        rule: the method with all of its coefficients, given or default.
    """

    method: str
    rule: Method

    def __init__(self, /, method: str = "linear", alpha: float = 0.0, **options: Any) -> None:
        """Raises UserError for an unknown method, and for all coefficients that it does not have or that are wrong."""
        object.__setattr__(self, "method", method)
        object.__setattr__(self, "rule", _configured(method, alpha, options))

    @classmethod
    def of(cls, config: MergingConfig, alpha: float | None) -> Self:
        """The recipe that a config asks for; what it leaves open takes the method's default.

        Raises:
            UserError: as `Recipe` itself, or the method needs alpha and None is given.
        """
        if alpha is None and config.method in METHODS and METHODS[config.method].uses_alpha:
            raise UserError(f"{config.method} needs --alpha, the donor's weight from 0 (all base) to 1 (all donor)")
        rule = _configured(config.method, alpha or 0.0, config.options)
        return cls(config.method, **asdict(rule))

    @property
    def alpha(self) -> float:
        """The donor's weight, in [0, 1]."""
        return self.rule.alpha

    def at(self, value: float, coefficient: str = "alpha") -> Self:
        """The same recipe with another alpha, or another value of another coefficient."""
        return type(self)(self.method, **{**asdict(self.rule), coefficient: value})

    def to_dict(self) -> dict[str, Any]:
        """Method and all coefficients; without alpha where the method finds the weight by itself."""
        found = {"method": self.method, **asdict(self.rule)}
        return found if self.rule.uses_alpha else {name: value for name, value in found.items() if name != "alpha"}


def _configured(method: str, alpha: float, options: Mapping[str, Any]) -> Method:
    """The method with its coefficients.

    Raises:
        UserError: no such method; or everything that is wrong with the coefficients, with what the method has.
    """
    if method not in METHODS:
        raise UserError(f"merging.method={method}: unknown; known are {', '.join(sorted(METHODS))}")
    known, accepted, problems = coefficients_of(method), {}, []
    given = {"alpha": alpha, **{f"{OPTIONS}{name}": value for name, value in options.items()}}
    for setting, value in given.items():
        name = setting.removeprefix(OPTIONS)
        coefficient = coefficients(METHODS[method])["alpha"] if setting == "alpha" else known.get(name)
        if coefficient is None:
            problems.append(f"{setting}: {method} has no coefficient {name}")
            continue
        try:
            accepted[name] = coefficient.accept(value)
        except ValueError as error:
            problems.append(f"{setting}={value}: {error}")
    if any(problem.startswith(OPTIONS) for problem in problems):
        having = ", ".join(f"{name} ({one.expected})" for name, one in known.items()) or "none"
        problems.append(f"besides alpha, {method} has {having}")
    if problems:
        raise UserError.from_problems(problems)
    return METHODS[method](**accepted)


__all__ = ["Recipe", "coefficients_of"]
