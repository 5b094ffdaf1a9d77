"""LLaVA-OneVision in lmms-lab's own layout, through vLLM's LLaVA-OneVision."""

from __future__ import annotations

from typing import Any

from vllm.model_executor.models.llava_onevision import LlavaOnevisionForConditionalGeneration
from vllm.multimodal import MULTIMODAL_REGISTRY

from adamms.engines.models.llava.layout import OriginalLayout
from adamms.engines.models.multimodal import DummyImages, ImageInfo, ImagePrompts


@MULTIMODAL_REGISTRY.register_processor(ImagePrompts, info=ImageInfo, dummy_inputs=DummyImages)
class OriginalOnevisionForConditionalGeneration(OriginalLayout, LlavaOnevisionForConditionalGeneration):  # type: ignore[misc]
    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        config = vllm_config.model_config.hf_config
        self.read_original(config, {"0": "linear_1", "2": "linear_2"}, newline="image_newline")
