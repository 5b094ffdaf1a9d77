"""What a case may do: end within seconds, in nothing worse than one line for the user, and write nowhere else."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adamms.errors import UserError

LONGEST, LONGEST_MESSAGE = 5.0, 20_000  # seconds of the processor, characters
LONGEST_WAIT = 30.0  # seconds; other programs may keep the processor busy
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod"}


class Writes:
    """Sees every path that Python code of this thread, and of threads that merge, writes to: an audit hook."""

    def __init__(self) -> None:
        self._found: list[str] | None = None
        sys.addaudithook(self._look)

    @contextmanager
    def watched(self) -> Iterator[list[str]]:
        """The paths that are written to within the block."""
        self._found = found = []
        try:
            yield found
        finally:
            self._found = None

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._found is None or (event != "open" and event not in _CHANGES):
            return
        thread = threading.current_thread()
        if thread is not threading.main_thread() and not thread.name.startswith("merge"):
            return
        path = arguments[0]
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & _WRITING):
            return
        if event == "os.mkdir" and Path(os.fsdecode(path)).is_dir():
            return  # `mkdir(exist_ok=True)` of what is there
        if isinstance(path, str | bytes | os.PathLike) and "__pycache__" not in os.fsdecode(path):
            self._found.append(os.fsdecode(path))


WRITES = Writes()


def attempt(enter: Callable[[], Any], output: Path | None = None, locks: Path | None = None) -> None:
    """Lets one case in.

    Args:
        output: the only folder that may be written to, and its staging folder beside it; None: nothing may.
        locks: the folder of the locks that processes of one machine share while they fetch.

    Raises:
        AssertionError: the case took too long, wrote elsewhere, or its error is more than a line.
        Exception: any other than UserError is what the fuzzing looks for.
    """
    started, computed = time.perf_counter(), time.process_time()
    with WRITES.watched() as written:
        message = refusal(enter)
    waited, took = time.perf_counter() - started, time.process_time() - computed
    assert "\n" not in message, f"more than one line: {message}"
    assert len(message) < LONGEST_MESSAGE, f"{len(message)} characters: {message[:300]}"
    assert took < LONGEST, f"took {took:.1f} s of the processor"
    assert waited < LONGEST_WAIT, f"took {waited:.1f} s"
    outside = [path for path in written if not (_is_lock(path, locks) or (output and _belongs(path, output)))]
    assert not outside, f"wrote to {outside}"


def refusal(enter: Callable[[], Any]) -> str:
    """What a user is told; empty where the case was let in."""
    try:
        enter()
    except UserError as error:
        return str(error)
    return ""


def _is_lock(path: str, locks: Path | None) -> bool:
    return locks is not None and path.startswith(f"{locks}/adamms-locks-")


def _belongs(path: str, output: Path) -> bool:
    place = Path(path).absolute()
    staging = f".{output.name}.adamms-staging-"
    return any(one == output or (one.parent == output.parent and one.name.startswith(staging))
               for one in (place, *place.parents))  # fmt: skip
