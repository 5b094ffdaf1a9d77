"""An output folder that appears complete or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adamms.errors import UserError

_MARK = ".adamms-staging-"


@contextmanager
def staged_folder(output: Path, force: bool = False) -> Iterator[Path]:
    """A new folder beside `output`, renamed to it when the block ends well and removed when it does not.

    What an earlier, killed run left beside `output` is removed first.

    Raises:
        UserError: `output` exists and `force` is not given.
    """
    check_output(output, force)
    output.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(output)
    staging = output.with_name(f".{output.name}{_MARK}{os.getpid()}")
    staging.mkdir()
    try:
        yield staging
        sync_folder(staging)
        if output.exists():
            replaced = output.with_name(f".{output.name}{_MARK}{os.getpid()}-replaced")
            output.rename(replaced)
            staging.rename(output)
            shutil.rmtree(replaced)
        else:
            staging.rename(output)
        _fsync(output.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def check_output(output: Path, force: bool) -> None:
    """Raises UserError where a result may not be written."""
    if output.exists() and not force:
        raise UserError(f"{output}: already exists; give another folder, or --force to replace it")


def sync_folder(folder: Path) -> None:
    """Every file of the folder on the disk, before its name says that it is complete."""
    for path in folder.rglob("*"):
        if path.is_file():
            _fsync(path)
    _fsync(folder)


def _remove_stale(output: Path) -> None:
    for path in output.parent.glob(f".{output.name}{_MARK}*"):
        pid = path.name.removeprefix(f".{output.name}{_MARK}").removesuffix("-replaced")
        if not (pid.isdigit() and Path(f"/proc/{pid}").exists()):
            shutil.rmtree(path, ignore_errors=True)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
