"""How a plan is executed: which method, with which coefficients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from adamms.errors import UserError
from adamms.merging.groups import belongs, is_group
from adamms.merging.methods import METHODS, Method

if TYPE_CHECKING:
    from adamms.mapping.plan import TensorPlan
    from adamms.merging.config import MergingConfig


@dataclass(frozen=True, slots=True, init=False)
class Recipe:
    """A merge method and its coefficients, checked: `Recipe("ties", alpha=0.3, density=0.2)`.

    Attributes:
        method: a name in `METHODS`.
        rule: the method with all of its coefficients, given or default.
        groups: group of weights (see `merging.groups`) -> the same with its own alpha; of several groups that a
            tensor is in, the first counts.
    """

    method: str
    rule: Method
    groups: tuple[tuple[str, Method], ...]

    def __init__(
        self,
        method: str = "linear",
        alpha: float = 0.0,
        groups: Mapping[str, float] | None = None,
        **coefficients: Any,
    ) -> None:
        """Raises UserError for an unknown method, and for coefficients it does not have or out of range."""
        if method not in METHODS:
            raise UserError(f"merging.method={method}: unknown; known are {', '.join(sorted(METHODS))}")
        known = coefficients_of(method)
        strange = [name for name in coefficients if name not in known]
        if strange:
            having = ", ".join(known) or "none"
            raise UserError(f"{method} has no coefficient {', '.join(strange)}; besides alpha it has: {having}")
        object.__setattr__(self, "method", method)
        object.__setattr__(self, "rule", METHODS[method](alpha=alpha, **coefficients))
        rules = {name: METHODS[method](alpha=own, **coefficients) for name, own in (groups or {}).items()}
        strange = [name for name in rules if not is_group(name)]
        if strange or (rules and not self.rule.uses_alpha):
            raise UserError(
                f"groups: {strange[0]!r} is none; there are attention, mlp and layers:FIRST-LAST"
                if strange
                else f"groups: {method} finds the donor's weight by itself"
            )
        object.__setattr__(self, "groups", tuple(rules.items()))

    @classmethod
    def of(cls, config: MergingConfig, alpha: float | None) -> Recipe:
        """The recipe that a config asks for; what it leaves open takes the method's default.

        Raises:
            UserError: as `Recipe` itself, or the method needs alpha and None is given.
        """
        names = {name for method in METHODS for name in coefficients_of(method)}
        given = {name: getattr(config, name) for name in sorted(names)}
        if alpha is None and config.method in METHODS and METHODS[config.method].uses_alpha:
            raise UserError(f"{config.method} needs --alpha, the donor's weight from 0 (all base) to 1 (all donor)")
        return cls(config.method, alpha or 0.0, **{name: value for name, value in given.items() if value is not None})

    @property
    def alpha(self) -> float:
        """The donor's weight, in [0, 1]."""
        return self.rule.alpha

    def rule_of(self, tensor: TensorPlan) -> Method:
        """The method with the alpha of the tensor's group, or with the one for all."""
        return next((rule for group, rule in self.groups if belongs(tensor, group)), self.rule)

    def at(self, value: float, coefficient: str = "alpha") -> Recipe:
        """The same recipe with another alpha (for all, or of a group), or another value of another coefficient."""
        given = {name: getattr(self.rule, name) for name in coefficients_of(self.method)}
        alphas = {group: rule.alpha for group, rule in self.groups}
        if is_group(coefficient):
            return Recipe(self.method, self.alpha, {**alphas, coefficient: value}, **given)
        return Recipe(self.method, **{"alpha": self.alpha, "groups": alphas, **given, coefficient: value})

    def to_dict(self) -> dict[str, Any]:
        """Method and all coefficients; without alpha where the method finds the weight by itself."""
        found = {"method": self.method, **asdict(self.rule)}
        if self.groups:
            found["groups"] = {group: rule.alpha for group, rule in self.groups}
        return found if self.rule.uses_alpha else {name: value for name, value in found.items() if name != "alpha"}

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.method, self.rule, {group: rule.alpha for group, rule in self.groups})


def _rebuild(method: str, rule: Method, groups: dict[str, float]) -> Recipe:
    return Recipe(method, groups=groups, **{f.name: getattr(rule, f.name) for f in fields(rule)})


def coefficients_of(method: str) -> tuple[str, ...]:
    """A method's coefficients besides alpha."""
    return tuple(f.name for f in fields(METHODS[method]) if f.name != "alpha")


__all__ = ["Recipe", "coefficients_of"]
