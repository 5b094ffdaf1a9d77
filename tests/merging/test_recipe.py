"""Recipes: each method checks its own coefficients, and a new method does not concern the others."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch

from adamms.errors import UserError
from adamms.merging import Originals, Recipe
from adamms.merging.candidate import Candidate
from adamms.merging.config import MergingConfig
from adamms.merging.methods import METHODS, Method, Operands, Statistic, describe_methods, register
from adamms.merging.methods.coefficient import choice, seed, share
from adamms.merging.recipe import coefficients_of
from tests.merging.test_methods import NAME, setting
from tests.support.merged import merged_tensor


def test_coefficients_are_checked_all_together() -> None:
    with pytest.raises(UserError, match=r"alpha=2.*density=-1.*epsilon=nan") as raised:
        Recipe("della", 2, density=-1, epsilon=float("nan"))
    assert "\n" not in str(raised.value)
    with pytest.raises(UserError, match=r"linear has no coefficient density"):
        Recipe("linear", 0.3, density=0.2)
    with pytest.raises(UserError, match=r"unknown; known are breadcrumbs"):
        Recipe("averaging")
    with pytest.raises(UserError, match=r"trim_over=row: expected model or tensor"):
        Recipe("ties", 0.3, trim_over="row")


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("ties", {"density": "half"}, "merging.options.density=half: expected a number from 0 to 1"),
        ("ties", {"density": True}, "merging.options.density=True"),
        ("ties", {"density": None}, "merging.options.density=None"),
        ("ties", {"gamma": 0.1}, "has density (a number from 0 to 1), scale (a number from 0 on), trim_over (model or"),
        ("dare_ties", {"seed": 1.5}, "merging.options.seed=1.5: expected a whole number"),
        ("linear", {"alpha": 0.3}, "merging.options.alpha: linear has no coefficient alpha; besides alpha, linear has"),
        ("linear", {"self": 1, "method": "ties"}, "merging.options.self: linear has no coefficient self; merging"),
    ],
)
def test_options_are_named_as_they_are_set(method: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(UserError) as raised:
        Recipe.of(MergingConfig(method=method, options=options), 0.3)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_any_coefficient_can_be_walked_over() -> None:
    recipe = Recipe("ties", 0.3, density=0.4)
    assert recipe.at(0.5).to_dict() == {**recipe.to_dict(), "alpha": 0.5}
    assert recipe.at(0.9, "density").to_dict() == {**recipe.to_dict(), "density": 0.9}
    assert "alpha" not in Recipe("metagpt").to_dict()
    with pytest.raises(UserError, match="density"):
        recipe.at(1.5, "density")


def test_every_coefficient_can_be_set_in_a_config() -> None:
    for method in METHODS:
        given = {name: getattr(Recipe(method).rule, name) for name in coefficients_of(method)}
        assert Recipe.of(MergingConfig(method=method, options=given), 0.0) == Recipe(method)


def test_a_whole_number_and_a_decimal_are_one_recipe() -> None:
    """Its text is part of what stored answers are found by."""
    assert str(Recipe("ties", 1, density=1).to_dict()) == str(Recipe("ties", 1.0, density=1.0).to_dict())
    assert Recipe("dare_linear", seed=3.0) == Recipe("dare_linear", seed=3)
    assert type(Recipe("dare_linear", seed=3.0).to_dict()["seed"]) is int


def test_a_recipe_survives_being_sent() -> None:
    recipe = Recipe("ties", 0.3, density=0.4)
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    assert hash(pickle.loads(pickle.dumps(recipe))) == hash(recipe)


@pytest.fixture
def clipped() -> Iterator[type[Method]]:
    """A new method, with a coefficient that no other has, and one of another's name and another type."""

    @register("clipped")
    @dataclass(frozen=True)
    class Clipped(Method):
        """The donor's difference to the base, clipped. Of no paper.

        More is not in the summary.
        """

        reach: float = share(0.5, "largest difference that is kept")
        scale: str = choice("plain", "double", description="once or twice")
        seed: int = seed()
        exact: bool = False

        def merge(self, x: Operands, statistic: Statistic = ()) -> torch.Tensor:
            factor = self.alpha * (2 if self.scale == "double" else 1)
            return x.base.add_(x.donor.sub_(x.base).clamp_(-self.reach, self.reach).mul_(factor))

    yield Clipped
    del METHODS["clipped"]


def test_a_new_method_merges_with_its_own_coefficients(clipped: type[Method]) -> None:
    tensor, originals = setting((6, 5), "F32")
    recipe = Recipe.of(MergingConfig(method="clipped", options={"reach": 0.01, "scale": "double", "exact": True}), 0.5)
    base, donor = (source.read(NAME).reshape(6, 5) for source in (originals.base, originals.donors[0]))
    wanted = base + (donor - base).clamp(-0.01, 0.01)
    assert torch.equal(merged_tensor(tensor, originals, recipe), wanted)
    assert recipe.at(0.02, "reach").to_dict()["reach"] == 0.02
    with pytest.raises(UserError, match=r"merging\.options\.exact=1: expected true or false"):
        Recipe("clipped", exact=1)


def test_a_new_method_does_not_concern_the_others(clipped: type[Method]) -> None:
    tensor, originals = setting((6, 5), "F32")
    recipe = Recipe.of(MergingConfig(), 0.25)
    assert recipe == Recipe("linear", 0.25)
    merged = merged_tensor(tensor, Originals(originals.base, originals.donors), recipe)
    assert torch.allclose(merged, 0.75 * originals.base.read(NAME).reshape(6, 5) + 0.25 * originals.donors[0][NAME])  # type: ignore[index]
    with pytest.raises(UserError, match="linear has no coefficient reach"):
        Recipe("linear", 0.3, reach=0.1)


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="linear: registered twice"):
        register("linear")(Method)
    assert METHODS["linear"] is not Method


def test_methods_describe_themselves(clipped: type[Method]) -> None:
    described = describe_methods()
    assert list(described) == sorted(METHODS)
    assert described["clipped"].summary == "The donor's difference to the base, clipped. Of no paper."
    reach = described["clipped"].coefficients[0]
    assert (reach.name, reach.default, reach.expected) == ("reach", 0.5, "a number from 0 to 1")
    for name, method in described.items():
        assert method.summary
        assert "\n" not in method.summary
        assert tuple(one.name for one in method.coefficients) == tuple(coefficients_of(name))
        assert all(one.description for one in method.coefficients if one.name != "exact")


def test_candidates_are_ordered_by_their_value_and_equal_by_their_recipe() -> None:
    recipe = Recipe("ties", 0.3)
    candidates = [Candidate(value, recipe.at(value, "density")) for value in (0.5, 0.2, 0.9)]
    assert [one.value for one in sorted(candidates)] == [0.2, 0.5, 0.9]
    assert max(candidates).recipe.to_dict()["density"] == 0.9
    assert Candidate(0.5, recipe.at(0.5, "density")) in set(candidates)
    assert Candidate(0.5, recipe.at(0.5)) not in set(candidates)
