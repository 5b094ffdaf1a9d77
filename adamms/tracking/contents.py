"""What a run folder holds, as a list of the items that MLflow shows; only files are read, no server is asked."""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from statistics import mean
from typing import Any

from adamms.addresses import short_name
from adamms.merging.companions import RECORD
from adamms.reporting.ranking import FAILED, to_table
from adamms.reporting.story import noise_floor, read_judgements
from adamms.runs.run_folder import FINISHED, RUNNING, RunFolder
from adamms.runs.store import GrowingStore
from adamms.runs.values import format_value
from adamms.tracking.view import charts_of, view_key

TARGET = "target.json"
"""In the tracking folder: the server, experiment and registered model that the run was told."""
THOUSAND = 1000
EARLIER = "earlier"
"""What the tag `chosen` says of a search that gave way to another in its folder: one `true` is left. Candidates that
were not chosen have no such tag."""


@dataclass(frozen=True)
class Item:
    """One thing that a run in MLflow shows.

    Attributes:
        run: a candidate's value as `format_value` writes it; empty for the search or sweep itself.
        kind: param, metric, tag, dataset, file, table, view, note, logged, model or status.
        name: unique within the kind; a file's path in the run folder.
        value: plain data; the item is delivered again when this has changed.
        time: at which a metric was measured, in milliseconds since 1970.
        table: columns and rows of a table, made only when it is delivered.
        step: of a metric that is a curve, such as a criterion over the coefficient.
    """

    run: str
    kind: str
    name: str
    value: Any
    time: int = 0
    table: Callable[[], tuple[list[str], list[list[Any]]]] | None = None
    step: int = 0

    @property
    def key(self) -> str:
        """Identifies the item in its run folder."""
        return f"{self.run} {self.kind} {self.name}" + (f"@{self.step}" if self.step else "")

    @property
    def digest(self) -> str:
        """Changes with the value."""
        return hashlib.sha256(json.dumps(self.value, sort_keys=True).encode()).hexdigest()[:16]


def items_of(run: RunFolder, stored: GrowingStore) -> list[Item]:
    """Everything to show of a run, and of its stored answers. The status comes last where it is FINISHED, so that who
    sees it sees all; any other comes first, because the process may be killed soon. Empty before the run is described.
    """
    about = run.read(run.about)
    if about is None:
        return []
    with run.understood():
        contents = _Contents(run, about, stored)
        candidates = chain.from_iterable(map(contents.of_candidate, contents.values))
        items = [*contents.of_run(), *candidates, *contents.winners()]  # a winner is one of the candidates' models
        status = run.read(run.status)
        if status is None:
            return items
        item = Item("", "status", "status", {"status": status["status"], "ended": status["ended"]})
        return [*items, item] if status["status"] == FINISHED else [item, *items]


