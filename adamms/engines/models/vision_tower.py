"""Vision towers, which a checkpoint of LLaVA's kind has among its weights or names in its config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.checkpoint.json_file import read_json
from adamms.checkpoint.resolve import fetch_from_hub, is_hub_id
from adamms.errors import UserError

_CONFIG = "config.json"


def is_inside(model: Checkpoint) -> bool:
    """Whether the tower is among the checkpoint's own weights."""
    return any(name.startswith("model.vision_tower.") for name in model.tensors)


def tower_folder(model: Checkpoint, weights: bool = False) -> Path:
    """The local folder of the vision tower that a config names: within the checkpoint's, or from the Hub.

    Args:
        weights: whether to fetch more than config and image processor.

    Raises:
        UserError: it names any other place: whoever wrote the config chooses neither what of this machine is read nor
            whom it asks.
    """
    name = str(model.config.get("mm_vision_tower") or model.config["vision_tower"])
    within = model.folder / name
    if not Path(name).is_absolute() and ".." not in Path(name).parts and within.is_dir():
        if within.resolve().is_relative_to(model.folder.resolve()):
            return within
    elif is_hub_id(name):
        return fetch_from_hub(name, weights)
    raise UserError(
        f"{model.folder}/{_CONFIG}: names the vision tower {name}, which is neither a folder within the checkpoint's "
        "nor a Hub id, and is not followed; name its Hub id there, or copy it into the checkpoint's and name that"
    )


def fetch_tower(model: Checkpoint) -> None:
    """Makes sure that a tower's weights are on this machine.

    Raises:
        UserError: as `tower_folder`; or it has none.
    """
    if not is_inside(model):
        open_checkpoint(str(tower_folder(model, weights=True)))


def tower_config(folder: Path) -> dict[str, Any]:
    """The vision side's, of a tower or of a whole CLIP or SigLIP."""
    whole = read_json(folder / _CONFIG)
    vision = dict(whole.get("vision_config", whole))
    kind = str(whole["model_type"])
    return {**vision, "model_type": kind if kind.endswith("_vision_model") else f"{kind}_vision_model"}


def tower_parameters(model: Checkpoint) -> int:
    """How many numbers a vision tower has that lies in a second repository; 0 where it is among the weights."""
    if is_inside(model):
        return 0
    import torch
    from transformers import AutoConfig, AutoModel

    settings = tower_config(tower_folder(model))
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    with torch.device("meta"):
        tower = AutoModel.from_config(config)
    return sum(parameter.numel() for parameter in tower.parameters())
