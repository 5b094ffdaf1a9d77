"""What Linux can do and Python has no name for. Where something is missing, the plain way is taken."""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache
from pathlib import Path
from typing import Any

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_SYNC_FILE_RANGE_WRITE = 2
_DONT_CACHE = 0x80  # RWF_DONTCACHE, Linux 6.14
_CACHESTAT = 451  # no name in the C library yet; the same on all processors that torch runs on
_UNSUPPORTED = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


def preallocate(descriptor: int, size: int) -> None:
    """Makes a file `size` bytes long, with disk space set aside where the file system can (never by writing zeros).

    Raises:
        OSError: the disk is full.
    """
    code = _call("fallocate64", descriptor, 0, ctypes.c_int64(0), ctypes.c_int64(size)) if size else 0
    if code in _UNSUPPORTED:
        os.ftruncate(descriptor, size)
    elif code:
        raise OSError(code, os.strerror(code))


def start_writeback(descriptor: int, offset: int, length: int) -> None:
    """Lets the kernel begin to put written bytes on the disk, so that the fsync at the end is short."""
    _call("sync_file_range", descriptor, ctypes.c_int64(offset), ctypes.c_int64(length), _SYNC_FILE_RANGE_WRITE)


def mostly_cached(descriptor: int, offset: int, length: int) -> bool:
    """Whether more than half of a file's bytes are in memory; no, where the kernel (before 6.5) does not tell."""
    extent, found = (ctypes.c_uint64 * 2)(offset, length), (ctypes.c_uint64 * 5)()
    if _call("syscall", *map(ctypes.c_long, (_CACHESTAT, descriptor)), extent, found, 0):
        return False
    return found[0] * os.sysconf("SC_PAGE_SIZE") * 2 > length


def forget(descriptor: int, offset: int, length: int) -> None:
    """Takes a file's clean pages out of memory."""
    os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_DONTNEED)


def write_once(descriptor: int, data: memoryview, offset: int) -> int:
    """Writes from a buffer, at least a byte; gives how many. The kernel puts them on the disk at once and keeps none
    in memory."""
    try:
        return os.pwritev(descriptor, [data], offset, _DONT_CACHE)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return os.pwrite(descriptor, data, offset)


def exchange(first: Path, second: Path) -> bool:
    """Swaps two paths in one step; False where the file system cannot."""
    return not _call("renameat2", _AT_FDCWD, bytes(first), _AT_FDCWD, bytes(second), _RENAME_EXCHANGE)


def _call(name: str, *arguments: Any) -> int:
    """Error number of a call into the C library; 0 if it went well."""
    function = getattr(_libc(), name, None)
    if function is None:
        return errno.ENOSYS
    return ctypes.get_errno() if function(*arguments) != 0 else 0


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
