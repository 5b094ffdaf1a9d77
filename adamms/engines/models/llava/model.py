"""LLaVA-1.5 and its kin in the layout of LLaVA's own code, through vLLM's LLaVA."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from vllm.model_executor.layers.activation import get_act_fn
from vllm.model_executor.models.llava import LlavaForConditionalGeneration
from vllm.multimodal import MULTIMODAL_REGISTRY

from adamms.engines.models.llava.layout import OriginalLayout
from adamms.engines.models.multimodal import DummyImages, ImageInfo, ImagePrompts


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
class OriginalLlavaForConditionalGeneration(OriginalLayout, LlavaForConditionalGeneration):  # type: ignore[misc]
    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        config = vllm_config.model_config.hf_config
        names = {"0": "linear_1", "2": "linear_2"}
        if config.projector_norms:
            names = {"0": "linear_1", "1": "norm_1", "3": "linear_2", "4": "norm_2"}
            hidden = config.text_config.hidden_size
            self.multi_modal_projector = NormedProjector(config.vision_config.hidden_size, hidden)
        self.read_original(config, names, newline=None)  # which only models have that cut pictures up
