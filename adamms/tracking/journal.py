"""What a search has to tell the dashboard, on disk: an append-only file of operations, and how far it was delivered.

Operations are written first and delivered from here, in order, whether the server answers at once or next week. What
is delivered is remembered for every server by itself, so the same journal can be delivered to another one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adamms.support.files import write_whole

SUFFIX = ".journal.jsonl"


@dataclass(frozen=True)
class Operation:
    """One thing to tell.

    Attributes:
        kind: what `Delivery` does with it, such as `metrics`.
        run: None for the search itself, else a candidate's alpha as `format_alpha` writes it.
        time: when it happened, in milliseconds since 1970.
        fields: what else the kind needs.
    """

    kind: str
    run: str | None
    time: int
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Parent:
    """The sweep that a search belongs to, by the journal of the sweep's own run."""

    folder: Path
    key: str
    name: str

    def to_json(self) -> dict[str, str]:
        return {"folder": str(self.folder.resolve()), "key": self.key, "name": self.name}


class Journal:
    """The operations of one search, in `folder`. One process writes; any may deliver, one at a time."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self._file = folder / f"{key}{SUFFIX}"
        self._writing = threading.Lock()

    @classmethod
    def all_in(cls, folder: Path) -> list[Journal]:
        """The journals of every search that ran in one folder, oldest first."""
        files = sorted(folder.glob(f"*{SUFFIX}"), key=lambda file: file.stat().st_ctime_ns)
        return [cls(folder, file.name.removesuffix(SUFFIX)) for file in files]

    def append(self, kind: str, run: str | None = None, **fields: Any) -> None:
        """Adds an operation that happens now; it survives a kill once this returns."""
        row = {"kind": kind, "run": run, "time": int(time.time() * 1000), **fields}
        line = json.dumps(row)
        with self._writing:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(self._file, "a+b", opener=_private) as file:
                torn = file.tell() > 0 and not _ends_with_newline(file)
                file.write(b"\n" * torn + line.encode() + b"\n")

    def operations(self) -> Iterator[Operation]:
        """All operations, in order; a line that a kill tore is none."""
        if not self._file.is_file():
            return
        with self._file.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    return  # still being written, or torn
                try:
                    row = json.loads(line)
                except ValueError:
                    continue
                yield Operation(row.pop("kind"), row.pop("run"), row.pop("time"), row)

    def delivered(self, target: str) -> int:
        """How many operations a server has."""
        try:
            found = json.loads(self._position(target).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0
        return int(found["operations"])

    def mark_delivered(self, target: str, operations: int) -> None:
        """Remembers how many operations a server has."""
        write_whole(self._position(target), json.dumps({"operations": operations}) + "\n")

    def waiting(self, target: str) -> int:
        """How many operations a server has yet to be told."""
        return sum(1 for _ in self.operations()) - self.delivered(target)

    @contextmanager
    def delivering(self) -> Iterator[None]:
        """Keeps every other process from delivering at the same time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{self.key}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _position(self, target: str) -> Path:
        name = hashlib.sha256(target.encode()).hexdigest()[:12]
        return self.folder / f"{self.key}.delivered-{name}.json"


def _private(path: str, flags: int) -> int:
    """For its owner only: the address of a server may hold a password."""
    return os.open(path, flags, 0o600)


def _ends_with_newline(file: Any) -> bool:
    file.seek(-1, 2)
    return bool(file.read(1) == b"\n")
