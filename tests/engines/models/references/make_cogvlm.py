"""Makes cogvlm.json: what CogVLM-1's own code answers with the tiny model of tests/support/authors.py.

Their code is `utils` of github.com/THUDM/CogVLM at f7283b2c8d26cd7f932d9a5f7f5f9307f568195d, on their library
SwissArmyTransformer 0.4.12, as they are, and no part of this project. Made with Python 3.11, torch 2.13.0, transformers
4.37.2, einops, and what the library imports (datasets, webdataset, tensorboardX, boto3, cpm_kernels):

    PYTHONPATH=THEIRS python tests/engines/models/references/make_cogvlm.py [float32|bfloat16]

Changed in memory, since a CPU has neither: the library's `triton` kernel, which rotates the two halves of each head,
and xformers' attention; and the width of their tower, which is written in it, is the tiny one's. The weights are those
of the Hugging Face layout under the library's names. Their code has no prompt without an image: it is theirs less what
stands for one.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[4]))
from tests.support import authors
from tests.support.pictures import picture

BATCH_OF_ONE = {"world_size": 1, "rank": 0, "local_rank": 0, "model_parallel_size": 1, "deepspeed": None}
RUN = {**BATCH_OF_ONE, "mode": "inference", "skip_init": True, "use_gpu_initialization": False, "device": "cpu"}


def attend(q: Any, k: Any, v: Any, p: float, scale: float) -> Any:
    """xformers' attention of [batch, length, heads, width]."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=scale).transpose(1, 2)


def rotate(x: Any, cos: Any, sin: Any, positions: Any, **options: Any) -> Any:
    """What their kernel computes: [batch, heads, length, width] with cos and sin of [positions, width / 2]."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = cos[positions][:, None], sin[positions][:, None]
    x.copy_(torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1))
    return x


def their_code() -> Any:
    """Their `cogvlm_model`."""
    import torchvision  # noqa: F401
    import transformers.generation  # noqa: F401

    xformers, ops = types.ModuleType("xformers"), types.ModuleType("xformers.ops")
    xformers.ops, ops.memory_efficient_attention = ops, attend
    sys.modules |= {"xformers": xformers, "xformers.ops": ops}
    from sat.model.position_embedding import triton_rotary_embeddings

    triton_rotary_embeddings.apply_rotary = rotate
    from utils.models import cogvlm_model

    glu = cogvlm_model.GLU
    package = types.ModuleType("utils.utils")  # without its drawing of boxes, which wants spacy and seaborn
    package.__path__ = [str(Path(cogvlm_model.__file__).parents[1] / "utils")]
    sys.modules["utils.utils"] = package
    cogvlm_model.GLU = lambda args, width: glu(args, args.eva_args["hidden_size"])
    return cogvlm_model


def arguments(config: dict[str, Any]) -> argparse.Namespace:
    """What their model_config.json says, with our sizes."""
    vision = config["vision_config"]
    side = vision["image_size"] // vision["patch_size"]
    tower = {
        "num_layers": vision["num_hidden_layers"],
        "hidden_size": vision["hidden_size"],
        "num_attention_heads": vision["num_heads"],
        "inner_hidden_size": vision["intermediate_size"],
        "vocab_size": 1,
        "layernorm_order": "post",
        "max_sequence_length": side * side + 1,
        "use_final_layernorm": False,
        "layernorm_epsilon": vision["layer_norm_eps"],
        "row_parallel_linear_final_bias": False,
        "image_size": [vision["image_size"]] * 2,
        "patch_size": vision["patch_size"],
        "pre_len": 1,
        "post_len": 0,
        "in_channels": 3,
    }
    return argparse.Namespace(
        **RUN,
        fp16=False,
        bf16=False,
        num_layers=config["num_hidden_layers"],
        hidden_size=config["hidden_size"],
        num_attention_heads=config["num_attention_heads"],
        inner_hidden_size=config["intermediate_size"],
        vocab_size=config["vocab_size"],
        max_sequence_length=config["max_position_embeddings"],
        layernorm_order="pre",
        layernorm_epsilon=config["rms_norm_eps"],
        use_bias=False,
        use_final_layernorm=True,
        image_length=side * side,
        eva_args=tower,
    )


def their_name(name: str) -> str:
    """Of a tensor in the Hugging Face layout, which has the frequencies of rope in every layer, in bfloat16."""
    if name.endswith("inv_freq"):
        return "mixins.rotary.rotary_emb.inv_freq"
    whole = {
        "model.embed_tokens.weight": "transformer.word_embeddings.weight",
        "model.norm.weight": "transformer.final_layernorm.weight",
        "lm_head.weight": "mixins.lm.lm_head.weight",
        "model.vision.boi": "mixins.eva.boi",
        "model.vision.eoi": "mixins.eva.eoi",
    }
    if name in whole:
        return whole[name]
    if name.startswith("model.vision."):
        return _tower_name(name.removeprefix("model.vision."))
    _, _, i, rest = name.split(".", 3)
    of_layer = {
        "self_attn.language_expert_query_key_value": f"transformer.layers.{i}.attention.query_key_value",
        "self_attn.language_expert_dense": f"transformer.layers.{i}.attention.dense",
        "self_attn.vision_expert_query_key_value": f"mixins.rotary.vision_query_key_value_list.{i}",
        "self_attn.vision_expert_dense": f"mixins.rotary.vision_dense_list.{i}",
        "mlp.language_mlp.gate_proj": f"mixins.mlp.gate_proj.{i}",
        "mlp.language_mlp.up_proj": f"transformer.layers.{i}.mlp.dense_h_to_4h",
        "mlp.language_mlp.down_proj": f"transformer.layers.{i}.mlp.dense_4h_to_h",
        "mlp.vision_mlp.gate_proj": f"mixins.mlp.vision_gate_proj.{i}",
        "mlp.vision_mlp.up_proj": f"mixins.mlp.vision_dense_h_to_4h_list.{i}",
        "mlp.vision_mlp.down_proj": f"mixins.mlp.vision_dense_4h_to_h_list.{i}",
        "input_layernorm": f"transformer.layers.{i}.input_layernorm",
        "post_attention_layernorm": f"transformer.layers.{i}.post_attention_layernorm",
    }
    return f"{of_layer[rest.removesuffix('.weight')]}.weight"


def _tower_name(name: str) -> str:
    place = "mixins.eva.vit_model."
    for ours, theirs in {
        "linear_proj.": "mixins.eva.linear_proj.",
        "patch_embedding.cls_embedding": f"{place}transformer.word_embeddings.weight",
        "patch_embedding.position_embedding.": f"{place}transformer.position_embeddings.",
        "patch_embedding.proj.": f"{place}mixins.patch_embedding.proj.",
        "transformer.": f"{place}transformer.",
    }.items():
        if name.startswith(ours):
            named = theirs + name.removeprefix(ours)
            return named.replace("mlp.fc1", "mlp.dense_h_to_4h").replace("mlp.fc2", "mlp.dense_4h_to_h")
    raise KeyError(name)


def load(code: Any, folder: Path, dtype: torch.dtype) -> Any:
    """Their model, in this dtype, of a folder's weights."""
    from safetensors.torch import load_file

    model = code.CogVLMModel(arguments(json.loads((folder / "config.json").read_text())))
    tensors = {their_name(name): tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    model.load_state_dict(tensors)
    return model.to(dtype).eval()


class SmallTokenizer:
    """What their code asks of a tokenizer."""

    bos_token_id, eos_token_id, pad_token_id, signal_type = 1, 2, 0, "chat_old"

    def __init__(self, file: str) -> None:
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(file)

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=add_special_tokens).ids


