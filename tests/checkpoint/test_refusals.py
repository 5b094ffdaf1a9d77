"""What cannot be merged is called what it is: quantised checkpoints by their scheme, GGUF files, git-lfs pointers."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from safetensors.torch import save_file

from adamms.checkpoint import open_checkpoint, torch_file
from adamms.errors import UserError
from tests.support import checkpoints as c

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 4976698672\n"
BYTES, INTS = torch.zeros(4, 4, dtype=torch.uint8), torch.zeros(4, 4, dtype=torch.int32)
HALF, FP8 = torch.zeros(4, 4, dtype=torch.float16), torch.zeros(4, 4, dtype=torch.float8_e4m3fn)
# What each scheme's own library writes for a layer, and into config.json.
SCHEMES: dict[str, tuple[str, dict[str, torch.Tensor], dict[str, Any]]] = {
    "awq": (
        "AWQ",
        {"qweight": INTS, "qzeros": INTS, "scales": HALF},
        {"quant_method": "awq", "bits": 4, "version": "gemm"},
    ),
    "gptq": (
        "GPTQ",
        {"qweight": INTS, "qzeros": INTS, "scales": HALF, "g_idx": INTS[0].clone()},
        {"quant_method": "gptq", "bits": 4},
    ),
    "compressed-tensors": (
        "compressed-tensors",
        {"weight_packed": INTS, "weight_scale": HALF, "weight_shape": torch.tensor([4, 32])},
        {"quant_method": "compressed-tensors", "format": "pack-quantized"},
    ),
    "fp8": ("fp8", {"weight": FP8, "weight_scale_inv": HALF.float()}, {"quant_method": "fp8"}),
    "bitsandbytes, 4 bit": (
        "bitsandbytes",
        {
            "weight": BYTES,
            "weight.absmax": HALF.float(),
            "weight.quant_map": HALF.float()[0].clone(),
            "weight.quant_state.bitsandbytes__nf4": BYTES[0].clone(),
        },
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
    ),
    "bitsandbytes, 8 bit": (
        "bitsandbytes",
        {"weight": BYTES.char(), "SCB": HALF.float()[0].clone()},
        {"quant_method": "bitsandbytes", "load_in_8bit": True},
    ),
}


def write(folder: Path, tensors: dict[str, torch.Tensor], config: dict[str, Any]) -> Path:
    named = {f"model.layers.0.mlp.up_proj.{name}": tensor for name, tensor in tensors.items()}
    return c.write_checkpoint(folder, {"model.norm.weight": HALF, **named}, {"model_type": "qwen2", **config})


def refused(location: Path | str, words: str, **options: Any) -> None:
    with pytest.raises(UserError, match=words) as found:
        open_checkpoint(str(location), **options)
    assert str(found.value).startswith(str(location))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("told_by", ["config", "config of a part", "tensors"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_quantised_checkpoints(scheme: str, told_by: str, tmp_path: Path) -> None:
    title, tensors, how = SCHEMES[scheme]
    config = {"quantization_config": how} if told_by != "tensors" else {}
    folder = write(tmp_path / "m", tensors, {"text_config": config} if told_by == "config of a part" else config)
    words = f"quantised by {title}.*; only full-precision weights can be merged: give the checkpoint that it was made"
    refused(folder, words)
    (folder / "README.md").write_text("---\nbase_model: Qwen/Qwen2-7B\n---\n# Card")
    refused(folder, "made from, by its card Qwen/Qwen2-7B$")


def test_other_schemes_are_called_as_in_their_configs(tmp_path: Path) -> None:
    tensors = {"up_proj_blocks": BYTES, "up_proj_scales": BYTES}
    refused(write(tmp_path / "m", tensors, {"quantization_config": {"quant_method": "mxfp4"}}), "quantised by mxfp4")
    refused(write(tmp_path / "n", {"weight": BYTES.char()}, {}), r"quantised by integers .tensor \S+up_proj.weight I8")


def test_a_config_that_was_left_behind(tmp_path: Path) -> None:
    """QLoRA's adapter merged into the full-precision model, with the config that it was trained with."""
    folder = write(tmp_path / "m", {"weight": HALF}, {"quantization_config": {"quant_method": "bitsandbytes"}})
    refused(folder, r"quantization_config \(bitsandbytes\), but no tensor is quantised; .* take that key out")


