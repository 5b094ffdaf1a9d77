"""Bringing what a run folder holds to an MLflow server, as often as one likes: only what is new or changed is sent.

A delivery may be cut anywhere, also after the server did what it was asked and before this is noted. So sending an item
twice changes nothing: runs are found by their tags, metrics carry the time at which they were measured, files and
tables replace themselves.
"""

import fcntl
import hashlib
import json
import logging
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from adamms.addresses import mask
from adamms.errors import FULL, UserError, first_line
from adamms.runs.run_folder import RunFolder
from adamms.runs.store import GrowingStore
from adamms.support.files import write_json
from adamms.support.locks import NO_LOCKS
from adamms.tracking.contents import Item, items_of
from adamms.tracking.registry import log_candidate, logged_models, register
from adamms.tracking.server import Server, Unreachable
from adamms.tracking.view import TAG, view_address

logger = logging.getLogger(__name__)
_THREADS: defaultdict[Path, threading.RLock] = defaultdict(threading.RLock)
"""By folder: what keeps the threads of this process apart, where a file's lock cannot."""
SEARCH_TAG, KIND_TAG = "adamms.search", "adamms.kind"
LONGEST_PARAM, LONGEST_TAG = 6000, 5000
BATCHED = {"param": "values", "metric": "values", "tag": "values", "dataset": "datasets"}
"""What may go in one request with what."""
BATCH = 100


