"""Killed at any moment, or on a full disk: never half a result, never anything left behind."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from adamms.errors import UserError
from adamms.merging import Recipe, spans, to_disk
from adamms.merging.config import MergingConfig
from tests.merging.conftest import Models
from tests.merging.test_to_disk import assert_same, in_memory, merge, weights

RECIPE = Recipe("linear", 0.3)
ROOT = Path(__file__).parents[2]


def slow_merge(models: Models, output: Path, force: bool) -> None:
    """A merge in many small spans, so that there are many moments to be killed in."""
    spans.SPAN_BYTES = 500
    merge(models, output, RECIPE, MergingConfig(workers=2, max_shard_size="20KB"), force=force)


@pytest.fixture(scope="module")
def processes():
    """Starts processes that have imported torch already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "adamms.merging.to_disk", "tests.merging.test_faults"])
    return context


@pytest.mark.parametrize("kills", [8, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize("force", [False, True])
def test_killed_at_random_moments(kills, force, models, tmp_path, processes):
    wanted = in_memory(models, RECIPE)
    output = tmp_path / "out"
    duration = _timed(processes, models, output)
    if not force:
        _remove(output)
    moments = random.Random(kills)
    killed = 0
    for _ in range(kills):
        process = processes.Process(target=slow_merge, args=(models, output, force))
        process.start()
        process.join(moments.uniform(0, duration))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        process.join()
        if output.exists():
            assert_same(weights(output), wanted)
        assert output.exists() or not force
        if not force:
            _remove(output)
    assert killed > kills / 4
    slow_merge(models, output, force)
    assert_same(weights(output), wanted)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_command_killed(models, tmp_path):
    command = _command(models, tmp_path / "out")
    process = subprocess.Popen(command, env=_environment(), stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob(".out.*")) and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert subprocess.run(command, env=_environment(), capture_output=True, check=False).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_interrupted_at_the_keyboard(models, tmp_path, monkeypatch):
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(to_disk, "bytes_bar", lambda title, total: nullcontext(interrupt))
    with pytest.raises(KeyboardInterrupt):
        merge(models, tmp_path / "out", RECIPE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", ["1m", "60k"])
def test_a_full_disk(size, tmp_path, models):
    """On a real file system with no room: too small from the start, or for the last few files."""
    disk = tmp_path / "disk"
    disk.mkdir()
    filled = "" if size == "60k" else f"head -c 950000 /dev/zero > {disk}/other && "
    script = f'mount -t tmpfs -o size={size} none {disk} && {filled}{{ "$@"; code=$?; ls -A {disk} >&2; exit $code; }}'
    command = ["unshare", "-rm", "sh", "-c", script, "sh", *_command(models, disk / "out")]
    ended = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    if "unshare" in ended.stderr or "mount" in ended.stderr:
        pytest.skip(f"no mount here, test_a_full_disk_midway stands alone: {ended.stderr}")
    assert ended.returncode == 2, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if line != models.plan().summary and not line.endswith(" ...")]
    assert "make room or choose another disk" in lines[0]
    assert lines[1:] == ([] if size == "60k" else ["other"])


def test_a_full_disk_midway(tmp_path, models, processes):
    """Space that is there at first and gone later: on a file system that cannot set it aside."""
    process = processes.Process(target=_merge_with_little_room, args=(models, tmp_path / "out"))
    process.start()
    process.join()
    assert process.exitcode == 2
    assert not list(tmp_path.iterdir())


def _merge_with_little_room(models: Models, output: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    to_disk.start_files = _start_files_sparse  # type: ignore[attr-defined]
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        merge(models, output, RECIPE)
    except UserError as error:
        sys.exit(2 if "make room" in str(error) and "\n" not in str(error) else 3)


def _start_files_sparse(shards) -> None:
    for shard in shards:
        shard.path.write_bytes(shard.header)


def _timed(processes, models: Models, output: Path) -> float:
    process = processes.Process(target=slow_merge, args=(models, output, False))
    begin = time.perf_counter()
    process.start()
    process.join()
    assert process.exitcode == 0
    begin = time.perf_counter()
    process = processes.Process(target=slow_merge, args=(models, output, True))
    process.start()
    process.join()
    return time.perf_counter() - begin


def _command(models: Models, output: Path) -> list[str]:
    folders = [str(models.base.folder), str(models.donor.folder)]
    return [sys.executable, "-m", "adamms.cli", "merge", *folders, "--alpha", "0.3", "--output", str(output)]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def _remove(output: Path) -> None:
    import shutil

    shutil.rmtree(output, ignore_errors=True)
