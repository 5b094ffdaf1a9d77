"""Language models correspond whole, or are refused; mixtures of experts in every form that files have."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.errors import UserError
from adamms.mapping import PlannedPair, plan_merge
from adamms.mapping.ancestry import check_ancestry
from adamms.mapping.config import MappingConfig
from adamms.mapping.live_places import LivePlace, live_places
from adamms.mapping.table import print_plan
from adamms.merging.recipe import Recipe
from adamms.merging.to_disk import merge_to_disk
from tests.support import checkpoints as c

ALPHA, EXPERTS, WIDTH = 0.3, 4, 5
CONFIG = {**c.GQA.config, "model_type": "qwen3_moe", "num_experts": EXPERTS, "moe_intermediate_size": WIDTH}


def experts(ancestor: int = 0, seed: int = 1) -> c.Weights:
    """A fine-tune of a language model whose layers are mixtures, in canonical terms."""
    weights = c.language_model(seed=ancestor)
    generator = torch.Generator().manual_seed(ancestor + 50)
    for i, e in itertools.product(range(c.GQA.layers), range(EXPERTS)):
        for part, shape in (("gate", (WIDTH, 24)), ("up", (WIDTH, 24)), ("down", (24, WIDTH))):
            name = f"layers.{i}.mlp.experts.{e}.{part}_proj.weight"
            weights[name, None] = torch.randn(shape, generator=generator) * 0.1
        weights[f"layers.{i}.mlp.gate.weight", None] = torch.randn((EXPERTS, 24), generator=generator) * 0.1
    plain = {key for key in weights if any(f"mlp.{part}_proj" in key[0] for part in ("gate", "up", "down"))}
    return c.tuned({key: weight for key, weight in weights.items() if key not in plain}, seed)


def named(weights: c.Weights, form: str) -> c.Named:
    """As a file holds it: a tensor for each expert, stacks of them, or stacks of their transposes."""
    found = c.llama_names()(weights, c.GQA)
    for i in range(c.GQA.layers) if form != "single" else ():
        place = f"model.layers.{i}.mlp.experts."
        gates, ups, downs = (
            torch.stack([found.pop(f"{place}{e}.{part}_proj.weight") for e in range(EXPERTS)])
            for part in ("gate", "up", "down")
        )
        stacks = {"gate_up_proj": torch.cat([gates, ups], dim=1), "down_proj": downs}
        found |= {place + n: t.transpose(1, 2) if form == "transposed" else t for n, t in stacks.items()}
    return found


def write(folder: Path, tensors: c.Named, **config: Any) -> Checkpoint:
    return open_checkpoint(str(c.write_checkpoint(folder, tensors, {**CONFIG, **config}, c.words(37))))


FORMS = ("single", "stacked", "transposed")


@pytest.mark.parametrize(("base", "donor"), list(itertools.product(FORMS, FORMS)))
def test_experts_merge_whatever_form_each_side_has(tmp_path: Path, base: str, donor: str) -> None:
    ours, theirs = experts(seed=1), experts(seed=2)
    first, second = write(tmp_path / "a", named(ours, base)), write(tmp_path / "b", named(theirs, donor))
    plan = plan_merge(first, second, MappingConfig())
    assert all(tensor.merges for tensor in plan.tensors)
    assert plan.unused == ({},)
    if base == donor:
        assert {len(tensor.pieces) for tensor in plan.tensors} == {1}
    check_ancestry(plan, first, second, "error")
    output = merge_to_disk(PlannedPair(plan, first, (second,)), Recipe(alpha=ALPHA), tmp_path / "out")
    by_hand = {key: (1 - ALPHA) * weight + ALPHA * theirs[key] for key, weight in ours.items()}
    c.assert_same(c.read_all(open_checkpoint(str(output))), named(by_hand, base))


def test_where_experts_lie_in_a_live_model_that_has_stacked_them(tmp_path: Path) -> None:
    checkpoint = write(tmp_path, named(experts(), "single"))
    live = {name: tuple(tensor.shape) for name, tensor in named(experts(), "stacked").items()}
    place = "model.layers.1.mlp.experts."
    wanted = [f"{place}2.{part}_proj.weight" for part in ("gate", "up", "down")] + ["model.norm.weight"]
    size = WIDTH * 24
    assert list(live_places(checkpoint, None, live, wanted).values()) == [
        LivePlace(f"{place}gate_up_proj", 4 * size), LivePlace(f"{place}gate_up_proj", 5 * size),
        LivePlace(f"{place}down_proj", 2 * size), LivePlace("model.norm.weight", 0),
    ]  # fmt: skip
    turned = {name: tuple(tensor.shape) for name, tensor in named(experts(), "transposed").items()}
    with pytest.raises(UserError, match="holds 3 tensors in another layout than the file"):
        live_places(checkpoint, None, turned, wanted)


@pytest.mark.parametrize("form", FORMS)
def test_experts_in_another_order_are_refused(tmp_path: Path, form: str) -> None:
    ours, theirs = experts(seed=1), experts(seed=2)
    other = {".experts.1.": ".experts.2.", ".experts.2.": ".experts.1."}
    swapped = {
        (re.sub(r"\.experts\.[12]\.", lambda found: other[found[0]], name), expert): weight[[0, 2, 1, 3]]
        if name.endswith("mlp.gate.weight")
        else weight
        for (name, expert), weight in theirs.items()
    }
    first, second = write(tmp_path / "a", named(ours, form)), write(tmp_path / "b", named(swapped, form))
    plan = plan_merge(first, second, MappingConfig())
    with pytest.raises(UserError, match=r"has its experts in another order than .* the cosine of expert 1 in"):
        check_ancestry(plan, first, second, "error")
    assert "another order" in check_ancestry(plan, first, second, "warn")


def without(folder: Path, name: str) -> Checkpoint:
    return write(folder, {key: tensor for key, tensor in named(experts(seed=2), "single").items() if key != name})


LOST = "model.layers.1.mlp.experts.2.up_proj.weight"


@pytest.mark.parametrize("lacks", ["base", "donor"])
def test_one_tensor_that_one_side_lacks_is_enough_to_refuse(tmp_path: Path, lacks: str) -> None:
    whole = write(tmp_path / "whole", named(experts(), "single"))
    pair = (without(tmp_path / "b", LOST), whole) if lacks == "base" else (whole, without(tmp_path / "b", LOST))
    with pytest.raises(UserError) as found:
        plan_merge(*pair, MappingConfig())
    for words in (f"1 tensors of the language model of {whole.location}", LOST, "mapping.unmatched=keep", "YAML file"):
        assert words in str(found.value)


def test_what_is_asked_to_be_kept_is_a_warning_wherever_the_result_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write(tmp_path / "whole", named(experts(), "single"))
    donor = without(tmp_path / "b", LOST)
    plan = plan_merge(whole, donor, MappingConfig(unmatched="keep"))
    (warning,) = plan.warnings
    assert warning.startswith("merged in part only, as mapping.unmatched=keep asks: 1 tensors")
    print_plan(plan)
    assert "merged in part only" in " ".join(capsys.readouterr().out.split())
    output = merge_to_disk(PlannedPair(plan, whole, (donor,)), Recipe(alpha=ALPHA), tmp_path / "out")
    card = (output / "README.md").read_text()
    assert f"- **Warning:** {warning}" in card
    share = 1 - WIDTH * 24 / sum(info.elements for info in whole.tensors.values())
    assert f"40 of 41 tensors merge ({share:.1%} of the language model's parameters); plan {plan.fingerprint}" in card
    assert "merged in part only" in (output / "adamms.json").read_text()


UNDER_MODEL = ("model.vision_tower.x.weight", "model.mm_extra.weight")
"""Where parts that are kept lie under the language model's prefix, others there may be theirs."""


