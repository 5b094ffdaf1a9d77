"""The store of responses: append-only JSONL files that survive `kill -9` and any number of writers.

Every writer has a file of its own, so no two processes (nor two machines on a network file system) ever write to the
same one, and the only line that a kill can tear is the last of a file, which readers ignore. Nothing is rewritten.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adamms.runs.jsonl import Row, raise_problems, read_rows
from adamms.runs.responses import Responses, normalize_alpha

LOGPROB_DIGITS = 4


@dataclass(frozen=True)
class ResponseRecord:
    """One answer of one candidate, and what it cost."""

    alpha: float
    prompt_id: str
    response: str
    key: str
    """Hex; identifies the work: base, donor, plan, method, alpha, prompt content, sampling, engine, versions."""
    tokens: int = 0
    finish_reason: str = ""
    logprobs: tuple[float, ...] | None = field(default=None, compare=False)
    """Of the generated tokens; rounded when they are written."""
    extra: Mapping[str, Any] | None = field(default=None, compare=False)

    def to_line(self) -> bytes:
        """One line of JSONL, newline included."""
        fields: dict[str, Any] = {
            "alpha": normalize_alpha(self.alpha),
            "prompt_id": self.prompt_id,
            "response": self.response,
            "key": self.key,
            "tokens": self.tokens,
            "finish_reason": self.finish_reason,
        }
        if self.logprobs is not None:
            fields["logprobs"] = [round(value, LOGPROB_DIGITS) for value in self.logprobs]
        if self.extra:
            fields["extra"] = dict(self.extra)
        try:
            return json.dumps(fields, ensure_ascii=False).encode() + b"\n"
        except UnicodeEncodeError:  # a lone surrogate, as a cut byte-level token may leave
            return json.dumps(fields).encode() + b"\n"

    @classmethod
    def from_row(cls, row: Row) -> ResponseRecord:
        """Read what `to_line` wrote.

        Raises:
            ValueError: a field is missing or of another type.
        """
        fields = row.fields
        try:
            return cls(
                alpha=normalize_alpha(fields["alpha"]),
                prompt_id=str(fields["prompt_id"]),
                response=str(fields["response"]),
                key=str(fields["key"]),
                tokens=int(fields.get("tokens", 0)),
                finish_reason=str(fields.get("finish_reason", "")),
                logprobs=tuple(map(float, fields["logprobs"])) if fields.get("logprobs") is not None else None,
                extra=fields.get("extra"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{row.where}: not a stored response ({type(error).__name__}: {error})") from error


class ResponseStore:
    """Responses in a folder. Any number of stores, in any processes, may share it."""

    def __init__(self, folder: str | Path, *, fsync: bool = False) -> None:
        self.folder = Path(folder)
        self._fsync = fsync
        self._lock = threading.Lock()
        self._writer: tuple[int, int] | None = None  # (process, file descriptor)

    def append(self, records: Iterable[ResponseRecord]) -> None:
        """Add records: whole lines, in one write. With `fsync` they also survive a power cut once this returns.

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
                if self._fsync:
                    os.fsync(descriptor)
            except OSError as error:  # a torn line must stay the last of its file
                self._close()
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
                    record = ResponseRecord.from_row(row)
                except ValueError as error:
                    problems.append(str(error))
                else:
                    first.setdefault(record.key, record)
        raise_problems(problems)
        return list(first.values())

    def finished(self, keys: Iterable[str]) -> set[str]:
        """Those of `keys` that are stored: work not to be done again."""
        return set(keys) & {record.key for record in self.load()}

    def responses(self, keys: Collection[str] | None = None) -> Responses:
        """The stored answers as a table; with `keys` only those, so that other searches in the folder do not mix in."""
        table: Responses = {}
        wanted = None if keys is None else set(keys)
        for record in self.load():
            if wanted is None or record.key in wanted:
                table.setdefault(record.alpha, {}).setdefault(record.prompt_id, record.response)
        return table

    def close(self) -> None:
        """Close the file; a later `append` begins a new one."""
        with self._lock:
            self._close()

    def __enter__(self) -> ResponseStore:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "fsync": self._fsync}

    def __setstate__(self, state: dict[str, Any]) -> None:
        ResponseStore.__init__(self, state["folder"], fsync=state["fsync"])

    def _descriptor(self) -> int:
        """The file of this process, begun when first needed; a forked child begins its own."""
        if self._writer is None or self._writer[0] != os.getpid():
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"{time.time_ns():020d}-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
            descriptor = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            self._writer = (os.getpid(), descriptor)
        return self._writer[1]

    def _close(self) -> None:
        if self._writer is not None and self._writer[0] == os.getpid():
            os.close(self._writer[1])
        self._writer = None
