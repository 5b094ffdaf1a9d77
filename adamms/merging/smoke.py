"""The smoke test of a merged checkpoint: it loads in transformers and answers one question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

QUESTION = "What do you see?"
NEW_TOKENS = 16


def ask(folder: Path, trust_remote_code: bool = False) -> str:
    """The model's answer to one question, about a small picture if it takes pictures.

    Raises:
        Exception: whatever transformers raises where the folder does not load or does not generate.
    """
    import torch
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
    auto = _auto_class(transformers, config)
    model, report = auto.from_pretrained(
        folder, dtype="auto", trust_remote_code=trust_remote_code, output_loading_info=True
    )
    if report["missing_keys"] or report.get("mismatched_keys"):
        raise RuntimeError(f"{folder}: loads without {sorted(report['missing_keys'])[:3]}")
    inputs = _inputs(transformers, folder, config, trust_remote_code)
    with torch.inference_mode():
        tokens = model.eval().generate(**inputs["model"], max_new_tokens=NEW_TOKENS, do_sample=False)
    new = tokens[0, inputs["model"]["input_ids"].shape[1] :]
    decoder = inputs["decoder"]
    return str(decoder.decode(new, skip_special_tokens=True)) if decoder is not None else str(new.tolist())


def _auto_class(transformers: Any, config: Any) -> Any:
    """The auto class that loads the model: for images and text, or for text alone."""
    remote = getattr(config, "auto_map", None) or {}
    multimodal = type(config) in transformers.AutoModelForImageTextToText._model_mapping
    if multimodal or "AutoModelForImageTextToText" in remote:
        return transformers.AutoModelForImageTextToText
    return transformers.AutoModelForCausalLM


def _inputs(transformers: Any, folder: Path, config: Any, trust_remote_code: bool) -> dict[str, Any]:
    """The arguments of `generate`, and what decodes its answer; without a tokenizer, the prompt is three token ids."""
    import torch

    if (folder / "preprocessor_config.json").is_file() or (folder / "processor_config.json").is_file():
        processor = transformers.AutoProcessor.from_pretrained(folder, trust_remote_code=trust_remote_code)
        return {"model": _with_picture(processor), "decoder": getattr(processor, "tokenizer", processor)}
    if any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
        return {"model": dict(tokenizer(QUESTION, return_tensors="pt")), "decoder": tokenizer}
    return {"model": {"input_ids": torch.tensor([[1, 2, 3]])}, "decoder": None}


def _with_picture(processor: Any) -> dict[str, Any]:
    from PIL import Image

    picture = Image.new("RGB", (56, 56), "white")
    picture.paste("red", (14, 14, 42, 42))
    if getattr(processor, "chat_template", None):
        content = [{"type": "image", "image": picture}, {"type": "text", "text": QUESTION}]
        return dict(
            processor.apply_chat_template(
                [{"role": "user", "content": content}],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            )
        )
    image_token = getattr(processor, "image_token", "<image>")
    return dict(processor(text=f"{image_token}\n{QUESTION}", images=picture, return_tensors="pt"))
