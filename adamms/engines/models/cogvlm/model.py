"""CogVLM and CogVLM2: a LLaMA with a second set of weights, the vision expert, for the tokens of an image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from vllm.distributed import get_tensor_model_parallel_world_size
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.layers.layernorm import RMSNorm
from vllm.model_executor.layers.linear import QKVParallelLinear, RowParallelLinear
from vllm.model_executor.models.utils import WeightsMapper
from vllm.multimodal import MULTIMODAL_REGISTRY

from adamms.engines.models.causal import Mlp, RoutedDecoder, RoutedForCausalLM
from adamms.engines.models.cogvlm.rope import RoundedRope
from adamms.engines.models.cogvlm.vision import Vision
from adamms.engines.models.multimodal import DummyImages, ImageInfo, ImagePrompts
from adamms.engines.models.routing import Route, positions_of

FREQUENCIES = "rotary_emb.inv_freq"


class ExpertAttention(nn.Module):
    def __init__(self, vllm_config: Any, rope: RoundedRope, prefix: str) -> None:
        super().__init__()
        config, ranks = vllm_config.model_config.hf_config, get_tensor_model_parallel_world_size()
        hidden, heads, kv_heads = config.hidden_size, config.num_attention_heads, config.num_key_value_heads
        head, own_kv_heads = hidden // heads, max(kv_heads // ranks, 1)
        self.sizes = [head * heads // ranks, head * own_kv_heads, head * own_kv_heads]
        self.language_expert_query_key_value = QKVParallelLinear(hidden, head, heads, kv_heads, bias=False)
        self.vision_expert_query_key_value = QKVParallelLinear(hidden, head, heads, kv_heads, bias=config.vision_bias)
        self.language_expert_dense = RowParallelLinear(hidden, hidden, bias=False)
        self.vision_expert_dense = RowParallelLinear(hidden, hidden, bias=False)
        self.rope = [rope]  # in a list: one for all layers, and a part of none
        self.attn = Attention(
            heads // ranks,
            head,
            head**-0.5,
            num_kv_heads=own_kv_heads,
            cache_config=vllm_config.cache_config,
            prefix=f"{prefix}.attn",
        )

    def forward(self, hidden: Tensor, positions: Tensor, route: Route) -> Tensor:
        qkv = route(hidden, self.language_expert_query_key_value, self.vision_expert_query_key_value)
        q, k, v = torch.split(qkv, self.sizes, dim=-1)
        q, k = self.rope[0](positions, q.contiguous(), k.contiguous())
        return route(self.attn(q, k, v), self.language_expert_dense, self.vision_expert_dense)


class ExpertMlp(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.language_mlp = Mlp(config.hidden_size, config.intermediate_size)
        self.vision_mlp = Mlp(config.hidden_size, config.intermediate_size)

    def forward(self, hidden: Tensor, route: Route) -> Tensor:
        return route(hidden, self.language_mlp, self.vision_mlp)


class ExpertLayer(nn.Module):
    def __init__(self, vllm_config: Any, rope: RoundedRope, prefix: str) -> None:
        super().__init__()
        config = vllm_config.model_config.hf_config
        self.self_attn = ExpertAttention(vllm_config, rope, f"{prefix}.self_attn")
        self.mlp = ExpertMlp(config)
        self.input_layernorm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(self, hidden: Tensor, positions: Tensor, route: Route) -> Tensor:
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), positions, route)
        added: Tensor = hidden + self.mlp(self.post_attention_layernorm(hidden), route)
        return added


class ExpertDecoder(RoutedDecoder):
    def __init__(self, vllm_config: Any) -> None:
        super().__init__(vllm_config)
        config = vllm_config.model_config.hf_config
        head = config.hidden_size // config.num_attention_heads
        self.rope = RoundedRope(head, config.max_position_embeddings, config.rope_parameters["rope_theta"])
        self.layers = nn.ModuleList(
            ExpertLayer(vllm_config, self.rope, f"model.layers.{i}") for i in range(config.num_hidden_layers)
        )
        self.norm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.vision = Vision(config)

    def embed_images(self, pixels: Tensor) -> Tensor:
        embedded: Tensor = self.vision(pixels)
        return embedded


@MULTIMODAL_REGISTRY.register_processor(ImagePrompts, info=ImageInfo, dummy_inputs=DummyImages)
class CogVLMForCausalLM(RoutedForCausalLM):
    decoder, towers = ExpertDecoder, (Vision,)
    model: ExpertDecoder
    hf_to_vllm_mapper = WeightsMapper(
        orig_to_new_stacked={
            "_mlp.gate_proj": ("_mlp.gate_up_proj", 0),
            "_mlp.up_proj": ("_mlp.gate_up_proj", 1),
            "linear_proj.gate_proj": ("linear_proj.gates", 0),
            "linear_proj.dense_h_to_4h": ("linear_proj.gates", 1),
        }
    )

    def get_mrope_input_positions(self, input_tokens: list[int], mm_features: Sequence[Any]) -> tuple[Tensor, int]:
        """Text is counted; of an image, boi, all patches together, and eoi are one position each. All but eoi go to the
        vision expert."""
        positions: list[int] = []
        vision: list[bool] = []
        after = 0
        for feature in mm_features:
            start, length = feature.mm_position.offset, feature.mm_position.length
            text = start - len(positions)
            first = after + text
            positions += [*range(after, first), first, *[first + 1] * (length - 2), first + 2]
            vision += [*[False] * text, *[True] * (length - 1), False]
            after = first + 3
        text = len(input_tokens) - len(positions)
        return positions_of([*positions, *range(after, after + text)], [*vision, *[False] * text])

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        return super().load_weights(self._without_frequencies(weights))

    def _without_frequencies(self, weights: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
        """Every layer has the same frequencies, if the checkpoint has any."""
        taken = False
        for name, weight in weights:
            if not name.endswith(FREQUENCIES):
                yield name, weight
            elif not taken:
                taken = True
                with torch.no_grad():
                    self.model.rope.take_frequencies(weight)
