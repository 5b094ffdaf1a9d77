"""In words: how far a choice is supported by the prompts, and what speaks against it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from adamms.runs.values import VALUE_DIGITS, format_value
from adamms.selecting.contest import Contest
from adamms.selecting.labels import count_and_best, not_kept
from adamms.selecting.resampling import DIGITS, Resamples, Rows

RIVAL = 0.1
"""A candidate is a rival of the chosen one when it scores at least as well in this share of the resamples."""
FEW_PROMPTS = 10
"""With fewer prompts than this no candidate is called better than another."""
NO_PLATEAU = 0.2
"""There is no plateau where the chosen candidate's score is this share of the largest possible one, or more.

Set on tasks of earlier tiny pairs. On 99 tasks of nine others (docs/evidence.md) it marks 32 of the 47 choices by
`either` that are more than 2 points behind the best candidate, and 18 of the 52 that are not."""


def verdict_of(contest: Contest, resamples: Resamples | None, coefficient: str) -> str:
    """How far the prompts support the choice, and what labels did to it; without resamples, what the scores alone say.

    Args:
        coefficient: what the candidates' values are values of, such as alpha or density.
    """
    if contest.labels_alone and contest.chosen is not None:
        told = [*_by_labels_alone(contest, contest.chosen, coefficient)]
    else:
        told = [_by_prompts(contest, resamples, coefficient), *_by_labels(contest, coefficient)]
    return "; ".join([*told, *_without_labels(contest, coefficient)])


def _by_labels(contest: Contest, coefficient: str) -> Iterator[str]:
    if not contest.fit_marks:
        return
    count, best = count_and_best(contest.fit_marks)
    kept = _values(value for value in contest.fit_marks if value not in contest.excluded)
    yield f"{count} labelled prompts (the best candidate has {best:.0f} % right) leave {coefficient} {kept}"


def _by_labels_alone(contest: Contest, chosen: float, coefficient: str) -> Iterator[str]:
    count, best = count_and_best(contest.fit_marks)
    yield (
        f"{coefficient} {format_value(chosen)} is right most often on the {count} labelled prompts ({best:.0f} %), "
        "which alone decide, since base and donor contradict each other"
    )
    told_apart = {chosen, *not_kept(contest.fit_marks)}
    near = [value for value in contest.fit_marks if value not in told_apart]
    if near:
        yield f"they cannot tell it from {coefficient} {_values(near)}"


def _without_labels(contest: Contest, coefficient: str) -> Iterator[str]:
    without = contest.without_labels.chosen if contest.without_labels else None
    if without is not None and without != contest.chosen:
        yield f"without labels {coefficient} {format_value(without)} would be chosen"


def _by_prompts(contest: Contest, resamples: Resamples | None, coefficient: str) -> str:
    winner, prompts = contest.winner, len(contest.table.prompt_ids)
    if winner is None:
        return "nothing can be chosen: every candidate that is no end point is degenerate"
    chosen = f"{coefficient} {format_value(contest.table.values[winner])}"
    if resamples is None:
        tied = contest.eligible & (contest.totals == contest.totals[winner])
        if tied.sum() > 1:
            return f"{coefficient} {_list(contest, tied)} have the same score with {_prompts(prompts)}"
        return f"{chosen} has the smallest score with {_prompts(prompts)} (not resampled)"
    if contest.eligible.sum() == 1:
        return f"{chosen} is the only candidate that can be chosen"
    share = f"{chosen} is chosen in {100 * resamples.shares()[winner]:.0f} % of resamples"
    if prompts < FEW_PROMPTS:
        return f"too few prompts ({prompts}) to tell the candidates apart ({share})"
    scores = np.round(resamples.scores, DIGITS)
    rivals = contest.eligible & ((scores <= scores[:, [winner]]).mean(axis=0) >= RIVAL)
    if rivals.sum() > 1:  # the chosen one counts as its own rival
        return f"{coefficient} {_list(contest, rivals)} cannot be told apart with {prompts} prompts ({share})"
    return f"{share} of {prompts} prompts"


def warnings_of(
    contest: Contest, coefficient: str, with_base: bool = True, failed: Mapping[float, str] | None = None
) -> Iterator[str]:
    """What a reader should know before trusting the choice.

    Args:
        with_base: the candidate of alpha 0 is the base itself.
        failed: candidates that could not answer, and why.
    """
    table, divergence, winner, failed = contest.table, contest.divergence, contest.winner, failed or {}
    for value, why in failed.items():
        name = f"{coefficient} {format_value(value)}"
        yield f"{name} could not answer ({why}) and is left out: not every answer is there"
    if table.dropped:
        everybody = "candidate and the donor have" if table.parents else "candidate has"
        yield f"{_prompts(table.dropped)} left out: not every {everybody} answered them"
    asked = sorted({*table.values, *(v for v in failed if table.values[0] < v < table.values[-1])})
    steps = np.unique(np.round(np.diff(asked), VALUE_DIGITS - 1))
    if len(steps) > 1:
        sizes = " and ".join(map(format_value, (steps.min(), steps.max())))
        yield (
            f"the values of {coefficient} are not evenly spaced (steps between {sizes}): "
            "a longer step changes more answers"
        )
    if winner is None:
        return
    if not np.nansum(divergence.both):
        yield "every candidate gives the same answers: nothing tells them apart"
    else:
        yield from _no_plateau(contest, winner)
    if winner in (0, len(table.values) - 1):
        yield from _at_an_end(table.values, winner, coefficient, with_base)
    elif end := _falls_towards(contest, winner):
        chosen = f"{coefficient} {format_value(table.values[winner])}"
        what = "divergence" if divergence.criterion.by_neighbours else "score"
        yield (
            f"the {what} falls all the way to {chosen}, the {end} candidate that can be chosen; "
            "the best one may lie beyond it"
        )


def _at_an_end(values: Sequence[float], winner: int, coefficient: str, with_base: bool) -> Iterator[str]:
    chosen = f"{coefficient} {format_value(values[winner])}"
    if coefficient == "alpha" and values[winner] == 0:
        what = "is the base's own weights" if with_base else "leaves the donor no weight"
        yield f"{chosen} is chosen, which {what}: by this criterion the donor adds nothing"
    elif coefficient == "alpha" and values[winner] == 1:
        yield f"{chosen} is chosen, which leaves the base no weight: by this criterion the base adds nothing"
    else:
        end = "lowest" if winner == 0 else "highest"
        yield f"{chosen} is the {end} candidate, and the best one may lie beyond it"


def _no_plateau(contest: Contest, winner: int) -> Iterator[str]:
    divergence = contest.divergence
    largest = divergence.criterion.largest
    if divergence.criterion.by_neighbours:
        mean = contest.totals[winner] / len(contest.table.prompt_ids)
        if mean >= NO_PLATEAU * largest:
            yield f"no plateau: even the chosen candidate's divergence is {mean:.2f} a prompt, of {largest:.0f} at most"
        return
    changing = float((np.nan_to_num(divergence.both[winner]) > 0).mean())
    if changing >= NO_PLATEAU:
        yield f"no plateau: {100 * changing:.0f} % of the chosen candidate's answers are not those of a neighbour"


def _falls_towards(contest: Contest, winner: int) -> str:
    """`lowest` or `highest` where the winner is at that end of those that can be chosen and every step towards it
    lowers the score; else nothing."""
    rows = np.flatnonzero(contest.eligible)
    steps = np.diff(contest.totals[rows])
    if len(steps) >= 2 and winner == rows[0] and (steps > 0).all():
        return "lowest"
    return "highest" if len(steps) >= 2 and winner == rows[-1] and (steps < 0).all() else ""


def _list(contest: Contest, which: Rows) -> str:
    return _values(value for value, named in zip(contest.table.values, which, strict=True) if named)


def _values(values: Iterable[float]) -> str:
    """`0.1, 0.2 and 0.3`"""
    names = list(map(format_value, values))
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _prompts(count: int) -> str:
    return f"{count} prompt{'' if count == 1 else 's'}"
