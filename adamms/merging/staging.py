"""An output folder that appears complete or not at all."""

import errno
import fcntl
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from uuid import uuid4

from adamms.errors import UserError
from adamms.merging.companions import not_ours
from adamms.support import system
from adamms.support.files import check_writable, expanded
from adamms.support.locks import NO_LOCKS, is_named

_MARK, _REPLACED, _LOCK = ".adamms-staging-", "-replaced", ".lock"

LOG = logging.getLogger(__name__)


@contextmanager
def staged_folder(output: Path, force: bool = False) -> Iterator[Path]:
    """Yields a new folder beside `output`, which becomes `output` when the block succeeds and is removed if it fails.

    While this process lives it holds the lock of a file beside the folder, which other machines see on a shared disk,
    too. The system releases the lock of a killed process, whose folder the next merge to the same output then removes.

    Raises:
        UserError: `output` exists and `force` is not given, or it cannot be made.
    """
    output = expanded(output).absolute()
    check_output(output, force)
    staging = output.with_name(f".{output.name}{_MARK}{uuid4().hex[:8]}")
    lock = None
    try:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            remove_stale(output)
            lock = _take_lock(_lock_file(staging))
            staging.mkdir()
        except OSError as error:
            raise UserError(f"{output}: cannot be made there ({error.strerror}); give another path") from None
        yield staging
        for path in (*staging.rglob("*"), staging):  # before the folder gets the name of a complete one
            fsync(path)
        check_output(output, force)
        _put_in_place(staging, output)
        fsync(output.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        _give_back(_lock_file(staging), lock)


def check_output(output: Path, force: bool) -> None:
    """Raises UserError if a result may not, or cannot, be written to `output`; only what AdaMMS wrote is replaced."""
    output = expanded(output).absolute()
    check_writable(_lock_file(output.with_name(f".{output.name}{_MARK}{8 * 'x'}")))
    if not os.path.lexists(output):
        return
    if not force:
        raise UserError(f"{output}: already exists; give another folder, or --force to replace it")
    if output.is_symlink():
        raise UserError(f"{output}: is a symbolic link; give the folder itself to replace it")
    if not output.is_dir():
        raise UserError(f"{output}: is not a folder; give another path")
    if found := not_ours(output):
        raise UserError(
            f"{output}: holds {found.relative_to(output)}, which AdaMMS did not write and --force leaves alone; move "
            "that elsewhere, or give another folder"
        )


def remove_stale(output: Path) -> None:
    """Removes the folders and lock files that killed merges to the same output left beside it."""
    found = output.parent.glob(f".{escape(output.name)}{_MARK}*")
    for name in {path.name.removesuffix(_LOCK).removesuffix(_REPLACED) for path in found}:
        folder = output.with_name(name)
        try:
            lock = _lock(_lock_file(folder))
        except OSError:  # its merge lives, or nobody can tell
            continue
        for stale in (folder, folder.with_name(f"{name}{_REPLACED}")):
            shutil.rmtree(stale, ignore_errors=True)
        _give_back(_lock_file(folder), lock)


def _put_in_place(staging: Path, output: Path) -> None:
    """Renames `staging` to `output`, in one step where the system can swap an existing `output` for it.

    A swapped `output` is then called `staging`, and is removed with it.
    """
    if not output.exists():
        staging.rename(output)
    elif not system.exchange(staging, output):
        replaced = staging.with_name(f"{staging.name}{_REPLACED}")
        output.rename(replaced)
        staging.rename(output)
        shutil.rmtree(replaced)


def _lock_file(staging: Path) -> Path:
    """A file, since NFS locks a folder for the one machine only."""
    return staging.with_name(f"{staging.name}{_LOCK}")


def _take_lock(file: Path) -> int | None:
    """The descriptor that holds the lock of a new staging folder; None where the file system has no locks, so that no
    other merge will take the folder for a stale one either.

    Raises:
        OSError: it cannot be had.
    """
    while True:
        try:
            return _lock(file)
        except BlockingIOError:  # for a moment, a merge that looks for stale ones has it
            time.sleep(0.01)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            LOG.warning("%s: this file system has no locks; merge one at a time to an output there", file.parent)
            return None


def _lock(file: Path) -> int:
    """Locks a file, which is made where it is missing; with the lock comes the only right to remove it.

    Raises:
        BlockingIOError: another process has it.
        OSError: it cannot be locked.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not is_named(file, descriptor):
            raise BlockingIOError(errno.EWOULDBLOCK, "removed by who had it", str(file))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _give_back(file: Path, lock: int | None) -> None:
    """Removes a lock's file, then the lock."""
    with suppress(OSError):
        file.unlink(missing_ok=True)
    if lock is not None:
        os.close(lock)


def fsync(path: Path) -> None:
    """Flushes a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
