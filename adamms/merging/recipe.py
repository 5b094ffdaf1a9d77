"""How a plan is executed: which method, with which coefficients."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from adamms.errors import UserError
from adamms.mapping.combine import without_others
from adamms.mapping.plan import MergePlan
from adamms.merging.config import MergingConfig
from adamms.merging.methods import METHODS, Method, coefficients
from adamms.merging.methods.coefficient import ALPHA
from adamms.merging.methods.registry import coefficients_of

OPTIONS = "merging.options."
Alpha = float | tuple[float, ...]
"""The donor's weight, or that of each of several donors."""


def parse_alpha(given: float | str | None) -> Alpha | None:
    """The weight of a donor, or of each of several: `0.3`, `0.3,0.2`.

    Raises:
        UserError: the text is no such numbers.
    """
    try:
        weights = tuple(map(float, given.split(","))) if isinstance(given, str) else (given,)
    except ValueError:
        raise UserError(
            f"alpha={str(given)[:100]}: expected the donor's weight, or that of each of several, such as 0.3,0.2"
        ) from None
    return weights if len(weights) > 1 else weights[0]


@dataclass(frozen=True, slots=True, init=False)
class Recipe:
    """A merge method and its coefficients, checked: `Recipe("ties", alpha=0.3, density=0.2)`.

    Attributes:
        method: a name in `METHODS`.
        rule: the method with all of its coefficients, given or default.
    """

    method: str
    rule: Method

    def __init__(self, /, method: str = "linear", alpha: Alpha = 0.0, **options: Any) -> None:
        """Raises UserError for an unknown method, and for all coefficients that it does not have or that are wrong."""
        object.__setattr__(self, "method", method)
        object.__setattr__(self, "rule", _configured(method, alpha, options))

    @classmethod
    def of(cls, config: MergingConfig, alpha: Alpha | None) -> Self:
        """The recipe that a config asks for; what it leaves open takes the method's default.

        Raises:
            UserError: as `Recipe` itself, or the method needs alpha and None is given.
        """
        if alpha is None and config.method in METHODS and METHODS[config.method].uses_alpha:
            raise UserError(
                f"{config.method} needs --alpha, the donor's weight from 0 (all base) to 1 (all donor), "
                "or one for each of several donors"
            )
        rule = _configured(config.method, alpha or 0.0, config.options)
        return cls(config.method, **asdict(rule))

    @property
    def alpha(self) -> Alpha:
        """The donor's weight, in [0, 1]; of several donors, each one's."""
        return self.rule.alpha

    def at(self, value: float, coefficient: str = ALPHA, donor: int | None = None) -> Self:
        """The same recipe with another value of a coefficient: of alpha, the weight of that donor of several."""
        found: Any = value
        if donor is not None:
            found = [value if i == donor else own for i, own in enumerate(self.rule.alphas)]
        return type(self)(self.method, **{**asdict(self.rule), coefficient: found})

    def to_dict(self) -> dict[str, Any]:
        """Method and all coefficients; without alpha where the method finds the weight by itself."""
        found = {"method": self.method, **asdict(self.rule)}
        found[ALPHA] = list(self.alpha) if isinstance(self.alpha, tuple) else self.alpha
        return found if self.rule.uses_alpha else {name: value for name, value in found.items() if name != ALPHA}

    def check_donors(self, count: int) -> None:
        """Raises UserError unless so many donors can be merged by it, each with a weight."""
        if count > 1 and not self.rule.many_donors:
            able = ", ".join(sorted(name for name, method in METHODS.items() if method.many_donors))
            raise UserError(f"merging.method={self.method}: merges one donor, not {count}; {able} merge several")
        given = len(self.rule.alphas)
        if self.rule.uses_alpha and given != count:
            example = ",".join(["0.2"] * count)
            raise UserError(
                f"alpha: {given} weight{'s' * (given > 1)} for {count} donor{'s' * (count > 1)}; give each its own"
                + (f", such as --alpha {example}" if count > 1 else "")
            )

    def left_of(self, plan: MergePlan) -> MergePlan:
        """The plan without the donors that take no part: they are as if they had not been named."""
        taking = self.taking(len(plan.donors))
        return plan if len(taking) == len(plan.donors) else without_others(plan, taking)

    def taking(self, count: int) -> frozenset[int]:
        """Which of so many donors take part: those whose weight is not 0. Where all are, or the method finds the
        weights by itself, everybody."""
        weighed = {donor for donor, weight in enumerate(self.rule.alphas) if weight}
        return frozenset(weighed if weighed and self.rule.uses_alpha else range(count))


def _configured(method: str, alpha: Alpha, options: Mapping[str, Any]) -> Method:
    """The method with its coefficients.

    Raises:
        UserError: no such method; or everything that is wrong with the coefficients, with what the method has.
    """
    if method not in METHODS:
        raise UserError(f"merging.method={method}: unknown; known are {', '.join(sorted(METHODS))}")
    known, accepted, problems = coefficients_of(method), {}, []
    given = {ALPHA: alpha, **{f"{OPTIONS}{name}": value for name, value in options.items()}}
    for setting, value in given.items():
        name = setting.removeprefix(OPTIONS)
        coefficient = coefficients(METHODS[method])[ALPHA] if setting == ALPHA else known.get(name)
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
