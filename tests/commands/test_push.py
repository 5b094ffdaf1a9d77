"""Publishing a winner, to a stand-in for the Hub on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import adamms
from adamms.commands.push import push
from adamms.errors import UserError
from adamms.runs.run_folder import RunFolder
from tests.support.hub_stand_in import HubStandIn, hub_stand_in
from tests.support.searches import made_up_selection
from tests.support.tiny_models import TinyPair


@pytest.fixture(scope="module")
def run(tiny_pair: TinyPair, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """What a search leaves: the choice, and its checkpoint."""
    run = RunFolder(tmp_path_factory.mktemp("push") / "run")
    adamms.merge(tiny_pair.base, tiny_pair.donor, alpha=0.3, output=run.merged)
    run.write(run.selection, made_up_selection())
    return run


@pytest.fixture
def hub() -> Iterator[HubStandIn]:
    with hub_stand_in() as hub:
        yield hub


def pushed(hub: HubStandIn, *arguments: str, token: str | None = None) -> subprocess.CompletedProcess[str]:
    """`adamms push` as a user runs it: the Hub's library reads its settings when it is imported."""
    own = {"HF_ENDPOINT": hub.address, "HF_TOKEN": token or hub.token, "HF_HUB_DISABLE_XET": "1"}
    own |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-m", "adamms", "push", *arguments]
    return subprocess.run(command, env=os.environ | own, capture_output=True, text=True)


def test_a_winner_is_published_with_all_that_it_needs(run: RunFolder, hub: HubStandIn) -> None:
    done = pushed(hub, str(run.folder), "me/merged")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{hub.address}/me/merged\n"
    assert hub.repositories == {"me/merged": True}, "private, since nobody said otherwise"
    here = {str(file.relative_to(run.merged)): file for file in run.merged.rglob("*") if file.is_file()}
    there = {path: content for (_, path), content in hub.files.items()}
    assert there.keys() == here.keys()
    for path, file in here.items():
        assert path == "README.md" or there[path] == file.read_bytes(), path
    card = there["README.md"].decode()
    metadata = yaml.safe_load(card.split("---")[1])
    assert metadata["pipeline_tag"] == "image-text-to-text"
    assert "base_model" not in metadata, "the tiny models are folders, not models of the Hub"
    for text in ('place = "me/merged"', "vllm serve me/merged", "0.3 was chosen without labels", "| **0.3** |"):
        assert text in card, text
    assert card.index("## How it was chosen") < card.index("## Licence")
    again = pushed(hub, str(run.folder), "me/merged")
    assert again.returncode == 2
    assert "is there already" in again.stderr
    refused = pushed(hub, str(run.folder), "me/other", token="hf_wrong")
    assert refused.returncode == 2
    assert "the Hub does not know who you are" in refused.stderr


def test_only_what_adamms_made_is_pushed(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished search and no merge"):
        push(tmp_path, "me/merged")
    with pytest.raises(UserError, match="expected OWNER/NAME"):
        push(run.folder, "merged")
    tasks = RunFolder(tmp_path / "tasks")
    for task in ("ocr", "vqa"):
        tasks.write(tasks.merged / task / "adamms.json", {"adamms": "1"})
    with pytest.raises(UserError, match=r"name one with --task \(ocr, vqa\)"):
        push(tasks.folder, "me/merged")
