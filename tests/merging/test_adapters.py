"""Models with adapters merge to the bits that what PEFT saves merged would give."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml

from adamms.errors import UserError
from adamms.mapping import PlannedPair, plan_pair
from adamms.mapping.config import PairSettings
from adamms.merging import Recipe
from adamms.merging.companions import write_model_card
from adamms.merging.to_disk import merge_to_disk
from tests.merging.conftest import Models
from tests.merging.test_to_disk import assert_same, weights
from tests.support.adapters import merged_folder, save_adapter, write_adapter
from tests.support.tiny_models import TinyPair


@dataclass(frozen=True)
class Adapted:
    """A base and a donor, each given with its adapter, and as PEFT saves it merged."""

    base: str
    donor: str
    merged_base: Path
    merged_donor: Path

    def merge(self, output: Path, recipe: Recipe) -> Path:
        return merge_to_disk(planned(self.base, self.donor), recipe, output)


def planned(base: Path | str, donor: Path | str) -> PlannedPair:
    return plan_pair(PairSettings(str(base), str(donor)))


@pytest.fixture(scope="module")
def adapted(tiny_pair: TinyPair, tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    """The base's adapter changes its vision tower and head, too; the donor's is given alone."""
    folder = tmp_path_factory.mktemp("adapted")
    lora = {"target_modules": ["q_proj", "down_proj", "qkv", "fc1"], "modules_to_save": ["lm_head"]}
    base = save_adapter(tiny_pair.base, folder / "base-lora", seed=1, **lora)
    donor = save_adapter(tiny_pair.donor, folder / "donor-lora", seed=2, use_rslora=True)
    return Adapted(
        f"{tiny_pair.base}+{base}",
        str(donor),
        merged_folder(tiny_pair.base, base, folder / "merged-base"),
        merged_folder(tiny_pair.donor, donor, folder / "merged-donor"),
    )


@pytest.mark.parametrize("method", ["linear", "slerp"])
def test_the_same_bits_as_from_what_peft_saves_merged(method: str, adapted: Adapted, tmp_path: Path) -> None:
    recipe = Recipe(method, 0.4)
    found = weights(adapted.merge(tmp_path / "found", recipe))
    plain = merge_to_disk(planned(adapted.merged_base, adapted.merged_donor), recipe, tmp_path / "plain")
    assert_same(found, weights(plain))
    without = adapted.base.partition("+")[0]
    other = weights(merge_to_disk(planned(without, adapted.merged_donor), recipe, tmp_path / "other"))
    assert {"visual.blocks.0.attn.qkv.weight", "model.layers.0.self_attn.q_proj.weight"} <= {
        name for name in other if not torch.equal(other[name], found[name])
    }


def test_the_card_and_the_record_name_every_part(adapted: Adapted, tmp_path: Path) -> None:
    output = adapted.merge(tmp_path / "out", Recipe("linear", 0.4))
    _, metadata, text = (output / "README.md").read_text().split("---\n", 2)
    assert "base_model" not in yaml.safe_load(metadata), "the Hub knows no folders of this machine"
    assert "# base+base-lora merged with donor+donor-lora" in text
    record = json.loads((output / "adamms.json").read_text())
    assert record["base"]["location"] == adapted.base
    assert [part["location"] for part in record["donor"]["adapters"]] == [adapted.donor]
    assert sum("a LoRA adapter (of " in note for note in record["notes"]) == 2


def test_an_adapters_own_licence_counts(models: Models, tmp_path: Path) -> None:
    """What it was trained on may forbid more than the model that it is added to."""
    module = "language_model.model.layers.0.mlp.up_proj"
    factors = {f"{module}.lora_A.weight": torch.ones(2, 32), f"{module}.lora_B.weight": torch.ones(48, 2)}
    places = {name: shutil.copytree(getattr(models, name).folder, tmp_path / name) for name in ("base", "donor")}
    places |= {name: write_adapter(tmp_path / name, factors) for name in ("first", "second")}
    licences = {"base": "mit", "donor": "apache-2.0", "first": "mit", "second": "cc-by-nc-4.0"}
    for name, licence in licences.items():
        (places[name] / "README.md").write_text(f"---\nlicense: {licence}\n---\n")
    for donor, wanted, told in (
        ("{donor}+{second}", "cc-by-nc-4.0", "donor apache-2.0; donor's adapter cc-by-nc-4.0."),
        ("{donor}+{first}", "apache-2.0", "donor apache-2.0; donor's adapter mit."),
        ("{donor}+{first}+{second}", "cc-by-nc-4.0", "donor's adapter 1 mit; donor's adapter 2 cc-by-nc-4.0."),
    ):
        write_model_card(planned(places["base"], donor.format(**places)), Recipe("linear", 0.4), tmp_path)
        _, metadata, text = (tmp_path / "README.md").read_text().split("---\n", 2)
        assert yaml.safe_load(metadata)["license"] == wanted
        assert "The licences of all models apply: base mit; " in text
        assert told in text


def test_what_was_found_is_said(adapted: Adapted, tiny_pair: TinyPair, capsys: pytest.CaptureFixture[str]) -> None:
    count = len(planned(tiny_pair.base, adapted.donor).donors[0].tensors)
    assert capsys.readouterr().err.splitlines() == [
        f"{adapted.donor}: a LoRA adapter (of {tiny_pair.donor}), added to 14 of {count} tensors of {tiny_pair.donor}"
    ]


def test_an_adapter_beside_the_base_is_not_handed_on(adapted: Adapted, tmp_path: Path) -> None:
    """transformers would look for its weights."""
    model, adapter = adapted.base.split("+")
    folder = shutil.copytree(model, tmp_path / "beside")
    for file in Path(adapter).iterdir():
        shutil.copy(file, folder)
    pair = planned(folder, adapted.donor)
    assert "the model is taken without it" in pair.plan.notes[0]
    output = merge_to_disk(pair, Recipe("linear", 0.0), tmp_path / "out")
    assert not list(output.glob("adapter_*"))
    assert_same(weights(output), weights(Path(model)))


def test_an_adapter_may_not_lie_in_the_output(adapted: Adapted) -> None:
    with pytest.raises(UserError, match=r"donor-lora: holds .*donor-lora, which is merged here"):
        merge_to_disk(planned(adapted.base, adapted.donor), Recipe(), Path(adapted.donor), force=True)


def test_another_adapter_is_another_plan(adapted: Adapted, tiny_pair: TinyPair, tmp_path: Path) -> None:
    """Its fingerprint keeps answers of one from being taken for the other's."""
    first = planned(tiny_pair.base, adapted.donor).plan.fingerprint
    again = save_adapter(tiny_pair.donor, tmp_path / "donor-lora", seed=3, use_rslora=True)
    assert planned(tiny_pair.base, again).plan.fingerprint != first
