"""Makes the references of LLaVA and its kin: what their authors' code answers with the tiny models of
tests/support/authors.py.

Their code is no part of this project, and is as it is. Made with Python 3.11, torch 2.13.0 and these, the folder of
their code on PYTHONPATH:

    llava, llava-inside           haotian-liu/LLaVA at c121f0432da27facab705978f83c4ada465e46fd; transformers 4.37.2
    sharegpt4v                    share4v of ShareGPT4Omni/ShareGPT4V at b6f70e9ac74230e84d0f49fa9f9869eaa7d1c1a0;
                                  transformers 4.37.2
    yi-vl                         VL of 01-ai/Yi at f73194cc16e82df438bc01240b8e4b622209f3eb; transformers 4.37.2
    onevision, onevision-frozen   LLaVA-VL/LLaVA-NeXT at df179663ae8b83207df100a1f7af24caec633ff9; transformers 4.44.2

    PYTHONPATH=THEIRS python -O tests/engines/models/references/make_llava.py NAME... [float32|bfloat16]

LLaVA-OneVision's code has the sizes of one SigLIP written in it, and an assertion of its 729 patches: `tiny_siglip`
puts those of the tiny one there, and -O takes the assertion out.
"""

from __future__ import annotations

import importlib
import io
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[4]))
from tests.support import authors
from tests.support.pictures import picture, wide


@dataclass(frozen=True)
class Theirs:
    """Where what is in one repository, and how its prompts are put."""

    package: str
    model: str
    classes: tuple[str, str]
    talk: str
    image: str = "<image>"
    constants: str = "constants"


LLAVA = Theirs("llava", "model.language_model.llava_llama", ("LlavaConfig", "LlavaLlamaForCausalLM"), "vicuna_v1")
ONEVISION = Theirs("llava", "model.language_model.llava_qwen", ("LlavaQwenConfig", "LlavaQwenForCausalLM"), "qwen_1_5")
KINDS = {
    "llava": LLAVA,
    "llava-inside": LLAVA,
    "sharegpt4v": Theirs(
        "share4v", "model.language_model.share4v_llama", ("Share4VConfig", "Share4VLlamaForCausalLM"), "vicuna_v1"
    ),
    "yi-vl": Theirs(
        "llava",
        "model.llava_llama",
        ("LlavaConfig", "LlavaLlamaForCausalLM"),
        "mm_default",
        "<image_placeholder>",
        "model.constants",
    ),
    "onevision": ONEVISION,
    "onevision-frozen": ONEVISION,
}


def tiny_siglip() -> None:
    """Gives their SigLIP the sizes of ours, in place of those of its file."""
    code = importlib.import_module("llava.model.multimodal_encoder.siglip_encoder")
    sizes = {key: value for key, value in authors.SIGLIP_TOWER.items() if key != "model_type"}
    side = sizes["image_size"]
    code.SigLipVisionConfig = partial(code.SigLipVisionConfig, **sizes)
    code.SigLipImageProcessor = partial(
        code.SigLipImageProcessor, size=(side, side), crop_size={"height": side, "width": side}
    )
    code.SigLipVisionModel = TinySiglip(code)


class TinySiglip:
    """Their class, made of a folder's weights by `from_pretrained`."""

    def __init__(self, code: Any) -> None:
        self.make, self.config = code.SigLipVisionModel, code.SigLipVisionConfig

    def from_pretrained(self, folder: str, **options: Any) -> Any:
        from safetensors.torch import load_file

        model = self.make(self.config())
        tensors = load_file(Path(folder, "model.safetensors"))
        model.load_state_dict({name: tensor for name, tensor in tensors.items() if name.startswith("vision_model.")})
        return model


def load(name: str, folder: Path, dtype: torch.dtype) -> Any:
    """Their model, in this dtype, of a folder's weights, and its vision tower."""
    from safetensors.torch import load_file

    theirs = KINDS[name]
    code = importlib.import_module(f"{theirs.package}.{theirs.model}")
    if theirs is ONEVISION:
        builder = importlib.import_module("llava.model.multimodal_encoder.builder")
        builder.os.path.exists = lambda place: False  # else any folder is taken for a CLIP
    if name == "yi-vl":
        importlib.import_module("llava.model.constants").key_info["model_path"] = str(folder)
    settings = json.loads((folder / "config.json").read_text())
    settings["mm_vision_tower"] = str(folder / settings["mm_vision_tower"])
    config, model = (getattr(code, one) for one in theirs.classes)
    del settings["architectures"], settings["model_type"]
    model = model(config(**settings))
    tower = model.get_vision_tower()
    if not tower.is_loaded:
        tower.load_model()
    missing, unexpected = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    assert_all_loaded(missing, unexpected)
    return model.to(dtype).eval()


