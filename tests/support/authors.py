"""Tiny models as their authors publish them: names, config and weights of each family's own repository.

Needs neither AdaMMS nor a certain transformers, since the authors' own code, which made the references in
tests/engines/models/references, has to make the same models in an environment of its own. Weights follow from a
tensor's name and a seed alone, by a generator that numpy never changes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
LETTERS = [chr(code) for code in range(33, 127)]


def values(name: str, shape: tuple[int, ...], seed: int, spread: float) -> Tensor:
    """bfloat16: norms around 1, everything else around 0."""
    draw = np.random.RandomState(zlib.crc32(f"{seed} {name}".encode()))
    numbers = torch.from_numpy(draw.standard_normal(shape).astype(np.float32))
    norm = "norm" in name or "ffn_ln" in name or (name.split(".")[-2:-1] == ["1"] and len(shape) == 1)
    if norm and name.endswith("weight"):
        return (1 + 0.2 * numbers).to(torch.bfloat16)
    if len(shape) < 2:
        return (0.1 * numbers).to(torch.bfloat16)
    fan_in = int(np.prod(shape[1:]))
    return (spread * numbers / fan_in**0.5).to(torch.bfloat16)


def write(folder: Path, config: Mapping[str, Any], shapes: Shapes, seed: int, spread: float = 1.6) -> dict[str, Tensor]:
    """Config and weights, in one safetensors file."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: values(name, shape, seed, spread).contiguous() for name, shape in shapes.items()}
    for name in tensors:
        if name.endswith("rotary_emb.inv_freq"):
            theta, dim = THETA[config["architectures"][0], "num_multi_query_heads" in config], 2 * shapes[name][0]
            tensors[name] = (1.0 / theta ** (torch.arange(0, dim, 2) / dim)).to(torch.bfloat16)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(dict(config), indent=2))
    return tensors


THETA = {
    ("CogVLMForCausalLM", False): 1e4,
    ("CogVLMForCausalLM", True): 5e5,
    ("MPLUGOwl2LlamaForCausalLM", False): 1e4,
}
# What the references ask: a question, and whether with a picture of its own.
ASKED = (
    ("What is this? 0", True),
    ("Why? 1", False),
    ("Name the colour of the thing on the left. 2", True),
    ("And now? 3", True),
    ("A b c 4", False),
    ("5", True),
    ("What is this? " * 10, True),  # longer than a block of vLLM's prefix cache on a CPU
)
COMPARED = "What differs?"  # with two pictures, one of them no square
TOKENS = 12
ALPHA = 0.4  # of the merge with a donor of the same family that they ask, too
TOWERS = ("model.vision", "model.visual_abstractor", "model.mm_projector", "model.image_newline")


def write_merged(folder: Path, base: Path, donor: Path, alpha: float = ALPHA) -> None:
    """What `adamms merge` has to write for two models of one family and one tokenizer, by a line of arithmetic."""
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(base, folder)
    ours, theirs = (load_file(one / "model.safetensors") for one in (base, donor))
    for name, own in ours.items():
        if not name.startswith(TOWERS) and "inv_freq" not in name:
            ours[name] = ((1 - alpha) * own.double() + alpha * theirs[name].double()).to(own.dtype)
    save_file(ours, folder / "model.safetensors", metadata={"format": "pt"})


def write_tokenizer(folder: Path, added: tuple[str, ...] = ()) -> None:
    """LLaMA's kind: bytes where there is no token, a mark for spaces; three tokens besides, and what was added."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors

    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *LETTERS]
    tokenizer = Tokenizer(
        models.BPE({token: i for i, token in enumerate(tokens)}, [], unk_token="<unk>", byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in (*tokens[:3], *added)])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "unk_token": "<unk>", "pad_token": "<unk>"}))


SPARE = 6
VOCABULARY = 3 + 256 + 1 + len(LETTERS) + SPARE  # more rows than tokens, as many checkpoints have


# ---- CogVLM (THUDM)

COGVLM_VISION = {
    "dropout_prob": 0.0,
    "hidden_act": "gelu",
    "hidden_size": 32,
    "image_size": 32,
    "in_channels": 3,
    "intermediate_size": 48,
    "layer_norm_eps": 1e-6,
    "num_heads": 2,
    "num_hidden_layers": 2,
    "num_positions": 17,
    "patch_size": 8,
}


def cogvlm_config(second: bool) -> dict[str, Any]:
    """`second`: CogVLM2's."""
    return {
        "_name_or_path": "THUDM/cogvlm",
        "architectures": ["CogVLMForCausalLM"],
        "auto_map": {
            "AutoConfig": "configuration_cogvlm.CogVLMConfig",
            "AutoModelForCausalLM": "modeling_cogvlm.CogVLMForCausalLM",
        },
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 128 if second else 64,
        "initializer_range": 0.02,
        "intermediate_size": 96,
        "max_position_embeddings": 512,
        "num_attention_heads": 4 if second else 2,
        "num_hidden_layers": 2,
        "pad_token_id": 0,
        "rms_norm_eps": 1e-5,
        "template_version": "chat",
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.35.0",
        "use_cache": True,
        "vision_config": COGVLM_VISION,
        "vocab_size": VOCABULARY,
        **({"num_multi_query_heads": 2} if second else {}),
    }


