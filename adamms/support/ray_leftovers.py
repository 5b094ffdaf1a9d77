"""What killed programs left of their own Ray on this machine: processes that outlive them, and folders that pile up.

Ours are told from others' by a file in the session's folder, which is locked while the program that made it lives.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from adamms.support.locks import NO_LOCKS

if TYPE_CHECKING:
    import psutil

MARK = "adamms.lock"
_RAYS = re.compile(r"^ray::|/ray/(_private|autoscaler|core|dashboard)/")
"""In the arguments of a process that is Ray's own, not of somebody who reads its logs."""


def temporary_folder() -> Path:
    """Where Ray keeps the folders of its sessions, by its own rule."""
    given = os.environ.get("RAY_TMPDIR") or (os.environ.get("TMPDIR") if sys.platform.startswith("linux") else None)
    return Path(given or "/tmp", "ray")


def mark_session(session: Path) -> int:
    """Says that a session is ours while this process lives; gives the descriptor to close when it has ended. The mark
    is locked before it has its name: nobody finds one that looks like a dead program's."""
    new = session / f".{MARK}"
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        new.unlink()
        if error.errno not in NO_LOCKS:
            os.close(descriptor)
            raise
    else:
        new.rename(session / MARK)
    return descriptor


def remove_leftovers(folder: Path) -> None:
    """Ends the processes and removes the folders of our sessions whose program is dead; no other is touched."""
    for mark in folder.glob(f"session_*/{MARK}"):
        session = mark.parent
        with suppress(OSError):  # gone meanwhile, or on a file system that cannot lock: left alone
            if session.is_symlink() or {session.stat().st_uid, mark.lstat().st_uid} != {os.getuid()}:
                continue
            descriptor = os.open(mark, os.O_RDWR | os.O_NOFOLLOW)  # NFS locks no other
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _end(_processes_of(session))
                shutil.rmtree(session, ignore_errors=True)
            finally:
                os.close(descriptor)


def _processes_of(session: Path) -> Iterator[psutil.Process]:
    """Ray's services and workers whose arguments name the session's folder or who write logs into it, and all that
    they have started."""
    import psutil

    for process in psutil.process_iter():
        with suppress(psutil.Error):
            arguments = process.cmdline()
            if any(_RAYS.search(argument) for argument in arguments):
                places = [*arguments, *(file.path for file in process.open_files())]
                if any(f"{session}/" in f"{place}/" for place in places):
                    yield from (process, *process.children(recursive=True))


def _end(processes: Iterator[psutil.Process]) -> None:
    import psutil

    found = set(processes)
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(found, timeout=5)
