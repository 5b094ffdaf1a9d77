"""`adamms select`: choose from answers, however they were made."""

from pathlib import Path

from adamms.errors import UserError
from adamms.runs.responses import of_task, read_responses
from adamms.runs.scored import read_scores, with_scores
from adamms.selecting.criteria import get_criterion
from adamms.selecting.divergence import Endpoints
from adamms.selecting.selection import Selection
from adamms.selecting.selection import select as select_from


def select(
    responses: Path,
    metric: str = "either",
    endpoints: Endpoints = "auto",
    *,
    bootstrap: int = 1000,
    task: str = "",
    donor: Path | None = None,
) -> Selection:
    """The choice by one criterion.

    Args:
        responses: a JSONL file, a folder of them, or the folder of a search.
        bootstrap: how many resamples of the prompts tell how sure it is; 0: none.
        task: of a search over several, whose ids begin with TASK/.
        donor: the donor's own answers, for criteria that look at them.

    Raises:
        UserError: nothing to read, contradicting answers, or an unknown criterion.
    """
    answers, criterion = of_task(read_responses(responses), task), get_criterion(metric)
    if criterion.asks_scores:
        answers = with_scores(answers, read_scores(responses))
    parents = [read_donor(donor)] if donor and criterion.asks_donor else []
    return select_from(answers, criterion, endpoints, bootstrap=bootstrap, parents=parents)


def read_donor(path: Path) -> dict[str, str]:
    """The answers of one file or folder, whatever alpha they are stored under.

    Raises:
        UserError: they are of several alphas, or as `read_responses`.
    """
    found = read_responses(path)
    if len(found) > 1:
        raise UserError(f"{path}: holds answers of {len(found)} alphas; the donor's own are expected, of one")
    return next(iter(found.values()))
