"""Write a member of the pair as the folder that its family has on the Hub."""

import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from pipelines.experiments.tiny.models import Member


def save_member(member: Member, folder: Path) -> None:
    """A complete folder in bfloat16: weights, config, generation config, tokenizer, processor, chat template."""
    member.model.to(torch.bfloat16).save_pretrained(folder)
    member.processor.save_pretrained(folder)
    # transformers 5 shortens SigLIP's names; vLLM reads only the longer ones of the Hub, transformers both
    weights, short = folder / "model.safetensors", re.compile(r"^vision_tower\.(?!vision_model\.)")
    renamed = {short.sub("vision_tower.vision_model.", name): tensor for name, tensor in load_file(weights).items()}
    save_file(renamed, weights, metadata={"format": "pt"})
