"""The weights of several donors in one search, without labels: ordinary searches along one donor's weight, one after
the other (`walk`), in the same engines; no answer is asked for twice, and one candidate wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import fsum
from pathlib import Path
from typing import Any

from adamms.errors import UserError
from adamms.runs.costs import Costs
from adamms.runs.values import format_value
from adamms.searching.budget import Budget
from adamms.searching.effects import effects_of
from adamms.searching.events import Began, Doing, Events, Exported
from adamms.searching.outcome import Outcome
from adamms.searching.search import FoundLine, Watch, answering, export_winner
from adamms.searching.trials import Trials
from adamms.searching.walk import Step
from adamms.searching.warm_engines import WarmEngines
from adamms.searching.way import Way
from adamms.searching.weights_search import WeightsSearch


def run_weights(search: WeightsSearch, engines: WarmEngines, budget: Budget, told: Watch) -> FoundLine:
    """Goes along lines until the weights are found, and exports the winner.

    Raises:
        UserError: nothing could be chosen, or a candidate met something that the user can mend.
    """
    whole, costs = Events(told(search.whole(search.any), ""), search.run), Costs(search.run.costs)
    search.run.write(search.run.plan, search.any.study.pair.plan.to_dict())
    whole.say(Began)
    scoring = search.any.scoring
    scores = scoring.by(engines, search.any.prompts, whole, budget) if scoring is not None else None
    way = Way(search, engines, budget, told, scores)
    with costs.kept(lambda: engines.gpu_hours):
        with answering(costs, search.settings.engine.actors) as books:
            books += [lambda: way.books, lambda: scores.books if scores else []]
            way.begin(whole)
            over = way.go()
            step = way.walk.last
            if step is None:
                reasons = (f"{search.title(s)}: {one.selection.verdict}" for s, one in way.outcomes.items())
                raise UserError(f"searching.alphas: no donor has a candidate that can be chosen ({'; '.join(reasons)})")
            effects = effects_of(way.lines[step], way.walk.weights, search.names, way.without, whole)
        outcome, weights = _told(way.outcomes[step], over), way.walk.weights
        told_of = to_json(outcome, way, step, effects)
        search.run.write(search.run.selection, told_of)
        with costs.phase("exporting"):
            whole.say(Doing, what=told_of["verdict"])
            export_winner(way.searches[step], weights[step.donor], search.run.merged, engines, whole)
    whole.say(Exported, checkpoints={"": search.run.merged})
    return FoundLine(search.whole(way.searches[step]), outcome, search.run.merged)


def _told(outcome: Outcome, over: str | None) -> Outcome:
    """The outcome that says whether something ended the way early."""
    if not over:
        return outcome
    selection = outcome.selection
    warning = f"stopped by {over}, before every donor's weight was searched again"
    return outcome.with_selection(replace(selection, warnings=(*selection.warnings, warning)))


def to_json(outcome: Outcome, way: Way, step: Step, effects: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """`selection.json` of the whole: the deciding line's, as it has it, and `weights` (donor -> weight), `donor` (whose
    line it is), `path` (every line, in order), `without` (donor -> what leaving it out changes), `candidates`."""
    names, weights = way.search.names, dict(zip(way.search.names, way.walk.weights, strict=True))
    found = outcome.to_json()
    told = " and ".join(f"{name} {format_value(weight)}" for name, weight in weights.items())
    rest = format_value(max(0.0, 1 - fsum(weights.values())))
    verdict = f"{told} are chosen, the base has {rest}; along {way.search.title(step)}: {found['verdict']}"
    return found | {
        "verdict": verdict,
        "weights": weights,
        "donor": names[step.donor],
        "path": [_row(way, one) for one in way.outcomes],
        "without": effects,
        "candidates": len(way.answered),
        **({"trials": _trials(way.trials, names)} if way.trials is not None else {}),
    }


def _trials(trials: Trials, names: Sequence[str]) -> list[dict[str, Any]]:
    """Every set of weights that a surrogate proposed, in order, with its score."""
    return [
        {"weights": dict(zip(names, weights, strict=True)), "score": score, "wrong": wrong}
        for weights, (wrong, score) in trials.scores.items()
    ]


def _row(way: Way, step: Step) -> dict[str, Any]:
    selection, names = way.outcomes[step].selection, way.search.names
    others = {names[i]: weight for i, weight in enumerate(step.weights) if i != step.donor and weight}
    scores = selection.to_json()["scores"]
    return {
        "donor": names[step.donor],
        "others": others,
        "alpha": selection.chosen,
        "scores": scores,
        "folder": Path(way.searches[step].run.folder).name,
    }
