"""LLaVA and its kin in the layout of LLaVA's own code, against transformers' LLaVA with the same weights renamed."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

pytest.importorskip("vllm")

from adamms.checkpoint import open_checkpoint
from adamms.engines.models.families import tower_folder
from adamms.engines.vllm.engine import VllmEngine
from adamms.errors import UserError
from adamms.mapping import PlannedPair
from adamms.merging.recipe import Recipe
from adamms.merging.to_disk import merge_to_disk
from adamms.prompts.prompt import Prompt
from tests.engines.models.test_authors import Pair, assert_as_theirs
from tests.engines.vllm.test_engine import start
from tests.support import authors
from tests.support.pictures import picture

NAMES = ["llava", "llava-inside", "sharegpt4v", "yi-vl"]
SLOW = dict.fromkeys(["llava-inside", "sharegpt4v"], pytest.mark.slow)


def wide(encoded: bytes) -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(encoded)).resize((50, 36)).save(out, "PNG")
    return out.getvalue()


PROMPTS = [
    Prompt(str(i), question, (wide(picture(i)),) if image else ()) for i, (question, image) in enumerate(authors.ASKED)
]
"""Pictures that are no squares."""


@pytest.fixture(scope="module", params=[pytest.param(name, marks=SLOW.get(name, ())) for name in NAMES])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return Pair.write(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def engine(pair: Pair) -> VllmEngine:
    return start(pair.spec())


class NormedProjector(torch.nn.Sequential):
    def __init__(self, width: int, hidden: int) -> None:
        nn = torch.nn
        first, second = nn.Linear(width, hidden), nn.Linear(hidden, hidden)
        super().__init__(first, nn.LayerNorm(hidden), nn.GELU(), second, nn.LayerNorm(hidden))


def renamed(folder: Path) -> Any:
    """transformers' LLaVA in float32 with a checkpoint's weights under its names."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    own = json.loads((folder / "config.json").read_text())
    rope = {"rope_type": "default", "rope_theta": own.get("rope_theta", 10000.0)}
    sizes = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")
    keys = (*sizes, "num_attention_heads", "num_key_value_heads")
    text = LlamaConfig(**{key: own[key] for key in keys}, rms_norm_eps=1e-5, rope_parameters=rope)
    config = LlavaConfig(
        text_config=text.to_dict(),
        vision_config=CLIPVisionConfig(**authors.CLIP_TOWER).to_dict(),
        image_token_index=258,
        vision_feature_layer=-2,
        tie_word_embeddings=False,
    )
    model = LlavaForConditionalGeneration(config)
    tensors = load_file(folder / "model.safetensors")
    inside = {name: tensor for name, tensor in tensors.items() if ".vision_tower." in name}
    if inside:
        tower = {name.removeprefix("model.vision_tower.vision_tower."): tensor for name, tensor in inside.items()}
    else:
        tower = torch.load(folder / own["mm_vision_tower"] / "pytorch_model.bin", weights_only=True)
    hidden = own["hidden_size"]
    projector = model.model.multi_modal_projector
    names = {"0": "linear_1", "2": "linear_2"}
    if "model.mm_projector.4.weight" in tensors:
        projector = model.model.multi_modal_projector = NormedProjector(32, hidden)
        names = {str(i): str(i) for i in range(5)}
    start_of = "model.mm_projector."
    parts = {name.removeprefix(start_of): tensor for name, tensor in tensors.items() if name.startswith(start_of)}
    projector.load_state_dict({f"{names[n[0]]}{n[1:]}": tensor.float() for n, tensor in parts.items()})
    language = {name: tensor for name, tensor in tensors.items() if not name.startswith(authors.TOWERS)}
    model.lm_head.weight.data.copy_(language.pop("lm_head.weight"))
    model.model.language_model.load_state_dict({n.removeprefix("model."): t.float() for n, t in language.items()})
    short = {name.removeprefix("vision_model."): tensor.float() for name, tensor in tower.items()}
    state = model.model.vision_tower.state_dict()
    model.model.vision_tower.load_state_dict({name: short[name.removeprefix("vision_model.")] for name in state})
    return model.float().eval()


def pixels(encoded: bytes) -> torch.Tensor:
    """[1, 3, 32, 32]: padded to a square with CLIP's mean colour, then resized and normalised."""
    image = Image.open(io.BytesIO(encoded)).convert("RGB")
    side = max(image.size)
    square = Image.new("RGB", (side, side), (122, 116, 104))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    values = np.asarray(square.resize((32, 32), Image.Resampling.BICUBIC), dtype=np.float64) / 255
    normal = (values - authors.CLIP["image_mean"]) / authors.CLIP["image_std"]
    return torch.from_numpy(normal).permute(2, 0, 1)[None].float()


@torch.no_grad()
def answers_of(model: Any, engine: VllmEngine) -> list[dict[str, Any]]:
    found = []
    for prompt in PROMPTS:
        ids = engine._chat.inputs([prompt])["input_ids"]
        images = {"pixel_values": pixels(prompt.images[0])} if prompt.images else {}
        options = {"do_sample": False, "max_new_tokens": authors.TOKENS, "eos_token_id": 2, "pad_token_id": 0}
        output = model.generate(input_ids=ids, **images, **options, output_logits=True, return_dict_in_generate=True)
        tokens = output.sequences[0, ids.shape[1] :].tolist()
        rows = torch.stack(output.logits)[:, 0].log_softmax(-1)
        logprobs = [float(row[token]) for row, token in zip(rows, tokens, strict=True)]
        found.append({"question": prompt.text, "tokens": tokens, "logprobs": logprobs})
    return found


def test_answers_are_those_of_the_weights_renamed(pair: Pair, engine: VllmEngine, tmp_path: Path) -> None:
    assert_as_theirs(engine.generate(PROMPTS), answers_of(renamed(pair.base), engine))
    engine.move(Recipe(alpha=authors.ALPHA))
    authors.write_merged(tmp_path / "theirs", pair.base, pair.donor)
    merged = answers_of(renamed(tmp_path / "theirs"), engine)
    assert_as_theirs(engine.generate(PROMPTS), merged)
    plan = pair.spec().plan
    models = PlannedPair(plan, open_checkpoint(str(pair.base)), open_checkpoint(str(pair.donor)))
    merge_to_disk(models, Recipe(alpha=authors.ALPHA), tmp_path / "ours")
    assert json.loads((tmp_path / "ours/config.json").read_text()) == models.base.config
    exported = start(Pair(pair.name, tmp_path / "ours", pair.donor).spec())
    assert_as_theirs(exported.generate(PROMPTS), merged)


def test_a_prompt_is_put_as_their_code_puts_it(pair: Pair, engine: VllmEngine) -> None:
    text = engine._chat.text(PROMPTS[0])
    if pair.name == "yi-vl":
        assert text.startswith("This is a chat between an inquisitive human and an AI assistant. Assume")
        assert text.endswith("礼貌的回答。\n\n### Human: <image>\nWhat is this? 0\n### Assistant:")
    else:
        system = "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
        system += "detailed, and polite answers to the user's questions."
        assert text == f"{system} USER: <image>\nWhat is this? 0 ASSISTANT:"


def test_a_tower_on_some_server_is_not_fetched(tmp_path: Path) -> None:
    folder = authors.AUTHORS["llava"](tmp_path / "base")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "mm_vision_tower": "http://127.0.0.1:9/clip"}))
    with pytest.raises(UserError, match=r"names the vision tower http://127.0.0.1:9/clip, an address, which is not"):
        tower_folder(open_checkpoint(str(folder)), weights=True)
