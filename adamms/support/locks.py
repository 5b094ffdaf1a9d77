"""Locks of files, which the system takes back from a process that is killed."""

import errno
import os
from pathlib import Path

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
"""What file systems say that cannot lock. NFS can, between its clients too, but only files that are open for writing;
Lustre where it is mounted with `flock`."""


def is_named(file: Path, descriptor: int) -> bool:
    """Whether a path still names the open file: whoever held its lock before may have removed it."""
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
