"""One search at a time in a folder; whoever is killed holds nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from adamms.errors import UserError
from adamms.runs.lock import locked

HOLDER = """
import sys, time
from pathlib import Path
from adamms.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(100)
"""


def test_a_second_search_is_told_who_is_at_work_until_that_one_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "one"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        told = f"process {holder.pid} on {socket.gethostname()}, since .* is at work in it; wait for it"
        for _ in range(2):  # being refused takes nothing away
            with pytest.raises(UserError, match=told), locked(folder):
                pass
        holder.kill()
    with locked(folder):
        assert json.loads((folder / "lock").read_text())["pid"] == os.getpid()
        with pytest.raises(UserError, match=f"process {os.getpid()} "), locked(folder):
            pass
    assert list(folder.iterdir()) == []


def test_what_was_written_stays_and_nothing_else(tmp_path: Path) -> None:
    with locked(tmp_path / "runs" / "one"):
        pass
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "runs" / "one"):
        (tmp_path / "runs" / "one" / "plan.json").touch()
    assert [path.name for path in (tmp_path / "runs" / "one").iterdir()] == ["plan.json"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"run_dir=.*cannot be written to \(Not a directory\)"),
        locked(tmp_path / "file" / "run"),
    ):
        pass


def test_a_file_system_without_locks_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import errno
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path):
        assert "this file system has no locks" in caplog.text
