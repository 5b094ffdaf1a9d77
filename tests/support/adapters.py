"""LoRA adapters of tiny models, made, saved and merged by PEFT itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.support.tiny_models import hub_name

LANGUAGE = r".*language_model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"


def save_adapter(model: Path, folder: Path, seed: int = 0, spread: float = 0.05, **lora: Any) -> Path:
    """An adapter of random factors; `lora` goes over plain LoRA of rank 4 on every matrix of the language model."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": LANGUAGE, **lora})
    adapted = get_peft_model(_load(model), config)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * spread)
    adapted.save_pretrained(folder)
    return folder


def merged_by_peft(model: Path, adapter: Path) -> dict[str, torch.Tensor]:
    """The tensors that `merge_and_unload()` saves, under the names of tests.support.tiny_models."""
    from peft import PeftModel

    folder = adapter.with_name(f"{adapter.name}-merged")
    PeftModel.from_pretrained(_load(model), adapter).merge_and_unload().save_pretrained(folder)
    return {hub_name(name): tensor for name, tensor in load_file(folder / "model.safetensors").items()}


def merged_folder(model: Path, adapter: Path, folder: Path) -> Path:
    """The model with the tensors that `merge_and_unload()` saves, as a folder of its own."""
    shutil.copytree(model, folder)
    save_file(merged_by_peft(model, adapter), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def edit_config(adapter: Path, **changes: Any) -> Path:
    """The adapter with other values in its config."""
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return adapter


def edit_tensors(adapter: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Path:
    """The adapter with other tensors."""
    path = adapter / "adapter_model.safetensors"
    save_file(change(load_file(path)), path)
    return adapter


def write_adapter(folder: Path, tensors: dict[str, torch.Tensor], **config: Any) -> Path:
    """An adapter by hand; tensors without PEFT's prefix."""
    folder.mkdir(parents=True, exist_ok=True)
    given = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "base_model_name_or_path": "its-model", **config}
    (folder / "adapter_config.json").write_text(json.dumps(given))
    named = {f"base_model.model.{name}": tensor.contiguous() for name, tensor in tensors.items()}
    save_file(named, folder / "adapter_model.safetensors")
    return folder


def _load(model: Path) -> Any:
    import transformers

    config = transformers.AutoConfig.from_pretrained(model)
    multimodal: Any = transformers.AutoModelForImageTextToText
    kind: Any = multimodal if type(config) in multimodal._model_mapping else transformers.AutoModelForCausalLM
    return kind.from_pretrained(model)
