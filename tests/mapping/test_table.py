"""`adamms map`: a table that a person can read, everything as JSON, and 34B-sized indices by their headers alone."""

from __future__ import annotations

import io
import json
import struct
from math import prod
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.cli import app, run_as_command
from adamms.mapping import MergePlan, plan_merge
from adamms.mapping.config import MappingConfig
from adamms.mapping.table import Counts, count, print_plan
from tests.support import checkpoints as c
from tests.support.plans import plan_from_dict


def cogvlm(folder: Path, seed: int) -> Path:
    weights = c.duplicated(c.tuned(c.language_model(sizes=c.MHA), seed), c.COGVLM_PARTS, seed)
    named = {**c.cogvlm_names(weights, c.MHA), **c.outside("model.vision.a", "model.vision.linear_proj.b")}
    return c.write_checkpoint(folder, named, {**c.MHA.config, "architectures": ["CogVLMForCausalLM"]})


def llava(folder: Path, seed: int) -> Path:
    named = c.llama_names()(c.tuned(c.language_model(sizes=c.MHA), seed), c.MHA)
    named |= c.outside("model.mm_projector.0.weight")
    config = {**c.MHA.config, "architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava"}
    return c.write_checkpoint(folder, named, config, c.words(37))


@pytest.fixture
def plan(tmp_path: Path) -> MergePlan:
    base, donor = open_checkpoint(str(cogvlm(tmp_path / "a", 1))), open_checkpoint(str(llava(tmp_path / "b", 2)))
    return plan_merge(base, donor, MappingConfig())


def test_counts(plan: MergePlan) -> None:
    assert count(plan) == {
        "embed_tokens": Counts(1),
        "norms": Counts(5, 5),
        "attention (text)": Counts(4, 4, 4, 2),
        "attention (vision)": Counts(4, 4, 4, 2),
        "mlp (text)": Counts(6, 6, 6),
        "mlp (vision)": Counts(6, 6, 6),
        "lm_head": Counts(1),
        "vision": Counts(1),
        "projector": Counts(1),
    }


@pytest.mark.parametrize("width", [80, 200])
def test_it_reads_well(plan: MergePlan, width: int) -> None:
    output = io.StringIO()
    print_plan(plan, Console(file=output, width=width))
    text = output.getvalue()
    body = [line for line in text.splitlines() if not line.startswith(("base ", "donor "))]
    assert max(map(len, body)) <= width
    words = " ".join(text.split())
    for expected in (
        "part tensors merge duplicated cut kept", "attention (vision) 4 4 4 2", "mlp (text) 6 6 6",
        "2 vision, projector: the base keeps its own", "2 lm_head, embed_tokens: kept, since",
        "2 for the same reason as lm_head, embed_tokens above", "unused in the donor",
        "1 projector: for the same reason as vision, projector above", "25 of 29 tensors merge",
    ):  # fmt: skip
        assert expected in words
    assert words.count("kept, since") == 1
    assert words.count("the base keeps its own") == 1
    assert "…" not in text


def run(*arguments: str) -> None:
    run_as_command(lambda: app(list(arguments), standalone_mode=False))


def test_the_command_prints_the_same_plan_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, donor = str(cogvlm(tmp_path / "a", 1)), str(llava(tmp_path / "b", 2))
    run("map", base, donor, "--json", "mapping.embeddings=same")
    found = json.loads(capsys.readouterr().out)
    assert {"base", "donor", "tensors", "unused", "notes", "fingerprint"} <= found.keys()
    plan = plan_from_dict(found)
    assert plan.fingerprint == found["fingerprint"]
    assert len(plan.merged) == 27
    run("map", base, donor, "mapping.embeddings=same")
    assert "27 of 29 tensors merge" in capsys.readouterr().out


