from typing import Any, ClassVar

from transformers import PretrainedConfig


class CogVLMConfig(PretrainedConfig):  # type: ignore[misc]
    """CogVLM and CogVLM2; what their own code fixes is in the file that `families` writes.

    Attributes:
        vision_config: of the EVA2-CLIP tower, as the checkpoint has it.
        vision_bias: whether q, k and v of images have a bias.
        vision_conv: whether a convolution makes one token of 2 x 2 patches.
    """

    model_type = "cogvlm"
    ignore_keys_at_rope_validation: ClassVar[set[str]] = {"mrope_section"}

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 32
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    rope_parameters: dict[str, Any] | None = None
    vision_config: dict[str, Any] | None = None
    vision_bias: bool = False
    vision_conv: bool = False
