"""The dashboard of one search, off the critical path: a search never waits for it, nor fails because of it."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from adamms.searching.responses import format_alpha
from adamms.tracking.candidate import CandidateRecord
from adamms.tracking.courier import JOURNALS, Courier
from adamms.tracking.journal import Journal
from adamms.tracking.machine import MachineMonitor
from adamms.tracking.parameters import short_name
from adamms.tracking.registry import registered_name
from adamms.tracking.server import Server, Unreachable, without_password

if TYPE_CHECKING:
    from adamms.config import PromptsConfig, TrackingConfig
    from adamms.generation.prompts import Prompt
    from adamms.searching.selection import Selection

logger = logging.getLogger(__name__)
STATUSES = {KeyboardInterrupt: "KILLED", SystemExit: "KILLED", GeneratorExit: "KILLED"}


class SearchTracker:
    """A context manager around one search; its calls only write to the search's journal, a thread delivers it.

    A search that is run again goes on in the same runs: they are found by `search_key`.

    Args:
        params: of the search and of each of its candidates.
        run_dir: of the search; its journal lies there, and files are named relative to it.

    Raises (on entering):
        UserError: the tracking URI is none that MLflow can use.
    """

    def __init__(self, config: TrackingConfig, search_key: str, params: Mapping[str, Any], run_dir: Path) -> None:
        self._config, self._folder = config, run_dir
        self._params = {name: str(value) for name, value in params.items()}
        self._journal = Journal(run_dir / JOURNALS, search_key)
        self._told: dict[tuple[str, ...], Any] = {}

    def __enter__(self) -> SearchTracker:
        if not self._config.enabled:
            return self
        self._server = Server(self._config.uri, self._config.experiment)
        try:
            self._server.check()
        except Unreachable as error:
            logger.warning("tracking.uri=%s does not answer (%s); the search goes on", self._uri, error)
        for operation in self._journal.operations():
            self._told[_slot(operation.kind, operation.run, operation.fields)] = operation.fields
        self._journal.append(
            "open",
            uri=self._config.uri,
            experiment=self._config.experiment,
            name=self._name,
            note=f"{self._name}: searching",
            params=self._params,
        )
        self._courier = Courier(self._journal, self._server, self._folder)
        self._courier.start()
        self._machine = MachineMonitor(self._log_machine) if self._config.system_metrics else None
        if self._machine:
            self._machine.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._config.enabled:
            return
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
                self._folder,
            )

    def log_prompts(self, config: PromptsConfig, prompts: Sequence[Prompt]) -> None:
        """The prompts as the search's input data set."""
        digest = hashlib.sha256("".join(prompt.digest for prompt in prompts).encode()).hexdigest()[:16]
        images = sum(len(prompt.images) for prompt in prompts)
        columns = [{"type": "string", "name": name, "required": True} for name in ("id", "prompt")]
        dataset = {
            "name": short_name(config.path),
            "digest": digest,
            "source_type": "local" if Path(config.path).exists() else "external",
            "source": json.dumps({"uri": config.path, "drawn": len(prompts), "seed": config.seed}),
            "schema": json.dumps({"mlflow_colspec": columns}),
            "profile": json.dumps({"num_rows": len(prompts), "num_images": images}),
        }
        self._tell("inputs", dataset=dataset, context="search")

    def log_candidate(self, candidate: CandidateRecord) -> None:
        """Logs a candidate as it finishes; its divergence follows when its neighbours are known."""
        if not self._config.enabled:
            return
        run = format_alpha(candidate.alpha)
        if candidate.error is not None:
            self._tell("tags", run, values={"status": "failed", "error": candidate.error})
            self._tell("status", run, status="FAILED")
            return
        if candidate.seconds:  # first, for a run begins with what is said of it first
            self._tell("metrics", run, values=candidate.seconds, seconds=sum(candidate.seconds.values()))
        self._tell("metrics", run, values={"prompts": len(candidate.answers), "tokens": candidate.tokens})
        if candidate.measured:
            self._tell("metrics", run, values=_finite(candidate.measured))
        self._tell("tags", run, values={"status": "finished"})
        if candidate.digest:
            self._tell("tags", run, values={"weights_digest": candidate.digest})
        path = Path(JOURNALS) / "responses" / f"{self._journal.key}-{run}.json"
        _write_table(self._folder / path, candidate)
        self._tell("table", run, path=str(path), name="responses.json", digest=_digest(self._folder / path))
        self._tell("status", run, status="FINISHED")

    def log_scores(self, scores: Mapping[float, Mapping[str, float]]) -> None:
        """Logs metrics by alpha (divergences, degeneracy rates, accuracies) to the candidates' runs."""
        for alpha, values in scores.items():
            self._tell("metrics", format_alpha(alpha), values=_finite(values))

    def log_metrics(self, values: Mapping[str, float]) -> None:
        """Logs metrics of the search as a whole (seconds by phase, noise floor, saved work) to its run."""
        self._tell("metrics", values=_finite(values))

    def log_selection(self, selection: Selection) -> None:
        """Marks the chosen candidate, and how far the choice can be trusted."""
        for alpha in selection.scores:
            chosen = "true" if alpha == selection.alpha else "false"
            excluded = {"excluded": selection.excluded[alpha]} if alpha in selection.excluded else {}
            self._tell("tags", format_alpha(alpha), values={"chosen": chosen, **excluded})
        tags = {"verdict": selection.verdict, "mlflow.note.content": _note(self._name, selection)}
        metrics: dict[str, float] = {"prompts_used": selection.prompts_used, "warnings": len(selection.warnings)}
        if selection.alpha is not None:
            tags["chosen_alpha"] = format_alpha(selection.alpha)
            metrics["chosen_alpha"] = selection.alpha
            metrics |= _finite({f"chosen_{selection.metric}": selection.scores[selection.alpha]})
            metrics |= _finite({"chosen_in_resamples": selection.bootstrap.get(selection.alpha)})
        self._tell("tags", values=tags)
        self._tell("metrics", values=metrics)

    def log_files(self, files: Sequence[Path], folder: str | None = None) -> None:
        """Files of the run folder, as artifacts of the search's run."""
        for path in files:
            name = str(path.relative_to(self._folder))
            self._tell("file", path=name, folder=folder, digest=_digest(path))

    def log_winner(self, selection: Selection, merged: Path, task: str = "") -> None:
        """Registers the winner: a model version that points at its checkpoint, with the alias `champion`.

        Args:
            task: of a search that exports a checkpoint for each of several tasks.
        """
        assert selection.alpha is not None
        name = (self._config.model or self._name) + (f" - {task}" if task else "")
        params = {**self._params, "alpha": format_alpha(selection.alpha)}
        self._tell("model", name=registered_name(name), checkpoint=str(merged.resolve()), params=params)

    @property
    def _uri(self) -> str:
        return without_password(self._config.uri)

    @property
    def _name(self) -> str:
        donor, base = short_name(self._params["donor"]), short_name(self._params["base"])
        task = self._params.get("task")
        return f"{donor} into {base}" + (f", {task}" if task else "")

    def _log_machine(self, values: Mapping[str, float]) -> None:
        self._journal.append("metrics", values=_finite(values))
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


def _slot(kind: str, run: str | None, fields: Mapping[str, Any]) -> tuple[str, ...]:
    """What an operation overwrites."""
    return (kind, run or "", str(fields.get("path", fields.get("name", ""))), *sorted(fields.get("values", ())))


def _note(name: str, selection: Selection) -> str:
    chosen = (
        "nothing was chosen" if selection.alpha is None else f"**alpha {format_alpha(selection.alpha)}** was chosen"
    )
    warnings = "".join(f"\n- {warning}" for warning in selection.warnings)
    return f"{name}: {chosen}. {selection.verdict}.{warnings}\n\nThe whole story: `report.html` among the artifacts."


def _write_table(path: Path, candidate: CandidateRecord) -> None:
    """The answers as `mlflow.log_table` stores a table; MLflow compares the second column unless told otherwise."""
    rows = [[i, answer, candidate.questions.get(i, "")] for i, answer in sorted(candidate.answers.items())]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"columns": ["prompt_id", "response", "prompt"], "data": rows}), encoding="utf-8")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""


def _finite(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}
