"""MLflow, off the critical path: a search never waits for the dashboard, nor fails because of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from adamms.errors import UserError
from adamms.searching.responses import format_alpha
from adamms.tracking.candidate import CandidateRecord

if TYPE_CHECKING:
    from adamms.config import TrackingConfig
    from adamms.searching.selection import Selection

logger = logging.getLogger(__name__)
SEARCH_TAG = "adamms.search"


class SearchTracker:
    """A context manager around one search; its calls return at once, a thread of its own does the logging, in order.

    A search that is run again goes on in the same runs: they are found by `search_key`.

    Raises (on entering):
        UserError: the tracking URI is none that MLflow knows, or nothing answers there.
    """

    def __init__(self, config: TrackingConfig, search_key: str, params: Mapping[str, Any]) -> None:
        self._config, self._key = config, search_key
        self._params = {name: str(value) for name, value in params.items()}
        self._queue = ThreadPoolExecutor(1, thread_name_prefix="mlflow")
        self._children: dict[float, str] = {}
        self._parent = ""

    def __enter__(self) -> SearchTracker:
        if not self._config.enabled:
            return self
        import mlflow
        from mlflow.exceptions import MlflowException

        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        try:
            self._client = mlflow.MlflowClient(tracking_uri=self._config.uri)
            self._experiment = self._experiment_id()
            self._open_runs()
        except (MlflowException, OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"tracking.uri={self._config.uri}: MLflow cannot be used there ({reason}); "
                "mend it, or go without with tracking.enabled=false"
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._config.enabled:
            status = "FINISHED" if kind is None else "KILLED" if kind is KeyboardInterrupt else "FAILED"
            self._submit(lambda: self._client.set_terminated(self._parent, status))
        self._queue.shutdown(wait=True)

    def log_candidate(self, candidate: CandidateRecord) -> None:
        """Logs a candidate as it finishes; its divergence follows when its neighbours are known."""
        self._submit(lambda: self._log_candidate(candidate))

    def log_scores(self, scores: Mapping[float, Mapping[str, float]]) -> None:
        """Logs metrics by alpha (divergences, degeneracy rates, accuracies) to the candidates' runs."""
        self._submit(lambda: self._log_scores(scores))

    def log_selection(self, selection: Selection, artifacts: list[Path]) -> None:
        """Marks the chosen candidate and logs what the search leaves."""
        self._submit(lambda: self._log_selection(selection, artifacts))

    def _submit(self, work: Callable[[], None]) -> None:
        if self._config.enabled:
            self._queue.submit(_logged, work)

    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(self._config.experiment)
        if found:
            return str(found.experiment_id)
        location = _artifact_folder(self._config.uri)
        return str(self._client.create_experiment(self._config.experiment, artifact_location=location))

    def _open_runs(self) -> None:
        tag = f"tags.`{SEARCH_TAG}` = '{self._key}'"
        for run in self._client.search_runs([self._experiment], tag):
            if "mlflow.parentRunId" in run.data.tags:
                self._children[float(run.data.params["alpha"])] = run.info.run_id
            else:
                self._parent = run.info.run_id
        if self._parent:
            self._client.update_run(self._parent, status="RUNNING")
            return
        name = f"{Path(self._params['donor']).name} into {Path(self._params['base']).name}"
        tags = {SEARCH_TAG: self._key, "mlflow.runName": name, "adamms.kind": "search"}
        self._parent = self._client.create_run(self._experiment, tags=tags).info.run_id
        self._client.log_batch(self._parent, params=_params(self._params))

    def _child(self, alpha: float) -> str:
        if alpha not in self._children:
            tags = {
                "mlflow.parentRunId": self._parent,
                "mlflow.runName": f"alpha {format_alpha(alpha)}",
                SEARCH_TAG: self._key,
                "adamms.kind": "candidate",
                "chosen": "false",
            }
            run = self._client.create_run(self._experiment, tags=tags)
            self._children[alpha] = run.info.run_id
            self._client.log_batch(run.info.run_id, params=_params({**self._params, "alpha": format_alpha(alpha)}))
        return self._children[alpha]

    def _log_candidate(self, candidate: CandidateRecord) -> None:
        run = self._child(candidate.alpha)
        measured = {
            "prompts": len(candidate.answers),
            "tokens": candidate.tokens,
            "move_seconds": candidate.move_seconds,
            "generate_seconds": candidate.generate_seconds,
        }
        self._client.log_batch(run, metrics=_metrics(measured))
        if candidate.digest:
            self._client.set_tag(run, "weights_digest", candidate.digest)
        if candidate.error is not None:
            self._client.set_tag(run, "error", candidate.error)
            self._client.set_terminated(run, "FAILED")
            return
        rows = [(i, candidate.questions.get(i, ""), answer) for i, answer in candidate.answers.items()]
        columns = dict(zip(("prompt_id", "prompt", "response"), map(list, zip(*rows, strict=True)), strict=True))
        if not any(artifact.path == "responses.json" for artifact in self._client.list_artifacts(run)):
            self._client.log_table(run, columns, "responses.json")
        self._client.set_terminated(run, "FINISHED")

    def _log_scores(self, scores: Mapping[float, Mapping[str, float]]) -> None:
        for alpha, values in scores.items():
            self._client.log_batch(self._child(alpha), metrics=_metrics(values))

    def _log_selection(self, selection: Selection, artifacts: list[Path]) -> None:
        for alpha in selection.scores:
            self._client.set_tag(self._child(alpha), "chosen", "true" if alpha == selection.alpha else "false")
        if selection.alpha is not None:
            self._client.log_batch(self._parent, metrics=_metrics({"chosen_alpha": selection.alpha}))
            self._client.set_tag(self._parent, "chosen_alpha", format_alpha(selection.alpha))
        self._client.set_tag(self._parent, "verdict", selection.verdict)
        for path in artifacts:
            self._client.log_artifact(self._parent, str(path))


def _artifact_folder(uri: str) -> str | None:
    """Beside a local database, whatever the working directory is; a server decides for itself."""
    if not uri.startswith("sqlite:///"):
        return None
    return str(Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts")


def _logged(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:  # whatever the dashboard's trouble is, the search goes on without it
        logger.warning("MLflow did not take a record (%s: %s)", type(error).__name__, str(error).splitlines()[:1])


def _params(values: Mapping[str, str]) -> list[Any]:
    from mlflow.entities import Param

    return [Param(name, value[:6000]) for name, value in values.items()]


def _metrics(values: Mapping[str, float]) -> list[Any]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    return [Metric(name, float(value), now, 0) for name, value in values.items()]
