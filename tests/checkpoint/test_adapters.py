"""LoRA adapters: read in any parts, they are what PEFT's own merge is; what is no plain sum is refused by its name."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.checkpoint.adapted import HELD, AdaptedCheckpoint
from adamms.engines.peak import take_peak
from adamms.errors import UserError
from tests.support import adapters as a
from tests.support import checkpoints as c

Tiny = Callable[[str], Path]
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {  # title -> model, LoRA
    "every linear layer, vision too": ("llava-onevision", {"target_modules": "all-linear"}),
    "patterns, rslora, trained head": (
        "qwen2-vl",
        {
            "use_rslora": True,
            "rank_pattern": {r"layers\.1\.self_attn\.q_proj": 2},
            "alpha_pattern": {"down_proj": 3, r".*visual\.blocks\.0\.attn\.qkv": 5.5},
            "target_modules": ["q_proj", "down_proj", "qkv"],
            "modules_to_save": ["lm_head"],
        },
    ),
    "embeddings and a convolution": ("qwen2-vl", {"target_modules": ["embed_tokens", "v_proj", "patch_embed.proj"]}),
    "biases": ("qwen2-vl", {"target_modules": ["q_proj", "k_proj"], "bias": "all"}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_sum_is_what_peft_saves_merged(variant: str, tiny: Tiny, tmp_path: Path) -> None:
    """Bit by bit: in float32, rounded to the model's dtype as PEFT does it."""
    model, lora = tiny(VARIANTS[variant][0]), VARIANTS[variant][1]
    adapter = a.save_adapter(model, tmp_path / "adapter", **lora)
    checkpoint = open_checkpoint(f"{model}+{adapter}")
    found, before = c.read_all(checkpoint), c.read_all(open_checkpoint(str(model)))
    wanted = a.merged_by_peft(model, adapter)
    assert found.keys() == wanted.keys()
    for name in found:
        assert found[name].dtype == wanted[name].dtype == torch.bfloat16
        assert torch.equal(found[name], wanted[name]), name
        assert (name in checkpoint.changed) == (not torch.equal(found[name], before[name])), name
    added = f"added to {len(checkpoint.changed)} of {len(found)} tensors of {model}"
    assert checkpoint.notes == (f"{adapter}: a LoRA adapter (of {model}), {added}",)


