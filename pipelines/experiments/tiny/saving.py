"""Write a member of the pair as the folder that its family has on the Hub."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from pipelines.experiments.tiny.models import Member

_SIGLIP = "vision_tower."
_SIGLIP_ON_THE_HUB = "vision_tower.vision_model."


def save_member(member: Member, folder: Path) -> None:
    """A complete folder in bfloat16: weights, config, generation config, tokenizer, processor, chat template."""
    member.model.to(torch.bfloat16).save_pretrained(folder)
    member.processor.save_pretrained(folder)
    _use_hub_names(folder / "model.safetensors")


def _use_hub_names(weights: Path) -> None:
    """transformers 5 shortens SigLIP's names; vLLM reads only the longer ones, transformers both."""
    tensors = load_file(weights)
    renamed = {
        _SIGLIP_ON_THE_HUB + name.removeprefix(_SIGLIP)
        if name.startswith(_SIGLIP) and not name.startswith(_SIGLIP_ON_THE_HUB)
        else name: tensor
        for name, tensor in tensors.items()
    }
    save_file(renamed, weights, metadata={"format": "pt"})
