"""Random pairs with the shapes of published models, grown from one ancestor: `python -m tests.support.real_shapes`.

Names and shapes are those of transformers' classes on the meta device; no model is built. Tensors are written one
after the other, so memory is bounded by the largest of them. bfloat16.
"""

from __future__ import annotations

import argparse
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import tiny_models as tiny

if TYPE_CHECKING:
    from torch import Tensor

NOISE = 0.02  # what the donor's fine-tuning added, relative to the spread of a weight
SPREAD = 0.02  # standard deviation of a weight
_POOL = (1 << 24) + 43  # random numbers that all tensors are cut from; prime, so that no two rows are equal
_STEP = 1 << 20
_LANGUAGE = ("language_model.model.", "language_model.", "model.")  # prefixes of a language model's names


@dataclass(frozen=True)
class RealSize:
    """A published pair: numbers of the language model that both share, and how each side is built around it.

    Attributes:
        base, donor: of a tokenizer and the language model's config, give a model's config, its tensors' names and
            shapes, and its processor (or tokenizer).
        vocabulary: rows of the embeddings, of the base and of the donor.
        shard: bytes of a weights file, at most.
    """

    base: Callable[[Any, dict[str, Any]], Shapes]
    donor: Callable[[Any, dict[str, Any]], Shapes]
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: tuple[int, int]
    tied: bool = False
    rope_theta: float = 1e6
    shard: int = 4 * 10**9

    def text(self, tokenizer: Any, rows: int) -> dict[str, Any]:
        """The language model's config."""
        head = self.hidden // self.heads
        size = tiny.Size(self.hidden, self.layers, self.intermediate, head=head, rope_theta=self.rope_theta)
        return {
            **tiny.language(tokenizer, size, rows),
            "num_key_value_heads": self.kv_heads,
            "max_position_embeddings": 32768,
            "tie_word_embeddings": self.tied,
        }


@dataclass(frozen=True)
class Shapes:
    """A model that is not built: its config and every tensor's name and shape, in the order of the files.

    Attributes:
        parts: tensor -> the tensors of the ancestor that it holds one below the other, where that is not its own name.
    """

    config: dict[str, Any]
    tensors: dict[str, tuple[int, ...]]
    processor: Any
    parts: dict[str, list[tuple[str, tuple[int, ...]]]]


def write_real_pair(folder: Path, size: str, seed: int = 0, noise: float = NOISE) -> tuple[Path, Path]:
    """Writes `base` and `donor` of a size in `SIZES` and gives their folders.

    The base's language model is the ancestor's itself, the donor's is that plus noise; rows of the embeddings that only
    the donor has, and everything outside the language models, are random.
    """
    chosen = SIZES[size]
    pool = _random_pool(seed)
    common = min(chosen.vocabulary)
    base, donor = _tokenizer(common, tiny.BASE_IMAGE), _tokenizer(common, tiny.DONOR_IMAGE)
    ours, theirs = chosen.text(base, chosen.vocabulary[0]), chosen.text(donor, chosen.vocabulary[1])
    _write(folder / "base", chosen.base(base, ours), chosen.shard, pool, "base", 0.0)
    _write(folder / "donor", chosen.donor(donor, theirs), chosen.shard, pool, "donor", noise)
    return folder / "base", folder / "donor"


# ---- models


def _qwen2_vl(tokenizer: Any, text: dict[str, Any]) -> Shapes:
    from transformers import Qwen2VLForConditionalGeneration

    vision = {"depth": 32, "embed_dim": 1280, "num_heads": 16, "patch_size": 14, "hidden_size": text["hidden_size"]}
    config = tiny.qwen2_vl_config(tokenizer, text, {**vision, "mlp_ratio": 4})
    processor = tiny.qwen2_vl_processor(tokenizer, patch_size=14, pixels=(56**2, 1792**2))
    return _shapes(Qwen2VLForConditionalGeneration, config, processor)


def _llava_onevision(tokenizer: Any, text: dict[str, Any]) -> Shapes:
    from transformers import LlavaOnevisionForConditionalGeneration

    tower = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 26, "num_attention_heads": 16}
    config = tiny.llava_onevision_config(
        tokenizer, text, {**tower, "image_size": 384, "patch_size": 14, "vision_use_head": False}
    )
    processor = tiny.llava_onevision_processor(tokenizer, image_size=384, patch_size=14)
    return _shapes(LlavaOnevisionForConditionalGeneration, config, processor)