def test_layers_that_store_their_matrix_transposed(tmp_path: Path) -> None:
    """GPT-2's Conv1D, for which PEFT sets fan_in_fan_out; float32, in which every rounding would show."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(n_embd=24, n_layer=2, n_head=2, vocab_size=50, n_positions=16)).save_pretrained(
        tmp_path / "gpt2"
    )
    adapter = a.save_adapter(
        tmp_path / "gpt2", tmp_path / "a", target_modules=["c_attn", "c_proj"], fan_in_fan_out=True
    )
    found = c.read_all(open_checkpoint(f"{tmp_path / 'gpt2'}+{adapter}"))
    for name, tensor in a.merged_by_peft(tmp_path / "gpt2", adapter).items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


@st.composite
def layers(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "shape": draw(st.tuples(st.integers(1, 200), st.integers(1, 70)) | st.tuples(*[st.integers(1, 6)] * 4)),
        "rank": draw(st.integers(1, 5)),
        "alpha": draw(st.sampled_from([1, 2.5, 16])),
        "turned": draw(st.booleans()),
        "dtype": draw(st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.float64])),
        "factors": draw(st.sampled_from([torch.float32, torch.bfloat16])),
        "cuts": draw(st.lists(st.floats(0, 1), max_size=6)),
        "seed": draw(st.integers(0, 99)),
    }


@given(layers())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_parts_of_any_layer_are_those_of_the_dense_sum(tmp_path: Path, layer: dict[str, Any]) -> None:
    torch.manual_seed(layer["seed"])
    shape, rank, dtype = layer["shape"], layer["rank"], layer["dtype"]
    weight = torch.randn(shape).to(dtype)
    rows, columns = shape[0], weight[0].numel()
    first, second = torch.randn(rows, rank), torch.randn(rank, columns)
    if layer["turned"]:
        b, a_, kind = second.T, first.T, {"fan_in_fan_out": True}
    else:
        b, a_, kind = first, second.reshape(rank, *shape[1:]), {}
        b = b.reshape(rows, rank, *[1] * (len(shape) - 2))
    b, a_ = b.to(layer["factors"]), a_.to(layer["factors"])
    c.write_checkpoint(tmp_path / "m", {"model.x.weight": weight}, {})
    factors = {"x.lora_A.weight": a_, "x.lora_B.weight": b}
    a.write_adapter(tmp_path / "a", factors, r=rank, lora_alpha=layer["alpha"], **kind)
    checkpoint = open_checkpoint(f"{tmp_path / 'm'}+{tmp_path / 'a'}")

    product = b.double().reshape(b.shape[0], rank) @ a_.double().reshape(rank, -1)
    dense = weight.double() + (product.T if layer["turned"] else product).reshape(shape) * layer["alpha"] / rank
    whole = checkpoint.read("model.x.weight")
    assert whole.dtype == dtype
    torch.testing.assert_close(whole.double(), dense.reshape(-1), rtol=_ulp(dtype), atol=1e-5)
    cuts = sorted({0, weight.numel(), *(int(cut * weight.numel()) for cut in layer["cuts"])})
    parts = [checkpoint.read("model.x.weight", start, stop) for start, stop in pairwise(cuts)]
    assert torch.equal(torch.cat(parts), whole), "a part is the same bits as in the whole"


def _ulp(dtype: torch.dtype) -> float:
    return max(torch.finfo(dtype).eps, 1e-6)


def test_memory_does_not_grow_with_the_number_of_layers(tmp_path: Path) -> None:
    """Reading in parts, as a merge does; a layer here has 1 MB, its factors half of that."""
    peaks = []
    for layers in (HELD, 8 * HELD):
        folder = tmp_path / str(layers)
        weights = {f"layers.{i}.x.weight": torch.zeros(512, 512) for i in range(layers)}
        factors = {f"layers.{i}.x.lora_A.weight": torch.zeros(128, 512) for i in range(layers)}
        factors |= {f"layers.{i}.x.lora_B.weight": torch.zeros(512, 128) for i in range(layers)}
        c.write_checkpoint(folder, weights, {})
        a.write_adapter(folder / "a", factors, r=128)
        checkpoint = open_checkpoint(f"{folder}+{folder / 'a'}")
        del weights, factors
        take_peak(torch.device("cpu"))
        before = take_peak(torch.device("cpu")).resident
        for name, info in checkpoint.tensors.items():
            for start in range(0, info.elements, 1 << 16):
                checkpoint.read(name, start, start + (1 << 16))
        peaks.append(take_peak(torch.device("cpu")).resident - before)
    assert peaks[1] < peaks[0] + (8 << 20), f"{peaks}: all factors together are 32 MB, the layers 64 MB"


def test_everything_else_is_the_models(tiny: Tiny, tmp_path: Path) -> None:
    model = open_checkpoint(str(tiny("qwen2-vl")))
    adapter = a.save_adapter(tiny("qwen2-vl"), tmp_path / "a")
    found = open_checkpoint(f"{tiny('qwen2-vl')}+{adapter}")
    assert (found.folder, found.config, found.weight_files) == (model.folder, model.config, model.weight_files)
    assert {n: (t.dtype, t.shape) for n, t in found.tensors.items()} == {
        n: (t.dtype, t.shape) for n, t in model.tensors.items()
    }
    assert [part.location for part in found.parts] == [str(tiny("qwen2-vl")), str(adapter)]
    again = pickle.loads(pickle.dumps(found))
    c.assert_same(c.read_all(again), c.read_all(found))


def test_the_digest_goes_with_the_adapter_too(tiny: Tiny, tmp_path: Path) -> None:
    adapter = a.save_adapter(tiny("qwen2-vl"), tmp_path / "a")
    both = f"{tiny('qwen2-vl')}+{adapter}"
    first = open_checkpoint(both).digest
    assert first != open_checkpoint(str(tiny("qwen2-vl"))).digest
    shutil.copytree(adapter, tmp_path / "b")
    assert open_checkpoint(f"{tiny('qwen2-vl')}+{tmp_path / 'b'}").digest == first
    a.edit_config(adapter, lora_alpha=9)
    second = open_checkpoint(both).digest
    a.edit_tensors(adapter, lambda tensors: {**tensors, (last := max(tensors)): tensors[last] + 1})
    assert len({first, second, open_checkpoint(both).digest}) == 3


# ---- where they come from


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A model of two matrices, and an adapter of the first."""
    model = c.write_checkpoint(
        tmp_path / "m", {"model.x.weight": torch.ones(3, 4), "model.y.weight": torch.ones(3)}, {}
    )
    factors = {"model.x.lora_A.weight": torch.ones(2, 4), "model.x.lora_B.weight": torch.ones(3, 2)}
    return model, a.write_adapter(tmp_path / "a", factors, base_model_name_or_path=str(model))


