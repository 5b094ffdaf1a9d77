"""mPLUG-Owl2: a LLaMA whose keys, values and layer norms come twice, for text (0) and for images (1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from vllm.distributed import get_tensor_model_parallel_world_size
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.layers.layernorm import RMSNorm
from vllm.model_executor.layers.linear import ColumnParallelLinear, RowParallelLinear
from vllm.model_executor.layers.rotary_embedding import get_rope
from vllm.model_executor.models.utils import WeightsMapper
from vllm.multimodal import MULTIMODAL_REGISTRY

from adamms.engines.models.causal import Mlp, RoutedDecoder, RoutedForCausalLM
from adamms.engines.models.mplug_owl2.vision import Abstractor, VisionModel
from adamms.engines.models.multimodal import DummyImages, ImageInfo, ImagePrompts
from adamms.engines.models.routing import Route, positions_of


class Multiway(nn.Module):
    """A module for text and its twin for images."""

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.multiway = nn.ModuleList([make(), make()])

    def forward(self, hidden: Tensor, route: Route) -> Tensor:
        return route(hidden, self.multiway[0], self.multiway[1])


class AdaptiveAttention(nn.Module):
    def __init__(self, vllm_config: Any, prefix: str) -> None:
        super().__init__()
        config, ranks = vllm_config.model_config.hf_config, get_tensor_model_parallel_world_size()
        hidden, heads, kv_heads = config.hidden_size, config.num_attention_heads, config.num_key_value_heads
        head, bias = hidden // heads, config.attention_bias
        self.q_proj = ColumnParallelLinear(hidden, head * heads, bias=bias)
        self.k_proj = Multiway(lambda: ColumnParallelLinear(hidden, head * kv_heads, bias=bias))
        self.v_proj = Multiway(lambda: ColumnParallelLinear(hidden, head * kv_heads, bias=bias))
        self.o_proj = RowParallelLinear(head * heads, hidden, bias=bias)
        rope = {"rope_type": "default", "rope_theta": config.rope_parameters["rope_theta"]}
        self.rope = [get_rope(head, max_position=config.max_position_embeddings, rope_parameters=rope)]
        self.attn = Attention(
            heads // ranks,
            head,
            head**-0.5,
            num_kv_heads=kv_heads // ranks,
            cache_config=vllm_config.cache_config,
            prefix=f"{prefix}.attn",
        )

    def forward(self, hidden: Tensor, positions: Tensor, route: Route) -> Tensor:
        q, k = self.rope[0](positions, self.q_proj(hidden)[0], self.k_proj(hidden, route))
        output: Tensor = self.o_proj(self.attn(q, k, self.v_proj(hidden, route)))[0]
        return output


class AdaptiveLayer(nn.Module):
    def __init__(self, vllm_config: Any, prefix: str) -> None:
        super().__init__()
        config = vllm_config.model_config.hf_config
        self.self_attn = AdaptiveAttention(vllm_config, f"{prefix}.self_attn")
        self.mlp = Mlp(config.hidden_size, config.intermediate_size)
        self.input_layernorm = Multiway(lambda: RMSNorm(config.hidden_size, eps=config.rms_norm_eps))
        self.post_attention_layernorm = Multiway(lambda: RMSNorm(config.hidden_size, eps=config.rms_norm_eps))

    def forward(self, hidden: Tensor, positions: Tensor, route: Route) -> Tensor:
        hidden = hidden + self.self_attn(self.input_layernorm(hidden, route), positions, route)
        added: Tensor = hidden + self.mlp(self.post_attention_layernorm(hidden, route))
        return added


class AdaptiveDecoder(RoutedDecoder):
    def __init__(self, vllm_config: Any) -> None:
        super().__init__(vllm_config)
        config = vllm_config.model_config.hf_config
        self.layers = nn.ModuleList(
            AdaptiveLayer(vllm_config, f"model.layers.{i}") for i in range(config.num_hidden_layers)
        )
        self.norm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.vision_model = VisionModel(config.visual_config["visual_model"])
        self.visual_abstractor = Abstractor(config.visual_config["visual_abstractor"], config.hidden_size)

    def embed_images(self, pixels: Tensor) -> Tensor:
        embedded: Tensor = self.visual_abstractor(self.vision_model(pixels))
        return embedded


@MULTIMODAL_REGISTRY.register_processor(ImagePrompts, info=ImageInfo, dummy_inputs=DummyImages)
class MPLUGOwl2LlamaForCausalLM(RoutedForCausalLM):
    decoder, towers = AdaptiveDecoder, (VisionModel, Abstractor)
    hf_to_vllm_mapper = WeightsMapper(
        orig_to_new_stacked={".mlp.gate_proj": (".mlp.gate_up_proj", 0), ".mlp.up_proj": (".mlp.gate_up_proj", 1)}
    )

    def get_mrope_input_positions(self, input_tokens: list[int], mm_features: Sequence[Any]) -> tuple[Tensor, int]:
        """Every token is counted; all tokens of an image go its way."""
        vision = [False] * len(input_tokens)
        for feature in mm_features:
            start, length = feature.mm_position.offset, feature.mm_position.length
            vision[start : start + length] = [True] * length
        return positions_of(range(len(input_tokens)), vision)
