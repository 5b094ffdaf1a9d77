"""A merge on disk: complete, exact, independent of how the work was split."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from adamms.checkpoint import open_checkpoint
from adamms.errors import UserError
from adamms.mapping import PlannedPair, plan_merge
from adamms.mapping.config import MappingConfig
from adamms.merging import Originals, Recipe, gather_statistics, spans, to_disk
from adamms.merging.config import MergingConfig
from adamms.merging.layout import parse_size
from adamms.merging.methods import METHODS
from adamms.merging.to_disk import merge_to_disk
from tests.merging.conftest import Models, make_models
from tests.support.merged import merged_tensor
from tests.support.test_system import LINUX_ONLY

ROOT = Path(__file__).parents[2]


def merge(models, output, recipe, config=None, **options):
    ancestor = models.ancestor if recipe.rule.needs_ancestor else None
    pair = PlannedPair(models.plan(ancestor is not None), models.base, (models.donor,), ancestor)
    return merge_to_disk(pair, recipe, output, config=config or MergingConfig(workers=2), **options)


def weights(folder):
    return {k: v for path in sorted(folder.glob("*.safetensors")) for k, v in load_file(path).items()}


def in_memory(models, recipe):
    """What an engine does with the same plan, by the same function, from whole tensors."""
    plan = models.plan(recipe.rule.needs_ancestor)
    originals = Originals(models.base, (models.donor,), models.ancestor)
    statistics = gather_statistics(plan, originals, recipe)
    return {tensor.name: merged_tensor(tensor, originals, recipe, statistics) for tensor in plan.tensors}


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for name in found:
        assert found[name].dtype == wanted[name].dtype
        assert torch.equal(found[name].view(torch.uint8), wanted[name].view(torch.uint8)), name


@pytest.mark.parametrize("method", METHODS)
def test_the_same_bits_as_in_memory(method, models: Models, tmp_path, monkeypatch):
    monkeypatch.setattr(spans, "SPAN_BYTES", 700)  # many spans, as a big model has
    recipe = Recipe(method, 0.3)
    wanted = in_memory(models, recipe)
    for workers in (1, 3):
        output = merge(models, tmp_path / f"{workers}", recipe, MergingConfig(workers=workers))
        assert_same(weights(output), wanted)
    assert not torch.equal(
        wanted["model.layers.0.mlp.up_proj.weight"], weights(models.base.folder)["model.layers.0.mlp.up_proj.weight"]
    )


@pytest.mark.parametrize("size", ["10KB", "1", "1GB"])
def test_shards_as_large_as_asked(size, models, tmp_path):
    output = merge(models, tmp_path / "out", Recipe("linear", 0.3), MergingConfig(max_shard_size=size))
    assert_same(weights(output), in_memory(models, Recipe("linear", 0.3)))
    files = sorted(path.name for path in output.glob("*.safetensors"))
    if size == "1GB":
        assert files == ["model.safetensors"]
        return
    index = json.loads((output / "model.safetensors.index.json").read_text())
    assert sorted(set(index["weight_map"].values())) == files
    assert index["metadata"]["total_size"] == sum(v.nbytes for v in weights(output).values())
    for path in output.glob("*.safetensors"):
        held = load_file(path)
        assert len(held) == 1 or sum(value.nbytes for value in held.values()) <= parse_size(size)


def test_sharded_as_the_base_by_default(models, tmp_path):
    output = merge(models, tmp_path / "out", Recipe("linear", 0.3))
    assert len(list(output.glob("*.safetensors"))) == 2
    with safe_open(next(output.glob("*.safetensors")), "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_alpha_0_and_1(models, tmp_path):
    at_0 = weights(merge(models, tmp_path / "0", Recipe("linear", 0.0)))
    assert_same(at_0, weights(models.base.folder))
    at_1 = weights(merge(models, tmp_path / "1", Recipe("linear", 1.0)))
    donor = weights(models.donor.folder)
    for name, value in at_1.items():
        if name.startswith("model."):
            assert torch.equal(value, donor[f"language_model.{name}"])


def test_dtypes_are_the_bases(tmp_path):
    models = make_models(tmp_path / "m", torch.float16, torch.float32)
    output = merge(models, tmp_path / "out", Recipe("linear", 0.3))
    assert {value.dtype for value in weights(output).values()} == {torch.float16}
    assert_same(weights(output), in_memory(models, Recipe("linear", 0.3)))


def test_pickled_base_with_tied_tensors_becomes_safetensors(tmp_path):
    models = make_models(tmp_path / "m")
    folder = models.base.folder
    state = load_file(folder / "model.safetensors")
    state["lm_head.weight"] = state["model.embed_tokens.weight"]  # one storage under two names
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    models = Models(open_checkpoint(str(folder)), models.donor, models.ancestor)
    output = merge(models, tmp_path / "out", Recipe("linear", 0.3))
    assert not list(output.glob("*.bin"))
    assert_same(weights(output), in_memory(models, Recipe("linear", 0.3)))


def test_partly_merged_tensor(tmp_path):
    """Rows of tokens that only the base knows stay its own, around and between merged ones."""
    models = make_models(tmp_path / "m")
    path = models.donor.folder / "tokenizer.json"
    vocabulary = json.loads(path.read_text())["model"]["vocab"]
    renamed = {(f"other{i}" if i in (0, 7, 8, 30) else token): i for token, i in vocabulary.items()}
    path.write_text(json.dumps({"model": {"vocab": renamed}}))
    plan = plan_merge(models.base, models.donor, MappingConfig(embeddings="align"))
    recipe = Recipe("linear", 0.5)
    output = merge_to_disk(PlannedPair(plan, models.base, (models.donor,)), recipe, tmp_path / "out")
    found = weights(output)["model.embed_tokens.weight"]
    ours, theirs = (
        m.read(n).view(60, 32)
        for m, n in (
            (models.base, "model.embed_tokens.weight"),
            (models.donor, "language_model.model.embed_tokens.weight"),
        )
    )
    kept = [i for i in range(60) if torch.equal(found[i], ours[i])]
    assert kept == [0, 7, 8, 30]
    assert torch.equal(found[9], torch.lerp(ours[9].float(), theirs[9].float(), 0.5).bfloat16())


def test_companion_files(models, tmp_path):
    folder = tmp_path / "base"
    shutil.copytree(models.base.folder, folder)
    texts = {
        "chat_template.jinja": "{{ messages }}",
        "modeling_odd.py": "x = 1",
        "LICENSE": "as it is",
        "preprocessor_config.json": "{}",
        "additional_chat_templates/rag.jinja": "{{ rag }}",
        "README.md": "---\nlicense: apache-2.0\nbase_model: someone/else\n---\n# The base's own card",
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    for name in ("training_args.bin", "optimizer.pt", ".gitattributes", "runs/events.json", "old.safetensors"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("not of the model")
    (folder / "linked.txt").symlink_to(folder / "LICENSE")
    copy = Models(open_checkpoint(str(folder)), models.donor, models.ancestor)
    output = merge(copy, tmp_path / "out", Recipe("ties", 0.3))
    there = {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()}
    assert there == {
        *texts,
        "linked.txt",
        "adamms.json",
        "config.json",
        "tokenizer.json",
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    }
    assert not (output / "linked.txt").is_symlink()
    for name in set(texts) - {"README.md"}:
        assert (output / name).read_text() == texts[name]
    card = (output / "README.md").read_text()
    import yaml

    metadata = yaml.safe_load(card.split("---")[1])
    assert metadata == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["merge", "model-merging", "adamms"],
        "license": "other",
        "license_name": "apache-2.0 and unknown",
    }
    assert "density: 0.2" in card
    assert "own card" not in card
    record = json.loads((output / "adamms.json").read_text())
    assert record["recipe"] == Recipe("ties", 0.3).to_dict()
    assert record["plan"] == copy.plan().fingerprint
    assert set(record) >= {"adamms", "torch", "python", "base", "donor", "ancestor", "statistics"}


def spoil(models, name, value, which="donor"):
    folder = getattr(models, which).folder
    state = weights(folder)
    state[name].view(-1)[5] = value
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return Models(*(open_checkpoint(str(getattr(models, w).folder)) for w in ("base", "donor", "ancestor")))


@pytest.mark.parametrize(
    ("dtype", "bad"), [(torch.bfloat16, float("nan")), (torch.float16, 1e30), (torch.float32, float("inf"))]
)
def test_values_that_are_not_finite_fail_the_merge(dtype, bad, tmp_path):
    models = make_models(tmp_path / "m", dtype, torch.float32)
    models = spoil(models, "language_model.model.layers.1.mlp.up_proj.weight", bad)
    with pytest.raises(UserError, match=r"'model.layers.1.mlp.up_proj.weight': merged, element 5 is"):
        merge(models, tmp_path / "out", Recipe("linear", 0.3))
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_values_that_the_base_has_not_finite_fail_the_merge(tmp_path):
    models = spoil(make_models(tmp_path / "m"), "model.layers.1.mlp.up_proj.weight", float("nan"), "base")
    with pytest.raises(UserError, match=r"up_proj.weight': merged, element 5 is NaN, as it is not finite in the base"):
        merge(models, tmp_path / "out", Recipe("linear", 0.3))
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_what_the_check_refuses_does_not_appear(models, tmp_path):
    def refuse(folder):
        assert open_checkpoint(str(folder)).tensors.keys() == models.base.tensors.keys()
        raise RuntimeError("no answer")

    with pytest.raises(RuntimeError, match="no answer"):
        merge(models, tmp_path / "out", Recipe("linear", 0.3), check=refuse)
    assert not list(tmp_path.iterdir())


def test_too_little_space_is_said_before_anything_is_written(models, tmp_path, monkeypatch):
    monkeypatch.setattr(to_disk.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1000))
    with pytest.raises(UserError, match=r"MB are needed, 0.0 MB are free"):
        merge(models, tmp_path / "out", Recipe("linear", 0.3))
    assert not list(tmp_path.iterdir())


def test_the_output_may_not_be_an_input(models):
    inside = models.base.folder / "out", models.donor.folder / "a" / "out"
    for output in (models.base.folder, models.donor.folder, models.base.folder.parent, *inside):
        with pytest.raises(UserError, match="which is merged here"):
            merge(models, output, Recipe("linear", 0.3), force=True)
    assert models.base.folder.is_dir()


def test_a_merge_is_replaced_unless_a_user_put_something_there(models, tmp_path):
    for alpha in (0.3, 0.4):
        output = merge(models, tmp_path / "out", Recipe("linear", alpha), force=True)
    record = json.loads((output / "adamms.json").read_text())
    assert record["files"] == sorted(path.name for path in output.iterdir())
    (output / "eval").mkdir()
    (output / "eval" / "scores.json").write_text("{}")
    with pytest.raises(UserError, match=r"out: holds eval/scores\.json, which AdaMMS did not write"):
        merge(models, output, Recipe("linear", 0.5), force=True)
    assert (output / "eval" / "scores.json").read_text() == "{}"
    assert json.loads((output / "adamms.json").read_text()) == record


def test_an_ancestor_is_asked_for(models, tmp_path):
    with pytest.raises(UserError, match=r"ties works on .*--ancestor"):
        merge_to_disk(PlannedPair(models.plan(), models.base, (models.donor,)), Recipe("ties", 0.3), tmp_path / "out")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(models, tmp_path):
    with pytest.raises(UserError, match="torch sees no GPU here"):
        merge(models, tmp_path / "out", Recipe("linear", 0.3), MergingConfig(gpus_per_task=1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("method", METHODS)
def test_a_gpu_gives_the_same_bits(method, models, tmp_path):
    recipe = Recipe(method, 0.3)
    output = merge(models, tmp_path / "out", recipe, MergingConfig(gpus_per_task=1, workers=2))
    assert_same(weights(output), in_memory(models, recipe))


ABSURD = ("0.1B", "1e400GB", "9" * 400 + "GB", "9" * 19 + "GB", "0.0000001KB", "٣GB")


@pytest.mark.parametrize("text", ["", "5 apples", "-1GB", "0", "GB", "1TB2", *ABSURD])
def test_sizes_that_are_none(text):
    with pytest.raises(UserError, match="expected a size such as 5GB"):
        MergingConfig(max_shard_size=text)


@pytest.mark.parametrize("given", [{"workers": -1}, {"gpus_per_task": -0.5}, {"gpus_per_task": float("nan")}])
def test_numbers_that_are_none(given):
    with pytest.raises(UserError, match=f"merging.{next(iter(given))}=.*expected"):
        MergingConfig(**given)


def test_sizes():
    assert [parse_size(t) for t in ("5GB", "500 MB", "2GiB", "1000", "1.5kb")] == [
        5 * 10**9,
        5 * 10**8,
        2**31,
        1000,
        1500,
    ]


def test_copying_across_file_systems(models, tmp_path, monkeypatch):
    """Where the kernel cannot copy between the two files, a buffer does."""
    import errno

    def refuse(*_):
        raise OSError(errno.EXDEV, "cross-device")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    output = merge(models, tmp_path / "out", Recipe("linear", 0.3))
    assert_same(weights(output), in_memory(models, Recipe("linear", 0.3)))


WITHOUT_LINUX = """
import os, sys
for name in sys.argv.pop(1).split(","):
    delattr(os, name)
import torch, safetensors, yaml
sys.platform = "darwin"
from adamms.cli import main
main()
"""


def test_the_same_bytes_without_linux(models, tmp_path):
    """The whole command, where Python and the C library have none of what only Linux has."""
    arguments = ("merge", models.base.folder, models.donor.folder, "--ancestor", models.ancestor.folder)
    options = ("--method", "ties", "--alpha", "0.3", "--force", "--output")
    absent = ",".join(name for name in LINUX_ONLY if hasattr(os, name))
    for output in (tmp_path / "out", tmp_path / "out"):  # the second one replaces the first
        command = (sys.executable, "-c", WITHOUT_LINUX, absent, *arguments, *options, output)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ended = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, f"{models.plan().summary}\n")
    wanted = merge(models, tmp_path / "wanted", Recipe("ties", 0.3))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["out", "wanted"]
    for path in sorted(wanted.glob("*.safetensors*")):
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    assert {path.name for path in wanted.iterdir()} == {path.name for path in (tmp_path / "out").iterdir()}
