"""EVA2-CLIP with its adapter, as CogVLM has it: norms come after attention and MLP, and boi and eoi are learned."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from vllm.distributed import get_tensor_model_parallel_world_size
from vllm.model_executor.layers.activation import SiluAndMul
from vllm.model_executor.layers.attention import MMEncoderAttention
from vllm.model_executor.layers.linear import (
    MergedColumnParallelLinear,
    QKVParallelLinear,
    ReplicatedLinear,
    RowParallelLinear,
)

from adamms.engines.models.towers import VisionMlp


class Vision(nn.Module):
    """Pixels [images, 3, size, size] to embeddings [images, tokens, hidden]: boi, the patches, eoi."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        vision, hidden = config.vision_config, config.hidden_size
        width = vision["hidden_size"]
        self.patch_embedding = PatchEmbedding(vision)
        self.transformer = Transformer(vision)
        self.conv = nn.Conv2d(width, width, kernel_size=2, stride=2) if config.vision_conv else None
        self.linear_proj = Adapter(width, hidden, config.intermediate_size)
        self.boi = nn.Parameter(torch.zeros(1, 1, hidden))
        self.eoi = nn.Parameter(torch.zeros(1, 1, hidden))

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.transformer(self.patch_embedding(pixels.to(self.boi.dtype)))[:, 1:]  # without CLS
        if self.conv is not None:
            images, count, width = patches.shape
            side = round(count**0.5)
            grid = patches.transpose(1, 2).reshape(images, width, side, side)
            patches = self.conv(grid).flatten(2).transpose(1, 2)
        tokens = self.linear_proj(patches)
        ends = [end.expand(len(tokens), -1, -1) for end in (self.boi, self.eoi)]
        return torch.cat((ends[0], tokens, ends[1]), dim=1)


class PatchEmbedding(nn.Module):
    def __init__(self, vision: Any) -> None:
        super().__init__()
        width, patch = vision["hidden_size"], vision["patch_size"]
        self.proj = nn.Conv2d(vision["in_channels"], width, kernel_size=patch, stride=patch)
        self.cls_embedding = nn.Parameter(torch.zeros(1, width))
        self.position_embedding = nn.Embedding(vision["num_positions"], width)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.proj(pixels).flatten(2).transpose(1, 2)
        whole = torch.cat((self.cls_embedding.expand(len(patches), -1, -1), patches), dim=1)
        return whole + self.position_embedding.weight


class Transformer(nn.Module):
    def __init__(self, vision: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TransformerLayer(vision) for _ in range(vision["num_hidden_layers"]))

    def forward(self, hidden: Tensor) -> Tensor:
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


class TransformerLayer(nn.Module):
    def __init__(self, vision: Any) -> None:
        super().__init__()
        width, eps = vision["hidden_size"], vision["layer_norm_eps"]
        self.attention = VisionAttention(width, vision["num_heads"])
        self.mlp = VisionMlp(width, vision["intermediate_size"], vision["hidden_act"])
        self.input_layernorm = nn.LayerNorm(width, eps=eps)
        self.post_attention_layernorm = nn.LayerNorm(width, eps=eps)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = hidden + self.input_layernorm(self.attention(hidden))
        added: Tensor = hidden + self.post_attention_layernorm(self.mlp(hidden))
        return added


class VisionAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        head = width // heads
        self.query_key_value = QKVParallelLinear(width, head, heads, bias=True)
        self.dense = RowParallelLinear(width, width, bias=True)
        self.attn = MMEncoderAttention(heads // get_tensor_model_parallel_world_size(), head, head**-0.5)

    def forward(self, hidden: Tensor) -> Tensor:
        qkv, _ = self.query_key_value(hidden)
        output: Tensor = self.dense(self.attn(*qkv.chunk(3, dim=-1)))[0]
        return output


class Adapter(nn.Module):
    """From the tower's width to the language model's; its two gates are one matrix."""

    def __init__(self, width: int, hidden: int, inner: int) -> None:
        super().__init__()
        self.linear_proj = ReplicatedLinear(width, hidden, bias=False)
        self.norm1 = nn.LayerNorm(hidden)
        self.gates = MergedColumnParallelLinear(hidden, [inner] * 2, bias=False)
        self.gated = SiluAndMul()
        self.dense_4h_to_h = RowParallelLinear(inner, hidden, bias=False)

    def forward(self, patches: Tensor) -> Tensor:
        hidden = nn.functional.gelu(self.norm1(self.linear_proj(patches)[0]))
        output: Tensor = self.dense_4h_to_h(self.gated(self.gates(hidden)[0]))[0]
        return output
