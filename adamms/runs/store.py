"""The store of responses: append-only JSONL files that survive `kill -9` and any number of writers.

Every writer has a file of its own, so no two processes (nor two machines on a network file system) ever write to the
same one, and the only line that a kill can tear is the last of a file, which readers ignore. Nothing is rewritten.
"""

import json
import os
import threading
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

from adamms.runs.jsonl import raise_problems, read_rows
from adamms.runs.record import ResponseRecord
from adamms.runs.values import normalize_value


class ResponseStore:
    """Responses in a folder. Any number of stores, in any processes, may share it."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._lock = threading.RLock()
        self._writer: tuple[int, int] | None = None  # (process, file descriptor)

    def append(self, records: Iterable[ResponseRecord]) -> None:
        """Add records: whole lines, in one write.

        Raises:
            OSError: the disk is full or gone; what was written of the batch is not counted as stored.
        """
        batch = b"".join(record.to_line() for record in records)
        if not batch:
            return
        with self._lock:
            descriptor = self._descriptor()
            try:
                written = os.write(descriptor, batch)
                while written < len(batch):
                    written += os.write(descriptor, batch[written:])
            except OSError as error:  # a torn line must stay the last of its file
                self.close()
                error.filename = str(self.folder)
                raise

    def load(self) -> list[ResponseRecord]:
        """All records, one for each key: of the same work stored twice, the first.

        Raises:
            UserError: a file holds lines that are no stored responses.
        """
        first: dict[str, ResponseRecord] = {}
        problems: list[str] = []
        for file in sorted(self.folder.rglob("*.jsonl")):
            for row in read_rows(file, problems):
                try:
                    record = ResponseRecord.from_fields(row.fields)
                    if not record.key:
                        raise ValueError("key is missing")
                except ValueError as error:
                    problems.append(f"{row.where}: not a stored response ({error})")
                else:
                    first.setdefault(record.key, record)
        raise_problems(problems)
        return list(first.values())

    def close(self) -> None:
        """Close the file; a later `append` begins a new one."""
        with self._lock:
            if self._writer is not None and self._writer[0] == os.getpid():
                os.close(self._writer[1])
            self._writer = None

    def _descriptor(self) -> int:
        """The file of this process, begun when first needed; a forked child begins its own."""
        if self._writer is None or self._writer[0] != os.getpid():
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"{time.time_ns():020d}-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
            descriptor = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            self._writer = (os.getpid(), descriptor)
        return self._writer[1]


class GrowingStore:
    """A store that others append to while it is looked into: every line is found once, and of a candidate only its own
    lines are read again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[Path, int] = {}  # file -> how many of its bytes were looked at
        self._spans: dict[float, list[tuple[Path, int, int]]] = {}  # value -> file, start, stop

    def answers_at(self, value: float) -> dict[str, str]:
        """One candidate's: prompt id -> response; where one is stored twice, the first."""
        self._look()
        answers: dict[str, str] = {}
        for file, start, stop in self._spans.get(value, ()):
            with file.open("rb") as opened:
                opened.seek(start)
                for line in filter(bytes.strip, opened.read(stop - start).split(b"\n")):
                    record = ResponseRecord.from_fields(json.loads(line))
                    answers.setdefault(record.prompt_id, record.response)
        return answers

    def _look(self) -> None:
        """Finds lines that are new."""
        files = sorted(self._folder.rglob("*.jsonl"))
        if not self._found.keys() <= set(files):  # set aside meanwhile
            self._found, self._spans = {}, {}
        for file in files:
            start = self._found.get(file, 0)
            with file.open("rb") as opened:
                opened.seek(start)
                for line in filter(bytes.strip, opened):
                    try:
                        value = normalize_value(json.loads(line)["alpha"])
                    except ValueError:  # the last one, torn by a kill or not yet whole
                        break
                    spans = self._spans.setdefault(value, [])
                    follows = bool(spans) and spans[-1][::2] == (file, start)
                    begin = spans.pop()[1] if follows else start
                    start += len(line)
                    spans.append((file, begin, start))
            self._found[file] = start
