"""The output folder appears complete or not at all, and nothing else is left."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from adamms.errors import UserError
from adamms.merging.staging import staged_folder
from adamms.support import system


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_appears_at_the_end(tmp_path):
    with staged_folder(tmp_path / "new" / "out") as staging:
        (staging / "a").write_text("1")
        assert not (tmp_path / "new" / "out").exists()
    assert names(tmp_path / "new") == ["out"]
    assert names(tmp_path / "new" / "out") == ["a"]
    assert oct((tmp_path / "new" / "out").stat().st_mode & 0o777) == oct(0o777 & ~_umask())


def test_nothing_is_left_of_a_failure(tmp_path):
    def fail():
        with staged_folder(tmp_path / "out") as staging:
            (staging / "a").write_text("1")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert names(tmp_path) == []


@pytest.mark.parametrize("can_exchange", [True, False])
def test_replaces_only_with_force(tmp_path, monkeypatch, can_exchange):
    if not can_exchange:
        monkeypatch.setattr(system, "exchange", lambda *_: False)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "adamms.json").write_text('{"adamms": "1"}')
    with pytest.raises(UserError, match="already exists"), staged_folder(tmp_path / "out"):
        pass
    with staged_folder(tmp_path / "out", force=True) as staging:
        (staging / "new").write_text("new")
        assert names(tmp_path / "out") == ["adamms.json"]
    assert names(tmp_path / "out") == ["new"]
    assert names(tmp_path) == ["out"]


def test_only_what_adamms_wrote_is_replaced(tmp_path, monkeypatch):
    (tmp_path / "thesis.tex").write_text("years")
    monkeypatch.chdir(tmp_path)
    words = r"thesis\.tex, which AdaMMS did not write and --force leaves alone"
    for place in (tmp_path, Path(), Path("../" + tmp_path.name)):
        with pytest.raises(UserError, match=words), staged_folder(place, True):
            pass
    assert names(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("file/out", "is not a folder"),
        ("x" * 300, "a name may have 255 bytes"),
        ("x" * 240, "a name may have 255 bytes"),  # the folder beside it needs a longer one
        ("a/" + "x" * 300 + "/out", "a name may have 255 bytes"),
        ("a\0b", "NUL"),
        ("~nosuch/out", "no such user"),
        ("/proc/adamms/out", "cannot be made there"),
    ],
)
def test_impossible_places_are_told_in_one_line(tmp_path, monkeypatch, place, words):
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=words) as error, staged_folder(Path(place)):
        pass
    assert "\n" not in str(error.value)
    assert names(tmp_path) == ["file"]


def test_a_read_only_place_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # to root all places are writable
    with pytest.raises(UserError, match="cannot be written to"), staged_folder(tmp_path / "out"):
        pass


def test_a_file_or_link_is_not_replaced(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    for name in ("file", "link"):
        with pytest.raises(UserError), staged_folder(tmp_path / name, force=True):
            pass


def test_names_that_look_like_patterns(tmp_path):
    (tmp_path / ".out[1].adamms-staging-x").mkdir()
    (tmp_path / ".out1.adamms-staging-x").mkdir()
    with staged_folder(tmp_path / "out[1]"):
        pass
    assert names(tmp_path) == [".out1.adamms-staging-x", "out[1]"]


def test_what_a_killed_run_left_is_removed_but_not_a_living_ones(tmp_path):
    dead, living, others = (
        tmp_path / name for name in (".out.adamms-staging-x", ".out.adamms-staging-y", ".out2.adamms-staging-z")
    )
    for folder in (dead, living, others):
        folder.mkdir()
        (folder / "model.safetensors").write_text("")
    lock = os.open(living, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with staged_folder(tmp_path / "out"):
        pass
    os.close(lock)
    assert names(tmp_path) == [living.name, others.name, "out"]


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
