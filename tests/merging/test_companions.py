"""What an output has beside its weights: nothing from outside the base, and a card that nobody else writes."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from adamms.checkpoint import Checkpoint, open_checkpoint
from adamms.errors import UserError
from adamms.mapping import PlannedPair
from adamms.merging import Recipe
from adamms.merging.companions import copy_companions, not_ours, read_record, write_model_card
from tests.merging.conftest import Models


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_links_that_lead_out_are_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outside, base, output = tmp_path / "outside", tmp_path / "base", tmp_path / "out"
    for folder in (outside, base / "code", output):
        folder.mkdir(parents=True)
    (outside / "secret.json").write_text("{}")
    (base / "config.json").write_text("{}")
    (base / "notes.txt").symlink_to(outside / "secret.json")
    (base / "everything").symlink_to("/")
    (base / "code" / "more.json").symlink_to("../../outside/secret.json")
    (base / "same.json").symlink_to("config.json")
    (base / "loop.txt").symlink_to("loop.txt")
    os.mkfifo(base / "pipe.txt")
    with caplog.at_level(logging.WARNING):
        copy_companions(base, output)
    assert names(output) == ["config.json", "same.json"]
    left_out = [record.getMessage().split(":")[0] for record in caplog.records]
    assert left_out == [str(base / name) for name in ("code/more.json", "everything", "notes.txt")]

    (base / "config.json").unlink()
    (base / "config.json").symlink_to(outside / "secret.json")
    with pytest.raises(UserError, match=r"config\.json: leads out of its folder"):
        copy_companions(base, output)


def test_the_hubs_cache_is_followed_to_its_own_files_only(tmp_path: Path) -> None:
    repository, output = tmp_path / "models--o--m", tmp_path / "out"
    snapshot, blobs = repository / "snapshots" / ("1" * 40), repository / "blobs"
    for folder in (snapshot, blobs, output):
        folder.mkdir(parents=True)
    (blobs / "abc").write_text("{}")
    (repository / "refs").write_text("main")
    (snapshot / "config.json").symlink_to("../../blobs/abc")
    (snapshot / "stolen.txt").symlink_to("../../refs")
    copy_companions(snapshot, output)
    assert names(output) == ["config.json"]
    assert not (output / "config.json").is_symlink()


def test_the_voices_of_qwen_omni_are_copied_unread(tmp_path: Path) -> None:
    base, output = tmp_path / "base", tmp_path / "out"
    for folder in (base, output):
        folder.mkdir()
    for name in ("config.json", "spk_dict.pt", "optimizer.pt", "LICENSE", "NOTICE"):
        (base / name).write_bytes(b"no pickle")
    copy_companions(base, output)
    assert names(output) == ["LICENSE", "NOTICE", "config.json", "spk_dict.pt"]
    assert (output / "spk_dict.pt").read_bytes() == b"no pickle"


@pytest.mark.parametrize(
    "metadata",
    [
        "license: {a: [1, 2]}",
        "license: 2024-99-99",
        "license: !!int ''",
        "license: !!bool x",
        "license: !!timestamp x",
        "license: !!python/object/apply:os.system ['false']",
        "license: &a [*a]",
        "license: 3.5",
        "- a\n- b",
        "just text",
        "? [a]\n: b",
        "[" * 2000,
        "license: " + "[a, " * 3000,
        "a: " + "x" * 10_000_000,
    ],
)
def test_odd_metadata_of_the_base_breaks_nothing(models: Models, tmp_path: Path, metadata: str) -> None:
    base, output = shutil.copytree(models.base.folder, tmp_path / "base"), tmp_path / "out"
    output.mkdir()
    (base / "README.md").write_text(f"---\n{metadata}\n---\n# card")
    started = time.process_time()
    pair = PlannedPair(models.plan(), open_checkpoint(str(base)), (models.donor,))
    write_model_card(pair, Recipe("linear", 0.3), output)
    assert time.process_time() - started < 60  # a few seconds, and not what grows with every level
    found = yaml.safe_load((output / "README.md").read_text().split("---")[1])
    assert set(found) == {"library_name", "pipeline_tag", "tags"}


def test_names_cannot_write_into_the_card(models: Models, tmp_path: Path) -> None:
    plan, donor = models.plan(), Checkpoint(models.donor.folder, "models/a\n# Trust me\n`b")
    plan = replace(plan, donors=(replace(plan.donors[0], location=donor.location),), notes=("one\n# Two",))
    write_model_card(PlannedPair(plan, models.base, (donor,)), Recipe("linear", 0.3), tmp_path)
    headings = [line for line in (tmp_path / "README.md").read_text().splitlines() if line.startswith("#")]
    title, *others = headings
    assert title == "# base merged with a # Trust me 'b"
    assert others == ["## How to use it", "## How it was merged", "## Licence"]


def test_secrets_are_in_neither_card_nor_record(models: Models, tmp_path: Path) -> None:
    plan = models.plan()
    place = "https://me:s3cr3t@host/models/donor?token=s3cr3t"
    plan = replace(plan, donors=(replace(plan.donors[0], location=place),), notes=(f"ancestry: {place}",))
    pair = PlannedPair(plan, models.base, (Checkpoint(models.donor.folder, place),))
    write_model_card(pair, Recipe("linear", 0.3), tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "s3cr3t" not in card
    assert "base_model" not in yaml.safe_load(card.split("---")[1]), "the Hub has no such models"


def test_a_folder_is_ours_by_its_record(tmp_path: Path) -> None:
    assert not_ours(tmp_path) is None, "an empty one"
    record = tmp_path / "task" / "adamms.json"
    record.parent.mkdir()
    record.write_text(json.dumps({"adamms": "1"}))
    assert not_ours(tmp_path) is None, "each task's winner"
    (tmp_path / "mine.txt").write_text("")
    assert not_ours(tmp_path) == tmp_path / "mine.txt"
    for broken in ("", "[]", "{}", "[" * 5000):
        record.write_text(broken)
        assert not_ours(tmp_path / "task") == record
        assert read_record(tmp_path / "task") == {}


def test_what_a_user_put_beside_a_merge_is_not_ours(tmp_path: Path) -> None:
    written = ("adamms.json", "config.json", "code/model.py")
    for name in written:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "adamms.json").write_text(json.dumps({"adamms": "1", "files": written}))
    (tmp_path / "code" / "__pycache__").mkdir()
    (tmp_path / "code" / "__pycache__" / "model.pyc").write_text("")
    assert not_ours(tmp_path) is None
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "adamms.json").write_text(json.dumps({"adamms": "1"}))
    assert not_ours(tmp_path) is None, "a merge within a merge"
    (tmp_path / "other").mkdir()
    for name in ("scores.json", "code/config.json", ".git", "task/thesis.tex", "other/adamms.json"):
        (tmp_path / name).write_text("mine")
        assert not_ours(tmp_path) == tmp_path / name
        (tmp_path / name).unlink()
    (tmp_path / "linked").symlink_to(tmp_path / "code")
    assert not_ours(tmp_path) == tmp_path / "linked"


def test_outputs_of_earlier_versions_have_no_list_of_files(tmp_path: Path) -> None:
    (tmp_path / "adamms.json").write_text(json.dumps({"adamms": "1"}))
    (tmp_path / "vit").mkdir()
    ours = ("model.safetensors", "vit/pytorch_model.bin", "config.json", "LICENSE", "README.md", "mergekit.yml")
    for name in ours:
        (tmp_path / name).write_text("")
    assert not_ours(tmp_path) is None
    for name in ("thesis.tex", "photo.png", "vit/notes.md"):
        (tmp_path / name).write_text("mine")
        assert not_ours(tmp_path) == tmp_path / name
        (tmp_path / name).unlink()
