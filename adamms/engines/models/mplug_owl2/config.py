from typing import Any, ClassVar

from transformers import PretrainedConfig


class MplugOwl2Config(PretrainedConfig):  # type: ignore[misc]
    """mPLUG-Owl2 on LLaMA.

    Attributes:
        visual_config: `visual_model` and `visual_abstractor`, as the checkpoint has them.
    """

    model_type = "mplug_owl2"
    ignore_keys_at_rope_validation: ClassVar[set[str]] = {"mrope_section"}

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 32
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    attention_bias: bool = False
    rope_parameters: dict[str, Any] | None = None
    visual_config: dict[str, Any] | None = None
