"""Fine-tunes of one model are merged, models trained apart are refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.commands.settings import MapSettings
from adamms.config import load_settings
from adamms.errors import UserError
from adamms.mapping import plan_merge, plan_pair
from adamms.mapping.ancestry import compare_ancestry
from tests.support import checkpoints as c
from tests.support.adapters import write_adapter


def write(folder: Path, weights: c.Weights, family: str = "llama") -> str:
    config = {**c.MHA.config, "model_type": "llama"}
    names = c.llama_names()(weights, c.MHA)
    if family == "cogvlm":
        config = {**c.MHA.config, "architectures": ["CogVLMForCausalLM"]}
        names = c.cogvlm_names(weights, c.MHA)
    return str(c.write_checkpoint(folder, names, config, c.words(37)))


def settings(base: str, donor: str, *overrides: str) -> MapSettings:
    return load_settings(MapSettings, None, list(overrides), {"base": base, "donor": donor})


def test_fine_tunes_of_one_model_are_related(tmp_path: Path) -> None:
    ancestor = c.language_model(sizes=c.MHA)
    base, donor = write(tmp_path / "a", c.tuned(ancestor, 1)), write(tmp_path / "b", c.tuned(ancestor, 2))
    plan, ours, (theirs,), *_ = plan_pair(settings(base, donor))
    found = compare_ancestry(plan, ours, theirs)
    assert found.cosine is not None
    assert found.cosine > 0.9
    assert len(found.cosines) == 8  # two layers of q, o, gate, down
    assert plan.notes[-1] == f"ancestry: cosine {found.cosine:.3f} over 8 sampled tensors"


def test_models_trained_apart_are_refused(tmp_path: Path) -> None:
    base, donor = write(tmp_path / "a", c.language_model(1, c.MHA)), write(tmp_path / "b", c.language_model(2, c.MHA))
    with pytest.raises(
        UserError, match=r"does not share an ancestor with .* cosine .* is -?0\.0\d\d, .*=warn to merge"
    ):
        plan_pair(settings(base, donor))
    warned = plan_pair(settings(base, donor, "mapping.ancestry_check=warn")).plan
    assert "does not share an ancestor" in warned.notes[-1]
    off = plan_pair(settings(base, donor, "mapping.ancestry_check=off")).plan
    assert off.notes[-1] == "ancestry: not checked (mapping.ancestry_check=off)"
    assert off.fingerprint == warned.fingerprint


def test_a_model_that_the_base_did_not_grow_from_is_no_ancestor(tmp_path: Path) -> None:
    """Whatever its sizes are: task vectors from it would be those of another model."""
    origin = c.language_model(1, c.MHA)
    base, donor = write(tmp_path / "a", c.tuned(origin, 1)), write(tmp_path / "b", c.tuned(origin, 2))
    other = write(tmp_path / "c", c.language_model(2, c.MHA))
    with pytest.raises(
        UserError,
        match=rf"{other} is not the ancestor of {base}: the cosine .* is -?0\.0\d\d, .* with --ancestor .*=warn",
    ):
        plan_pair(settings(base, donor, f"ancestor={other}"))
    warned = plan_pair(settings(base, donor, f"ancestor={other}", "mapping.ancestry_check=warn")).plan
    assert warned.notes[-1].startswith(f"ancestor: {other} is not the ancestor of {base}: ")
    off = plan_pair(settings(base, donor, f"ancestor={other}", "mapping.ancestry_check=off")).plan
    assert off.notes[-1] == "ancestry: not checked (mapping.ancestry_check=off)"
    true = write(tmp_path / "d", origin)
    found = plan_pair(settings(base, donor, f"ancestor={true}")).plan
    assert found.notes[-1] == "ancestor: cosine 1.000 over 8 sampled tensors"


def test_a_vision_expert_far_from_the_ancestor_does_not_decide(tmp_path: Path) -> None:
    ancestor = c.language_model(sizes=c.MHA)
    cogvlm = c.duplicated(c.tuned(ancestor, 1), c.COGVLM_PARTS, 3, noise=5.0)
    base, donor = write(tmp_path / "a", cogvlm, "cogvlm"), write(tmp_path / "b", c.tuned(ancestor, 2))
    plan, ours, (theirs,), *_ = plan_pair(settings(base, donor))
    assert compare_ancestry(plan, ours, theirs).cosine > 0.9  # type: ignore[operator]


def test_notes_are_told_without_the_secrets_of_addresses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ancestor = c.language_model(sizes=c.MHA)
    base, donor = write(tmp_path / "a", c.tuned(ancestor, 1)), write(tmp_path / "b", c.tuned(ancestor, 2))
    factors = {"model.norm.weight": torch.ones(c.MHA.hidden)}
    adapter = write_adapter(tmp_path / "l", factors, base_model_name_or_path="https://me:s3cr3t@host/m")
    plan_pair(settings(base, f"{donor}+{adapter}"))
    told = capsys.readouterr().err
    assert f"{adapter}: a LoRA adapter (of https://***@host/m), added to" in told
    assert "s3cr3t" not in told


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_weights_without_a_direction_are_refused(tmp_path: Path, value: float) -> None:
    weights = {key: torch.full_like(w, value) for key, w in c.language_model(sizes=c.MHA).items()}
    base, donor = write(tmp_path / "a", c.language_model(sizes=c.MHA)), write(tmp_path / "b", weights)
    with pytest.raises(UserError, match="cannot be told: nothing could be compared"):
        plan_pair(settings(base, donor))
    warned = plan_pair(settings(base, donor, "mapping.ancestry_check=warn")).plan
    assert "nothing could be compared" in warned.notes[-1]


def test_little_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples only, however large the matrices are."""
    from adamms.mapping import ancestry
    from adamms.mapping.config import MappingConfig

    monkeypatch.setattr(ancestry, "SAMPLE_ELEMENTS", 50)
    ancestor = c.language_model(sizes=c.MHA)
    base = open_checkpoint(write(tmp_path / "a", ancestor))
    plan = plan_merge(base, base, MappingConfig())
    read = []
    original = Checkpoint.read

    def counted(self: Checkpoint, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        assert stop is not None
        read.append(stop - start)
        return original(self, name, start, stop)

    monkeypatch.setattr(Checkpoint, "read", counted)
    compare_ancestry(plan, base, base)
    assert read == [50] * 16
