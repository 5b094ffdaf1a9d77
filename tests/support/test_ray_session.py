"""A cluster of our own, in a process of its own: Ray reads its environment when it is imported."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import psutil
import pytest

from adamms.errors import UserError
from adamms.support.ray_leftovers import mark_session, remove_leftovers
from adamms.support.ray_session import ray_session


def test_workers_have_the_priority_of_whoever_started_them() -> None:
    program = """
import os
from adamms.support.ray_session import ray_session
with ray_session(None):
    import ray
    print(os.nice(0), ray.get(ray.remote(lambda: os.nice(0)).remote()))
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    ours, workers = done.stdout.split()
    assert workers == ours


HELD = """
import sys, time
from pathlib import Path
from adamms.support.ray_leftovers import mark_session
mark_session(Path(sys.argv[1]))
print("marked", flush=True)
time.sleep(100)
"""
SERVICE = "import time; time.sleep(100)"


@pytest.fixture
def processes() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts programs, which end with the test."""
    with ExitStack() as ended:

        def start(program: str, *arguments: Path | str) -> subprocess.Popen[str]:
            command = [sys.executable, "-c", program, *map(str, arguments)]
            process = ended.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            ended.callback(process.kill)
            return process

        yield start


def test_what_a_killed_program_left_is_removed_and_nothing_foreign(
    tmp_path: Path, processes: Callable[..., subprocess.Popen[str]]
) -> None:
    sessions = {name: tmp_path / f"session_{name}" for name in ("dead", "alive", "foreign")}
    services = {}
    for name, session in sessions.items():
        (session / "logs").mkdir(parents=True)
        services[name] = processes(SERVICE, "/lib/ray/core/raylet", f"--session-dir={session}")
    reader = processes(SERVICE, sessions["dead"] / "logs" / "raylet.out")
    (tmp_path / "session_latest").symlink_to(sessions["dead"])
    holders = {name: processes(HELD, sessions[name]) for name in ("dead", "alive")}
    for holder in holders.values():
        assert holder.stdout is not None
        assert holder.stdout.readline() == "marked\n"
    remove_leftovers(tmp_path)
    assert all(session.is_dir() for session in sessions.values()), "both programs live"
    holders["dead"].kill()
    holders["dead"].wait()
    remove_leftovers(tmp_path)
    services["dead"].wait(20)
    assert [name for name, session in sessions.items() if session.is_dir()] == ["alive", "foreign"]
    assert {one.poll() for one in (services["alive"], services["foreign"], reader)} == {None}


def test_a_session_is_locked_before_anybody_can_find_its_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program may start, and look for what dead ones left, at any moment."""
    session, lock = tmp_path / "session_new", fcntl.flock
    session.mkdir()

    def others_look_first(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        remove_leftovers(tmp_path)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", others_look_first)
    mark = mark_session(session)
    remove_leftovers(tmp_path)
    assert session.is_dir()
    os.close(mark)
    remove_leftovers(tmp_path)
    assert not session.exists(), "its program has ended"


@pytest.mark.parametrize(("number", "fine"), [(errno.ENOLCK, True), (errno.EIO, False)])
def test_only_a_file_system_without_locks_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, fine: bool
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with nullcontext() if fine else pytest.raises(OSError, match="Input/output error"):
        os.close(mark_session(tmp_path))
    assert list(tmp_path.iterdir()) == [], "nobody could tell that this process lives"


CLUSTER = """
from adamms.support.ray_session import ray_session
with ray_session(None):
    import ray
    from pathlib import Path
    worker = ray.remote(lambda: __import__("os").getpid())
    print(ray.get_runtime_context().get_node_id() and ray.get(worker.remote()), flush=True)
    if WAITS:
        __import__("time").sleep(200)
"""


@pytest.mark.slow
def test_the_next_start_ends_what_outlived_a_killed_driver(
    tmp_path: Path, processes: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # sockets have short names
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    try:
        driver = processes(CLUSTER.replace("WAITS", "True"))
        assert driver.stdout is not None
        driver.stdout.readline()
        (session,) = (path for path in folder.glob("ray/session_*") if not path.is_symlink())
        driver.kill()
        driver.wait()
        left = [one for one in psutil.process_iter() if any(str(session) in path for path in opened_by(one))]
        assert left, "Ray's own take their time"
        started = time.time()
        assert processes(CLUSTER.replace("WAITS", "False")).wait(120) == 0
        assert not session.exists()
        assert all(not one.is_running() or one.create_time() > started for one in left)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def opened_by(process: psutil.Process) -> list[str]:
    try:
        return [file.path for file in process.open_files()]
    except psutil.Error:
        return []


def test_a_ray_that_does_not_come_up_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import ray

    def start(**_: Any) -> None:
        raise Exception("The current node timed out during startup. This could happen because ...")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", start)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "7")
    with pytest.raises(UserError, match="Ray did not start on this machine within 7 s"), ray_session("local"):
        raise AssertionError("it is not up")