class _Contents:
    """The files of one run folder, each read once."""

    def __init__(self, run: RunFolder, about: Mapping[str, Any], stored: GrowingStore) -> None:
        self._run, self._about, self._name, self._stored = run, about, about["name"], stored
        self._params: dict[str, str] = about["params"]
        self._coefficient = self._params.get("coefficient", "alpha")
        self._selection: dict[str, Any] = run.read(run.selection) or {}
        self._records = run.read_candidates()
        self._scores: dict[str, dict[str, float]] = run.read(run.scores) or {}
        self._judged = read_judgements(run)
        self._prompts: dict[str, Any] = run.read(run.prompts) or {}
        self._datasets = [_dataset(task, **found) for task, found in self._prompts.items()]
        self._rows: list[dict[str, Any]] | None = run.read(run.sweep, list)

    @property
    def values(self) -> list[str]:
        """Of all candidates that anything is known of, ascending; those of a search of several lines (methods, or
        donors' weights) belong to the runs of the lines."""
        if self._has_lines:
            return []
        judged = (one["accuracy"] for one in self._judged.values())
        tables = self._records, self._scores, self._selection.get("scores", {}), *judged
        return sorted(set(chain.from_iterable(tables)), key=float)

    @property
    def _has_lines(self) -> bool:
        return "methods" in self._selection or "path" in self._selection

    def of_run(self) -> Iterator[Item]:
        """Items of the search or sweep itself, without its status."""
        run = self._run
        yield from _all("", "param", self._known_params)
        yield from _all("", "tag", self._tags() | self._source)
        yield from self._metrics()
        yield from self._curve()
        yield from self._page()
        yield from (Item("", "dataset", data["name"], data) for data in self._datasets)
        files = [run.report, run.plan, run.selection, run.settings, run.evaluation, run.sweep]
        for file in [*filter(Path.is_file, files), *sorted(run.figures.glob("*"))]:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
            yield Item("", "file", str(file.relative_to(run.folder)), digest)
        if self._rows is not None:
            rows = self._rows
            yield Item("", "table", "ranking.json", rows, table=lambda: to_table(rows))

    def of_candidate(self, value: str) -> Iterator[Item]:
        """Items of one candidate's run."""
        record = self._records.get(value, {})
        time = record.get("ended") or _modified(self._run.scores)
        yield from _all(value, "param", self._candidate_params(value))
        yield from _all(value, "tag", self._candidate_tags(value, record) | self._source)
        if record.get("answers"):  # before its metrics, which are the model's too
            params = self._candidate_params(value)
            yield Item(value, "logged", "model", {"name": _as_name(f"{self._coefficient} {value}"), "params": params})
        if record and record["error"] is None:
            times = {name: record[name] for name in ("move_seconds", "generate_seconds") if record[name]}
            counted = {"tokens": record["tokens"], "prompts": record["answers"], **times, **record["measured"]}
            yield from _measured(value, counted, time)
        yield from _measured(value, self._scores.get(value, {}), _modified(self._run.scores))
        yield from _measured(value, self._accuracy(value), _modified(self._run.evaluation))
        yield from (Item(value, "dataset", data["name"], data) for data in self._datasets)
        if record.get("answers"):
            yield Item(value, "table", "responses.json", record, table=lambda: self._responses(float(value)))
        if record:
            yield Item(value, "status", "status", {"status": "FAILED" if record["error"] else FINISHED, "ended": time})

    def _candidate_params(self, value: str) -> dict[str, str]:
        """Of one candidate; along the weight of one donor of several, those of the others are known."""
        own = self._params.get("searched_donor")
        donor = {f"alpha_{own}": value} if own else {}
        return self._known_params | donor | {"alpha": value, self._coefficient: value}

    @cached_property
    def _known_params(self) -> dict[str, str]:
        """The params; `auto` is told only when it is clear that no engine will say what it became."""
        engine = self._run.read(self._run.folder / "responses" / "engine.json")
        if engine:
            resolved = {"engine": engine["kind"], "dtype": engine["dtype"], "device": engine["device"]}
            return self._params | resolved | dict(engine["versions"])
        status = self._run.read(self._run.status)
        ended = status is not None and status["status"] != RUNNING
        return {name: value for name, value in self._params.items() if ended or value != "auto"}

    @cached_property
    def _source(self) -> dict[str, str]:
        """What MLflow's page of a run calls its source: the command, and who ran it."""
        command, _ = self._run.read_settings()
        return {"mlflow.source.name": command, "mlflow.source.type": "LOCAL"} if command else {}

    def _tags(self) -> dict[str, str]:
        if not self._selection:
            return self._plan_tags
        value, tags = self._selection["alpha"], {"verdict": self._selection["verdict"]} | self._plan_tags
        tags |= {"chosen_method": self._selection["method"]} if "method" in self._selection else {}
        return tags if value is None else tags | {"chosen_alpha": format_value(value)}

    def _page(self) -> Iterator[Item]:
        """What MLflow's page of the run says, and the page of charts that it leads to; a search of a sweep has none,
        since every page of charts makes all pages of its experiment a little slower, nor has one of several lines,
        whose candidates belong to the lines."""
        if not self._selection:
            yield Item("", "note", "note", {"first": f"{self._name}: under way"})
            return
        charts, report = None, self._run.report.name if self._run.report.is_file() else ""
        if self._about["parent"] is None and not self._has_lines:
            key = self._about["key"]
            charts = view_key(key)
            judged = ["accuracy"] if self._judged else []
            metrics = [_metric_name(self._selection["metric"]), *judged, "tokens"]
            yield Item("", "view", charts, charts_of(key, self._coefficient, self._curve_name, metrics))
        value, verdict = self._selection["alpha"], self._selection["verdict"]
        of = f"{self._selection['method']}, " if "method" in self._selection else ""
        chosen = "nothing" if value is None else f"**{of}{self._coefficient} {format_value(value)}**"
        first = f"{self._name}: {chosen} was chosen. {verdict}."
        rest = "".join(f"\n- {one}" for one in [*self._plan_warnings, *self._selection["warnings"]])
        if self._run.is_earlier:
            rest += f"\n\nIt gave way to another search; what it found is in `{self._run.folder.resolve()}`."
        yield Item("", "note", "note", {"first": first, "report": report, "charts": charts, "rest": rest})

    @cached_property
    def _plan_warnings(self) -> list[str]:
        """What is wrong with every candidate, such as a language model merged in part."""
        return list((self._run.read(self._run.plan) or {}).get("warnings", ()))

    @property
    def _plan_tags(self) -> dict[str, str]:
        return {"warning": "; ".join(self._plan_warnings)} if self._plan_warnings else {}

    def _candidate_tags(self, value: str, record: Mapping[str, Any]) -> dict[str, str]:
        tags = dict(self._plan_tags)
        if self._selection:
            tags["mlflow.runName"] = f"{self._coefficient} {value}"
            if self._selection["alpha"] == float(value):
                tags["chosen"] = EARLIER if self._run.is_earlier else "true"
                tags["mlflow.runName"] += " (chosen)" if tags["chosen"] == "true" else " (chosen earlier)"
            if value in self._selection["excluded"]:
                tags["excluded"] = self._selection["excluded"][value]
        if record:
            tags["status"] = "failed" if record["error"] else "finished"
            tags |= {"error": record["error"] or "", "weights_digest": record["digest"]}
        return {name: text for name, text in tags.items() if text}

    def _metrics(self) -> Iterator[Item]:
        """Of the search: the choice, the costs, the accuracy of the choice; of a sweep, how far it is."""
        run = self._run
        if self._selection:
            yield from _measured("", _of_selection(self._selection), _modified(run.selection))
        costs = run.read(run.costs) or {}
        seconds = {f"seconds_{phase.replace(' ', '_')}": value for phase, value in costs.get("seconds", {}).items()}
        yield from _measured("", seconds | costs.get("peaks", {}) | costs.get("totals", {}), _modified(run.costs))
        regrets = {f"{task}/regret": one["regret"] for task, one in self._judged.items() if task}
        if self._judged:
            regrets["regret"] = mean(one["regret"] for one in self._judged.values())
        yield from _measured("", regrets, _modified(run.evaluation))
        lmms_eval = {f"lmms_eval/{name}": value for name, value in (run.read(run.lmms_eval) or {}).items()}
        yield from _measured("", lmms_eval, _modified(run.lmms_eval))
        if self._rows is not None:
            failed = [row for row in self._rows if row["status"] == FAILED]
            counts = {"searches_done": len(self._rows), "failed": len(failed)}
            yield from _measured("", counts, _modified(run.sweep))

    def _curve(self) -> Iterator[Item]:
        """The criterion over the coefficient, as MLflow draws metrics: the step is a thousandth of the coefficient."""
        if "path" in self._selection:
            yield from self._path()
        if not self._selection or self._has_lines:
            return
        time = _modified(self._run.selection)
        for value, score in sorted(self._selection["scores"].items(), key=lambda one: float(one[0])):
            if score is not None:
                step = round(THOUSAND * float(value))
                yield Item("", "metric", self._curve_name, float(score), time, step=step)

    def _path(self) -> Iterator[Item]:
        """The way through weight space: every donor's weight at the end of each line, the lines as steps."""
        time = _modified(self._run.selection)
        for step, line in enumerate(self._selection["path"], 1):
            weights = {**line["others"], line["donor"]: line["alpha"]}
            for name in self._selection["weights"]:
                yield Item("", "metric", _metric_name(f"path/{name}"), weights.get(name) or 0.0, time, step=step)

    @property
    def _curve_name(self) -> str:
        """With a section of its own, which MLflow draws above metrics without one."""
        return _metric_name(f"choice/{self._selection['metric']}_by_{self._coefficient}")

    def _accuracy(self, value: str) -> dict[str, float]:
        """`accuracy`, the mean of all tasks, and of named tasks `task/accuracy`."""
        found = {task: one["accuracy"].get(value) for task, one in self._judged.items()}
        known = {task: accuracy for task, accuracy in found.items() if accuracy is not None}
        means = {"accuracy": mean(known.values())} if known and len(known) == len(found) else {}
        return means | {f"{task}/accuracy": accuracy for task, accuracy in known.items() if task}

    def winners(self) -> Iterator[Item]:
        """A registered model for each checkpoint that this search has chosen and written."""
        named = (self._run.read(self._run.tracking / TARGET) or {}).get("model") or self._name
        for task, one in {"": self._selection, **self._selection.get("tasks", {})}.items():
            folder, value = self._run.merged / task, one.get("alpha")
            record = self._run.read(folder / RECORD)
            if record is None or value is None or not self._is_of(record["recipe"], float(value)):
                continue
            if record["plan"] != self._params.get("plan", record["plan"]):
                continue
            name = _as_name(named + (f" - {task}" if task else ""))
            written = format_value(value)
            params = self._known_params | {"alpha": written, self._coefficient: written}
            place, champion = str(folder.resolve()), not self._run.is_earlier
            yield Item("", "model", name, {"checkpoint": place, "params": params, "champion": champion})

    def _is_of(self, recipe: Mapping[str, Any], value: float) -> bool:
        """Whether a recipe is that of the candidate of a value."""
        merged = recipe.get(self._coefficient)
        if not isinstance(merged, list):
            return bool(merged == value)
        if "weights" in self._selection:
            return merged == list(self._selection["weights"].values())
        params = self._candidate_params(format_value(value))  # of one donor of several
        return merged == [float(params.get(f"alpha_{number}", "nan")) for number in range(1, len(merged) + 1)]

    def _responses(self, value: float) -> tuple[list[str], list[list[str]]]:
        """A candidate's answers; MLflow compares the second column unless told otherwise."""
        texts = {one["id"]: one["prompt"] for found in self._prompts.values() for one in found["prompts"]}
        answers = self._stored.answers_at(value)
        rows = [[name, answers[name], texts[name]] for name in sorted(answers.keys() & texts.keys())]
        return ["prompt_id", "response", "prompt"], rows


