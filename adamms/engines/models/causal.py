"""What models of ours have in common for vLLM: a decoder with a vision part, whose tokens go several ways."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from vllm.model_executor.layers.activation import SiluAndMul
from vllm.model_executor.layers.linear import MergedColumnParallelLinear, RowParallelLinear
from vllm.model_executor.layers.logits_processor import LogitsProcessor
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, VocabParallelEmbedding
from vllm.model_executor.models.interfaces import SupportsMRoPE, SupportsMultiModal
from vllm.model_executor.models.utils import AutoWeightsLoader, WeightsMapper

from adamms.engines.models.routing import Route


class Mlp(nn.Module):
    """LLaMA's."""

    def __init__(self, hidden: int, inner: int) -> None:
        super().__init__()
        self.gate_up_proj = MergedColumnParallelLinear(hidden, [inner] * 2, bias=False)
        self.gated = SiluAndMul()
        self.down_proj = RowParallelLinear(inner, hidden, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        output: Tensor = self.down_proj(self.gated(self.gate_up_proj(hidden)[0]))[0]
        return output


class RoutedDecoder(nn.Module):
    """Embeddings, layers and last norm; a subclass adds `layers`, `norm` and the vision part."""

    layers: Any
    norm: Any

    def __init__(self, vllm_config: Any) -> None:
        super().__init__()
        config = vllm_config.model_config.hf_config
        self.embed_tokens = VocabParallelEmbedding(config.vocab_size, config.hidden_size)

    def embed_input_ids(self, input_ids: Tensor) -> Tensor:
        embedded: Tensor = self.embed_tokens(input_ids)
        return embedded

    def embed_images(self, pixels: Tensor) -> Tensor:
        """Pixels [images, 3, side, side] to embeddings [images, tokens, hidden]."""
        raise NotImplementedError

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: Any = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """`positions`: [channels, tokens] (`routing`)."""
        if inputs_embeds is None:
            assert input_ids is not None
            inputs_embeds = self.embed_input_ids(input_ids)
        route, hidden = Route(positions), inputs_embeds
        first = positions[0].contiguous() if positions.ndim > 1 else positions
        for layer in self.layers:
            hidden = layer(hidden, first, route)
        normed: Tensor = self.norm(hidden)
        return normed


class RoutedForCausalLM(nn.Module, SupportsMultiModal, SupportsMRoPE):  # type: ignore[misc]
    """The decoder with a head, in the names of its authors' files.

    Attributes:
        decoder: the class of `model`, made with vLLM's config.
        towers: the classes in it that only images need.
    """

    decoder: ClassVar[type[RoutedDecoder]]
    model: RoutedDecoder
    towers: ClassVar[tuple[type[nn.Module], ...]]
    hf_to_vllm_mapper: ClassVar[WeightsMapper]

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:
        return None

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__()
        config = vllm_config.model_config.hf_config
        self.config = config
        mark: Any = self._mark_tower_model
        with mark(vllm_config, "image", targets=self.towers):
            self.model = self.decoder(vllm_config)
        self.lm_head = ParallelLMHead(config.vocab_size, config.hidden_size)
        self.logits_processor = LogitsProcessor(config.vocab_size)

    def get_language_model(self) -> nn.Module:
        return self.model

    def embed_multimodal(self, **inputs: Any) -> Any:
        """Embeddings [tokens, hidden] for each image."""
        pixels = inputs.get("pixel_values")
        return [] if pixels is None else self.model.embed_images(pixels)

    def get_mrope_input_positions(self, input_tokens: list[int], mm_features: Sequence[Any]) -> tuple[Tensor, int]:
        """Every token's position and way (`routing.positions_of`)."""
        raise NotImplementedError

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: Any = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        hidden: Tensor = self.model(input_ids, positions, intermediate_tensors, inputs_embeds)
        return hidden

    def compute_logits(self, hidden_states: Tensor) -> Tensor | None:
        logits: Tensor | None = self.logits_processor(self.lm_head, hidden_states)
        return logits

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """All or some of the checkpoint's tensors, by its names."""
        loaded: set[str] = AutoWeightsLoader(self).load_weights(weights, mapper=self.hf_to_vllm_mapper)
        return loaded
