"""mergekit's recipes, read and written: against its own formulas, written out here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from adamms.errors import UserError
from adamms.merging.mergekit import Foreign, read_mergekit, to_mergekit
from adamms.merging.methods.method import Operands
from adamms.merging.recipe import Recipe
from tests.merging.conftest import Models


def written(tmp_path: Path, recipe: dict[str, Any]) -> Path:
    file = tmp_path / "recipe.yml"
    file.write_text(yaml.safe_dump(recipe))
    return file


def two(ours: dict[str, float], theirs: dict[str, float], **rest: Any) -> dict[str, Any]:
    return {"models": [{"model": "a/base", "parameters": ours}, {"model": "b/donor", "parameters": theirs}], **rest}


def mergekits(method: str, weights: tuple[float, float], normalize: bool, lambda_: float, x: Operands) -> torch.Tensor:
    """mergekit's generalised task arithmetic without sparsification (density 1), in float64."""
    root = x.ancestor.double() if method != "linear" else torch.zeros(len(x.base), dtype=torch.float64)
    vectors = torch.stack([x.base.double() - root, x.donor.double() - root])
    w = torch.tensor(weights, dtype=torch.float64).unsqueeze(1)
    mask = torch.ones_like(vectors)
    if "ties" in method:
        weighted = vectors * w
        majority = torch.where(weighted.sum(0) >= 0, 1.0, -1.0)
        mask = (weighted.sign() == majority).double()
    mixed, divisor = (vectors * w * mask).sum(0), (w * mask).sum(0)
    divisor[divisor.abs() < 1e-8] = 1
    return root + lambda_ * (mixed / divisor if normalize else mixed)


@pytest.mark.parametrize(
    ("method", "weights", "parameters"),
    [
        ("linear", (0.7, 0.3), {}),
        ("linear", (2.0, 1.0), {"normalize": True}),
        ("task_arithmetic", (0.6, 0.9), {}),
        ("task_arithmetic", (1.0, 0.5), {"normalize": True, "lambda": 0.8}),
        ("ties", (1.0, 0.5), {"lambda": 1.1}),
        ("dare_linear", (0.5, 0.4), {}),
        ("dare_ties", (1.0, 2.0), {"normalize": True}),
    ],
)
def test_a_recipe_means_what_mergekit_means(
    tmp_path: Path, method: str, weights: tuple[float, float], parameters: dict[str, Any]
) -> None:
    rest = {} if method == "linear" else {"base_model": "c/root"}
    rows = two({"weight": weights[0]}, {"weight": weights[1]}, merge_method=method, parameters=parameters, **rest)
    found = read_mergekit(written(tmp_path, rows))
    assert (found.base, found.donor, found.ancestor) == ("a/base", "b/donor", rest.get("base_model"))
    generator = torch.Generator().manual_seed(3)
    base, donor, root = (torch.randn(64, generator=generator) for _ in range(3))
    x = Operands("w", 0, 8, base, donor, root)
    rule = Recipe(found.method, found.alpha, **found.options).rule
    statistic = (0.0, 0.0) if method == "ties" else ()  # nothing is trimmed at density 1
    normalize = parameters.get("normalize", method in ("linear", "ties"))
    expected = mergekits(method, weights, normalize, parameters.get("lambda", 1.0), x)
    torch.testing.assert_close(rule.merge(x, statistic).double(), expected, rtol=1e-5, atol=1e-6)


def test_slerp_and_density(tmp_path: Path) -> None:
    rows = {"merge_method": "slerp", "base_model": "a/base", "models": [{"model": "a/base"}, {"model": "b/donor"}]}
    found = read_mergekit(written(tmp_path, {**rows, "parameters": {"t": 0.25}, "dtype": "bfloat16"}))
    assert found == Foreign("a/base", "b/donor", None, "slerp", 0.25)
    sparse = two({"density": 0.5}, {"density": 0.5}, merge_method="ties", base_model="c/root")
    assert read_mergekit(written(tmp_path, sparse)).options == {"density": 0.5, "trim_over": "tensor"}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"merge_method": "passthrough", "slices": []}, "merge_method=passthrough: of mergekit's, linear"),
        (two({}, {}, merge_method="linear", tokenizer_source="union"), "tokenizer_source: not read"),
        (two({}, {}, merge_method="ties"), "needs the model that both grew from"),
        (two({"weight": [0, 1]}, {}, merge_method="linear"), r"weight=\[0, 1\]: expected one number"),
        (two({"density": 0.1}, {"density": 0.2}, merge_method="ties", base_model="r/r"), "give them the same"),
        (two({}, {}, merge_method="dare_ties", base_model="r/r"), "set it"),
        ({"merge_method": "linear", "models": [{"model": "a/a"}]}, "1 models are merged"),
        ({"merge_method": "linear", "models": ["a/a"]}, "expected a list of them"),
    ],
)
def test_what_adamms_does_not_do_is_refused(tmp_path: Path, recipe: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_mergekit(written(tmp_path, recipe))


def test_ours_are_written_where_mergekit_can_do_the_same(models: Models, tmp_path: Path) -> None:
    plan = models.plan()
    assert to_mergekit(plan, Recipe("linear", 0.3)) is None, "two architectures"
    rows = [tensor for tensor in plan.tensors if tensor.merges]
    named = [replace(t, pieces=tuple(replace(p, donor=t.name) for p in t.pieces)) for t in rows]
    alike = replace(plan, tensors=tuple(named))
    for recipe in (Recipe("linear", 0.3), Recipe("slerp", 0.3), Recipe("ties", 0.3, density=0.4, trim_over="tensor")):
        found = to_mergekit(alike, recipe)
        assert found is not None
        again = read_mergekit(written(tmp_path, found))
        assert (again.base, again.donor) == (plan.base.location, plan.donor.location)
        assert Recipe(again.method, again.alpha, **again.options).to_dict() == pytest.approx(recipe.to_dict())
    assert to_mergekit(alike, Recipe("ties", 0.3)) is None, "mergekit trims tensors, not the model"
    assert to_mergekit(alike, Recipe("metagpt")) is None
