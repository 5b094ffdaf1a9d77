"""Every family of Transformers as names and shapes: its class, built on the meta device from the config's defaults.

Nothing is computed and no weight is made, so the whole table takes seconds; names are those that `save_pretrained`
writes. The layers are as few as show all kinds of them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.core_model_loading import revert_weight_conversion
from transformers.models.auto import modeling_auto as auto

from adamms.checkpoint import Checkpoint, open_checkpoint

LAYERS = 4  # at least
Shapes = dict[str, tuple[int, ...]]


def image_text_families() -> dict[str, str]:
    """model_type -> class."""
    return {kind: _first(name) for kind, name in auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.items()}


def text_families() -> dict[str, str]:
    """Likewise of the language models that take text alone."""
    found = {kind: _first(name) for kind, name in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items()}
    return {kind: name for kind, name in found.items() if kind not in image_text_families()}


def _first(name: Any) -> str:
    return str(name if isinstance(name, str) else name[0])


@dataclass(frozen=True)
class Skeleton:
    """A family without weights.

    Attributes:
        shapes: of what the class saves, without tied copies.
        decoder: those of them that the class itself calls its language model: under the decoder, and the head; all of a
            model that takes text alone.
    """

    config: Mapping[str, Any]
    shapes: Shapes
    decoder: frozenset[str]

    def write(self, folder: Path) -> Checkpoint:
        """A checkpoint of zeros that take no room on the disk."""
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(self.config))
        header, end = {}, 0
        for name, shape in self.shapes.items():
            header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end := end + 2 * prod(shape)]}
        data = json.dumps(header).encode()
        with (folder / "model.safetensors").open("wb") as file:
            file.write(struct.pack("<Q", len(data)) + data)
            file.truncate(8 + len(data) + end)
        return open_checkpoint(str(folder))


def _patch(config: Any, **values: Any) -> None:
    for name, value in values.items():
        place = config
        *path, last = name.split("__")
        for part in path:
            place = getattr(place, part)
        setattr(place, last, value)


ROPE = {"rope_type": "default", "rope_theta": 1e4}
COMPASS = {"full_attention": ROPE, "sliding_attention": ROPE}
# What the defaults of a config lack to build its class.
MENDED: dict[str, Callable[[Any], None]] = {
    "bigbird_pegasus": lambda c: _patch(c, tie_word_embeddings=False),  # its class does not tie them
    "aya_vision": lambda c: _patch(c, vision_config__num_attention_heads=16),
    "chameleon": lambda c: _patch(c, vocabulary_map={"<image>": 4}),
    "emu3": lambda c: _patch(c, vocabulary_map={"<image>": 4}),
    "idefics3": lambda c: _patch(c, text_config__pad_token_id=0),
    "deepseek_ocr2": lambda c: _patch(c, text_config__mlp_layer_types=["dense", *["sparse"] * 11]),
    "cohere_compass": lambda c: _patch(c, text_config__rope_parameters=COMPASS),
    "granite4_vision": lambda c: _patch(
        c,
        text_config=transformers.GraniteConfig(),
        deepstack_layer_map=[],
        spatial_vision_layers=[],
        downsample_rate="4/8",
    ),
    "qwen4_exp": lambda c: _patch(
        c,
        text_config__indexer_n_heads=4,
        text_config__indexer_kv_heads=1,
        text_config__indexer_head_dim=256,
        text_config__indexer_budget=64,
        text_config__indexer_compress_ratio=4,
    ),
    "hunyuan_vl": lambda c: _patch(c, text_config__head_dim=64),
    "perception_lm": lambda c: _patch(
        c, vision_config__architecture="vit_tiny_patch16_224", vision_config__model_args={"embed_dim": 192}
    ),
    "hunyuan_v1_dense": lambda c: _patch(c, head_dim=64),
    "hunyuan_v1_moe": lambda c: _patch(c, head_dim=64),
    "ministral": lambda c: _patch(c, head_dim=64),
    "nemotron": lambda c: _patch(c, num_key_value_heads=8),
    "lfm2_moe": lambda c: _patch(c, layer_types=["conv", "full_attention"] * (c.num_hidden_layers // 2)),
    "dots1": lambda c: _patch(c, n_routed_experts=8),
    "smolvlm": lambda c: _patch(c, text_config__pad_token_id=0),
}


@cache
def skeleton(kind: str, name: str, change: Callable[[Any], None] | None = None) -> Skeleton:
    """The family of a `model_type`, by its class's name."""
    cls = getattr(transformers, name)
    config = cls.config_class() if cls.config_class else transformers.CONFIG_MAPPING[kind]()
    if change or kind in MENDED:
        (change or MENDED[kind])(config)
    _shorten(config)
    with torch.device("meta"):
        model = cls(config)
    config.architectures = [name]
    tied = set(getattr(model, "all_tied_weights_keys", None) or {})
    state = model.state_dict()
    saved = revert_weight_conversion(model, {key: tensor for key, tensor in state.items() if key not in tied})
    shapes = {key: tuple(tensor.shape) for key, tensor in saved.items()}
    decoder = shapes if kind in text_families() else _decoder_names(model, tied)
    return Skeleton(json.loads(config.to_json_string()), shapes, frozenset(decoder))


def _decoder_names(model: Any, tied: set[str]) -> set[str]:
    """The names in the file of what the class's own decoder and head hold."""
    inside = {id(tensor) for tensor in model.get_decoder().state_dict(keep_vars=True).values()}
    head = model.get_output_embeddings()
    inside |= {id(tensor) for tensor in head.parameters()} if head is not None else set()
    state = model.state_dict(keep_vars=True)
    own = {name: tensor for name, tensor in state.items() if id(tensor) in inside and name not in tied}
    return set(revert_weight_conversion(model, own))


def _shorten(config: Any) -> None:
    """Leaves so many layers of every stack, and of every list with a value for each layer as many values."""
    for value in vars(config).values():
        if isinstance(value, transformers.PretrainedConfig):
            _shorten(value)
    layers = vars(config).get("num_hidden_layers")
    if not isinstance(layers, int) or layers <= LAYERS or "gemma4" in config.model_type:  # told layer by layer
        return
    lists = {key: value for key, value in vars(config).items() if isinstance(value, list) and len(value) == layers}
    count = max(LAYERS, *map(_enough, lists.values()), LAYERS)
    for key, value in lists.items():
        setattr(config, key, value[:count])
    config.num_hidden_layers = count


def _enough(values: list[Any]) -> int:
    """How many of the values show all kinds of them."""
    return max(values.index(value) for value in values) + 1


GROUPS = {"Images and text": image_text_families(), "Text": text_families()}
