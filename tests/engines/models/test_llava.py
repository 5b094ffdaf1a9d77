"""LLaVA and its kin in their authors' layouts: what is put to them, and where their vision towers may lie."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from adamms.checkpoint import open_checkpoint
from adamms.engines.chat import Chat
from adamms.engines.config import EngineConfig
from adamms.engines.engine import EngineSpec
from adamms.engines.loadable import LoadableFolder
from adamms.engines.memory import ModelSizes
from adamms.engines.models.vision_tower import tower_folder
from adamms.errors import UserError
from adamms.mapping import plan_merge
from adamms.mapping.config import MappingConfig
from adamms.prompts.prompt import Prompt
from tests.support import authors
from tests.support.pictures import picture

VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the user's questions."
)
QWEN = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<image>\nWhat?<|im_end|>\n"
PUT = {
    "llava": f"{VICUNA} USER: <image>\nWhat? ASSISTANT:",
    "sharegpt4v": f"{VICUNA} USER: <image>\nWhat? ASSISTANT:",
    "onevision": f"{QWEN}<|im_start|>assistant\n",
}


def spec_of(folder: Path) -> EngineSpec:
    model = open_checkpoint(str(folder))
    return EngineSpec(plan_merge(model, model, MappingConfig()), EngineConfig())


def change(folder: Path, **settings: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **settings}))


def processor_of(folder: Path) -> Any:
    loadable = LoadableFolder(open_checkpoint(str(folder)), spec_of(folder))
    return Chat(loadable.path).processor


@pytest.mark.parametrize("name", PUT)
def test_a_prompt_is_put_as_their_code_puts_it(name: str, tmp_path: Path) -> None:
    folder = authors.AUTHORS[name](tmp_path / "base")
    loadable = LoadableFolder(open_checkpoint(str(folder)), spec_of(folder))
    assert Chat(loadable.path).text(Prompt("1", "What?", (picture(0),))) == PUT[name]


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        ((32, 32), 4 * (4 + 1)),  # one square
        ((50, 36), 6 * (8 + 1)),  # two by two, with a row of padding at either edge
        ((150, 20), 2 * (20 + 1)),  # a row of five
        ((192, 192), 12 * (12 + 1)),  # six by six, scaled down to nine squares' features
    ],
)
def test_onevision_sees_a_picture_whole_and_in_squares(size: tuple[int, int], seen: int, tmp_path: Path) -> None:
    """A square has 4 x 4 tokens; each row of them ends with a newline."""
    assert processor_of(authors.save_onevision(tmp_path / "base")).tokens_of(*size) == 16 + seen


def test_no_picture_has_more_tokens_than_the_largest(tmp_path: Path) -> None:
    processor = processor_of(authors.save_onevision(tmp_path / "base"))
    most = processor.tokens_of(*processor.largest_image)
    assert most == max(processor.tokens_of(width, height) for width in range(1, 260, 3) for height in range(1, 260, 3))


@pytest.mark.parametrize("written", ["(1x1),...,(2x3)", "[[32, 32], [32, 64], [32, 96], [64, 32], [64, 64], [64, 96]]"])
def test_the_grids_of_onevision_may_be_written_as_text(written: str, tmp_path: Path) -> None:
    folder = authors.save_onevision(tmp_path / "base")
    change(folder, image_grid_pinpoints=written)
    grid = processor_of(folder).image_processor.image_grid_pinpoints
    assert grid == [[32, 32], [64, 32], [96, 32], [32, 64], [64, 64], [96, 64]]  # [height, width]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("image_aspect_ratio", "anyres"), ("mm_patch_merge_type", "flat"), ("mm_projector_type", "linear")],
)
def test_another_way_of_cutting_pictures_is_refused(setting: str, value: str, tmp_path: Path) -> None:
    folder = authors.save_onevision(tmp_path / "base")
    change(folder, **{setting: value})
    with pytest.raises(UserError, match=rf"{setting} '{value}' is not served as LLaVA-OneVision; take one"):
        processor_of(folder)


@pytest.mark.parametrize("name", ["llava", "onevision-frozen"])
def test_a_tower_in_a_second_repository_counts_in_the_memory_needed(name: str, tmp_path: Path) -> None:
    folder = authors.AUTHORS[name](tmp_path / "base")
    spec = spec_of(folder)
    model = open_checkpoint(str(folder))
    sizes = ModelSizes.of(spec.plan, model, [model], EngineConfig(dtype="float32"), "cpu")
    shapes = authors.clip_shapes() if name == "llava" else authors.siglip_shapes(whole=True)
    beside = sum(math.prod(shape) for shape in shapes.values())
    assert sizes.weights == 4 * (sum(info.elements for info in model.tensors.values()) + beside)


def test_a_tower_among_the_weights_is_counted_once(tmp_path: Path) -> None:
    folder = authors.save_onevision(tmp_path / "base")
    model = open_checkpoint(str(folder))
    sizes = ModelSizes.of(spec_of(folder).plan, model, [model], EngineConfig(dtype="float32"), "cpu")
    assert sizes.weights == 4 * sum(info.elements for info in model.tensors.values())


@pytest.mark.parametrize(
    "place", ["http://127.0.0.1:9/clip", "ABSOLUTE", "../elsewhere", "~/clip", "linked", "./nowhere", ".ssh/clip"]
)
def test_a_tower_is_looked_for_in_the_checkpoint_and_on_the_hub_only(place: str, tmp_path: Path) -> None:
    folder = authors.AUTHORS["llava"](tmp_path / "base")
    authors.save_clip(tmp_path / "elsewhere")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    place = str(tmp_path / "elsewhere") if place == "ABSOLUTE" else place
    change(folder, mm_vision_tower=place)
    with pytest.raises(UserError, match=rf"names the vision tower {re.escape(place)}, which is neither a folder"):
        tower_folder(open_checkpoint(str(folder)), weights=True)


def test_a_tower_without_weights_is_told_of_before_an_engine_starts(tmp_path: Path) -> None:
    folder = authors.AUTHORS["llava"](tmp_path / "base")
    (folder / "clip" / "pytorch_model.bin").unlink()
    LoadableFolder(open_checkpoint(str(folder)), spec_of(folder), weights=False)
    with pytest.raises(UserError, match=r"base/clip: no .*pytorch_model.bin"):
        LoadableFolder(open_checkpoint(str(folder)), spec_of(folder))


def test_a_folder_of_a_tower_s_name_is_not_taken_for_the_hub_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = authors.AUTHORS["llava"](tmp_path / "base")
    change(folder, mm_vision_tower="some/clip")
    authors.save_clip(tmp_path / "some/clip")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="some/clip: no such folder here, and the Hub did not give it"):
        tower_folder(open_checkpoint(str(folder)), weights=True)
