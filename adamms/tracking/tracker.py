"""The dashboard of one search: its run, and one for every candidate."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adamms.runs.candidate import CandidateRecord
from adamms.runs.responses import format_alpha
from adamms.tracking.courier import JOURNALS
from adamms.tracking.journal import Parent
from adamms.tracking.parameters import short_name
from adamms.tracking.registry import registered_name
from adamms.tracking.run_tracker import RunTracker, finite

if TYPE_CHECKING:
    from adamms.prompts.config import PromptsConfig
    from adamms.prompts.prompt import Prompt
    from adamms.selecting.selection import Selection
    from adamms.tracking.config import TrackingConfig


class SearchTracker(RunTracker):
    """A context manager around one search (`RunTracker`).

    Args:
        params: of the search and of each of its candidates.
    """

    role = "search"

    def __init__(
        self,
        config: TrackingConfig,
        search_key: str,
        params: Mapping[str, Any],
        run_dir: Path,
        parent: Parent | None = None,
    ) -> None:
        donor, base = short_name(str(params["donor"])), short_name(str(params["base"]))
        task = f", {params['task']}" if params.get("task") else ""
        super().__init__(config, search_key, f"{donor} into {base}{task}", params, run_dir, parent)
        self._datasets: list[dict[str, str]] = []

    def log_prompts(self, config: PromptsConfig, tasks: Mapping[str, Sequence[Prompt]]) -> None:
        """The prompts as input data sets, one a task, of the search and of every candidate that is logged from now on.

        Args:
            tasks: as `load_tasks` gives them.
        """
        self._datasets = [
            _dataset(name, config.tasks[name] if name else config.path, config.seed, prompts)
            for name, prompts in tasks.items()
        ]
        self._tell_datasets(None)

    def log_candidate(self, candidate: CandidateRecord) -> None:
        """Logs a candidate as it finishes; its divergence follows when its neighbours are known."""
        if not self._config.enabled:
            return
        run = format_alpha(candidate.alpha)
        if candidate.error is not None:
            self._tell("tags", run, values={"status": "failed", "error": candidate.error})
            self._tell_datasets(run)
            self._tell("status", run, status="FAILED")
            return
        if candidate.seconds:  # first, for a run begins with what is said of it first
            self._tell("metrics", run, values=candidate.seconds, seconds=sum(candidate.seconds.values()))
        self._tell("metrics", run, values={"prompts": len(candidate.answers), "tokens": candidate.tokens})
        if candidate.measured:
            self._tell("metrics", run, values=finite(candidate.measured))
        self._tell_datasets(run)
        self._tell("tags", run, values={"status": "finished"})
        if candidate.digest:
            self._tell("tags", run, values={"weights_digest": candidate.digest})
        path = Path(JOURNALS) / "responses" / f"{self._journal.key}-{run}.json"
        answers = sorted(candidate.answers.items())
        rows = [[name, answer, candidate.questions.get(name, "")] for name, answer in answers]
        # MLflow compares the second column unless told otherwise.
        self._tell_table(path, "responses.json", ["prompt_id", "response", "prompt"], rows, run)
        self._tell("status", run, status="FINISHED")

    def log_scores(self, scores: Mapping[float, Mapping[str, float]]) -> None:
        """Logs metrics by alpha (divergences, degeneracy rates, accuracies) to the candidates' runs."""
        for alpha, values in scores.items():
            self._tell("metrics", format_alpha(alpha), values=finite(values))

    def log_selection(self, selection: Selection) -> None:
        """Marks the chosen candidate, and how far the choice can be trusted."""
        for alpha in selection.scores:
            chosen = "true" if alpha == selection.alpha else "false"
            excluded = {"excluded": selection.excluded[alpha]} if alpha in selection.excluded else {}
            self._tell("tags", format_alpha(alpha), values={"chosen": chosen, **excluded})
        tags = {"verdict": selection.verdict, "mlflow.note.content": _note(self.name, selection)}
        metrics: dict[str, float] = {"prompts_used": selection.prompts_used, "warnings": len(selection.warnings)}
        if selection.alpha is not None:
            tags["chosen_alpha"] = format_alpha(selection.alpha)
            metrics["chosen_alpha"] = selection.alpha
            metrics |= finite({f"chosen_{selection.metric}": selection.scores[selection.alpha]})
            metrics |= finite({"chosen_in_resamples": selection.bootstrap.get(selection.alpha)})
        self._tell("tags", values=tags)
        self._tell("metrics", values=metrics)

    def log_winner(
        self, selection: Selection, merged: Path, task: str = "", groups: Mapping[str, float] | None = None
    ) -> None:
        """Registers the winner: a model version that points at its checkpoint, with the alias `champion`.

        Args:
            task: of a search that exports a checkpoint for each of several tasks.
            groups: alphas of groups of weights that are not the one for all.
        """
        assert selection.alpha is not None
        name = (self._config.model or self.name) + (f" - {task}" if task else "")
        own = {f"alpha_{group.replace(':', '-')}": format_alpha(alpha) for group, alpha in (groups or {}).items()}
        params = {**self._params, "alpha": format_alpha(selection.alpha), **own}
        self._tell("model", name=registered_name(name), checkpoint=str(merged.resolve()), params=params)

    def _tell_datasets(self, run: str | None) -> None:
        for dataset in self._datasets:
            self._tell("inputs", run, name=dataset["name"], dataset=dataset, context="search")


def _dataset(task: str, path: str, seed: int, prompts: Sequence[Prompt]) -> dict[str, str]:
    """What MLflow keeps of a data set."""
    images = sum(len(prompt.images) for prompt in prompts)
    columns = [{"type": "string", "name": name, "required": True} for name in ("id", "prompt")]
    return {
        "name": task or short_name(path),
        "digest": hashlib.sha256("".join(prompt.digest for prompt in prompts).encode()).hexdigest()[:16],
        "source_type": "local" if Path(path).exists() else "external",
        "source": json.dumps({"uri": path, "drawn": len(prompts), "seed": seed}),
        "schema": json.dumps({"mlflow_colspec": columns}),
        "profile": json.dumps({"num_rows": len(prompts), "num_images": images}),
    }


def _note(name: str, selection: Selection) -> str:
    chosen = (
        "nothing was chosen" if selection.alpha is None else f"**alpha {format_alpha(selection.alpha)}** was chosen"
    )
    warnings = "".join(f"\n- {warning}" for warning in selection.warnings)
    return f"{name}: {chosen}. {selection.verdict}.{warnings}\n\nThe whole story: `report.html` among the artifacts."
