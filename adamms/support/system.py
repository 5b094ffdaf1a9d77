"""System calls that make reading and writing large files fast, each with a fallback where the system lacks it, and
what a process may use of its machine.

Python names some of them (`os.posix_fadvise`) on Linux only, others not at all (`renameat2`). macOS has few of them; a
merge there writes the same bytes.
"""

import ctypes
import errno
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

MEMINFO, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_SYNC_FILE_RANGE_WRITE = 2
_DONT_CACHE = 0x80  # RWF_DONTCACHE, Linux 6.14
_CACHESTAT = 451  # no name in the C library yet; the same on all processors that torch runs on
_UNSUPPORTED = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


def cores() -> int:
    """How many cores this process may use; where the system does not tell, how many the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_host_memory() -> int | None:
    """Bytes that this process can still get: of the machine, or of its container; None where nobody says."""
    try:
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text(encoding="ascii").splitlines())
        machine = int(lines["MemAvailable"].split()[0]) << 10
    except (OSError, KeyError, ValueError):
        return None
    try:
        limit, used = ((CGROUP / f"memory.{name}").read_text(encoding="ascii") for name in ("max", "current"))
        statistics = dict(line.split() for line in (CGROUP / "memory.stat").read_text(encoding="ascii").splitlines())
        reclaimable = int(statistics["inactive_file"]) + int(statistics["active_file"])  # page cache
        return min(machine, int(limit) - int(used) + reclaimable)
    except (OSError, KeyError, ValueError):  # no cgroup, or no limit ("max")
        return machine


def preallocate(descriptor: int, size: int) -> None:
    """Makes a file `size` bytes long, with disk space reserved where the file system can (never by writing zeros).

    Raises:
        OSError: the disk is full.
    """
    code = _call("fallocate64", descriptor, 0, ctypes.c_int64(0), ctypes.c_int64(size)) if size else 0
    if code in _UNSUPPORTED:
        os.ftruncate(descriptor, size)
    elif code:
        raise OSError(code, os.strerror(code))


def start_writeback(descriptor: int, offset: int, length: int) -> None:
    """Asks the kernel to begin writing these bytes to the disk, so that the fsync at the end is short."""
    _call("sync_file_range", descriptor, ctypes.c_int64(offset), ctypes.c_int64(length), _SYNC_FILE_RANGE_WRITE)


def mostly_cached(descriptor: int, offset: int, length: int) -> bool:
    """Whether more than half of these bytes are in the page cache; False where the kernel (before 6.5) cannot tell."""
    extent, found = (ctypes.c_uint64 * 2)(offset, length), (ctypes.c_uint64 * 5)()
    if _call("syscall", *map(ctypes.c_long, (_CACHESTAT, descriptor)), extent, found, 0):
        return False
    return found[0] * os.sysconf("SC_PAGE_SIZE") * 2 > length


def drop_from_cache(descriptor: int, offset: int, length: int) -> None:
    """Drops a file's clean pages from the page cache."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_DONTNEED)


def expect_sequential(descriptor: int) -> None:
    """Tells the kernel that a file will be read from front to back, so that it reads further ahead."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)


def read_into(descriptor: int, buffer: memoryview, offset: int) -> int:
    """Reads at least a byte into a buffer, unless the file ends; returns how many."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [buffer], offset)
    data = os.pread(descriptor, len(buffer), offset)
    buffer[: len(data)] = data
    return len(data)


def write_once(descriptor: int, data: memoryview, offset: int) -> int:
    """Writes at least a byte from a buffer; returns how many. Where it can, the kernel keeps no copy in memory."""
    if hasattr(os, "RWF_DSYNC"):  # the system has pwritev with flags
        try:
            return os.pwritev(descriptor, [data], offset, _DONT_CACHE)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
    return os.pwrite(descriptor, data, offset)


def copy_range(source: int, target: int, count: int, source_offset: int, offset: int) -> int:
    """Copies bytes between files; returns how many, 0 at the file's end.

    Where it can, the kernel copies (which shares blocks where the file system can), else they go through a buffer.
    """
    if hasattr(os, "copy_file_range"):
        try:
            return os.copy_file_range(source, target, count, source_offset, offset)
        except OSError as error:
            if error.errno not in {*_UNSUPPORTED, errno.EXDEV}:
                raise
    data = os.pread(source, min(count, 1 << 20), source_offset)
    return write_once(target, memoryview(data), offset)


def exchange(first: Path, second: Path) -> bool:
    """Swaps two paths in one step; False where the file system cannot."""
    return not _call("renameat2", _AT_FDCWD, bytes(first), _AT_FDCWD, bytes(second), _RENAME_EXCHANGE)


def _call(name: str, *arguments: Any) -> int:
    """The error number of a call into Linux' C library; 0 for success, ENOSYS where there is no such function."""
    function = getattr(_libc(), name, None)
    if function is None:
        return errno.ENOSYS
    return ctypes.get_errno() if function(*arguments) != 0 else 0


@cache
def _libc() -> ctypes.CDLL | None:
    """None elsewhere: the numbers above are Linux' own, and mean something else to another kernel's `syscall`."""
    return ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
