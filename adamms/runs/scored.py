"""The scores that base and donor gave to answers, in the folder of a search: `scored/base` and `scored/donor`."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from adamms.errors import UserError
from adamms.runs.jsonl import jsonl_files, raise_problems, read_rows
from adamms.runs.record import Response, ResponseRecord
from adamms.runs.responses import Responses
from adamms.runs.run_folder import RunFolder

SCORED = "scored"
Scores = dict[tuple[str, str, bool], float]
"""(prompt_id, the answer's text, whether it ended) -> the mean log-probability of the answer's tokens"""


def scored_id(prompt_id: str, number: int) -> str:
    """What an answer to a prompt is stored under where it is one of several."""
    return f"{prompt_id}#{number}"


def prompt_of(scored_as: str) -> str:
    """The prompt's id in a `scored_id`."""
    return scored_as.rpartition("#")[0]


def scores_of(answers: Iterable[tuple[str, str]]) -> Scores:
    """From answers by their `scored_id`, each with the log-probabilities that one parent gives to its tokens; an answer
    without a token is certain, and one without log-probabilities is not scored."""
    return {
        (prompt_of(name), str(answer), answer.ended): float(np.mean(answer.logprobs or [0.0]))
        for name, answer in answers
        if isinstance(answer, Response) and answer.logprobs is not None
    }


def with_scores(responses: Responses, parents: Sequence[Scores]) -> Responses:
    """The answers with what every parent holds of them (`Response.by_parents`); one that a parent has not scored stays
    as it is."""

    def scored(prompt_id: str, answer: str) -> str:
        if not isinstance(answer, Response):
            return answer
        found = [scores.get((prompt_id, str(answer), answer.ended)) for scores in parents]
        known = [score for score in found if score is not None]
        return answer if len(known) < len(found) else Response(str(answer), answer.logprobs, answer.ended, known)

    return {value: {name: scored(name, a) for name, a in answers.items()} for value, answers in responses.items()}


def read_scores(folder: Path) -> list[Scores]:
    """What base and donor hold of a search's answers.

    Args:
        folder: the run folder, or its `responses`.

    Raises:
        UserError: there are no scores.
    """
    run = folder.parent if folder.name == "responses" else folder
    if run.parent.name in RunFolder.OF_LINES and not (run / SCORED).is_dir():
        run = run.parent.parent  # what base and donor hold of answers is kept once for all lines
    places = [run / SCORED / "base", *RunFolder(run).of_donors(SCORED)]
    if len(places) < 2 or not places[0].is_dir():
        raise UserError(
            f"{run}: holds no scores of base and donor ({SCORED}/), which this metric needs; give the folder of a "
            "search by such a metric, or choose another one"
        )
    return [scores_in(place) for place in places]


def scores_in(place: Path) -> Scores:
    """What one parent holds of a search's answers, by the rows of its folder.

    Raises:
        UserError: there are none, or some cannot be read.
    """
    return scores_of(_answers(place))


def _answers(place: Path) -> list[tuple[str, str]]:
    problems: list[str] = []
    found: list[tuple[str, str]] = []
    for row in (row for file in jsonl_files(place) for row in read_rows(file, problems)):
        try:
            record = ResponseRecord.from_fields(row.fields)
        except ValueError as error:
            problems.append(f"{row.where}: {error}")
        else:
            found.append((record.prompt_id, Response.of(record)))
    raise_problems(problems)
    return found