def assert_all_loaded(missing: list[str], unexpected: list[str]) -> None:
    """But the tower, which has come from its own folder; no `assert`, which -O takes out."""
    left = [name for name in missing if not name.startswith("model.vision_tower.")] + list(unexpected)
    if left:
        raise ValueError(f"not as in their code: {left}")


@torch.no_grad()
def answer(name: str, model: Any, tokenizer: Any, question: str, images: Sequence[bytes]) -> dict[str, Any]:
    """The prompt's token ids, the greedy tokens, and their log-probabilities."""
    theirs = KINDS[name]
    tools = importlib.import_module(f"{theirs.package}.mm_utils")
    talk = importlib.import_module(f"{theirs.package}.conversation").conv_templates[theirs.talk].copy()
    marker = importlib.import_module(f"{theirs.package}.{theirs.constants}").IMAGE_TOKEN_INDEX
    talk.append_message(talk.roles[0], f"{theirs.image}\n" * len(images) + question)
    talk.append_message(talk.roles[1], None)
    ids = tools.tokenizer_image_token(talk.get_prompt(), tokenizer, marker, return_tensors="pt")[None]
    seen = {}
    if images:
        pictures = [Image.open(io.BytesIO(image)).convert("RGB") for image in images]
        processor = model.get_vision_tower().image_processor
        if name == "yi-vl":  # where whoever asks does it
            mean = tuple(int(255 * part) for part in processor.image_mean)
            pictures = [tools.expand2square(one, mean) for one in pictures]
        pixels = tools.process_images(pictures, processor, model.config)
        seen["images"] = [one.to(model.dtype) for one in pixels] if theirs is ONEVISION else pixels.to(model.dtype)
        if theirs in (LLAVA, ONEVISION):
            seen["image_sizes"] = [one.size for one in pictures]
    output = model.generate(
        ids,
        **seen,
        do_sample=False,
        max_new_tokens=authors.TOKENS,
        eos_token_id=2,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_scores=True,
    )
    tokens = output.sequences[0, -len(output.scores) :].tolist()
    rows = torch.stack(output.scores)[:, 0].float().log_softmax(-1)
    return {
        "question": question,
        "images": len(images),
        "text_ids": [int(i) for i in ids[0] if i != marker],
        "tokens": tokens,
        "logprobs": [round(float(row[token]), 6) for row, token in zip(rows, tokens, strict=True)],
    }


def make(name: str, dtype: str) -> None:
    import transformers
    from transformers import PreTrainedTokenizerFast

    found: dict[str, Any] = {"made_by": f"torch {torch.__version__}, transformers {transformers.__version__}, {dtype}"}
    with tempfile.TemporaryDirectory() as root:
        base, donor, merged = (Path(root, one) for one in ("base", "donor", "merged"))
        authors.AUTHORS[name](base)
        authors.AUTHORS[name](donor, seed=1)
        authors.write_merged(merged, base, donor)
        settings = json.loads((base / "tokenizer_config.json").read_text())
        special = {key: settings[key] for key in ("bos_token", "eos_token", "pad_token") if key in settings}
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=f"{base}/tokenizer.json", **special)
        for kind, folder in (("answers", base), ("merged", merged)):
            model = load(name, folder, getattr(torch, dtype))
            found[kind] = [
                answer(name, model, tokenizer, question, [wide(picture(i))] if image else [])
                for i, (question, image) in enumerate(authors.ASKED)
            ]
            if kind == "answers":
                found["several"] = [answer(name, model, tokenizer, authors.COMPARED, [wide(picture(7)), picture(8)])]
    file = Path(__file__).with_name(f"{name}.json" if dtype == "float32" else f"{name}-{dtype}.json")
    file.write_text(json.dumps(found) + "\n")
    print(file, [len(one["tokens"]) for one in found["answers"]])


def main() -> None:
    dtype = next((one for one in sys.argv[1:] if hasattr(torch, one)), "float32")
    names = [one for one in sys.argv[1:] if one in KINDS]
    if any(KINDS[name] is ONEVISION for name in names):
        tiny_siglip()
    for name in names:
        make(name, dtype)


if __name__ == "__main__":
    main()
