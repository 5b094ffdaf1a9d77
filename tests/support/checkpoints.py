"""Tiny checkpoints for tests: a language model in canonical terms, and how each family's files hold it.

Written independently of the package's architectures: a writer here fuses and names tensors by hand, so that merging
canonical tensors by hand and writing the result says what a merge of two checkpoints has to give.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from adamms.checkpoint import Checkpoint
from adamms.mapping import MergePlan, Source

Weights = dict[tuple[str, str | None], Tensor]  # (canonical name, expert)
Named = dict[str, Tensor]


@dataclass(frozen=True)
class Sizes:
    """Odd on purpose: no two are equal."""

    layers: int = 2
    hidden: int = 24
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 6
    intermediate: int = 10
    vocabulary: int = 37

    @property
    def config(self) -> dict[str, Any]:
        return {
            "num_hidden_layers": self.layers,
            "hidden_size": self.hidden,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.intermediate,
            "vocab_size": self.vocabulary,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "tie_word_embeddings": False,
        }


GQA = Sizes()
MHA = Sizes(kv_heads=4)


def language_model(
    seed: int = 0, sizes: Sizes = GQA, bias: bool = False, dtype: torch.dtype = torch.float32
) -> Weights:
    """An ancestor: random weights under canonical names."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).mul(0.1).to(dtype)

    s = sizes
    weights: Weights = {("embed_tokens.weight", None): random(s.vocabulary, s.hidden)}
    for i in range(s.layers):
        shapes = {
            "self_attn.q_proj": (s.heads * s.head_dim, s.hidden),
            "self_attn.k_proj": (s.kv_heads * s.head_dim, s.hidden),
            "self_attn.v_proj": (s.kv_heads * s.head_dim, s.hidden),
            "self_attn.o_proj": (s.hidden, s.heads * s.head_dim),
            "mlp.gate_proj": (s.intermediate, s.hidden),
            "mlp.up_proj": (s.intermediate, s.hidden),
            "mlp.down_proj": (s.hidden, s.intermediate),
            "input_layernorm": (s.hidden,),
            "post_attention_layernorm": (s.hidden,),
        }
        for part, shape in shapes.items():
            weights[f"layers.{i}.{part}.weight", None] = random(*shape)
            if bias and part.endswith(("q_proj", "k_proj", "v_proj")):
                weights[f"layers.{i}.{part}.bias", None] = random(shape[0])
    weights["norm.weight", None] = random(s.hidden)
    weights["lm_head.weight", None] = random(s.vocabulary, s.hidden)
    return weights


def tuned(weights: Weights, seed: int, noise: float = 0.02) -> Weights:
    """A fine-tune of these: every weight moved a little."""
    generator = torch.Generator().manual_seed(seed)
    return {
        key: (w.float() + noise * torch.randn(w.shape, generator=generator)).to(w.dtype) for key, w in weights.items()
    }


def duplicated(weights: Weights, parts: tuple[str, ...], seed: int, noise: float = 0.02) -> Weights:
    """The same with these weights once for text and once, moved a little, for vision."""
    result: Weights = {}
    vision = tuned(weights, seed, noise)
    for (name, _), weight in weights.items():
        if any(part in name for part in parts):
            result[name, "text"], result[name, "vision"] = weight, vision[name, None]
        else:
            result[name, None] = weight
    return result


COGVLM_PARTS = ("q_proj", "k_proj", "v_proj", "o_proj", "mlp.")
MPLUG_PARTS = ("k_proj", "v_proj", "input_layernorm", "post_attention_layernorm")


# ---- how each family's files hold them


def llama_names(model: str = "model.", head: str = "") -> Callable[[Weights, Sizes], Named]:
    def write(weights: Weights, sizes: Sizes) -> Named:
        return {(head if name == "lm_head.weight" else model) + name: w for (name, _), w in weights.items()}

    return write


def _layers(weights: Weights) -> set[int]:
    return {int(name.split(".")[1]) for name, _ in weights if name.startswith("layers.")}


def _layer(weights: Weights, i: int) -> dict[str, torch.Tensor]:
    """The weights of one layer, by their names in it."""
    return {name.split(".", 2)[2]: w for (name, _), w in weights.items() if name.startswith(f"layers.{i}.")}


