"""Pairs of families by their real classes: merged files equal what the classes save of models averaged in memory.

In memory the two decoders call their weights alike, whatever their files do: stacked, transposed or one tensor for each
expert. Towers stay on the meta device, so that no pair costs more than its tiny language model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers.core_model_loading import revert_weight_conversion

from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.mapping import plan_merge
from adamms.mapping.ancestry import check_ancestry
from adamms.mapping.config import MappingConfig
from tests.support import checkpoints as c

ALPHA = 0.25
THETA = {"rope_type": "default", "rope_theta": 1e4}
TEXT: dict[str, Any] = {
    "hidden_size": 24, "intermediate_size": 10, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 6, "vocab_size": 37, "max_position_embeddings": 64,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False,
}  # fmt: skip
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 6, "decoder_sparse_step": 1}
GLM_MOE = {
    "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 6, "n_shared_experts": 1, "n_group": 1,
    "topk_group": 1, "first_k_dense_replace": 1, "attention_bias": True,
}  # fmt: skip
LINEAR = {
    "linear_conv_kernel_dim": 3, "linear_key_head_dim": 4, "linear_value_head_dim": 4, "linear_num_key_heads": 2,
    "linear_num_value_heads": 4, "layer_types": ["linear_attention", "full_attention"],
}  # fmt: skip
QWEN3_5_MOE = {**LINEAR, **MOE, "shared_expert_intermediate_size": 5}
LLAMA4 = {"intermediate_size_mlp": 12, "num_local_experts": 4, "num_experts_per_tok": 1, "interleave_moe_layer_step": 2}
GPT_OSS = {"num_local_experts": 4, "num_experts_per_tok": 2, "layer_types": ["sliding_attention", "full_attention"]}
LFM2 = {"layer_types": ["conv", "full_attention"], "block_ff_dim": 10, "block_auto_adjust_ff_dim": False}
GEMMA3N = {
    "intermediate_size": [10, 12], "hidden_size_per_layer_input": 4, "vocab_size_per_layer_input": 37, "laurel_rank": 4,
    "layer_types": ["sliding_attention", "full_attention"], "num_kv_shared_layers": 0,
    "activation_sparsity_pattern": [0.0, 0.0],
}  # fmt: skip
# base's class, what its text configuration has besides, the donor's class (its configuration has the same)
PAIRS: list[Any] = [
    ("Qwen3VLMoeForConditionalGeneration", MOE, "Qwen3MoeForCausalLM"),
    ("InternVLForConditionalGeneration", {"model_type": "qwen3_moe", **MOE}, "Qwen3MoeForCausalLM"),
    ("InternVLForConditionalGeneration", {"model_type": "gpt_oss", **GPT_OSS}, "GptOssForCausalLM"),
    ("InternVLForConditionalGeneration", {"model_type": "qwen3"}, "Qwen3ForCausalLM"),
    ("Glm4vMoeForConditionalGeneration", GLM_MOE, "Glm4MoeForCausalLM"),
    ("PaliGemmaForConditionalGeneration", {"model_type": "gemma2"}, "Gemma2ForCausalLM"),
    ("PaliGemmaForConditionalGeneration", {"model_type": "gemma"}, "GemmaForCausalLM"),
    ("LlavaForConditionalGeneration", {"model_type": "phi3"}, "Phi3ForCausalLM"),
    ("LlavaForConditionalGeneration", {"model_type": "gemma2"}, "Gemma2ForCausalLM"),
    ("LlavaForConditionalGeneration", {"model_type": "glm4"}, "Glm4ForCausalLM"),
    ("LlavaForConditionalGeneration", {"model_type": "qwen3_moe", **MOE}, "Qwen3MoeForCausalLM"),
    ("Qwen3_5ForConditionalGeneration", LINEAR, "Qwen3_5ForCausalLM"),
    ("Qwen3_5MoeForConditionalGeneration", QWEN3_5_MOE, "Qwen3_5MoeForCausalLM"),
    pytest.param("Gemma3nForConditionalGeneration", GEMMA3N, "Gemma3nForCausalLM", marks=pytest.mark.slow),
    ("Llama4ForConditionalGeneration", LLAMA4, "Llama4ForCausalLM"),
    ("Qwen2_5OmniThinkerForConditionalGeneration", {}, "Qwen2ForCausalLM"),
    ("Qwen3OmniMoeThinkerForConditionalGeneration", MOE, "Qwen3MoeForCausalLM"),
    ("Lfm2VlForConditionalGeneration", {"model_type": "lfm2", **LFM2}, "Lfm2ForCausalLM"),
    ("Cohere2VisionForConditionalGeneration", {"model_type": "cohere2"}, "Cohere2ForCausalLM"),
    ("LightOnOcrForConditionalGeneration", {"model_type": "qwen3"}, "Qwen3ForCausalLM"),
    ("VideoLlama3ForConditionalGeneration", {"model_type": "qwen2"}, "Qwen2ForCausalLM"),
    ("VipLlavaForConditionalGeneration", {"model_type": "llama"}, "LlamaForCausalLM"),
    ("VideoLlavaForConditionalGeneration", {"model_type": "llama"}, "LlamaForCausalLM"),
    ("LlavaNextVideoForConditionalGeneration", {"model_type": "llama"}, "LlamaForCausalLM"),
    ("GotOcr2ForConditionalGeneration", {"model_type": "qwen2"}, "Qwen2ForCausalLM"),
    ("DeepseekVLForConditionalGeneration", {"model_type": "llama"}, "LlamaForCausalLM"),
    ("JanusForConditionalGeneration", {"model_type": "llama"}, "LlamaForCausalLM"),
    ("AriaForConditionalGeneration", {"model_type": "aria_text"}, "AriaTextForCausalLM"),
    ("Exaone4_5_ForConditionalGeneration", {"model_type": "exaone4"}, "Exaone4ForCausalLM"),
    ("PaddleOCRVLForConditionalGeneration", {}, "Ernie4_5ForCausalLM"),
    ("Glm46VForConditionalGeneration", {"model_type": "glm4v_text"}, "Glm4ForCausalLM"),
    ("Qwen2VLForConditionalGeneration", {}, "Qwen2_5_VLForConditionalGeneration"),
    ("Qwen3VLMoeForConditionalGeneration", MOE, "Qwen3OmniMoeThinkerForConditionalGeneration"),
    ("Mistral3ForConditionalGeneration", {"model_type": "mistral"}, "LlavaNextForConditionalGeneration"),
]


class Tiny:
    """A model whose language model is tiny and random; the rest stays on the meta device."""

    def __init__(self, name: str, more: dict[str, Any], ancestor: dict[str, torch.Tensor] | None, seed: int) -> None:
        kind = getattr(transformers, name)
        values = {**TEXT, "rope_parameters": THETA, **more}
        if name.endswith("ForCausalLM"):
            values.pop("model_type", None)
            self.config = kind.config_class(**values)
        else:
            self.config = kind.config_class(text_config=values, tie_word_embeddings=False)
        with torch.device("meta"):
            self.model = kind(self.config)
        self.config.architectures = [name]
        generator = torch.Generator().manual_seed(seed)
        self.parts = {"": self.model.get_decoder(), "lm_head.": self.model.get_output_embeddings()}
        for prefix, part in self.parts.items():
            part.to_empty(device="cpu")
            for key, tensor in part.state_dict().items():
                noise = torch.randn(tensor.shape, generator=generator)
                tensor.copy_(noise if ancestor is None else ancestor[prefix + key] + 0.05 * noise)

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """By the names in memory."""
        return {
            prefix + key: tensor for prefix, part in self.parts.items() for key, tensor in part.state_dict().items()
        }

    def saved(self) -> c.Named:
        """As its files hold it; of what is on the meta device there is one number."""
        found = revert_weight_conversion(self.model, self.model.state_dict())
        return {name: torch.zeros(1) if t.is_meta else t.contiguous().clone() for name, t in found.items()}

    def write(self, folder: Path) -> Checkpoint:
        config = json.loads(self.config.to_json_string())
        return open_checkpoint(str(c.write_checkpoint(folder, self.saved(), config, c.words(37))))


@pytest.mark.parametrize(("base", "more", "donor"), PAIRS)
def test_a_pair_merges_whole_as_in_memory(tmp_path: Path, base: str, more: dict[str, Any], donor: str) -> None:
    ours = Tiny(base, more, None, 1)
    theirs = Tiny(donor, more, ours.weights, 2)
    assert ours.weights.keys() == theirs.weights.keys()
    first, second = ours.write(tmp_path / "base"), theirs.write(tmp_path / "donor")
    plan = plan_merge(first, second, MappingConfig(rope_check="off"))
    assert plan.warnings == ()
    check_ancestry(plan, first, second, "error")
    found = c.execute(plan, first, second, ALPHA)
    for name, tensor in ours.weights.items():
        tensor.copy_((1 - ALPHA) * tensor + ALPHA * theirs.weights[name])
    c.assert_same(found, ours.saved())