def assert_added(location: str, times: int = 1) -> Checkpoint:
    """B @ A is 2 everywhere, and scaled by 2."""
    found = open_checkpoint(location)
    assert found.location == location
    assert found.read("model.x.weight").tolist() == [1.0 + 4 * times] * 12
    assert found.read("model.y.weight").tolist() == [1.0] * 3
    return found


def test_an_adapter_alone_is_added_to_the_model_that_it_names(pair: tuple[Path, Path]) -> None:
    model, adapter = pair
    found = assert_added(str(adapter))
    assert found.folder == model
    assert found.notes == (f"{adapter}: a LoRA adapter (of {model}), added to 1 of 2 tensors of {model}",)
    shutil.copy(model / "config.json", adapter)  # as many publish it
    assert_added(str(adapter))


def test_an_adapter_whose_model_is_not_there(pair: tuple[Path, Path]) -> None:
    _, adapter = pair
    a.edit_config(adapter, base_model_name_or_path="/gone/model")
    words = rf"^{adapter}: an adapter of /gone/model, which cannot be taken .*; give both, as MODEL\+{adapter}$"
    with pytest.raises(UserError, match=words):
        open_checkpoint(str(adapter))
    a.edit_config(adapter, base_model_name_or_path=str(adapter))
    with pytest.raises(UserError, match="which cannot be taken"):
        open_checkpoint(str(adapter))
    a.edit_config(adapter, base_model_name_or_path=None)
    with pytest.raises(UserError, match="does not name its model; give both"):
        open_checkpoint(str(adapter))


@pytest.mark.parametrize(
    "named",
    [
        "reference://::memory://evil/refs.json",
        "memory://evil/model",
        "https://127.0.0.1:9/model",
        "file:///",
        "gpt2",
        "../../etc",
    ],
)
def test_an_adapter_chooses_no_address(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str
) -> None:
    """None of those is even asked."""

    def asked(*_: Any) -> Any:
        raise AssertionError("an address was asked")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fsspec.core, "url_to_fs", asked)
    a.edit_config(pair[1], base_model_name_or_path=named)
    words = r"an adapter of .*, which cannot be taken \(neither a Hub id nor a folder here\); give both, as MODEL\+"
    with pytest.raises(UserError, match=words):
        open_checkpoint(str(pair[1]))


