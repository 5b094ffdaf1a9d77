"""An output folder that appears complete or not at all."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from uuid import uuid4

from adamms.errors import UserError
from adamms.merging.companions import not_ours
from adamms.support import system
from adamms.support.files import check_writable, expanded

_MARK = ".adamms-staging-"


@contextmanager
def staged_folder(output: Path, force: bool = False) -> Iterator[Path]:
    """Yields a new folder beside `output`, which becomes `output` when the block succeeds and is removed if it fails.

    The folder is locked while this process lives. The kernel releases the lock of a killed process, whose folder the
    next merge to the same output then removes.

    Raises:
        UserError: `output` exists and `force` is not given, or it cannot be made.
    """
    output = expanded(output).absolute()
    check_output(output, force)
    staging = output.with_name(f".{output.name}{_MARK}{uuid4().hex[:8]}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(output)
        staging.mkdir()
    except OSError as error:
        raise UserError(f"{output}: cannot be made there ({error.strerror}); give another path") from None
    lock = _lock(staging)
    try:
        yield staging
        for path in (*staging.rglob("*"), staging):  # before the folder gets the name of a complete one
            fsync(path)
        check_output(output, force)
        _put_in_place(staging, output)
        fsync(output.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def check_output(output: Path, force: bool) -> None:
    """Raises UserError if a result may not, or cannot, be written to `output`; only what AdaMMS wrote is replaced."""
    output = expanded(output).absolute()
    check_writable(output.with_name(f".{output.name}{_MARK}{8 * 'x'}"))
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
    """Removes the folders that killed merges to the same output left beside it."""
    for path in output.parent.glob(f".{escape(output.name)}{_MARK}*"):
        lock = _lock(path)
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)


def _put_in_place(staging: Path, output: Path) -> None:
    """Renames `staging` to `output`, in one step where the system can swap an existing `output` for it.

    A swapped `output` is then called `staging`, and is removed with it.
    """
    if not output.exists():
        staging.rename(output)
    elif not system.exchange(staging, output):
        replaced = staging.with_name(f"{staging.name}-replaced")
        output.rename(replaced)
        staging.rename(output)
        shutil.rmtree(replaced)


def _lock(folder: Path) -> int | None:
    """Locks a folder: returns the descriptor that holds the lock, or None if another process has it."""
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


def fsync(path: Path) -> None:
    """Flushes a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
