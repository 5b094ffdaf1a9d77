"""What does not correspond is refused before anything is read, all differences together; what may differ is noted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.commands.settings import MapSettings
from adamms.config import load_settings
from adamms.errors import UserError
from adamms.mapping import MergePlan, plan_merge
from adamms.mapping.architecture import named_architecture
from adamms.mapping.config import MappingConfig
from adamms.mapping.numbers import LanguageModelNumbers
from tests.support import checkpoints as c


def model(
    folder: Path, sizes: c.Sizes = c.GQA, dtype: torch.dtype = torch.float32, seed: int = 1, **config: Any
) -> Checkpoint:
    weights = c.tuned(c.language_model(sizes=sizes, dtype=dtype), seed)
    written = {**sizes.config, "model_type": "qwen2", **config}
    written = {key: value for key, value in written.items() if value is not None}
    return open_checkpoint(str(c.write_checkpoint(folder, c.llama_names()(weights, sizes), written, c.words(37))))


def plan(tmp_path: Path, config: MappingConfig | None = None, **donor: Any) -> MergePlan:
    return plan_merge(model(tmp_path / "a"), model(tmp_path / "b", **donor), config or MappingConfig())


def test_all_differences_are_told_at_once_with_both_configs(tmp_path: Path) -> None:
    other = c.Sizes(layers=3, hidden=20, heads=6, kv_heads=3, head_dim=4, intermediate=9)
    with pytest.raises(UserError) as found:
        plan(tmp_path, sizes=other, rope_theta=5e5, rms_norm_eps=1e-6)
    message = str(found.value)
    for words in (
        "num_hidden_layers 2 != 3", "hidden_size 24 != 20", "num_attention_heads 4 != 6", "num_key_value_heads 2 != 3",
        "head_dim 6 != 4", "intermediate_size 10 != 9", "rope_theta 10000 != 500000",
        "(besides, rms_norm_eps 1e-05 != 1e-06", str(tmp_path / "a" / "config.json"),
        str(tmp_path / "b" / "config.json"),
    ):  # fmt: skip
        assert words in message
    assert "\n" not in message


def test_what_may_differ_is_a_note(tmp_path: Path) -> None:
    found = plan(tmp_path, rms_norm_eps=1e-6, dtype=torch.bfloat16)
    assert "rms_norm_eps 1e-05 != 1e-06: the result keeps the base's" in found.notes
    assert "dtypes F32 != BF16: merged in float32 and rounded once, to the base's" in found.notes


def test_rope(tmp_path: Path) -> None:
    stretched = {"rope_scaling": {"type": "linear", "factor": 4.0}}
    with pytest.raises(UserError, match=r"rope_scaling none != linear x4.0 .mapping.rope_check=warn merges anyway"):
        plan(tmp_path, **stretched)
    warned = load_settings(MapSettings, None, ["mapping.rope_check=warn"], {"base": "a", "donor": "b"}).mapping
    notes = plan(tmp_path, warned, **stretched, rope_theta=1e6).notes
    assert "rope_theta 10000 != 1e+06, rope_scaling none != linear x4.0: the result keeps the base's positions" in notes
    off = load_settings(MapSettings, None, ["mapping.rope_check=off"], {"base": "a", "donor": "b"}).mapping
    assert len(plan(tmp_path, off, **stretched).notes) == 1


def test_mrope_is_plain_rope_for_text(tmp_path: Path) -> None:
    notes = plan(tmp_path, rope_scaling={"type": "mrope", "mrope_section": [1, 1, 1]}).notes
    assert any("mrope" in note for note in notes)
    in_transformers_5 = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 1]}
    assert plan(tmp_path, rope_theta=None, rope_parameters=in_transformers_5).notes == notes


def test_off_is_a_word_in_files_too(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("base: a\ndonor: b\nmapping:\n  ancestry_check: off\n")
    assert load_settings(MapSettings, tmp_path / "a.yaml", []).mapping.ancestry_check == "off"
    with pytest.raises(UserError, match="ancestry_check"):
        load_settings(MapSettings, tmp_path / "a.yaml", ["mapping.ancestry_check=maybe"])


def test_weights_that_do_not_belong_to_the_config(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'model.layers.0.self_attn.k_proj.weight' has 12 rows.* make 24"):
        plan(tmp_path, num_key_value_heads=4)
    with pytest.raises(UserError, match="the config says 5 layers, the weights have 2"):
        plan(tmp_path, num_hidden_layers=5)


def test_shapes_that_configs_do_not_tell(tmp_path: Path) -> None:
    base, donor = model(tmp_path / "a"), model(tmp_path / "b")
    named = {**c.read_all(donor), "model.norm.weight": torch.zeros(7), "lm_head.weight": torch.zeros(37, 5)}
    donor = open_checkpoint(str(c.write_checkpoint(tmp_path / "b", named, donor.config, c.words(37))))
    with pytest.raises(UserError) as found:
        plan_merge(base, donor, MappingConfig())
    assert r"'model.norm.weight' [24] != 'model.norm.weight' [7]" in str(found.value)
    assert r"rows of 'lm_head.weight' [24] != of 'lm_head.weight' [5]" in str(found.value)


def test_an_ancestor_of_other_sizes(tmp_path: Path) -> None:
    ancestor = model(tmp_path / "c", sizes=c.Sizes(layers=1))
    with pytest.raises(UserError, match=r"base != ancestor.*num_hidden_layers 2 != 1"):
        plan_merge(model(tmp_path / "a"), model(tmp_path / "b"), MappingConfig(), ancestor)


@pytest.mark.parametrize(
    "config",
    [
        {}, {"hidden_size": "24"}, {"hidden_size": None}, {"hidden_size": True}, {"hidden_size": -1},
        {"hidden_size": 10**30}, {"hidden_size": 4.5}, {"num_attention_heads": []}, {"num_key_value_heads": 3},
        {"text_config": {}}, {"text_config": {"model_type": ["x"]}},
    ],
)  # fmt: skip
def test_numbers_that_are_none(config: dict[str, Any]) -> None:
    whole = {**c.GQA.config, **config} if config and "text_config" not in config else config
    with pytest.raises(UserError, match=r"config.json: `.*; is this the config of a language model"):
        LanguageModelNumbers.of(whole, named_architecture("qwen2"), "config.json")


def test_families_that_count_otherwise() -> None:
    molmo = {**c.GQA.config, "intermediate_size": 37888, "layer_norm_eps": 1e-6, "rms_norm_eps": None}
    found = LanguageModelNumbers.of(molmo, named_architecture("molmo"), "config.json")
    assert (found.intermediate_size, found.rms_norm_eps) == (18944, 1e-6)
    cogvlm2 = {**c.GQA.config, "num_key_value_heads": None, "num_multi_query_heads": 2, "num_attention_heads": 4}
    assert LanguageModelNumbers.of(cogvlm2, named_architecture("cogvlm"), "config.json").kv_heads == 2
    cogvlm = {key: c.MHA.config[key] for key in c.MHA.config if key not in ("num_key_value_heads", "rope_theta")}
    found = LanguageModelNumbers.of(cogvlm, named_architecture("cogvlm"), "config.json")
    assert (found.kv_heads, found.rope_theta) == (4, 10000.0)
