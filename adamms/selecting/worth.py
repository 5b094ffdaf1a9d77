"""What a choice is worth, in points of accuracy: as far as answers alone can say, and with a few labels a little more.

Two candidates that answer k of n prompts differently are at most 100 k / n points apart on these prompts, whatever is
right; which of them is the better one, answers do not tell.
"""

from collections.abc import Iterator, Sequence
from math import ceil

import numpy as np

from adamms.runs.values import format_value
from adamms.selecting.contest import Contest
from adamms.selecting.criteria.criterion import Floats

SAME, MOVED = 0.05, 0.2
"""A candidate sits on the base's plateau where it answers at most `SAME` of the prompts unlike the base, and another
one at least `MOVED`."""


def worth_of(contest: Contest, coefficient: str, base: int | None) -> Iterator[str]:
    """Sentences on the chosen candidate beside the base, and beside the best other one.

    Args:
        coefficient: what the candidates' values are values of.
        base: the row of the base itself, where it is a candidate.
    """
    winner, table = contest.winner, contest.table
    if winner is None:
        return
    chosen, prompts = f"{coefficient} {format_value(table.values[winner])}", len(table.prompt_ids)
    second = _runner_up(contest, winner)
    if second is not None:
        apart = _differing(table.answers[winner], table.answers[second])
        yield (
            f"{chosen} and {format_value(table.values[second])}, the next best, answer {apart} of {prompts} prompts "
            f"differently: they are at most {_at_most(apart, prompts)} points apart there"
        )
    if base is None:
        return
    if base == winner:
        yield from _other_than_base(contest, coefficient, base)
        return
    marks = (contest.marks[table.values[winner]], contest.marks[table.values[base]]) if contest.marks else None
    yield from beside_base(chosen, table.answers[winner], table.answers[base], marks)


def beside_base(
    chosen: str,
    answers: Sequence[str],
    base: Sequence[str],
    marks: tuple[Sequence[bool], Sequence[bool]] | None,
) -> Iterator[str]:
    """Sentences on the chosen candidate beside the base.

    Args:
        chosen: what the candidate is called.
        answers, base: its answers and the base's, to the same prompts.
        marks: which labelled prompts it answers right, and which the base does; None without labels.
    """
    changed, prompts = _differing(answers, base), len(answers)
    told = f"{changed} of {prompts} answers are not the base's own: {chosen} is at most"
    yield f"{told} {_at_most(changed, prompts)} points better or worse there than the base"
    if marks:
        own, before = marks
        gained = np.subtract(own, before, dtype=np.float64)
        yield f"on the {len(gained)} labelled prompts it is {_points(gained)} better than the base"
    elif changed:
        how = "searching.labels, adamms evaluate"
        yield f"whether the changed answers are the better ones, only labels can tell ({how})"


def _at_most(changed: int, prompts: int) -> int:
    """Points of accuracy that so many answers can make, rounded up: it is a bound."""
    return ceil(100 * changed / prompts)


def _other_than_base(contest: Contest, coefficient: str, base: int) -> Iterator[str]:
    """Where the base itself is chosen, what is left behind: it finds answers of a kind that it never gives
    implausible, however right they are."""
    prompts, changed = len(contest.table.prompt_ids), _changed(contest, base)
    most = int(np.argmax(changed))
    if changed[most] and not contest.marks:
        yield (
            f"the base itself is chosen; {coefficient} {format_value(contest.table.values[most])} answers "
            f"{changed[most]} of {prompts} prompts otherwise: whether better, only labels can tell "
            "(searching.labels, adamms evaluate)"
        )


def on_base_plateau(contest: Contest, coefficient: str, base: int | None) -> Iterator[str]:
    """A warning where the chosen candidate answers as the base does, and others do not: stability cannot tell this
    plateau from one that gains something, and the base finds answers of a kind that it never gives implausible."""
    winner, table = contest.winner, contest.table
    if winner is None or base in (None, winner):
        return
    changed = [count / len(table.prompt_ids) for count in _changed(contest, base or 0)]
    most = int(np.argmax(changed))
    if changed[winner] <= SAME and changed[most] >= MOVED:
        yield (
            f"{coefficient} {format_value(table.values[winner])} sits on the base's plateau: it answers "
            f"{1 - changed[winner]:.0%} of the prompts as the base does, {format_value(table.values[most])} only "
            f"{1 - changed[most]:.0%}; if the donor's skill was to come in, look beyond"
        )


def base_row(contest: Contest) -> int | None:
    """The row of the candidate of 0; None where there is none."""
    values = contest.table.values
    return values.index(0.0) if 0.0 in values else None


def _runner_up(contest: Contest, winner: int) -> int | None:
    """The best of the others that can be chosen."""
    totals = np.where(contest.eligible, contest.totals, np.inf)
    totals[winner] = np.inf
    return int(np.argmin(totals)) if np.isfinite(totals).any() else None


def _changed(contest: Contest, base: int) -> list[int]:
    """How many answers of each candidate are not the base's own. [C]"""
    return [_differing(row, contest.table.answers[base]) for row in contest.table.answers]


def _differing(one: Sequence[str], other: Sequence[str]) -> int:
    """How many answers differ as a judge by exact match sees them."""
    return sum(a.strip() != b.strip() for a, b in zip(one, other, strict=True))


def _points(gained: Floats) -> str:
    """Mean and standard error of paired differences, in points. [L]"""
    error = gained.std(ddof=1) / len(gained) ** 0.5 if len(gained) > 1 else 0.0
    return f"{100 * gained.mean():.0f} points (standard error {100 * error:.0f})"