@pytest.mark.parametrize(
    ("kind", "model", "head", "lost"),
    [  # of Phi and StableLM, as the text model of LLaVA (in two layouts) or by itself
        ("llava", "language_model.model.", "language_model.", "language_model.model.final_layernorm.weight"),
        ("llava", "language_model.model.", "language_model.", "language_model.lm_head.bias"),
        ("llava", "model.", "", "model.norm.bias"),
        ("llama", "model.", "", "model.final_layernorm.weight"),
    ],
)
def test_what_no_rule_names_beside_the_layers_is_not_passed_over(
    tmp_path: Path, kind: str, model: str, head: str, lost: str
) -> None:
    parts = c.outside("vision_tower.x.weight", *(UNDER_MODEL if kind == "llava" else ()))

    def write(folder: Path, seed: int) -> Checkpoint:
        weights = c.llama_names(model, head)(c.tuned(c.language_model(), seed), c.GQA)
        tensors = {**weights, **parts, lost: torch.full((24,), float(seed))}
        config = {**c.GQA.config, "model_type": kind}
        return open_checkpoint(str(c.write_checkpoint(folder, tensors, config, c.words(37))))

    base, donor = write(tmp_path / "a", 1), write(tmp_path / "b", 2)
    with pytest.raises(UserError, match=rf"1 tensors of the language model of .* \('{re.escape(lost)}'\)"):
        plan_merge(base, donor, MappingConfig())
    plan = plan_merge(base, donor, MappingConfig(unmatched="keep"))
    assert {tensor.name for tensor in plan.tensors if not tensor.merges} == {*parts, lost}
    assert {tensor.name for tensor in plan.tensors if tensor.outside} == {*parts}
    assert plan.merged_share < 1


