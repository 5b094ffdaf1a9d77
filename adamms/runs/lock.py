"""One search at a time in a run folder: a lock that the system takes back from a process that is killed."""

import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from adamms.errors import FULL, UserError
from adamms.support.locks import NO_LOCKS, is_named

LOCK = "lock"

logger = logging.getLogger(__name__)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Nobody else works in a run folder within the block; a folder that is empty afterwards was not needed.

    Raises:
        UserError: somebody does, or the folder cannot be made.
    """
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _take(folder / LOCK)
    except OSError as error:
        if error.errno in FULL:
            raise
        raise UserError(f"run_dir={folder}: cannot be written to ({error.strerror}); give another run_dir") from None
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        os.close(descriptor)
        with suppress(OSError):  # there is something in it
            for parent in made:
                parent.rmdir()


def _take(file: Path) -> int:
    """The descriptor that holds the lock, and with it the only right to remove the file."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                os.close(descriptor)
                if isinstance(error, BlockingIOError):
                    raise UserError(_told(file)) from None
                raise
            logger.warning("%s: this file system has no locks; run one search at a time there", file.parent)
        if is_named(file, descriptor):
            holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S %z")}
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
            return descriptor
        os.close(descriptor)  # whoever held it has removed the file meanwhile


def _told(file: Path) -> str:
    """Who holds it, as that process has written down."""
    who = "another process"
    with suppress(OSError, ValueError, KeyError, TypeError):  # it has not yet, or is through
        holder = json.loads(file.read_text(encoding="utf-8"))
        who = f"process {holder['pid']} on {holder['host']}, since {holder['since']},"
    return f"run_dir={file.parent}: {who} is at work in it; wait for it, stop it, or give another run_dir"
