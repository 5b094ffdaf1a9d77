"""LLaVA-1.5 and its kin in the layout of LLaVA's own code, through vLLM's LLaVA."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from torch import Tensor, nn
from vllm.model_executor.layers.activation import get_act_fn
from vllm.model_executor.model_loader.default_loader import DefaultModelLoader
from vllm.model_executor.models.llava import LlavaForConditionalGeneration
from vllm.model_executor.models.utils import WeightsMapper
from vllm.multimodal import MULTIMODAL_REGISTRY

from adamms.engines.models.multimodal import DummyImages, ImageInfo, ImagePrompts

TOWER = "second repository."
_BUFFERS = ("rotary_emb.inv_freq", "embeddings.position_ids")


class NormedProjector(nn.Module):
    """Yi-VL's: a LayerNorm after each matrix. Small, so that every rank has all of it."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width, hidden)
        self.norm_1 = nn.LayerNorm(hidden)
        self.activation = get_act_fn("gelu")
        self.linear_2 = nn.Linear(hidden, hidden)
        self.norm_2 = nn.LayerNorm(hidden)

    def forward(self, seen: Tensor) -> Tensor:
        output: Tensor = self.norm_2(self.linear_2(self.activation(self.norm_1(self.linear_1(seen)))))
        return output


@MULTIMODAL_REGISTRY.register_processor(ImagePrompts, info=ImageInfo, dummy_inputs=DummyImages)
class OriginalLlavaForConditionalGeneration(LlavaForConditionalGeneration):  # type: ignore[misc]
    """Reads a vision tower that lies in a second repository from there."""

    _towers: ClassVar[dict[str, str | None]] = {
        f"{TOWER}vision_model.": "vision_tower.vision_model.",
        TOWER: None,  # CLIP's text side
        "model.vision_tower.vision_tower.": "vision_tower.",
    }
    _language: ClassVar[dict[str, str | None]] = {
        "model.image_newline": None,  # of models that cut pictures up, which these are not
        "lm_head.": "language_model.lm_head.",
        "model.": "language_model.model.",
    }

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        config = vllm_config.model_config.hf_config
        names = {"0": "linear_1", "2": "linear_2"}
        if config.projector_norms:
            names = {"0": "linear_1", "1": "norm_1", "3": "linear_2", "4": "norm_2"}
            hidden = config.text_config.hidden_size
            self.multi_modal_projector = NormedProjector(config.vision_config.hidden_size, hidden)
        projector = {f"model.mm_projector.{i}.": f"multi_modal_projector.{name}." for i, name in names.items()}
        self.hf_to_vllm_mapper = WeightsMapper(orig_to_new_prefix={**self._towers, **projector, **self._language})
        if config.tower:
            self.secondary_weights = [DefaultModelLoader.Source(config.tower, None, prefix=TOWER)]

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """All or some of the checkpoint's tensors, and perhaps the tower's, by their names."""
        kept = ((name, weight) for name, weight in weights if not name.endswith(_BUFFERS))
        loaded: set[str] = super().load_weights(kept)
        return loaded
