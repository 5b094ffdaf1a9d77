"""System calls, and what is done where the system has none of them (macOS)."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from adamms.support import system

LINUX_ONLY = (
    *("sched_getaffinity", "posix_fadvise", "POSIX_FADV_DONTNEED", "POSIX_FADV_SEQUENTIAL"),
    *("preadv", "pwritev", "RWF_DSYNC", "copy_file_range"),
)


@pytest.fixture
def not_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes away what Python has on Linux only, and Linux' C library."""
    for name in LINUX_ONLY:
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(system, "_libc", lambda: None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    return path


def write_and_read(file: Path) -> None:
    with file.open("r+b") as opened:
        descriptor = opened.fileno()
        system.preallocate(descriptor, 20)
        assert system.write_once(descriptor, memoryview(b"ab"), 18) == 2
        system.start_writeback(descriptor, 0, 20)
        system.expect_sequential(descriptor)
        buffer = bytearray(8)
        assert system.read_into(descriptor, memoryview(buffer), 15) == 5
        assert bytes(buffer) == b"\0\0\0ab\0\0\0"
        system.drop_from_cache(descriptor, 0, 20)
    assert file.read_bytes() == b"0123456789" + b"\0" * 8 + b"ab"


def test_write_and_read(file: Path) -> None:
    write_and_read(file)
    assert 1 <= system.cores() <= (os.cpu_count() or 1)


@pytest.mark.usefixtures("not_linux")
def test_without_linux(file: Path, tmp_path: Path) -> None:
    write_and_read(file)
    assert system.cores() == os.cpu_count()
    with file.open("r+b") as opened:
        assert not system.mostly_cached(opened.fileno(), 0, 20)
        assert system.copy_range(opened.fileno(), opened.fileno(), 3, 1, 15) == 3
        assert system.copy_range(opened.fileno(), opened.fileno(), 3, 100, 15) == 0
    assert file.read_bytes()[15:] == b"123ab"
    assert not system.exchange(file, tmp_path)
    assert file.is_file()


def test_writing_goes_on_where_the_kernel_refuses_the_flag(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux before 6.14, and some file systems after it."""

    def refuse(*_: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "pwritev", refuse)
    write_and_read(file)


def test_linux_numbers_are_not_called_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another kernel's `syscall` would do something else for them."""
    system._libc.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        assert system._libc() is None
    system._libc.cache_clear()


def test_free_memory_is_the_machines_or_the_containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       100 kB\nMemAvailable:    80 kB\n")
    monkeypatch.setattr(system, "MEMINFO", meminfo)
    monkeypatch.setattr(system, "CGROUP", tmp_path)
    assert system.free_host_memory() == 80 << 10
    for name, content in {"max": "50000", "current": "20000", "stat": "inactive_file 3000\nactive_file 1000"}.items():
        (tmp_path / f"memory.{name}").write_text(content)
    assert system.free_host_memory() == 34000
    (tmp_path / "memory.max").write_text("max\n")
    assert system.free_host_memory() == 80 << 10
    meminfo.unlink()
    assert system.free_host_memory() is None, "macOS has no such file"
