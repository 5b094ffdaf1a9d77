"""One run on the dashboard, off the critical path: what is tracked never waits for it, nor fails because of it."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from adamms.tracking.courier import JOURNALS, Courier
from adamms.tracking.journal import Journal, Parent
from adamms.tracking.machine import MachineMonitor
from adamms.tracking.server import Server, Unreachable, without_password

if TYPE_CHECKING:
    from adamms.tracking.config import TrackingConfig

logger = logging.getLogger(__name__)
_OPEN: set[RunTracker] = set()
STATUSES = {KeyboardInterrupt: "KILLED", SystemExit: "KILLED", GeneratorExit: "KILLED"}


class RunTracker:
    """A context manager around a search or a sweep; its calls only write to its journal, a thread delivers it.

    What is run again goes on in the same runs: they are found by `key`.

    Args:
        params: of the run.
        folder: its journal lies there, and files are named relative to it.
        parent: the sweep that a search is part of.

    Raises (on entering):
        UserError: the tracking URI is none that MLflow can use.
    """

    role: Literal["search", "sweep"]

    def __init__(
        self,
        config: TrackingConfig,
        key: str,
        name: str,
        params: Mapping[str, Any],
        folder: Path,
        parent: Parent | None = None,
    ) -> None:
        self.name = name
        self._config, self._parent = config, parent
        self.folder = folder
        self._params = {key: str(value) for key, value in params.items()}
        self._journal = Journal(folder / JOURNALS, key)
        self._told: dict[tuple[str, ...], Any] = {}

    @property
    def as_parent(self) -> Parent | None:
        """For the searches of a sweep; None where nothing is tracked."""
        return Parent(self._journal.folder, self._journal.key, self.name) if self._config.enabled else None

    def __enter__(self) -> Self:
        if not self._config.enabled:
            return self
        self._server = Server(self._config.uri, self._config.experiment)
        try:
            self._server.check()
        except Unreachable as error:
            logger.warning("tracking.uri=%s does not answer (%s); the %s goes on", self._uri, error, self.role)
        for operation in self._journal.operations():
            self._told[_slot(operation.kind, operation.run, operation.fields)] = operation.fields
        self._journal.append(
            "open",
            uri=self._config.uri,
            experiment=self._config.experiment,
            name=self.name,
            role=self.role,
            note=f"{self.name}: under way",
            params=self._params,
            parent=self._parent.to_json() if self._parent else None,
        )
        self._courier = Courier(self._journal, self._server, self.folder)
        self._courier.start()
        _OPEN.add(self)
        watched = self._config.system_metrics and self._parent is None  # a sweep's own run has the machine's load
        self._machine = MachineMonitor(self._log_machine) if watched else None
        if self._machine:
            self._machine.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._config.enabled:
            return
        _OPEN.discard(self)
        if self._machine:
            self._machine.stop()
        self._journal.append("status", status="FINISHED" if kind is None else STATUSES.get(kind, "FAILED"))
        self._courier.close()
        waiting = self._journal.waiting(self._server.name)
        if waiting:
            logger.warning(
                "%d records could not be delivered to %s; deliver them with: adamms track %s",
                waiting,
                self._uri,
                self.folder,
            )

    def log_metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Logs metrics of the whole (seconds by phase, noise floor, saved work)."""
        at: dict[str, Any] = {"step": step} if step else {}
        self._tell("metrics", values=finite(values), **at)

    def log_tags(self, values: Mapping[str, str]) -> None:
        """Logs tags of the whole."""
        self._tell("tags", values=dict(values))

    def log_files(self, files: Sequence[Path], folder: str | None = None) -> None:
        """Files of the run folder, as artifacts."""
        for path in files:
            name = str(path.relative_to(self.folder))
            self._tell("file", path=name, folder=folder, digest=digest(path))

    def log_table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A table of the whole, as `mlflow.log_table` makes one: the dashboard shows it, `load_table` reads it."""
        if self._config.enabled:
            self._tell_table(Path(JOURNALS) / "tables" / f"{self._journal.key}-{name}", name, columns, rows)

    def _tell_table(
        self, path: Path, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], run: str | None = None
    ) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"columns": list(columns), "data": [list(row) for row in rows]}), encoding="utf-8")
        self._tell("table", run, path=str(path), name=name, digest=digest(file))

    def tell_interrupted(self) -> None:
        """Says so before it has ended, for it may be killed before; how it does end is told all the same."""
        self._journal.append("status", status="KILLED")
        self._courier.notify()

    @property
    def _uri(self) -> str:
        return without_password(self._config.uri)

    def _log_machine(self, values: Mapping[str, float]) -> None:
        self._journal.append("metrics", values=finite(values))
        self._courier.notify()

    def _tell(self, kind: str, run: str | None = None, **fields: Any) -> None:
        """Appends an operation, unless it says what was said before (a search that is run again repeats itself)."""
        if not self._config.enabled:
            return
        slot = _slot(kind, run, fields)
        if self._told.get(slot) == fields:
            return
        self._told[slot] = fields
        self._journal.append(kind, run, **fields)
        self._courier.notify()


def tell_interrupted() -> None:
    """Somebody stops this process: all that is tracked in it, in whichever thread, says so at once."""
    for tracker in list(_OPEN):
        tracker.tell_interrupted()


def _slot(kind: str, run: str | None, fields: Mapping[str, Any]) -> tuple[str, ...]:
    """What an operation overwrites."""
    name = str(fields.get("path", fields.get("name", "")))
    return (kind, run or "", name, str(fields.get("step", "")), *sorted(fields.get("values", ())))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""


def finite(values: Mapping[str, float | None]) -> dict[str, float]:
    """Metrics as MLflow takes them: numbers only, and no `+` in a name, as that of a metric of several parts has."""
    known = {name: value for name, value in values.items() if value is not None and math.isfinite(value)}
    return {re.sub(r"[^\w.\-/ :]", "-", name): float(value) for name, value in known.items()}
