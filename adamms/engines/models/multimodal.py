"""How vLLM gets the prompts and pixels of models with a `SplitProcessor`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vllm.multimodal.inputs import MultiModalFieldConfig
from vllm.multimodal.parse import ImageProcessorItems
from vllm.multimodal.processing import (
    BaseDummyInputsBuilder,
    BaseMultiModalProcessor,
    BaseProcessingInfo,
    ProcessorInputs,
    PromptReplacement,
    PromptUpdate,
)


class ImageInfo(BaseProcessingInfo):  # type: ignore[misc]
    """What vLLM asks of a model's processor."""

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        return {"image": type(self.get_hf_processor()).valid_images}


class DummyImages(BaseDummyInputsBuilder[ImageInfo]):  # type: ignore[misc]
    """What vLLM tries a model out with."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        return ""  # no text stands for an image: see `ImagePrompts.get_dummy_inputs`

    def get_dummy_mm_data(self, seq_len: int, mm_counts: Mapping[str, int], mm_options: Any) -> Mapping[str, Any]:
        width, height = self.info.get_hf_processor().largest_image
        return {"image": self._get_dummy_images(width=width, height=height, num_images=mm_counts.get("image", 0))}


class ImagePrompts(BaseMultiModalProcessor[ImageInfo]):  # type: ignore[misc]
    """Puts as many tokens as an image has into a prompt where one stands for it."""

    def get_dummy_inputs(self, seq_len: int, mm_counts: Mapping[str, int], mm_options: Any) -> ProcessorInputs:
        images = self.dummy_inputs.get_dummy_mm_data(seq_len, mm_counts, mm_options)
        tokens = [self.info.get_hf_processor().image_token_id] * mm_counts.get("image", 0)
        return ProcessorInputs(prompt=tokens, mm_data_items=self.info.parse_mm_data(images, validate=False))

    def _get_mm_fields_config(self, hf_inputs: Any, hf_processor_mm_kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        batched = MultiModalFieldConfig.batched
        return {"pixel_values": batched("image"), "image_sizes": batched("image", keep_on_cpu=True)}

    def _get_prompt_updates(
        self, mm_items: Any, hf_processor_mm_kwargs: Mapping[str, Any], out_mm_kwargs: Any
    ) -> Sequence[PromptUpdate]:
        processor = self.info.get_hf_processor(**hf_processor_mm_kwargs)
        token = processor.image_token_id

        def tokens(item: int) -> list[int]:
            size = mm_items.get_items("image", ImageProcessorItems).get_image_size(item)
            return [token] * processor.tokens_of(size.width, size.height)

        return [PromptReplacement(modality="image", target=[token], replacement=tokens)]