@torch.no_grad()
def answer(model: Any, tokenizer: Any, question: str, image: bytes | None) -> dict[str, Any]:
    """The prompt's token ids, the greedy tokens, and their log-probabilities; every token anew by a whole pass."""
    from utils.utils.language import get_masks_and_position_ids, llama2_text_processor_inference
    from utils.utils.vision import get_image_processor

    words = llama2_text_processor_inference(tokenizer, image_length=model.image_length)
    inputs = words(words.history_to_prompt(question, []))
    dtype = next(model.parameters()).dtype
    if image:
        side = model.get_mixin("eva").vit_model.transformer.property.image_size[0]
        seen = get_image_processor(side)(Image.open(io.BytesIO(image)).convert("RGB"))
        seen = {f"vision_{name}": value for name, value in seen.items()}
        seen["vision_image"] = seen["vision_image"].to(dtype)
        seen["vision_attention_mask"] = seen["vision_attention_mask"].to(dtype)
    else:
        seen, text = {}, inputs["image_embed_mask"][0] == 0
        inputs = {name: value[:, text] for name, value in inputs.items()}
    ids, rope = inputs["input_ids"][0], inputs["image_rope_mask"]
    text_ids = ids[inputs["image_embed_mask"][0] == 0].tolist()
    tokens: list[int] = []
    logprobs: list[float] = []
    while len(tokens) < authors.TOKENS and tokens[-1:] != [tokenizer.eos_token_id]:
        batch, mask, positions = get_masks_and_position_ids(ids, rope)
        more = len(ids) - rope.shape[1]
        masks = {
            name: torch.nn.functional.pad(inputs[name], (0, more))
            for name in ("vision_expert_mask", "image_embed_mask")
        }
        given = {"input_ids": batch, "position_ids": positions, "attention_mask": mask.to(dtype), **masks, **seen}
        logits = model(**given)[0][0, -1].float().log_softmax(-1)
        tokens.append(int(logits.argmax()))
        logprobs.append(round(float(logits.max()), 6))
        ids = torch.cat((ids, torch.tensor(tokens[-1:])))
    return {
        "question": question,
        "image": bool(image),
        "text_ids": text_ids,
        "tokens": tokens,
        "logprobs": logprobs,
    }


def main() -> None:
    import transformers

    code = their_code()
    dtype = sys.argv[1] if len(sys.argv) > 1 else "float32"
    found: dict[str, Any] = {"made_by": f"torch {torch.__version__}, transformers {transformers.__version__}, {dtype}"}
    with tempfile.TemporaryDirectory() as root:
        base, donor, merged = (Path(root, one) for one in ("base", "donor", "merged"))
        authors.save_cogvlm(base)
        authors.save_cogvlm(donor, seed=1)
        authors.write_merged(merged, base, donor)
        tokenizer = SmallTokenizer(f"{base}/tokenizer.json")
        for kind, folder in (("answers", base), ("merged", merged)):
            model = load(code, folder, getattr(torch, dtype))
            found[kind] = [
                answer(model, tokenizer, question, picture(i) if image else None)
                for i, (question, image) in enumerate(authors.ASKED)
            ]
    file = Path(__file__).with_name("cogvlm.json" if dtype == "float32" else f"cogvlm-{dtype}.json")
    file.write_text(json.dumps(found) + "\n")
    print(file, [len(one["tokens"]) for one in found["answers"]])


if __name__ == "__main__":
    main()