def _of_selection(selection: Mapping[str, Any]) -> dict[str, float | None]:
    effort, value = selection.get("effort", {}), selection["alpha"]
    found = {name if name == "answers" else f"answers_{name}": number for name, number in effort.items()}
    found |= {"prompts_used": selection["prompts"]["used"], "warnings": len(selection["warnings"])}
    found["noise_floor"] = noise_floor(selection)
    if value is not None:
        found |= {"chosen_alpha": value, f"chosen_{selection['metric']}": selection["scores"][format_value(value)]}
        found["chosen_in_resamples"] = selection["bootstrap"].get(format_value(value))
    for name, weight in selection.get("weights", {}).items():
        found |= {f"weight/{name}": weight, f"without/{name}": selection["without"].get(name, {}).get("changed")}
    found |= {"candidates": selection["candidates"]} if "path" in selection else {}
    for method, one in selection.get("methods", {}).items():
        found |= {f"{method}/{selection['metric']}": one["score"], f"{method}/wins": one["wins"]}
    return found


def _all(run: str, kind: str, values: Mapping[str, str]) -> Iterator[Item]:
    return (Item(run, kind, name, value) for name, value in values.items())


def _measured(run: str, values: Mapping[str, float | None], time: int) -> Iterator[Item]:
    """Metrics as MLflow takes them: finite numbers, and no `+` in a name, as that of a metric of several parts has."""
    for name, value in values.items():
        if value is not None and math.isfinite(value):
            yield Item(run, "metric", _metric_name(name), float(value), time)


def _metric_name(name: str) -> str:
    return re.sub(r"[^\w.\-/ :]", "-", name)


def _as_name(text: str) -> str:
    """As MLflow takes the name of a model."""
    return re.sub(r"[/:.%\"']", "-", text)


def _modified(file: Path) -> int:
    """When a file was written, in milliseconds since 1970; 0 where there is none."""
    return int(file.stat().st_mtime * 1000) if file.is_file() else 0


def _dataset(task: str, source: str, seed: int, prompts: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What MLflow keeps of a data set."""
    columns = [{"type": "string", "name": name, "required": True} for name in ("id", "prompt")]
    images = sum(prompt["images"] for prompt in prompts)
    return {
        "name": task or short_name(source),
        "digest": hashlib.sha256("".join(prompt["digest"] for prompt in prompts).encode()).hexdigest()[:16],
        "source_type": "local" if Path(source).exists() else "external",
        "source": json.dumps({"uri": source, "drawn": len(prompts), "seed": seed}),
        "schema": json.dumps({"mlflow_colspec": columns}),
        "profile": json.dumps({"num_rows": len(prompts), "num_images": images}),
    }