def test_layers_that_predict_further_tokens_are_kept_by_name(tmp_path: Path) -> None:
    ours = named(experts(), "single")
    extra = {"model.layers.2.eh_proj.weight": torch.ones(24, 48), "model.layers.2.enorm.weight": torch.ones(24)}
    base = write(tmp_path / "a", {**ours, **extra}, num_nextn_predict_layers=1)
    donor = write(tmp_path / "b", named(experts(seed=2), "single"))
    for first, second in ((base, donor), (donor, base)):
        plan = plan_merge(first, second, MappingConfig())
        assert {tensor.name for tensor in plan.tensors if not tensor.merges} == {*extra} & first.tensors.keys()
        assert all("multi-token prediction" in tensor.reason for tensor in plan.tensors if not tensor.merges)
        assert plan.unused[0].keys() == {*extra} & second.tensors.keys()


def test_a_dense_donor_and_latent_attention_are_named_as_what_they_are(tmp_path: Path) -> None:
    base = write(tmp_path / "a", named(experts(), "single"))
    dense = write(tmp_path / "b", c.llama_names()(c.language_model(), c.GQA), num_experts=None)
    with pytest.raises(UserError, match="experts in a layer 4 != none"):
        plan_merge(base, dense, MappingConfig())
    latent = write(tmp_path / "c", named(experts(), "single"), kv_lora_rank=8)
    with pytest.raises(UserError, match=r"rank of latent attention \(MLA\) none != 8"):
        plan_merge(base, latent, MappingConfig())


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, None),
        (
            {"twin.h.0.x.weight": (24, 24), "twin.h.1.x.weight": (24, 24), "twin.wte.weight": (37, 24)},
            "several stacks of 2 layers",
        ),
        ({"brain.word_embeddings.weight": (37, 24)}, "several of its tensors may be the embedding"),
    ],
)
def test_a_language_model_is_guessed_by_structure_or_refused(
    tmp_path: Path, more: dict[str, tuple[int, ...]], why: str | None
) -> None:
    """Names that no family has: brain.h.0.mix..., beside eyes.h.0... of the same depth."""
    config = {"model_type": "unknown", "text_config": {**c.GQA.config, "model_type": "nothing"}}
    shapes = {
        "brain.wte.weight": (37, 24), "brain.ln.weight": (24,), "out.weight": (37, 24), "eyes.h.0.x.weight": (24, 9),
        "eyes.h.1.x.weight": (24, 9), **more,
        **{f"brain.h.{i}.mix.{n}": (24, 30) for i in range(2) for n in ("qkv", "out")},
    }  # fmt: skip
    tensors = {name: torch.randn(shape) for name, shape in shapes.items()}
    checkpoint = open_checkpoint(str(c.write_checkpoint(tmp_path, tensors, config, c.words(37))))
    if why is not None:
        with pytest.raises(UserError, match=why):
            plan_merge(checkpoint, checkpoint, MappingConfig())
        return
    plan = plan_merge(checkpoint, checkpoint, MappingConfig())
    assert {tensor.name for tensor in plan.tensors if not tensor.merges} == {"eyes.h.0.x.weight", "eyes.h.1.x.weight"}
    assert "base: no known family; its language model was guessed: 2 layers under 'brain.h' beside" in plan.notes[0]
