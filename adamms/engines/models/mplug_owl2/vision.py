"""mPLUG-Owl2's vision tower, and the abstractor that makes a fixed number of tokens of what it sees."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from vllm.distributed import get_tensor_model_parallel_world_size
from vllm.model_executor.layers.attention import MMEncoderAttention
from vllm.model_executor.layers.linear import ColumnParallelLinear, RowParallelLinear

from adamms.engines.models.towers import VisionMlp


class VisionModel(nn.Module):
    """Pixels [images, 3, side, side] to [images, 1 + patches, width]; CLS is kept."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(VisionLayer(config) for _ in range(config["num_hidden_layers"]))
        self.post_layernorm = nn.LayerNorm(config["hidden_size"], eps=config["layer_norm_eps"])

    def forward(self, pixels: Tensor) -> Tensor:
        hidden = self.embeddings(pixels.to(self.embeddings.cls_token.dtype))
        for layer in self.encoder.layers:
            hidden = layer(hidden)
        normed: Tensor = self.post_layernorm(hidden)
        return normed


class Encoder(nn.Module):
    def __init__(self, layers: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)


class Embeddings(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        width, patch = config["hidden_size"], config["patch_size"]
        count = (config["image_size"] // patch) ** 2
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.patch_embed = nn.Conv2d(3, width, kernel_size=patch, stride=patch, bias=False)
        self.position_embedding = nn.Parameter(torch.zeros(1, count + 1, width))
        self.pre_layernorm = nn.LayerNorm(width, eps=config["layer_norm_eps"])

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embed(pixels).flatten(2).transpose(1, 2)
        whole = torch.cat((self.cls_token.expand(len(patches), -1, -1), patches), dim=1)
        normed: Tensor = self.pre_layernorm(whole + self.position_embedding)
        return normed


class VisionLayer(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        self.self_attn = VisionAttention(width, config["num_attention_heads"])
        self.mlp = VisionMlp(width, config["intermediate_size"], config["hidden_act"])
        self.input_layernorm = nn.LayerNorm(width, eps=eps)
        self.post_attention_layernorm = nn.LayerNorm(width, eps=eps)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = hidden + self.self_attn(self.input_layernorm(hidden))
        added: Tensor = hidden + self.mlp(self.post_attention_layernorm(hidden))
        return added


class VisionAttention(nn.Module):
    """Its matrix has each head's query, key and value after one another, so that ranks share it by rows."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head = heads // get_tensor_model_parallel_world_size(), width // heads
        self.query_key_value = ColumnParallelLinear(width, 3 * width, bias=True)
        self.dense = RowParallelLinear(width, width, bias=True)
        self.attn = MMEncoderAttention(self.heads, self.head, self.head**-0.5)

    def forward(self, hidden: Tensor) -> Tensor:
        whole = self.query_key_value(hidden)[0].unflatten(-1, (self.heads, 3, self.head))
        q, k, v = (part.flatten(-2) for part in whole.unbind(-2))
        output: Tensor = self.dense(self.attn(q, k, v))[0]
        return output


class Abstractor(nn.Module):
    """[images, 1 + patches, width] to [images, queries + 1, hidden]; the last is a learned end. Small, so that every
    rank has all of it."""

    def __init__(self, config: Any, hidden: int) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.encoder = Encoder(AbstractorLayer(config) for _ in range(config["num_hidden_layers"]))
        self.visual_fc = nn.Linear(width, hidden)
        self.query_embeds = nn.Parameter(torch.zeros(1, config["num_learnable_queries"], width))
        self.vit_eos = nn.Parameter(torch.zeros(1, 1, hidden))

    def forward(self, seen: Tensor) -> Tensor:
        queries = self.query_embeds.expand(len(seen), -1, -1)
        for layer in self.encoder.layers:
            queries = layer(queries, seen)
        return torch.cat((self.visual_fc(queries), self.vit_eos.expand(len(seen), -1, -1)), dim=1)


class AbstractorLayer(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.crossattention = CrossAttention(config)

    def forward(self, queries: Tensor, seen: Tensor) -> Tensor:
        attended: Tensor = self.crossattention(queries, seen)
        return attended


class CrossAttention(nn.Module):
    """Queries look at themselves and at the image; what is added to is the queries after their norm."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width = config["encoder_hidden_size"]
        self.attention = PlacedAttention(config)
        self.output = CrossOutput(config)
        self.norm1 = nn.LayerNorm(width)
        self.normk = nn.LayerNorm(width)

    def forward(self, queries: Tensor, seen: Tensor) -> Tensor:
        queries = self.norm1(queries)
        attended = self.attention(queries, torch.cat((queries, self.normk(seen)), dim=1))
        output: Tensor = self.output(attended, queries)
        return output


class PlacedAttention(nn.Module):
    """Attention whose queries and keys, but not values, are told their places; the places are in the checkpoint."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width, outer, count = config["hidden_size"], config["encoder_hidden_size"], config["num_learnable_queries"]
        self.heads = config["num_attention_heads"]
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(outer, width)
        self.value = nn.Linear(outer, width)
        self.q_pos_embed = nn.Parameter(torch.zeros(count, width))
        self.k_pos_embed = nn.Parameter(torch.zeros(config["grid_size"] ** 2 + 1, width))

    def forward(self, queries: Tensor, seen: Tensor) -> Tensor:
        places = torch.cat((self.q_pos_embed, self.k_pos_embed))
        q, k, v = self.query(queries + self.q_pos_embed), self.key(seen + places), self.value(seen)
        q, k, v = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (q, k, v))
        return nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2)


class CrossOutput(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        width = config["encoder_hidden_size"]
        self.out_proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = GatedMlp(config)

    def forward(self, attended: Tensor, queries: Tensor) -> Tensor:
        queries = queries + self.out_proj(attended)
        added: Tensor = queries + self.mlp(self.norm2(queries))
        return added


class GatedMlp(nn.Module):
    def __init__(self, config: Any) -> None:
        super().__init__()
        width, inner = config["hidden_size"], config["intermediate_size"]
        self.w1 = nn.Linear(width, inner)
        self.w2 = nn.Linear(inner, width)
        self.w3 = nn.Linear(width, inner)
        self.ffn_ln = nn.LayerNorm(inner, eps=config["layer_norm_eps"])

    def forward(self, hidden: Tensor) -> Tensor:
        output: Tensor = self.w2(self.ffn_ln(nn.functional.silu(self.w1(hidden)) * self.w3(hidden)))
        return output