def test_joined_by_plus(pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, adapter = pair
    assert_added(f"{model}+{adapter}")
    assert_added(f"{model}+{adapter}+{adapter}", times=2)
    odd = shutil.copytree(
        model, tmp_path / "odd+a"
    )  # a + in a name of its own, and what looks like an adapter after it
    assert type(open_checkpoint(str(odd))) is Checkpoint
    assert_added(f"{odd}+{adapter}")
    monkeypatch.chdir(tmp_path)
    assert_added("m+a")


@pytest.mark.parametrize("after", ["m", "gone", "no-adapter/there"])
def test_what_follows_a_plus_has_to_be_an_adapter(pair: tuple[Path, Path], tmp_path: Path, after: str) -> None:
    with pytest.raises(UserError, match=r"no adapter_config.json here|no such folder") as found:
        open_checkpoint(f"{pair[0]}+{tmp_path / after}")
    assert "\n" not in str(found.value)


def test_a_model_beside_an_adapter_is_taken_and_says_so(pair: tuple[Path, Path]) -> None:
    model, adapter = pair
    for file in adapter.iterdir():
        shutil.copy(file, model)
    found = open_checkpoint(str(model))
    assert found.read("model.x.weight").tolist() == [1.0] * 12
    assert "the model is taken without it" in found.notes[0]
    assert_added(f"{model}+{model}")


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("ADAMMS_CACHE", str(tmp_path / "cache"))
    filesystem = fsspec.filesystem("memory")
    yield filesystem
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]


@pytest.mark.parametrize("weights", [True, False])
def test_urls(pair: tuple[Path, Path], remote: Any, weights: bool) -> None:
    model, adapter = pair
    remote.put(str(model), "/bucket/m+odd", recursive=True)
    remote.put(str(adapter), "/bucket/a", recursive=True)
    for location in ("memory://bucket/m+odd+memory://bucket/a", f"{model}+memory://bucket/a", "memory://bucket/a"):
        found = open_checkpoint(location, weights=weights)
        assert isinstance(found, AdaptedCheckpoint)
        assert found.read("model.x.weight", 1, 3).tolist() == [5.0, 5.0]


def test_a_pickled_adapter(pair: tuple[Path, Path]) -> None:
    model, adapter = pair
    torch.save(load_file(adapter / "adapter_model.safetensors"), adapter / "adapter_model.bin")
    (adapter / "adapter_model.safetensors").unlink()
    assert_added(f"{model}+{adapter}")


def test_names_of_other_releases(tmp_path: Path) -> None:
    names = ("language_model.model.layers.0.q.weight", "vision_tower.vision_model.layers.0.q.weight")
    c.write_checkpoint(tmp_path / "m", {name: torch.zeros(3, 4) for name in names}, {})
    ones = {"A": torch.ones(2, 4), "B": torch.ones(3, 2)}
    for module, name in (("model.language_model.layers.0.q", names[0]), ("model.vision_tower.layers.0.q", names[1])):
        adapter = a.write_adapter(tmp_path / "a", {f"{module}.lora_{x}.weight": one for x, one in ones.items()})
        assert open_checkpoint(f"{tmp_path / 'm'}+{adapter}").changed == {name}


# ---- what is refused

BY_CONFIG: list[tuple[dict[str, Any], str]] = [
    ({"peft_type": "IA3"}, "peft_type is 'IA3', not 'LORA'"),
    ({"use_dora": True}, r"DoRA \(use_dora\)"),
    ({"target_parameters": ["experts.gate_up_proj"]}, r"LoRA on stacked experts \(target_parameters\)"),
    ({"trainable_token_indices": [1]}, "single trained tokens"),
    ({"layer_replication": [[0, 1]]}, "repeated layers"),
    ({"use_qalora": True}, r"not known here \(use_qalora\)"),
    ({"init_lora_weights": "pissa"}, "a base that was changed first .init_lora_weights='pissa'"),
    ({"r": 3}, r"rank 3 by its config, but '.*lora_A.weight' is \[2, 4\]"),
    ({"r": "2"}, "has r='2' in its config, expected a number"),
    ({"lora_alpha": None}, "has lora_alpha=None"),
    ({"alpha_pattern": {"(": 3}}, "cannot be read"),
    ({"rank_pattern": [2]}, r"has rank_pattern=\[2\]"),
    ({"fan_in_fan_out": True}, r"does not fit 'model.x.weight' \[3, 4\]: .*transposed"),
]


