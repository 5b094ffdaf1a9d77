"""The smoke test of a merged checkpoint: it loads in transformers and answers one question."""

from pathlib import Path
from typing import Any

QUESTION = "What do you see?"
NEW_TOKENS = 16
LOCAL = {"trust_remote_code": False}


def ask(folder: Path) -> str:
    """The model's answer to one question, about a small picture if it takes pictures.

    Raises:
        Exception: whatever transformers raises where the folder does not load or does not generate.
    """
    import torch
    import transformers
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    config = transformers.AutoConfig.from_pretrained(folder, **LOCAL)
    auto: Any = transformers.AutoModelForImageTextToText
    if type(config) not in auto._model_mapping:
        auto = transformers.AutoModelForCausalLM
    model, report = auto.from_pretrained(folder, dtype="auto", output_loading_info=True, **LOCAL)
    if report["missing_keys"] or report.get("mismatched_keys"):
        raise RuntimeError(f"{folder}: loads without {sorted(report['missing_keys'])[:3]}")
    inputs, decoder = _inputs(folder)
    with torch.inference_mode():
        tokens = model.eval().generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
    new = tokens[0, inputs["input_ids"].shape[1] :]
    return str(decoder.decode(new, skip_special_tokens=True)) if decoder is not None else str(new.tolist())


def _inputs(folder: Path) -> tuple[dict[str, Any], Any]:
    """The arguments of `generate`, and what decodes its answer; without a tokenizer, the prompt is three token ids."""
    import torch
    import transformers

    if (folder / "preprocessor_config.json").is_file() or (folder / "processor_config.json").is_file():
        processor = transformers.AutoProcessor.from_pretrained(folder, **LOCAL)
        return _with_picture(processor), getattr(processor, "tokenizer", processor)
    if any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **LOCAL)
        return dict(tokenizer(QUESTION, return_tensors="pt")), tokenizer
    return {"input_ids": torch.tensor([[1, 2, 3]])}, None


def _with_picture(processor: Any) -> dict[str, Any]:
    from PIL import Image

    picture = Image.new("RGB", (56, 56), "white")
    picture.paste("red", (14, 14, 42, 42))
    if not getattr(processor, "chat_template", None):
        image_token = getattr(processor, "image_token", "<image>")
        return dict(processor(text=f"{image_token}\n{QUESTION}", images=picture, return_tensors="pt"))
    content = [{"type": "image", "image": picture}, {"type": "text", "text": QUESTION}]
    options = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
    return dict(processor.apply_chat_template([{"role": "user", "content": content}], **options))