def _internvl(tokenizer: Any, text: dict[str, Any]) -> Shapes:
    from transformers import InternVLConfig, InternVLForConditionalGeneration

    tower = {"hidden_size": 3200, "intermediate_size": 12800, "num_hidden_layers": 45, "num_attention_heads": 25}
    config = InternVLConfig(
        vision_config={**tower, "image_size": [448, 448], "patch_size": [14, 14], "use_qk_norm": True},
        text_config={"model_type": "llama", **text},
        tie_word_embeddings=False,
    )
    return _shapes(InternVLForConditionalGeneration, config, tokenizer)


def _llava_next(tokenizer: Any, text: dict[str, Any]) -> Shapes:
    from transformers import LlavaNextConfig, LlavaNextForConditionalGeneration

    config = LlavaNextConfig(
        vision_config=_clip_large(), text_config={"model_type": "llama", **text}, tie_word_embeddings=False
    )
    return _shapes(LlavaNextForConditionalGeneration, config, tokenizer)


def _llava(tokenizer: Any, text: dict[str, Any]) -> Shapes:
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    config = LlavaConfig(
        vision_config=_clip_large(), text_config={"model_type": "llama", **text}, tie_word_embeddings=False
    )
    return _shapes(LlavaForConditionalGeneration, config, tokenizer)


def _clip_large() -> dict[str, Any]:
    tower = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    return {"model_type": "clip_vision_model", **tower, "image_size": 336, "patch_size": 14}


def _cogvlm(tokenizer: Any, text: dict[str, Any]) -> Shapes:
    """Not a class of transformers: names and shapes as in THUDM's own code (EVA2-CLIP-E, Vicuna, vision experts)."""
    hidden, inner, rows = text["hidden_size"], text["intermediate_size"], text["vocab_size"]
    tensors: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (rows, hidden)}
    parts: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
    for i in range(text["num_hidden_layers"]):
        layer = f"layers.{i}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.{layer}{norm}.weight"] = (hidden,)
        for word in ("language", "vision"):
            held = {
                f"self_attn.{word}_expert_query_key_value": [
                    "self_attn.q_proj",
                    "self_attn.k_proj",
                    "self_attn.v_proj",
                ],
                f"self_attn.{word}_expert_dense": ["self_attn.o_proj"],
                **{f"mlp.{word}_mlp.{part}_proj": [f"mlp.{part}_proj"] for part in ("gate", "up", "down")},
            }
            for name, sources in held.items():
                shape = (inner, hidden) if "gate" in name or "up" in name else (hidden, hidden)
                shape = (hidden, inner) if "down" in name else shape
                tensors[f"model.{layer}{name}.weight"] = (len(sources) * shape[0], shape[1])
                parts[f"model.{layer}{name}.weight"] = [(f"{layer}{source}.weight", shape) for source in sources]
    tensors |= {"model.norm.weight": (hidden,), "lm_head.weight": (rows, hidden), **_eva2_clip(hidden, inner)}
    numbers = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size",
               "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings")  # fmt: skip
    config = {"architectures": ["CogVLMForCausalLM"], **{name: text[name] for name in numbers}}
    return Shapes(config, tensors, tokenizer, parts)


def _eva2_clip(hidden: int, inner: int) -> dict[str, tuple[int, ...]]:
    width, feed_forward, at = 1792, 15360, "model.vision."
    layer: dict[str, tuple[int, ...]] = {
        "input_layernorm": (width,),
        "post_attention_layernorm": (width,),
        "attention.query_key_value": (3 * width, width),
        "attention.dense": (width, width),
        "mlp.fc1": (feed_forward, width),
        "mlp.fc2": (width, feed_forward),
    }
    shapes = {f"{at}transformer.layers.{i}.{name}.weight": shape for i in range(63) for name, shape in layer.items()}
    shapes |= {name.replace(".weight", ".bias"): shape[:1] for name, shape in shapes.items()}
    projector: dict[str, tuple[int, ...]] = {
        "patch_embedding.proj.weight": (width, 3, 14, 14),
        "patch_embedding.position_embedding.weight": (1226, width),
        "patch_embedding.cls_embedding": (1, width),
        "linear_proj.linear_proj.weight": (hidden, width),
        "linear_proj.gate_proj.weight": (inner, hidden),
        "linear_proj.dense_h_to_4h.weight": (inner, hidden),
        "linear_proj.dense_4h_to_h.weight": (hidden, inner),
    }
    return shapes | {at + name: shape for name, shape in projector.items()}


SIZES = {
    "0.5b": RealSize(_qwen2_vl, _llava_onevision, 896, 24, 14, 2, 4864, (151936, 152000), tied=True),
    "2b": RealSize(_qwen2_vl, _llava_onevision, 1536, 28, 12, 2, 8960, (151936, 152000), tied=True),
    "7b": RealSize(_qwen2_vl, _llava_onevision, 3584, 28, 28, 4, 18944, (152064, 152064)),
    "34b": RealSize(_internvl, _llava_next, 7168, 60, 56, 8, 20480, (64000, 64064), rope_theta=5e6, shard=5 * 10**9),
    "cogvlm-7b": RealSize(_cogvlm, _llava, 4096, 32, 32, 32, 11008, (32000, 32064), rope_theta=1e4, shard=5 * 10**9),
}


