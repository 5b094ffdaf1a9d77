"""Telling MLflow what a journal holds: every kind of operation once, in order, safe to repeat.

Delivery may be cut anywhere, also between an operation and the note that it was delivered. So each one is made such
that doing it again changes nothing: runs are found by their tags, metrics carry the time at which they were measured,
files replace themselves.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from adamms.tracking.journal import Journal, Operation
from adamms.tracking.server import Server, Unreachable

logger = logging.getLogger(__name__)
SEARCH_TAG = "adamms.search"
KIND_TAG = "adamms.kind"
LONGEST_PARAM = 6000
LONGEST_TAG = 5000


class Delivery:
    """Brings one search's journal to one server.

    Args:
        files: the folder that the paths of files in the journal start from.
    """

    def __init__(self, journal: Journal, server: Server, files: Path) -> None:
        self._journal, self._server, self._files = journal, server, files
        self._runs: dict[str | None, str] = {}

    def deliver(self) -> int:
        """Delivers what is waiting; gives how many operations the server took.

        An operation that the server refuses is told of and left out; it never holds up the others.

        Raises:
            Unreachable: the server did not answer; what is left stays in the journal.
        """
        target, taken = self._server.name, 0
        with self._journal.delivering():
            start = self._journal.delivered(target)
            for number, operation in enumerate(self._journal.operations()):
                if number < start:
                    continue
                with self._server.answering():
                    try:
                        self._do(operation)
                        taken += 1
                    except Exception as error:
                        if self._server.is_down(error):
                            self._runs.clear()  # it may have made a run and died before it could say so
                            raise
                        reason = str(error).splitlines()[:1]
                        logger.warning(
                            "MLflow did not take a record (%s, %s: %s)", operation.kind, type(error).__name__, reason
                        )
                self._journal.mark_delivered(target, number + 1)
        return taken

    def _do(self, operation: Operation) -> None:
        kinds: Mapping[str, Callable[[Operation], None]] = {
            "open": self._open,
            "metrics": self._metrics,
            "tags": self._tags,
            "inputs": self._inputs,
            "file": self._file,
            "table": self._table,
            "status": self._status,
            "model": self._model,
        }
        kinds[operation.kind](operation)

    @property
    def _client(self) -> Any:
        return self._server.client

    def _run(self, operation: Operation) -> str:
        """The id of the run that an operation is about; a candidate's is made when it is first spoken of."""
        if not self._runs:
            self._find_runs()
        if operation.run not in self._runs:
            opened = next(found for found in self._journal.operations() if found.kind == "open")
            if None not in self._runs:
                self._runs[None] = self._create_parent(opened)
            if operation.run is not None:
                started = operation.time - int(1000 * operation.fields.get("seconds", 0))
                self._runs[operation.run] = self._create_child(operation.run, started, opened)
        return self._runs[operation.run]

    def _find_runs(self) -> None:
        search = f"tags.`{SEARCH_TAG}` = '{self._journal.key}'"
        for run in self._client.search_runs([self._server.experiment()], search, max_results=1000):
            child = run.data.tags.get(KIND_TAG) == "candidate"
            alpha = run.data.tags.get("alpha") or run.data.params.get("alpha")
            self._runs[alpha if child else None] = run.info.run_id

    def _create_parent(self, opened: Operation) -> str:
        kind, note = opened.fields.get("role", "search"), opened.fields["note"]
        tags = {SEARCH_TAG: self._journal.key, KIND_TAG: kind, "mlflow.note.content": note}
        if opened.fields.get("parent"):
            tags["mlflow.parentRunId"] = self._sweep(opened)
        run = self._client.create_run(
            self._server.experiment(), start_time=opened.time, tags=tags, run_name=opened.fields["name"]
        )
        return str(run.info.run_id)

    def _sweep(self, opened: Operation) -> str:
        """The run of the sweep that the search belongs to; whichever of its searches comes first makes it."""
        parent = opened.fields["parent"]
        with Journal(Path(parent["folder"]), parent["key"]).delivering():
            known = f"tags.`{SEARCH_TAG}` = '{parent['key']}'"
            for run in self._client.search_runs([self._server.experiment()], known, max_results=1):
                return str(run.info.run_id)
            tags = {SEARCH_TAG: parent["key"], KIND_TAG: "sweep"}
            run = self._client.create_run(
                self._server.experiment(), start_time=opened.time, tags=tags, run_name=parent["name"]
            )
            return str(run.info.run_id)

    def _create_child(self, alpha: str, time: int, opened: Operation) -> str:
        tags = {
            "mlflow.parentRunId": self._runs[None],
            SEARCH_TAG: self._journal.key,
            KIND_TAG: "candidate",
            "alpha": alpha,
            "chosen": "false",
        }
        name = f"alpha {alpha}"
        run = self._client.create_run(self._server.experiment(), start_time=time, tags=tags, run_name=name)
        run_id = str(run.info.run_id)
        self._client.log_batch(run_id, params=_params({**opened.fields["params"], "alpha": alpha}))
        return run_id

    def _open(self, operation: Operation) -> None:
        run = self._run(operation)
        known = self._client.get_run(run).data.params
        new = {name: value for name, value in operation.fields["params"].items() if name not in known}
        self._client.log_batch(run, params=_params(new))
        self._client.update_run(run, status="RUNNING")

    def _metrics(self, operation: Operation) -> None:
        from mlflow.entities import Metric

        step = operation.fields.get("step", 0)
        values = operation.fields["values"].items()
        metrics = [Metric(name, float(value), operation.time, step) for name, value in values]
        self._client.log_batch(self._run(operation), metrics=metrics)

    def _tags(self, operation: Operation) -> None:
        from mlflow.entities import RunTag

        tags = [RunTag(name, str(value)[:LONGEST_TAG]) for name, value in operation.fields["values"].items()]
        self._client.log_batch(self._run(operation), tags=tags)

    def _inputs(self, operation: Operation) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(**operation.fields["dataset"])
        tags = [InputTag("mlflow.data.context", operation.fields["context"])]
        self._client.log_inputs(self._run(operation), datasets=[DatasetInput(dataset=dataset, tags=tags)])

    def _file(self, operation: Operation) -> None:
        path = self._files / operation.fields["path"]
        self._client.log_artifact(self._run(operation), str(path), operation.fields.get("folder"))

    def _table(self, operation: Operation) -> None:
        """As `mlflow.log_table` does, but replacing: on repeat that one would append."""
        run, name = self._run(operation), operation.fields["name"]
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, name)
            copy.write_bytes((self._files / operation.fields["path"]).read_bytes())
            self._client.log_artifact(run, str(copy))
        listed = json.dumps([{"path": name, "type": "table"}])
        self._client.set_tag(run, "mlflow.loggedArtifacts", listed)

    def _status(self, operation: Operation) -> None:
        self._client.set_terminated(self._run(operation), operation.fields["status"], end_time=operation.time)

    def _model(self, operation: Operation) -> None:
        """A version of a registered model that points at the checkpoint, and the alias `champion` on it."""
        from adamms.tracking.registry import register

        register(self._server, self._journal.key, self._run(operation), **operation.fields)


def _params(values: Mapping[str, str]) -> list[Any]:
    from mlflow.entities import Param

    return [Param(name, value[:LONGEST_PARAM]) for name, value in values.items()]


__all__ = ["SEARCH_TAG", "Delivery", "Unreachable"]
