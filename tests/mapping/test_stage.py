"""A plan's models, opened on the machine that needs them."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from adamms.checkpoint import open_checkpoint
from adamms.errors import UserError
from adamms.mapping import ModelIdentity
from adamms.mapping.stage import stage


def model(location: str, digest: str) -> ModelIdentity:
    return ModelIdentity(location, "", "", digest)


def checkpoint(folder: Path, value: float = 1.0) -> Path:
    folder.mkdir(parents=True)
    save_file({"a": torch.full((4, 3), value)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


def test_the_model_of_the_plan_is_opened_and_another_one_refused(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "model")
    planned = model(str(folder), open_checkpoint(str(folder)).digest)
    assert stage(planned).folder == folder
    (folder / "model.safetensors").unlink()
    save_file({"a": torch.zeros(4, 3)}, folder / "model.safetensors")
    with pytest.raises(UserError, match="not the checkpoint that the plan was made from"):
        stage(planned)


def test_a_model_that_cannot_be_had_names_the_machine(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"no such folder.*seen from {socket.gethostname()}"):
        stage(model(str(tmp_path / "nowhere"), ""))


FETCH = """
import sys, time
import fsspec
from fsspec.implementations.local import LocalFileSystem

class Slow(LocalFileSystem):
    def get_file(self, rpath, lpath, **options):
        with open({log!r}, "a") as log:
            log.write(rpath.rsplit("/", 1)[-1] + "\\n")
        time.sleep(0.3)
        return super().get_file(rpath, lpath, **options)

fsspec.register_implementation("file", Slow, clobber=True)
from adamms.checkpoint import open_checkpoint
print(open_checkpoint("file://" + sys.argv[1]).digest)
"""


def test_processes_that_want_a_model_at_the_same_time_fetch_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, log = checkpoint(tmp_path / "store" / "model"), tmp_path / "fetched"
    monkeypatch.setenv("ADAMMS_CACHE", str(tmp_path / "cache"))
    script = FETCH.format(log=str(log))
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    digests = {process.communicate(timeout=100)[0].strip() for process in processes}
    assert digests == {open_checkpoint(str(folder)).digest}
    assert sorted(log.read_text().split()) == ["config.json", "model.safetensors"]