def _shapes(kind: Any, config: Any, processor: Any) -> Shapes:
    """Under the names that transformers saves, which are those of the Hub."""
    import torch
    from transformers.core_model_loading import revert_weight_conversion

    with torch.device("meta"):
        model = kind(config)
    config.architectures = [kind.__name__]
    config.dtype = torch.bfloat16
    tied = config.get_text_config().tie_word_embeddings
    tensors = {
        tiny.hub_name(name): tuple(tensor.shape)
        for name, tensor in revert_weight_conversion(model, model.state_dict()).items()
        if not (tied and name.endswith("lm_head.weight"))
    }
    return Shapes(config.to_dict(), tensors, processor, {})


def _tokenizer(rows: int, image: str = "") -> Any:
    """As many tokens as the smallest of the embeddings has rows, nearly: whatever a model answers is a word."""
    special = (*tiny.SHARED_TOKENS, *tiny.BASE_TOKENS, *tiny.DONOR_TOKENS)
    return tiny.make_tokenizer(special, image, words=rows - 256 - len(special))


# ---- weights


def _write(folder: Path, model: Shapes, limit: int, pool: Tensor, own: str, noise: float) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(model.config, indent=2, default=str), encoding="utf-8")
    model.processor.save_pretrained(folder)
    shards = _shards(model.tensors, limit)
    where = {}
    for i, names in enumerate(shards, 1):
        file = "model.safetensors" if len(shards) == 1 else f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        where |= dict.fromkeys(names, file)
        _write_file(folder / file, names, model, pool, own, noise)
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(map(_nbytes, model.tensors.values()))}, "weight_map": where}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")


def _shards(tensors: dict[str, tuple[int, ...]], limit: int) -> list[list[str]]:
    found: list[list[str]] = [[]]
    size = 0
    for name, shape in tensors.items():
        if found[-1] and size + _nbytes(shape) > limit:
            found.append([])
            size = 0
        found[-1].append(name)
        size += _nbytes(shape)
    return found


def _nbytes(shape: tuple[int, ...]) -> int:
    return 2 * prod(shape)


def _write_file(path: Path, names: list[str], model: Shapes, pool: Tensor, own: str, noise: float) -> None:
    import torch

    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name in names:
        end = position + _nbytes(model.tensors[name])
        header[name] = {"dtype": "BF16", "shape": model.tensors[name], "data_offsets": [position, end]}
        position = end
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        for name in names:
            for values in _values(name, model, pool, own, noise):
                file.write(memoryview(values.view(torch.uint8).numpy().data))


def _values(name: str, model: Shapes, pool: Tensor, own: str, noise: float) -> Iterator[Tensor]:
    """A tensor's elements, some at a time, in bfloat16."""
    import torch

    for part, shape in model.parts.get(name) or [(_ancestor_name(name, own), model.tensors[name])]:
        norm = len(shape) == 1 and "bias" not in part
        spread, ours, theirs = (5 * SPREAD if norm else SPREAD), _start(part), _start(f"{own} {name}")
        for first in range(0, prod(shape), _STEP):
            count = min(_STEP, prod(shape) - first)
            values = _cut(pool, ours + first, count).mul(spread)
            if noise:
                values += _cut(pool, theirs + first, count) * (noise * spread)
            yield (values.add_(1.0) if norm else values).to(torch.bfloat16)


def _ancestor_name(name: str, own: str) -> str:
    """What a tensor of the language model is called in both models; anything else is each model's own."""
    for prefix in _LANGUAGE:
        stem = name.removeprefix(prefix)
        if stem.startswith(("layers.", "embed_tokens.", "norm.", "lm_head.")):
            return stem
    return f"{own} {name}"


def _random_pool(seed: int) -> Tensor:
    import torch

    return torch.randn(_POOL, generator=torch.Generator().manual_seed(seed))


def _start(name: str) -> int:
    return zlib.crc32(name.encode())


def _cut(pool: Tensor, start: int, count: int) -> Tensor:
    """`count` numbers of the pool from `start` on, which goes round."""
    import torch

    first = start % len(pool)
    found = pool[first : first + count]
    return found if len(found) == count else torch.cat([found, pool[: count - len(found)]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--noise", type=float, default=NOISE, help="of the donor, relative to the spread of a weight")
    options = parser.parse_args()
    print(*write_real_pair(options.folder, options.size, options.seed, options.noise), sep="\n")


if __name__ == "__main__":
    main()
