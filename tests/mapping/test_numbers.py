"""The numbers of a language model, wherever in the config they are."""

from __future__ import annotations

import pytest

from adamms.mapping.architecture import known_architectures
from adamms.mapping.numbers import TEXT_CONFIGS, LanguageModelNumbers, text_config
from tests.support import checkpoints as c


@pytest.mark.parametrize("key", ["text_config", "llm_config", "language_config", "language_model_config"])
def test_the_language_models_part_is_found_by_every_name(key: str) -> None:
    assert key in TEXT_CONFIGS
    assert text_config({"model_type": "outer", key: {"hidden_size": 8}}) == {"hidden_size": 8}
    plain, nested = c.GQA.config, {"model_type": "outer", key: c.GQA.config}
    llama = known_architectures()["llama"]
    assert LanguageModelNumbers.of(nested, llama, "config") == LanguageModelNumbers.of(plain, llama, "config")


@pytest.mark.parametrize("config", [{}, {"hidden_size": 8}, {"text_config": None}, {"llm_config": "qwen2"}])
def test_a_config_without_a_part_is_the_language_models(config: dict[str, object]) -> None:
    assert text_config(config) is config
