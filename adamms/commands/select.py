"""`adamms select`: choose from answers, however they were made."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adamms.errors import UserError
from adamms.runs.responses import Responses, is_run, of_task, read_responses
from adamms.runs.run_folder import RunFolder
from adamms.runs.scored import read_scores, with_scores
from adamms.selecting.criteria import get_criterion
from adamms.selecting.divergence import Endpoints
from adamms.selecting.labels import Marks
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
) -> Selection:
    """The choice by one criterion.

    Args:
        responses: a JSONL file, a folder of them, or the folder of a search.
        metric, endpoints: as in `searching`; None: those of the search, else `either` and `auto`.
        bootstrap: how many resamples of the prompts tell how sure it is; 0: none.
        task: of a search over several, whose ids begin with TASK/.
        donor: the donor's own answers, for criteria that look at them; a search keeps them.

    Raises:
        UserError: nothing to read, contradicting answers, or an unknown criterion.
    """
    run = RunFolder(responses)
    found, prompts = _told(run) if is_run(responses) else ({}, None)
    if not found and (searches := sorted(file.parent for file in responses.glob("*/*/search.json"))):
        raise UserError(f"{responses}: holds {len(searches)} searches; give one of them, such as {searches[0]}")
    answers = of_task(read_responses(responses), task)
    criterion = get_criterion(metric or found.get("metric", "either"))
    if criterion.asks_scores:
        answers = with_scores(answers, read_scores(responses))
    places = [donor] if donor else kept_donors(run) if found else []
    return select_from(
        answers,
        criterion,
        endpoints or found.get("endpoints", "auto"),
        coefficient=found.get("coefficient", "alpha"),
        with_base=_with_base(run) if found else True,
        bootstrap=bootstrap,
        prompts=prompts,
        parents=[read_donor(place) for place in places] if criterion.asks_donor else [],
        marks=_marks(run, task, answers) if found else None,
    )


def _told(run: RunFolder) -> tuple[dict[str, Any], Mapping[str, str] | None]:
    """What a search chose by (metric, endpoints, coefficient), and its prompts: id -> text."""
    with run.understood():
        same = (run.read(run.about) or {}).get("same") or {}
        found = {name: same.get(f"searching.{name}") for name in ("metric", "endpoints", "coefficient")}
        tasks = (run.read(run.prompts) or {}).values()
        texts = {one["id"]: one["prompt"] for task in tasks for one in task["prompts"]}
    return {name: value for name, value in found.items() if value}, texts or None


def _with_base(run: RunFolder) -> bool:
    """Whether the candidate of 0 is the base itself in a search."""
    with run.understood():
        return bool((run.read(run.selection) or {}).get("with_base", True))


def _marks(run: RunFolder, task: str, answers: Responses) -> Marks | None:
    """Which of its labelled prompts the candidates of a search answer right; None where it had none, or
    does not know it of all of them."""
    with run.understood():
        selection = run.read(run.selection) or {}
        told = selection.get("tasks", {}).get(task, selection).get("labels", {}).get("right", {})
        marks = {float(value): [bool(one) for one in right] for value, right in told.items()}
    return marks if marks.keys() >= answers.keys() else None


def kept_donors(run: RunFolder) -> list[Path]:
    """Where a search keeps its donors' own answers: `donor`, or `donor-1`, `donor-2`, ...; of one that is a line of
    another search, in the folder of that one."""
    folders = [run.folder] + ([run.folder.parent.parent] if run.folder.parent.name in RunFolder.OF_LINES else [])
    found = ([*folder.glob("donor"), *sorted(folder.glob("donor-*"))] for folder in folders)
    return next(filter(None, found), [])


def read_donor(path: Path) -> dict[str, str]:
    """The answers of one file or folder, whatever alpha they are stored under.

    Raises:
        UserError: they are of several alphas, or as `read_responses`.
    """
    found = read_responses(path)
    if len(found) > 1:
        raise UserError(f"{path}: holds answers of {len(found)} alphas; the donor's own are expected, of one")
    return next(iter(found.values()))
