"""An output folder that appears complete or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from adamms.errors import UserError
from adamms.merging import linux

_MARK = ".adamms-staging-"


@contextmanager
def staged_folder(output: Path, force: bool = False) -> Iterator[Path]:
    """A new folder beside `output`, renamed to it when the block ends well and removed when it does not.

    The folder is locked while this process lives; the kernel drops the lock of a killed one, whose folder the next
    run for the same output removes.

    Raises:
        UserError: `output` exists and `force` is not given.
    """
    output = output.expanduser().absolute()
    check_output(output, force)
    output.parent.mkdir(parents=True, exist_ok=True)
    remove_stale(output)
    staging = Path(tempfile.mkdtemp(prefix=f".{output.name}{_MARK}", dir=output.parent))
    lock = _lock(staging)
    try:
        staging.chmod(0o777 & ~_umask())
        yield staging
        sync_folder(staging)
        check_output(output, force)
        _put_in_place(staging, output)
        _fsync(output.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def check_output(output: Path, force: bool) -> None:
    """Raises UserError where a result may not be written."""
    if os.path.lexists(output) and not force:
        raise UserError(f"{output}: already exists; give another folder, or --force to replace it")
    if force and output.is_symlink():
        raise UserError(f"{output}: is a symbolic link; give the folder itself to replace it")
    if output.exists() and not output.is_dir():
        raise UserError(f"{output}: is no folder; give another path")


def remove_stale(output: Path) -> None:
    """Removes what killed runs for the same output left beside it."""
    for path in output.parent.glob(f".{escape(output.name)}{_MARK}*"):
        lock = _lock(path)
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)


def sync_folder(folder: Path) -> None:
    """Every file of the folder on the disk, before its name says that it is complete."""
    for path in folder.rglob("*"):
        if path.is_file():
            _fsync(path)
    _fsync(folder)


def _put_in_place(staging: Path, output: Path) -> None:
    """In one step; what stood there before is then the staging folder, and removed as such."""
    if not output.exists():
        staging.rename(output)
    elif not linux.exchange(staging, output):
        replaced = staging.with_name(f"{staging.name}-replaced")
        output.rename(replaced)
        staging.rename(output)
        shutil.rmtree(replaced)


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock, or None where another process holds it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
