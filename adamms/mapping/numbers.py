"""The numbers of a language model in its `config.json`, which two models have to share before they can be merged."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from adamms.errors import UserError
from adamms.mapping.architecture import Architecture, text_defaults
from adamms.support.numbers import finite

# Sub-configurations in which a multimodal config keeps its language model's numbers.
TEXT_CONFIGS = ("text_config", "llm_config", "language_config", "language_model_config", "thinker_config")
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
# The name of each number in a config, which errors use.
SIZES = {
    "layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "intermediate_size": "intermediate_size",
    "experts": "experts in a layer",
    "latent": "rank of latent attention (MLA)",
}
MROPE = "mrope"  # Qwen's positions in time, height and width; for text all three are equal, and it is plain rope


@dataclass(frozen=True, slots=True)
class LanguageModelNumbers:
    """Sizes of a language model, and how it computes; None where the config has no number and no default is known.

    Attributes:
        heads, kv_heads, head_dim, intermediate_size: the largest, where layers differ.
        experts: of each mixture of experts; None in a dense model.
        latent: rank of the keys and values of multi-head latent attention (MLA); None for plain attention.
        predicting: layers after the last that only predict several tokens at once (MTP).
    """

    layers: int
    hidden_size: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    rms_norm_eps: float | None
    rope_theta: float | None
    rope_scaling: str | None
    tied_embeddings: bool
    experts: int | None = None
    latent: int | None = None
    predicting: int = 0

    @classmethod
    def of(cls, config: Mapping[str, Any], architecture: Architecture, where: str) -> LanguageModelNumbers:
        """Reads them from a model's config.

        Raises:
            UserError: a number is missing or malformed; `where` names the file.
        """
        text, free = _Text(config, architecture), architecture.rows == "free"
        problems: list[str] = []

        def size(key: str, default: int | None = None) -> int:
            value = text.get(key)
            value = default if value is None or (free and value == 0) else _largest(value)
            if type(value) is not int or not 0 < value < 1 << 31:
                problems.append(f"`{key}` is {reprlib.repr(value)}, expected a positive integer")
                return 1
            return value

        hidden = size("hidden_size")
        heads = size("num_attention_heads", 1 if free else None)
        numbers = cls(
            layers=size("num_hidden_layers"),
            hidden_size=hidden,
            heads=heads,
            kv_heads=size("num_key_value_heads", heads),
            head_dim=size("head_dim", hidden // heads or 1),
            intermediate_size=size("intermediate_size", 4 * hidden if free else None),
            rms_norm_eps=finite(text.get("rms_norm_eps")),
            rope_theta=finite(text.rope("rope_theta")),
            rope_scaling=_scaling(text),
            tied_embeddings=text.tied,
            experts=next(
                (size(key) for key in EXPERTS if type(_largest(text.get(key))) is int and text.get(key)), None
            ),
            latent=size("kv_lora_rank") if text.get("kv_lora_rank") else None,
            predicting=size("num_nextn_predict_layers") if text.get("num_nextn_predict_layers") else 0,
        )
        if not problems and not free and heads % numbers.kv_heads:
            problems.append(f"`num_attention_heads` {heads} is no multiple of `num_key_value_heads` {numbers.kv_heads}")
        if problems:
            raise UserError(f"{where}: {'; '.join(problems)}; is this the config of a language model?")
        return numbers

    def differing_sizes(self, other: LanguageModelNumbers) -> list[str]:
        """The sizes that differ, each as 'name a != b'."""
        pairs = [(key, getattr(self, name), getattr(other, name)) for name, key in SIZES.items()]
        return [f"{key} {a or 'none'} != {b or 'none'}" for key, a, b in pairs if a != b]


class _Text:
    """Looks numbers up in the nested text configuration, then in the defaults of its `model_type`, then in those of the
    architecture, then in the whole config."""

    def __init__(self, config: Mapping[str, Any], architecture: Architecture) -> None:
        self.config, self.architecture = config, architecture
        self.text = text_config(config)

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """What the text configuration means where it does not say: those of its class in transformers, if need be."""
        model_type = self.text.get("model_type")
        if self.text is self.config or not isinstance(model_type, str):
            return {}
        known = text_defaults().get(model_type)
        return class_defaults(model_type) if known is None else known

    def get(self, key: str) -> Any:
        name = self.architecture.numbers.get(key, key)
        divide_by = 1
        if isinstance(name, Mapping):
            name, divide_by = name.get("key", key), name.get("divide_by", 1)
        for source in (self.text, self.defaults, self.architecture.defaults, self.config):
            value = source.get(name)
            value = source.get(key) if value is None and divide_by == 1 else value
            if value is not None:
                return value // divide_by if type(value) is int and type(divide_by) is int and divide_by > 1 else value
        return None

    def rope(self, key: str) -> Any:
        """A number of the rope; transformers 5 has them in `rope_parameters`."""
        value = self.rope_settings("rope_parameters").get(key)
        return self.get(key) if value is None else value

    def rope_settings(self, key: str) -> Mapping[str, Any]:
        """Those of full attention where there are several kinds of layers; empty where the config has none."""
        found = self.text.get(key)
        found = found if isinstance(found, Mapping) else {}
        full = found.get("full_attention")
        return full if isinstance(full, Mapping) else found

    @property
    def tied(self) -> bool:
        for source in (self.config, self.text, self.defaults):
            if isinstance(source.get("tie_word_embeddings"), bool):
                return bool(source["tie_word_embeddings"])
        return False


@lru_cache
def class_defaults(model_type: str) -> Mapping[str, Any]:
    """The defaults of a configuration's class in transformers; empty where it knows none of that name."""
    from transformers import CONFIG_MAPPING

    return CONFIG_MAPPING[model_type]().to_dict() if model_type in CONFIG_MAPPING else {}


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a config that describes the language model: one of `TEXT_CONFIGS`, which may nest, or the whole."""
    for key in TEXT_CONFIGS:
        if isinstance(config.get(key), Mapping):
            return text_config(config[key])
    return config


def _scaling(text: _Text) -> str | None:
    """How positions are scaled, such as 'linear x4' or MROPE; None for plain rope."""
    for key in ("rope_parameters", "rope_scaling"):
        value = text.rope_settings(key)
        kind, factor = value.get("rope_type", value.get("type")), value.get("factor")
        if value.get("mrope_section") is not None or kind == "mrope":
            return MROPE
        if kind not in (None, "default"):
            return f"{kind} x{factor}" if factor is not None else str(kind)
    return None


def _largest(value: Any) -> Any:
    """Of a list with a size for each layer the largest; anything else as it is."""
    return max(value) if isinstance(value, list) and value and all(type(one) is int for one in value) else value
