"""The language model's numbers from a `config.json`: what has to agree before two models can be merged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from adamms.errors import UserError

# Sub-configurations in which a multimodal config keeps its language model's numbers.
TEXT_CONFIGS = ("text_config", "llm_config", "language_config")


@dataclass(frozen=True, slots=True)
class LanguageModelNumbers:
    """Sizes of one language model; None where the config does not say and no default is known."""

    layers: int
    hidden_size: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    rms_norm_eps: float | None
    rope_theta: float | None
    tied_embeddings: bool

    @classmethod
    def of(cls, config: Mapping[str, Any], where: str) -> LanguageModelNumbers:
        """Reads them from a model's config.

        Raises:
            UserError: a number is missing or no number; `where` names the file.
        """
        text = text_config(config)
        problems: list[str] = []

        def number(key: str, default: int | None = None) -> int:
            value = text.get(key)
            value = default if value is None else value
            if type(value) is not int or value <= 0:
                problems.append(f"`{key}` is {value!r}, expected a positive integer")
                return 1
            return value

        hidden, heads = number("hidden_size"), number("num_attention_heads")
        numbers = cls(
            layers=number("num_hidden_layers"),
            hidden_size=hidden,
            heads=heads,
            kv_heads=number("num_key_value_heads", heads),
            head_dim=number("head_dim", hidden // heads or 1),
            intermediate_size=number("intermediate_size"),
            rms_norm_eps=_real(text.get("rms_norm_eps")),
            rope_theta=_real(_rope_theta(text)),
            tied_embeddings=bool(text.get("tie_word_embeddings", config.get("tie_word_embeddings", False))),
        )
        if problems:
            raise UserError(f"{where}: {'; '.join(problems)}; is this the config of a language model?")
        return numbers

    def differences(self, other: LanguageModelNumbers) -> list[str]:
        """What keeps tensors of the two from corresponding, each as 'name a != b'. Tying is no obstacle."""
        names = [f.name for f in fields(self) if f.name != "tied_embeddings"]
        pairs = [(name, getattr(self, name), getattr(other, name)) for name in names]
        return [f"{name} {a} != {b}" for name, a, b in pairs if a != b and None not in (a, b)]


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a config that describes the language model: a sub-configuration, or the whole."""
    for key in TEXT_CONFIGS:
        if isinstance(config.get(key), Mapping):
            return config[key]  # type: ignore[no-any-return]
    return config


def _rope_theta(text: Mapping[str, Any]) -> Any:
    """transformers 5 moved `rope_theta` into `rope_parameters`."""
    parameters = text.get("rope_parameters")
    return parameters.get("rope_theta") if isinstance(parameters, Mapping) else text.get("rope_theta")


def _real(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