@pytest.mark.parametrize(("changes", "words"), BY_CONFIG)
def test_refused_by_its_config(pair: tuple[Path, Path], changes: dict[str, Any], words: str) -> None:
    refused(pair[0], a.edit_config(pair[1], **changes), words)


BY_TENSORS: list[tuple[dict[str, torch.Tensor | None], str]] = [
    ({"model.x.lora_magnitude_vector.weight": torch.ones(3)}, "DoRA: tensor"),
    ({"model.x.lora_B.bias": torch.ones(3)}, "a bias of its own .lora_bias."),
    ({"model.x.token_adapter.trainable_tokens_delta": torch.ones(3)}, "single trained tokens"),
    ({"model.x.lora_B.weight": None}, "one of the two factors of 'model.x.weight' only"),
    ({"model.z.lora_A.weight": torch.ones(2, 4)}, "changes 'model.z.weight', which .* does not have"),
    ({"model.x.lora_B.weight": torch.ones(5, 2)}, r"does not fit 'model.x.weight' \[3, 4\]: A is \[2, 4\], B \[5, 2\]"),
    ({"model.x.lora_A.weight": torch.ones(2, 4).char()}, "I8 weights"),
    ({"model.x.weight": torch.ones(5, 4)}, r"becomes \[5, 4\] instead of \[3, 4\] \(a resized vocabulary"),
    ({"x.weight": torch.ones(3, 4)}, "changes 'model.x.weight' of .* twice"),
]


@pytest.mark.parametrize(("changes", "words"), BY_TENSORS)
def test_refused_by_its_tensors(pair: tuple[Path, Path], changes: dict[str, torch.Tensor | None], words: str) -> None:
    def change(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        named = {**tensors, **{f"base_model.model.{name}": tensor for name, tensor in changes.items()}}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    refused(pair[0], a.edit_tensors(pair[1], change), words)


def test_tensors_without_pefts_prefix_or_none_at_all(pair: tuple[Path, Path]) -> None:
    for tensors, words in (({"x.lora_A.weight": torch.ones(2, 4)}, "does not begin with"), ({}, "holds no tensors")):
        save_file(tensors, pair[1] / "adapter_model.safetensors")
        refused(pair[0], pair[1], words)


@pytest.mark.parametrize("lora", [{"target_modules": ["embed_tokens"]}, {"modules_to_save": ["embed_tokens"]}])
def test_trained_embeddings_where_the_head_is_the_same_tensor(lora: dict[str, Any], tiny: Tiny, tmp_path: Path) -> None:
    adapter = a.save_adapter(tiny("qwen2-vl-tied"), tmp_path / "a", **lora)
    refused(tiny("qwen2-vl-tied"), adapter, "the embeddings and the head in one")


def refused(model: Path, adapter: Path, words: str) -> None:
    with pytest.raises(UserError, match=words) as found:
        open_checkpoint(f"{model}+{adapter}")
    assert str(found.value).startswith(f"{adapter}: this adapter ")
    assert "\n" not in str(found.value)


JSON = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
)


@given(
    st.dictionaries(
        st.sampled_from(["peft_type", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "x"]),
        JSON | st.dictionaries(st.text(max_size=3), JSON, max_size=2),
    )
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_fuzzed_configs(pair: tuple[Path, Path], config: dict[str, Any]) -> None:
    path = pair[1] / "adapter_config.json"
    path.write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4, **config}))
    try:
        open_checkpoint(f"{pair[0]}+{pair[1]}")
    except UserError as error:
        if "\n" in str(error):
            raise AssertionError(f"more than one line: {error}") from None