def test_an_adapter_of_a_quantised_model(tmp_path: Path) -> None:
    from tests.support.adapters import write_adapter

    model = write(tmp_path / "m", SCHEMES["awq"][1], {})
    adapter = write_adapter(tmp_path / "a", {"x.lora_A.weight": HALF}, base_model_name_or_path=str(model))
    refused(adapter, r"which cannot be taken \(.* quantised by AWQ .*; give both, as MODEL\+")


def test_a_pickled_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no broken checkpoint, and converting it would not help."""
    folder = c.write_checkpoint(tmp_path / "m", {"a": HALF}, {}, kind="bin")
    whole = Path.open

    def forbidden(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.suffix == ".bin":
            raise PermissionError(errno.EACCES, "Permission denied")
        return whole(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", forbidden)
    refused(folder, r"pytorch_model.bin: cannot be read \(Permission denied\); check the file and its permissions$")


def test_a_pickled_file_that_is_not_there(tmp_path: Path) -> None:
    """Of one whose header was read before, who merges on Ray says more."""
    with pytest.raises(UserError, match=r"gone\.bin: no such file; an index names it, or it is gone"):
        torch_file.read_header(tmp_path / "gone.bin")
    with pytest.raises(FileNotFoundError):
        torch_file.load_mapped(tmp_path / "gone.bin")


# ---- GGUF


def test_gguf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "model-Q4_K_M.gguf").write_bytes(b"GGUF\x03\x00\x00\x00")
    (folder / "config.json").write_text("{}")
    words = "model-Q4_K_M.gguf is GGUF, llama.cpp's format.*give the checkpoint in safetensors that it was made from"
    refused(folder, words)
    refused(folder / "model-Q4_K_M.gguf", words)
    monkeypatch.setenv("ADAMMS_CACHE", str(tmp_path / "cache"))
    for weights in (True, False):
        refused(f"file://{folder}", words, weights=weights)
    save_file({"a": HALF}, folder / "model.safetensors")  # beside a checkpoint it does no harm
    assert list(open_checkpoint(str(folder)).tensors) == ["a"]
    refused(folder / "model.safetensors", "a file; give the folder that it is in")


def test_gguf_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    class Hub:
        def list_repo_files(self, repo: str, revision: str | None) -> list[str]:
            return ["README.md", "x.gguf"]

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    refused("owner/model-GGUF", "x.gguf is GGUF")


# ---- git-lfs


@pytest.mark.parametrize(
    "file",
    [
        "model.safetensors",
        "pytorch_model.bin",
        "model.safetensors.index.json",
        "model-00002-of-00002.safetensors",
        "config.json",
    ],
)
def test_git_lfs_pointers(file: str, tmp_path: Path) -> None:
    shards, kind = (2 if "index" in file or "-of-" in file else 1), "bin" if file.endswith(".bin") else "safetensors"
    folder = c.write_checkpoint(tmp_path / "m", {"a": HALF, "b": HALF}, {}, shards=shards, kind=kind)
    (folder / file).write_text(POINTER)
    with pytest.raises(UserError, match=r"a git-lfs pointer, not the file itself; run `git lfs pull`") as found:
        open_checkpoint(str(folder))
    assert str(found.value).startswith(str(folder / file))


def test_a_pointer_behind_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAMMS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text(json.dumps({}))
    (tmp_path / "m" / "model.safetensors").write_text(POINTER)
    fsspec.filesystem("memory").put(str(tmp_path / "m"), "/lfs/m", recursive=True)
    for weights in (True, False):
        with pytest.raises(UserError, match="a git-lfs pointer"):
            open_checkpoint("memory://lfs/m", weights=weights)
    shutil.rmtree(tmp_path / "m")
    fsspec.filesystem("memory").store.clear()
