"""Groups of weights with an alpha of their own: which tensors are in them, and that only those differ."""

from __future__ import annotations

import pickle

import pytest
import torch

from adamms.checkpoint import Checkpoint
from adamms.commands.settings import MapSettings
from adamms.errors import UserError
from adamms.mapping import plan_pair
from adamms.merging import Originals, Recipe
from adamms.merging.groups import belongs, layer_of, named_groups
from tests.support.merged import merged_tensor
from tests.support.tiny_models import TinyPair


def test_each_tensor_takes_the_alpha_of_its_group(tiny_pair: TinyPair) -> None:
    plan = plan_pair(MapSettings(base=str(tiny_pair.base), donor=str(tiny_pair.donor))).plan
    originals = Originals(Checkpoint.open(str(tiny_pair.base)), Checkpoint.open(str(tiny_pair.donor)))
    late = named_groups(["late"], plan.merged)[0]
    assert late == "layers:1-1"
    recipe = Recipe("linear", 0.1, {"attention": 0.4, late: 0.7})
    seen = set()
    for tensor in plan.merged:
        expected = 0.4 if tensor.role.startswith("self_attn") else 0.7 if layer_of(tensor) == 1 else 0.1
        merged = merged_tensor(tensor, originals, recipe)
        assert torch.equal(merged, merged_tensor(tensor, originals, Recipe("linear", expected)))
        seen.add(expected)
    assert seen == {0.1, 0.4, 0.7}


def test_groups_are_part_of_the_recipe() -> None:
    recipe = Recipe("slerp", 0.2, {"mlp": 0.3})
    assert recipe.to_dict()["groups"] == {"mlp": 0.3}
    assert recipe.at(0.5, "mlp") == Recipe("slerp", 0.2, {"mlp": 0.5})
    assert recipe.at(0.6, "attention").to_dict()["groups"] == {"mlp": 0.3, "attention": 0.6}
    assert recipe.at(0.6).to_dict() == {**recipe.to_dict(), "alpha": 0.6}
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    assert "groups" not in Recipe("linear", 0.2).to_dict()


@pytest.mark.parametrize(
    ("method", "groups", "message"),
    [
        ("linear", {"vision": 0.2}, "'vision' is none"),
        ("linear", {"mlp": 1.2}, "alpha=1.2"),
        ("metagpt", {"mlp": 0.2}, "finds the donor's weight by itself"),
    ],
)
def test_what_is_no_group_is_refused(method: str, groups: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Recipe(method, 0.1, groups)


def test_groups_that_hold_nothing_are_refused(tiny_pair: TinyPair) -> None:
    plan = plan_pair(MapSettings(base=str(tiny_pair.base), donor=str(tiny_pair.donor))).plan
    with pytest.raises(UserError, match="layers:FIRST-LAST up to 1"):
        named_groups(["mlp", "layers:2-3"], plan.merged)
    assert not belongs(plan.tensors[0], "mlp") or plan.tensors[0].merges
