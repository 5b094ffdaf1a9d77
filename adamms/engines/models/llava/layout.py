"""How checkpoints in the layout of LLaVA's own code are read into vLLM's classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader
from vllm.model_executor.models.utils import WeightsMapper

_TOWER = "second repository."
_BUFFERS = ("rotary_emb.inv_freq", "embeddings.position_ids")


class OriginalLayout:
    """Mixed into a class of vLLM, before it: reads the authors' names, and a vision tower that lies in a second
    repository from there."""

    hf_to_vllm_mapper: WeightsMapper

    def read_original(self, config: Any, projector: Mapping[str, str], newline: str | None) -> None:
        """To be called once the model is made.

        Args:
            config: whose `tower` is the folder of a second repository, or ''.
            projector: number of a layer in the authors' -> its name in vLLM's.
            newline: the name of the embedding that ends a row of a cut picture; None to leave it out.
        """
        names: dict[str, str | None] = {
            f"{_TOWER}vision_model.": "vision_tower.vision_model.",
            _TOWER: None,  # the text side
            "model.vision_tower.vision_tower.": "vision_tower.",
            **{f"model.mm_projector.{i}.": f"multi_modal_projector.{name}." for i, name in projector.items()},
            "model.image_newline": newline,
            "lm_head.": "language_model.lm_head.",
            "model.": "language_model.model.",
        }
        self.hf_to_vllm_mapper = WeightsMapper(orig_to_new_prefix=names)
        if config.tower:
            self.secondary_weights = [DefaultModelLoader.Source(config.tower, None, prefix=_TOWER)]

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """All or some of the checkpoint's tensors, and perhaps the tower's, by their names."""
        kept = ((name, weight) for name, weight in weights if not name.endswith(_BUFFERS))
        parent: Any = super()
        loaded: set[str] = parent.load_weights(kept)
        return loaded