def _outside(weights: Weights, model: str, names: Mapping[str, str], head: str) -> Named:
    return {
        **{model + new: weights[old, None] for old, new in names.items()},
        head: weights["lm_head.weight", None],
    }


def phi3_names(weights: Weights, sizes: Sizes) -> Named:
    named = _outside(
        weights,
        "model.",
        {"embed_tokens.weight": "embed_tokens.weight", "norm.weight": "norm.weight"},
        "lm_head.weight",
    )
    for i in _layers(weights):
        at = _layer(weights, i)
        layer = f"model.layers.{i}."
        named[layer + "self_attn.qkv_proj.weight"] = torch.cat([at[f"self_attn.{x}_proj.weight"] for x in "qkv"])
        named[layer + "mlp.gate_up_proj.weight"] = torch.cat([at["mlp.gate_proj.weight"], at["mlp.up_proj.weight"]])
        for part in (
            "self_attn.o_proj.weight", "mlp.down_proj.weight", "input_layernorm.weight",
            "post_attention_layernorm.weight",
        ):  # fmt: skip
            named[layer + part] = at[part]
    return named


def internlm2_names(prefix: str = "") -> Callable[[Weights, Sizes], Named]:
    def write(weights: Weights, sizes: Sizes) -> Named:
        model = prefix + "model."
        named = _outside(
            weights,
            model,
            {"embed_tokens.weight": "tok_embeddings.weight", "norm.weight": "norm.weight"},
            prefix + "output.weight",
        )
        for i in _layers(weights):
            at = _layer(weights, i)
            layer = f"{model}layers.{i}."
            # 'h (gs d)': every key-value head's queries, then its key, then its value
            q = at["self_attn.q_proj.weight"].reshape(sizes.kv_heads, -1, sizes.head_dim, sizes.hidden)
            k = at["self_attn.k_proj.weight"].reshape(sizes.kv_heads, 1, sizes.head_dim, sizes.hidden)
            v = at["self_attn.v_proj.weight"].reshape(sizes.kv_heads, 1, sizes.head_dim, sizes.hidden)
            named[layer + "attention.wqkv.weight"] = torch.cat([q, k, v], dim=1).reshape(-1, sizes.hidden)
            named[layer + "attention.wo.weight"] = at["self_attn.o_proj.weight"]
            named[layer + "feed_forward.w1.weight"] = at["mlp.gate_proj.weight"]
            named[layer + "feed_forward.w3.weight"] = at["mlp.up_proj.weight"]
            named[layer + "feed_forward.w2.weight"] = at["mlp.down_proj.weight"]
            named[layer + "attention_norm.weight"] = at["input_layernorm.weight"]
            named[layer + "ffn_norm.weight"] = at["post_attention_layernorm.weight"]
        return named

    return write


def molmo_names(weights: Weights, sizes: Sizes) -> Named:
    model = "model.transformer."
    named = _outside(
        weights, model, {"embed_tokens.weight": "wte.embedding", "norm.weight": "ln_f.weight"}, model + "ff_out.weight"
    )
    for i in _layers(weights):
        at = _layer(weights, i)
        block = f"{model}blocks.{i}."
        named[block + "att_proj.weight"] = torch.cat([at[f"self_attn.{x}_proj.weight"] for x in "qkv"])
        if "self_attn.q_proj.bias" in at:
            named[block + "att_proj.bias"] = torch.cat([at[f"self_attn.{x}_proj.bias"] for x in "qkv"])
        named[block + "attn_out.weight"] = at["self_attn.o_proj.weight"]
        named[block + "ff_proj.weight"] = torch.cat([at["mlp.up_proj.weight"], at["mlp.gate_proj.weight"]])
        named[block + "ff_out.weight"] = at["mlp.down_proj.weight"]
        named[block + "attn_norm.weight"] = at["input_layernorm.weight"]
        named[block + "ff_norm.weight"] = at["post_attention_layernorm.weight"]
    return named