class Delivery:
    """Delivers one run folder to one server. What was delivered is remembered in the folder, for each server."""

    def __init__(self, run: RunFolder, server: Server) -> None:
        self._run, self._server = run, server
        self._stored = GrowingStore(run.folder / "responses")
        self._runs: dict[str, str] = {}
        self._models: dict[str, str] = {}  # candidate's value -> its logged model

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run itself, once it is known."""
        return self._runs.get("")

    @property
    def page(self) -> str | None:
        """Where MLflow shows the run, below its own address; None until it has it."""
        return f"#/experiments/{self._server.experiment}/runs/{self.run_id}" if self.run_id else None

    def waiting(self) -> int:
        """How many items the server has not been told yet."""
        items = items_of(self._run, self._stored)
        return len(_new(items, self._delivered())) if items else 0

    def deliver(self) -> int:
        """Sends what is new or changed; returns how many items the server took.

        An item that the server refuses is logged and left out until it changes.

        Raises:
            Unreachable: the server did not answer; what is left is sent the next time.
        """
        with _locked(self._run):
            items = items_of(self._run, self._stored)
            delivered, taken = self._delivered() if items else {}, 0
            if not _new(items, delivered):
                return 0
            try:
                with self._server.answering():
                    self._find_runs()
                if "" not in self._runs:
                    delivered.clear()  # a new database behind the same address
                new = _new(items, delivered)
                for (run, kind), group in groupby(new, key=lambda item: (item.run, BATCHED.get(item.kind))):
                    rest, size = list(group), BATCH if kind else 1
                    while rest:
                        batch, rest = rest[:size], rest[size:]
                        taken += self._send(run, batch)
                        delivered |= {item.key: item.digest for item in batch}
                    write_json(self._memory, delivered)
            except Unreachable:
                write_json(self._memory, delivered)
                self._runs.clear()  # the server may have made a run and died before it could say so
                raise
            return taken

    @property
    def _memory(self) -> Path:
        """The file of what was delivered of this search to this server."""
        place = f"{mask(self._server.uri)} {self._server.name} {self._key}"
        return self._run.tracking / f"delivered-{hashlib.sha256(place.encode()).hexdigest()[:12]}.json"

    def _delivered(self) -> dict[str, str]:
        try:
            return self._run.read(self._memory) or {}
        except UserError:  # as a power cut may leave it
            logger.warning("%s: broken; everything is delivered again, which changes nothing", self._memory)
            return {}

    def _send(self, run: str, items: Sequence[Item]) -> int:
        """Returns how many of the items the server took; where it refuses some of several, they are sent singly."""
        try:
            with self._server.answering():
                self._log(self._id_of(run), items)
            return len(items)
        except Exception as error:
            if isinstance(error, Unreachable) or (isinstance(error, OSError) and error.errno in FULL):
                raise
            if len(items) > 1:
                return sum(self._send(run, [item]) for item in items)
            reason = mask(f"{type(error).__name__}: {first_line(error)}")
            logger.warning("MLflow did not take a record (%s %s, %s)", items[0].kind, items[0].name, reason)
            return 0

    def _log(self, run_id: str, items: Sequence[Item]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

        client, (first, *_) = self._server.client, items
        match first.kind:
            case "dataset":
                tags = [InputTag("mlflow.data.context", "search")]
                datasets = [DatasetInput(dataset=Dataset(**item.value), tags=tags) for item in items]
                client.log_inputs(run_id, datasets=datasets)
            case "file":
                folder = str(Path(first.name).parent)
                client.log_artifact(run_id, str(self._run.folder / first.name), None if folder == "." else folder)
            case "table":
                # as `mlflow.log_table` does, but replacing what is there: that one would append
                assert first.table is not None
                columns, rows = first.table()
                client.log_text(run_id, json.dumps({"columns": columns, "data": rows}), first.name)
                listed = json.dumps([{"path": first.name, "type": "table"}])
                client.set_tag(run_id, "mlflow.loggedArtifacts", listed)
            case "view":
                client.set_experiment_tag(self._server.experiment, TAG + first.name, json.dumps(first.value))
            case "note":
                client.set_tag(run_id, "mlflow.note.content", self._note(**first.value)[:LONGEST_TAG])
            case "logged":
                self._models[first.run] = log_candidate(self._server, self._key, run_id, first.run, **first.value)
            case "model":
                register(self._server, self._key, run_id, first.name, **first.value)
            case "status":
                if first.value["ended"] is None:
                    client.update_run(run_id, status=first.value["status"])
                else:
                    client.set_terminated(run_id, first.value["status"], end_time=first.value["ended"])
            case _:
                of = {kind: [item for item in items if item.kind == kind] for kind in BATCHED}
                client.log_batch(
                    run_id,
                    metrics=[Metric(i.name, i.value, i.time, i.step, self._models.get(i.run)) for i in of["metric"]],
                    params=[Param(item.name, item.value[:LONGEST_PARAM]) for item in of["param"]],
                    tags=[RunTag(item.name, item.value[:LONGEST_TAG]) for item in of["tag"] if item.value is not None],
                )
                for item in (item for item in of["tag"] if item.value is None):
                    self._delete_tag(run_id, item.name)

    def _note(self, first: str, report: str = "", charts: str | None = None, rest: str = "") -> str:
        """A description in Markdown, with links first: MLflow folds the end of a long one."""
        links = f" [The report]({self.page}/artifacts/{report})" if report else ""
        if charts:
            links += f" and [charts of all candidates]({view_address(self._server.experiment, charts)})"
        return f"{first}{links}{rest}"

    def _delete_tag(self, run_id: str, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._server.client.delete_tag(run_id, name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # it was deleted, and we were not told
                raise

    @property
    def _key(self) -> str:
        key: str = self._run.read(self._run.about)["key"]
        return key

    def _find_runs(self) -> None:
        """The runs that MLflow has of this folder, by candidate's value; the run itself has none."""
        of_search = f"tags.`{SEARCH_TAG}` = '{self._key}'"
        found = self._server.client.search_runs([self._server.experiment], of_search, max_results=10_000)
        self._runs = {
            run.data.tags["alpha"] if run.data.tags[KIND_TAG] == "candidate" else "": run.info.run_id for run in found
        }
        self._models = self._find_models()

    def _find_models(self) -> dict[str, str]:
        """The logged models that MLflow has of this search's candidates; none on a server that knows no such thing."""
        from mlflow.exceptions import MlflowException

        try:
            return {model.tags["alpha"]: model.model_id for model in logged_models(self._server, self._key)}
        except MlflowException as error:
            if self._server.is_down(error):
                raise
            return {}

    def _id_of(self, run: str) -> str:
        """The id of the run itself or of a candidate's, which is made where it is missing."""
        if "" not in self._runs:
            self._runs[""] = self._create(self._run)
        if run not in self._runs:
            tags = {"mlflow.parentRunId": self._runs[""], SEARCH_TAG: self._key, KIND_TAG: "candidate", "alpha": run}
            record = self._run.read(self._run.candidates / f"{run}.json")
            took = record["move_seconds"] + record["generate_seconds"] if record else 0
            begun = int(record["ended"] - 1000 * took) if record else None
            coefficient = self._run.read(self._run.about)["params"].get("coefficient", "alpha")
            self._runs[run] = self._make(f"{coefficient} {run}", begun, tags)
        return self._runs[run]

    def _create(self, run: RunFolder) -> str:
        """Makes the run of a search or sweep; that of the sweep which a search belongs to is found or made first."""
        about, status = run.read(run.about), run.read(run.status) or {}
        tags = {SEARCH_TAG: about["key"], KIND_TAG: "sweep" if "pairs" in about["params"] else "search"}
        sweep = RunFolder(Path(about["parent"])) if about["parent"] else None
        if sweep is not None and sweep.about.is_file():
            with _locked(sweep):  # whichever of its searches comes first makes it
                known = f"tags.`{SEARCH_TAG}` = '{sweep.read(sweep.about)['key']}'"
                found = self._server.client.search_runs([self._server.experiment], known, max_results=1)
                tags["mlflow.parentRunId"] = str(found[0].info.run_id) if found else self._create(sweep)
        return self._make(about["name"], status.get("started"), tags)

    def _make(self, name: str, begun: int | None, tags: Mapping[str, str]) -> str:
        """The id of a new run."""
        made = self._server.client.create_run(self._server.experiment, begun, tags, name)
        return str(made.info.run_id)


@contextmanager
def _locked(run: RunFolder) -> Iterator[None]:
    """Only one thread at a time delivers a folder, and only one process where its file system can lock; that it cannot,
    whoever locks the run has said (`runs.lock`)."""
    run.tracking.mkdir(parents=True, exist_ok=True)
    with _THREADS[run.tracking.resolve()], (run.tracking / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield


def _new(items: Sequence[Item], delivered: Mapping[str, str]) -> list[Item]:
    """New and changed items; but a param never changes in MLflow. A tag that holds no more, as the error of a candidate
    that has answered since, has the value None."""
    there = {item.key for item in items}
    gone = (Item(run, kind, name, None) for run, kind, name in (key.split(" ", 2) for key in delivered.keys() - there))
    return [
        item
        for item in (*items, *(item for item in gone if item.kind == "tag"))
        if (item.key not in delivered if item.kind == "param" else delivered.get(item.key) != item.digest)
    ]
