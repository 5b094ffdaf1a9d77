"""mergekit's recipes, read and written: against its own formulas, written out here, and against mergekit itself."""

from __future__ import annotations

import subprocess
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from adamms.commands.merge import merge
from adamms.errors import UserError
from adamms.mapping import Source
from adamms.mapping.config import MappingConfig
from adamms.merging.config import MergeSettings, MergingConfig
from adamms.merging.mergekit import Foreign, read_mergekit, to_mergekit
from adamms.merging.methods.method import Operands
from adamms.merging.recipe import Recipe
from tests.merging.conftest import Models
from tests.support.real_mergekit import mergekit_yaml, run_mergekit
from tests.test_cli import command


def written(tmp_path: Path, recipe: dict[str, Any]) -> Path:
    file = tmp_path / "recipe.yml"
    file.write_text(yaml.safe_dump(recipe))
    return file


def two(ours: dict[str, float], theirs: dict[str, float], **rest: Any) -> dict[str, Any]:
    return {"models": [{"model": "a/base", "parameters": ours}, {"model": "b/donor", "parameters": theirs}], **rest}


SLERP = {"merge_method": "slerp", "base_model": "a/base", "models": [{"model": "a/base"}, {"model": "b/donor"}]}


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
    assert (found.base, found.donors, found.ancestor) == ("a/base", ("b/donor",), rest.get("base_model"))
    generator = torch.Generator().manual_seed(3)
    base, donor, root = (torch.randn(64, generator=generator) for _ in range(3))
    x = Operands("w", 0, 8, base, (donor,), root)
    rule = Recipe(found.method, found.alpha, **found.options).rule
    statistic = (0.0, 0.0) if method == "ties" else ()  # nothing is trimmed at density 1
    normalize = parameters.get("normalize", method in ("linear", "ties"))
    expected = mergekits(method, weights, normalize, parameters.get("lambda", 1.0), x)
    torch.testing.assert_close(rule.merge(x, statistic).double(), expected, rtol=1e-5, atol=1e-6)


def test_more_than_two_models(models: Models, tmp_path: Path) -> None:
    names = {"a/base": 1.0, "b/donor": 2.0, "c/other": 1.0}
    rows = [{"model": name, "parameters": {"weight": weight}} for name, weight in names.items()]
    rest = {"merge_method": "ties", "base_model": "r/root", "parameters": {"density": 0.5}}
    found = read_mergekit(written(tmp_path, {"models": rows, **rest}))
    assert (found.base, found.donors, found.alpha) == ("a/base", ("b/donor", "c/other"), (0.5, 0.25))
    assert found.settings()["donors"] == ["b/donor", "c/other"]
    plan = models.plan()
    both = (*plan.donors, replace(plan.donors[0], location="c/other"))
    sources = [(Source(t.name, 0, 0), Source(t.name, 0, 1)) for t in plan.merged]
    tensors = [
        replace(t, pieces=(replace(t.pieces[0], start=0, stop=t.rows, sources=one),))
        for t, one in zip(plan.merged, sources, strict=True)
    ]
    recipe = Recipe("ties", (0.5, 0.25), density=0.4, trim_over="tensor")
    again = to_mergekit(replace(plan, donors=both, tensors=tuple(tensors)), recipe)
    assert again is not None
    read = read_mergekit(written(tmp_path, again))
    assert (read.donors, read.alpha) == ((plan.donors[0].location, "c/other"), (0.5, 0.25))
    half = [replace(t, pieces=(replace(t.pieces[0], sources=t.pieces[0].sources[:1]),)) for t in tensors]
    assert to_mergekit(replace(plan, donors=both, tensors=tuple(half)), recipe) is None, "a donor is not everywhere"


