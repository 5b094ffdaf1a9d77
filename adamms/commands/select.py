"""`adamms select`: choose from answers, however they were made."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from adamms.errors import UserError
from adamms.runs.responses import Responses, is_run, of_task, read_responses
from adamms.runs.run_folder import RunFolder
from adamms.runs.scored import read_scores, with_scores
from adamms.selecting.criteria import Criterion, get_criterion
from adamms.selecting.divergence import Endpoints
from adamms.selecting.labels import Marks
from adamms.selecting.methods import MethodSelection, select_method, why_not_comparable
from adamms.selecting.selection import Selection
from adamms.selecting.selection import select as select_from


def select(
    responses: Path,
    metric: str | None = None,
    endpoints: Endpoints | None = None,
    *,
    bootstrap: int = 1000,
    task: str = "",
    donor: Path | None = None,
) -> Selection | MethodSelection:
    """The choice by one criterion; of a search over several methods the choice along each, and among them.

    Args:
        responses: a JSONL file, a folder of them, or the folder of a search.
        metric, endpoints: as in `searching`; None: those of the search, else `either` and `auto`.
        bootstrap: how many resamples of the prompts tell how sure it is; 0: none.
        task: of a search over several, whose ids begin with TASK/.
        donor: the donor's own answers, for criteria that look at them; a search keeps them.

    Raises:
        UserError: nothing to read, contradicting answers, an unknown criterion, or one that cannot compare methods.
    """

    def along(folder: Path, same: Mapping[str, Any]) -> Choosing:
        return Choosing.of(folder, same, metric, endpoints, bootstrap, task, donor)

    same = _same(responses)
    with RunFolder(responses).understood():
        methods = list(same.get("searching.methods") or ())
    if methods:
        folders = {method: responses / RunFolder.METHODS / method for method in methods}
        return _among({method: along(folder, _same(folder)) for method, folder in folders.items()})
    searches = sorted(file.parent for file in responses.glob("*/*/search.json"))
    several = same.get("command") == "sweep" or "lines" in same or not is_run(responses)
    if searches and several:  # else they are what an earlier search left
        raise UserError(f"{responses}: holds {len(searches)} searches; give one of them, such as {searches[0]}")
    return along(responses, same)()


@dataclass(frozen=True)
class Choosing:
    """What candidates along one coefficient have answered, and how one is chosen: arguments of `select_from`."""

    answers: Responses
    criterion: Criterion
    given: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        responses: Path,
        same: Mapping[str, Any],
        metric: str | None,
        endpoints: Endpoints | None,
        bootstrap: int,
        task: str,
        donor: Path | None,
    ) -> Self:
        """The other arguments and errors are those of `select`.

        Args:
            same: what makes the search this one; empty for answers of anybody.
        """
        run, searched = RunFolder(responses), is_run(responses)
        told = _Told.by(run, same, task) if searched else _Told()
        answers = told.only_its_own(of_task(read_responses(responses), task))
        criterion = get_criterion(metric or told.metric)
        if criterion.asks_scores:
            answers = with_scores(answers, read_scores(responses))
        places = [donor] if donor else kept_donors(run) if searched else []
        given = {
            "endpoints": endpoints or (told.endpoints if criterion.name == told.metric else "auto"),
            "coefficient": told.coefficient,
            "with_base": told.with_base,
            "bootstrap": bootstrap,
            "prompts": told.prompts,
            "parents": [read_donor(place) for place in places] if criterion.asks_donor else [],
            "marks": told.marks,
            "contradicted": told.contradicted if criterion.name == told.metric else 0,
        }
        return cls(answers, criterion, given)

    def __call__(self) -> Selection:
        """The choice."""
        return select_from(self.answers, self.criterion, **self.given)

    def among(self, answers: Responses, marks: Marks, contradicted: int) -> Selection:
        """The choice among methods by the same criterion, each with one candidate's answers."""
        own = {"endpoints": "one_sided", "coefficient": "method", "marks": marks, "contradicted": contradicted}
        return select_from(answers, self.criterion, **{**self.given, **own})


def _same(folder: Path) -> dict[str, Any]:
    """What makes the search in a folder this one and no other; nothing where it is the folder of none."""
    run = RunFolder(folder)
    with run.understood():
        return dict(run.same)


def _among(lines: Mapping[str, Choosing]) -> MethodSelection:
    any_line = next(iter(lines.values()))
    if why := why_not_comparable(any_line.criterion):
        raise UserError(f"metric {any_line.criterion.name}: {why}")
    chosen = {method: line() for method, line in lines.items()}
    return select_method(chosen, lambda method, value: lines[method].answers[value], any_line.among)


@dataclass(frozen=True)
class _Told:
    """What the folder of a search tells of it; the defaults are for answers of anybody.

    Attributes:
        metric, endpoints: what it has chosen by, which may not be what it was asked for.
        with_base: whether the candidate of 0 is the base itself.
        values: the candidates of its last round, or those that it begins with where it has not chosen yet; None: all
            that have answered.
        prompts: id -> text; None: all that were answered.
        marks: which of its labelled prompts these candidates answer right; None where it had none.
        contradicted: on how many prompts it found base and donor to contradict each other, in any of its rounds.
    """

    metric: str = "either"
    endpoints: Endpoints = "auto"
    coefficient: str = "alpha"
    with_base: bool = True
    values: frozenset[float] | None = None
    prompts: Mapping[str, str] | None = None
    marks: Marks | None = None
    contradicted: int = 0

    @classmethod
    def by(cls, run: RunFolder, same: Mapping[str, Any], task: str) -> Self:
        """Args: task: of several, the one that is chosen for; empty for all."""
        with run.understood():
            asked = run.read(run.prompts) or {}
            texts = {one["id"]: one["prompt"] for name in asked for one in asked[name]["prompts"] if task in ("", name)}
            selection = run.read(run.selection) or {}
            own = selection.get("tasks", {}).get(task, selection)
            names = "metric", "endpoints", "coefficient"
            chose = {name: own.get(name) or same.get(f"searching.{name}") for name in names}
            right = own.get("labels", {}).get("right", {})
            values = own.get("scores") or same.get("searching.alphas") or ()
            return cls(
                with_base=bool(selection.get("with_base", True)),
                values=frozenset(map(float, values)) or None,
                prompts=texts or None,
                marks={float(value): [bool(one) for one in marks] for value, marks in right.items()} or None,
                contradicted=own.get("contradicted", 0),
                **{name: value for name, value in chose.items() if value},
            )

    def only_its_own(self, answers: Responses) -> Responses:
        """Without those of other candidates, and to other prompts, that an earlier search has left in the folder."""
        return {
            value: {name: answer for name, answer in given.items() if self.prompts is None or name in self.prompts}
            for value, given in answers.items()
            if self.values is None or value in self.values
        }


def kept_donors(run: RunFolder) -> list[Path]:
    """Where a search keeps its donors' own answers: `donor`, or `donor-1`, `donor-2`, ...; of one that is a line of
    another search, in the folder of that one."""
    folders = [run.folder] + ([run.folder.parent.parent] if run.folder.parent.name in RunFolder.OF_LINES else [])
    return next(filter(None, (RunFolder(folder).of_donors() for folder in folders)), [])


def read_donor(path: Path) -> dict[str, str]:
    """The answers of one file or folder, whatever alpha they are stored under.

    Raises:
        UserError: they are of several alphas, or as `read_responses`.
    """
    found = read_responses(path)
    if len(found) > 1:
        raise UserError(f"{path}: holds answers of {len(found)} alphas; the donor's own are expected, of one")
    return next(iter(found.values()))