def cogvlm_shapes(config: Mapping[str, Any]) -> Shapes:
    """Of both, told apart by the config."""
    hidden, inner, rows = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads, second = config["num_attention_heads"], "num_multi_query_heads" in config
    head = hidden // heads
    qkv = hidden + 2 * head * config.get("num_multi_query_heads", heads)
    shapes: Shapes = {"model.embed_tokens.weight": (rows, hidden)}
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        shapes |= {layer + "input_layernorm.weight": (hidden,), layer + "post_attention_layernorm.weight": (hidden,)}
        shapes[layer + "self_attn.rotary_emb.inv_freq"] = (head // 2,)
        if second:
            shapes[layer + "self_attn.vision_expert_query_key_value.bias"] = (qkv,)
        for expert in ("language", "vision"):
            shapes[f"{layer}self_attn.{expert}_expert_query_key_value.weight"] = (qkv, hidden)
            shapes[f"{layer}self_attn.{expert}_expert_dense.weight"] = (hidden, hidden)
            shapes[f"{layer}mlp.{expert}_mlp.gate_proj.weight"] = (inner, hidden)
            shapes[f"{layer}mlp.{expert}_mlp.up_proj.weight"] = (inner, hidden)
            shapes[f"{layer}mlp.{expert}_mlp.down_proj.weight"] = (hidden, inner)
    shapes |= {"model.norm.weight": (hidden,), "lm_head.weight": (rows, hidden)}
    return shapes | {f"model.vision.{name}": shape for name, shape in _cogvlm_vision(config, second).items()}


def _cogvlm_vision(config: Mapping[str, Any], second: bool) -> Shapes:
    vision, hidden, inner = config["vision_config"], config["hidden_size"], config["intermediate_size"]
    width, middle, patch = vision["hidden_size"], vision["intermediate_size"], vision["patch_size"]
    shapes: Shapes = {
        "boi": (1, 1, hidden),
        "eoi": (1, 1, hidden),
        "patch_embedding.proj.weight": (width, 3, patch, patch),
        "patch_embedding.proj.bias": (width,),
        "patch_embedding.cls_embedding": (1, width),
        "patch_embedding.position_embedding.weight": (vision["num_positions"], width),
        "linear_proj.linear_proj.weight": (hidden, width),
        "linear_proj.norm1.weight": (hidden,),
        "linear_proj.norm1.bias": (hidden,),
        "linear_proj.gate_proj.weight": (inner, hidden),
        "linear_proj.dense_h_to_4h.weight": (inner, hidden),
        "linear_proj.dense_4h_to_h.weight": (hidden, inner),
    }
    if second:
        shapes |= {"conv.weight": (width, width, 2, 2), "conv.bias": (width,)}
    for i in range(vision["num_hidden_layers"]):
        layer = f"transformer.layers.{i}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes |= {f"{layer}{norm}.weight": (width,), f"{layer}{norm}.bias": (width,)}
        for name, (out, into) in {
            "attention.query_key_value": (3 * width, width),
            "attention.dense": (width, width),
            "mlp.fc1": (middle, width),
            "mlp.fc2": (width, middle),
        }.items():
            shapes |= {f"{layer}{name}.weight": (out, into), f"{layer}{name}.bias": (out,)}
    return shapes


def save_cogvlm(folder: Path, seed: int = 0, second: bool = False) -> Path:
    """A CogVLM, with a tokenizer."""
    config = cogvlm_config(second)
    write(folder, config, cogvlm_shapes(config), seed)
    write_tokenizer(folder)
    return folder


# ---- mPLUG-Owl2 (MAGAer13)

OWL_TOWER = {
    "attention_dropout": 0.0,
    "hidden_act": "quick_gelu",
    "hidden_size": 32,
    "image_size": 32,
    "intermediate_size": 48,
    "layer_norm_eps": 1e-6,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "patch_size": 8,
}
OWL_ABSTRACTOR = {
    "encoder_hidden_size": 32,
    "grid_size": 4,
    "hidden_size": 32,
    "intermediate_size": 40,
    "layer_norm_eps": 1e-6,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "num_learnable_queries": 4,
}


def mplug_owl2_config() -> dict[str, Any]:
    return {
        "architectures": ["MPLUGOwl2LlamaForCausalLM"],
        "attention_bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 64,
        "initializer_range": 0.02,
        "intermediate_size": 96,
        "max_position_embeddings": 512,
        "model_type": "mplug_owl2",
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-5,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "transformers_version": "4.31.0",
        "use_cache": True,
        "visual_config": {"visual_abstractor": OWL_ABSTRACTOR, "visual_model": OWL_TOWER},
        "vocab_size": VOCABULARY,
    }


def mplug_owl2_shapes(config: Mapping[str, Any]) -> Shapes:
    hidden, inner, rows = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    shapes: Shapes = {"model.embed_tokens.weight": (rows, hidden)}
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        shapes[layer + "self_attn.rotary_emb.inv_freq"] = (hidden // config["num_attention_heads"] // 2,)
        for one in (
            "q_proj",
            "k_proj.multiway.0",
            "k_proj.multiway.1",
            "v_proj.multiway.0",
            "v_proj.multiway.1",
            "o_proj",
        ):
            shapes[f"{layer}self_attn.{one}.weight"] = (hidden, hidden)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes |= {f"{layer}{norm}.multiway.{way}.weight": (hidden,) for way in (0, 1)}
        shapes |= {f"{layer}mlp.{one}_proj.weight": (inner, hidden) for one in ("gate", "up")}
        shapes[f"{layer}mlp.down_proj.weight"] = (hidden, inner)
    shapes |= {"model.norm.weight": (hidden,), "lm_head.weight": (rows, hidden)}
    visual = config["visual_config"]
    shapes |= {f"model.vision_model.{n}": s for n, s in _owl_tower(visual["visual_model"]).items()}
    return shapes | {
        f"model.visual_abstractor.{n}": s for n, s in _owl_abstractor(visual["visual_abstractor"], hidden).items()
    }


def _owl_tower(config: Mapping[str, Any]) -> Shapes:
    width, inner, patch = config["hidden_size"], config["intermediate_size"], config["patch_size"]
    shapes: Shapes = {
        "embeddings.cls_token": (1, 1, width),
        "embeddings.patch_embed.weight": (width, 3, patch, patch),
        "embeddings.position_embedding": (1, (config["image_size"] // patch) ** 2 + 1, width),
    }
    norms = ["embeddings.pre_layernorm", "post_layernorm"]
    linears = {}
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layers.{i}."
        norms += [layer + "input_layernorm", layer + "post_attention_layernorm"]
        linears |= {
            layer + "self_attn.query_key_value": (3 * width, width),
            layer + "self_attn.dense": (width, width),
            layer + "mlp.fc1": (inner, width),
            layer + "mlp.fc2": (width, inner),
        }
    return shapes | _with_biases(linears, dict.fromkeys(norms, width))


def _owl_abstractor(config: Mapping[str, Any], hidden: int) -> Shapes:
    width, inner, count = config["hidden_size"], config["intermediate_size"], config["num_learnable_queries"]
    shapes: Shapes = {"query_embeds": (1, count, width), "vit_eos": (1, 1, hidden)}
    linears, norms = {"visual_fc": (hidden, width)}, {}
    for i in range(config["num_hidden_layers"]):
        layer = f"encoder.layers.{i}.crossattention."
        shapes[layer + "attention.q_pos_embed"] = (count, width)
        shapes[layer + "attention.k_pos_embed"] = (config["grid_size"] ** 2 + 1, width)
        linears |= {layer + f"attention.{one}": (width, width) for one in ("query", "key", "value")}
        linears |= {layer + f"output.mlp.{one}": (inner, width) for one in ("w1", "w3")}
        linears |= {layer + "output.out_proj": (width, width), layer + "output.mlp.w2": (width, inner)}
        norms |= {layer + "norm1": width, layer + "normk": width, layer + "output.norm2": width}
        norms |= {layer + "output.mlp.ffn_ln": inner}
    return shapes | _with_biases(linears, norms)


def _with_biases(linears: Mapping[str, tuple[int, int]], norms: Mapping[str, int]) -> Shapes:
    shapes: Shapes = {}
    for name, shape in linears.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name, width in norms.items():
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return shapes


def save_mplug_owl2(folder: Path, seed: int = 0) -> Path:
    """An mPLUG-Owl2 on LLaMA."""
    config = mplug_owl2_config()
    write(folder, config, mplug_owl2_shapes(config), seed)
    write_tokenizer(folder)
    size = {"crop_size": 32, "size": 32, "resample": 3, "image_processor_type": "CLIPImageProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps({**size, **CLIP, "do_center_crop": True}))
    return folder


CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}

# ---- LLaVA-1.5 (liuhaotian), ShareGPT4V (Lin-Chen), Yi-VL (01-ai), and the CLIP that they see by

CLIP_TOWER = {
    "hidden_act": "quick_gelu",
    "hidden_size": 32,
    "image_size": 32,
    "intermediate_size": 48,
    "layer_norm_eps": 1e-5,
    "model_type": "clip_vision_model",
    "num_attention_heads": 2,
    "num_hidden_layers": 3,
    "patch_size": 8,
    "projection_dim": 16,
}


def clip_shapes() -> Shapes:
    """Of the vision side."""
    width, inner, patch = CLIP_TOWER["hidden_size"], CLIP_TOWER["intermediate_size"], CLIP_TOWER["patch_size"]
    shapes: Shapes = {
        "vision_model.embeddings.class_embedding": (width,),
        "vision_model.embeddings.patch_embedding.weight": (width, 3, patch, patch),
        "vision_model.embeddings.position_embedding.weight": (17, width),
    }
    norms, linears = ["vision_model.pre_layrnorm", "vision_model.post_layernorm"], {}
    for i in range(CLIP_TOWER["num_hidden_layers"]):
        layer = f"vision_model.encoder.layers.{i}."
        norms += [layer + "layer_norm1", layer + "layer_norm2"]
        linears |= {f"{layer}self_attn.{one}_proj": (width, width) for one in ("q", "k", "v", "out")}
        linears |= {layer + "mlp.fc1": (inner, width), layer + "mlp.fc2": (width, inner)}
    return shapes | _with_biases(linears, dict.fromkeys(norms, width))


def save_clip(folder: Path, seed: int = 7) -> Path:
    """A whole CLIP, of whose text side there is a little; pickled, as OpenAI's is."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "clip", "vision_config": CLIP_TOWER}))
    tensors = {name: values(name, shape, seed, 1.6) for name, shape in clip_shapes().items()}
    tensors |= {"logit_scale": torch.tensor(1.0), "text_model.final_layer_norm.weight": torch.ones(16)}
    tensors["vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    torch.save(tensors, folder / "pytorch_model.bin")
    write_clip_processor(folder)
    return folder


def write_clip_processor(folder: Path) -> None:
    size = {"crop_size": 32, "size": 32, "resample": 3, "do_center_crop": True, "do_resize": True}
    (folder / "preprocessor_config.json").write_text(json.dumps({**size, **CLIP, "do_normalize": True}))


def tower_place(folder: Path, tower: str, hub: Path | None) -> Path:
    """Where a tower lies that a model in this folder names: in it or, if there is a hub, in its client's cache."""
    return folder / tower if hub is None else cached(hub, tower)


def cached(hub: Path, repository: str) -> Path:
    """The folder of a repository's main branch in the cache of the Hub's client."""
    commit, folder = "a" * 40, hub / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(commit)
    return folder / "snapshots" / commit


def llava_config(tower: str, kind: str = "llava", norms: bool = False, inside: bool = False) -> dict[str, Any]:
    """`kind`: model_type."""
    return {
        "architectures": ["Share4VLlamaForCausalLM" if kind == "share4v" else "LlavaLlamaForCausalLM"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 64,
        "image_aspect_ratio": "pad",
        "initializer_range": 0.02,
        "intermediate_size": 96,
        "max_position_embeddings": 1024,
        "mm_hidden_size": CLIP_TOWER["hidden_size"],
        "mm_projector_type": "mlp2x_gelu_Norm" if norms else "mlp2x_gelu",
        "mm_use_im_patch_token": False,
        "mm_use_im_start_end": False,
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": -2,
        "mm_vision_tower": tower,
        "model_type": kind,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "num_key_value_heads": 1 if norms else 2,
        "pad_token_id": 0,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "transformers_version": "4.31.0",
        "unfreeze_mm_vision_tower": inside,
        "use_cache": True,
        "vocab_size": VOCABULARY,
        **({"rope_theta": 5000000.0} if norms else {}),
    }


def language_shapes(config: Mapping[str, Any], biases: bool = False) -> Shapes:
    """LLaMA's; with biases Qwen2's."""
    hidden, inner, rows = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    kv = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    shapes: Shapes = {"model.embed_tokens.weight": (rows, hidden)}
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        shapes |= {layer + f"{norm}_layernorm.weight": (hidden,) for norm in ("input", "post_attention")}
        shapes |= {layer + f"self_attn.{one}_proj.weight": (hidden, hidden) for one in "qo"}
        shapes |= {layer + f"self_attn.{one}_proj.weight": (kv, hidden) for one in "kv"}
        if biases:
            shapes |= {
                layer + f"self_attn.{one}_proj.bias": (rows,) for one, rows in zip("qkv", (hidden, kv, kv), strict=True)
            }
        shapes |= {layer + f"mlp.{one}_proj.weight": (inner, hidden) for one in ("gate", "up")}
        shapes[layer + "mlp.down_proj.weight"] = (hidden, inner)
    return shapes | {"model.norm.weight": (hidden,), "lm_head.weight": (rows, hidden)}


def llava_shapes(config: Mapping[str, Any], inside: bool, biases: bool = False) -> Shapes:
    """`inside`: whether the vision tower is among the weights."""
    hidden = config["hidden_size"]
    shapes = language_shapes(config, biases)
    first, second = {"0": (hidden, config["mm_hidden_size"])}, {"2": (hidden, hidden)}
    norms = {}
    if config["mm_projector_type"].endswith("_Norm"):
        second, norms = {"3": (hidden, hidden)}, {"1": hidden, "4": hidden}
    parts = _with_biases(first | second, norms)
    shapes |= {f"model.mm_projector.{name}": shape for name, shape in parts.items()}
    if inside:
        shapes |= {f"model.vision_tower.vision_tower.{name}": shape for name, shape in clip_shapes().items()}
    return shapes


def save_llava(
    folder: Path,
    seed: int = 0,
    kind: str = "llava",
    norms: bool = False,
    inside: bool = False,
    tower: str = "./clip",
    hub: Path | None = None,
) -> Path:
    """A LLaVA and the CLIP that it names (`tower_place`)."""
    save_clip(tower_place(folder, tower, hub))
    config = llava_config(tower, kind, norms, inside)
    write(folder, config, llava_shapes(config, inside), seed)
    write_tokenizer(folder)
    return folder


# ---- LLaVA-OneVision (lmms-lab), and the SigLIP that it sees by

SIGLIP_TOWER = {
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_size": 32,
    "image_size": 32,
    "intermediate_size": 48,
    "layer_norm_eps": 1e-6,
    "model_type": "siglip_vision_model",
    "num_attention_heads": 2,
    "num_hidden_layers": 3,
    "patch_size": 8,
}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


def siglip_shapes(whole: bool) -> Shapes:
    """Of the vision side. `whole`: with the last layer and the pooling, which LLaVA-OneVision drops."""
    width, inner, patch = SIGLIP_TOWER["hidden_size"], SIGLIP_TOWER["intermediate_size"], SIGLIP_TOWER["patch_size"]
    norms, linears = ["vision_model.post_layernorm"], {}
    for i in range(SIGLIP_TOWER["num_hidden_layers"] - (not whole)):
        layer = f"vision_model.encoder.layers.{i}."
        norms += [layer + "layer_norm1", layer + "layer_norm2"]
        linears |= {f"{layer}self_attn.{one}_proj": (width, width) for one in ("q", "k", "v", "out")}
        linears |= {layer + "mlp.fc1": (inner, width), layer + "mlp.fc2": (width, inner)}
    shapes = _with_biases(linears, dict.fromkeys(norms, width))
    shapes["vision_model.embeddings.patch_embedding.weight"] = (width, 3, patch, patch)
    shapes["vision_model.embeddings.patch_embedding.bias"] = (width,)
    shapes["vision_model.embeddings.position_embedding.weight"] = (16, width)
    if whole:
        head = "vision_model.head."
        shapes |= {head + "probe": (1, 1, width), head + "attention.in_proj_weight": (3 * width, width)}
        shapes[head + "attention.in_proj_bias"] = (3 * width,)
        parts = {head + "attention.out_proj": (width, width), head + "mlp.fc1": (inner, width)}
        shapes |= _with_biases({**parts, head + "mlp.fc2": (width, inner)}, {head + "layernorm": width})
    return shapes


def save_siglip(folder: Path, seed: int = 7) -> Path:
    """A whole SigLIP, of whose text side there is a little."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "siglip", "vision_config": SIGLIP_TOWER}))
    tensors = {name: values(name, shape, seed, 1.6).contiguous() for name, shape in siglip_shapes(True).items()}
    tensors |= {"logit_scale": torch.ones(1), "text_model.final_layer_norm.weight": torch.ones(32)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    size = {"size": {"height": 32, "width": 32}, "resample": 3, "image_processor_type": "SiglipImageProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps({**size, **HALF, "do_resize": True}))
    return folder


def write_qwen_tokenizer(folder: Path) -> None:
    """Qwen's kind: every byte a token, and three more."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": special[2], "pad_token": special[0]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def onevision_config(tower: str) -> dict[str, Any]:
    """As lmms-lab's, with squares of the tiny tower's side."""
    return {
        "architectures": ["LlavaQwenForCausalLM"],
        "bos_token_id": 0,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 64,
        "image_aspect_ratio": "anyres_max_9",
        "image_crop_resolution": None,
        "image_grid_pinpoints": [[32 * width, 32 * height] for width in range(1, 7) for height in range(1, 7)],
        "image_split_resolution": None,
        "initializer_range": 0.02,
        "intermediate_size": 96,
        "max_position_embeddings": 2048,
        "max_window_layers": 2,
        "mm_hidden_size": SIGLIP_TOWER["hidden_size"],
        "mm_patch_merge_type": "spatial_unpad",
        "mm_projector_type": "mlp2x_gelu",
        "mm_resampler_type": None,
        "mm_spatial_pool_mode": "bilinear",
        "mm_tunable_parts": "mm_vision_tower,mm_mlp_adapter,mm_language_model",
        "mm_use_im_patch_token": False,
        "mm_use_im_start_end": False,
        "mm_vision_select_feature": "patch",
        "mm_vision_select_layer": -2,
        "mm_vision_tower": tower,
        "model_type": "llava",
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "num_key_value_heads": 1,
        "rms_norm_eps": 1e-6,
        "rope_scaling": None,
        "rope_theta": 1000000.0,
        "sliding_window": 2048,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.40.0.dev0",
        "use_cache": True,
        "use_mm_proj": True,
        "use_sliding_window": False,
        "vision_tower_pretrained": None,
        "vocab_size": VOCABULARY,
    }


def onevision_shapes(config: Mapping[str, Any], inside: bool) -> Shapes:
    """`inside`: whether the vision tower is among the weights, as it is where it was trained, too."""
    shapes = llava_shapes(config, inside=False, biases=True)
    shapes["model.image_newline"] = (config["hidden_size"],)
    if inside:
        shapes |= {f"model.vision_tower.vision_tower.{name}": shape for name, shape in siglip_shapes(False).items()}
    return shapes


def save_onevision(
    folder: Path, seed: int = 0, inside: bool = True, tower: str = "./siglip", hub: Path | None = None
) -> Path:
    """A LLaVA-OneVision and the SigLIP that it names (`tower_place`)."""
    save_siglip(tower_place(folder, tower, hub))
    config = onevision_config(tower)
    write(folder, config, onevision_shapes(config, inside), seed)
    write_qwen_tokenizer(folder)
    return folder


AUTHORS: dict[str, Callable[..., Path]] = {
    "cogvlm": save_cogvlm,
    "cogvlm2": partial(save_cogvlm, second=True),
    "mplug-owl2": save_mplug_owl2,
    "llava": save_llava,
    "llava-inside": partial(save_llava, inside=True),
    "sharegpt4v": partial(save_llava, kind="share4v"),
    "onevision": save_onevision,
    "onevision-frozen": partial(save_onevision, inside=False),
    "yi-vl": partial(save_llava, norms=True, tower="./vit/clip-of-yi-vl"),
}