def test_slerp_and_density(tmp_path: Path) -> None:
    found = read_mergekit(written(tmp_path, {**SLERP, "parameters": {"t": 0.25}, "dtype": "bfloat16"}))
    assert found == Foreign("a/base", ("b/donor",), None, "slerp", 0.25, dtype="BF16")
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
        (
            two({}, {}, merge_method="dare_linear", base_model="r/r", parameters={"rescale": False}),
            "rescale: dare_linear has it true here; leave it out",
        ),
        (
            two({}, {}, merge_method="ties", base_model="r/r", parameters={"rescale": True}),
            "rescale: ties has it false here",
        ),
        (
            two({}, {}, merge_method="task_arithmetic", base_model="r/r", parameters={"lamda": 0.5}),
            "parameters: lamda: not read; int8_mask, lambda, normalize, rescale, weight are",
        ),
        (
            two({"weight": 1, "gamma": 0.1}, {}, merge_method="ties", base_model="r/r"),
            "parameters of a/base: gamma: not read; density, int8_mask, weight are",
        ),
        (two({}, {"normalize": False}, merge_method="linear"), "parameters of b/donor: normalize: not read"),
        (two({"density": 0.5}, {}, merge_method="linear"), "density: not read"),
        (two({}, {}, merge_method="linear", parameters=[1]), r"parameters: expected names .*, found \[1\]"),
        (two({}, {}, merge_method="linear", parameters={"normalize": [1]}), r"normalize=\[1\]: expected true or false"),
        (two({}, {}, merge_method="linear", dtype="int8"), "dtype=int8: expected one of float16, bfloat16, float32"),
        ({**SLERP, "parameters": {"t": 0.5, "embed_slerp": True}}, "embed_slerp: not read; int8_mask, t are"),
        (
            {"merge_method": "linear", "models": [{"model": "a/a", "weight": 0.5}, {"model": "b/b"}]},
            "a/a: weight: not read; model, parameters are",
        ),
    ],
)
def test_what_adamms_does_not_do_is_refused(tmp_path: Path, recipe: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_mergekit(written(tmp_path, recipe))


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, None),
        ({"dtype": "bfloat16"}, None),
        ({"dtype": "float32", "out_dtype": "bfloat16"}, None),
        ({"dtype": "float16"}, "F16"),
        ({"dtype": "bfloat16", "out_dtype": "float32"}, "F32"),
    ],
)
def test_another_dtype_than_the_bases_is_refused(
    models: Models,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: dict[str, str],
    asked: str | None,
) -> None:
    """The base, in bfloat16, would otherwise come out as it is, whatever was asked for."""
    rows = [{"model": str(models.base.folder)}, {"model": str(models.donor.folder)}]
    file = written(tmp_path, {"merge_method": "linear", "models": rows, **given})
    ended = command(monkeypatch, "merge", "--mergekit", file, "--output", tmp_path / "out", "--dry-run")
    told = capsys.readouterr().err
    assert ended == (2 if asked else 0), told
    if asked:
        assert f"base: has BF16, and so has what is merged into it; the recipe's dtype or out_dtype is {asked}" in told


def test_what_changes_nothing_is_read(tmp_path: Path) -> None:
    for method, rescale in (("dare_linear", True), ("ties", False)):
        rest = {"merge_method": method, "base_model": "c/root"}
        plain = read_mergekit(written(tmp_path, two({"int8_mask": True}, {}, **rest)))
        given = {"rescale": rescale, "int8_mask": True, "density": 1.0}
        assert read_mergekit(written(tmp_path, two({}, {}, parameters=given, **rest))) == plain


def test_ours_are_written_where_mergekit_can_do_the_same(models: Models, tmp_path: Path) -> None:
    plan = models.plan()
    assert to_mergekit(plan, Recipe("linear", 0.3)) is None, "two architectures"
    rows = [tensor for tensor in plan.tensors if tensor.merges]
    named = [replace(t, pieces=tuple(replace(p, sources=(Source(t.name, p.start),)) for p in t.pieces)) for t in rows]
    alike = replace(plan, tensors=tuple(named))
    for recipe in (Recipe("linear", 0.3), Recipe("slerp", 0.3), Recipe("ties", 0.3, density=0.4, trim_over="tensor")):
        found = to_mergekit(alike, recipe)
        assert found is not None
        again = read_mergekit(written(tmp_path, found))
        assert (again.base, again.donors) == (plan.base.location, (plan.donors[0].location,))
        assert Recipe(again.method, again.alpha, **again.options).to_dict() == pytest.approx(recipe.to_dict())
    assert to_mergekit(alike, Recipe("ties", 0.3)) is None, "mergekit trims tensors, not the model"
    assert to_mergekit(alike, Recipe("metagpt")) is None


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `ancestor`, `base` and `donor` of one Qwen2, in float32, so that rounding hides nothing."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("grown")
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 128}
    config = Qwen2Config(**sizes, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False)
    torch.manual_seed(0)
    ancestor = Qwen2ForCausalLM(config).float()
    ancestor.save_pretrained(folder / "ancestor")
    for name in ("base", "donor"):
        model = deepcopy(ancestor)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.005 * torch.randn_like(weight))
        model.save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="module")
def _mergekit() -> None:
    try:
        mergekit_yaml()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"mergekit is not here, and no registry gives it: {error}")


@pytest.mark.slow
@pytest.mark.usefixtures("_mergekit")
@pytest.mark.parametrize(
    ("method", "options", "apart"),
    [
        ("linear", {}, 0),
        ("slerp", {}, 0),
        ("task_arithmetic", {"scale": 0.9}, 0),
        ("ties", {"density": 0.4, "trim_over": "tensor"}, 2),
    ],
)
def test_mergekit_itself_does_with_our_recipe_what_we_did(
    grown: Path, tmp_path: Path, method: str, options: dict[str, Any], apart: int
) -> None:
    """The real mergekit accepts what we write. Of n values TIES keeps round(density * n) here and int(density * n)
    there, so that one value of each task vector may be kept by one of the two alone."""
    given = {name: str(grown / name) for name in ("base", "donor", "ancestor")}
    mapping, merging = MappingConfig(embeddings="same"), MergingConfig(method=method, options=options)
    ours = merge(MergeSettings(**given, mapping=mapping, merging=merging), 0.3, tmp_path / "ours")
    run_mergekit(ours / "mergekit.yml", tmp_path / "theirs")
    found, expected = (load_file(tmp_path / name / "model.safetensors") for name in ("ours", "theirs"))
    assert found.keys() == expected.keys()
    for name, weight in found.items():
        different = (weight - expected[name]).abs() > 1e-6
        assert int(different.sum()) <= apart, name