def test_map_refuses_what_merge_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = str(cogvlm(tmp_path / "a", 1))
    other = c.llama_names()(c.language_model(7, c.MHA), c.MHA)
    donor = str(c.write_checkpoint(tmp_path / "b", other, {**c.MHA.config, "model_type": "llama"}))
    for command in (["map", base, donor], ["merge", base, donor, "--alpha", "0.1", "--output", str(tmp_path / "out")]):
        with pytest.raises(SystemExit) as found:
            run(*command)
        assert found.value.code == 2
        printed = capsys.readouterr()
        assert printed.err.startswith("error: ")
        assert "does not share an ancestor" in printed.err
        assert printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def headers_only(folder: Path, shapes: dict[str, list[int]], config: dict[str, Any], shards: int) -> Checkpoint:
    """A checkpoint of true size whose files are holes: only the headers take room."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": c.words(64000)}}))
    names, weight_map = list(shapes), {}
    for i in range(shards):
        file, header, position = f"model-{i + 1:05d}-of-{shards:05d}.safetensors", {}, 0
        for name in names[i::shards]:
            size = 2 * prod(shapes[name])
            header[name] = {"dtype": "BF16", "shape": shapes[name], "data_offsets": [position, position + size]}
            position += size
            weight_map[name] = file
        raw = json.dumps(header).encode()
        with (folder / file).open("wb") as out:
            out.write(struct.pack("<Q", len(raw)) + raw)
            out.truncate(8 + len(raw) + position)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return open_checkpoint(str(folder))


def test_a_34b_sized_pair_is_planned_by_its_headers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Yi-VL-34B into Cambrian-34B by the sizes of Yi-34B: 1.1 thousand tensors of language model, no byte of weights.

    Each tensor is looked at a bounded number of times; seconds are for the benchmarks, counts for the tests.
    """
    hidden, heads, rows = 7168, 1024, 20480
    shapes = {"model.embed_tokens.weight": [64000, hidden], "model.norm.weight": [hidden]}
    shapes["lm_head.weight"] = [64000, hidden]
    layer = {
        "self_attn.q_proj": [hidden, hidden], "self_attn.k_proj": [heads, hidden], "self_attn.v_proj": [heads, hidden],
        "self_attn.o_proj": [hidden, hidden], "mlp.gate_proj": [rows, hidden], "mlp.up_proj": [rows, hidden],
        "mlp.down_proj": [hidden, rows], "input_layernorm": [hidden], "post_attention_layernorm": [hidden],
    }  # fmt: skip
    shapes |= {f"model.layers.{i}.{name}.weight": shape for i in range(60) for name, shape in layer.items()}
    numbers = {
        "num_hidden_layers": 60, "hidden_size": hidden, "intermediate_size": rows, "num_attention_heads": 56,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-5, "rope_theta": 5e6, "vocab_size": 64000,
    }  # fmt: skip
    towers = {f"model.vision_tower_aux_list.{i}.x.{j}.weight": [64, 64] for i in range(4) for j in range(300)}
    cambrian = {**numbers, "model_type": "cambrian_llama", "architectures": ["CambrianLlamaForCausalLM"]}
    base = headers_only(tmp_path / "cambrian", {**shapes, **towers}, cambrian, 15)
    yi = {**numbers, "architectures": ["LlavaLlamaForCausalLM"], "mm_projector_type": "mlp2x_gelu_Norm"}
    donor = headers_only(tmp_path / "yi", {**shapes, "model.mm_projector.0.weight": [hidden, 9]}, yi, 15)

    def read(*_: Any, **__: Any) -> Any:
        raise AssertionError("planning read weights")

    monkeypatch.setattr(Checkpoint, "read", read)
    plan = plan_merge(base, donor, MappingConfig())
    assert (plan.base.architecture, plan.donors[0].architecture) == ("cambrian", "yi-vl")
    assert len(plan.tensors) == 543 + 1200
    assert len(plan.merged) == 543
    assert sum(len(tensor.pieces) for tensor in plan.tensors) == 543
    assert count(plan)["attention"] == Counts(240, 240)
    assert len(json.dumps(plan.to_dict())) < 1_000_000
