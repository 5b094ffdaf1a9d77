"""The output folder appears complete or not at all, and nothing else is left."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from adamms.errors import UserError
from adamms.merging.staging import remove_stale, staged_folder
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
    dead, living, others, earlier = (
        tmp_path / f".{name}" for name in ("out.adamms-staging-x", "out.adamms-staging-y", "out2.adamms-staging-z",
                                           "out.adamms-staging-v")
    )  # fmt: skip
    replaced = [tmp_path / f"{folder.name}-replaced" for folder in (dead, living)]
    for folder in (dead, living, others, earlier, *replaced):
        folder.mkdir()
        (folder / "model.safetensors").write_text("")
    locks = [lock_of(folder) for folder in (dead, living, others, tmp_path / ".out.adamms-staging-w")]
    for file in locks:  # the last of a merge that was killed before it made its folder
        file.write_text("")
    lock = os.open(lock_of(living), os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with staged_folder(tmp_path / "out"):
        pass
    os.close(lock)
    left = [path for folder in (living, others) for path in (folder, lock_of(folder))]
    assert names(tmp_path) == sorted(path.name for path in (*left, replaced[1], tmp_path / "out"))


def lock_of(folder):
    return folder.with_name(f"{folder.name}.lock")


def test_the_lock_is_one_of_a_file_that_is_there_before_the_folder_and_after_it(tmp_path, monkeypatch):
    """NFS locks folders for one machine only, and files for all."""
    made = Path.mkdir

    def mkdir(self, *args, **options):
        if "staging" in self.name:
            assert is_locked(lock_of(self))
        made(self, *args, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with staged_folder(tmp_path / "out") as staging:
        assert is_locked(lock_of(staging))
        with staged_folder(tmp_path / "out2"), staged_folder(tmp_path / "out3"):
            pass
        remove_stale(tmp_path / "out")  # as another merge does
        assert staging.is_dir()
        assert lock_of(staging).is_file()
    assert names(tmp_path) == ["out", "out2", "out3"]


def is_locked(file):
    descriptor = os.open(file, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def test_a_lock_that_another_merge_takes_for_stale_is_taken_again(tmp_path, monkeypatch):
    """Between making the file and locking it."""
    lock, stolen = fcntl.flock, []

    def late(descriptor, kind):
        if not stolen:
            stolen.append(descriptor)
            remove_stale(tmp_path / "out")
        lock(descriptor, kind)

    monkeypatch.setattr(fcntl, "flock", late)
    with staged_folder(tmp_path / "out") as staging:
        assert stolen
        assert is_locked(lock_of(staging))
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EIO])
def test_without_locks_nothing_is_taken_for_stale(tmp_path, monkeypatch, caplog, number):
    def refuse(descriptor, kind):
        raise OSError(number, os.strerror(number))

    other = tmp_path / ".out.adamms-staging-x"
    other.mkdir()
    lock_of(other).write_text("")
    monkeypatch.setattr(fcntl, "flock", refuse)
    if number == errno.EIO:
        words = r"out: cannot be made there \(Input/output error\)"
        with pytest.raises(UserError, match=words), staged_folder(tmp_path / "out"):
            pass
        assert names(tmp_path) == [other.name, lock_of(other).name]
    else:
        with staged_folder(tmp_path / "out"):
            pass
        assert "this file system has no locks" in caplog.text
        assert names(tmp_path) == [other.name, lock_of(other).name, "out"]


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
