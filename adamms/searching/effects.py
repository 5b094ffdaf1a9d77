"""What each donor adds to the chosen weights: the same candidate without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from adamms.searching.candidates import CandidateBook
from adamms.searching.events import Doing, Events
from adamms.searching.line import Line
from adamms.searching.preparing import Search
from adamms.selecting.criteria.changes import meanings_differ

Without = Callable[[int], tuple[Search, float] | None]
"""A donor's number -> a search that has the answers of the chosen weights without it, and under which value."""


def effects_of(
    line: Line, weights: Sequence[float], names: Sequence[str], without: Without, events: Events
) -> dict[str, dict[str, Any]]:
    """For every donor that has a weight, what changes where its weight goes to the base.

    Args:
        line: the chosen candidate's.

    Returns:
        name -> `changed` (share of the prompts that are answered otherwise), and with labels `lost` (points of accuracy
        on them, negative where it is better without that donor).
    """
    found: dict[str, dict[str, Any]] = {}
    for donor, weight in enumerate(weights):
        if weight:
            events.say(Doing, what=f"leaving out {names[donor]}")
            left = without(donor)
            found |= {names[donor]: _effect(line, *left)} if left else {}
    return found


def _effect(line: Line, left: Search, value: float) -> dict[str, Any]:
    own = line.search
    chosen = line.chosen
    assert chosen is not None, "a line that chose nothing is not gone along"
    ours, theirs = (
        CandidateBook(search.answers, search.prompts).answers_at(at) for search, at in ((own, chosen), (left, value))
    )
    both = sorted(ours.keys() & theirs.keys())
    changed = meanings_differ([ours[name] for name in both], [theirs[name] for name in both])
    found = {"prompts": len(both), "changed": float(changed.mean()) if both else None}
    if own.labelled is None or left.labelled is None:
        return found
    labelled = own.labelled[0]
    answered = [
        CandidateBook(stored, labelled.prompts).answers_at(at)
        for stored, at in ((own.labelled[1], chosen), (left.labelled[1], value))
    ]
    if any(len(answers) < len(labelled.prompts) for answers in answered):
        return found  # the budget was over before
    right = list(map(labelled.right, answered))
    ours_right, theirs_right = (100 * sum(one) / max(len(one), 1) for one in right)
    return found | {"lost": ours_right - theirs_right}
