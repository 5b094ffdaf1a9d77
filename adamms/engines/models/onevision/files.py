"""Files for LLaVA-OneVision in the layout of its authors' code (lmms-lab)."""

from __future__ import annotations

import ast
import re
from typing import Any

from adamms.checkpoint import Checkpoint
from adamms.checkpoint.json_file import read_json
from adamms.engines.models.files import Files, as_text
from adamms.engines.models.llava.files import common, language_config
from adamms.engines.models.vision_tower import tower_config, tower_folder
from adamms.errors import UserError
from adamms.mapping.numbers import LanguageModelNumbers

_SERVED = {
    "mm_projector_type": "mlp2x_gelu",
    "mm_patch_merge_type": "spatial_unpad",
    "image_aspect_ratio": "anyres_max_9",  # vLLM's class knows no other
}
_RANGE = re.compile(r"\((\d+)x(\d+)\)")


def onevision_files(model: Checkpoint, numbers: LanguageModelNumbers) -> Files:
    """As with LLaVA, sizes and pixels are of the tower's repository; the tower is usually among the weights."""
    others = [f"{key} {model.config.get(key)!r}" for key, value in _SERVED.items() if model.config.get(key) != value]
    folder = tower_folder(model)
    vision, pixels = tower_config(folder), read_json(folder / "preprocessor_config.json")
    others += [] if vision["model_type"] == "siglip_vision_model" else [f"a tower of {vision['model_type']}"]
    if others:
        raise UserError(
            f"{model.folder}/config.json: {' and '.join(others)} is not served as LLaVA-OneVision; take one of its "
            "checkpoints, such as lmms-lab/llava-onevision-qwen2-7b-si"
        )
    side = int(vision["image_size"])
    grid = _resolutions(model.config["image_grid_pinpoints"], side)
    config = {
        "model_type": "original_llava_onevision",
        "architectures": ["OriginalOnevisionForConditionalGeneration"],
        "text_config": language_config(model, numbers, "qwen2", "Qwen2ForCausalLM"),
        "vision_config": vision,
        "vision_feature_layer": -2,  # whatever the config says: their code drops the last one
        "image_grid_pinpoints": grid,
        **common(model, numbers, folder),
    }
    pixels = {**pixels, "image_processor_type": "LlavaOnevisionImageProcessor", "image_grid_pinpoints": grid}
    processor = {"processor_class": "OriginalOnevisionProcessor", "image_tokens": (side // vision["patch_size"]) ** 2}
    return {
        "config.json": as_text(config),
        "preprocessor_config.json": as_text(pixels),
        "processor_config.json": as_text(processor),
    }


def _resolutions(written: Any, side: int) -> list[list[int]]:
    """[height, width] of what pictures are fitted into, from the authors' [width, height], or a range like
    (1x1),...,(6x6) in squares of the tower's side, either perhaps within a text."""
    if isinstance(written, str) and (ends := _RANGE.findall(written)):
        (least_width, least_height), (most_width, most_height) = (map(int, pair) for pair in (ends[0], ends[-1]))
        widths, heights = range(least_width, most_width + 1), range(least_height, most_height + 1)
        return [[height * side, width * side] for width in widths for height in heights]
    pairs = ast.literal_eval(written) if isinstance(written, str) else written
    return [[int(height), int(width)] for width, height in pairs]