def cogvlm_names(weights: Weights, sizes: Sizes) -> Named:
    named = _outside(
        weights,
        "model.",
        {"embed_tokens.weight": "embed_tokens.weight", "norm.weight": "norm.weight"},
        "lm_head.weight",
    )
    for i in _layers(weights):
        layer, at = f"model.layers.{i}.", f"layers.{i}."
        named[layer + "input_layernorm.weight"] = weights[at + "input_layernorm.weight", None]
        named[layer + "post_attention_layernorm.weight"] = weights[at + "post_attention_layernorm.weight", None]
        for expert, word in (("text", "language"), ("vision", "vision")):
            qkv = [weights[f"{at}self_attn.{x}_proj.weight", expert] for x in "qkv"]
            named[f"{layer}self_attn.{word}_expert_query_key_value.weight"] = torch.cat(qkv)
            named[f"{layer}self_attn.{word}_expert_dense.weight"] = weights[at + "self_attn.o_proj.weight", expert]
            for x in ("gate", "up", "down"):
                named[f"{layer}mlp.{word}_mlp.{x}_proj.weight"] = weights[f"{at}mlp.{x}_proj.weight", expert]
    return named


def mplug_owl2_names(weights: Weights, sizes: Sizes) -> Named:
    way = {"text": "multiway.0.", "vision": "multiway.1."}
    named = {}
    for (name, expert), weight in weights.items():
        if expert:
            stem, _, leaf = name.rpartition(".")
            named[f"model.{stem}.{way[expert]}{leaf}"] = weight
        else:
            named[name if name == "lm_head.weight" else "model." + name] = weight
    return named


# ---- files


def outside(*names: str, seed: int = 99) -> Named:
    """Tensors outside the language model."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(3, 5, generator=generator) for name in names}


def write_checkpoint(
    folder: Path,
    tensors: Named,
    config: Mapping[str, Any],
    vocabulary: Mapping[str, int] | None = None,
    shards: int = 1,
    kind: str = "safetensors",
) -> Path:
    """A checkpoint folder as transformers writes it, of one file or several, safetensors or pickled."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(dict(config)))
    if vocabulary is not None:
        (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": dict(vocabulary)}, "added_tokens": []}))
    stem, suffix = ("model", ".safetensors") if kind == "safetensors" else ("pytorch_model", ".bin")
    groups: list[Named] = [{} for _ in range(shards)]
    for i, (name, tensor) in enumerate(tensors.items()):
        groups[i * shards // len(tensors)][name] = tensor.contiguous().clone()
    weight_map = {}
    for i, group in enumerate(groups):
        file = f"{stem}{suffix}" if shards == 1 else f"{stem}-{i + 1:05d}-of-{shards:05d}{suffix}"
        if kind == "safetensors":
            save_file(group, folder / file, metadata={"format": "pt"})
        else:
            torch.save(group, folder / file)
        weight_map |= dict.fromkeys(group, file)
    if shards > 1:
        (folder / f"{stem}{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def words(count: int, prefix: str = "t") -> dict[str, int]:
    """A vocabulary of so many tokens, in order."""
    return {f"{prefix}{row}": row for row in range(count)}


def read_all(checkpoint: Checkpoint) -> Named:
    return {name: checkpoint.read(name).reshape(info.shape) for name, info in checkpoint.tensors.items()}


def execute(plan: MergePlan, base: Checkpoint, donor: Checkpoint, alpha: float) -> Named:
    """A plan executed in the plainest way."""
    ours, theirs = read_all(base), read_all(donor)
    result = {name: tensor.clone() for name, tensor in ours.items()}
    for tensor in plan.tensors:
        for piece in tensor.pieces:
            rows = slice(piece.start, piece.stop)
            a = in_rows(ours[tensor.name])[rows].float()
            (source,) = piece.sources
            b = _donor_rows(source, theirs)[source.start : source.start + len(a)].float()
            in_rows(result[tensor.name])[rows] = ((1 - alpha) * a + alpha * b).to(result[tensor.name].dtype)
    return result


def in_rows(tensor: Tensor) -> Tensor:
    """A matrix of its rows along the last dimension; a vector as it is."""
    return tensor.view(-1, tensor.shape[-1]) if tensor.ndim > 1 else tensor


def _donor_rows(source: Source, theirs: Named) -> Tensor:
    if isinstance(source.tensor, str):
        return in_rows(theirs[source.tensor])
    return torch.cat([in_rows(theirs[part.tensor])[part.start : part.stop] for part in source.tensor.parts]).T


def assert_same(found: Named, expected: Named) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
